"""How a recorded talk ended, and the summary that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from voicecli.conversation import Conversation
from voicecli.recording.format import Entry
from voicecli.reports import Report

SUDDENLY: Final = "ended suddenly"
"The summary's reason where the recording does not tell one."

STOPPED: Final = "stopped"
"The reason where the replay ends before the talk did."


class Ended(Protocol):
    """What is needed of a recording."""

    @property
    def last_entry(self) -> Entry | None: ...


@dataclass(frozen=True)
class Ending:
    """What the last line tells; without one the talk ended suddenly."""

    at: float
    reason: str = SUDDENLY
    error: str = ""
    dropped_frames: int = 0
    underflows: int = 0

    def summary(self, conversation: Conversation) -> Report:
        """The talk in numbers, as it was told at its end."""
        told = conversation.summary(self.at, self.reason, self.dropped_frames, self.underflows)
        return told.report


def ending_of(recording: Ended) -> Ending:
    """How a recording ends."""
    last = recording.last_entry
    if last is None:
        return Ending(0.0)
    return ending_told(last.at, last.value(0) if last.code == "end" else None)


def ending_told(at: float, values: object) -> Ending:
    """How a talk ended, by the values of its `end` line; by anything else: suddenly."""
    if not isinstance(values, dict):
        return Ending(at)
    return Ending(
        at=at,
        reason=str(values.get("reason") or SUDDENLY),
        error=str(values.get("error") or ""),
        dropped_frames=_count(values.get("dropped_frames")),
        underflows=_count(values.get("underflows")),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
