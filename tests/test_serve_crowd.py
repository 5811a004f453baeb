"""What one client does to the others: nothing."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from engine_fakes import FakeEars, FakeMind, FakeVoice, clip, silence
from test_serve import ask, models, receive, send, serving, talking, until
from test_serve_doors import request
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from voicecli.engine.dialogue.messages import Piece
from voicecli.engine.server import connection as engine_connection
from voicecli.engine.server.connection import PAUSE_OUTBOX_BYTES
from voicecli.engine.server.house import Policy
from voicecli.engine.stages import Models
from voicecli.errors import ModelError


async def is_served(url: str) -> None:
    """A client gets its answer."""
    async with asyncio.timeout(10), connect(url) as socket:
        await receive(socket)
        await ask(socket)
        await until(socket, "response.done")


async def flood(socket: ClientConnection, text: str | bytes) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.send(text)
            await asyncio.sleep(0)  # sending alone would keep the loop to itself


async def read(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()


def append(pcm: bytes) -> str:
    audio = base64.b64encode(pcm).decode()
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio})


@pytest.mark.parametrize(
    "text",
    [
        append(clip()[:960]),
        append((clip() + silence(700)) * 20),
        "{",
        json.dumps({"type": "session.update", "session": {"type": "realtime", "x": "y" * 10_000}}),
        json.dumps({"type": "response.create", "response": {"conversation": "none", "input": []}}),
    ],
)
def test_a_client_that_sends_at_full_speed_holds_up_nobody(text: str) -> None:
    async def run() -> None:
        async with serving() as url, connect(url, compression=None) as rude:
            flooding = asyncio.create_task(flood(rude, text))
            reading = asyncio.create_task(read(rude))
            for _ in range(3):
                await is_served(url)
            for task in (flooding, reading):
                task.cancel()
            rude.transport.abort()

    asyncio.run(run())


def test_what_is_no_websocket_ends_that_connection_only() -> None:
    async def run() -> None:
        async with serving() as url:
            host, port = url.removeprefix("ws://").split("/")[0].split(":")
            head = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 999
            for rubbish in (b"\0" * 100, os.urandom(3000), head):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(rubbish)
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            async with connect(url, compression=None) as socket:
                await receive(socket)
                socket.transport.write(b"\xff\xff" * 100)  # frames that break the protocol
                with pytest.raises(ConnectionClosed):
                    await read_all(socket)
            await is_served(url)

    asyncio.run(run())


async def read_all(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


def test_an_append_that_is_too_long_is_refused() -> None:
    async def run() -> None:
        async with serving() as url, connect(url, compression=None) as socket:
            await receive(socket)
            await socket.send(append(bytes(15 * 1024 * 1024 + 2)))
            error = (await receive(socket))["error"]
            assert error["param"] == "audio"
            assert "15 MiB" in error["message"]
            await send(socket, "input_audio_buffer.clear")
            assert (await receive(socket))["type"] == "input_audio_buffer.cleared"

    asyncio.run(run())


def test_a_conversation_holds_so_much_text_and_no_more() -> None:
    async def run() -> None:
        async with serving() as url, connect(url, max_size=None) as socket:
            await receive(socket)
            content = [{"type": "input_text", "text": "x" * (6 * 1024 * 1024)}]
            item = {"type": "message", "role": "user", "content": content}
            told = []
            for _ in range(3):
                await send(socket, "conversation.item.create", item=item)
                told.append((await receive(socket))["type"])
                if told[-1] != "error":
                    done = await receive(socket)
            assert told == ["conversation.item.added", "conversation.item.added", "error"]
            await send(socket, "conversation.item.delete", item_id=done["item"]["id"])
            await receive(socket)
            await send(socket, "conversation.item.create", item=item)
            assert (await receive(socket))["type"] == "conversation.item.added"

    asyncio.run(run())


def test_a_message_that_is_too_long_ends_the_connection() -> None:
    async def run() -> None:
        async with serving() as url:
            socket = await connect(url, compression=None)
            await receive(socket)
            sending = asyncio.create_task(flood(socket, "x" * (22 * 1024 * 1024)))
            with pytest.raises(ConnectionClosed) as closed:
                await read_all(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
            sending.cancel()
            await is_served(url)

    asyncio.run(run())


def test_clients_that_vanish_in_the_middle_leave_nothing_behind() -> None:
    go = threading.Semaphore(0)

    async def run() -> None:
        async with serving(lambda: models(FakeMind("One.", go=go))) as url:
            for _ in range(40):
                socket = await connect(url)
                await receive(socket)
                await ask(socket)
                await until(socket, "response.created")
                socket.transport.abort()
                await socket.wait_closed()
            go.release(60)
            await is_served(url)

    asyncio.run(run())


class SlowEars(FakeEars):
    """Hears nothing before it may."""

    def __init__(self, may: threading.Event) -> None:
        super().__init__("Hi.")
        self._may = may

    def transcribe(self, samples: Any, *, language: str = "") -> str:
        self._may.wait(10)
        return super().transcribe(samples, language=language)


def test_a_client_whose_work_piles_up_is_not_read_from_until_some_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_connection, "MAX_JOBS", 3)
    may = threading.Event()
    ears = SlowEars(may)

    async def run() -> None:
        def slow() -> Models:
            return Models(ears, FakeMind("Yes."), FakeVoice())

        async with serving(slow) as url, connect(url, compression=None) as socket:
            await receive(socket)
            none = {"audio": {"input": {"turn_detection": None}}, "type": "realtime"}
            await send(socket, "session.update", session=none)
            for _ in range(8):
                await socket.send(append(silence(200)))
                await send(socket, "input_audio_buffer.commit")
            committed = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    while True:
                        event = await receive(socket)
                        committed += event["type"] == "input_audio_buffer.committed"
            assert committed == 4
            may.set()
            while committed < 8:
                event = await receive(socket)
                committed += event["type"] == "input_audio_buffer.committed"

    asyncio.run(run())


def test_answers_of_one_client_do_not_keep_another_one_waiting_longer_than_one_of_them() -> None:
    go = threading.Semaphore(0)
    mind = FakeMind("One.", go=go)

    async def run() -> None:
        async with (
            serving(lambda: models(mind)) as url,
            connect(url) as greedy,
            connect(url) as modest,
        ):
            for _ in range(6):
                response = {"conversation": "none", "input": [], "output_modalities": ["text"]}
                await send(greedy, "response.create", response=response)
            await until(greedy, "response.created")
            await ask(modest)
            await until(modest, "response.created")
            go.release(2)  # for the one that is running, and for the next
            done = asyncio.create_task(until(modest, "response.done"))
            await asyncio.wait_for(done, 5)
            go.release(10)
            for _ in range(6):
                await until(greedy, "response.done")

    asyncio.run(run())


def test_a_client_that_vanishes_with_much_unread_makes_room_for_another() -> None:
    async def run() -> None:
        async with serving(policy=Policy(max_sessions=1)) as url:
            socket = await connect(url, compression=None, max_queue=1)
            audio = base64.b64encode(bytes(48 * 60_000)).decode()
            content = [{"type": "input_audio", "audio": audio}]
            item = {"id": "long", "type": "message", "role": "user", "content": content}
            await send(socket, "conversation.item.create", item=item)
            for _ in range(6):
                await send(socket, "conversation.item.retrieve", item_id="long")
            while await shown(url, "voicecli_backlog_bytes") <= PAUSE_OUTBOX_BYTES:
                pass
            socket.transport.abort()
            async with asyncio.timeout(10):
                while await shown(url, "voicecli_sessions"):
                    pass
            await is_served(url)

    asyncio.run(run())


async def shown(url: str, figure: str) -> float:
    text = (await request(url, "GET", "/metrics"))[2]
    (line,) = [one for one in text.splitlines() if one.startswith(f"{figure} ")]
    return float(line.split()[1])


def test_an_append_that_does_not_fit_is_told_once() -> None:
    manual = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}

    async def talk(socket: ClientConnection) -> None:
        await send(socket, "session.update", session=manual)
        await receive(socket)
        minutes = base64.b64encode(silence(5 * 60_000)).decode()
        for number in range(3):
            await send(
                socket, "input_audio_buffer.append", audio=minutes, event_id=f"append-{number}"
            )
        await send(socket, "input_audio_buffer.clear")
        told = await until(socket, "input_audio_buffer.cleared")
        assert [one["type"] for one in told] == ["error", "input_audio_buffer.cleared"]
        assert told[0]["error"]["event_id"] == "append-2"

    talking(talk)


class OftenOverloaded(FakeMind):
    """Fails every third answer."""

    def reply(self, *given: Any, **more: Any) -> Iterator[Piece]:
        yield from super().reply(*given, **more)
        if len(self.asked) % 3 == 0:
            raise ModelError("overloaded")


def test_a_crowd_that_asks_gets_an_end_to_every_response() -> None:
    mind = OftenOverloaded("Hello there. ", "Bye.")

    async def one(url: str) -> list[tuple[str, str]]:
        ends = []
        async with connect(url) as socket:
            await receive(socket)
            for _ in range(3):
                await ask(socket)
                response = (await until(socket, "response.done"))[-1]["response"]
                error = (response["status_details"] or {}).get("error", {})
                ends.append((response["status"], error.get("message", "")))
        return ends

    async def run() -> None:
        async with serving(lambda: models(mind)) as url:
            ends = await asyncio.gather(*(one(url) for _ in range(12)))
        assert Counter(itertools.chain(*ends)) == {
            ("completed", ""): 24,
            ("failed", "overloaded"): 12,
        }

    asyncio.run(run())
