"""A talk faster than real time: an event loop that leaps over pauses, and a link in memory.

Theory. Nothing in a talk with files and an engine in this process takes time but the models. All
else waits for the clock: the next frame of the microphone, the next block of the speaker, the end
of a silence. So the clock need not run: as soon as nobody has anything to do at this moment, it
leaps to the next one at which somebody has. While threads work it stands still, so what they do
takes no time at all, however long it takes.

What comes from threads would still come between other things by chance. So it is handed on only
when the loop is quiet, one piece at a time, and the same talk goes the same way each time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import selectors
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextvars import Context, copy_context
from typing import Final, NamedTuple, Protocol, TypeVar, TypeVarTuple

from voicecli.errors import ConnectionFailed
from voicecli.inputs import Received
from voicecli.protocol.codec import SERVER_CODEC, encode
from voicecli.protocol.events import ClientEvent

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

_US_IN_S: Final = 1_000_000


class _LeapingSelector(selectors.DefaultSelector):
    """Asks the loop before it waits: that is where time would pass."""

    def __init__(self) -> None:
        super().__init__()
        self.may_wait: Callable[[float | None], float | None] = lambda timeout: timeout

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(self.may_wait(timeout))


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock leaps to the next timer as soon as there is nothing else to do.

    Its time is in whole microseconds and begins at 0; timers of the same one come in the order in
    which they were set, so what runs beside a talk does not change how it goes. The clock stands
    still while a function runs in an executor (`asyncio.to_thread`) and while somebody holds it.
    Whatever else comes from outside (sockets, pipes, other threads) is taken when it comes, and
    nobody waits for it.
    """

    def __init__(self) -> None:
        selector = _LeapingSelector()
        super().__init__(selector)
        selector.may_wait = self._may_wait
        self._now_us = 0
        # In place of the loop's own, which keep no order among equals.
        self._timers: list[_Timer] = []
        self._timers_set = itertools.count()
        self._threads = 0
        self._holds = 0
        self._for_quiet: deque[Callable[[], None]] = deque()

    # ----------------------------------------------------------------------------------- the clock

    def time(self) -> float:
        """Seconds, on the clock of all timers."""
        return self._now_us / _US_IN_S

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As in any loop; `when` counts up to its microsecond."""
        context = copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)

        def fire() -> None:
            if not handle.cancelled():
                callback(*args)

        # A timer must not come too early. What is not the time's but a float's does not count.
        due_us = math.ceil(when * _US_IN_S - 1e-3)
        entry = _Timer(due_us, next(self._timers_set), handle, fire, context)
        heapq.heappush(self._timers, entry)
        return handle

    def hold(self) -> None:
        """Let the clock stand still until `release`; holds are counted. In the loop's thread."""
        self._holds += 1

    def release(self) -> None:
        """Take one `hold` back. In the loop's thread."""
        self._holds -= 1

    def call_when_quiet(self, callback: Callable[[], None]) -> None:
        """Call this when nothing else is to be done at this moment, not even in an executor.

        Callbacks come in the order in which they were given, each only when all is done that
        followed from the one before. In the loop's thread.
        """
        self._for_quiet.append(callback)

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Arguments], Result],
        *args: *Arguments,
    ) -> asyncio.Future[Result]:
        """As in any loop; the clock stands still until the function is through."""
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - what newer Pythons pass
    ) -> None:
        """As in any loop, but for as long as it takes: no time passes here."""
        await super().shutdown_default_executor()

    def _thread_ended(self, _: object) -> None:
        self._threads -= 1

    # -------------------------------------------------------------------------------- what is next

    def _may_wait(self, timeout: float | None) -> float | None:
        """For how long to wait for the world outside; called in each turn of the loop.

        Args:
            timeout: 0 when callbacks are ready, else None.
        """
        if self._fire_timers() or timeout is not None:
            return 0
        if self._threads:
            return None
        if self._for_quiet:
            self.call_soon(self._for_quiet.popleft())
            return 0
        if self._holds or not self._timers:
            return None
        self._now_us = self._timers[0].due_us
        self._fire_timers()
        return 0

    def _fire_timers(self) -> bool:
        """Make ready what is due now; whether there was something."""
        has_fired = False
        while self._timers and (
            self._timers[0].due_us <= self._now_us or self._timers[0].handle.cancelled()
        ):
            timer = heapq.heappop(self._timers)
            if not timer.handle.cancelled():
                self.call_soon(timer.fire, context=timer.context)
                has_fired = True
        return has_fired


class _Timer(NamedTuple):
    """Sorted by its time, then by when it was set."""

    due_us: int
    number: int
    handle: asyncio.TimerHandle
    fire: Callable[[], None]
    context: Context


def run(main: Callable[[LeapingLoop], Awaitable[Result]]) -> Result:
    """Run a coroutine function on a fresh `LeapingLoop`, in the place of `asyncio.run`."""
    loops: list[LeapingLoop] = []

    def make_loop() -> LeapingLoop:
        loops.append(LeapingLoop())
        return loops[-1]

    async def whole() -> Result:
        return await main(loops[-1])

    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(whole())


class Line(Protocol):
    """A server in this process: takes and gives messages of the protocol as JSON text."""

    def send(self, message: bytes) -> None:
        """Give it a client's event."""

    async def receive(self) -> bytes | None:
        """Its next event; None when there will be no more."""


class LineLink:
    """The client's end of a line; satisfies `session.Link`.

    Events go through the codec both ways, as they would over a network.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self.opened_at = asyncio.get_running_loop().time()

    async def send(self, event: ClientEvent) -> None:
        """Send one event."""
        self._line.send(encode(event))

    async def __aiter__(self) -> AsyncIterator[Received]:
        """Every message as an input, the greeting included.

        Raises:
            ConnectionFailed: the server has ended.
        """
        while (text := await self._line.receive()) is not None:
            yield Received(SERVER_CODEC.decode(text), text)
        raise ConnectionFailed("the embedded engine has ended the session")
