"""Talks with the embedded engine in this process, faster than real time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from voicecli.cli.wiring import Connect
    from voicecli.config import Audio, Local
    from voicecli.session import Link

Result = TypeVar("Result")

EARS_THREADS = 2


def check_fast(server: str, audio: Audio) -> None:
    """See that nothing in a talk needs real time.

    Raises:
        ConfigError: something does.
    """
    from voicecli.cli.edges import is_device
    from voicecli.errors import ConfigError

    if server != "local":
        raise ConfigError(
            f"--fast cannot hurry the server {server!r}",
            "it needs the embedded one: --server local",
        )
    for name, spec in (("microphone", audio.mic), ("speaker", audio.speaker)):
        if spec == "-" or is_device(spec):
            raise ConfigError(
                f"--fast cannot hurry the {name} {spec!r}", "name a WAV file, or none"
            )


def run_fast(local: Local, main: Callable[[Connect], Awaitable[Result]]) -> Result:
    """Run `main` on an event loop whose clock leaps over every pause.

    It is the place of `asyncio.run`: what takes the time from the loop (sessions and speakers made
    by `wiring.new_session` and `edges.open_audio`, every microphone but a device or a pipe,
    `asyncio.sleep`) runs as fast as the machine can, with the same results each time. While models
    or other threads work the clock stands still, so answers come after no time at all.

    Args:
        local: settings of the embedded engine, with the mind decided (`prepare_models`).
        main: gets `connect`, which opens a connection to the engine each time it is awaited, in
            the place of the one that `wiring.connector` gives.

    Raises:
        VoicecliError: the models cannot be loaded; and whatever `main` raises.
    """
    from voicecli.cli.stages import build
    from voicecli.demo import fast
    from voicecli.engine.inprocess import Engine

    async def whole(loop: fast.LeapingLoop) -> Result:
        engine = Engine(await asyncio.to_thread(build, local, EARS_THREADS), loop)

        async def connect(stack: AsyncExitStack) -> Link:
            return fast.LineLink(await stack.enter_async_context(engine.line()))

        return await main(connect)

    return fast.run(whole)
