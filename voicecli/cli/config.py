"""`voicecli config`: the effective configuration, and where each value comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def config_command(
    config: Annotated[
        Path | None, typer.Option("--config", help="The file to read instead of your own.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="The profile to put over the file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show every setting, its value, and where that comes from.

    Keys are never shown, only the names of the variables that hold them.
    """
    from voicecli import config as configuration

    effective = configuration.load({}, path=config, profile=profile)
    if as_json:
        import msgspec

        rows = {one.key: {"value": one.value, "origin": one.origin} for one in effective}
        typer.echo(msgspec.json.encode(rows).decode())
        return
    _show(effective, configuration.named_file(config) or configuration.default_file())


def _as_in_file(value: object) -> str:
    """A value as TOML has it, only texts without their quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _show(effective: object, file: Path) -> None:
    import os

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from voicecli import config as configuration
    from voicecli.ui.clean import clean

    assert isinstance(effective, configuration.Effective)
    table = Table("key", "value", "from", box=None, pad_edge=False)
    for setting in effective:
        shown = clean(_as_in_file(setting.value), one_line=True)
        table.add_row(setting.key, Text(shown or "-"), Text(setting.origin))
    console = Console()
    console.print(table)
    target = configuration.destination(effective.config)
    key = "no key is needed"
    if target.key_env:
        is_set = bool(os.environ.get(target.key_env, "").strip())
        key = f"key from {target.key_env} ({'set' if is_set else 'not set'})"
    exists = "" if file.is_file() else " (not there)"
    console.print(Text(f"\nserver: {target.name}; {key}\nfile: {file}{exists}"), soft_wrap=True)
