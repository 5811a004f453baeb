"""What a scripted user does, and the moment in the conversation at which he does it.

Theory. A script on the wall clock misfires as soon as an answer takes longer. So each act has an
*anchor*: a moment that follows from what is being heard, not from the time. A `Scene` follows the
steps of a session and knows how far things are: whether the answer to the act before has been
heard, how much of it, since when it is over. An anchor asks it when its moment is (or was).

Any object with `due_at` is an anchor: scripts may bring their own.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeAlias

from voicecli import inputs
from voicecli.actions import Action, Play, Tell
from voicecli.audio.pcm import WIRE_RATE_HZ, samples_in
from voicecli.audio.playback import Heard
from voicecli.conversation import OWED_S, Conversation, Phase
from voicecli.inputs import Input
from voicecli.protocol.events import (
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
)
from voicecli.reports import AssistantReport, Report, ToolReport, UserReport
from voicecli.transcript import Row, Transcript

EAGER_S: Final = 0.3
"An answer that is heard so long before the user's voice ends is an answer to it all the same."

SETTLED_S: Final = OWED_S + 1.0
"After so long without anything going on, no answer is on its way."

_Part: TypeAlias = tuple[str, int]


# ---------------------------------------------------------------------------------------- the acts


@dataclass(frozen=True)
class Say:
    """Speak."""

    pcm: Callable[[], bytes] = field(repr=False)
    "Gives the sound, PCM16 at 24 kHz, when it is needed."
    lead_s: float = 0.0
    "The voice begins so long after the beginning of the sound."
    voice_s: float = 0.0
    "The voice ends so long after the beginning of the sound; something of the room may follow."
    is_pushed: bool = False
    "Push to talk is held from the beginning of the voice to its end."


@dataclass(frozen=True)
class Do:
    """Press a key, or send a written message."""

    an_input: Input


@dataclass(frozen=True)
class Aside:
    """Something that is not the user's: for the conversation it is as if nothing had happened."""

    call: Callable[[], None] = field(repr=False)
    "Called in a step of the session, so it puts nothing into it at once."


@dataclass(frozen=True)
class Leave:
    """Say nothing more: the talk ends when nothing is owed any more."""


Act: TypeAlias = Say | Do | Aside | Leave


class Anchor(Protocol):
    """A moment in the conversation."""

    def due_at(self, scene: Scene) -> float | None:
        """When it is, or was, on the session's clock; None while it cannot be told."""


@dataclass(frozen=True)
class Cue:
    """An act at its moment."""

    anchor: Anchor
    act: Act
    expects_answer: bool = True
    "Whether an answer is missed when none comes."


# --------------------------------------------------------------------------------------- the scene


class HeardSoFar:
    """Counts what has been heard of all answers, by the accounts of the speaker."""

    def __init__(self) -> None:
        self._over_samples = 0
        self._received: dict[_Part, int] = {}
        self._emitted: dict[_Part, int] = {}
        self.is_sounding = False
        "Whether, when the speaker was last asked, something was to be heard and more of it came."

    @property
    def seconds(self) -> float:
        return (self._over_samples + sum(self._emitted.values())) / WIRE_RATE_HZ

    def emitted(self, item_id: str) -> dict[int, int]:
        """Samples heard of the parts of an item that are not over, by content index."""
        return {key[1]: count for key, count in self._emitted.items() if key[0] == item_id}

    def stepped(self, an_input: Input, actions: Sequence[Action]) -> None:
        match an_input:
            case inputs.PartPlayed(item_id, content_index):
                key = (item_id, content_index)
                self._over_samples += self._received.pop(key, 0)
                self._emitted.pop(key, None)
            case inputs.PlaybackStopped(heard):
                self.look(heard)
                self._over_samples += sum(self._emitted.values())
                self._received.clear()
                self._emitted.clear()
                self.is_sounding = False
        for action in actions:
            if isinstance(action, Play):
                key = (action.item_id, action.content_index)
                self._received[key] = self._received.get(key, 0) + samples_in(action.pcm)

    def look(self, heard: Sequence[Heard]) -> None:
        """Take the speaker's account of this moment: `Speaker.heard`."""
        self.is_sounding = False
        for one in heard:
            key = (one.item_id, one.content_index)
            if key in self._received:
                self._emitted[key] = one.emitted_samples
                self.is_sounding |= 0 < one.emitted_samples < one.received_samples


class Scene:
    """How far the conversation is, as far as its user can tell.

    Args:
        conversation: only read.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        "Only read."
        self._heard = HeardSoFar()
        self._answer_items: dict[str, bool] = {}
        "All items that were to be heard, and whether they came after the last act."
        self._rows_before: frozenset[str] = frozenset()
        self._heard_before_s = 0.0
        self._began_at = 0.0
        self._sounded_at: float | None = None
        self._first_sounded_at: float | None = None
        self._response_ended_at: float | None = None
        self._life_at = 0.0
        self.at = 0.0
        "Now."
        self.ready_at: float | None = None
        "Since when the session takes what the user says."
        self.turn_ended_at = 0.0
        "When the user was last done: with speaking, pressing or typing."
        self.over_at: float | None = None
        "Since when the answer to that has been heard to its end, or has failed."
        self.phases: list[Phase] = []
        "All that there were, in order; some are over within a frame."
        self.tools_run: list[str] = []
        "Functions that were called since the last act and have run, in order."

    # ------------------------------------------------------------------------- what anchors ask for

    @property
    def was_answered(self) -> bool:
        """Whether something of an answer to the last act was heard (or read) by now."""
        return self._sounded_at is not None

    @property
    def sounded_at(self) -> float | None:
        """When the answer to the last act began to be heard."""
        return self._first_sounded_at

    @property
    def heard_s(self) -> float:
        """How much was heard since the user was last done."""
        return self._heard.seconds - self._heard_before_s

    @property
    def is_sounding(self) -> bool:
        return self._heard.is_sounding

    @property
    def answer_rows(self) -> list[Row]:
        """What is heard, or to be heard, in answer to the last act."""
        found = map(self.conversation.transcript.get, self._answer_items)
        return [row for row in found if row is not None and self._answer_items[row.item_id]]

    @property
    def user_rows(self) -> list[Row]:
        """What the user was understood to say since the last act began."""
        rows = self.conversation.transcript
        return [
            row for row in rows if row.speaker == "user" and row.item_id not in self._rows_before
        ]

    def heard_text(self, row: Row) -> str:
        """What has been heard of an answer by now: an estimate."""
        heard = replace(row, heard_ms=self.heard_ms(row.item_id))
        return self.conversation.transcript.heard_text(heard)

    def heard_ms(self, item_id: str) -> int:
        """How much of an item has been heard by now."""
        row = self.conversation.transcript.get(item_id)
        emitted = self._heard.emitted(item_id)
        return max(0 if row is None else row.heard_ms, self.conversation.heard_ms(item_id, emitted))

    @property
    def is_under_way(self) -> bool:
        """Whether an answer is being made or heard."""
        return self.conversation.phase in ("thinking", "speaking")

    @property
    def idle_s(self) -> float:
        """How long there has been no sign of an answer."""
        return self.at - max(self.turn_ended_at, self._life_at)

    # ------------------------------------------------------------------------------- what moves it

    def stepped(self, an_input: Input, at: float, actions: Sequence[Action]) -> None:
        """Follow a step of the session."""
        self.at = at
        if self.ready_at is None and self.conversation.phase != "connecting":
            self.ready_at = self.turn_ended_at = at
        if not self.phases or self.phases[-1] != self.conversation.phase:
            self.phases.append(self.conversation.phase)
        self._heard.stepped(an_input, actions)
        match an_input:
            case inputs.PartStarted(_, _, sounds_at):
                self._answer_sounded(sounds_at)
            case inputs.PartEmitted() | inputs.PartPlayed() | inputs.ToolFinished():
                self._life_at = at
            case inputs.Received(ResponseCreated() | ResponseOutputAudioDelta()):
                self._life_at = at
            case inputs.Received(ResponseOutputTextDelta()):
                self._life_at = at
            case inputs.Received(ResponseDone()):
                self._life_at = self._response_ended_at = at
        for action in actions:
            if isinstance(action, Tell):
                self._told(action.report)
            elif isinstance(action, Play):
                self._answer_items.setdefault(action.item_id, True)

    def look(self, heard: Sequence[Heard]) -> None:
        """Take the speaker's account of this moment, and see whether the answer is over."""
        self._heard.look(heard)
        is_quiet = self.conversation.phase == "listening"
        if not is_quiet:
            self.over_at = None
        elif self.over_at is None and self._is_settled:
            self.over_at = self.at

    @property
    def _is_settled(self) -> bool:
        sounded_at, ended_at = self._sounded_at, self._response_ended_at
        if sounded_at is not None and sounded_at >= self.turn_ended_at - EAGER_S:
            return True
        has_come = sounded_at is not None or (
            ended_at is not None and ended_at >= self.turn_ended_at
        )
        return has_come and self.idle_s >= SETTLED_S

    def act_began(self) -> None:
        """The user begins to speak, or does something: what is heard from now on may answer it."""
        self._began_at = self.at
        self._sounded_at = self._first_sounded_at = self.over_at = None
        self._answer_items = dict.fromkeys(self._answer_items, False)
        self._rows_before = frozenset(row.item_id for row in self.conversation.transcript)
        self.tools_run.clear()

    def act_ended(self, at: float) -> None:
        """The user was done at `at`; what is heard from then on is counted anew."""
        self.turn_ended_at = at
        self._heard_before_s = self._heard.seconds

    def _told(self, report: Report) -> None:
        match report:
            case AssistantReport(final=True, interrupted=False, received_ms=0):
                # Only written: it was read at once.
                self._answer_sounded(self.at)
            case ToolReport(name=name, output=str()):
                self.tools_run.append(name)
            case UserReport(final=True, text=""):
                # Nothing was understood, so there will be no answer.
                self._response_ended_at = self.at

    def _answer_sounded(self, at: float) -> None:
        self._life_at = self.at
        if at >= self._began_at:
            self._sounded_at = at
            if self._first_sounded_at is None:
                self._first_sounded_at = at


# ------------------------------------------------------------------------------------- the anchors


@dataclass(frozen=True)
class AfterStart:
    """So long after the session was ready."""

    seconds: float

    def due_at(self, scene: Scene) -> float | None:
        return None if scene.ready_at is None else scene.ready_at + self.seconds


@dataclass(frozen=True)
class AfterTurn:
    """So long after the user's act before was over, whatever came of it."""

    seconds: float

    def due_at(self, scene: Scene) -> float | None:
        return None if scene.ready_at is None else scene.turn_ended_at + self.seconds


@dataclass(frozen=True)
class AfterAnswer:
    """When the answer to the act before has been heard, and a pause later."""

    pause_s: float = 0.0
    patience_s: float | None = None
    "Without an answer: so long after the act before, as long as none is on its way."

    def due_at(self, scene: Scene) -> float | None:
        if scene.ready_at is None:
            return None
        if scene.over_at is not None:
            return scene.over_at + self.pause_s
        if self.patience_s is None or scene.was_answered or scene.is_under_way:
            return None
        return scene.turn_ended_at + self.patience_s


@dataclass(frozen=True)
class IntoAnswer:
    """When so much of the answer to the act before has been heard; when it is over, at the latest.

    Silence between the parts of an answer does not count as heard.
    """

    heard_s: float

    def due_at(self, scene: Scene) -> float | None:
        if scene.over_at is not None:
            return scene.over_at
        missing_s = self.heard_s - scene.heard_s
        if not scene.is_sounding and missing_s > 0:
            return None
        # Nothing heard of it yet: nothing to count from.
        return scene.at + missing_s if scene.heard_s > 0 else None


@dataclass(frozen=True)
class AtWord:
    """When a word of the answer to the act before has been heard; when it is over, at the latest.

    Words are not aligned with the sound on the wire: the transcript's estimate counts.
    """

    words: str
    "One or some in a row; capitals and punctuation make no difference."
    occurrence: int = 1

    def due_at(self, scene: Scene) -> float | None:
        if scene.over_at is not None:
            return scene.over_at
        before = 0
        for row in scene.answer_rows:
            ends = ends_of(self.words, row.text)
            wanted = self.occurrence - before
            before += len(ends)
            if wanted > len(ends):
                continue
            end = ends[wanted - 1]
            needed_ms = self._needed_ms(scene.conversation.transcript, row, end)
            missing_ms = None if needed_ms is None else needed_ms - scene.heard_ms(row.item_id)
            if missing_ms is None or not (scene.is_sounding or missing_ms <= 0):
                return None
            return scene.at + missing_ms / 1000
        return None

    def _needed_ms(self, transcript: Transcript, row: Row, end: int) -> int | None:
        """How much of the row is to be heard until its text is heard up to `end`."""

        def is_heard(heard_ms: int) -> bool:
            return transcript.heard_chars(replace(row, heard_ms=heard_ms, is_settled=False)) >= end

        place = bisect_left(range(row.received_ms + 1), True, key=is_heard)
        return place if place <= row.received_ms else None


def ends_of(words: str, text: str) -> list[int]:
    """Where some words in a row end in a text, each time that they are in it."""
    wanted = re.findall(r"\w+(?:['’]\w+)*", words)
    spaced = r"\W+".join(map(re.escape, wanted))
    return [one.end() for one in re.finditer(rf"(?<!\w){spaced}(?!\w)", text, re.IGNORECASE)]
