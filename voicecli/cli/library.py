"""Where recordings are kept, and how a command line names them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

if TYPE_CHECKING:
    from voicecli.recording.export.talk import Talk
    from voicecli.recording.files import Recording
    from voicecli.recording.format import Entry


def library() -> Path:
    """Where recordings are kept: named by the configuration, or the usual place.

    Raises:
        VoicecliError: the configuration is wrong.
    """
    from voicecli import config
    from voicecli.recording.files import default_directory

    named = config.load({}).config.recording.path
    return Path(named).expanduser() if named else default_directory()


def local_date(when: float | str, *, seconds: bool = False) -> str:
    """A time as people here write it: in local time; what is no time is given back.

    Args:
        when: Unix seconds, or RFC 3339 as headers have it.
        seconds: whether they are told.
    """
    from datetime import UTC, datetime

    try:
        if isinstance(when, str):
            at = datetime.fromisoformat(when)
        else:
            at = datetime.fromtimestamp(when, UTC)
        return at.astimezone().strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return str(when)


def complete_recording(incomplete: str) -> list[str]:
    """The names that may be meant, for the shell; none where a path is being typed.

    What cannot be typed as a name is left out, and an error says nothing: the shell asks while the
    user types.
    """
    from voicecli.errors import VoicecliError
    from voicecli.recording.shelf.library import LAST, recordings_in

    try:
        names = [path.name for path in recordings_in(library())]
    except VoicecliError:
        return []
    known = [name for name in [*reversed(names), LAST] if name.isprintable()]
    return [name for name in known if name.startswith(incomplete)]


FOLDER_HELP: Final = "A folder of recordings instead of your own."
NAMED_HELP: Final = "A name, the beginning of one, `last`, or a path."

RecordingName: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="RECORDING", autocompletion=complete_recording, help=NAMED_HELP),
]
"The argument of a command that takes one recording."

RecordingNames: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="RECORDING...", autocompletion=complete_recording, help=NAMED_HELP),
]
"The argument of a command that takes several."


def read_talk(wanted: str) -> Talk:
    """What was said in a recording; a bar on stderr while a long one is read.

    Raises:
        RecordingError: there is none of that name, or it cannot be read.
    """
    from voicecli.recording.export.talk import talk_of
    from voicecli.recording.files import Recording
    from voicecli.recording.shelf.library import find

    with Recording.open(find(wanted, library())) as recording:
        if recording.duration_s < LONG_S or not sys.stderr.isatty():
            return talk_of(recording)
        with reading_bar(recording.name, recording.duration_s) as show:
            return talk_of(Watched(recording, show))


LONG_S: Final = 600.0
"A talk that takes a noticeable time to read: about half a second."

_SHOWN_EVERY: Final = 2000


class Watched:
    """A recording that tells how far it has been read."""

    def __init__(self, recording: Recording, show: Callable[[float], None]) -> None:
        self.header = recording.header
        self.warnings = recording.warnings
        self.name = recording.name
        self.entry_at = recording.entry_at
        self.audio_of = recording.audio_of
        self._recording = recording
        self._show = show

    def entries(self, position: int | None = None) -> Iterator[Entry]:
        for number, entry in enumerate(self._recording.entries(position)):
            if number % _SHOWN_EVERY == 0:
                self._show(entry.at)
            yield entry


@contextmanager
def reading_bar(name: str, total_s: float) -> Iterator[Callable[[float], None]]:
    """A bar on stderr; the block gets what takes the time that has been reached."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    from voicecli.ui.clean import clean

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(f"reading {clean(name, one_line=True)}"), total=total_s)
        yield lambda at: progress.update(task, completed=at)
