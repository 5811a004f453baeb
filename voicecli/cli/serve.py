"""`voicecli serve`: the local engine, for any client that speaks the Realtime API."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicecli.errors import ModelError

if TYPE_CHECKING:
    import asyncio

    from voicecli.engine.server.connection import Connection, Worker
    from voicecli.engine.server.house import Policy
    from voicecli.engine.server.journal import Journal
    from voicecli.engine.stages import Models

# Once the parent is gone nobody waits for a slow goodbye.
LAST_CHANCE_S = 3.0

LONGEST_SESSION_S = 30 * 86_400.0
LONGEST_GRACE_S = 3600.0


def _finite(value: float) -> float:
    # What is no number is neither below a minimum nor above a maximum.
    if math.isnan(value):
        raise typer.BadParameter("nan is not a number of seconds")
    return value


def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    mind: Annotated[
        str,
        typer.Option(help="What answers: auto, rules, small, standard, or a chat completions URL."),
    ] = "auto",
    mind_model: Annotated[
        str, typer.Option(help="The model to ask for when the mind is a URL.")
    ] = "",
    mind_key_env: Annotated[
        str, typer.Option(help="Environment variable with the key for the mind's URL.")
    ] = "",
    ears: Annotated[
        str, typer.Option(help="URL of a transcriptions server that hears instead.", metavar="URL")
    ] = "",
    ears_model: Annotated[str, typer.Option(help="The model to ask for there.")] = "",
    ears_key_env: Annotated[
        str, typer.Option(help="Environment variable with the key for the ears' URL.")
    ] = "",
    voice_endpoint: Annotated[
        str, typer.Option(help="URL of a speech server that speaks instead.", metavar="URL")
    ] = "",
    voice_model: Annotated[str, typer.Option(help="The model to ask for there.")] = "",
    voice_name: Annotated[
        str, typer.Option(help="The voice to ask for there; else the one a client wants.")
    ] = "",
    voice_key_env: Annotated[
        str, typer.Option(help="Environment variable with the key for the voice's URL.")
    ] = "",
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads of the ears.")] = 2,
    script: Annotated[
        Path | None,
        typer.Option(help="Answer from this file instead (docs/serve-script.md); no models."),
    ] = None,
    voices: Annotated[
        bool, typer.Option("--voices", help="List the voices that clients may ask for, and end.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(help="What clients have to show as their key. Others can see it in `ps`."),
    ] = None,
    token_env: Annotated[
        str | None, typer.Option(help="Environment variable with that token.", metavar="NAME")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with that token.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines connect without a token.")
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of a web page that may connect; may be repeated."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file with the certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with its private key.")] = None,
    max_sessions: Annotated[
        int, typer.Option(min=1, max=1000, help="Clients at a time; more get HTTP 503.")
    ] = 32,
    session_limit: Annotated[
        float,
        typer.Option(
            min=0,
            max=LONGEST_SESSION_S,
            callback=_finite,
            help="End sessions after so many seconds, 30 days at most; 0: never.",
        ),
    ] = 0.0,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            max=LONGEST_GRACE_S,
            callback=_finite,
            help="Seconds that answers in progress get at the end, an hour at most.",
        ),
    ] = 10.0,
    log: Annotated[
        str | None, typer.Option(help='Write JSON lines to this file; "-" is stderr.')
    ] = None,
    log_words: Annotated[
        bool, typer.Option("--log-words", help="Write what is said into the log, too.")
    ] = False,
    announce: Annotated[bool, typer.Option("--announce", hidden=True)] = False,
) -> None:
    """Serve the Realtime API from this machine, without a key.

    Any client of the API can use it, `voicecli talk` too:

      voicecli serve

      voicecli talk --server ws://127.0.0.1:8765/v1/realtime
    """
    if voices:
        _list_voices()
        return
    from voicecli.cli import exposure
    from voicecli.engine.server.house import Policy

    secret = exposure.read_token(token, token_env, token_file)
    tls = exposure.tls_context(tls_cert, tls_key)
    warnings = exposure.check_exposure(
        host, token=secret, has_tls=tls is not None, insecure=insecure
    )
    for one in warnings:
        _say(f"warning: {one}")
    policy = Policy(
        token=secret,
        origins=exposure.check_origins(allow_origin or ()),
        max_sessions=max_sessions,
        session_limit_s=session_limit,
        # Who ends a child has left already.
        grace_s=0.0 if announce else grace,
        tls=tls,
    )
    journal = _journal(log, words=log_words)
    told = _announce if announce else _greet
    if script is not None:
        _run_script(script, host, port, policy, journal, told, ends_with_stdin=announce)
        return
    from voicecli.config import Local

    local = Local(
        mind=mind, mind_model=mind_model, mind_key_env=mind_key_env,
        ears=ears, ears_model=ears_model, ears_key_env=ears_key_env,
        voices=voice_endpoint, voices_model=voice_model, voices_name=voice_name,
        voices_key_env=voice_key_env,
    )  # fmt: skip
    if not announce:
        # Whoever starts a child has seen to its models.
        from voicecli.cli.local import prepare_models

        local = prepare_models(local)

    loading = _Loading(journal, is_shown=not announce)

    def make_models() -> Models:
        from voicecli.cli.stages import build

        models = build(local, threads, loading)
        loading.end()
        return models

    _run(
        *(host, port, make_models, policy, journal, told),
        ends_with_stdin=announce,
        progress=lambda: loading.what,
    )


class _Loading:
    """What is being loaded, for people, the log and `/healthz`."""

    def __init__(self, journal: Journal, *, is_shown: bool) -> None:
        self._journal = journal
        self._is_shown = is_shown
        self.what = ""

    def __call__(self, what: str) -> None:
        self.what = what
        self._journal.write("loading", what=what)
        if self._is_shown:
            _say(f"loading the {what}")

    def end(self) -> None:
        if self._is_shown:
            _say("ready")


def _journal(path: str | None, *, words: bool) -> Journal:
    """Where to write what happens; warnings go there too, or to stderr as text."""
    import logging

    from voicecli.engine.server.journal import Journal, JournalHandler, open_journal

    if path is None:
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
        return Journal()
    journal = open_journal(path, words=words)
    logging.basicConfig(level=logging.WARNING, handlers=[JournalHandler(journal)])
    return journal


def _run_script(
    path: Path,
    host: str,
    port: int,
    policy: Policy,
    journal: Journal,
    told: Callable[[str], None],
    *,
    ends_with_stdin: bool,
) -> None:
    from voicecli.engine.server.acting import Actor, load_stage
    from voicecli.engine.server.house import new_id

    stage = load_stage(path.expanduser(), new_id)

    def make_worker(connection: Connection) -> Worker:
        return Actor(stage, connection)

    def make_models() -> Models:
        raise ModelError("a script has no models")

    _run(
        *(host, port, make_models, policy, journal, told),
        ends_with_stdin=ends_with_stdin,
        make_worker=make_worker,
    )


def _list_voices() -> None:
    from voicecli.engine.voices.voices import VOICES

    typer.echo('one voice, "heart", an American woman\'s, made lower or higher for each name:')
    for name, pitch in sorted(VOICES.items(), key=lambda one: one[1]):
        typer.echo(f"  {name:10}{pitch:.2f} of her pitch")


def _run(
    host: str,
    port: int,
    make_models: Callable[[], Models],
    policy: Policy,
    journal: Journal,
    told: Callable[[str], None],
    *,
    ends_with_stdin: bool,
    make_worker: Callable[[Connection], Worker] | None = None,
    progress: Callable[[], str] = str,
) -> None:
    import asyncio

    scheme = "ws" if policy.tls is None else "wss"

    async def run() -> None:
        from voicecli.engine.server.serve import serve

        stop = asyncio.Event()
        if ends_with_stdin:
            _end_with_stdin(asyncio.get_running_loop(), stop)
        await serve(
            host,
            port,
            make_models,
            ready=lambda bound: told(_url(scheme, host, bound)),
            stop=stop,
            voices=("heart",),
            policy=policy,
            journal=journal,
            make_worker=make_worker,
            progress=progress,
        )

    asyncio.run(run())
    # Model libraries keep threads of their own, some of which would hold up a normal exit.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_with_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when stdin ends, as it does when the parent is gone in whatever way."""
    import threading

    from voicecli.audio.stdin import take_stdin

    stdin = take_stdin()

    def wait() -> None:
        while os.read(stdin, 4096):
            pass
        last_chance = threading.Timer(LAST_CHANCE_S, os._exit, (0,))
        last_chance.daemon = True
        last_chance.start()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="voicecli-stdin", daemon=True).start()


def _url(scheme: str, host: str, port: int) -> str:
    from voicecli.engine.server.reception import PATH

    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}{PATH}"


def _greet(url: str) -> None:
    typer.echo(f"listening on {url}")
    typer.echo(f"connect with: voicecli talk --server {url}")


def _announce(url: str) -> None:
    import json

    typer.echo(json.dumps({"url": url}))
    sys.stdout.flush()


def _say(text: str) -> None:
    typer.echo(text, err=True)
