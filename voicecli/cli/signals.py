"""The signals that end a program in good order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

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
