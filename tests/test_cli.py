"""The command line as a shell sees it: exit codes, messages, and a key that never appears."""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from helpers_program import ROOT, clean_environment
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from voicecli import __version__
from voicecli.config import all_keys

KEY = "sk-secret-0123456789abcdef"
QUIET = ("--mic", "none", "--speaker", "none")
SESSION = {"id": "sess_1", "model": "fake", "audio": {"input": {"turn_detection": None}}}


# ---------------------------------------------------------------------------------- the servers


def _error(code: str, message: str, event_id: str | None = None) -> str:
    error = {"type": "invalid_request_error", "code": code, "message": message}
    return json.dumps({"type": "error", "error": error | {"event_id": event_id}})


async def _wrong_key(socket: ServerConnection) -> None:
    await socket.send(_error("invalid_api_key", "Incorrect API key provided"))
    await socket.close(3000, "invalid_request_error.invalid_api_key")


async def _echoes_key(socket: ServerConnection) -> None:
    assert socket.request is not None
    given = socket.request.headers.get("Authorization", "")
    await socket.send(_error("invalid_api_key", f"Incorrect API key provided: {given}"))
    await socket.close(3000, f"invalid key {given}")


async def _closes_with_key(socket: ServerConnection) -> None:
    assert socket.request is not None
    await socket.close(3000, f"invalid key {socket.request.headers.get('Authorization', '')}")


async def _closes_with_key_later(socket: ServerConnection) -> None:
    await socket.send(json.dumps({"type": "session.created", "session": SESSION}))
    await socket.recv()
    await _closes_with_key(socket)


async def _good(socket: ServerConnection) -> None:
    await socket.send(json.dumps({"type": "session.created", "session": SESSION}))
    async for text in socket:
        if json.loads(text)["type"] == "session.update":
            await socket.send(json.dumps({"type": "session.updated", "session": SESSION}))


async def _refuses_settings(socket: ServerConnection) -> None:
    await socket.send(json.dumps({"type": "session.created", "session": SESSION}))
    await socket.recv()
    await socket.send(_error("unknown_parameter", "Unknown parameter", "settings"))
    await socket.wait_closed()


async def _leaves(socket: ServerConnection) -> None:
    await socket.send(json.dumps({"type": "session.created", "session": SESSION}))
    await socket.recv()
    await socket.close(1001, "Your session hit the maximum duration of 60 minutes.")


async def _says(socket: ServerConnection, first: str | bytes) -> None:
    await socket.send(first)
    await socket.wait_closed()


TALKS: dict[str, Any] = {
    "/wrong-key": _wrong_key,
    "/echoes-key": _echoes_key,
    "/echoes-key-at-once": _closes_with_key,
    "/echoes-key-later": _closes_with_key_later,
    "/good": _good,
    "/refuses-settings": _refuses_settings,
    "/leaves": _leaves,
    "/hangs-up": lambda socket: socket.close(1011, "oops"),
    "/not-json": lambda socket: _says(socket, "GARBAGE \x1b[31m"),
    "/binary": lambda socket: _says(socket, b"\xff\xfe\x00"),
    "/other-protocol": lambda socket: _says(socket, '{"type":"hello"}'),
}
STATUSES = {"/401": HTTPStatus.UNAUTHORIZED, "/429": HTTPStatus.TOO_MANY_REQUESTS}


def _answer(connection: ServerConnection, request: Request) -> Response | None:
    path = request.path.partition("?")[0]
    if path in TALKS:
        return None
    return connection.respond(STATUSES.get(path, HTTPStatus.NOT_FOUND), "no\n")


async def _talk(socket: ServerConnection) -> None:
    assert socket.request is not None
    await TALKS[socket.request.path.partition("?")[0]](socket)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Servers of many kinds, one a path, in a thread."""
    bound: list[int] = []
    is_up, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def run() -> None:
        async with serve(_talk, "127.0.0.1", 0, process_request=_answer) as server:
            bound.append(server.sockets[0].getsockname()[1])
            is_up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert is_up.wait(10)
    yield f"ws://127.0.0.1:{bound[0]}"
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def nobody() -> Iterator[str]:
    """The URL of a port that is taken and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{taken.getsockname()[1]}"


# -------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home without any configuration; some sound libraries write into it."""
    _home.append(str(tmp_path_factory.mktemp("home")))
    yield
    _home.clear()


_home: list[str] = []


def environment(**more: str) -> dict[str, str]:
    kept = {
        name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ
    }
    own = {
        "HOME": _home[0],
        "XDG_CONFIG_HOME": _home[0],
        "APPDATA": _home[0],
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
    }
    return kept | own | more


def start(*args: str, **env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "voicecli", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=environment(**env),
    )


def finished(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run(*args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return finished(start(*args, **env))


def assert_refused(
    done: "subprocess.CompletedProcess[str]", code: int, *told: str, hint: bool = True
) -> None:
    """It ended with `code` and said so in one line, and in another what to do, on stderr only."""
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    lines = done.stderr.splitlines()
    assert [part for part in told if part not in done.stderr] == []
    assert lines[0].startswith("voicecli: ")
    assert len(lines) == (2 if hint else 1), done.stderr
    assert not hint or lines[1].startswith("  ")
    assert done.stdout == ""


# ------------------------------------------------------------------------------------- exit code 0


@pytest.mark.parametrize(
    "command",
    [(), ("talk",), ("serve",), ("devices",), ("config",), ("models",), ("models", "pull")],
    ids=" ".join,
)
def test_every_command_has_its_help(command):
    done = run(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ")
    assert "--help" in done.stdout


def test_the_version_is_shown():
    assert run("--version").stdout == f"voicecli {__version__}\n"


def test_a_talk_tells_its_story_in_lines_of_json(url):
    done = run("talk", "--server", f"{url}/good", *QUIET, "--json", "--max-minutes", "0.005")
    assert (done.returncode, done.stderr) == (0, "")
    first, last = map(json.loads, done.stdout.splitlines())
    assert (first["type"], first["session_id"], first["model"]) == ("session", "sess_1", "fake")
    assert (last["type"], last["reason"]) == ("summary", "time limit")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_talk_in_good_order(url, number):
    process = start("talk", "--server", f"{url}/good", *QUIET, "--json")
    assert process.stdout is not None
    assert '"session"' in process.stdout.readline()
    process.send_signal(number)
    done = finished(process)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["reason"] == "quit"


# ------------------------------------------------------------------------------------- exit code 2


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--vad", "loud"), "allowed: semantic, server, none"),
        (("--silence-ms", "-5"), "--silence-ms"),
        (("--server", "opena1"), "'opena1'"),
        (("--server", "openai"), "OPENAI_API_KEY"),
        (("--server", "http://127.0.0.1/v1/realtime"), "ws://"),
        (("--server", "ws://"), "ws://"),
        (("--server", "ws://[::1"), "[::1"),
        (("--server", "ws://127.0.0.1:99999/v1/realtime"), "99999"),
        (("--server", "ws://127.0.0.1:http/"), "http"),
        (("--server", "ws://127.0.0.1:0/v1/realtime"), "ws://"),
        (("--server", "ws://host..name/v1/realtime"), "host..name"),
        (("--vad", "server", "--idle-timeout-ms", "100"), "5000 to 30000"),
        (("--profile", "none"), "'none'"),
        (("--config", "none.toml"), "'none.toml'"),
        (("--tools", "none.py"), "'none.py'"),
        (("--instructions", "@none.txt"), "'none.txt'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_configured_is_refused(nobody, args, told):
    server = () if "--server" in args else ("--server", nobody)
    done = run("talk", *server, *QUIET, *args)
    assert_refused(done, 2, told, hint="\n  " in done.stderr)


def test_an_option_that_is_no_number_or_not_known_is_refused():
    for args in (("talk", "--threshold", "high"), ("talk", "--volume", "11"), ("sing",)):
        done = run(*args)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert args[-2 if len(args) > 1 else -1] in done.stderr


def test_json_and_audio_cannot_both_have_stdout(nobody):
    done = run("talk", "--server", nobody, "--mic", "none", "--speaker", "-", "--json")
    assert_refused(done, 2, "--json", "--speaker -", "stdout")


# ------------------------------------------------------------------------------------- exit code 3


@pytest.mark.parametrize(
    "args",
    [
        ("--mic", "no/such.wav", "--speaker", "none"),
        ("--mic", "pyproject.toml.wav", "--speaker", "none"),
        ("--mic", "none", "--speaker", "no/such/folder/x.wav"),
        ("--mic", "no such device", "--speaker", "none"),
        ("--mic", "none", "--speaker", "9999"),
    ],
    ids=" ".join,
)
def test_sound_that_is_not_there_is_refused(url, args):
    done = run("talk", "--server", f"{url}/good", *args)
    assert "Traceback" not in done.stderr
    assert done.returncode == 3
    assert "voicecli: " in done.stderr


# -------------------------------------------------------------------------------- exit codes 4, 5


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--mic", "README.md"), ("microphone 'README.md'", "WAV")),
        (("--mic", "question.mp3"), ("WAV", 'ffmpeg -i "question.mp3" "question.wav"', "sox")),
        (("--speaker", "out/x.ogg"), ("WAV", 'ffmpeg -i "out/x.wav" "out/x.ogg"', "sox")),
        (("--mic", "./question"), ("'./question' is no WAV file",)),
        (("--mic", "talks/question"), ("'talks/question' is no WAV file",)),
        (("--speaker", "LICENSE"), ("speaker 'LICENSE' is no WAV file",)),
    ],
    ids=" ".join,
)
def test_a_file_that_is_no_wav_is_no_device_either(url, args, told):
    other = "--speaker" if args[0] == "--mic" else "--mic"
    done = run("talk", "--server", f"{url}/good", other, "none", *args)
    assert_refused(done, 2, *told)


@pytest.mark.parametrize("name", ["usb", "0", "Line 1", "/dev/dsp", "hw:1,0", "default", "Mic/2"])
def test_a_device_may_be_called_as_it_likes(name):
    from voicecli.cli.edges import check_files
    from voicecli.config import Audio

    check_files(Audio(mic=name, speaker=name))


def test_a_server_that_nobody_runs_is_told_with_its_address(nobody):
    done = run("talk", "--server", f"{nobody}/v1/realtime", *QUIET)
    assert_refused(done, 4, f"cannot reach {nobody}/v1/realtime", "is the server running")


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [
        ("/wrong-key", 4, "Incorrect API key"),
        ("/401", 4, "refused the key (HTTP 401)"),
        ("/404", 4, "/v1/realtime"),
        ("/429", 4, "overloaded"),
        ("/hangs-up", 4, "oops"),
        ("/not-json", 5, "session.created"),
        ("/binary", 5, "session.created"),
        ("/other-protocol", 5, "session.created"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_told_as_what_it_is(url, path, code, told):
    done = run("talk", "--server", f"{url}{path}", *QUIET)
    assert_refused(done, code, told, hint="\n  " in done.stderr)


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [("/leaves", 4, "maximum duration"), ("/refuses-settings", 5, "Unknown parameter")],
)
def test_a_talk_that_ends_against_our_will_says_why_after_its_summary(url, path, code, told):
    done = run("talk", "--server", f"{url}{path}", *QUIET, "--json")
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert told in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "summary"


def test_debug_shows_where_an_error_came_from_and_changes_neither_code_nor_advice(nobody):
    done = run("--debug", "talk", "--server", nobody, *QUIET)
    assert "Traceback" in done.stderr
    assert done.returncode == 4
    assert "is the server running" in done.stderr
    assert "ConnectionRefusedError" in done.stderr


# --------------------------------------------------------------------------------------- the layers


def test_a_value_comes_from_the_flag_before_the_environment_before_the_profile_before_the_file(
    tmp_path,
):
    file = tmp_path / "config.toml"
    file.write_text('server = "of-file"\nvoice = "a"\nmodel = "a"\n[profiles.p]\nserver = "of-p"\n')
    shown = json.loads(
        run("config", "--json", "--config", str(file), "--profile", "p", VOICECLI_VOICE="b").stdout
    )
    assert list(shown) == all_keys()
    assert shown["model"] == {"value": "a", "origin": str(file)}
    assert shown["server"] == {"value": "of-p", "origin": f"{file} [profiles.p]"}
    assert shown["voice"] == {"value": "b", "origin": "VOICECLI_VOICE"}
    assert shown["vad.mode"] == {"value": "server", "origin": "default"}

    talk = ("talk", "--config", str(file), *QUIET)
    assert "'of-file'" in run(*talk).stderr
    assert "'of-p'" in run(*talk, "--profile", "p").stderr
    assert "'of-env'" in run(*talk, "--profile", "p", VOICECLI_SERVER="of-env").stderr
    assert "'of-flag'" in run(*talk, "--server", "of-flag", VOICECLI_SERVER="of-env").stderr


def test_the_configuration_is_shown_with_the_file_that_was_read(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("# nothing of note\n")
    done = run("config", VOICECLI_CONFIG=str(file), COLUMNS="200")
    assert done.returncode == 0
    assert f"file: {file}" in done.stdout


def test_the_configuration_is_shown_as_it_would_be_written():
    rows = [line.split() for line in run("config", COLUMNS="200").stdout.splitlines()]
    shown = {row[0]: row[1] for row in rows if len(row) > 1}
    assert (shown["recording.enabled"], shown["vad.silence_ms"]) == ("false", "0")
    assert not {"True", "False"} & set(shown.values())


# ------------------------------------------------------------------------------------------ the key


@pytest.fixture
def with_key(tmp_path, url):
    """Run a talk with the key going to a path of the servers, with and without --debug."""

    def talk(path: str, key: str = KEY, *more: str) -> str:
        file = tmp_path / "config.toml"
        file.write_text(f'[servers.fake]\nurl = "{url}{path}"\nkey_env = "OPENAI_API_KEY"\n')
        args = ("talk", "--config", str(file), "--server", "fake", *QUIET, *more)
        running = [
            start(*args, "--max-minutes", "0.003", OPENAI_API_KEY=key),
            start("--debug", *args, "--json", "--max-minutes", "0.003", OPENAI_API_KEY=key),
        ]
        plain, debug = map(finished, running)
        assert "Traceback" not in plain.stderr
        return plain.stdout + plain.stderr + debug.stdout + debug.stderr

    return talk


@pytest.mark.parametrize(
    "path", [*(path for path in TALKS if "echoes" not in path), "/401", "/404", "/429"]
)
def test_a_key_is_in_no_output_however_a_talk_ends(with_key, path):
    assert "secret" not in with_key(path)


@pytest.mark.parametrize("path", [path for path in TALKS if "echoes" in path])
def test_a_key_is_in_no_output_although_the_server_repeats_it(with_key, path):
    output = with_key(path)
    assert "refused the key" in output
    assert "secret" not in output


@pytest.mark.parametrize(
    "key", [f"{KEY}…", f"{KEY}\nX-Other: 1", f"{KEY}\x7f"], ids=["ellipsis", "newline", "control"]
)
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(with_key, key):
    output = with_key("/good", key)
    assert "secret" not in output
    assert "OPENAI_API_KEY" in output


def test_a_key_is_not_in_the_configuration_that_is_shown():
    for args in (("config",), ("config", "--json")):
        done = run(*args, OPENAI_API_KEY=KEY)
        assert done.returncode == 0
        assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("path", ["/good", "/401"])
def test_a_key_in_the_query_of_a_url_is_not_repeated(url, path):
    args = ("--json", "--max-minutes", "0.003")
    done = run("talk", "--server", f"{url}{path}?api-key={KEY}", *QUIET, *args)
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("scheme", ["ftp", "socks5"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(scheme):
    if scheme == "socks5" and importlib.util.find_spec("python_socks") is not None:
        pytest.skip("with python-socks it can be used")
    proxy = f"{scheme}://me:{KEY}@127.0.0.1:9"
    url = ("--server", "wss://server.invalid/v1/realtime")
    done = run("--debug", "talk", *url, *QUIET, HTTPS_PROXY=proxy)
    assert done.returncode == 2, done.stderr
    assert "proxy" in done.stderr
    assert "secret" not in done.stderr


def test_a_password_in_a_url_that_cannot_be_used_is_not_repeated():
    done = run("talk", "--server", f"https://me:{KEY}@host/v1/realtime", *QUIET)
    assert_refused(done, 2)
    assert "secret" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_output_that_cannot_be_written_is_told_without_a_traceback(tmp_path):
    command = f"exec {sys.executable} -m voicecli config"
    environment = clean_environment(str(tmp_path))
    for redirection, code in ((">/dev/full", 1), (">&-", 0)):
        done = subprocess.run(
            ["sh", "-c", f"{command} {redirection}"],
            capture_output=True, text=True, env=environment, cwd=ROOT, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        told = "voicecli: cannot write the output: No space left on device\n" if code else ""
        assert done.stderr == told
