"""The embedded engine of a talk: its models made ready, and the child process that runs it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec
import typer

from voicecli.cli.stages import check_addresses, is_url, options, unreachable
from voicecli.config import Local
from voicecli.errors import ConfigError

if TYPE_CHECKING:
    from voicecli.engine.store import ModelStore

EARS = "moonshine-tiny-en"
_MOST_TRIES: Final = 3


def prepare_models(local: Local, before: Callable[[], None] = lambda: None) -> Local:
    """Fetch what is missing, asking at a terminal which mind it shall be.

    Warns of stages at a URL that cannot be reached now; they may come later.

    Args:
        local: its settings.
        before: called before anything is asked or fetched; what it raises goes to the caller.

    Returns:
        The settings with the mind decided.

    Raises:
        ConfigError: what the engine runs on is not installed, or a URL cannot be one.
        ModelError: weights cannot be fetched.
    """
    for module, server in (("onnxruntime", local.ears), ("hibari", local.voices)):
        if not server and importlib.util.find_spec(module) is None:
            raise ConfigError(
                "the embedded engine is not installed",
                'install it with: pip install "voicecli[local]" (or name a server: --server)',
            )
    from voicecli.cli.models import pull_models
    from voicecli.engine.minds.mind import TIERS
    from voicecli.engine.store import ModelStore

    check_stages(local)
    store = ModelStore()
    mind = local.mind if local.mind != "auto" else _mind_of(store)
    is_asked = mind == ""
    if is_asked:
        before()
        mind = _ask_for_mind(store)
    needed = [*([] if local.ears else [EARS]), *([TIERS[mind]] if mind in TIERS else [])]
    missing = [name for name in needed if not store.is_present(name)]
    if missing:
        if not is_asked:
            before()
        from voicecli.ui.amounts import size

        amount = size(sum(store.model(name).bytes for name in missing))
        what = ", ".join(missing)
        typer.echo(f"voicecli: fetching {what} ({amount}) into {store.root}, once", err=True)
        pull_models(store, missing, to_stderr=True)
    for problem in unreachable(local):
        typer.echo(f"warning: {problem}", err=True)
    return msgspec.structs.replace(local, mind=mind)


def check_stages(local: Local) -> None:
    """Whether each stage is one that there is.

    Raises:
        ConfigError: one is not, or its URL cannot be one.
    """
    from voicecli.engine.minds.mind import TIERS

    check_addresses(local)
    known = ("auto", "rules", *TIERS)
    if local.mind not in known and not is_url(local.mind):
        raise ConfigError(
            f"unknown mind {local.mind!r}", f"it is one of {', '.join(known)}, or an http URL"
        )
    for name, spec in (("ears", local.ears), ("voices", local.voices)):
        if spec and not is_url(spec):
            raise ConfigError(f"unknown {name} {spec!r}", "give an http URL, or nothing")


def missing_hints(local: Local, *, semantic: bool, language: str) -> list[str]:
    """What the embedded engine will do worse than was asked for, and the command that helps.

    Args:
        local: its settings.
        semantic: whether turns shall end when they sound finished.
        language: what is spoken, as ISO 639-1; empty: unknown.
    """
    from voicecli.engine.ears import judge, whisper
    from voicecli.engine.ears.ears import ENGLISH
    from voicecli.engine.store import ModelStore

    store, hints = ModelStore(), []
    if semantic and not store.is_present(judge.MODEL):
        hints.append(
            "the model that hears when you are done is not here, so a fixed silence ends your "
            f"turns; fetch it with: voicecli models pull {judge.MODEL}"
        )
    spoken = language.replace("_", "-").partition("-")[0].lower()
    if spoken not in ENGLISH and not local.ears and not store.is_present(whisper.MODEL):
        hints.append(
            f"the ears that are here do not understand the language {language!r}, only English; "
            f"fetch others with: voicecli models pull {whisper.MODEL}"
        )
    return hints


def _mind_of(store: ModelStore) -> str:
    """The best tier present; without one `small`, or empty where somebody can be asked."""
    from voicecli.engine.minds.mind import best_tier

    best = best_tier(store)
    if best != "rules" or importlib.util.find_spec("xllamacpp") is None:
        return best
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return "small"
    return ""


def _ask_for_mind(store: ModelStore) -> str:
    """The user's choice.

    Raises:
        ConfigError: it was none of those offered, several times.
    """
    from voicecli.engine.minds.mind import TIERS

    typer.echo("What shall answer you? It runs on this machine and is fetched once.", err=True)
    choices = {"1": "rules", "2": "small", "3": "standard"}
    sizes = {tier: store.model(name).bytes / 1e6 for tier, name in TIERS.items()}
    typer.echo("  1  rules     nothing to fetch: greetings, time, arithmetic", err=True)
    typer.echo(f"  2  small     {sizes['small']:,.0f} MB: small talk, quick", err=True)
    typer.echo(f"  3  standard  {sizes['standard']:,.0f} MB: better, slower", err=True)
    from voicecli.cli.signals import quiet_interrupt

    answer: str = ""
    for _ in range(_MOST_TRIES):
        with quiet_interrupt():
            answer = typer.prompt("1, 2 or 3", default="2", err=True).strip()
        if answer in choices:
            return choices[answer]
        if answer in choices.values():
            return answer
    raise ConfigError(f"{answer!r} is none of 1, 2 and 3", "or name it: --mind rules, small, …")


@asynccontextmanager
async def engine(local: Local) -> AsyncIterator[str]:
    """Run the engine as a child process; gives its URL, and ends it with the block."""
    from voicecli.engine.child import EngineProcess

    process = EngineProcess(options(local))
    try:
        yield await process.start()
    finally:
        await process.close()
