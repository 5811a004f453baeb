"""How the server ends, and what it tells of itself."""

import asyncio
import base64
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import FakeMind
from test_child import engine
from test_serve import ask, models, receive, send, serving, until
from test_serve_doors import TOKEN, bearer, closed, refused, request
from websockets.asyncio.client import ClientConnection, connect

from voicecli.engine.server.house import Policy
from voicecli.engine.server.journal import Journal, open_journal

# -------------------------------------------------------------------------------------------- end


def stopping(go: threading.Semaphore, policy: Policy, then: Callable[..., Any]) -> None:
    """Runs a server with an answer in progress that is then told to stop."""
    mind = FakeMind("One. ", "Two.", go=go)
    stop = asyncio.Event()

    async def run() -> None:
        async with serving(lambda: models(mind), policy, stop) as url, connect(url) as socket:
            await receive(socket)
            await ask(socket)
            await until(socket, "response.output_audio.delta")
            stop.set()
            await then(socket, url)

    asyncio.run(run())


def test_an_answer_in_progress_ends_before_the_server_does() -> None:
    go = threading.Semaphore(1)

    async def check(socket: ClientConnection, url: str) -> None:
        await asyncio.sleep(0)
        assert await refused(url) == 503
        await ask(socket, "And more?")  # nothing new is begun
        go.release()
        told = await until(socket, "response.done")
        assert told[-1]["response"]["status"] == "completed"
        assert await closed(socket) == (1001, "The server is going down.")

    stopping(go, Policy(), check)


def test_a_client_that_reads_nothing_cannot_hold_up_the_end() -> None:
    async def run() -> None:
        stop = asyncio.Event()
        policy = Policy(grace_s=0.1)
        async with serving(policy=policy, stop=stop) as url:
            socket = await connect(url, compression=None, max_queue=1)
            audio = base64.b64encode(bytes(48 * 30_000)).decode()
            content = [{"type": "input_audio", "audio": audio}]
            item = {"id": "long", "type": "message", "role": "user", "content": content}
            await send(socket, "conversation.item.create", item=item)
            for _ in range(10):
                await send(socket, "conversation.item.retrieve", item_id="long")
            stop.set()
        socket.transport.abort()

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 5


def test_an_answer_that_takes_too_long_is_cut_at_the_end() -> None:
    async def check(socket: ClientConnection, url: str) -> None:
        assert (await closed(socket))[0] == 1001

    stopping(threading.Semaphore(1), Policy(grace_s=0.2), check)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_signal_lets_idle_clients_go_at_once() -> None:
    command = [*engine(), "--port", "0", "--announce"]

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        url = json.loads(await process.stdout.readline())["url"]
        async with connect(url) as socket:
            await receive(socket)
            process.send_signal(signal.SIGTERM)
            assert (await closed(socket))[0] == 1001
        assert await process.wait() == 0

    asyncio.run(run())


# -------------------------------------------------------------------------------- metrics and log


def test_figures_are_in_the_format_of_prometheus() -> None:
    async def run() -> str:
        async with serving() as url, connect(url) as socket:
            await receive(socket)
            await ask(socket)
            await until(socket, "response.done")
            await send(socket, "response.cancel")
            await receive(socket)
            status, headers, text = await request(url, "GET", "/metrics")
            assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
            return text

    text = asyncio.run(run())
    lines = text.splitlines()
    for line in (
        "voicecli_sessions 1",
        "voicecli_sessions_total 1",
        "voicecli_models_ready 1.0",
        'voicecli_responses_total{status="completed"} 1',
        'voicecli_errors_total{code="response_cancel_not_active"} 1',
        "voicecli_first_output_seconds_count 1",
        'voicecli_first_output_seconds_bucket{le="+Inf"} 1',
        'voicecli_stage_seconds_count{stage="mind"} 1',
        'voicecli_wait_seconds_count{stage="voice"} 3',
        'voicecli_queue_depth{stage="ears"} 0',
    ):
        assert line in lines, line
    names = [line.split(" ")[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_the_log_tells_what_happened_without_words_or_keys(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"

    async def run(words: bool) -> str:
        file.unlink(missing_ok=True)
        journal = open_journal(str(file), words=words)
        policy = Policy(token=TOKEN)
        async with serving(policy=policy, journal=journal) as url:
            async with connect(url, additional_headers=bearer("wrong-key")) as socket:
                await receive(socket)
            async with connect(url, additional_headers=bearer(TOKEN)) as socket:
                await receive(socket)
                await ask(socket, "My secret.")
                await until(socket, "response.done")
        return file.read_text("utf-8")

    text = asyncio.run(run(words=False))
    entries = [json.loads(line) for line in text.splitlines()]
    told = [one["event"] for one in entries]
    for event in ("started", "models", "refused", "session_opened", "response", "session_closed"):
        assert event in told
    assert told[-1] == "stopped"
    for hidden in ("secret", "Hello there", TOKEN, "wrong-key"):
        assert hidden not in text
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert "Hello there" in asyncio.run(run(words=True))


def test_a_log_that_cannot_be_written_ends_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    journal = Journal(writing)
    journal.write("one")
    journal.write("two")
    os.close(writing)
    assert capsys.readouterr().err.count("cannot be written") == 1
