"""What other systems lack is not needed there, and what they do differently is seen to.

None of it runs on those systems: each test takes something away from this one, or puts a small
stand-in in the place of what only they have. The types are checked for all of them by
`mypy --platform`, see .ci/run.
"""

import ast
import asyncio
import codecs
import ctypes
import errno
import importlib.util
import io
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import voicecli
from voicecli import cli, config
from voicecli.audio import devices, portaudio
from voicecli.cli import exposure
from voicecli.demo.load import Folder
from voicecli.engine.server import serve
from voicecli.ui.controls import Key

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    one.name for one in pkgutil.walk_packages(voicecli.__path__, "voicecli.") if not one.ispkg
)
SOURCES = sorted((ROOT / "voicecli").rglob("*.py"))

AS_IF_ON_WINDOWS = """
import importlib, os, select, signal, socket, sys, types
import platformdirs  # asks the real Windows otherwise
modules = {modules!r}
for name in modules:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] == "voicecli"]:
    del sys.modules[name]

POSIX = {{"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in POSIX:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in POSIX:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Missing())
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
KEPT = {{"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}}
for name in dir(signal):
    if name.startswith("SIG") and name not in KEPT | {{"SIG_DFL", "SIG_IGN"}}:
        delattr(signal, name)
signal.SIGBREAK = signal.SIGTERM
for name in (
    "O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK chown fchmod fchown fork forkpty "
    "geteuid getpgid getpgrp getuid killpg lchown mkfifo nice openpty posix_fadvise "
    "posix_fallocate register_at_fork sendfile setsid statvfs sync sysconf ttyname "
    "uname wait waitpid"
).split():
    if hasattr(os, name):
        delattr(os, name)
os.O_BINARY = 0
for name in ("epoll", "kqueue", "poll"):
    if hasattr(select, name):
        delattr(select, name)
for name in ("AF_UNIX", "SO_REUSEPORT", "MSG_DONTWAIT"):
    if hasattr(socket, name):
        delattr(socket, name)
sys.platform = "win32"
for name in modules:
    if name != "voicecli.__main__":
        importlib.import_module(name)
"""


def run_as_if_on_windows(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", AS_IF_ON_WINDOWS.format(modules=MODULES) + program],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")


# ---------------------------------------------------------------------------------- what they lack


def test_every_module_can_be_loaded_without_what_windows_lacks() -> None:
    loaded = run_as_if_on_windows("print(sum(name in sys.modules for name in modules))")
    assert int(loaded) == len(MODULES) - 1
    assert len(MODULES) > 200


def test_commands_run_without_what_windows_lacks(tmp_path: Path) -> None:
    program = """
from voicecli import cli
for command in ("config --json", "recordings list --json", "models list --json", "demo --list"):
    sys.argv[1:] = command.split()
    assert cli.run() == 0
"""
    home = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "VOICECLI_MODELS"), "")
    settings, *rest = run_as_if_on_windows(
        program, **{name: str(tmp_path) for name in home}
    ).splitlines()
    assert json.loads(settings)["vad.mode"]["value"] == "server"
    assert rest[0] == "[]"
    assert any('"smart-turn"' in line for line in rest)


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            yield name, node


def _reads_text_in_the_locale(name: str, call: ast.Call) -> bool:
    keywords = {one.arg for one in call.keywords}
    texts = [one.value for one in call.args if isinstance(one, ast.Constant)]
    if name in ("run", "Popen", "check_output"):
        return bool({"text", "universal_newlines"} & keywords) and not {"encoding", "errors"} & (
            keywords
        )
    if name == "read_text":
        return not call.args and "encoding" not in keywords
    if name == "write_text":
        return len(call.args) < 2 and "encoding" not in keywords
    if name in ("open", "fdopen") and "encoding" not in keywords:
        return any(isinstance(one, str) and one in ("r", "w", "a", "x", "r+") for one in texts)
    return False


def test_no_text_is_read_or_written_in_whatever_encoding_the_system_likes() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in SOURCES
        for name, call in _calls(ast.parse(path.read_text("utf-8")))
        if _reads_text_in_the_locale(name, call)
    ]
    assert found == []


def test_no_block_that_cleans_up_swallows_what_happened() -> None:
    """Python 3.14 warns of it."""
    found = [
        f"{path.relative_to(ROOT)}:{inner.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Try)
        for statement in node.finalbody
        for inner in ast.walk(statement)
        if isinstance(inner, ast.Return)
    ]
    assert found == []


# ----------------------------------------------------------------------------- descriptors, streams


def test_a_reader_of_stdin_has_it_for_itself() -> None:
    program = """
import os, sys
from voicecli.audio.stdin import take_stdin
own = take_stdin()
assert own > 2
assert os.read(0, 9) == b"", "nobody else waits for what comes"
sys.stdout.buffer.write(os.read(own, 9))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], input=b"\r\n\x1aab", capture_output=True, check=True,
        cwd=ROOT,
    )  # fmt: skip
    assert done.stdout == b"\r\n\x1aab"


def _stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")


def _written(stream: io.TextIOWrapper) -> bytes:
    stream.write("né → 日")
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


def test_what_the_encoding_of_the_locale_lacks_is_a_question_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = _stream("cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    cli._let_write_all_text({})
    assert _written(stream) == "né ? ?".encode("cp1252")


def test_what_ascii_lacks_is_a_question_mark_where_the_locale_is_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdout", stream)
    cli._let_write_all_text({})
    assert _written(stream) == b"n? ? ?"


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("environment", "encoding"), [({}, "utf-8"), ({"PYTHONIOENCODING": "cp1252"}, "cp1252")]
)
def test_pipes_of_windows_get_utf_8_unless_something_else_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], encoding: str
) -> None:
    stream = _stream("cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    cli._let_write_all_text(environment)
    assert _written(stream) == "né → 日".encode(encoding, "replace")


def test_a_stream_of_utf_8_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdout", stream)
    cli._let_write_all_text({})
    assert (stream.encoding, stream.errors) == ("utf-8", "surrogateescape")


def test_a_reader_that_leaves_is_no_error_where_windows_says_so_oddly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="Invalid"):
        cli._output_failed(OSError(errno.EINVAL, "Invalid argument"))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert cli._output_failed(OSError(errno.EINVAL, "Invalid argument")) == 1
    assert sys.stdout is None
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------------------ files of the user's


def test_the_mark_that_editors_of_windows_begin_files_with_is_no_part_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def marked(name: str, text: str) -> Path:
        file = tmp_path / name
        file.write_bytes(codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode())
        return file

    told = marked("told.txt", "Be brief.\n")
    file = marked("config.toml", f"instructions = '@{told}'\n\n[vad]\nmode = \"semantic\"\n")
    loaded = config.load({}, path=file).config
    assert loaded.vad.mode == "semantic"
    assert config.session_settings(loaded, is_local=False).instructions == "Be brief."
    assert exposure.read_token(None, None, marked("token", "0123456789abcdef\n")) == (
        "0123456789abcdef"
    )
    assert Folder().read(str(marked("demo.toml", "[demo]"))) == "[demo]"


# ---------------------------------------------------------------------------------------- the sound


class FakeCom:
    """Counts what each thread says of COM."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.kept = 0

    def CoIncrementMTAUsage(self, cookie: object) -> int:
        self.kept += 1
        return 0

    def CoInitializeEx(self, reserved: None, mode: int) -> int:
        assert mode == 0
        self.begun.append(threading.get_ident())
        return 0

    def CoUninitialize(self) -> None:
        self.ended.append(threading.get_ident())


@pytest.mark.usefixtures("windows")
def test_every_thread_that_opens_devices_tells_windows_that_it_uses_com(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    com = FakeCom()
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(ole32=com), raising=False)
    opened: list[int] = []

    def open_device() -> None:
        assert threading.get_ident() in com.begun
        opened.append(threading.get_ident())

    threads: set[threading.Thread] = set()
    devices._started_thread(open_device, threads)
    for thread in threads:
        thread.join()
    assert opened == com.begun == com.ended
    assert com.kept, "the apartment outlives the thread"


def test_wasapi_may_convert_and_other_host_apis_are_asked_nothing() -> None:
    library = SimpleNamespace(WasapiSettings=lambda **settings: settings)
    assert portaudio.stream_settings(library, "Windows WASAPI") == {"auto_convert": True}
    assert portaudio.stream_settings(library, "ALSA") is None
    assert portaudio.stream_settings(library, "Core Audio") is None


# ----------------------------------------------------------------------------------------- the keys


class FakeConsole(ModuleType):
    """`msvcrt` as far as keys go; a special key comes in two pieces, and its first is an `à`."""

    def __init__(self, typed: list[str]) -> None:
        super().__init__("msvcrt")
        self._typed = deque(typed)
        self._back: str | None = None

    def kbhit(self) -> bool:
        return bool(self._typed)

    def getwch(self) -> str:
        if self._back is not None:
            back, self._back = self._back, None
            return back
        assert self._typed, "it would wait for a key"
        key = self._typed.popleft()
        if len(key) == 2:
            self._back = key[1]
        return key[0]

    def ungetwch(self, character: str) -> None:
        if self._back is not None:
            raise OSError
        self._back = character


def _keys_of_console(monkeypatch: pytest.MonkeyPatch, typed: list[str], count: int) -> list[Key]:
    monkeypatch.setitem(sys.modules, "msvcrt", FakeConsole(typed))
    monkeypatch.setattr(sys, "platform", "win32")
    source = ROOT / "voicecli" / "ui" / "keys.py"
    spec = importlib.util.spec_from_file_location("keys_of_windows", source)
    assert spec is not None
    assert spec.loader is not None
    keys: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "keys_of_windows", keys)
    spec.loader.exec_module(keys)
    monkeypatch.setattr(sys, "platform", "linux")  # the loop's

    async def collect() -> list[Key]:
        got: list[Key] = []
        complete = asyncio.Event()

        def deliver(some: list[Key], at: float) -> None:
            got.extend(some)
            if len(got) >= count:
                complete.set()

        keyboard = keys.Keyboard(0, lambda text: None)
        keyboard.start(deliver)
        try:
            async with asyncio.timeout(5):
                await complete.wait()
        finally:
            keyboard.close()
        return got

    return asyncio.run(collect())


def test_special_keys_of_a_console_of_windows_are_told_from_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed = [
        "à",
        "H",
        "\xe0H",
        "\x00M",
        "é",
        "\x1b",
        "\r",
        "😀".encode("utf-16-le").decode("utf-16"),
    ]
    assert _keys_of_console(monkeypatch, typed, 8) == [
        Key("char", "à"),
        Key("char", "H"),
        Key("up"),
        Key("right"),
        Key("char", "é"),
        Key("escape"),
        Key("enter"),
        Key("char", "😀"),
    ]


# -------------------------------------------------------------------------------------- the signals


@pytest.fixture
def loop_without_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    loop = asyncio.SelectorEventLoop
    monkeypatch.setattr(loop, "add_signal_handler", refuse)


async def _halted_by(number: signal.Signals) -> bool:
    halt = serve._Halt(asyncio.Event())
    with serve._signals(halt):
        signal.raise_signal(number)
        async with asyncio.timeout(5):
            await halt.stop.wait()
    return True


@pytest.mark.usefixtures("loop_without_signals")
def test_a_server_ends_by_a_signal_where_the_loop_knows_none() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert asyncio.run(_halted_by(signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("loop_without_signals")
def test_a_server_in_a_thread_does_without_signals() -> None:
    async def serves() -> None:
        with serve._signals(serve._Halt(asyncio.Event())):
            await asyncio.sleep(0)

    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(serves())
        except BaseException as exc:  # noqa: BLE001
            failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failures == []
