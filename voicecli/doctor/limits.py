"""What may hang, in threads that are left behind when it does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

_T = TypeVar("_T")


class Patience:
    """Runs calls that block, and waits for each no longer than it is told.

    Not in an executor: its threads are waited for at the end of the interpreter.
    """

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    @property
    def is_hanging(self) -> bool:
        """Whether a call has not come back: leave by `os._exit` then."""
        self._threads = [one for one in self._threads if one.is_alive()]
        return bool(self._threads)

    async def run(self, call: Callable[[], _T], limit_s: float) -> _T:
        """What `call` gives or raises.

        Raises:
            TimeoutError: it takes longer; its thread goes on, and what comes of it is dropped.
        """
        outcome: Future[_T] = Future()

        def work() -> None:
            try:
                result = call()
            except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
                with contextlib.suppress(InvalidStateError):
                    outcome.set_exception(exc)
                return
            with contextlib.suppress(InvalidStateError):
                outcome.set_result(result)

        thread = threading.Thread(target=work, name="check", daemon=True)
        self._threads.append(thread)
        thread.start()
        return await asyncio.wait_for(asyncio.wrap_future(outcome), limit_s)
