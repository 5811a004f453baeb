"""What is said at the start about stages: those at a URL, and those whose weights are missing."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_http import HttpServer
from test_child import engine
from test_serve import ask, receive, until
from websockets.asyncio.client import connect

from voicecli.cli.local import missing_hints, prepare_models
from voicecli.cli.stages import unreachable
from voicecli.config import Local
from voicecli.errors import ConfigError


@contextlib.contextmanager
def silent_host() -> Iterator[str]:
    """The URL of a host that neither takes nor refuses connections."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(3):  # more than may wait to be taken
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}/v1"


def everywhere(url: str) -> Local:
    return Local(mind=url, ears=url, voices=url)


@pytest.mark.parametrize(
    "url",
    ["http://", "http://:80", "http://host:port", "http://host:99999", "http://host:0",
     "http://[::1", "http://a host/v1", "http://höst/v1"],
)  # fmt: skip
@pytest.mark.parametrize("stage", ["mind", "ears", "voices"])
def test_a_url_that_cannot_be_one_is_refused_at_the_start(stage: str, url: str) -> None:
    with HttpServer() as server:
        good = {"mind": server.url, "ears": server.url, "voices": server.url}
        with pytest.raises(ConfigError, match="not the URL of a server"):
            prepare_models(Local(**{**good, stage: url}))


def test_stages_that_cannot_be_reached_are_warned_of_at_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with HttpServer() as gone:
        url = gone.url
    prepare_models(everywhere(url))
    told = capsys.readouterr().err
    assert "warning: the mind and ears and voice at '127.0.0.1' cannot be reached now" in told
    assert "refused" in told
    with HttpServer() as server:
        prepare_models(everywhere(server.url))
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse in place of waiting")
def test_a_host_that_does_not_answer_holds_up_the_start_for_a_moment_only() -> None:
    with silent_host() as url:
        began = time.monotonic()
        (problem,) = unreachable(everywhere(url), wait_s=0.2)
        assert "does not answer" in problem
        assert time.monotonic() - began < 2


@pytest.mark.skipif(sys.platform != "linux", reason="needs signals, and a host that is silent")
@pytest.mark.parametrize(("ends", "most_s"), [(1, 4.0), (2, 2.5)])
def test_a_server_whose_mind_does_not_answer_ends_when_it_is_told_to(
    ends: int, most_s: float
) -> None:
    async def run(url: str) -> None:
        command = [*engine(), "--port", "0", "--mind", url, "--grace", "1.5"]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        async with connect(line.split()[-1]) as socket:
            await receive(socket)
            await ask(socket)
            await until(socket, "response.created")
            began = time.monotonic()
            for _ in range(ends):
                process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        assert time.monotonic() - began < most_s

    with silent_host() as url:
        asyncio.run(run(url))


def test_models_that_would_serve_better_are_named_with_the_command_that_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICECLI_MODELS", str(tmp_path))
    local = Local(mind="rules")
    assert missing_hints(local, semantic=False, language="") == []
    assert missing_hints(local, semantic=False, language="en-GB") == []
    (turns,) = missing_hints(local, semantic=True, language="en")
    assert turns.endswith("voicecli models pull smart-turn")
    (words,) = missing_hints(local, semantic=False, language="de")
    assert words.endswith("voicecli models pull whisper-base")
    elsewhere = Local(mind="rules", ears="http://127.0.0.1:1")
    assert missing_hints(elsewhere, semantic=False, language="de") == []
