"""The embedded engine of a talk: its models made ready, and the child process that runs it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import typer

from voicecli.cli.stages import is_url, options
from voicecli.config import Local
from voicecli.errors import ConfigError

EARS = "moonshine-tiny-en"


def prepare_models(local: Local) -> Local:
    """Fetch what is missing, asking at a terminal which mind it shall be.

    Returns:
        The settings with the mind decided.

    Raises:
        ConfigError: what the engine runs on is not installed.
        ModelError: weights cannot be fetched.
    """
    for module, server in (("onnxruntime", local.ears), ("hibari", local.voices)):
        if not server and importlib.util.find_spec(module) is None:
            raise ConfigError(
                "the embedded engine is not installed",
                "install it with: pip install 'voicecli[local]' (or name a server: --server)",
            )
    from voicecli.cli.models import pull_models
    from voicecli.engine.minds.mind import TIERS
    from voicecli.engine.store import ModelStore

    known = ("auto", "rules", *TIERS)
    if local.mind not in known and not is_url(local.mind):
        raise ConfigError(
            f"unknown mind {local.mind!r}", f"it is one of {', '.join(known)}, or an http URL"
        )
    for name, spec in (("ears", local.ears), ("voices", local.voices)):
        if spec and not is_url(spec):
            raise ConfigError(f"unknown {name} {spec!r}", "give an http URL, or nothing")
    store = ModelStore()
    mind = local.mind if local.mind != "auto" else _choose_mind(store)
    needed = [*([] if local.ears else [EARS]), *([TIERS[mind]] if mind in TIERS else [])]
    missing = [name for name in needed if not store.is_present(name)]
    if missing:
        pull_models(store, missing, to_stderr=True)
    return msgspec.structs.replace(local, mind=mind)


def _choose_mind(store: object) -> str:
    """The best tier present; else the user's choice; else, without a terminal, `small`."""
    from voicecli.engine.minds.mind import TIERS, best_tier
    from voicecli.engine.store import ModelStore

    assert isinstance(store, ModelStore)
    best = best_tier(store)
    if best != "rules" or importlib.util.find_spec("xllamacpp") is None:
        return best
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return "small"
    typer.echo("What shall answer you? It runs on this machine and is fetched once.", err=True)
    choices = {"1": "rules", "2": "small", "3": "standard"}
    sizes = {tier: store.model(name).bytes / 1e6 for tier, name in TIERS.items()}
    typer.echo("  1  rules     nothing to fetch: greetings, time, arithmetic", err=True)
    typer.echo(f"  2  small     {sizes['small']:,.0f} MB: small talk, quick", err=True)
    typer.echo(f"  3  standard  {sizes['standard']:,.0f} MB: better, slower", err=True)
    answer = typer.prompt("1, 2 or 3", default="2", err=True)
    if answer not in choices:
        raise ConfigError(f"{answer!r} is none of 1, 2 and 3")
    return choices[answer]


@asynccontextmanager
async def engine(local: Local) -> AsyncIterator[str]:
    """Run the engine as a child process; gives its URL, and ends it with the block."""
    from voicecli.engine.child import EngineProcess

    process = EngineProcess(options(local))
    try:
        yield await process.start()
    finally:
        await process.close()
