"""`voicecli serve`: the local engine, for any client that speaks the Realtime API."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from voicecli.errors import ConfigError

if TYPE_CHECKING:
    import asyncio

    from voicecli.engine.stages import Models

# Once the parent is gone nobody waits for a slow goodbye.
LAST_CHANCE_S = 3.0


def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    mind: Annotated[
        str,
        typer.Option(help="What answers: auto, rules, small, standard, or a chat completions URL."),
    ] = "auto",
    mind_model: Annotated[
        str | None, typer.Option(help="The model to ask for when the mind is a URL.")
    ] = None,
    mind_key_env: Annotated[
        str | None, typer.Option(help="Environment variable with the key for the mind's URL.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads of the ears.")] = 2,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen where other machines can connect.")
    ] = False,
    announce: Annotated[bool, typer.Option("--announce", hidden=True)] = False,
) -> None:
    """Serve the Realtime API from this machine, without a key."""
    from voicecli.engine.serve import is_loopback

    if not is_loopback(host):
        if not insecure:
            raise ConfigError(
                f"{host!r} can be reached from other machines",
                "there is no password: anyone there could use this engine. Add --insecure if that "
                "is what you want",
            )
        _say(f"warning: anyone who can reach {host} can use this engine and hear its answers")
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")

    if not announce:
        # Whoever starts a child has seen to its models.
        from voicecli.cli.local import prepare_models
        from voicecli.config import Local

        mind = prepare_models(Local(mind=mind)).mind

    def make_models() -> Models:
        return _make_models(mind, mind_model, mind_key_env, threads)

    _run(host, port, make_models, _announce if announce else _greet, ends_with_stdin=announce)


def _run(
    host: str,
    port: int,
    make_models: Callable[[], Models],
    told: Callable[[str, int], None],
    *,
    ends_with_stdin: bool,
) -> None:
    import asyncio

    async def run() -> None:
        from voicecli.engine.serve import serve

        stop = asyncio.Event()
        if ends_with_stdin:
            _end_with_stdin(asyncio.get_running_loop(), stop)
        await serve(
            host,
            port,
            make_models,
            ready=lambda bound: told(host, bound),
            stop=stop,
            voices=("heart",),
        )

    asyncio.run(run())
    # Model libraries keep threads of their own, some of which would hold up a normal exit.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_with_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when stdin ends, as it does when the parent is gone in whatever way."""
    import threading

    def wait() -> None:
        while os.read(0, 4096):
            pass
        last_chance = threading.Timer(LAST_CHANCE_S, os._exit, (0,))
        last_chance.daemon = True
        last_chance.start()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="voicecli-stdin", daemon=True).start()


def _make_models(
    mind: str, mind_model: str | None, mind_key_env: str | None, threads: int
) -> Models:
    from voicecli.engine.ears import load_ears
    from voicecli.engine.judge import load_judge
    from voicecli.engine.mind import KEY_VARIABLE, load_mind
    from voicecli.engine.stages import Models
    from voicecli.engine.store import ModelStore
    from voicecli.engine.voices import HibariVoice

    store = ModelStore()
    ears = load_ears(store, threads)
    voice = HibariVoice()
    key_variable = mind_key_env or KEY_VARIABLE
    found = load_mind(mind, store, model=mind_model, key_variable=key_variable)
    return Models(ears, found, voice, load_judge(store))


def _url(host: str, port: int) -> str:
    from voicecli.engine.serve import PATH

    shown = f"[{host}]" if ":" in host else host
    return f"ws://{shown}:{port}{PATH}"


def _greet(host: str, port: int) -> None:
    typer.echo(f"listening on {_url(host, port)}")
    typer.echo(f"connect with: voicecli talk --server {_url(host, port)}")


def _announce(host: str, port: int) -> None:
    import json

    typer.echo(json.dumps({"url": _url(host, port), "port": port}))
    sys.stdout.flush()


def _say(text: str) -> None:
    typer.echo(text, err=True)
