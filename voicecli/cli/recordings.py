"""`voicecli recordings`: what has been recorded."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(
    name="recordings",
    help="List, show, compare, export and delete recordings.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def library() -> Path:
    """Where recordings are kept: named by the configuration, or the usual place.

    Raises:
        VoicecliError: the configuration is wrong.
    """
    from voicecli import config
    from voicecli.recording.files import default_directory

    named = config.load({}).config.recording.path
    return Path(named).expanduser() if named else default_directory()
