"""A Realtime server that does as it is told: a script of events, and a record of the client's.

It runs on an event loop in a thread of its own, so a test may wait on the program it talks with. A
script is a coroutine function that gets a `Peer`: it sends, waits for what the client does, and
breaks the rules where that is the point. What the client sends is kept with the monotonic time of
its arrival.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Fields = dict[str, Any]
BYTES_PER_MS = 48
"PCM16 at 24 kHz."
SESSION: Fields = {
    "id": "sess_scripted",
    "object": "realtime.session",
    "type": "realtime",
    "model": "scripted",
    "output_modalities": ["audio"],
    "audio": {"input": {}, "output": {"voice": "marin"}},
}


@dataclass(frozen=True)
class Came:
    """One event of the client."""

    at: float
    "Monotonic, in seconds."
    event: Fields

    @property
    def type(self) -> str:
        return str(self.event.get("type"))


@dataclass
class Log:
    """What one client has sent so far; complete once the connection is closed."""

    came: list[Came] = field(default_factory=list)
    appends: list[float] = field(default_factory=list)
    "Times of arrival of microphone audio, which is in `audio` and not in `came`."
    audio: bytearray = field(default_factory=bytearray)
    close_code: int | None = None

    def of(self, kind: str) -> list[Came]:
        """All events of a type, in order."""
        return [one for one in self.came if one.type == kind]

    @property
    def types(self) -> list[str]:
        """The types of all events but microphone audio."""
        return [one.type for one in self.came]


class Peer:
    """The server's end of one connection; for scripts."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self._changed = asyncio.Condition()
        self.log = Log()
        self.sent_at: dict[str, float] = {}
        "When an event of each type was last handed to the socket."

    async def send(self, kind: str, **fields: Any) -> float:
        """Send an event; gives when."""
        self.sent_at[kind] = time.monotonic()
        await self._socket.send(json.dumps({"type": kind, "event_id": f"ev_{kind}", **fields}))
        return self.sent_at[kind]

    async def raw(self, message: str | bytes) -> None:
        """Send anything."""
        await self._socket.send(message)

    async def until(self, kind: str, count: int = 1) -> Came:
        """Wait for the `count`th event of a type."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.log.of(kind)) >= count)
        return self.log.of(kind)[count - 1]

    async def until_heard(self, ms: int) -> None:
        """Wait until so much microphone audio has come in all."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.log.audio) >= ms * BYTES_PER_MS)

    async def is_read(self) -> None:
        """Wait until the client's side of the network has taken everything that was sent."""
        await (await self._socket.ping())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def stop_reading(self) -> None:
        """Take nothing more from the network, a goodbye included."""
        self._socket.transport.pause_reading()

    def reset(self) -> None:
        """End the connection by a TCP reset, in the middle of whatever is going on."""
        transport = self._socket.transport
        linger_for_nothing = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger_for_nothing
        )
        transport.abort()

    async def greet(self) -> None:
        """Begin a session and confirm the settings, as every sane server does."""
        await self.send("session.created", session=SESSION)
        wanted = (await self.until("session.update")).event["session"]
        audio = {**SESSION["audio"], **wanted.get("audio", {})}
        await self.send("session.updated", session={**SESSION, **wanted, "audio": audio})

    async def receive(self) -> None:
        """Keep what comes until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                text = await self._socket.recv()
                at = time.monotonic()
                async with self._changed:
                    self._keep(json.loads(text), at)
                    self._changed.notify_all()
        self.log.close_code = self._socket.close_code

    def _keep(self, event: Fields, at: float) -> None:
        if event.get("type") == "input_audio_buffer.append":
            self.log.appends.append(at)
            self.log.audio += base64.b64decode(event["audio"])
        else:
            self.log.came.append(Came(at, event))

    # --------------------------------------------------------------------------- whole answers

    async def speech(self, item_id: str, *, began_ms: int = 0, ended_ms: int | None = None) -> None:
        """The user's turn is noticed, ends, and becomes an item."""
        await self.send(
            "input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=began_ms
        )
        if ended_ms is None:
            return
        await self.send("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=ended_ms)
        await self.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)

    async def words(self, item_id: str, transcript: str) -> None:
        """What the user said."""
        await self.send(
            "conversation.item.input_audio_transcription.completed",
            item_id=item_id, content_index=0, transcript=transcript,
            usage={"type": "duration", "seconds": 1},
        )  # fmt: skip

    async def begin(self, response_id: str) -> None:
        await self.send("response.created", response=response(response_id, "in_progress"))

    async def item(self, response_id: str, item_id: str, transcript: str = "") -> None:
        """An answer's item begins, with all of its words."""
        item = message(item_id)
        await self.send(
            "response.output_item.added", response_id=response_id, output_index=0, item=item
        )
        await self.send("conversation.item.added", item=item, previous_item_id=None)
        if transcript:
            await self.send(
                "response.output_audio_transcript.delta",
                **part(response_id, item_id), delta=transcript,
            )  # fmt: skip

    async def delta(self, response_id: str, item_id: str, audio: bytes) -> float:
        """Audio in the session's output format; gives when it was sent."""
        return await self.send(
            "response.output_audio.delta",
            **part(response_id, item_id), delta=base64.b64encode(audio).decode(),
        )  # fmt: skip

    async def deltas(
        self, response_id: str, item_id: str, pcm: bytes, *, ms: int = 100, paced: bool = False
    ) -> float:
        """Audio in pieces, at the pace of real time or at once; gives when the first was sent."""
        step, begun = ms * BYTES_PER_MS, time.monotonic()
        first_at = 0.0
        for number, start in enumerate(range(0, len(pcm), step)):
            if paced:
                await asyncio.sleep(begun + number * ms / 1000 - time.monotonic())
            at = await self.delta(response_id, item_id, pcm[start : start + step])
            first_at = first_at or at
        return first_at

    async def audio_done(self, response_id: str, item_id: str) -> None:
        await self.send("response.output_audio.done", **part(response_id, item_id))

    async def end(
        self, response_id: str, *items: str | Fields, status: str = "completed", reason: str = ""
    ) -> None:
        """The response is done; items are messages by id, or whole objects."""
        output = [message(one) if isinstance(one, str) else one for one in items]
        done = response(response_id, status, output)
        if reason:
            done["status_details"] = {"type": status, "reason": reason}
        await self.send("response.done", response=done)

    async def answer(
        self,
        response_id: str,
        item_id: str,
        pcm: bytes,
        transcript: str = "",
        *,
        ms: int = 100,
        paced: bool = False,
    ) -> float:
        """A whole answer of one item; gives when its first audio was sent."""
        await self.begin(response_id)
        await self.item(response_id, item_id, transcript)
        first_at = await self.deltas(response_id, item_id, pcm, ms=ms, paced=paced)
        await self.audio_done(response_id, item_id)
        await self.end(response_id, item_id)
        return first_at


Script = Callable[[Peer], Coroutine[Any, Any, None]]
Refusal = Callable[[ServerConnection, Request], Awaitable[Response | None] | Response | None]


def part(response_id: str, item_id: str, content_index: int = 0) -> Fields:
    """Where a piece of an answer belongs."""
    place: Fields = {"response_id": response_id, "item_id": item_id}
    return place | {"output_index": 0, "content_index": content_index}


def message(item_id: str) -> Fields:
    """An item of the assistant's."""
    return {
        "id": item_id, "object": "realtime.item", "type": "message", "role": "assistant",
        "status": "completed", "content": [{"type": "output_audio", "transcript": ""}],
    }  # fmt: skip


def call(call_id: str, name: str, arguments: str) -> Fields:
    """An item that calls a function."""
    return {
        "id": f"item_{call_id}", "object": "realtime.item", "type": "function_call",
        "status": "completed", "call_id": call_id, "name": name, "arguments": arguments,
    }  # fmt: skip


def response(response_id: str, status: str, output: Sequence[Fields] = ()) -> Fields:
    return {
        "id": response_id, "object": "realtime.response", "status": status,
        "output": list(output), "usage": {"total_tokens": 3, "input_tokens": 1, "output_tokens": 2},
    }  # fmt: skip


async def greet_only(peer: Peer) -> None:
    """A server that confirms the session and then says nothing."""
    await peer.greet()


class ScriptedServer:
    """Serves a script to every client, in a thread, while the context lasts.

    Args:
        script: runs once per connection, beside the recording of what the client sends; when it
            returns, the connection stays open until the client leaves.
        respond: answers the handshake instead; as `process_request` of `websockets`.
    """

    def __init__(self, script: Script = greet_only, respond: Refusal | None = None) -> None:
        self._script = script
        self._respond = respond
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.logs: list[Log] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.failures: list[BaseException] = []
        "What went wrong in scripts, the end of the connection left out."
        self.url = ""

    @property
    def log(self) -> Log:
        """Of the only client."""
        (only,) = self.logs
        return only

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve(
            self._talk, "127.0.0.1", 0, process_request=self._respond, compression=None,
            max_size=None, ping_interval=None, close_timeout=0.5,
        ) as server:  # fmt: skip
            port = server.sockets[0].getsockname()[1]
            self.url = f"ws://127.0.0.1:{port}/v1/realtime"
            self._ready.set()
            await self._stop.wait()

    async def _talk(self, socket: ServerConnection) -> None:
        peer = Peer(socket)
        self.logs.append(peer.log)
        if socket.request is not None:
            self.headers.append(dict(socket.request.headers.raw_items()))
            self.paths.append(socket.request.path)
        acting = asyncio.create_task(self._act(peer))
        await peer.receive()
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)

    async def _act(self, peer: Peer) -> None:
        try:
            await self._script(peer)
        except ConnectionClosed:
            return
        except Exception as exc:  # noqa: BLE001
            self.failures.append(exc)
            await peer.close(1011, "the script failed")


@contextlib.contextmanager
def plain_tcp(answer: bytes | None, *, reset: bool = False) -> Iterator[int]:
    """A TCP server that is no WebSocket server; gives its port.

    Args:
        answer: what it sends, whatever it is asked; None: nothing, and it keeps the line open.
        reset: end by a reset instead.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        stop = threading.Event()
        held: list[socket.socket] = []

        def run() -> None:
            while not stop.is_set():
                try:
                    line, _ = listener.accept()
                except TimeoutError:
                    continue
                line.settimeout(1)
                with contextlib.suppress(OSError):
                    if reset:
                        line.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
                        line.close()
                        continue
                    if answer is None:
                        held.append(line)
                        continue
                    line.recv(4096)
                    line.sendall(answer)
                line.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join()
            for line in held:
                line.close()
