"""Changes recordings on disk: gives them other names and deletes them.

Nothing but a recording is touched: links are not followed, and a folder that holds other files is
left alone unless that is asked for.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import NoReturn

from voicecli.errors import RecordingError
from voicecli.recording.files import cannot
from voicecli.recording.format import EVENTS_FILE, OWN_FILES
from voicecli.recording.shelf.library import LAST, find, is_recording, recordings_in


def exactly(wanted: str, directory: Path) -> Path:
    """The folder of the one recording that has this very name: what is changed is not guessed.

    Args:
        wanted: a name in `directory`, `last`, or a path.
        directory: where recordings are kept.

    Raises:
        RecordingError: there is none, or what is there is no recording.
    """
    if wanted == LAST:
        return find(wanted, directory)
    is_name = os.path.basename(wanted) == wanted and wanted not in ("", ".", "..")
    if is_name and is_recording(directory / wanted):
        return directory / wanted
    path = Path(os.path.abspath(Path(wanted).expanduser()))
    if not os.path.lexists(path):
        raise RecordingError(f"there is no recording {wanted!r}", _longer(wanted, directory))
    if path.name == EVENTS_FILE and path.is_file():
        path = path.parent
    if not is_recording(path):
        raise RecordingError(
            f"{wanted!r} is no recording", "a recording is a folder with events.jsonl in it"
        )
    return path


def _longer(wanted: str, directory: Path) -> str:
    begun = [one.name for one in recordings_in(directory) if one.name.startswith(wanted)]
    if begun:
        return f"the whole name is wanted here: {', '.join(map(repr, begun[:5]))}"
    return "`voicecli recordings list` shows yours"


def rename(path: Path, name: str) -> Path:
    """Give a recording another name in the folder it is in.

    Args:
        path: its folder.
        name: a valid one, see `names.check_name`.

    Returns:
        Its folder as it is called now.

    Raises:
        RecordingError: there is something of that name, or the system refuses.
    """
    target = path.with_name(name)
    # On some disks a name differs from another one in more than its capitals, or not at all.
    if os.path.lexists(target) and not _are_same(path, target):
        raise RecordingError(f"{name!r} is there already", "choose another name")
    try:
        path.rename(target)
    except OSError as exc:
        raise cannot("rename", path, exc) from exc
    return target


def _are_same(path: Path, target: Path) -> bool:
    try:
        return path.name != target.name and os.path.samestat(path.lstat(), target.lstat())
    except OSError:
        return False


def foreign_in(path: Path) -> list[str]:
    """Names of what is in a recording's folder and is not the recording's.

    Raises:
        RecordingError: the folder is a link, or cannot be read.
    """
    _refuse_link(path)
    try:
        with os.scandir(path) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name not in OWN_FILES or entry.is_dir(follow_symlinks=False)
            )
    except OSError as exc:
        raise cannot("read", path, exc) from exc


def refuse_foreign(path: Path, foreign: list[str]) -> NoReturn:
    """Say that a folder holds more than a recording.

    Raises:
        RecordingError: always.
    """
    raise RecordingError(
        f"{str(path)!r} holds other files as well: {_some(foreign)}",
        "move them away, or delete them too: voicecli recordings delete --force",
    )


def delete(path: Path, *, with_foreign: bool = False) -> None:
    """Delete a recording: its files, and the folder.

    Links in the folder are removed, and what they point to stays.

    Args:
        path: its folder.
        with_foreign: delete everything else in the folder, too.

    Raises:
        RecordingError: the folder is a link or holds other files, or the system refuses.
    """
    foreign = foreign_in(path)
    if foreign and not with_foreign:
        refuse_foreign(path, foreign)
    try:
        if foreign:
            shutil.rmtree(path)
            return
        # The events go last: what is left of a deletion that was cut short is still a recording.
        for name in sorted(OWN_FILES, key=lambda name: name == EVENTS_FILE):
            (path / name).unlink(missing_ok=True)
        path.rmdir()
    except OSError as exc:
        raise cannot("delete", path, exc) from exc


def _refuse_link(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError as exc:
        raise cannot("read", path, exc) from exc
    if stat.S_ISLNK(mode) or _is_junction(path):
        raise RecordingError(
            f"{str(path)!r} is a link, and links are not followed here", "name what it points to"
        )


def _is_junction(path: Path) -> bool:
    """Whether it is what Windows has besides links."""
    return bool(getattr(os.path, "isjunction", lambda _: False)(path))


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:3]))
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
