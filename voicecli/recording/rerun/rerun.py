"""What came of it when the user of a recording talked to somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from voicecli import inputs
from voicecli.actions import Action, Finish, Tell
from voicecli.director import Played
from voicecli.recording.rerun.turns import NOTICED_EARLY_S, NOTICED_LATE_S, Heard, Turn, User
from voicecli.reports import BargeInReport, ErrorReport, TurnReport


@dataclass
class Tally:
    """Counts, as an observer of the session, what the comparison needs."""

    heard: Heard = field(default_factory=Heard)
    cut_times: list[float] = field(default_factory=list)
    latencies_ms: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    reason: str = ""
    "Why the talk ended; empty if it did not come so far."

    def stepped(self, an_input: inputs.Input, at: float, actions: Sequence[Action]) -> None:
        if isinstance(an_input, inputs.PartEmitted):
            self.heard.add(an_input)
        for action in actions:
            match action:
                case Tell(BargeInReport()):
                    self.cut_times.append(at)
                case Tell(TurnReport(first_sound_ms=int(first_sound_ms))):
                    self.latencies_ms.append(first_sound_ms)
                case Tell(ErrorReport(message=message)):
                    self.errors.append(message)

    def frames_lost(self, count: int, at: float) -> None:
        """Nothing: the recording keeps it."""

    def ended(self, at: float, finish: Finish, dropped_frames: int, underflows: int) -> None:
        self.seconds, self.reason = at, finish.reason


@dataclass(frozen=True)
class Interruption:
    """One that was in the recording."""

    was_reproduced: bool
    "The new answer was cut off, too."
    off_ms: int | None
    "How much more of the new answer was heard when the voice began; None: it never came so far."


@dataclass(frozen=True)
class Rerun:
    """A recording and what came of it."""

    name: str
    source: str
    result: str
    user: User
    played: Sequence[Played]
    tally: Tally
    is_through: bool
    "Every turn was played, and the last answer waited for."
    failure: str = ""
    "Why it could not begin or go on."
    was_stopped: bool = False
    "By whoever sits here."
    unmet: tuple[str, ...] = ()
    "What was expected of it and did not come, a sentence each."

    @property
    def expected(self) -> int:
        """Turns that were answered in the recording."""
        return sum(turn.was_answered for turn in self.user.turns)

    @property
    def answered(self) -> int:
        """Of those, how many were answered now."""
        return self.expected - len(self.unanswered)

    @property
    def unanswered(self) -> list[int]:
        """The turns, from 1, that were answered in the recording and were not now."""
        got = [played.was_answered for played in self.played]
        return [
            number
            for number, turn in enumerate(self.user.turns, start=1)
            if turn.was_answered and not (number <= len(got) and got[number - 1])
        ]

    @property
    def interruptions(self) -> list[Interruption]:
        """Those of the recording, in order."""
        cuts = list(self.tally.cut_times)
        found = []
        for place, turn in enumerate(self.user.turns):
            if turn.cut_heard_s is None:
                continue
            played = self.played[place] if place < len(self.played) else None
            found.append(self._interruption(turn, played, cuts))
        return found

    def _interruption(self, turn: Turn, played: Played | None, cuts: list[float]) -> Interruption:
        if played is None or turn.cut_heard_s is None:
            return Interruption(was_reproduced=False, off_ms=None)
        earliest = played.began_at - NOTICED_EARLY_S
        latest = max(played.ended_at, played.began_at + NOTICED_LATE_S)
        cut_at = next((at for at in cuts if earliest <= at <= latest), None)
        if cut_at is not None:
            cuts.remove(cut_at)
        heard_s = self.tally.heard.seconds(played.after_s, played.began_at)
        return Interruption(cut_at is not None, round((heard_s - turn.cut_heard_s) * 1000))

    @property
    def failures(self) -> list[str]:
        """Why it counts as failed; empty: it does not."""
        if self.failure:
            return [self.failure]
        if self.was_stopped:
            return ["stopped"]
        if not self.is_through:
            return [f"the talk ended before all was said: {self.tally.reason or 'no reason given'}"]
        return [*(f"turn {number} was not answered" for number in self.unanswered), *self.unmet]

    def to_plain(self) -> dict[str, Any]:
        """As one object of `--json`."""
        interruptions = self.interruptions
        return {
            "type": "rerun",
            "name": self.name,
            "source": self.source,
            "result": self.result or None,
            "turns": len(self.user.turns),
            "played": len(self.played),
            "expected": self.expected,
            "answered": self.answered,
            "interruptions": len(interruptions),
            "reproduced": sum(one.was_reproduced for one in interruptions),
            "off_ms": [one.off_ms for one in interruptions],
            "recorded_latency_ms": median_of(self.user.latencies_ms),
            "latency_ms": median_of(self.tally.latencies_ms),
            "seconds": round(self.tally.seconds, 3),
            "errors": self.tally.errors,
            "failures": self.failures,
        }


def total_of(runs: Sequence[Rerun], seconds: float) -> dict[str, Any]:
    """All of them together, as the last object of `--json`."""
    interruptions = [one for run in runs for one in run.interruptions]
    off_ms = offsets_of(interruptions)
    return {
        "type": "total",
        "recordings": len(runs),
        "failed": sum(bool(run.failures) for run in runs),
        "turns": sum(len(run.user.turns) for run in runs),
        "expected": sum(run.expected for run in runs),
        "answered": sum(run.answered for run in runs),
        "interruptions": len(interruptions),
        "reproduced": sum(one.was_reproduced for one in interruptions),
        "median_off_ms": median_of(off_ms),
        "worst_off_ms": max(off_ms, default=None),
        "recorded_latency_ms": median_of([ms for run in runs for ms in run.user.latencies_ms]),
        "latency_ms": median_of([ms for run in runs for ms in run.tally.latencies_ms]),
        "seconds": round(seconds, 3),
    }


def offsets_of(interruptions: Sequence[Interruption]) -> list[int]:
    """How far off those are that were reproduced, in milliseconds heard, whatever the direction."""
    return [
        abs(one.off_ms) for one in interruptions if one.was_reproduced and one.off_ms is not None
    ]


def median_of(numbers: Sequence[int]) -> int | None:
    """Rounded; None of nothing."""
    return round(median(numbers)) if numbers else None
