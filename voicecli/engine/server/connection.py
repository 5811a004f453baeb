"""One client: moves inputs and outputs between its socket, its dialogue and its jobs.

Nothing a client does can stop another one. Long audio is taken in slices, with a breath for the
others after each. What piles up is bounded on both sides: while a client has too much unread, or
too many jobs unfinished, nothing more is read from it, and the network holds it back; one that
reads nothing at all is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Final, Literal, Protocol

from websockets.exceptions import ConnectionClosed

from voicecli.engine.dialogue.dialogue import Dialogue
from voicecli.engine.dialogue.jobs import (
    AnswerFailed,
    AnswerFinished,
    Input,
    Job,
    Judged,
    Output,
    Tick,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.server.watch import Watch
from voicecli.protocol.codec import CLIENT_CODEC, Decoded, encode
from voicecli.protocol.events import InputAudioBufferAppend, ResponseCancel, ServerEvent

PAUSE_OUTBOX_BYTES: Final = 4 * 1024 * 1024
"A client with more than this unread is not read from: it must not ask for yet more."
MAX_OUTBOX_BYTES: Final = 64 * 1024 * 1024
"A client with more than this unread is dropped. One whole item retrieved may have 40 MB."
MAX_JOBS: Final = 16
"A client with more jobs unfinished than this is not read from until some of them are done."
SEND_STALL_S: Final = 30.0
"A client that takes nothing for so long is dropped."
SLICE_BYTES: Final = 9_600
"Appended audio is taken in such pieces, 0.2 s each, so that a long file holds up nobody."

GOING_AWAY: Final = 1001


class Line(Protocol):
    """What a connection needs of a socket: a `ServerConnection` has it."""

    @property
    def transport(self) -> Abortable: ...

    async def recv(self, decode: Literal[False]) -> bytes: ...

    async def send(self, message: bytes, *, text: bool) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...


class Abortable(Protocol):
    """What can be cut off."""

    def abort(self) -> None:
        """End at once; what is waiting is lost."""


class Worker(Protocol):
    """Does the jobs of one connection; used on the thread of the loop."""

    @property
    def unfinished(self) -> int:
        """Jobs whose results are still to come."""
        ...

    def run(self, job: Job) -> None:
        """Start or cancel; returns at once."""
        ...

    def ended(self, job: str) -> None:
        """A result of this job came: nothing of it is left to cancel."""
        ...

    def close(self) -> None:
        """Cancel everything; nothing is delivered any more."""
        ...


class Connection:
    """A client that was let in.

    Only `_receive_all` and `_send_all` wait; everything else is a step of the dialogue, on the
    thread of the loop.

    Args:
        socket: after its handshake.
        dialogue: its state.
        make_worker: makes what does its jobs; results go to `deliver`.
        watch: sees what is sent.
        clock: seconds that never go back.
        dropped: told when the client is cut off.
    """

    def __init__(
        self,
        socket: Line,
        dialogue: Dialogue,
        make_worker: Callable[[Connection], Worker],
        watch: Watch,
        clock: Callable[[], float],
        dropped: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._dialogue = dialogue
        self._worker = make_worker(self)
        self._watch = watch
        self._clock = clock
        self._dropped = dropped
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        # Bounded by bytes, see above.
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._moved = asyncio.Event()
        self._goodbye: tuple[int, str] | None = None
        self._is_leaving = False
        self._is_cut = False
        self._is_closed = False
        self.gone = asyncio.Event()
        "Set by its owner when it has ended."
        self.backlog_bytes = 0
        "What the client has not read yet."

    async def run(self) -> None:
        """Talk until the client leaves or is told to."""
        self.emit(self._dialogue.begin())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_all())
            try:
                await self._receive_all()
            finally:
                self._close()

    def leave(self, reason: str) -> None:
        """Let the answers in progress end, begin nothing more, and then close."""
        self._is_leaving = True
        self._goodbye = (GOING_AWAY, reason)
        self._close_if_through()

    def close(self, code: int, reason: str) -> None:
        """Send what is waiting, say goodbye, and end."""
        self._goodbye = (code, reason)
        self._close()

    def abort(self) -> None:
        """End at once; what is waiting is lost."""
        self._close()
        self._socket.transport.abort()

    def cut(self) -> None:
        """Send what is waiting, then end without a goodbye."""
        self._is_cut = True
        self._close()

    def send_raw(self, text: bytes) -> None:
        """Queue any text for the client."""
        if not self._is_closed:
            self.backlog_bytes += len(text)
            self._outbox.put_nowait(text)

    def emit(self, outputs: list[Output]) -> None:
        """Send events and run jobs, in order."""
        now = self._clock()
        for output in outputs:
            if isinstance(output, ServerEvent):
                self._watch.sent(output, now)
                self.send_raw(encode(output))
            else:
                self._worker.run(output)
        if self.backlog_bytes > MAX_OUTBOX_BYTES:
            self._drop()

    # ---------------------------------------------------------------------------------- waiting

    async def _receive_all(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                text = await self._socket.recv(decode=False)
                for event in self._sliced(CLIENT_CODEC.decode(text)):
                    if not self._is_leaving or isinstance(event, ResponseCancel):
                        await self._take_in_steps(event)
                    else:
                        await asyncio.sleep(0)
                    await self._caught_up()

    async def _caught_up(self) -> None:
        while not self._is_closed and self._is_behind:
            self._moved.clear()
            await self._moved.wait()

    @property
    def _is_behind(self) -> bool:
        return self.backlog_bytes > PAUSE_OUTBOX_BYTES or self._worker.unfinished > MAX_JOBS

    async def _send_all(self) -> None:
        try:
            await self._send_until_closed()
        finally:
            # Who reads no more may be waited for before more is read from it.
            self._close()

    async def _send_until_closed(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while (text := await self._outbox.get()) is not None:
                try:
                    async with asyncio.timeout(SEND_STALL_S):
                        await self._socket.send(text, text=True)
                except TimeoutError:
                    self._drop()
                self.backlog_bytes -= len(text)
                self._moved.set()
                self._close_if_through()
            if self._is_cut:
                self._socket.transport.abort()
            elif self._goodbye is not None:
                await self._socket.close(*self._goodbye)

    def take(self, input: Input) -> None:
        """One step of the dialogue; on the thread of the loop, and not within another step."""
        if self._is_closed:
            return
        if isinstance(
            input, Transcribed | TranscriptionFailed | Judged | AnswerFinished | AnswerFailed
        ):
            self._worker.ended(input.job)
            self._moved.set()
        now = self._clock()
        self.emit(self._dialogue.handle(input, now))
        self._set_timer(now)
        self._close_if_through()

    async def _take_in_steps(self, event: Input) -> None:
        """As `take`, with a breath for the others after each step."""
        for outputs in self._dialogue.steps(event, self._clock()):
            if self._is_closed:
                return
            now = self._clock()
            self.emit(outputs)
            self._set_timer(now)
            self._close_if_through()
            await asyncio.sleep(0)

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._dialogue.next_timer()
        if due is not None and not self._is_closed and not self._is_leaving:
            self._timer = self._loop.call_later(max(0.0, due - now), self.take, Tick())

    def deliver(self, result: Input) -> None:
        """Take the result of a job; on any thread."""
        # After the loop has ended nobody is left who could be told.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.take, result)

    def _sliced(self, event: Decoded) -> Iterator[Input]:
        # What will be refused is refused once, as a whole.
        if (
            isinstance(event, InputAudioBufferAppend)
            and len(event.audio) > SLICE_BYTES
            and self._dialogue.may_be_sliced(event.audio)
        ):
            for start in range(0, len(event.audio), SLICE_BYTES):
                audio = event.audio[start : start + SLICE_BYTES]
                yield InputAudioBufferAppend(audio=audio, event_id=event.event_id)
        else:
            yield event

    def _close_if_through(self) -> None:
        if self._is_leaving and not self._watch.is_answering:
            self._close()

    def _drop(self) -> None:
        self._dropped()
        self.abort()

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._worker.close()
        self._moved.set()
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.put_nowait(None)
