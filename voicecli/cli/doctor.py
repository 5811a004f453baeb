"""`voicecli doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

_WHAT = "What is examined"
_HOW = "How"


def _option(*names: str, help: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def doctor_command(
    server: Annotated[
        str | None, _option("--server", "-s", panel=_WHAT, help="As in talk.")
    ] = None,
    mic: Annotated[
        str | None, _option("--mic", panel=_WHAT, help="As in talk; none: leave it out.")
    ] = None,
    speaker: Annotated[
        str | None, _option("--speaker", panel=_WHAT, help="As in talk; none: leave it out.")
    ] = None,
    profile: Annotated[
        str | None, _option("--profile", panel=_WHAT, help="A profile of the configuration.")
    ] = None,
    config: Annotated[
        Path | None, _option("--config", panel=_WHAT, help="A configuration file of its own.")
    ] = None,
    only: Annotated[
        list[str] | None,
        _option(
            "--only",
            panel=_WHAT,
            metavar="AREA",
            help="system, audio, server or models, and nothing else; may be given again.",
        ),
    ] = None,
    no_sound: Annotated[
        bool,
        _option(
            "--no-sound",
            panel=_HOW,
            help="Play nothing; then neither the round trip nor the echo is measured.",
        ),
    ] = False,
    deep: Annotated[
        bool,
        _option(
            "--deep",
            panel=_HOW,
            help="Start the engine inside also where the talk goes elsewhere, however long that "
            "takes.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        _option("--json", panel=_HOW, help="One JSON document on stdout (docs/json.md)."),
    ] = False,
) -> None:
    """Find what is wrong with sound, server, models or settings.

    Under each fault stands what can be pasted to mend it. It listens for two seconds (say
    something), and plays a soft sound of a second to measure how much of the speaker the
    microphone hears. Keys are looked at and never shown.

      voicecli doctor

      voicecli doctor --only server --server openai

    Exit codes: 0 all is well or there are warnings, 1 there are problems, 2 it was asked wrongly.
    """
    from voicecli.cli import examining

    areas = examining.areas(only or [])
    flags = {"server": server, "audio.mic": mic, "audio.speaker": speaker}
    asks = not as_json and sys.stdout.isatty()
    wish = examining.Wish(
        flags, config, profile, areas, plays=not no_sound, asks=asks, is_deep=deep
    )
    code = examining.run(wish, as_json=as_json)
    if code:
        raise typer.Exit(code)
