"""The moments of a script as anchors of a director.

Each waits in its turn, keeps how long it did, and gives up after a time: then `problem` tells what
it waited for in vain.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from voicecli.conversation import Conversation
from voicecli.cues import AfterAnswer, Anchor, AtWord, IntoAnswer, Scene, ends_of
from voicecli.demo import steps
from voicecli.transcript import Row

_APART_S: Final = 0.06
_FRAME_S: Final = 0.02
"What is heard is known to a frame; a moment that is missed by less is not missed."


@dataclass
class Moment:
    """An anchor in its turn."""

    anchor: Anchor
    timeout_s: float
    awaited: str
    "What does not come, if it does not: `the answer was not heard`."
    missed: Callable[[Scene], str] = field(default=lambda _: "")
    "What is wrong with the moment when it has come; empty: nothing."
    began_at: float | None = None
    "When its turn came."
    problem: str = ""

    def due_at(self, scene: Scene) -> float | None:
        """When it is; after the timeout: now."""
        if scene.ready_at is None:
            return None
        if self.began_at is None:
            self.began_at = scene.at
        due_at = self.anchor.due_at(scene)
        if due_at is not None:
            if due_at < scene.at + _FRAME_S:
                self.problem = self.missed(scene)
            return due_at
        if scene.at - self.began_at < self.timeout_s:
            return None
        self.problem = f"{self.awaited} within {self.timeout_s:g} s"
        return scene.at


def moment_of_wait(wait: steps.Wait) -> Moment:
    """What a `wait` waits for."""
    match wait.until:
        case steps.UntilAnswered():
            anchor, awaited = AfterAnswer(), "the answer was not heard to its end"
            return Moment(anchor, wait.timeout_s, awaited)
        case steps.UntilState(state):
            return Moment(
                InState(state),
                wait.timeout_s,
                f"the conversation was not {state}",
            )
        case steps.ForSeconds(seconds):
            return Moment(Pause(seconds), float("inf"), "")
        case steps.UntilSaid(regex, by):
            compiled = re.compile(regex, re.IGNORECASE)
            return Moment(
                When(lambda scene: compiled.search(_said(scene, by)) is not None),
                wait.timeout_s,
                f"/{regex}/ was not found in what the {by} said",
            )
        case steps.UntilCalled(tool):
            return Moment(
                When(lambda scene: tool in scene.tools_run),
                wait.timeout_s,
                f"{tool} was not called",
            )


def moment_of_interrupt(interrupt: steps.Interrupt) -> Moment:
    """When to interrupt."""
    match interrupt.moment:
        case steps.AtWord(words, occurrence):
            return Moment(
                AtWord(words, occurrence),
                interrupt.timeout_s,
                f"{words!r} was not heard in an answer",
                lambda scene: _without(scene, words, occurrence),
            )
        case steps.HeardMs(ms):
            return Moment(
                IntoAnswer(ms / 1000),
                interrupt.timeout_s,
                f"{ms:g} ms of an answer were not heard",
                lambda scene: _too_short(scene, ms),
            )
        case steps.AfterMs(ms):
            return Moment(
                AfterBegin(ms / 1000),
                interrupt.timeout_s,
                "no answer was heard",
                lambda scene: "the answer was over by then" if scene.over_at is not None else "",
            )


def _without(scene: Scene, words: str, occurrence: int) -> str:
    if scene.over_at is None:
        return ""
    rows = scene.answer_rows
    count = sum(len(ends_of(words, row.text)) for row in rows)
    if count >= occurrence:
        return ""
    said = " ".join(row.text for row in rows)
    times = f" {occurrence} times" if occurrence > 1 else ""
    return f"the answer was over, and {words!r} was not in it{times}: {said!r}"


def _too_short(scene: Scene, ms: float) -> str:
    heard_ms = scene.heard_s * 1000
    # Scripts that were made of recordings have whole milliseconds.
    if scene.over_at is None or heard_ms >= ms - _FRAME_S * 1000 - 1:
        return ""
    return f"the answer was over after {heard_ms:.0f} ms"


def _said(scene: Scene, by: str) -> str:
    def text(row: Row) -> str:
        return row.text if by == "user" else scene.heard_text(row)

    return " ".join(map(text, scene.user_rows if by == "user" else scene.answer_rows))


# ------------------------------------------------------------------------------------- the anchors


@dataclass(frozen=True)
class AtOnce:
    """As soon as its turn comes, and what comes before the voice has been said."""

    lead_s: float = 0.0

    def due_at(self, scene: Scene) -> float | None:
        return None if scene.ready_at is None else scene.at + self.lead_s


@dataclass(frozen=True)
class When:
    """As soon as something is true."""

    is_true: Callable[[Scene], bool]

    def due_at(self, scene: Scene) -> float | None:
        return scene.at if self.is_true(scene) else None


@dataclass
class InState:
    """As soon as the conversation is in a state, or was since its turn came."""

    state: steps.State
    _from: int | None = None

    def due_at(self, scene: Scene) -> float | None:
        if self._from is None:
            self._from = len(scene.phases) - 1
        return scene.at if self.state in scene.phases[self._from :] else None


@dataclass
class Pause:
    """So long after its turn came."""

    seconds: float
    _until: float | None = None

    def due_at(self, scene: Scene) -> float | None:
        if self._until is None:
            self._until = scene.at + self.seconds
        return self._until


@dataclass(frozen=True)
class AfterBegin:
    """So long after the answer to the act before began to be heard."""

    seconds: float

    def due_at(self, scene: Scene) -> float | None:
        if scene.sounded_at is None:
            return None
        due_at = scene.sounded_at + self.seconds
        return due_at if scene.over_at is None else min(due_at, scene.at)


@dataclass
class Confirmed:
    """When the server has confirmed settings that were changed before.

    A moment later: so the confirmation does not count as something that came of the next act.
    """

    conversation: Conversation
    _before: object = None
    _is_asked: bool = False
    _seen_at: float | None = None

    def asked(self) -> None:
        """They are changed now."""
        self._before, self._is_asked = self.conversation.session, True

    def due_at(self, scene: Scene) -> float | None:
        if self._is_asked and self.conversation.session is not self._before:
            self._seen_at = scene.at if self._seen_at is None else self._seen_at
        return None if self._seen_at is None else self._seen_at + _APART_S
