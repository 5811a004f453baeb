"""An event loop on which seconds pass in milliseconds, and exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class QuickLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer at once: seconds pass in milliseconds, and exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        loop: Any = self
        # Timers that were cancelled may still be at the head.
        due = min((one.when() for one in loop._scheduled if not one.cancelled()), default=None)
        if not loop._ready and due is not None:
            # A real clock moves on as well while something is due at once again and again.
            self.now = due if due > self.now else self.now + 1e-7
        super()._run_once()  # type: ignore[misc]


def run(main: Callable[[], Awaitable[Result]]) -> Result:
    """Run a coroutine function on such a loop."""

    async def whole() -> Result:
        return await main()

    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(whole())


def clock() -> float:
    return asyncio.get_running_loop().time()


def stall(seconds: float) -> None:
    """Let the loop be busy for so long."""
    loop: Any = asyncio.get_running_loop()
    loop.now += seconds
