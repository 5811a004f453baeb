"""`voicecli models`: fetch, check and remove the weights of the embedded engine."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from voicecli.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import TaskID

    from voicecli.engine.store import ModelStore, PullProgress

app = typer.Typer(
    help="Fetch, check and remove the models of the embedded engine.", no_args_is_help=True
)

_NAMES_HELP = "Models, as `voicecli models list` names them."
_Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME...", show_default=False, help=_NAMES_HELP),
]
_STYLES = {"present": "green", "missing": "dim", "damaged": "red"}


@app.command("list")
def list_models(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a model, in a list.")
    ] = False,
) -> None:
    """Show every model, its size, its licence, and whether it is here."""
    from voicecli.engine.store import ModelStore

    store = ModelStore()
    if as_json:
        rows = [
            {
                "name": model.name,
                "purpose": model.purpose,
                "bytes": model.bytes,
                "licence": model.licence,
                "state": store.state(model.name).value,
                "path": str(store.root / model.name),
            }
            for model in store.models.values()
        ]
        import json

        typer.echo(json.dumps(rows, indent=2))
        return
    _print_table(store)


def _print_table(store: ModelStore) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "purpose", box=None, pad_edge=False)
    table.add_column("size", justify="right")
    table.add_column("state")
    table.add_column("licence")
    for model in store.models.values():
        state = store.state(model.name).value
        label = f"[{_STYLES.get(state, 'yellow')}]{state}[/]"
        size = f"{model.bytes / 1e6:,.0f} MB"
        table.add_row(model.name, model.purpose, size, label, model.licence)
    console = Console()
    console.print(table)
    console.print(f"in {store.root}", style="dim", markup=False, highlight=False, soft_wrap=True)


@app.command()
def pull(
    names: _Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model.")] = False,
) -> None:
    """Fetch models, or go on with a fetch that was interrupted.

    What is here and whole is left alone.

      voicecli models pull smart-turn
    """
    from voicecli.engine.store import ModelStore

    store = ModelStore()
    pull_models(store, _chosen(store, names, everything=everything))


def pull_models(store: ModelStore, names: Sequence[str], *, to_stderr: bool = False) -> None:
    """Fetch models one after the other, with bars on a terminal and lines elsewhere.

    Raises:
        ModelError: one cannot be fetched; those before it are here.
    """
    stream = sys.stderr if to_stderr else sys.stdout
    for name in names:
        if store.is_present(name):
            typer.echo(f"{name}: already here", err=to_stderr)
            continue
        with _bars(to_stderr) if stream.isatty() else _lines(to_stderr) as show:
            store.pull(name, show)
        typer.echo(f"{name}: fetched and verified", err=to_stderr)


@app.command()
def verify(names: _Names = None) -> None:
    """Read models again and compare with the published digests.

    Without a name: all that are here.
    """
    from voicecli.engine.store import ModelStore

    store = ModelStore()
    here = [name for name in store.models if store.state(name).value != "missing"]
    chosen = _chosen(store, names, everything=False) if names else here
    bad = []
    for name in chosen:
        state = store.verify(name).value
        typer.echo(f"{name}: {state}")
        if state != "present":
            bad.append(name)
    if not chosen:
        typer.echo("no models are here")
    if bad:
        raise ModelError(
            f"not complete: {', '.join(bad)}", f"fetch again: voicecli models pull {' '.join(bad)}"
        )


@app.command("rm")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help=_NAMES_HELP)],
) -> None:
    """Delete models from the disk."""
    from voicecli.engine.store import ModelStore

    store = ModelStore()
    for name in _chosen(store, names, everything=False):
        typer.echo(f"{name}: {'removed' if store.remove(name) else 'was not here'}")


def _chosen(store: ModelStore, names: list[str] | None, *, everything: bool) -> list[str]:
    """The names asked for, all of them known, so that nothing is begun that cannot be finished."""
    if everything:
        return list(store.models)
    if not names:
        raise ConfigError("no model is named", f"one of {', '.join(store.models)}, or --all")
    return [store.model(name).name for name in dict.fromkeys(names)]


@contextmanager
def _bars(to_stderr: bool) -> Iterator[Callable[[PullProgress], None]]:
    """A bar for each file."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[source]}"),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=to_stderr)) as progress:

        def show(step: PullProgress) -> None:
            label = step.file if 0 < len(step.file) < 30 else step.model
            if label not in tasks:
                tasks[label] = progress.add_task(label, source=step.source)
            progress.update(
                tasks[label],
                completed=step.done_bytes,
                total=step.total_bytes,
                source=step.source,
            )

        yield show


@contextmanager
def _lines(to_stderr: bool) -> Iterator[Callable[[PullProgress], None]]:
    """A line for each source and each tenth of a file: for logs."""
    said: set[tuple[str, str, int]] = set()

    def show(step: PullProgress) -> None:
        tenths = step.done_bytes * 10 // step.total_bytes
        line = (step.file, step.source, tenths)
        if line not in said:
            said.add(line)
            typer.echo(f"{step.model}: {step.file} {tenths * 10} % ({step.source})", err=to_stderr)

    yield show
