"""The WebSocket server: one `Dialogue` per connection, the models shared by all.

A client is greeted at once, also while models are loading: jobs wait for them. Nothing a client
does can stop another one: its input is bounded, long audio is taken in slices, and a client that
does not read what it is sent is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import ipaddress
import json
import logging
import secrets
import signal
import string
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as websockets_serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from voicecli.engine.dialogue import MAX_APPEND_BYTES, MODEL, Dialogue
from voicecli.engine.jobs import (
    AnswerFailed,
    AnswerFinished,
    Input,
    Output,
    Tick,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.stages import Models, Stages, Workshop
from voicecli.errors import ConnectionFailed
from voicecli.protocol.codec import CLIENT_CODEC, Decoded, encode
from voicecli.protocol.events import InputAudioBufferAppend, ServerEvent

log = logging.getLogger(__name__)

PATH: Final = "/v1/realtime"
MAX_CONNECTIONS: Final = 32
MAX_FRAME_BYTES: Final = 21 * 1024 * 1024
"15 MiB of audio are 20 MiB of base64."
MAX_OUTBOX_BYTES: Final = 64 * 1024 * 1024
"A client that lets more than this pile up does not read: about ten minutes of speech."
SEND_STALL_S: Final = 30.0
"A client that takes nothing for so long is gone."
SLICE_BYTES: Final = 48_000
"Appended audio is taken in such pieces, so that a long file does not hold up the others."
PING_INTERVAL_S: Final = 30.0
PING_TIMEOUT_S: Final = 120.0
"Long, because a machine busy with its models may be slow to answer."

_ID_CHARS: Final = string.ascii_letters + string.digits
_ID_LENGTH: Final = 21


async def serve(
    host: str,
    port: int,
    make_models: Callable[[], Models],
    *,
    ready: Callable[[int], None],
    stop: asyncio.Event | None = None,
    voices: Collection[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Serve until SIGINT, SIGTERM or `stop`; then say goodbye to the clients and return.

    Args:
        host: the address to listen on.
        port: 0 takes a free one.
        make_models: loads the models; called once, on a thread.
        ready: called with the port as soon as clients can connect; models may still be loading.
        stop: ends the server when it is set.
        voices: names of voices beside those of the API.
        clock: seconds that never go back.

    Raises:
        ConnectionFailed: the address cannot be listened on.
    """
    stop = asyncio.Event() if stop is None else stop
    engine = _Engine(Workshop(make_models), voices, clock)
    try:
        server = await websockets_serve(
            engine.talk,
            host,
            port,
            process_request=engine.respond,
            select_subprotocol=_select_subprotocol,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            close_timeout=0.5,
            server_header=None,
        )
    except OSError as exc:
        raise ConnectionFailed(
            f"cannot listen on {host!r} port {port}: {exc.strerror or exc}",
            "choose another port with --port, or 0 for a free one",
        ) from exc
    with _signals(stop):
        await _until(stop, server, ready)


async def _until(stop: asyncio.Event, server: Server, ready: Callable[[int], None]) -> None:
    async with server:
        ready(server.sockets[0].getsockname()[1])
        await stop.wait()


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set `stop`, where this thread can be told of them."""
    loop = asyncio.get_running_loop()
    wanted = (signal.SIGINT, signal.SIGTERM)
    try:
        for one in wanted:
            loop.add_signal_handler(one, stop.set)
    except NotImplementedError:  # Windows
        old = {one: signal.getsignal(one) for one in wanted}
        for one in wanted:
            signal.signal(one, lambda *_: loop.call_soon_threadsafe(stop.set))
        yield
        for one, handler in old.items():
            signal.signal(one, handler)
    except (ValueError, RuntimeError):  # not the main thread
        yield
    else:
        yield
        for one in wanted:
            loop.remove_signal_handler(one)


class _Engine:
    """What all connections share."""

    def __init__(
        self, workshop: Workshop, voices: Collection[str], clock: Callable[[], float]
    ) -> None:
        self._workshop = workshop
        self._voices = voices
        self._clock = clock
        self._connections = 0

    def respond(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer what is no handshake, and refuse handshakes that are not to be."""
        path = urlsplit(request.path).path
        if not _is_local_origin(request.headers.get("Origin")):
            return socket.respond(http.HTTPStatus.FORBIDDEN, "not for pages of other sites\n")
        if path == "/healthz":
            return _json(socket, {"status": "ok", "models": self._workshop.state})
        if path == "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "voicecli"}
            return _json(socket, {"object": "list", "data": [model]})
        if not path.endswith("/realtime"):
            return socket.respond(http.HTTPStatus.NOT_FOUND, f"connect to {PATH}\n")
        if self._connections >= MAX_CONNECTIONS:
            return socket.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "too many connections\n")
        return None

    async def talk(self, socket: ServerConnection) -> None:
        """One connection, from its greeting to its end."""
        self._connections += 1
        try:
            dialogue = Dialogue(new_id, voices=self._voices)
            await _Connection(socket, dialogue, self._workshop, self._clock).run()
        finally:
            self._connections -= 1


class _Connection:
    """Moves inputs and outputs between a socket, its dialogue and its jobs.

    Only `_receive_all` and `_send_all` wait; everything else is a step of the dialogue, on the
    thread of the loop.
    """

    def __init__(
        self,
        socket: ServerConnection,
        dialogue: Dialogue,
        workshop: Workshop,
        clock: Callable[[], float],
    ) -> None:
        self._socket = socket
        self._dialogue = dialogue
        self._stages = Stages(workshop, self._deliver)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._outbox_bytes = 0
        self._closed = False

    async def run(self) -> None:
        self._emit(self._dialogue.begin())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_all())
            try:
                await self._receive_all()
            finally:
                self._close()

    async def _receive_all(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                for event in _sliced(CLIENT_CODEC.decode(await self._socket.recv(decode=False))):
                    self._step(event)
                    await asyncio.sleep(0)

    async def _send_all(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while (text := await self._outbox.get()) is not None:
                self._outbox_bytes -= len(text)
                try:
                    async with asyncio.timeout(SEND_STALL_S):
                        await self._socket.send(text, text=True)
                except TimeoutError:
                    self._drop()

    def _step(self, input: Input) -> None:
        if self._closed:
            return
        if isinstance(input, Transcribed | TranscriptionFailed | AnswerFinished | AnswerFailed):
            self._stages.ended(input.job)
        now = self._clock()
        self._emit(self._dialogue.handle(input, now))
        self._set_timer(now)

    def _emit(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, ServerEvent):
                text = encode(output)
                self._outbox_bytes += len(text)
                self._outbox.put_nowait(text)
            else:
                self._stages.run(output)
        if self._outbox_bytes > MAX_OUTBOX_BYTES:
            self._drop()

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._dialogue.next_timer()
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due - now), self._step, Tick())

    def _deliver(self, result: Input) -> None:
        # After the loop has ended nobody is left who could be told.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._step, result)

    def _drop(self) -> None:
        log.warning("a client that does not read was dropped")
        self._close()
        self._socket.transport.abort()

    def _close(self) -> None:
        self._closed = True
        self._stages.close()
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.put_nowait(None)


def _sliced(event: Decoded) -> Iterator[Input]:
    if isinstance(event, InputAudioBufferAppend) and len(event.audio) > SLICE_BYTES:
        yield from _slices(event)
    else:
        yield event


def _slices(event: InputAudioBufferAppend) -> Iterator[Input]:
    if len(event.audio) > MAX_APPEND_BYTES:
        yield event  # refused as a whole
        return
    for start in range(0, len(event.audio), SLICE_BYTES):
        audio = event.audio[start : start + SLICE_BYTES]
        yield InputAudioBufferAppend(audio=audio, event_id=event.event_id)


def new_id(prefix: str) -> str:
    """A random id of the API's shape, such as `item_3Xq…`."""
    return f"{prefix}_" + "".join(secrets.choice(_ID_CHARS) for _ in range(_ID_LENGTH))


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach the address or name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


def _is_local_origin(origin: str | None) -> bool:
    """Whether a request comes from no web page, or from one of this machine.

    Any page on the web may try to reach a server on the machine of whoever looks at it.
    """
    if origin is None:
        return True
    with contextlib.suppress(ValueError):
        return is_loopback(urlsplit(origin).hostname or "")
    return False


def _select_subprotocol(
    socket: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    # Browsers hide their key in further names; the handshake fails unless this one is chosen.
    realtime = Subprotocol("realtime")
    return realtime if realtime in offered else None


def _json(socket: ServerConnection, value: object) -> Response:
    response = socket.respond(http.HTTPStatus.OK, json.dumps(value) + "\n")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response
