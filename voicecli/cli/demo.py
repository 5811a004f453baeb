"""`voicecli demo`: scripted conversations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from voicecli.errors import ConfigError

_WHAT = "What is played"
_WITH = "With whom"
_HOW = "How"
_OUT = "What is kept"


def _option(*names: str, help: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def demo_command(
    scripts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCRIPT]...",
            help="Files, or names of scripts that come with the program. Default: tour.",
            show_default=False,
        ),
    ] = None,
    list_them: Annotated[
        bool, _option("--list", panel=_WHAT, help="Show the scripts that come with the program.")
    ] = False,
    from_recording: Annotated[
        str | None,
        _option(
            "--from",
            panel=_WHAT,
            metavar="RECORDING",
            help="Print a recording as a script, to edit.",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        _option("--set", panel=_WHAT, metavar="NAME=VALUE", help="Set a variable of the script."),
    ] = None,
    server: Annotated[
        str | None,
        _option("--server", "-s", panel=_WITH, help="As in talk; goes before the script's."),
    ] = None,
    model: Annotated[
        str | None, _option("--model", panel=_WITH, help="The server's model.")
    ] = None,
    profile: Annotated[
        str | None, _option("--profile", panel=_WITH, help="A profile of the configuration.")
    ] = None,
    config: Annotated[
        Path | None, _option("--config", panel=_WITH, help="A configuration file of its own.")
    ] = None,
    speaker: Annotated[
        str | None,
        _option(
            "--speaker", panel=_HOW, help="As in talk. Default: the usual one, or none without one."
        ),
    ] = None,
    headless: Annotated[
        bool, _option("--headless", panel=_HOW, help="Show and play nothing but the results.")
    ] = False,
    fast: Annotated[
        bool,
        _option(
            "--fast",
            panel=_HOW,
            help="Faster than real time, with the engine inside; the results are the same.",
        ),
    ] = False,
    repeat: Annotated[
        int, _option("--repeat", panel=_HOW, help="Play everything so many times.")
    ] = 1,
    jobs: Annotated[int, _option("--jobs", "-j", panel=_HOW, help="So many at a time.")] = 1,
    as_json: Annotated[
        bool,
        _option("--json", panel=_OUT, help="One JSON object a line on stdout (docs/demos.md)."),
    ] = False,
    junit: Annotated[
        Path | None, _option("--junit", panel=_OUT, help="Write the results as JUnit XML, for CI.")
    ] = None,
    record: Annotated[
        str | None,
        _option(
            "--record",
            panel=_OUT,
            metavar="[PATH]",
            help="Record the talks: to PATH, or among your recordings.",
        ),
    ] = None,
    cast: Annotated[
        Path | None, _option("--cast", panel=_OUT, help="Write the screen as an asciinema cast.")
    ] = None,
    svg: Annotated[
        Path | None, _option("--svg", panel=_OUT, help="Write a picture of the last screen.")
    ] = None,
    gif: Annotated[
        Path | None, _option("--gif", panel=_OUT, help="Write the screen as a film; needs agg.")
    ] = None,
) -> None:
    """Play conversations that are written down: shows, and tests.

    Without a script it is the tour: a minute and a half with the engine inside, without a key and
    without a microphone. What is expected in a script and does not come gives exit code 1.

      voicecli demo

      voicecli demo barge-in --server openai

      voicecli demo tests/*.toml --fast --headless --junit results.xml
    """
    if list_them:
        _list(as_json=as_json)
        return
    if from_recording is not None:
        _print_script(from_recording)
        return
    from voicecli.cli.planning import Wanted
    from voicecli.cli.showing import Pictures, Show
    from voicecli.demo.builtin import USUAL

    wanted = Wanted(
        {
            "server": server,
            "model": model,
            "audio.mic": "none",
            "audio.speaker": speaker,
            "recording.enabled": False,
        },
        _variables(sets or []),
        config,
        profile,
    )
    show = Show(
        wanted=wanted,
        names=tuple(scripts or [USUAL]),
        repeat=repeat,
        jobs=jobs,
        speaker=speaker,
        is_headless=headless,
        is_fast=fast,
        as_json=as_json,
        record=record,
        junit=junit,
        pictures=Pictures(cast, svg, gif),
    )
    code = show.run()
    if code:
        raise typer.Exit(code)


def _variables(sets: Sequence[str]) -> dict[str, str]:
    """`--set` by name; the last one counts.

    Raises:
        ConfigError: one is no `name=value`.
    """
    values = {}
    for one in sets:
        name, equals, value = one.partition("=")
        if not (name.strip() and equals):
            raise ConfigError(f"--set {one!r} is no NAME=VALUE", "as in --set question='Who?'")
        values[name.strip()] = value
    return values


def _list(*, as_json: bool) -> None:
    """The scripts that come with the program."""
    from voicecli.cli.planning import read
    from voicecli.demo.builtin import SECONDS

    rows = [(name, read(name, {})[0].title, seconds) for name, seconds in SECONDS.items()]
    if as_json:
        import msgspec

        for name, title, seconds in rows:
            line = msgspec.json.encode({"name": name, "title": title, "seconds": seconds})
            sys.stdout.write(line.decode() + "\n")
        return
    from rich.console import Console
    from rich.text import Text

    from voicecli.cli.tables import Column, fitted

    columns = [Column("name"), Column("length", is_right=True), Column("title", least=12)]
    cells = [
        [Text(name, style="bold"), Text(f"{seconds // 60}:{seconds % 60:02d}"), Text(title)]
        for name, title, seconds in rows
    ]
    console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False)
    width = console.width if sys.stdout.isatty() else 240
    console.print(fitted(columns, cells, width), soft_wrap=True)


def _print_script(name: str) -> None:
    """A recording as a script, on stdout."""
    from voicecli.cli.library import library
    from voicecli.config import Config, public_values
    from voicecli.demo.transcribed import script_of
    from voicecli.recording.files import Recording
    from voicecli.recording.shelf.library import find

    folder = library()
    found = find(name, folder)
    # `last` will be another one tomorrow, and the beginning of a name may become that of two.
    is_path = Path(name).name != name or found.parent != folder
    with Recording.open(found) as recording:
        text = script_of(recording, name if is_path else found.name, public_values(Config()))
    # As bytes: TOML is UTF-8, whatever the locale.
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()
