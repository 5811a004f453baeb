"""`voicecli recordings rename|delete|prune`: names, and what is no longer wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicecli.cli.library import FOLDER_HELP, complete_recording, library, local_date
from voicecli.errors import ConfigError, RecordingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voicecli.recording.shelf.shelf import Shelved

_EXACT_HELP = "A whole name, `last`, or a path."
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def rename_command(
    old: Annotated[
        str,
        typer.Argument(metavar="OLD", autocompletion=complete_recording, help=_EXACT_HELP),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
) -> None:
    """Give a recording another name; it stays in the folder it is in."""
    from voicecli.recording.shelf import upkeep
    from voicecli.recording.shelf.names import check_name

    path = upkeep.exactly(old, library())
    check_name(new)
    upkeep.rename(path, new)
    _say(f"{path.name} is called {new} now")


def delete_command(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RECORDING...", autocompletion=complete_recording, help=_EXACT_HELP),
    ],
    yes: _Yes = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also one being made, and what else is in its folder."),
    ] = False,
) -> None:
    """Delete recordings with their audio.

    It shows which, and asks. If one of them may not be deleted, none is.
    """
    import time

    from voicecli.recording.shelf import upkeep
    from voicecli.recording.shelf.shelf import shelved

    place = library()
    paths = list(dict.fromkeys(upkeep.exactly(name, place) for name in names))
    foreign = [name for path in paths for name in _foreign(path, may_go=force)]
    chosen = [shelved(path, time.time()) for path in paths]
    running = [one.name for one in chosen if one.state == "running"]
    if running and not force:
        raise RecordingError(
            f"{', '.join(map(repr, running))} is being recorded", "end the talk first, or: --force"
        )
    if not yes:
        _list(chosen)
        if foreign:
            _say(f"and what else is there: {', '.join(foreign)}")
    if _is_agreed(chosen, yes=yes):
        for path in paths:
            upkeep.delete(path, with_foreign=force)
        _say_freed(chosen)


def _foreign(path: Path, *, may_go: bool) -> list[str]:
    """Other files in a recording's folder; checks before anything is deleted that all may go."""
    from voicecli.recording.shelf import upkeep

    foreign = upkeep.foreign_in(path)
    if foreign and not may_go:
        upkeep.refuse_foreign(path, foreign)
    return [str(path / name) for name in foreign]


def prune_command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help=FOLDER_HELP, show_default=False)
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Those made longer ago: 12h, 30d, 2w, 1y.")
    ] = None,
    larger_than: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Those larger than this: 50MB, 1GB.")
    ] = None,
    max_total: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Then the oldest, until the rest is no larger."),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Never the newest N; alone: all but these."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: _Yes = False,
) -> None:
    """Delete recordings by age, size and number.

    It shows which, and asks. With both `--older-than` and `--larger-than` those go that are both.

      voicecli recordings prune --older-than 30d --dry-run

      voicecli recordings prune --max-total 5GB --keep 10
    """
    import time

    from voicecli.recording.shelf.prune import Rules, bytes_in, going, seconds_in
    from voicecli.recording.shelf.shelf import shelved_in

    rules = Rules(
        older_than_s=None if older_than is None else seconds_in(older_than),
        larger_than_bytes=None if larger_than is None else bytes_in(larger_than),
        max_total_bytes=None if max_total is None else bytes_in(max_total),
        keep=keep,
    )
    if rules.are_empty:
        raise ConfigError(
            "nothing says what is to go", "--older-than, --larger-than, --max-total or --keep"
        )
    now = time.time()
    place = (folder or library()).expanduser()
    finished = [one for one in shelved_in(place, now) if one.state != "running"]
    chosen = _deletable(going(finished, rules, now))
    if not chosen:
        _say("nothing goes")
        return
    if dry_run or not yes:
        _list(chosen)
    if dry_run:
        _say(f"would free {_sum(chosen)}")
    elif _is_agreed(chosen, yes=yes):
        from voicecli.recording.shelf import upkeep

        for one in chosen:
            upkeep.delete(one.path)
        _say_freed(chosen)


def _deletable(chosen: Sequence[Shelved]) -> list[Shelved]:
    """Those that hold nothing else and are no links; tells of the others."""
    from voicecli.recording.shelf import upkeep

    may_go = []
    for one in chosen:
        try:
            foreign = upkeep.foreign_in(one.path)
            if foreign:
                upkeep.refuse_foreign(one.path, foreign)
            may_go.append(one)
        except RecordingError as exc:
            _say(f"left alone: {exc.message}", err=True)
    return may_go


def _list(chosen: Sequence[Shelved]) -> None:
    """What is about to go, a line each."""
    from voicecli.ui import amounts

    for one in chosen:
        _say(f"{one.name}\t{local_date(one.made_at)}\t{amounts.size(one.size_bytes)}")


def _is_agreed(chosen: Sequence[Shelved], *, yes: bool) -> bool:
    """Ask, unless that was answered beforehand.

    Raises:
        ConfigError: nobody is there to be asked.
    """
    import sys

    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("this would delete recordings, and nobody can be asked", "say --yes")
    from voicecli.cli.signals import quiet_interrupt

    with quiet_interrupt():
        if typer.confirm(f"delete {_sum(chosen)}?", err=True):
            return True
    _say("nothing was deleted", err=True)
    raise typer.Exit(1)


def _say_freed(chosen: Sequence[Shelved]) -> None:
    _say(f"deleted {_sum(chosen)}")


def _sum(chosen: Sequence[Shelved]) -> str:
    from voicecli.ui import amounts

    size = amounts.size(sum(one.size_bytes for one in chosen))
    return f"{amounts.count(len(chosen), 'recording')}, {size}"


def _say(text: str, *, err: bool = False) -> None:
    from voicecli.ui.clean import clean

    cells = text.split("\t")
    typer.echo("\t".join(clean(cell, one_line=True) for cell in cells), err=err)
