"""Who is let into the server, and what it answers over HTTP."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.realtime import ClientSecretCreateResponse
from test_serve import ask, read_on, receive, send, serving, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from voicecli.engine.server.house import Policy
from voicecli.engine.stages import Models
from voicecli.errors import ModelError

TOKEN = "right-token-of-some-length"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def request(
    url: str,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    piece: int = 20,
) -> tuple[int, dict[str, str], str]:
    """One HTTP request; its first 200 bytes are sent in pieces, as networks may."""
    host = url.removeprefix("ws://").split("/")[0]
    name, port = host.split(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    given = {"Host": host, **(headers or {})}
    if body or method == "POST":
        given.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{key}: {value}\r\n" for key, value in given.items() if value)
    sent = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
    for start in range(0, min(200, len(sent)), piece):
        writer.write(sent[start : min(200, start + piece)])
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(sent[200:])
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, text = answer.partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), text


async def refused(url: str, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as status:
        await connect(url, **options)
    return status.value.response.status_code


async def closed(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as end:
        await read_on(socket)
    assert end.value.rcvd is not None
    return end.value.rcvd.code, end.value.rcvd.reason


# ------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("options", "welcome"),
    [
        ({"additional_headers": bearer(TOKEN)}, True),
        ({"subprotocols": ["realtime", f"openai-insecure-api-key.{TOKEN}"]}, True),
        ({"additional_headers": bearer(TOKEN + "x")}, False),
        ({"additional_headers": {"Authorization": TOKEN}}, False),
        ({"subprotocols": ["realtime", "openai-insecure-api-key."]}, False),
        ({"additional_headers": bearer("ek_unknown")}, False),
        ({}, False),
    ],
)
def test_a_token_is_shown_in_the_header_or_the_sub_protocol(
    options: dict[str, Any], welcome: bool
) -> None:
    async def run() -> None:
        async with (
            serving(policy=Policy(token=TOKEN)) as url,
            connect(url, **options) as socket,
        ):
            first = await receive(socket)
            if welcome:
                assert first["type"] == "session.created"
            else:
                assert first["error"]["code"] == "invalid_api_key"
                assert await closed(socket) == (3000, "invalid_request_error.invalid_api_key")

    asyncio.run(run())


def test_without_a_token_any_key_will_do_but_no_secret_that_was_never_made() -> None:
    async def run() -> None:
        async with serving() as url:
            async with connect(url, additional_headers=bearer("sk-anything")) as socket:
                assert (await receive(socket))["type"] == "session.created"
            async with connect(url, additional_headers=bearer("ek_made_up")) as socket:
                assert (await receive(socket))["error"]["code"] == "invalid_api_key"

    asyncio.run(run())


def test_pages_of_http_need_the_token_but_health_does_not() -> None:
    async def run() -> None:
        async with serving(policy=Policy(token=TOKEN)) as url:
            assert (await request(url, "GET", "/healthz"))[0] == 200
            for path in ("/metrics", "/v1/models", "/nowhere"):
                status, _, text = await request(url, "GET", path)
                assert (status, json.loads(text)["error"]["code"]) == (401, "invalid_api_key")
            assert (await request(url, "GET", "/metrics", headers=bearer(TOKEN)))[0] == 200
            assert (await request(url, "GET", "/nowhere", headers=bearer(TOKEN)))[0] == 404

    asyncio.run(run())


# ---------------------------------------------------------------------------------------- secrets


def test_the_client_of_the_openai_package_makes_a_secret_and_begins_a_session_with_it() -> None:
    async def run() -> None:
        async with serving(policy=Policy(token=TOKEN), now=lambda: 1_000_000.0) as url:
            base_url = url.replace("ws://", "http://").removesuffix("/realtime")
            session: Any = {
                "type": "realtime",
                "instructions": "Be brief.",
                "audio": {"output": {"voice": "cedar"}},
            }
            async with AsyncOpenAI(base_url=base_url, api_key=TOKEN) as client:
                made = await client.realtime.client_secrets.create(
                    session=session, expires_after={"anchor": "created_at", "seconds": 60}
                )
            assert made.value.startswith("ek_")
            assert made.expires_at == 1_000_060
            ClientSecretCreateResponse.model_validate_json(made.model_dump_json())
            for _ in range(2):
                async with connect(url, additional_headers=bearer(made.value)) as socket:
                    created = (await receive(socket))["session"]
                    assert created["instructions"] == "Be brief."
                    assert created["audio"]["output"]["voice"] == "cedar"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("?intent=transcription", "transcription"),
        ("?model=gpt-realtime", "realtime"),
        ("?intent=realtime", "realtime"),
        ("?intent=nothing", "realtime"),
    ],
)
def test_the_url_says_the_kind_of_session_unless_a_secret_does(query: str, kind: str) -> None:
    async def kind_of(url: str, **options: Any) -> str:
        async with connect(url + query, **options) as socket:
            found: str = (await receive(socket))["session"]["type"]
            return found

    async def run() -> None:
        async with serving() as url:
            assert await kind_of(url) == kind
            for wanted in ("realtime", "transcription"):
                body = json.dumps({"session": {"type": wanted}})
                _, _, text = await request(
                    url, "POST", "/v1/realtime/client_secrets", body=body.encode()
                )
                secret = bearer(json.loads(text)["value"])
                assert await kind_of(url, additional_headers=secret) == wanted

    asyncio.run(run())


def test_a_secret_begins_no_session_once_it_has_expired_but_a_running_one_goes_on() -> None:
    now = [1000.0]

    async def run() -> None:
        async with serving(now=lambda: now[0]) as url:
            _, _, text = await request(url, "POST", "/v1/realtime/client_secrets", b"{}")
            made = json.loads(text)
            assert made["expires_at"] == 1600
            assert (made["session"]["type"], made["session"]["expires_at"]) == ("realtime", 0)
            headers = bearer(made["value"])
            async with connect(url, additional_headers=headers) as socket:
                await receive(socket)
                now[0] = 1600.0
                async with connect(url, additional_headers=headers) as late:
                    assert (await receive(late))["error"]["code"] == "invalid_api_key"
                await ask(socket)
                await until(socket, "response.done")

    asyncio.run(run())


def test_a_secret_makes_no_more_secrets() -> None:
    async def run() -> None:
        async with serving(policy=Policy(token=TOKEN)) as url:
            path = "/v1/realtime/client_secrets"
            _, _, text = await request(url, "POST", path, b"{}", bearer(TOKEN))
            secret = json.loads(text)["value"]
            assert (await request(url, "POST", path, b"{}", bearer(secret)))[0] == 401

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_json", None),
        (b"[]", 400, "invalid_type", None),
        (b"\xff", 400, "invalid_json", None),
        (b'{"nonsense": 1}', 400, "unknown_parameter", "body.nonsense"),
        (b'{"expires_after": {"seconds": 5}}', 400, "invalid_value", "body.expires_after.seconds"),
        (
            b'{"session": {"type": "realtime", "speed": 1}}',
            400,
            "unknown_parameter",
            "session.speed",
        ),
        (b" " * 300_000, 413, "invalid_body", None),
    ],
)
def test_a_bad_request_for_a_secret_is_told_what_is_wrong(
    body: bytes, status: int, code: str, param: str | None
) -> None:
    async def run() -> None:
        async with serving() as url:
            got, _, text = await request(url, "POST", "/v1/realtime/client_secrets", body)
            error = json.loads(text)["error"]
            assert (got, error["code"]) == (status, code)
            if param:
                assert error["param"] == param

    asyncio.run(run())


def test_bodies_go_nowhere_else_and_need_a_length() -> None:
    async def run() -> None:
        async with serving() as url:
            path = "/v1/realtime/client_secrets"
            assert (await request(url, "POST", "/v1/realtime", b"{}"))[0] == 405
            assert (await request(url, "POST", "/healthz", b"{}"))[0] == 405
            chunked = {"Transfer-Encoding": "chunked", "Content-Length": ""}
            assert (await request(url, "POST", path, b"", chunked))[0] == 411
            twice = {"Content-Length": "2", "content-length": "2"}
            assert (await request(url, "POST", path, b"{}", twice))[0] == 411
            assert (await request(url, "GET", path))[0] == 405

    asyncio.run(run())


def test_what_follows_a_body_is_no_part_of_it() -> None:
    async def run() -> None:
        async with serving() as url:
            path, two = "/v1/realtime/client_secrets", {"Content-Length": "2"}
            assert (await request(url, "POST", path, b"{}GET / HTTP/1.1", two))[0] == 200

    asyncio.run(run())


def test_who_waits_to_be_asked_for_a_body_is_asked_once() -> None:
    async def run() -> None:
        async with serving() as url:
            host = url.removeprefix("ws://").split("/")[0]
            reader, writer = await asyncio.open_connection(*host.split(":"))
            head = f"Host: {host}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
            writer.write(f"POST /v1/realtime/client_secrets HTTP/1.1\r\n{head}".encode())
            going_on = b"HTTP/1.1 100 Continue\r\n\r\n"
            assert await reader.readexactly(len(going_on)) == going_on
            for piece in (b"{", b" ", b" ", b"}"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())


METHODS = ("DELETE", "PUT", "PATCH", "OPTIONS", "CONNECT", "TRACE", "M-SEARCH")


@pytest.mark.parametrize("piece", [1, 7, 20, 10_000])
def test_other_methods_get_405_and_are_told_what_is_allowed(piece: int) -> None:
    async def run() -> None:
        async with serving() as url:
            for method in METHODS:
                for path, allowed in (
                    ("/v1/realtime/client_secrets", "POST"),
                    ("/v1/realtime", "GET"),
                    ("/healthz", "GET, HEAD"),
                ):
                    for body in (b"", b"{}" * 20):
                        status, headers, text = await request(url, method, path, body, piece=piece)
                        assert (status, headers["Allow"]) == (405, allowed)
                        assert json.loads(text)["error"]["code"] == "method_not_allowed"

    asyncio.run(run())


@pytest.mark.parametrize("piece", [1, 20, 10_000])
def test_head_is_answered_as_get_without_the_body(piece: int) -> None:
    async def run() -> None:
        async with serving(policy=Policy(token=TOKEN)) as url:
            _, asked, text = await request(url, "GET", "/healthz")
            status, headers, body = await request(url, "HEAD", "/healthz", piece=piece)
            assert (status, body) == (200, "")
            assert headers["Content-Length"] == asked["Content-Length"] == str(len(text))
            assert (await request(url, "HEAD", "/metrics"))[0] == 401
            for path in ("/v1/realtime", "/v1/realtime/client_secrets"):
                status, _, body = await request(url, "HEAD", path, headers=bearer(TOKEN))
                assert (status, body) == (405, "")

    asyncio.run(run())


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"PUT nothing\r\n",
        b"A" * 100,
    ],
)
def test_what_is_no_http_is_cut_at_once(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with serving() as url:
            _, port = url.removeprefix("ws://").split("/")[0].split(":")
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            writer.write(garbage)
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(2):
                    assert await reader.read() == b""
            writer.close()

    asyncio.run(run())
    assert not caplog.records


def test_a_request_whose_head_does_not_end_is_refused() -> None:
    async def run() -> None:
        async with serving() as url:
            for method in ("POST", "PUT"):
                padding = {f"X-{number}": "x" * 8000 for number in range(9)}
                assert (await request(url, method, "/healthz", headers=padding))[0] == 431

    asyncio.run(run())


def test_a_post_dressed_as_a_handshake_opens_nothing() -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }

    async def run() -> None:
        async with serving() as url:
            assert (await request(url, "POST", "/v1/realtime", b"", upgrade))[0] == 405

    asyncio.run(run())


# ------------------------------------------------------------------------------------------ pages


def test_a_request_from_a_page_is_refused_whatever_it_asks_for() -> None:
    page = {"Origin": "https://evil.example"}

    async def run() -> None:
        async with serving() as url:
            for path in ("/healthz", "/metrics", "/v1/models"):
                assert (await request(url, "GET", path, headers=page))[0] == 403
            body = (await request(url, "POST", "/v1/realtime/client_secrets", b"{}", page))[2]
            assert json.loads(body)["error"]["code"] == "origin_not_allowed"

    asyncio.run(run())


def test_a_name_that_was_made_to_point_here_is_refused() -> None:
    async def run() -> None:
        async with serving() as url:
            port = url.split(":")[2].split("/")[0]
            evil = {"Host": f"evil.example:{port}"}
            assert (await request(url, "GET", "/metrics", headers=evil))[0] == 403
            own = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
            assert (await request(url, "GET", "/metrics", headers=own))[0] == 403

    asyncio.run(run())


def test_a_library_that_gives_the_servers_own_address_as_origin_may_connect() -> None:
    async def run() -> None:
        async with serving() as url:
            origin = url.replace("ws://", "http://").removesuffix("/v1/realtime")
            async with connect(url, additional_headers={"Origin": origin}) as socket:
                assert (await receive(socket))["type"] == "session.created"

    asyncio.run(run())


# ----------------------------------------------------------------------------------------- limits


def test_one_session_too_many_is_refused_with_a_reason_and_when_to_try_again() -> None:
    async def run() -> None:
        async with serving(policy=Policy(max_sessions=2)) as url:
            async with connect(url) as one, connect(url) as two:
                await receive(one)
                await receive(two)
                with pytest.raises(InvalidStatus) as status:
                    await connect(url)
                response = status.value.response
                assert response.status_code == 503
                assert response.headers["Retry-After"] == "5"
                error = json.loads(response.body or b"")["error"]
                assert error["code"] == "server_is_overloaded"
                assert "All 2 sessions" in error["message"]
                assert (await request(url, "GET", "/healthz"))[0] == 200
            async with connect(url) as three:
                await receive(three)

    asyncio.run(run())


def test_an_event_id_of_more_than_512_characters_is_refused() -> None:
    async def run() -> None:
        async with serving() as url, connect(url) as socket:
            await receive(socket)
            await send(socket, "input_audio_buffer.clear", event_id="x" * 513)
            error = (await receive(socket))["error"]
            assert (error["code"], error["param"]) == ("invalid_value", "event_id")
            assert len(error["event_id"]) == 512
            await send(socket, "input_audio_buffer.clear", event_id="x" * 512)
            assert (await receive(socket))["type"] == "input_audio_buffer.cleared"

    asyncio.run(run())


def test_a_session_ends_when_its_time_is_over() -> None:
    async def run() -> None:
        policy = Policy(session_limit_s=0.3)
        async with (
            serving(policy=policy, now=lambda: 1000.0) as url,
            connect(url) as socket,
        ):
            created = await receive(socket)
            assert created["session"]["expires_at"] == 1000
            code, reason = await closed(socket)
            assert (code, reason) == (
                1001,
                "Your session hit the maximum duration of 0.3 seconds.",
            )

    asyncio.run(run())


@pytest.mark.parametrize(
    "instructions",
    [rb'"\ud800"', b"NaN", b"5e999"],
)
def test_a_secret_is_not_made_of_what_could_not_be_sent_to_its_session(instructions: bytes) -> None:
    async def run() -> None:
        body = b'{"session":{"type":"realtime","instructions":' + instructions + b"}}"
        async with serving() as url:
            status, _, text = await request(url, "POST", "/v1/realtime/client_secrets", body)
            assert (status, json.loads(text)["error"]["code"]) == (400, "invalid_json")

    asyncio.run(run())


@pytest.mark.parametrize("path", ["//[", "//[/realtime"])
def test_a_path_that_cannot_be_read_is_nowhere(path: str) -> None:
    async def run() -> None:
        async with serving() as url:
            assert (await request(url, "GET", path))[0] == 404

    asyncio.run(run())


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"OpenAI-Beta": "realtime=v1"}},
        {"additional_headers": {"openai-beta": "other=v2, realtime=v1"}},
        {"subprotocols": ["realtime", "openai-beta.realtime-v1"]},
    ],
)
def test_the_shape_of_the_beta_is_refused_as_the_api_does_it(options: dict[str, Any]) -> None:
    async def run() -> None:
        async with serving() as url, connect(url, **options) as socket:
            error = (await receive(socket))["error"]
            assert (error["type"], error["code"]) == (
                "invalid_request_error",
                "beta_api_shape_disabled",
            )
            reason = "invalid_request_error.beta_api_shape_disabled"
            assert await closed(socket) == (4000, reason)

    asyncio.run(run())


def test_other_betas_are_none_of_our_business() -> None:
    async def run() -> None:
        headers = {"OpenAI-Beta": "assistants=v2"}
        async with serving() as url, connect(url, additional_headers=headers) as socket:
            assert (await receive(socket))["type"] == "session.created"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("token", "shown", "reason"),
    [(TOKEN, TOKEN, True), (TOKEN, "", False), (TOKEN, "wrong", False), (None, "any", False)],
)
def test_why_the_models_failed_is_told_to_those_with_the_token_only(
    token: str | None, shown: str, reason: bool
) -> None:
    def fail() -> Models:
        raise ModelError("no weights in /home/somebody/models")

    async def run() -> None:
        async with serving(fail, policy=Policy(token=token)) as url:
            headers = bearer(shown) if shown else {}
            while True:
                status, _, text = await request(url, "GET", "/healthz", headers=headers)
                told = json.loads(text)
                if told["models"] != "loading":
                    break
            assert (status, told["status"], told["models"]) == (503, "failed", "failed")
            assert told["code"] == "models_not_loaded"
            assert ("somebody" in text) == reason

    asyncio.run(run())
