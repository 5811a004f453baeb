"""`voicecli recordings list`: the recordings there are, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from voicecli.cli.library import FOLDER_HELP, library, local_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text

    from voicecli.recording.shelf.shelf import Shelved

_NOTES: Final = {
    "complete": "",
    "failed": "ended by an error",
    "sudden": "ended suddenly",
    "running": "being recorded",
    "broken": "cannot be read",
}
_STYLES: Final = {"failed": "yellow", "sudden": "yellow", "running": "green", "broken": "red"}


def list_command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help=FOLDER_HELP, show_default=False)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a recording, in a list.")
    ] = False,
) -> None:
    """List recordings, the newest last.

    On a terminal a table; elsewhere a line each with tabs between name, date, seconds, turns,
    interruptions, server, model, bytes, and how it ended.
    """
    import sys
    import time

    from voicecli.recording.shelf.shelf import shelved_in

    place = (folder or library()).expanduser()
    found = shelved_in(place, time.time())
    if as_json:
        import json

        typer.echo(json.dumps([as_object(one) for one in found], indent=2))
    elif sys.stdout.isatty():
        _draw(found, place)
    else:
        typer.echo("".join(f"{_plain(one)}\n" for one in found), nl=False)
        if not found:
            typer.echo(_nothing(place), err=True)


def as_object(one: Shelved) -> dict[str, Any]:
    """What is told of a recording in JSON; numbers that are not known are null."""
    facts = one.overview
    return {
        "name": one.name,
        "path": str(one.path),
        "created": facts.created if facts else None,
        "seconds": round(facts.seconds, 3) if facts else None,
        "turns": facts.turns if facts else None,
        "interruptions": facts.interruptions if facts else None,
        "server": facts.server if facts else None,
        "model": facts.model if facts else None,
        "audio": facts.audio if facts else None,
        "source": facts.source if facts else None,
        "bytes": one.size_bytes,
        "state": one.state,
        "reason": facts.reason if facts else None,
        "error": (facts.error if facts else one.problem) or None,
    }


def _plain(one: Shelved) -> str:
    """A line for programs: tabs between values, none within."""
    from voicecli.ui.clean import clean

    facts = one.overview
    numbers = ("", "", "")
    if facts is not None:
        numbers = (f"{facts.seconds:.1f}", str(facts.turns), str(facts.interruptions))
    cells = [
        one.name,
        local_date(one.made_at),
        *numbers,
        facts.server if facts else "",
        facts.model if facts else "",
        str(one.size_bytes),
        f"{one.state}: {one.problem}" if one.problem else one.state,
    ]
    return "\t".join(clean(cell, one_line=True) for cell in cells)


def _nothing(place: Path) -> str:
    from voicecli.ui.clean import clean

    shown = clean(str(place), one_line=True)
    return f"there are no recordings in {shown}; make one: voicecli talk --record"


def _draw(found: Sequence[Shelved], place: Path) -> None:
    from rich.console import Console
    from rich.text import Text

    from voicecli.ui import amounts
    from voicecli.ui.clean import clean

    console = Console(highlight=False)
    if not found:
        console.print(Text(_nothing(place)), soft_wrap=True)
        return
    console.print(table_of(found, console.width))
    for one in found:
        if one.problem:
            console.print(Text(clean(f"{one.name}: {one.problem}", one_line=True), style="red"))
    total = amounts.size(sum(one.size_bytes for one in found))
    told = f"{amounts.count(len(found), 'recording')}, {total}, in {place}"
    console.print(Text(clean(told, one_line=True), style="dim"), soft_wrap=True)


def table_of(found: Sequence[Shelved], width: int) -> Table:
    """The recordings as a table of at most `width` cells."""
    from voicecli.cli.tables import Column, fitted

    columns = [
        Column("name", least=20),
        Column("date", goes=3),
        Column("length", is_right=True),
        Column("turns", goes=4, is_right=True),
        Column("cut off", goes=5, is_right=True),
        Column("server", goes=6, least=8),
        Column("model", goes=8, least=10),
        Column("size", goes=7, is_right=True),
        Column("note", goes=2),
    ]
    return fitted(columns, [_cells(one) for one in found], width)


def _cells(one: Shelved) -> list[Text]:
    from rich.text import Text

    from voicecli.ui import amounts
    from voicecli.ui.clean import clean

    facts = one.overview
    cells = [""] * 3
    if facts is not None:
        cells = [amounts.length(facts.seconds), str(facts.turns), str(facts.interruptions)]
    length, turns, cut = cells
    return [
        Text(clean(one.name, one_line=True), style="bold"),
        Text(local_date(one.made_at), style="dim"),
        Text(length),
        Text(turns),
        Text("" if cut == "0" else cut),
        Text(clean(facts.server, one_line=True) if facts else ""),
        Text(clean(facts.model, one_line=True) if facts else ""),
        Text(amounts.size(one.size_bytes), style="dim"),
        Text(_NOTES[one.state], style=_STYLES.get(one.state, "")),
    ]
