"""A script being played: its steps as cues of a director, and what came of each.

A `Performance` observes a session, as a recorder does, and has the user of the script say and do
what stands there. Nothing here waits or reads a clock; what is to be heard is given, and whoever
opens the session gives the hands: how to put an input into it, and the microphone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from voicecli import inputs
from voicecli.actions import Action, Finish
from voicecli.audio.pcm import SAMPLE_BYTES, WIRE_RATE_HZ, unpacked
from voicecli.audio.playback import Heard
from voicecli.conversation import Conversation
from voicecli.cues import Act, Anchor, Aside, Cue, Do
from voicecli.cues import Say as Speak
from voicecli.demo.exchanges import is_held_after
from voicecli.demo.expect import Verdict, judge
from voicecli.demo.moments import (
    AtOnce,
    Confirmed,
    Moment,
    When,
    moment_of_interrupt,
    moment_of_wait,
)
from voicecli.demo.steps import (
    PATIENCE_S,
    Expect,
    Interrupt,
    Mute,
    Noise,
    Note,
    Press,
    Release,
    Say,
    Script,
    Set,
    Speech,
    Step,
    Type,
    Verb,
    Wait,
)
from voicecli.demo.witness import Acted, Witness
from voicecli.director import Director, Mouth, Played
from voicecli.inputs import Input
from voicecli.protocol.objects import JsonDict

AUDIBLE: Final = 66
"Of 32768: -54 dBFS. What is softer is no voice."
CONFIRMED_WITHIN_S: Final = 10.0
_SPARE_S: Final = 5.0


@dataclass(frozen=True)
class Sound:
    """Something to be heard: PCM16 mono at 24 kHz."""

    pcm: bytes = field(repr=False)
    lead_s: float = 0.0
    "The voice begins so long after the sound begins, …"
    voice_s: float = 0.0
    "… and ends so long after it."


def sound_of(pcm: bytes) -> Sound:
    """A sound, and where in it the voice is."""
    samples = unpacked(pcm)
    audible = [place for place, one in enumerate(samples) if abs(one) > AUDIBLE]
    if not audible:
        return Sound(pcm, 0.0, len(samples) / WIRE_RATE_HZ)
    return Sound(pcm, audible[0] / WIRE_RATE_HZ, (audible[-1] + 1) / WIRE_RATE_HZ)


class Sounds(Protocol):
    """What a script has to be heard, made beforehand."""

    def speech(self, speech: Speech) -> Sound:
        """What the user says."""

    def noise(self, noise: Noise) -> bytes:
        """PCM16 mono at 24 kHz, as loud as it is to be; empty for `off`."""


class Microphone(Mouth, Protocol):
    """What a performance needs of the microphone: `ScriptedMicrophone` has it."""

    def make_noise(self, noise: bytes, gain: float = 1.0, *, once: bool = False) -> None: ...


@dataclass(frozen=True)
class Hands:
    """How a performance reaches the session."""

    conversation: Conversation
    "Only read."
    microphone: Microphone
    heard: Callable[[], Sequence[Heard]]
    "The speaker's account of this moment."
    deliver_in: Callable[[float, Input], None]
    "Puts an input into the session so many seconds from now, never at once."
    opened_at: float
    "The session's beginning on the microphone's clock."
    changes: Callable[[Mapping[str, object]], JsonDict]
    "Settings by key of the configuration as what changes of the wire's `session` object."
    on_spoken: Callable[[bytes], None] = lambda pcm: None
    "Given what is said, shortly before it is."


class Performance:
    """Plays one script in one session.

    Args:
        script: its steps make sense one after the other.
        sounds: all that is to be heard.
        hands: of the session.
        on_progress: called after each step that was begun.
    """

    def __init__(
        self,
        script: Script,
        sounds: Sounds,
        hands: Hands,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.script = script
        self.witness = Witness()
        self._sounds = sounds
        self._hands = hands
        self._at = 0.0
        self._settled: dict[int, Acted] = {}
        "Steps that are no acts of the user's."
        self._places: dict[int, tuple[int, Moment | None]] = {}
        "The step of a cue by the cue's identity, and its moment."
        self._cues = list(self._compiled())
        self._director = Director(
            self._cues,
            conversation=hands.conversation,
            microphone=hands.microphone,
            heard=hands.heard,
            deliver_in=hands.deliver_in,
            opened_at=hands.opened_at,
            patience_s=_patience_s(script),
            on_progress=on_progress,
        )

    # ------------------------------------------------------------------- as observer of the session

    def stepped(self, an_input: Input, at: float, actions: Sequence[Action]) -> None:
        self._at = at
        self.witness.stepped(an_input, at, actions)
        self._director.stepped(an_input, at, actions)

    def frames_lost(self, count: int, at: float) -> None:
        self.witness.frames_lost(count, at)
        self._director.frames_lost(count, at)

    def ended(self, at: float, finish: Finish, dropped_frames: int, underflows: int) -> None:
        self.witness.ended(at, finish, dropped_frames, underflows)
        self._director.ended(at, finish, dropped_frames, underflows)

    # -------------------------------------------------------------------------- what comes of it

    @property
    def is_through(self) -> bool:
        """Whether every step was played, and the last answer waited for."""
        return self._director.is_through

    @property
    def failure(self) -> str:
        """Why it could not be played; empty: nothing stood in the way."""
        return self._director.failure

    @property
    def acted(self) -> list[Acted]:
        """Every step that was carried out so far, in order."""
        done = dict(self._settled)
        for played in self._director.played:
            step, moment = self._places[id(played.cue)]
            problem = "" if moment is None else moment.problem
            done[step] = Acted(step, played.began_at, played.ended_at, problem)
        return [done[step] for step in sorted(done)]

    @property
    def played(self) -> Mapping[int, Played]:
        """The user's acts that were carried out so far, by step."""
        return {self._places[id(one.cue)][0]: one for one in self._director.played}

    def verdicts(self, *, is_real_time: bool = True) -> list[Verdict]:
        """What came of the script's expectations, and of steps that came to nothing."""
        facts = self.witness.facts(self.script, self.acted, is_real_time=is_real_time)
        return judge(self.script, facts)

    # ---------------------------------------------------------------------------- steps into cues

    def _compiled(self) -> Iterator[Cue]:
        is_held = False
        for place, step in enumerate(self.script.steps):
            for anchor, act in self._cue_of(place, step.verb, is_held=is_held):
                moment = anchor if isinstance(anchor, Moment) else None
                cue = Cue(anchor, act, expects_answer=_expects_answer(self.script.steps, place))
                self._places[id(cue)] = (place, moment)
                yield cue
            is_held = is_held_after(step.verb, was_held=is_held)

    def _cue_of(self, place: int, verb: Verb, *, is_held: bool) -> Iterator[tuple[Anchor, Act]]:
        match verb:
            case Say() | Type() | Press() | Release():
                act = self._act(verb)
                yield AtOnce(act.lead_s if isinstance(act, Speak) else 0.0), act
            case Interrupt(act, _):
                yield moment_of_interrupt(verb), self._act(act)
            case Wait():
                moment = moment_of_wait(verb)
                yield moment, Aside(lambda: self._passed(place, moment))
            case Set(values):
                yield from self._set(place, values)
            case Mute(is_muted):
                yield AtOnce(), Aside(lambda: self._aside(place, verb))
                is_done = When(lambda scene: scene.conversation.is_muted == is_muted)
                yield is_done, Aside(lambda: None)
            case Noise() | Note() | Expect():
                yield AtOnce(), Aside(lambda: self._aside(place, verb))

    def _act(self, verb: Say | Type | Press | Release) -> Speak | Do:
        match verb:
            case Say(speech):
                return self._speak(speech, is_pushed=False)
            case Press("space", speech) if speech is not None:
                return self._speak(speech, is_pushed=True)
            case Press("space"):
                return Do(inputs.TalkPressed())
            case Press("esc"):
                return Do(inputs.InterruptPressed())
            case Release():
                return Do(inputs.TalkReleased())
            case Type(text):
                return Do(inputs.TextTyped(text))
        raise AssertionError(verb)

    def _speak(self, speech: Speech, *, is_pushed: bool) -> Speak:
        sound = self._sounds.speech(speech)

        def pcm() -> bytes:
            self._hands.on_spoken(sound.pcm)
            return sound.pcm

        return Speak(pcm, sound.lead_s, sound.voice_s, is_pushed)

    def _set(self, place: int, values: Mapping[str, object]) -> Iterator[tuple[Anchor, Act]]:
        confirmed = Confirmed(self._hands.conversation)
        moment = Moment(confirmed, CONFIRMED_WITHIN_S, "the server did not confirm it")

        def ask() -> None:
            confirmed.asked()
            changes = self._hands.changes(values)
            self._hands.deliver_in(0.0, inputs.SettingsChanged(changes))

        yield When(lambda scene: scene.conversation.session is not None), Aside(ask)
        yield moment, Aside(lambda: self._passed(place, moment))

    def _aside(self, place: int, verb: Mute | Noise | Note | Expect) -> None:
        match verb:
            case Mute(is_muted):
                if self._hands.conversation.is_muted != is_muted:
                    self._hands.deliver_in(0.0, inputs.MuteToggled())
            case Noise():
                self._hands.microphone.make_noise(self._sounds.noise(verb), once=verb.once)
            case Note(text):
                self._hands.deliver_in(0.0, inputs.Noticed(text, "note"))
        self._settled[place] = Acted(place, self._at, self._at)

    def _passed(self, place: int, moment: Moment) -> None:
        began_at = self._at if moment.began_at is None else moment.began_at
        self._settled[place] = Acted(place, began_at, self._at, moment.problem)


def _expects_answer(steps: Sequence[Step], place: int) -> bool:
    """Whether an answer is to be waited for, when the script ends with this step."""
    for step in reversed(steps[: place + 1]):
        match step.verb:
            case Press("esc") | Interrupt(Press("esc")):
                return False
            case Say() | Type() | Press() | Release() | Interrupt():
                return True
            case Mute(True):
                return False
    return False


def _patience_s(script: Script) -> float:
    """Longer than any step of the script waits by itself."""
    times = [
        step.verb.timeout_s for step in script.steps if isinstance(step.verb, Wait | Interrupt)
    ]
    return max([PATIENCE_S, *times]) + _SPARE_S


def duration_of(pcm: bytes) -> float:
    """In seconds."""
    return len(pcm) / (SAMPLE_BYTES * WIRE_RATE_HZ)
