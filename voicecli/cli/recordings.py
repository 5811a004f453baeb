"""`voicecli recordings`: what has been recorded."""

from __future__ import annotations

import typer

from voicecli.cli.diff import diff_command
from voicecli.cli.export import export_command
from voicecli.cli.library import library
from voicecli.cli.shelf import list_command
from voicecli.cli.show import show_command
from voicecli.cli.upkeep import delete_command, prune_command, rename_command

app = typer.Typer(
    name="recordings",
    help="List, show, compare, export and delete recordings.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("list")(list_command)
app.command("show")(show_command)
app.command("diff")(diff_command)
app.command("export")(export_command)
app.command("rename")(rename_command)
app.command("delete")(delete_command)
app.command("prune")(prune_command)


@app.command("path")
def path_command() -> None:
    """Print the folder of your recordings, there or not."""
    typer.echo(str(library()))
