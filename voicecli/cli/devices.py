"""`voicecli devices`: the microphones and speakers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from voicecli.audio.choosing import DeviceInfo


def devices_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a device, in a list.")
    ] = False,
) -> None:
    """List the sound devices that `--mic` and `--speaker` can name.

    By the index or by a part of the name:

      voicecli talk --mic 3 --speaker headset
    """
    from voicecli.audio.devices import list_devices, quiet_stderr

    with quiet_stderr():
        devices = list_devices()
    if as_json:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(device) for device in devices], indent=2))
    elif devices:
        from rich.console import Console

        Console().print(_table(devices))
    else:
        typer.echo("no sound devices; files, pipes and `none` work without one")


def _table(devices: list[DeviceInfo]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from voicecli.ui.clean import clean

    table = Table("index", "name", "host API", "in", "out", "default rate", "default", box=None)
    for device in devices:
        defaults = {"mic": device.is_default_input, "speaker": device.is_default_output}
        table.add_row(
            str(device.index),
            Text(clean(device.name, one_line=True)),
            Text(clean(device.host_api, one_line=True)),
            str(device.input_channels or "-"),
            str(device.output_channels or "-"),
            f"{device.default_rate_hz} Hz",
            ", ".join(name for name, is_default in defaults.items() if is_default),
        )
    return table
