"""A recording in a few numbers, without reading all of it.

The header, the first lines and the last one are enough where the talk ended in good order; where
it ended suddenly the marks are looked for. Time and cost do not grow with the length of a talk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

from voicecli.recording.format import Entry, Header

_SESSION_WITHIN_LINES: Final = 64
"So early the session is confirmed, if it ever is."


class MarkLike(Protocol):
    """What is needed of a mark."""

    @property
    def kind(self) -> str: ...

    @property
    def values(self) -> dict[str, Any]: ...


class Source(Protocol):
    """What is needed of a recording that can be read."""

    header: Header

    @property
    def last_entry(self) -> Entry | None: ...

    @property
    def marks(self) -> Sequence[MarkLike]: ...

    def entries(self, position: int | None = None) -> Iterator[Entry]: ...


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What a table says of a recording."""

    created: str
    "As the header has it: UTC, RFC 3339."
    server: str
    model: str
    "As the server calls it; as it was asked for where the server never said."
    seconds: float
    turns: int
    interruptions: int
    reason: str
    "Why the talk ended; empty when nothing says so: it ended suddenly, or it goes on."
    error: str
    "The error by which the talk ended."
    audio: str
    "Whose audio was kept."
    source: str
    "The recording whose user speaks here, if there is one."

    @property
    def is_complete(self) -> bool:
        """Whether the talk came to its end while it was recorded."""
        return bool(self.reason)


def overview_of(recording: Source) -> Overview:
    """The facts of one recording.

    Raises:
        RecordingError: it cannot be read.
    """
    header, last = recording.header, recording.last_entry
    end = last.value(0) if last is not None and last.code == "end" else None
    told: dict[str, Any] = end if isinstance(end, dict) else {}
    turns, interruptions = told.get("turns"), told.get("interruptions")
    if not (isinstance(turns, int) and isinstance(interruptions, int)):
        turns, interruptions = _counted(recording.marks)
    is_over = last is not None and last.code == "end"
    return Overview(
        created=header.created,
        server=header.server,
        model=_model_of(recording) or header.model,
        seconds=0.0 if last is None else last.at,
        turns=turns,
        interruptions=interruptions,
        reason=str(told.get("reason") or ("ended" if is_over else "")),
        error=str(told.get("error") or ""),
        audio=header.audio,
        source=header.source,
    )


def _model_of(recording: Source) -> str:
    """The model that the server named when it confirmed the session."""
    for entry in islice(recording.entries(), _SESSION_WITHIN_LINES):
        report = entry.value(0) if entry.code == "tell" else None
        if isinstance(report, dict) and report.get("type") == "session":
            return str(report.get("model") or "")
    return ""


def _counted(marks: Sequence[MarkLike]) -> tuple[int, int]:
    """Turns and interruptions, counted mark by mark."""
    kinds = [mark.kind for mark in marks]
    return kinds.count("turn"), kinds.count("barge_in")
