"""The connection to a server: opening, greeting, receiving, and what the end of it means."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scripted_server import SESSION, Peer, Script, ScriptedServer, greet_only, plain_tcp
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from voicecli import connection
from voicecli.connection import Address, Connection, url_with_model
from voicecli.errors import (
    ConfigError,
    ConnectionFailed,
    NetworkStalled,
    NotAuthorized,
    ProtocolError,
    VoicecliError,
)
from voicecli.protocol.events import (
    Event,
    InputAudioBufferAppend,
    MalformedEvent,
    SessionCreated,
    SessionUpdate,
    UnknownEvent,
)

UPDATE = SessionUpdate(session={"type": "realtime"})


def with_connection(
    script: Script, use: Callable[[Connection], Awaitable[Any]], **headers: str
) -> tuple[Any, ScriptedServer]:
    """What `use` gives on a connection to a server that follows `script`."""

    async def run() -> Any:
        connection = await Connection.open(Address(server.url, headers))
        try:
            return await use(connection)
        finally:
            await connection.close()

    with ScriptedServer(script) as server:
        return asyncio.run(run()), server


async def take(connection: Connection, count: int) -> list[Any]:
    came = []
    async for received in connection:
        came.append(received.event)
        if len(came) == count:
            break
    return came


def reason(script: Script) -> VoicecliError:
    """How the iteration ends."""

    async def to_the_end(connection: Connection) -> VoicecliError:
        await connection.send(UPDATE)
        with pytest.raises(VoicecliError) as ended:
            async for _ in connection:
                pass
        return ended.value

    return with_connection(script, to_the_end)[0]


def test_the_greeting_comes_first_in_the_iteration() -> None:
    async def use(connection: Connection) -> list[Event]:
        await connection.send(UPDATE)
        return await take(connection, 2)

    (created, updated), _ = with_connection(greet_only, use)
    assert isinstance(created, SessionCreated)
    assert updated.type == "session.updated"


def test_headers_reach_the_server_and_do_not_show() -> None:
    async def use(_: Connection) -> None:
        return

    _, server = with_connection(greet_only, use, Authorization="Bearer sk-secret")
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "secret" not in repr(Address(server.url, {"Authorization": "Bearer sk-secret"}))


def test_opening_is_timed_on_the_monotonic_clock() -> None:
    async def use(connection: Connection) -> float:
        return connection.opened_at

    before = time.monotonic()
    opened_at, _ = with_connection(greet_only, use)
    assert before < opened_at < time.monotonic()


def test_what_is_no_event_goes_on_as_a_value() -> None:
    async def rude(peer: Peer) -> None:
        await peer.send("session.created", session=SESSION)
        for text in ("{", '{"type":"brand.new","x":1}', b"\xff\x00", '{"type":"response.created"}'):
            await peer.raw(text)

    async def use(connection: Connection) -> list[Any]:
        return await take(connection, 5)

    (_, *came), _ = with_connection(rude, use)
    assert [type(one) for one in came] == [
        MalformedEvent, UnknownEvent, MalformedEvent, MalformedEvent,
    ]  # fmt: skip


def test_a_message_of_15_megabytes_is_taken() -> None:
    async def large(peer: Peer) -> None:
        await peer.send("session.created", session=SESSION)
        await peer.raw(json.dumps({"type": "large", "fill": "y" * 15_000_000}))

    async def use(connection: Connection) -> list[Any]:
        return await take(connection, 2)

    (_, event), _ = with_connection(large, use)
    assert len(event.fields["fill"]) == 15_000_000


def closing(code: int, text: str) -> Script:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.close(code, text)

    return script


@pytest.mark.parametrize(
    ("code", "text", "kind", "words"),
    [
        (1000, "", ConnectionFailed, "closed the connection: no reason given (close code 1000)"),
        (1001, "expired", ConnectionFailed, "ended the session: expired (close code 1001)"),
        (1008, "policy", ConnectionFailed, "closed the connection: policy (close code 1008)"),
        (1012, "", ConnectionFailed, "is restarting"),
        (3000, "invalid api key", NotAuthorized, "refused the key"),
        (4000, "unauthorized", NotAuthorized, "refused the key"),
        (4000, "busy", ConnectionFailed, "closed the connection: busy (close code 4000)"),
    ],
)
def test_close_codes_are_told_apart(
    code: int, text: str, kind: type[VoicecliError], words: str
) -> None:
    ended = reason(closing(code, text))
    assert type(ended) is kind
    assert words in ended.message


def test_a_reset_is_a_lost_connection() -> None:
    async def resetting(peer: Peer) -> None:
        await peer.greet()
        peer.reset()

    assert "was lost" in reason(resetting).message


def test_too_large_a_message_is_the_servers_mistake() -> None:
    async def huge(peer: Peer) -> None:
        await peer.greet()
        await peer.raw("y" * (17 * 2**20))

    ended = reason(huge)
    assert isinstance(ended, ProtocolError)
    assert "16 MiB" in ended.message


def test_sending_after_the_end_does_nothing() -> None:
    async def use(connection: Connection) -> None:
        with pytest.raises(ConnectionFailed):
            async for _ in connection:
                pass
        await connection.send(UPDATE)

    async def leaving(peer: Peer) -> None:
        await peer.send("session.created", session=SESSION)
        await peer.close()

    with_connection(leaving, use)


def test_the_loop_is_shared_fairly_while_a_burst_waits() -> None:
    async def flood(peer: Peer) -> None:
        await peer.send("session.created", session=SESSION)
        for _ in range(600):
            await peer.raw('{"type":"rate_limits.updated","rate_limits":[]}')

    async def use(connection: Connection) -> int:
        others_turns = 0

        async def take_turns() -> None:
            nonlocal others_turns
            while True:
                await asyncio.sleep(0)
                others_turns += 1

        time.sleep(0.3)  # noqa: ASYNC251 - the server gets far ahead while we stand still
        other = asyncio.create_task(take_turns())
        events = aiter(connection)
        for _ in range(601):
            await anext(events)
            until = time.monotonic() + 0.001  # what is done with an event takes its time
            while time.monotonic() < until:
                pass
        other.cancel()
        return others_turns

    assert with_connection(flood, use)[0] > 60


def test_frames_arrive_in_order_and_whole() -> None:
    async def use(connection: Connection) -> None:
        for number in range(200):
            await connection.send(InputAudioBufferAppend(audio=bytes([number]) * 960))

    async def greeted(peer: Peer) -> None:
        await peer.send("session.created", session=SESSION)

    _, server = with_connection(greeted, use)
    assert bytes(server.log.audio[::960]) == bytes(range(200))
    assert server.log.close_code == 1000


def test_closing_takes_two_seconds_at_most_when_the_server_is_deaf() -> None:
    async def deaf(peer: Peer) -> None:
        await peer.send("session.created", session=SESSION)
        peer.stop_reading()

    async def use(connection: Connection) -> float:
        await take(connection, 1)
        begun = time.monotonic()
        await connection.close()
        return time.monotonic() - begun

    assert with_connection(deaf, use)[0] < 3


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, NotAuthorized, "refused the key (HTTP 401)"),
        (403, NotAuthorized, "refused the key (HTTP 403)"),
        (404, ConnectionFailed, "no Realtime server"),
        (429, ConnectionFailed, "overloaded (HTTP 429)"),
        (503, ConnectionFailed, "overloaded (HTTP 503)"),
        (500, ConnectionFailed, "refused the connection (HTTP 500)"),
    ],
)
def test_a_refused_handshake_is_told_by_its_status(
    status: int, kind: type[VoicecliError], words: str
) -> None:
    def refuse(socket: ServerConnection, _: Request) -> Response:
        return socket.respond(status, "no\n")

    with ScriptedServer(greet_only, refuse) as server, pytest.raises(ConnectionFailed) as failed:
        asyncio.run(Connection.open(Address(server.url)))
    assert type(failed.value) is kind
    assert words in failed.value.message


def test_a_proxy_that_is_no_url_is_a_mistake_in_the_settings_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hidden@[::1")
    with pytest.raises(ConfigError) as failed:
        asyncio.run(Connection.open(Address("wss://server.invalid/v1/realtime")))
    assert "the proxy" in failed.value.message
    assert "hidden" not in failed.value.message
    assert failed.value.__cause__ is None


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"\x16\x03\x01\x00\x02\x01\x00",
        b"\x00" * 100_000,
        b"",
    ],
    ids=["plain-http", "half-a-handshake", "tls", "zeros", "nothing"],
)
def test_what_is_no_websocket_server_cannot_be_connected_to(answer: bytes, scheme: str) -> None:
    with plain_tcp(answer) as port, pytest.raises(ConnectionFailed) as failed:
        asyncio.run(Connection.open(Address(f"{scheme}://127.0.0.1:{port}/v1")))
    assert f"{scheme}://127.0.0.1:{port}/v1" in failed.value.message


@pytest.mark.parametrize(
    "first", ["", "{", "[1, 2]", '{"type":"response.done","response":{}}', b"\xff\x00", b"{}"]
)
def test_a_server_that_does_not_greet_breaks_the_protocol(first: str | bytes) -> None:
    async def rude(peer: Peer) -> None:
        await peer.raw(first)

    with ScriptedServer(rude) as server, pytest.raises(ProtocolError) as failed:
        asyncio.run(Connection.open(Address(server.url)))
    assert "session.created" in failed.value.message


def test_closing_does_not_wait_for_what_has_not_been_read() -> None:
    async def talkative(peer: Peer) -> None:
        await peer.send("session.created", session=SESSION)
        for _ in range(500):
            await peer.raw('{"type":"rate_limits.updated","rate_limits":[]}')

    async def use(connection: Connection) -> float:
        await asyncio.sleep(0.1)  # the server is far ahead
        begun = time.monotonic()
        await connection.close()
        return time.monotonic() - begun

    took_s, server = with_connection(talkative, use)
    assert took_s < 1.5
    assert server.log.close_code == 1000


def test_nobody_listening_is_told_with_the_address() -> None:
    with plain_tcp(b"") as port:
        pass
    with pytest.raises(ConnectionFailed) as failed:
        asyncio.run(Connection.open(Address(f"ws://user:pass@127.0.0.1:{port}/v1?api_key=sk-x")))
    assert f"ws://127.0.0.1:{port}/v1" in failed.value.message
    assert "sk-x" not in failed.value.message + failed.value.hint
    assert "pass" not in failed.value.message + failed.value.hint


@pytest.mark.parametrize(
    ("limit", "words"),
    [("OPEN_TIMEOUT_S", "did not answer within"), ("FIRST_EVENT_TIMEOUT_S", "then said nothing")],
)
def test_a_server_that_says_nothing_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    async def silent(_: Peer) -> None:
        return

    monkeypatch.setattr(connection, limit, 0.2)
    with ScriptedServer(silent) as server, plain_tcp(None) as port:
        deaf = f"ws://127.0.0.1:{port}/v1"
        url = deaf if limit == "OPEN_TIMEOUT_S" else server.url
        with pytest.raises(NetworkStalled) as failed:
            asyncio.run(Connection.open(Address(url)))
    assert words in failed.value.message


@pytest.mark.parametrize(
    ("url", "model", "whole"),
    [
        ("ws://a/v1", "m", "ws://a/v1?model=m"),
        ("ws://a/v1?x=1", "m n", "ws://a/v1?x=1&model=m+n"),
        ("wss://a/v1?model=own", "m", "wss://a/v1?model=own"),
        ("ws://a/v1", "", "ws://a/v1"),
    ],
)
def test_the_model_is_named_in_the_url_once(url: str, model: str, whole: str) -> None:
    assert url_with_model(url, model) == whole


@pytest.mark.parametrize("url", ["http://a/v1", "ws://", "a", "ws:a", ""])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        url_with_model(url, "m")


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [
        ("ws://localhost:1/", True),
        ("ws://127.3.2.1/", True),
        ("ws://[::1]:5/", True),
        ("ws://10.0.0.1/", False),
        ("ws://localhost.example/", False),
    ],
)
def test_loopback_addresses_are_known(url: str, is_loopback: bool) -> None:
    assert Address(url).is_loopback is is_loopback
