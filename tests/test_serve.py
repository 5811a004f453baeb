"""The server around the dialogue: connections, jobs on threads, what is refused."""

import asyncio
import base64
import contextlib
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from engine_fakes import FakeEars, FakeMind, FakeVoice, clip, silence, types
from openai_types import check_server_event
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from voicecli.engine.server import connection as engine_connection
from voicecli.engine.server.access import is_loopback
from voicecli.engine.server.house import Policy
from voicecli.engine.server.serve import serve
from voicecli.engine.stages import Models
from voicecli.errors import ConnectionFailed, ModelError

Shown = dict[str, Any]


def models(mind: FakeMind | None = None, ears: FakeEars | None = None) -> Models:
    return Models(
        ears or FakeEars("Go forward."), mind or FakeMind("Hello there. ", "Bye."), FakeVoice()
    )


@contextlib.asynccontextmanager
async def serving(
    make_models: Callable[[], Models] = models,
    policy: Policy | None = None,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> AsyncIterator[str]:
    stop = stop or asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve(
                *("127.0.0.1", 0, make_models),
                ready=port.set_result,
                stop=stop,
                policy=policy,
                **options,
            )
        )
        try:
            yield f"ws://127.0.0.1:{await port}/v1/realtime"
        finally:
            stop.set()


def talking(
    talk: Callable[[ClientConnection], Any], make_models: Callable[[], Models] = models
) -> None:
    async def run() -> None:
        async with serving(make_models) as url, connect(url, compression=None) as socket:
            assert (await receive(socket))["type"] == "session.created"
            await talk(socket)

    asyncio.run(run())


async def send(socket: ClientConnection, type: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": type, **fields}))


async def receive(socket: ClientConnection) -> Shown:
    text = await socket.recv()
    assert isinstance(text, str), "events go in text frames"
    check_server_event(text)
    shown: Shown = json.loads(text)
    return shown


async def until(socket: ClientConnection, type: str) -> list[Shown]:
    told: list[Shown] = []
    while not told or told[-1]["type"] != type:
        told.append(await receive(socket))
    return told


async def ask(socket: ClientConnection, text: str = "Hi.") -> None:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    await send(socket, "conversation.item.create", item=item)
    await send(socket, "response.create")


def test_a_spoken_turn_is_heard_thought_about_and_answered_aloud() -> None:
    mind = FakeMind("Hello there. ", "Bye.")
    ears = FakeEars("Go forward.")

    async def talk(socket: ClientConnection) -> None:
        audio = silence(300) + clip() + silence(700)
        await send(socket, "input_audio_buffer.append", audio=base64.b64encode(audio).decode())
        told = await until(socket, "response.done")
        deltas = [one for one in told if one["type"] == "response.output_audio.delta"]
        assert b"".join(base64.b64decode(one["delta"]) for one in deltas) == b"\1\0" * 3600
        done = told[-1]["response"]
        assert done["status"] == "completed"
        assert done["output"][0]["content"][0]["transcript"] == "Hello there. Bye."

    talking(talk, lambda: models(mind, ears))
    assert [(one.role, one.text) for one in mind.asked[0][1:]] == [("user", "Go forward.")]
    assert len(ears.heard_samples) >= 1


def test_the_first_sentence_is_spoken_while_the_second_is_thought() -> None:
    go = threading.Semaphore(1)

    async def talk(socket: ClientConnection) -> None:
        await ask(socket)
        await until(socket, "response.output_audio.delta")
        go.release()
        told = await until(socket, "response.done")
        assert told[-1]["response"]["output"][0]["content"][0]["transcript"] == "One. Two."

    talking(talk, lambda: models(FakeMind("One. ", "Two.", go=go)))


def test_text_is_passed_on_piece_by_piece() -> None:
    async def talk(socket: ClientConnection) -> None:
        await send(
            socket, "session.update", session={"type": "realtime", "output_modalities": ["text"]}
        )
        await ask(socket)
        told = await until(socket, "response.done")
        deltas = [one["delta"] for one in told if one["type"] == "response.output_text.delta"]
        assert deltas == ["Hello there. ", "Bye."]

    talking(talk)


def test_cancel_stops_the_mind() -> None:
    go = threading.Semaphore(1)
    mind = FakeMind(*["Word. "] * 1000, go=go)

    async def talk(socket: ClientConnection) -> None:
        await ask(socket)
        await until(socket, "response.output_audio.delta")
        await send(socket, "response.cancel")
        told = await until(socket, "response.done")
        assert told[-1]["response"]["status"] == "cancelled"
        go.release()
        assert await asyncio.to_thread(mind.ended.wait, 5)

    talking(talk, lambda: models(mind))


def test_leaving_stops_the_mind() -> None:
    go = threading.Semaphore(1)
    mind = FakeMind(*["Word. "] * 1000, go=go)

    async def run() -> None:
        async with serving(lambda: models(mind)) as url:
            async with connect(url) as socket:
                await ask(socket)
                await until(socket, "response.output_audio.delta")
            await asyncio.to_thread(go.release)
            go.release()
            assert await asyncio.to_thread(mind.ended.wait, 5)

    asyncio.run(run())


def test_clients_are_greeted_while_the_models_load_and_their_jobs_wait() -> None:
    loaded = threading.Event()

    def slow() -> Models:
        loaded.wait(10)
        return models()

    async def talk(socket: ClientConnection) -> None:
        await ask(socket)
        assert types(await until(socket, "response.created"))[-1] == "response.created"
        loaded.set()
        assert (await until(socket, "response.done"))[-1]["response"]["status"] == "completed"

    talking(talk, slow)


def test_without_models_every_answer_fails_with_the_reason() -> None:
    def missing() -> Models:
        raise ModelError("the weights are missing", "fetch them: voicecli models pull x")

    async def talk(socket: ClientConnection) -> None:
        for _ in range(2):
            await ask(socket)
            response = (await until(socket, "response.done"))[-1]["response"]
            assert response["status"] == "failed"
            assert "voicecli models pull x" in response["status_details"]["error"]["message"]

    talking(talk, missing)


class BrokenVoice(FakeVoice):
    def speak(self, text: str, *, speed: float = 1.0, voice: str = "") -> Any:
        raise ValueError("hoarse")


def test_a_voice_that_breaks_fails_the_answer_only() -> None:
    async def talk(socket: ClientConnection) -> None:
        await ask(socket)
        response = (await until(socket, "response.done"))[-1]["response"]
        assert "hoarse" in response["status_details"]["error"]["message"]
        await ask(socket)
        await until(socket, "response.done")

    talking(talk, lambda: Models(FakeEars(""), FakeMind("Hi."), BrokenVoice()))


class BrokenEars(FakeEars):
    def transcribe(self, samples: Any, *, language: str = "") -> str:
        raise ValueError("deaf")


def test_ears_that_break_fail_the_answer_only() -> None:
    async def talk(socket: ClientConnection) -> None:
        audio = base64.b64encode(clip() + silence(700)).decode()
        await send(socket, "input_audio_buffer.append", audio=audio)
        response = (await until(socket, "response.done"))[-1]["response"]
        assert "deaf" in response["status_details"]["error"]["message"]

    talking(talk, lambda: models(ears=BrokenEars("")))


def test_nonsense_is_answered_by_errors_and_the_connection_lives() -> None:
    async def talk(socket: ClientConnection) -> None:
        for text in ("{", "[1]", '{"type":"x"}', b"\xff\xfe"):
            await socket.send(text)
            assert (await receive(socket))["type"] == "error"
        await ask(socket)
        await until(socket, "response.done")

    talking(talk)


def test_two_clients_do_not_share_a_conversation() -> None:
    mind = FakeMind("Yes.")

    async def run() -> None:
        async with (
            serving(lambda: models(mind)) as url,
            connect(url) as one,
            connect(url) as two,
        ):
            for socket, text in ((one, "First."), (two, "Second.")):
                await ask(socket, text)
                await until(socket, "response.done")

    asyncio.run(run())
    assert [[said.text for said in asked[1:]] for asked in mind.asked] == [["First."], ["Second."]]


def test_any_path_that_ends_in_realtime_is_served_and_no_other() -> None:
    async def run() -> None:
        async with serving() as url:
            base = url.removesuffix("/v1/realtime")
            async with connect(f"{base}/openai/realtime?model=x") as socket:
                await receive(socket)
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{base}/v1/other")
            assert refused.value.response.status_code == 404

    asyncio.run(run())


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("http://localhost:3000", False),
        ("http://127.0.0.1", False),
        ("http://localhost:8000", True),
        (None, True),
    ],
)
def test_web_pages_of_other_sites_are_refused(origin: str | None, welcome: bool) -> None:
    headers = {} if origin is None else {"Origin": origin}

    async def run() -> None:
        async with serving(policy=Policy(origins=["http://localhost:8000"])) as url:
            if welcome:
                async with connect(url, additional_headers=headers) as socket:
                    await receive(socket)
                return
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=headers)
            assert refused.value.response.status_code == 403

    asyncio.run(run())


def test_the_sub_protocol_of_browsers_is_chosen() -> None:
    async def run() -> None:
        async with serving() as url:
            offered = [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.x")]
            async with connect(url, subprotocols=offered) as socket:
                assert socket.subprotocol == "realtime"
            async with connect(url, subprotocols=[Subprotocol("other")]) as socket:
                assert socket.subprotocol is None

    asyncio.run(run())


async def get(url: str, path: str) -> tuple[str, Any]:
    host, port = url.removeprefix("ws://").split("/")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.split("\r\n")[0], json.loads(body)


def test_health_tells_of_the_models() -> None:
    loading = threading.Event()

    def slow() -> Models:
        loading.wait(10)
        return models()

    async def run() -> None:
        async with serving(slow, progress=lambda: "mind") as url:
            status, health = await get(url, "/healthz")
            assert status == "HTTP/1.1 200 OK"
            assert health == {
                "status": "ok",
                "models": "loading",
                "loading": "mind",
                "sessions": 0,
                "max_sessions": 32,
            }
            loading.set()
            async with connect(url) as socket:
                await ask(socket)
                await until(socket, "response.done")
            assert (await get(url, "/healthz"))[1]["models"] == "ready"
            _, listed = await get(url, "/v1/models")
            assert [one["id"] for one in listed["data"]] == ["voicecli-local"]

    asyncio.run(run())


async def read_on(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


class Told(logging.Handler):
    """Waits for a warning."""

    def __init__(self) -> None:
        super().__init__()
        self.warned = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        assert "does not read" in record.getMessage()
        self.warned.set()


def test_a_client_that_does_not_read_is_dropped_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_connection, "SEND_STALL_S", 0.3)

    async def run() -> None:
        told = Told()
        monkeypatch.setattr(
            logging.getLogger("voicecli.engine.server.sessions"), "handlers", [told]
        )
        async with (
            serving() as url,
            connect(url, compression=None, max_queue=1) as deaf,
            connect(url) as other,
        ):
            audio = base64.b64encode(silence(10_000)).decode()
            content = [{"type": "input_audio", "audio": audio}]
            item = {"id": "long", "type": "message", "role": "user", "content": content}
            await send(deaf, "conversation.item.create", item=item)
            with contextlib.suppress(ConnectionClosed):
                for _ in range(200):
                    await send(deaf, "conversation.item.retrieve", item_id="long")
            await ask(other)
            await until(other, "response.done")
            await told.warned.wait()
            with pytest.raises(ConnectionClosed):
                await read_on(deaf)

    asyncio.run(run())


def test_a_port_in_use_is_told_as_our_own_error() -> None:
    async def run() -> None:
        async with serving() as url:
            port = int(url.split(":")[2].split("/")[0])
            with pytest.raises(ConnectionFailed, match="cannot listen"):
                await serve("127.0.0.1", port, models, ready=lambda _: None)

    asyncio.run(run())


def test_clients_are_told_when_the_server_goes() -> None:
    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            async with serving() as url:
                socket = await stack.enter_async_context(connect(url))
                await receive(socket)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.0.2", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_events_may_come_in_binary_frames_too() -> None:
    async def talk(socket: ClientConnection) -> None:
        await socket.send(b'{"type": "input_audio_buffer.clear"}')
        assert (await receive(socket))["type"] == "input_audio_buffer.cleared"

    talking(talk)


def test_pings_are_answered() -> None:
    async def talk(socket: ClientConnection) -> None:
        async with asyncio.timeout(5):
            await (await socket.ping())

    talking(talk)
