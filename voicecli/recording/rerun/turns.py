"""The user of a recording, taken out of it: what he said or did, and at which moment.

Theory. The user's voice is where the recording says so (the frames that moved the end of his
speech) or where the server noticed a turn. What he said is one turn as long as no answer was heard
in between: a pause inside of a sentence is a part of it, whatever the server made of it. The moment
of each turn is told by what was heard until then, counted from the end of the turn before.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from voicecli import inputs
from voicecli.actions import Action, CallTool, Tell
from voicecli.audio.pcm import FRAME_BYTES, FRAME_MS, WIRE_RATE_HZ, packed, unpacked
from voicecli.cues import AfterAnswer, AfterStart, AfterTurn, Anchor, Cue, Do, IntoAnswer, Say
from voicecli.errors import RecordingError
from voicecli.protocol.events import InputAudioBufferSpeechStopped
from voicecli.recording.fold import Fold, Source, Step
from voicecli.recording.format import Sound, frame_of
from voicecli.reports import AssistantReport, BargeInReport

LEAD_S: Final = 0.06
"Of the room, faded in before the voice: noise out of nowhere is taken for speech by many servers."
TAIL_S: Final = 0.2
"Of the room, kept after the voice; then the microphone is silent."

LONGEST_PAUSE_S: Final = 3.0
"A user who waited for longer before he went on is not imitated in that."

SAME_BREATH_S: Final = 2.0
"Without an answer heard in between, speech that goes on within this time belongs together."

_WORD_GAP_S: Final = 0.7
"Inside of speech; a longer gap in which an answer was heard parts two turns."
_ONSET_S: Final = 0.08
"The voice is noticed so long after it began."
NOTICED_LATE_S: Final = 1.0
"A server may take so long to notice an interruption …"
NOTICED_EARLY_S: Final = 0.5
"… and may notice it so much earlier than we do."
_EAGER_S: Final = 0.3
_FRAME_S: Final = FRAME_MS / 1000
_RESTART_S: Final = 0.5
"After such a silence the voice is noticed anew, and so later."
_GRACE_FRAMES: Final = 10
"Push to talk: frames taken after the release."

Kind: TypeAlias = Literal["spoken", "pushed", "typed", "key"]


@dataclass(frozen=True)
class Turn:
    """Something the user said or did, in one go."""

    kind: Kind
    anchor: Anchor
    begins_at: float
    "In the recording: when the voice began, or the key was pressed."
    ends_at: float
    sounds: tuple[Sound, ...] = ()
    "In the user's audio, without a gap."
    lead_s: float = 0.0
    "The voice begins so long after the sounds begin, …"
    voice_s: float = 0.0
    "… and ends so long after it."
    an_input: inputs.Input | None = None
    "Of a typed turn or a key."
    cut_heard_s: float | None = None
    "The answer that this turn cut off had been heard for so long; None: it cut off none."
    was_answered: bool = False


@dataclass(frozen=True)
class RecordedCall:
    """A function that the model called, and what it was told."""

    name: str
    arguments: str
    output: str
    failed: bool


@dataclass(frozen=True)
class User:
    """All of the user's part in a recording."""

    turns: tuple[Turn, ...]
    ready_at: float
    "When the session took what he said."
    calls: tuple[RecordedCall, ...]
    latencies_ms: tuple[int, ...]
    "From the end of his voice to the first sound, by turn, as the recording has them."


class Heard:
    """The stretches of time in which an answer was heard; in order."""

    def __init__(self) -> None:
        self._begins: list[float] = []
        self._ends: list[float] = []

    def add(self, run: inputs.PartEmitted) -> None:
        """Take another one; runs come in order."""
        self._begins.append(run.sounds_at)
        self._ends.append(run.sounds_at + run.samples / WIRE_RATE_HZ)

    def seconds(self, since: float, until: float) -> float:
        """How much was heard between two times."""
        total = 0.0
        for place in range(bisect_left(self._ends, since), len(self._ends)):
            if self._begins[place] >= until:
                break
            total += max(0.0, min(until, self._ends[place]) - max(since, self._begins[place]))
        return total

    def is_sounding(self, at: float) -> bool:
        place = bisect_left(self._ends, at)
        return place < len(self._ends) and self._begins[place] <= at

    def last_end(self, before: float) -> float | None:
        """When something was last heard."""
        place = bisect_left(self._ends, before)
        return self._ends[place - 1] if place else None


@dataclass
class Facts:
    """What a recording says that matters here, step by step."""

    ready_at: float | None = None
    frame_times: array[float] = field(default_factory=lambda: array("d"))
    "Ends of the frames that were sent."
    offsets: array[int] = field(default_factory=lambda: array("q"))
    "Of each frame in the user's audio; -1: it was not kept."
    voiced: bytearray = field(default_factory=bytearray)
    frame_numbers: array[int] = field(default_factory=lambda: array("q"))
    heard: Heard = field(default_factory=Heard)
    answer_times: list[float] = field(default_factory=list)
    "When an answer, or another part of it, began to be heard, or was there to be read."
    cut_times: list[float] = field(default_factory=list)
    done: list[tuple[float, inputs.Input]] = field(default_factory=list)
    "Typed messages and keys."
    noticed: list[tuple[float, float]] = field(default_factory=list)
    "Where the server heard the user speak."
    calls: list[RecordedCall] = field(default_factory=list)
    _open_calls: dict[str, CallTool] = field(default_factory=dict)
    _frames_seen: int = 0

    def step(self, step: Step, *, is_ready: bool) -> None:
        if self.ready_at is None and is_ready:
            self.ready_at = step.at
        match step.an_input:
            case inputs.MicFrame():
                self._frame(step)
            case inputs.PartEmitted():
                self.heard.add(step.an_input)
            case inputs.PartStarted(_, _, sounds_at):
                self.answer_times.append(sounds_at)
            case inputs.TextTyped() | inputs.MuteToggled() | inputs.InterruptPressed():
                self.done.append((step.at, step.an_input))
            case inputs.ToolFinished(call_id, output, failed):
                call = self._open_calls.pop(call_id, None)
                if call is not None:
                    self.calls.append(RecordedCall(call.name, call.arguments, output, failed))
            case inputs.Received(InputAudioBufferSpeechStopped()):
                if self.noticed:
                    self.noticed[-1] = (self.noticed[-1][0], step.at)
        for action in step.actions:
            self._action(action, step.at)

    def turn_noticed(self, began_at: float, at: float) -> None:
        """The server noticed at `at` that the user had begun to speak."""
        self.noticed.append((began_at, at))

    def _action(self, action: Action, at: float) -> None:
        match action:
            case CallTool(call_id):
                self._open_calls[call_id] = action
            case Tell(BargeInReport()):
                self.cut_times.append(at)
            case Tell(AssistantReport(final=True, received_ms=0, interrupted=False)):
                self.answer_times.append(at)

    def _frame(self, step: Step) -> None:
        self._frames_seen += 1
        frame = frame_of(step.entry)
        if frame.was_sent:
            offset = None if frame.sound is None else frame.sound.offset
            self.frame_times.append(step.at)
            self.offsets.append(-1 if offset is None else offset)
            self.voiced.append(frame.voice)
            self.frame_numbers.append(self._frames_seen)


def user_of(source: Source) -> User:
    """The user's part in a recording, from one reading of it.

    Raises:
        RecordingError: a line is damaged beyond use, or the user's audio was not kept.
    """
    fold = Fold(source)
    facts = Facts()
    for entry in source.entries():
        if entry.code == "mark" and entry.value(0) == "turn":
            told = entry.value(1)
            if isinstance(told, dict) and told.get("by") == "voice":
                facts.turn_noticed(float(told.get("began_at", entry.at)), entry.at)
        step = fold.take(entry, audio=False)
        if step is not None:
            facts.step(step, is_ready=fold.conversation.phase != "connecting")
    is_manual = fold.conversation.is_manual
    prefix_s, silence_s = _margins(source.header.settings.get("turn_detection"))
    found = _pushes(facts) if is_manual else _speeches(facts, prefix_s, silence_s)
    return User(
        turns=tuple(_turns(facts, found)),
        ready_at=facts.ready_at or 0.0,
        calls=tuple(facts.calls),
        latencies_ms=tuple(fold.conversation.timing.first_sounds_ms),
    )


def cues_of(
    user: User, read: Callable[[Sound], bytes], *, at_recorded_times: bool = False
) -> list[Cue]:
    """The turns as a script for a director.

    Args:
        user: the user of a recording.
        read: gives a stretch of his audio.
        at_recorded_times: each turn at its time in the recording, whatever is heard by then.
    """
    cues = []
    for turn in user.turns:
        anchor = turn.anchor
        if at_recorded_times:
            anchor = AfterStart(max(0.0, turn.begins_at - user.ready_at))
        cues.append(Cue(anchor, _act(turn, read), expects_answer=turn.was_answered))
    return cues


def _act(turn: Turn, read: Callable[[Sound], bytes]) -> Say | Do:
    if turn.an_input is not None:
        return Do(turn.an_input)
    return Say(
        pcm=lambda: _faded_in(b"".join(map(read, turn.sounds)), turn.lead_s),
        lead_s=turn.lead_s,
        voice_s=turn.voice_s,
        is_pushed=turn.kind == "pushed",
    )


def _faded_in(pcm: bytes, seconds: float) -> bytes:
    samples = unpacked(pcm)
    length = min(round(seconds * WIRE_RATE_HZ), len(samples))
    for position in range(length):
        samples[position] = samples[position] * position // length
    return packed(samples)


def _margins(detection: object) -> tuple[float, float]:
    """What the server takes of the room before and after the voice, in seconds."""
    if not isinstance(detection, dict):
        return 0.3, 0.5
    return (
        float(detection.get("prefix_padding_ms", 300)) / 1000,
        float(detection.get("silence_duration_ms", 500)) / 1000,
    )


# --------------------------------------------------------------------------- where the user speaks


@dataclass
class _Found:
    """Something that the user said or did, before it is known what it follows."""

    begins_at: float
    ends_at: float
    kind: Kind
    an_input: inputs.Input | None = None


def _speeches(facts: Facts, prefix_s: float, silence_s: float) -> list[_Found]:
    """What was said in one go, with pauses in which no answer was heard."""
    speeches: list[_Found] = []
    for begins_at, ends_at in _merged([*_voiced(facts), *_unnoticed(facts, prefix_s, silence_s)]):
        last = speeches[-1] if speeches else None
        if last is not None and not _is_parted(facts, last.ends_at, begins_at):
            last.ends_at = max(last.ends_at, ends_at)
        else:
            speeches.append(_Found(begins_at, ends_at, "spoken"))
    return speeches


def _voiced(facts: Facts) -> Iterator[tuple[float, float]]:
    """Stretches of frames that held the user's voice; the gaps between words are in none."""
    begins_at: float | None = None
    last_at = float("-inf")
    for at, voice in zip(facts.frame_times, facts.voiced, strict=True):
        if not voice:
            continue
        gap_s = at - last_at
        if gap_s > 2.5 * _FRAME_S:
            if begins_at is not None:
                yield begins_at, last_at
            # One that goes on after a short gap is noticed at once.
            begins_at = at - (_ONSET_S if gap_s > _RESTART_S else 2 * _FRAME_S)
        last_at = at
    if begins_at is not None:
        yield begins_at, last_at


def _unnoticed(facts: Facts, prefix_s: float, silence_s: float) -> Iterator[tuple[float, float]]:
    """What the server took for speech and we did not."""
    voices = [at for at, voice in zip(facts.frame_times, facts.voiced, strict=True) if voice]
    for began_at, ended_at in facts.noticed:
        place = bisect_left(voices, began_at)
        if place < len(voices) and voices[place] <= ended_at:
            continue
        begins_at = began_at + prefix_s
        yield begins_at, max(begins_at + _FRAME_S, ended_at - silence_s)


def _merged(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begins_at, ends_at in sorted(stretches):
        if merged and begins_at <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ends_at))
        else:
            merged.append((begins_at, ends_at))
    return merged


def _is_parted(facts: Facts, ended_at: float, begins_at: float) -> bool:
    """Whether what is said after a gap is another turn."""
    if any(ended_at - _EAGER_S < at < begins_at for at in facts.answer_times) and (
        facts.heard.seconds(ended_at, begins_at) > 0 or begins_at - ended_at > _WORD_GAP_S
    ):
        return True
    gap_s = begins_at - ended_at
    if gap_s >= _WORD_GAP_S and facts.heard.seconds(ended_at, begins_at) > 0:
        return True
    return gap_s >= SAME_BREATH_S


def _pushes(facts: Facts) -> list[_Found]:
    """Push to talk: what was sent without a gap is one turn."""
    pushes: list[_Found] = []
    last_number = -1
    for at, number in zip(facts.frame_times, facts.frame_numbers, strict=True):
        if number == last_number + 1:
            pushes[-1].ends_at = at
        else:
            pushes.append(_Found(at - _FRAME_S, at, "pushed"))
        last_number = number
    for push in pushes:
        push.ends_at = max(push.begins_at, push.ends_at - _GRACE_FRAMES * _FRAME_S)
    return pushes


# --------------------------------------------------------------------------- what each turn follows


def _turns(facts: Facts, found: list[_Found]) -> Iterator[Turn]:
    done = [
        _Found(at, at, "typed" if isinstance(what, inputs.TextTyped) else "key", what)
        for at, what in facts.done
    ]
    ordered = sorted([*found, *done], key=lambda one: one.begins_at)
    ready_at = facts.ready_at or 0.0
    ended_at = ready_at
    cuts = list(facts.cut_times)
    for place, one in enumerate(ordered):
        following = ordered[place + 1] if place + 1 < len(ordered) else None
        next_at = float("inf") if following is None else following.begins_at
        cut = _cut_by(one, cuts)
        anchor = _anchor(facts, one, ended_at, is_first=place == 0, cuts=cut)
        cut_heard_s = facts.heard.seconds(ended_at, one.begins_at) if cut else None
        sounds, lead_s = _sounds(facts, one, ended_at, next_at)
        yield Turn(
            kind=one.kind,
            anchor=anchor,
            begins_at=one.begins_at,
            ends_at=one.ends_at,
            sounds=sounds,
            lead_s=lead_s,
            voice_s=lead_s + one.ends_at - one.begins_at,
            an_input=one.an_input,
            cut_heard_s=cut_heard_s,
            was_answered=_was_answered(facts, one, next_at),
        )
        ended_at = max(ended_at, one.ends_at)


def _anchor(facts: Facts, one: _Found, ended_at: float, *, is_first: bool, cuts: bool) -> Anchor:
    at = one.begins_at
    heard_s = facts.heard.seconds(ended_at, at)
    if heard_s > 0 and (cuts or facts.heard.is_sounding(at)):
        return IntoAnswer(round(heard_s, 6))
    gap_s = max(0.0, at - ended_at)
    over_at = facts.heard.last_end(at) if heard_s > 0 else _read_at(facts, ended_at, at)
    if over_at is not None:
        return AfterAnswer(round(min(max(0.0, at - over_at), LONGEST_PAUSE_S), 6))
    if is_first:
        return AfterStart(round(min(gap_s, LONGEST_PAUSE_S), 6))
    if gap_s < SAME_BREATH_S:
        return AfterTurn(round(gap_s, 6))
    return AfterAnswer(pause_s=_WORD_GAP_S, patience_s=round(gap_s, 6))


def _read_at(facts: Facts, since: float, until: float) -> float | None:
    """When an answer that was not spoken was there."""
    times = [at for at in facts.answer_times if since <= at < until]
    return times[-1] if times else None


def _cut_by(one: _Found, cuts: list[float]) -> bool:
    """Whether this cut an answer off; takes the cut out of the list."""
    if one.kind == "spoken":
        earliest = one.begins_at - NOTICED_EARLY_S
        latest = max(one.ends_at, one.begins_at + NOTICED_LATE_S)
    else:
        earliest, latest = one.begins_at - _FRAME_S, one.begins_at + 2 * _FRAME_S
    for cut_at in cuts:
        if earliest <= cut_at <= latest:
            cuts.remove(cut_at)
            return True
    return False


def _was_answered(facts: Facts, one: _Found, next_at: float) -> bool:
    if one.kind == "key":
        return False
    return any(one.ends_at - _EAGER_S <= at < next_at for at in facts.answer_times)


def _sounds(
    facts: Facts, one: _Found, ended_at: float, next_at: float
) -> tuple[tuple[Sound, ...], float]:
    """The sound of a turn with something of the room around it, and how much of that is first.

    Raises:
        RecordingError: it was not kept.
    """
    if one.kind not in ("spoken", "pushed"):
        return (), 0.0
    lead_s, tail_s = (LEAD_S, TAIL_S) if one.kind == "spoken" else (0.0, _GRACE_FRAMES * _FRAME_S)
    earliest = max(ended_at, one.begins_at - lead_s)
    latest = min(next_at, one.ends_at + tail_s)
    first = bisect_left(facts.frame_times, earliest + _FRAME_S / 2)
    last = max(first + 1, bisect_left(facts.frame_times, latest + _FRAME_S / 2))
    offsets = facts.offsets[first:last]
    if not offsets or min(offsets) < 0:
        raise RecordingError(
            "the user's audio was not kept in this recording",
            "record with --record-audio both to play it against another server",
        )
    begins_at = facts.frame_times[first] - _FRAME_S
    return tuple(_joined(offsets)), max(0.0, one.begins_at - begins_at)


def _joined(offsets: Iterable[int]) -> Iterator[Sound]:
    """Frames as few stretches of the file."""
    start, end = -1, -1
    for offset in offsets:
        if offset != end:
            if start >= 0:
                yield Sound(start, end - start)
            start = offset
        end = offset + FRAME_BYTES
    if start >= 0:
        yield Sound(start, end - start)
