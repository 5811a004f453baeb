"""What came of playing scripts: verdicts, latencies, and their sums."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from voicecli.actions import Action, Finish, Tell
from voicecli.conversation import Conversation
from voicecli.demo.expect import Verdict
from voicecli.errors import VoicecliError
from voicecli.inputs import Input
from voicecli.reports import TurnReport
from voicecli.transcript import Speaker, Transcript

STAGES: Final = (
    ("speech_stopped_ms", "turn ended"),
    ("response_created_ms", "answer begun"),
    ("first_delta_ms", "first audio"),
    ("first_sound_ms", "heard"),
)
"The moments of a turn's latency, and how they are called."


@dataclass
class Line:
    """Something that was said."""

    by: Speaker
    text: str
    "Of an answer what was heard."
    is_cut: bool = False


@dataclass
class Log:
    """Keeps, as an observer of the session, what is told of a talk when it is over."""

    conversation: Conversation | None = None
    "Of the session; only read."
    turns: list[TurnReport] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    "What the user had said, for each of the turns."
    said: list[Line] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0.0
    dropped_frames: int = 0
    underflows: int = 0

    def stepped(self, an_input: Input, at: float, actions: Sequence[Action]) -> None:
        self.seconds = at
        for action in actions:
            if isinstance(action, Tell) and isinstance(action.report, TurnReport):
                self.turns.append(action.report)

    def frames_lost(self, count: int, at: float) -> None:
        """Nothing: the end tells how many."""

    def ended(self, at: float, finish: Finish, dropped_frames: int, underflows: int) -> None:
        self.reason, self.seconds = finish.reason, at
        self.dropped_frames, self.underflows = dropped_frames, underflows
        if self.conversation is not None:
            self._take_down(self.conversation.transcript)

    def _take_down(self, transcript: Transcript) -> None:
        asked = ""
        by_item: dict[str, str] = {}
        for row in transcript:
            if row.speaker == "user":
                asked = row.text.strip()
            by_item[row.item_id] = asked
            text = transcript.heard_text(row) if row.speaker == "assistant" else row.text
            if text.strip():
                self.said.append(Line(row.speaker, text.strip(), row.interrupted))
        self.asked = [by_item.get(turn.item_id, "") for turn in self.turns]


@dataclass(frozen=True)
class Part:
    """A script in its session."""

    source: str
    title: str
    verdicts: tuple[Verdict, ...]
    log: Log
    failure: str = ""
    "Why it could not be played to its end; empty: it was."
    recording: str = ""
    "Where it was recorded; empty: it was not."
    error: VoicecliError | None = None
    "The failure, where it was an error."


@dataclass(frozen=True)
class Outcome:
    """A script and those that follow it, played once."""

    name: str
    parts: tuple[Part, ...]
    was_stopped: bool = False
    "By whoever sits here."
    is_real_time: bool = True
    run: int = 1
    "Which time it was played."

    @property
    def verdicts(self) -> list[Verdict]:
        return [one for part in self.parts for one in part.verdicts]

    @property
    def failed(self) -> list[Verdict]:
        return [one for one in self.verdicts if not one.passed]

    @property
    def failures(self) -> list[str]:
        """Why it counts as failed, sentence by sentence; empty: it does not."""
        found = [f"{one.place}: {one.wanted}: {one.came}" for one in self.failed]
        return [*found, *(f"{one.source}: {one.failure}" for one in self.parts if one.failure)]

    @property
    def has_passed(self) -> bool:
        return not self.failures and not self.was_stopped

    @property
    def turns(self) -> list[TurnReport]:
        return [turn for part in self.parts for turn in part.log.turns]

    @property
    def latencies_ms(self) -> list[int]:
        """From the end of the user's voice to the first sound, by turn."""
        return [one.first_sound_ms for one in self.turns if one.first_sound_ms is not None]

    @property
    def seconds(self) -> float:
        return sum(part.log.seconds for part in self.parts)

    def to_plain(self) -> dict[str, Any]:
        """As one object of `--json`."""
        judged = [one for one in self.verdicts if not one.is_skipped]
        return {
            "type": "demo",
            "name": self.name,
            "run": self.run,
            "passed": self.has_passed,
            "stopped": self.was_stopped,
            "expected": len(judged),
            "met": sum(one.passed for one in judged),
            "failures": self.failures,
            "said": [
                {"by": line.by, "text": line.text, "cut": line.is_cut}
                for part in self.parts
                for line in part.log.said
            ],
            "latencies_ms": self.latencies_ms if self.is_real_time else None,
            "seconds": round(self.seconds, 3),
            "recordings": [part.recording for part in self.parts if part.recording],
        }


def verdict_to_plain(verdict: Verdict, name: str, run: int) -> dict[str, Any]:
    """A verdict as one object of `--json`."""
    return {
        "type": "verdict",
        "name": name,
        "run": run,
        "file": verdict.place.source,
        "line": verdict.place.line,
        "expected": verdict.wanted,
        "came": verdict.came,
        "passed": verdict.passed,
        "skipped": verdict.is_skipped,
    }


def total_of(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """All of them together, as the last object of `--json`.

    Args:
        outcomes: of every run of every script.
        seconds: how long all of it took.
    """
    is_real = all(one.is_real_time for one in outcomes)
    latencies = [ms for one in outcomes for ms in one.latencies_ms]
    return {
        "type": "total",
        "runs": len(outcomes),
        "passed": sum(one.has_passed for one in outcomes),
        "expected": sum(len(one.verdicts) for one in outcomes),
        "failed": sum(len(one.failed) for one in outcomes),
        "latency_ms": percentiles(latencies) if is_real else None,
        "seconds": round(seconds, 3),
    }


def percentiles(numbers: Sequence[int]) -> Mapping[str, int] | None:
    """The median, the 90th percentile, the least and the most; None of nothing."""
    if not numbers:
        return None
    return {
        "least": min(numbers),
        "median": round(median(numbers)),
        "p90": percentile(numbers, 90),
        "most": max(numbers),
    }


def percentile(numbers: Sequence[int], share: float) -> int:
    """The least of the numbers that so many percent of them do not exceed."""
    ordered = sorted(numbers)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]
