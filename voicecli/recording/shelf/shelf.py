"""The recordings of a folder with their facts, those that cannot be read with what is wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, TypeAlias

from voicecli.errors import RecordingError
from voicecli.recording.files import Recording
from voicecli.recording.format import EVENTS_FILE
from voicecli.recording.shelf.library import recordings_in
from voicecli.recording.shelf.overview import Overview, overview_of

State: TypeAlias = Literal["complete", "failed", "sudden", "running", "broken"]
"""How a recording ended: in good order; by an error; without a word, as when the program was
killed; not yet; or it cannot be read."""

STILL_WRITTEN_S: Final = 5.0
"A recording without an end whose file grew so short a time ago is being made."


@dataclass(frozen=True, kw_only=True)
class Shelved:
    """One recording as it lies in its folder."""

    path: Path
    made_at: float
    "When the talk began, in Unix seconds; of one that cannot be read, when it was last written."
    size_bytes: int
    "Of its files; links count as nothing."
    state: State
    overview: Overview | None
    "None of one that cannot be read."
    problem: str = ""
    "Why it cannot be read."

    @property
    def name(self) -> str:
        return self.path.name


def shelved_in(directory: Path, now: float) -> list[Shelved]:
    """All recordings directly in a folder, the newest last; none if there is no such folder.

    Args:
        directory: the folder.
        now: Unix seconds, to know which are being made.

    Raises:
        RecordingError: the folder cannot be read.
    """
    found = [shelved(path, now) for path in recordings_in(directory)]
    return sorted(found, key=lambda one: (one.made_at, one.name))


def shelved(path: Path, now: float) -> Shelved:
    """One recording; what is wrong with it becomes its `problem`.

    Args:
        path: its folder.
        now: Unix seconds.
    """
    size_bytes, written_at = _measured(path)
    try:
        with Recording.open(path) as recording:
            overview = overview_of(recording)
    except RecordingError as exc:
        return Shelved(
            path=path,
            made_at=written_at,
            size_bytes=size_bytes,
            state="broken",
            overview=None,
            problem=exc.message,
        )
    is_running = not overview.is_complete and abs(now - written_at) < STILL_WRITTEN_S
    return Shelved(
        path=path,
        made_at=_unix_time(overview.created, written_at),
        size_bytes=size_bytes,
        state="running" if is_running else _state_of(overview),
        overview=overview,
    )


def _state_of(overview: Overview) -> State:
    if not overview.is_complete:
        return "sudden"
    return "failed" if overview.error else "complete"


def _measured(folder: Path) -> tuple[int, float]:
    """Bytes of all files directly in a folder, and when its events were last written."""
    size_bytes, written_at = 0, 0.0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    size_bytes += status.st_size
                    if entry.name == EVENTS_FILE:
                        written_at = status.st_mtime
    except OSError:
        pass
    return size_bytes, written_at


def _unix_time(created: str, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (ValueError, OverflowError, OSError):
        return otherwise
