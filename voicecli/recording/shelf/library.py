"""The recordings in a folder: found by name, by the start of a name, by a path, or the last one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from voicecli.errors import RecordingError
from voicecli.recording.format import EVENTS_FILE, OWN_FILES

LAST: Final = "last"
"Instead of a name: the newest recording."


def is_recording(path: Path) -> bool:
    """Whether this looks like a recording: the file of events, or a folder with one."""
    try:
        return path.name == EVENTS_FILE or (path / EVENTS_FILE).is_file()
    except PermissionError:
        # One that is somebody else's must not hide the others; opening it tells what is wrong.
        return True


def is_part_of_recording(path: Path) -> bool:
    """Whether this, or what a link here leads to, is one of the files that a recording has."""
    place = path.resolve()
    return place.name in OWN_FILES and is_recording(place.parent)


def recordings_in(directory: Path) -> list[Path]:
    """The folders of all recordings directly in `directory`, by name; none if it is not there."""
    try:
        folders = [
            path
            for path in directory.iterdir()
            # A recording is no folder of recordings.
            if path.name != EVENTS_FILE and is_recording(path)
        ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise RecordingError(f"cannot read {str(directory)!r}: {exc.strerror or exc}") from exc
    return sorted(folders, key=lambda path: path.name)


def find(wanted: str, directory: Path) -> Path:
    """The one recording that is meant.

    Args:
        wanted: a path, a name in `directory`, the beginning of one, or `last`.
        directory: where recordings are kept.

    Raises:
        RecordingError: there is none, or more than one.
    """
    path = Path(wanted).expanduser()
    is_name = path.name == wanted
    if is_name and wanted and is_recording(directory / wanted):
        return directory / wanted
    if path.exists():
        return path
    known = recordings_in(directory)
    if wanted == LAST:
        if not known:
            raise RecordingError(
                f"there are no recordings in {str(directory)!r}", "make one: voicecli talk --record"
            )
        return max(known, key=_made_at)
    begun = [one for one in known if one.name.startswith(wanted)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        names = ", ".join(one.name for one in begun[:5])
        raise RecordingError(f"{wanted!r} could be {names}", "name one of them")
    raise RecordingError(f"there is no recording {wanted!r}", _nearest(wanted, known))


def find_all(wanted: Iterable[str], directory: Path) -> list[Path]:
    """All that are meant: as `find`, and a folder of recordings stands for all of them.

    Raises:
        RecordingError: one of them is not there, or a folder has none.
    """
    found: list[Path] = []
    for one in wanted:
        path = find(one, directory)
        if path.is_dir() and not is_recording(path):
            inside = recordings_in(path)
            if not inside:
                raise RecordingError(f"there are no recordings in {str(path)!r}")
            found += inside
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _made_at(path: Path) -> float:
    try:
        return (path / EVENTS_FILE).stat().st_mtime
    except OSError:
        return 0.0


def _nearest(wanted: str, known: list[Path]) -> str:
    near = difflib.get_close_matches(wanted, [one.name for one in known], n=1)
    return f"did you mean {near[0]!r}?" if near else "`voicecli recordings list` shows yours"
