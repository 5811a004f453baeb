"""The engine in the process of its client, on the same event loop, with no socket between.

For talks faster than real time: the clock must stand still while models work, and what they say
must come in the same order each time. So the jobs of a connection are done one after the other, and
each result is handed on when all that followed from the one before has happened.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, Literal, Protocol

from voicecli.engine.dialogue.dialogue import Dialogue
from voicecli.engine.dialogue.jobs import (
    Answer,
    AnswerFailed,
    AnswerFinished,
    Input,
    Job,
    Judged,
    JudgeTurn,
    Prepare,
    Transcribe,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.server.connection import Connection
from voicecli.engine.server.watch import Watch
from voicecli.engine.stages import Models, Stages, Workshop

VOICES: Final = ("heart",)
"Names of voices beside those of the API."

_Work = Transcribe | JudgeTurn | Answer
_LAST = (Transcribed, TranscriptionFailed, Judged, AnswerFinished, AnswerFailed)


class Stillness(Protocol):
    """The loop's clock, which stands still on demand."""

    def hold(self) -> None:
        """Let it stand still until `release`; holds are counted."""

    def release(self) -> None:
        """Take one hold back."""

    def call_when_quiet(self, callback: Callable[[], None]) -> None:
        """Call this when nothing else is to be done at this moment; in the order given."""


class Engine:
    """The models, for any number of connections on one loop.

    Args:
        models: loaded.
        stillness: of the running loop.
        voices: names of voices beside those of the API.
    """

    def __init__(
        self, models: Models, stillness: Stillness, *, voices: Collection[str] = VOICES
    ) -> None:
        self._models = models
        self._stillness = stillness
        self._voices = voices

    @asynccontextmanager
    async def line(self) -> AsyncIterator[EngineLine]:
        """A connection to a dialogue of its own, which ends with the block.

        Ids count up for each kind, from 1: `item_1`, `item_2`, …
        """
        # The models have turns of their own; threads of its own make a talk independent of others.
        workshop = Workshop(lambda: self._models)
        line = EngineLine()
        try:
            await asyncio.get_running_loop().run_in_executor(None, workshop.models)
            connection = Connection(
                line.socket,
                Dialogue(_counted_ids(), voices=self._voices),
                partial(_OneByOne, workshop, self._stillness),
                Watch(write=_ignored, count=_ignored, observe=_ignored),
                asyncio.get_running_loop().time,
                _ignored,
            )
            serving = asyncio.create_task(connection.run())
            serving.add_done_callback(lambda _: line.socket.end())
            try:
                yield line
            finally:
                serving.cancel()
                with suppress(asyncio.CancelledError):
                    await serving
        finally:
            workshop.close()


class EngineLine:
    """The client's end of a connection: messages of the protocol as JSON text."""

    def __init__(self) -> None:
        self.socket = _Socket()
        "The engine's end."

    def send(self, message: bytes) -> None:
        """Give the engine an event."""
        self.socket.to_engine.put_nowait(message)

    async def receive(self) -> bytes | None:
        """The engine's next event; None when there will be no more."""
        return await self.socket.to_client.get()


class _Socket:
    """The engine's end of a line; the part of a WebSocket that a `Connection` uses.

    Nothing here is bounded: both ends take what is there before the clock goes on.
    """

    def __init__(self) -> None:
        self.to_engine: asyncio.Queue[bytes] = asyncio.Queue()
        self.to_client: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.transport = self

    async def recv(self, decode: Literal[False]) -> bytes:
        return await self.to_engine.get()

    async def send(self, message: bytes, *, text: bool) -> None:
        self.to_client.put_nowait(message)

    async def close(self, code: int, reason: str) -> None:
        self.end()

    def abort(self) -> None:
        self.end()

    def end(self) -> None:
        """Nothing more will come."""
        self.to_client.put_nowait(None)


class _OneByOne:
    """Does the jobs of one connection in their order; satisfies `Worker`."""

    def __init__(self, workshop: Workshop, stillness: Stillness, connection: Connection) -> None:
        self._stillness = stillness
        self._take = connection.take
        self._loop = asyncio.get_running_loop()
        self._stages = Stages(workshop, self._deliver)
        self._waiting: deque[_Work] = deque()
        self._doing: str | None = None

    @property
    def unfinished(self) -> int:
        """Jobs whose results are still to come."""
        return len(self._waiting) + (self._doing is not None)

    def run(self, job: Job) -> None:
        """Start or cancel; returns at once."""
        match job:
            case Transcribe() | JudgeTurn() | Answer():
                self._waiting.append(job)
                self._go_on()
            case Prepare():
                pass  # it saves time, which does not pass here
            case _ if job.job == self._doing:
                self._stages.run(job)
                self._done()
            case _:
                self._waiting = deque(one for one in self._waiting if one.job != job.job)

    def ended(self, job: str) -> None:
        """Nothing: `_hand_on` knows."""

    def close(self) -> None:
        """Cancel everything; nothing is delivered any more."""
        self._waiting.clear()
        self._stages.close()
        if self._doing is not None:
            self._done()

    def _go_on(self) -> None:
        if self._doing is None and self._waiting:
            job = self._waiting.popleft()
            self._doing = job.job
            self._stillness.hold()
            self._stages.run(job)

    def _done(self) -> None:
        self._doing = None
        self._stillness.release()
        self._go_on()

    def _deliver(self, result: Input) -> None:
        """Take a result, on any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody wants to know
            self._loop.call_soon_threadsafe(
                self._stillness.call_when_quiet, partial(self._hand_on, result)
            )

    def _hand_on(self, result: Input) -> None:
        job = getattr(result, "job", None)
        if job is None or job != self._doing:
            return
        self._take(result)
        if isinstance(result, _LAST) and job == self._doing:
            self._stages.ended(job)
            self._done()


def _counted_ids() -> Callable[[str], str]:
    counters: dict[str, Iterator[int]] = {}

    def new_id(prefix: str) -> str:
        return f"{prefix}_{next(counters.setdefault(prefix, itertools.count(1)))}"

    return new_id


def _ignored(*_: object, **__: object) -> None:
    """Nobody keeps a journal or figures of these talks."""
