"""The embedded engine of a talk: its models made ready, and the child process that runs it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import typer

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
    for module in ("onnxruntime", "hibari"):
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                "the embedded engine is not installed",
                "install it with: pip install 'voicecli[local]' (or name a server: --server)",
            )
    from voicecli.cli.models import pull_models
    from voicecli.engine.mind import TIERS
    from voicecli.engine.store import ModelStore

    known = ("auto", "rules", *TIERS)
    if local.mind not in known and not local.mind.startswith(("http://", "https://")):
        raise ConfigError(
            f"unknown mind {local.mind!r}", f"it is one of {', '.join(known)}, or an http URL"
        )
    store = ModelStore()
    mind = local.mind if local.mind != "auto" else _choose_mind(store)
    needed = [EARS, *([TIERS[mind]] if mind in TIERS else [])]
    missing = [name for name in needed if not store.is_present(name)]
    if missing:
        pull_models(store, missing, to_stderr=True)
    return Local(mind=mind, mind_model=local.mind_model, mind_key_env=local.mind_key_env)


def _choose_mind(store: object) -> str:
    """The best tier present; else the user's choice; else, without a terminal, `small`."""
    from voicecli.engine.mind import TIERS, best_tier
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

    arguments = ["--mind", local.mind]
    if local.mind_model:
        arguments += ["--mind-model", local.mind_model]
    if local.mind_key_env:
        arguments += ["--mind-key-env", local.mind_key_env]
    process = EngineProcess(arguments)
    try:
        yield await process.start()
    finally:
        await process.close()
