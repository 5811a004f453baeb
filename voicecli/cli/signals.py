"""The signals that end a program in good order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

import typer

from voicecli.cli.talks import INTERRUPTED

_ENDING_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)


class EndingSignals:
    """Ctrl-C, SIGTERM and a closed terminal, while the block runs.

    They call `quit`, which ends what runs in good order; before there is one, all of them are a
    Ctrl-C to the event loop's runner, which cancels the task.
    """

    def __init__(self) -> None:
        self.quit: Callable[[], None] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        interrupt = signal.getsignal(signal.SIGINT)

        def ask(number: int, frame: FrameType | None) -> None:
            if self.quit is not None:
                loop.call_soon_threadsafe(self.quit)
            elif callable(interrupt):
                interrupt(number, frame)

        for number in _ENDING_SIGNALS:
            self._before[number] = signal.signal(number, ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


@contextmanager
def quiet_interrupt() -> Iterator[None]:
    """Ctrl-C at a question asked in the block ends the program as it does elsewhere."""
    try:
        yield
    except typer.Abort as exc:
        typer.echo(err=True)
        raise typer.Exit(INTERRUPTED if _was_interrupted(exc) else 1) from None


def _was_interrupted(exc: BaseException) -> bool:
    return isinstance(exc.__context__, KeyboardInterrupt)


def end_like_an_interrupt() -> None:
    """From now on SIGTERM and a closed terminal end the work as Ctrl-C does.

    Without that they end the process at once, and what is half made or temporary is left behind.
    """
    for number in _ENDING_SIGNALS:
        if number != signal.SIGINT:
            signal.signal(number, _interrupt)


def _interrupt(_: int, frame: FrameType | None) -> None:
    interrupt = signal.getsignal(signal.SIGINT)
    # Shells let what runs in the background ignore Ctrl-C, but not this.
    handler = interrupt if callable(interrupt) else signal.default_int_handler
    handler(signal.SIGINT, frame)
