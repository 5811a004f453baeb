"""Barge-in that can be taken back: is the user interrupting, or was it a cough, or a "mm-hmm"?

Theory. An answer is softened as soon as a voice may be there, and that can always be undone; it is
stopped for good only when somebody wants the floor. Three stages:

1. *Suspicion*, after 60 to 100 ms of voice on the microphone (or when the server hears speech): the
   answer is ducked. A hiss counts here, for many words begin with one, and nowhere else.
2. *Hold*, when the voice lasts, or the server hears it as well: the answer pauses. What is held is
   not heard, so it can go on with the next sample.
3. *Verdict*. The answer stops when the voice lasts for long, or when the words are more than a
   listener's "yeah". It comes back when the voice was gone and the server heard no speech, when
   there were no words in it, or nothing but backchannels.

The server neither interrupts nor answers by itself here. What it takes for a turn of the user's is
an *utterance*. One that began while nothing was said or made is a turn at once; one over an answer
becomes a turn by the verdict. Turns are answered when they are committed, the others are not.

There is no clock and no audio here: frames count time, and `NearVoice` tells which of them are
voice. Nothing of the conversation is known; what came of each call is a list of outcomes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, TypeAlias

from voicecli.audio.pcm import FRAME_MS, WIRE_RATE_HZ, level_dbfs, packed, unpacked
from voicecli.audio.vad import HissFrames, VoiceFrames

Mode: TypeAlias = Literal["server", "local", "off"]
Style: TypeAlias = Literal["duck", "hold"]
WordsMean: TypeAlias = Literal["interruption", "backchannel", "nothing", "unclear"]

ONSET_WINDOW: Final = 5
ONSET_FRAMES: Final = 4
"So many frames of the window are voice or hiss when a suspicion begins: 80 to 100 ms."

SURE_WINDOW: Final = 4
SURE_FRAMES: Final = 3
"The same of voice that is loud, or hummed as no breath and no click is: 60 to 80 ms."

LOUD_DB: Final = 10.0
"Above the level at which a voice begins: nobody far away, and no echo that was cancelled."

GONE_MS: Final = 300
"A voice that the server does not hear is no voice when it has been gone for so long."

UNHEARD_S: Final = 2.5
"A voice that the server has not heard for so long is none: a radio, music."

UNWORDED_MS: Final = 400
"A voice without a transcript that lasts so long is an interruption."

HUMMED_SHARE: Final = 0.72
'When so much of a voice was hummed, it was an "mm-hmm" ...'

HUMMED_WORDS: Final = 2
"... whatever words a recogniser made of it, if they are not more than these."

LONGEST_S: Final = 10.0
"No answer is softened for longer, whatever is missing."


@dataclass(frozen=True, kw_only=True)
class BargeInRules:
    """How the user's voice interrupts."""

    mode: Mode = "server"
    style: Style = "duck"
    "What happens at once: the answer becomes soft, or it pauses."
    duck_db: float = 18.0
    level_dbfs: float = -45.0
    "Softer frames are no voice."
    hold_ms: int = 200
    "So much voice makes the answer pause."
    commit_ms: int = 1000
    "So much voice stops it, whatever the words are, once the server hears speech as well."
    patience_ms: int = 1500
    "So long after the voice the words are waited for."
    backchannels: str = ""
    "More words that do not interrupt, with commas between them."


@dataclass(frozen=True)
class Stop:
    """The answer is to be stopped for good."""


@dataclass(frozen=True)
class Resumed:
    """It was no interruption; the answer comes back."""

    text: str
    "What was said; empty for a noise."
    softened_ms: int


@dataclass(frozen=True)
class TurnEnded:
    """What the user said is a turn, and he is through with it."""

    stopped_at: float
    "When the server said so."


@dataclass(frozen=True)
class Ask:
    """A turn is in the conversation: ask for an answer to it."""


@dataclass(frozen=True)
class Forget:
    """An item without words, that was over an answer, is to be no part of the conversation."""

    item_id: str


@dataclass(frozen=True)
class Unask:
    """There was not a word in the turn that an answer was asked for: it needs none."""


Outcome: TypeAlias = Stop | Resumed | TurnEnded | Ask | Forget | Unask


class Near(IntEnum):
    """What a frame of the microphone is."""

    NOTHING = 0
    VOICE = 1
    HUMMED = 2
    'A voice with its mouth closed: half of an "mm-hmm".'
    HISS = 3
    'No voice, but perhaps the beginning of a word: the "s" of "stop".'
    LOUD = 4
    "A voice, not hummed, and loud."

    @property
    def is_voice(self) -> bool:
        """Whether somebody's voice sounds in it."""
        return self not in (Near.NOTHING, Near.HISS)


class NearVoice:
    """Tells of each frame of the microphone whether it is somebody's voice."""

    _DECIMATION = 3

    def __init__(self, level_dbfs: float) -> None:
        self._level_dbfs = level_dbfs
        self._frames: VoiceFrames | None = None
        self._hisses = HissFrames(floor_dbfs=level_dbfs)

    def push(self, pcm: bytes) -> Near:
        """Take a frame of 20 ms, PCM16 at 24 kHz."""
        if self._frames is None:
            rate_hz = WIRE_RATE_HZ // self._DECIMATION
            self._frames = VoiceFrames(rate_hz, floor_dbfs=self._level_dbfs)
        samples = unpacked(pcm)
        # The mean of three damps what would fold down, which is most of a hiss.
        thirds = zip(samples[::3], samples[1::3], samples[2::3], strict=True)
        samples = samples[::3]
        for position, third in enumerate(thirds):
            samples[position] = sum(third) // 3
        is_voice = self._frames.push(packed(samples))
        is_hiss = self._hisses.push(level_dbfs(pcm), self._frames.level_dbfs)
        if not is_voice:
            return Near.HISS if is_hiss else Near.NOTHING
        if self._frames.is_hummed:
            return Near.HUMMED
        is_loud = self._frames.level_dbfs >= self._level_dbfs + LOUD_DB
        return Near.LOUD if is_loud else Near.VOICE


@dataclass
class _Utterance:
    """What the server takes for a turn of the user's."""

    is_turn: bool
    is_plain: bool
    "It began while nothing was said or made."
    stopped_at: float | None = None
    is_committed: bool = False
    is_late: bool = False
    "Its words did not come in time; if they come after all, they still count."


class BargeIn:
    """The suspicion, and the utterances that are not settled.

    Args:
        rules: fixed for the whole talk.
        has_words: whether the server writes down what the user says.
    """

    def __init__(self, rules: BargeInRules, *, has_words: bool) -> None:
        self.rules = rules
        self._has_words = has_words
        self._words = Backchannels(rules.backchannels.split(","))
        self._utterances: dict[str, _Utterance] = {}
        self._asked_about = ""
        "The last turn that we asked for an answer to, if nothing else was going on."
        self._recent: deque[Near] = deque(maxlen=ONSET_WINDOW)
        self._since: float | None = None
        self._voiced_ms = 0
        self._hummed_ms = 0
        self._quiet_ms = GONE_MS
        self._is_held = False
        self._needs_quiet = False

    @property
    def gain(self) -> float:
        """How loud the answer is to be; 0.0 where it is to pause."""
        if self._since is None:
            return 1.0
        return 0.0 if self._is_held else round(float(10 ** (-self.rules.duck_db / 20)), 4)

    @property
    def deadline(self) -> float | None:
        """When `tick` should be called at the latest."""
        return None if self._since is None else self._since + LONGEST_S

    # ------------------------------------------------------------------------------ the microphone

    def frame(self, near: Near, *, is_answering: bool, at: float) -> list[Outcome]:
        """Take a frame that was sent.

        Args:
            near: as `NearVoice` says.
            is_answering: whether an answer is being heard or made.
            at: now.
        """
        is_sound = near is not Near.NOTHING
        self._recent.append(near)
        self._quiet_ms = 0 if is_sound else self._quiet_ms + FRAME_MS
        if self._quiet_ms >= GONE_MS:
            self._needs_quiet = False
        if self.rules.mode != "local":
            return []
        if self._since is not None:
            self._count(near)
            self._look()
            return self.tick(at)
        if is_answering and is_sound and self._is_onset and not self._needs_quiet:
            self._suspect(at)
        return []

    def tick(self, at: float) -> list[Outcome]:
        """Look whether something has taken too long."""
        if self._since is None:
            return []
        if at - self._since >= LONGEST_S:
            return self._decide_by_length(at)
        if not self._pending:
            return self._decide_alone(at)
        if self._voiced_ms >= self.rules.commit_ms:
            return self._stop()
        if self._quiet_ms >= self.rules.patience_ms:
            return self._decide_by_length(at)
        return []

    @property
    def _is_onset(self) -> bool:
        recent = list(self._recent)
        sounding = sum(one is not Near.NOTHING for one in recent)
        sure = sum(one in (Near.LOUD, Near.HUMMED) for one in recent[-SURE_WINDOW:])
        return sounding >= ONSET_FRAMES or sure >= SURE_FRAMES

    def _suspect(self, at: float) -> None:
        self._since = at
        self._voiced_ms = self._hummed_ms = 0
        for near in self._recent:
            self._count(near)
        self._is_held = self.rules.style == "hold"
        self._look()

    def _count(self, near: Near) -> None:
        self._voiced_ms += FRAME_MS * near.is_voice
        self._hummed_ms += FRAME_MS * (near is Near.HUMMED)

    @property
    def _is_hummed(self) -> bool:
        """Whether nobody opened his mouth for it; transcripts of that are guesses."""
        is_long = self._voiced_ms >= self.rules.commit_ms
        return not is_long and self._hummed_ms >= HUMMED_SHARE * self._voiced_ms > 0

    def _look(self) -> None:
        """Let the answer pause when it has become likely that somebody speaks."""
        is_heard_by_both = bool(self._pending) and self._voiced_ms >= FRAME_MS * ONSET_FRAMES
        if is_heard_by_both or self._voiced_ms >= self.rules.hold_ms:
            self._is_held = True

    def _decide_alone(self, at: float) -> list[Outcome]:
        """The server hears nothing, or has not said so yet."""
        assert self._since is not None
        if self._quiet_ms < GONE_MS and at - self._since < UNHEARD_S:
            return []
        self._needs_quiet = self._quiet_ms < GONE_MS
        return self._resume("", at)

    def _decide_by_length(self, at: float) -> list[Outcome]:
        """There are no words, or none in time."""
        if self._pending and self._voiced_ms >= UNWORDED_MS and not self._is_hummed:
            return self._stop()
        for utterance in self._pending:
            utterance.is_late = True
        return self._resume("", at)

    # ---------------------------------------------------------------------------------- the server

    @property
    def _pending(self) -> list[_Utterance]:
        """What a verdict is owed on."""
        return [one for one in self._utterances.values() if not (one.is_turn or one.is_late)]

    def speech_started(self, item_id: str, *, is_answering: bool, at: float) -> list[Outcome]:
        """The server hears the user speak."""
        is_over_answer = is_answering and self.rules.mode == "local"
        self._utterances[item_id] = _Utterance(not is_over_answer, is_plain=not is_answering)
        if not is_over_answer:
            self._since = None
        elif self._since is None:
            self._suspect(at)
        else:
            self._look()
        return []

    def speech_stopped(self, item_id: str, *, at: float) -> list[Outcome]:
        """The server hears that the user is through."""
        utterance = self._utterance(item_id)
        if utterance is None:
            return []
        utterance.stopped_at = at
        if utterance.is_turn:
            return [TurnEnded(at)]
        return [] if self._has_words else self._unworded(item_id, at)

    def committed(self, item_id: str) -> list[Outcome]:
        """What the user said is in the conversation."""
        utterance = self._utterance(item_id)
        if utterance is None:
            return []
        utterance.is_committed = True
        return self._settled()

    def words(
        self, item_id: str, text: str, *, is_final: bool, is_answering: bool, at: float
    ) -> list[Outcome]:
        """The server understood so much so far."""
        meaning = self._words.meaning(text, is_final=is_final)
        utterance = self._utterances.get(item_id)
        if utterance is None or utterance.is_turn:
            return [Unask()] if item_id == self._asked_about and meaning == "nothing" else []
        if meaning == "interruption" and self._is_hummed and len(text.split()) <= HUMMED_WORDS:
            meaning = "backchannel" if is_final else "unclear"
        utterance.is_late = utterance.is_late and meaning == "unclear"
        match meaning:
            case "unclear":
                return []
            case "interruption":
                return self._stop()
            case "backchannel" if not is_answering:
                # The answer was over before: whoever says "yes" then replies to it.
                return self._stop()
            case "backchannel":
                del self._utterances[item_id]
                return self._passed(text, at)
        del self._utterances[item_id]
        return [Forget(item_id), *self._passed("", at)]

    def no_words(self, item_id: str, at: float) -> list[Outcome]:
        """The server could not write down what the user said."""
        utterance = self._utterances.get(item_id)
        return [] if utterance is None or utterance.is_turn else self._unworded(item_id, at)

    def interrupted(self) -> None:
        """The answer was stopped: nothing is to be softened any more."""
        self._since = None
        self._is_held = False

    def _utterance(self, item_id: str) -> _Utterance | None:
        """By its id; not every server tells it when speech begins."""
        if item_id not in self._utterances and "" in self._utterances:
            self._utterances[item_id] = self._utterances.pop("")
        return self._utterances.get(item_id)

    def _unworded(self, item_id: str, at: float) -> list[Outcome]:
        if self._voiced_ms >= UNWORDED_MS and not self._is_hummed:
            return self._stop()
        del self._utterances[item_id]
        return self._passed("", at)

    def _stop(self) -> list[Outcome]:
        """Everything the user is saying is a turn."""
        outcomes: list[Outcome] = [Stop()]
        for utterance in self._pending:
            utterance.is_turn = True
            if utterance.stopped_at is not None:
                outcomes.append(TurnEnded(utterance.stopped_at))
        self.interrupted()
        return [*outcomes, *self._settled()]

    def _settled(self) -> list[Outcome]:
        """Ask for an answer to the turns that are complete; they are nobody's business any more."""
        complete = [
            item_id for item_id, one in self._utterances.items() if one.is_committed and one.is_turn
        ]
        for item_id in complete:
            self._asked_about = item_id if self._utterances.pop(item_id).is_plain else ""
        return [Ask()] if complete else []

    def _passed(self, text: str, at: float) -> list[Outcome]:
        """An utterance was nothing; the answer comes back unless another one is going on."""
        self._voiced_ms = self._hummed_ms = 0
        if self._pending or (self._quiet_ms < FRAME_MS * ONSET_WINDOW and not text):
            return []
        return self._resume(text, at)

    def _resume(self, text: str, at: float) -> list[Outcome]:
        if self._since is None:
            return []
        softened_ms = round((at - self._since) * 1000)
        self.interrupted()
        return [Resumed(text, softened_ms)]


# -------------------------------------------------------------------------------------- the words

_LISTENING: Final = (
    "mm, mhm, mmhm, mmhmm, hm, hmm, uh, huh, uhhuh, um, ah, aha, oh, ooh, wow, yeah, yea, yep, "
    "yup, yes, ya, ok, okay, kay, right, alright, all right, sure, cool, nice, great, good, fine, "
    "true, exactly, indeed, absolutely, definitely, really, interesting, i see, got it, gotcha, "
    "i know, of course, makes sense, sounds good, that's right, that's true, very good, go on, "
    "thank you, thanks"
)
"What a listener says and does not want the floor with. English."

_NOISE: Final = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|<[^>]*>")
"What a transcript says of a noise, in whatever brackets."

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_LONG: Final = re.compile(r"(.)\1{2,}")
_EXCLAMATION: Final = re.compile(r"(?=.*h)[pb]?[aeiouh]{3,}")
"""A recogniser's spellings of "uh-huh" and of laughter: "ehha", "ahah", "pahha". No word that wants
something is made of nothing but vowels and h."""

_MOST_WORDS: Final = 6
"Whoever says more than this wants to say something."


class Backchannels:
    """Tells a listener's "yeah" from words that want the floor.

    Args:
        more: phrases beside the usual ones.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        phrases = [*_LISTENING.split(","), *more]
        self._phrases = {words for one in phrases if (words := _words(one))}
        self._longest = max(map(len, self._phrases))

    def meaning(self, text: str, *, is_final: bool) -> WordsMean:
        """What a transcript, or the beginning of one, means for the answer."""
        words = _words(_NOISE.sub(" ", text))
        if not words:
            return "nothing" if is_final else "unclear"
        rest = self._rest(words)
        if len(words) > _MOST_WORDS:
            return "interruption"
        if not rest:
            return "backchannel" if is_final else "unclear"
        if not is_final and self._may_become_one(rest):
            return "unclear"
        return "interruption"

    def _rest(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """What is left behind all phrases at the beginning."""
        while words:
            sizes = range(min(self._longest, len(words)), 0, -1)
            size = next((size for size in sizes if words[:size] in self._phrases), 0)
            size = size or (_EXCLAMATION.fullmatch(words[0]) is not None)
            if not size:
                break
            words = words[size:]
        return words

    def _may_become_one(self, words: tuple[str, ...]) -> bool:
        """Whether the words begin a phrase; the last of them may be half a word."""
        *before, last = words
        return any(
            phrase[: len(before)] == tuple(before)
            and len(phrase) > len(before)
            and phrase[len(before)].startswith(last)
            for phrase in self._phrases
        )


def _words(text: str) -> tuple[str, ...]:
    """In lower case, joined at hyphens, letters said for long no longer than twice."""
    plain = text.lower().replace("-", "").replace("’", "'")
    return tuple(_LONG.sub(r"\1\1", word) for word in _WORD.findall(plain))
