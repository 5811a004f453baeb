"""What happened in a talk, as far as a script may have expectations about it.

Theory. A `Witness` sees each step of a session, or of a recording that is gone through. It keeps
what was said, heard, called and cut off, each with the time at which it was first seen; an answer
counts from the time at which its response was created. When it is known at which times the user
acted, all of it falls into exchanges: one for each act, up to the next.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from voicecli import inputs
from voicecli.actions import Action, Finish, Send, Tell
from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.demo.clauses import Whose
from voicecli.demo.exchanges import acts_of, spoken_at_all, spoken_in
from voicecli.demo.steps import Script
from voicecli.protocol import events
from voicecli.protocol.objects import Session
from voicecli.reports import (
    AssistantReport,
    BargeInReport,
    ErrorReport,
    Report,
    ToolReport,
    TurnReport,
    UserReport,
)

_EARLY_S: Final = 0.03
"What comes so shortly before an act is said to begin comes of it: a timer is that exact, a frame."


@dataclass(frozen=True)
class Acted:
    """A step that was carried out, and when; times are on the session's clock."""

    step: int
    "Its place in the script's steps, from 0."
    began_at: float
    "When the voice began, or the key was pressed; of other steps when their turn came."
    ended_at: float
    "When the voice ended; of a wait when it was over."
    problem: str = ""
    "What went wrong with the step itself: `the answer was not heard within 30 s`."


# ------------------------------------------------------------------------------ what was witnessed


@dataclass
class Said:
    """An item of the user's."""

    at: float
    text: str = ""
    is_turn: bool = False
    "The server took it for a turn, or it was typed."
    is_final: bool = False


@dataclass
class Answer:
    """A message of the assistant's."""

    at: float
    response_id: str = ""
    text: str = ""
    heard_text: str = ""
    is_heard: bool = False
    "It sounded, or was written and nothing else."
    is_final: bool = False
    runs: list[inputs.PartEmitted] = field(default_factory=list)

    def heard_ms(self, content_index: int) -> float:
        """How much of a part has left the speaker."""
        ends = [
            run.first_sample + run.samples
            for run in self.runs
            if run.content_index == content_index
        ]
        return max(ends, default=0) * 1000 / WIRE_RATE_HZ

    @property
    def silent_at(self) -> float | None:
        """When its last sound was over; None: it had none."""
        return max((run.sounds_at + run.samples / WIRE_RATE_HZ for run in self.runs), default=None)


@dataclass
class Called:
    """A function call."""

    at: float
    name: str
    arguments: str
    "JSON text as the model wrote it, valid or not."


@dataclass(frozen=True)
class Cut:
    """An answer was cut off."""

    at: float
    after_ms: int | None
    "Its last sound was so long after the act began; None: there was no sound, or no act."


@dataclass(frozen=True)
class Kept:
    """What the server was told to keep of a cut answer, and what was heard of it."""

    at: float
    told_ms: int
    heard_ms: float


@dataclass(frozen=True)
class Exchange:
    """What came of an act, or of the whole talk."""

    was_begun: bool
    "False: the talk did not come to that."
    reference: str | None
    "What the user says, by the script; None: it is not known."
    said: tuple[Said, ...] = ()
    answers: tuple[Answer, ...] = ()
    calls: tuple[Called, ...] = ()
    cuts: tuple[Cut, ...] = ()
    kept: tuple[Kept, ...] = ()
    latencies_ms: tuple[int, ...] = ()
    errors: tuple[str, ...] = ()
    session: Session | None = None
    "As the server confirmed it last by the end of this."

    def words(self, whose: Whose) -> str:
        """All that was said, one after the other."""
        match whose:
            case "user":
                texts = [one.text for one in self.said]
            case "assistant":
                texts = [one.text for one in self.answers]
            case "heard":
                texts = [one.heard_text for one in self.answers]
        return " ".join(text.strip() for text in texts if text.strip())


@dataclass(frozen=True)
class Facts:
    """All of it, exchange by exchange."""

    whole: Exchange
    by_act: Mapping[int | None, Exchange]
    "By the place of the act in the script; None: before the first."
    acts: Sequence[int | None]
    "Of each step of the script: the act of its exchange."
    acted: Sequence[Acted]
    is_over: bool
    ended_by: str
    "Why the talk ended; empty: it has not."
    is_real_time: bool

    def exchange(self, step: int | None) -> Exchange:
        """The exchange that a step stands in; None: the whole talk."""
        if step is None:
            return self.whole
        return self.by_act.get(self.acts[step]) or Exchange(was_begun=False, reference=None)

    def is_settled(self, step: int) -> bool:
        """Whether nothing more can come that belongs to the exchange of this step."""
        if self.is_over:
            return True
        begun = [self.acts[one.step] for one in self.acted]
        act = self.acts[step]
        if not begun or begun[-1] == act or (act is not None and act not in begun):
            return False
        exchange = self.exchange(step)
        answers_are = all(one.is_final for one in exchange.answers)
        return answers_are and all(one.is_final for one in exchange.said if one.is_turn)


# -------------------------------------------------------------------------------------- the witness


class Witness:
    """Keeps, as an observer of the session (or of a fold), what expectations may ask for."""

    def __init__(self) -> None:
        self._said: dict[str, Said] = {}
        self._answers: dict[str, Answer] = {}
        self._responses: dict[str, float] = {}
        "When each was created."
        self._calls: dict[str, Called] = {}
        self._cuts: list[tuple[float, str]] = []
        self._truncations: list[tuple[float, events.ConversationItemTruncate]] = []
        self._latencies: list[tuple[float, TurnReport]] = []
        self._errors: list[tuple[float, str]] = []
        self._sessions: list[tuple[float, Session]] = []
        self._ended_by = ""
        self._is_over = False

    # ------------------------------------------------------------------ as observer of the session

    def stepped(self, an_input: inputs.Input, at: float, actions: Sequence[Action]) -> None:
        """A step of the session."""
        match an_input:
            case inputs.MicFrame():
                pass
            case inputs.Received(event):
                self._received(event, at)
            case inputs.PartStarted(item_id):
                self._answer(item_id, at).is_heard = True
            case inputs.PartEmitted(item_id):
                self._answer(item_id, at).runs.append(an_input)
        is_typed = isinstance(an_input, inputs.TextTyped)
        for action in actions:
            match action:
                case Tell(report):
                    self._told(report, at, is_typed=is_typed)
                case Send(events.ConversationItemTruncate() as truncate):
                    self._truncations.append((at, truncate))

    def frames_lost(self, count: int, at: float) -> None:
        """Nothing: no expectation is about it."""

    def ended(self, at: float, finish: Finish, dropped_frames: int, underflows: int) -> None:
        """The talk is over."""
        self._is_over = True
        self._ended_by = finish.reason if finish.error is None else finish.error.message

    def _received(self, event: object, at: float) -> None:
        match event:
            case events.SessionUpdated(session=session):
                self._sessions.append((at, session))
            case events.InputAudioBufferSpeechStarted(item_id=item_id) if item_id:
                self._said.setdefault(item_id, Said(at))
            case events.InputAudioBufferCommitted(item_id=item_id):
                self._said.setdefault(item_id, Said(at)).is_turn = True
            case events.ResponseCreated(response=response):
                self._responses.setdefault(response.id, at)
            case events.ResponseOutputItemAdded(item=item, response_id=response_id):
                if item.type == "message":
                    self._answer(item.id, at, response_id)
            case events.ResponseOutputAudioDelta(item_id=item_id, response_id=response_id):
                self._answer(item_id, at, response_id)

    def _told(self, report: Report, at: float, *, is_typed: bool) -> None:
        match report:
            case UserReport(item_id=item_id, text=text, final=final):
                said = self._said.setdefault(item_id, Said(at))
                said.text, said.is_final = text, final
                said.is_turn |= is_typed
            case AssistantReport():
                self._answered(report, at)
            case BargeInReport(item_id=item_id):
                self._cuts.append((at, item_id))
            case TurnReport():
                self._latencies.append((at, report))
            case ToolReport(output=None):
                call = Called(at, report.name, report.arguments)
                self._calls.setdefault(report.call_id, call)
            case ErrorReport(message=message):
                self._errors.append((at, message))

    def _answered(self, report: AssistantReport, at: float) -> None:
        answer = self._answer(report.item_id, at)
        answer.text, answer.heard_text = report.text, report.heard_text
        answer.is_final = report.final
        if report.final and report.received_ms == 0 and not report.interrupted:
            answer.is_heard = True

    def _answer(self, item_id: str, at: float, response_id: str = "") -> Answer:
        answer = self._answers.get(item_id)
        if answer is None:
            began_at = self._responses.get(response_id, at)
            answer = self._answers[item_id] = Answer(began_at, response_id)
        return answer

    # -------------------------------------------------------------------------- what comes of it

    def facts(self, script: Script, acted: Sequence[Acted], *, is_real_time: bool = True) -> Facts:
        """What is known so far.

        Args:
            script: tells what was said in each exchange.
            acted: every step that was carried out so far, in order.
            is_real_time: False: latencies are not those of the machine, and are not judged.
        """
        acts = acts_of(script.steps)
        begun = [one for one in acted if acts[one.step] == one.step]
        edges = [-math.inf, *(one.began_at - _EARLY_S for one in begun), math.inf]
        spans = dict(zip([None, *(one.step for one in begun)], pairwise(edges), strict=True))
        by_act = {
            act: self._exchange(*span, begun, spoken_in(script.steps, act))
            for act, span in spans.items()
        }
        return Facts(
            whole=self._exchange(-math.inf, math.inf, begun, spoken_at_all(script.steps)),
            by_act=by_act,
            acts=acts,
            acted=tuple(acted),
            is_over=self._is_over,
            ended_by=self._ended_by,
            is_real_time=is_real_time,
        )

    def _exchange(
        self, since: float, until: float, begun: Sequence[Acted], reference: str | None
    ) -> Exchange:
        def is_in(at: float) -> bool:
            return since <= at < until

        sessions = [one for at, one in self._sessions if at < until]
        return Exchange(
            was_begun=True,
            reference=reference,
            said=tuple(one for one in self._said.values() if is_in(one.at)),
            answers=tuple(one for one in self._answers.values() if is_in(one.at)),
            calls=tuple(one for one in self._calls.values() if is_in(one.at)),
            cuts=tuple(self._cut(at, item, begun) for at, item in self._cuts if is_in(at)),
            kept=tuple(self._kept(at, told) for at, told in self._truncations if is_in(at)),
            latencies_ms=tuple(self._latencies_ms(is_in)),
            errors=tuple(message for at, message in self._errors if is_in(at)),
            session=sessions[-1] if sessions else None,
        )

    def _cut(self, at: float, item_id: str, begun: Sequence[Acted]) -> Cut:
        place = bisect_right([one.began_at - _EARLY_S for one in begun], at)
        answer = self._answers.get(item_id)
        silent_at = None if answer is None else answer.silent_at
        if silent_at is None or not place:
            return Cut(at, None)
        return Cut(at, round((silent_at - begun[place - 1].began_at) * 1000))

    def _kept(self, at: float, told: events.ConversationItemTruncate) -> Kept:
        answer = self._answers.get(told.item_id)
        heard_ms = 0.0 if answer is None else answer.heard_ms(told.content_index)
        return Kept(at, told.audio_end_ms, heard_ms)

    def _latencies_ms(self, is_in: Callable[[float], bool]) -> Iterator[int]:
        for at, report in self._latencies:
            answer = self._answers.get(report.item_id)
            ms = report.first_sound_ms
            if ms is not None and is_in(at if answer is None else answer.at):
                yield ms
