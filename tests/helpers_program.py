"""The program as a user runs it: a process of its own, with pipes or at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self

from voicecli.engine.store import ModelStore

ROOT = Path(__file__).resolve().parent.parent
Line = dict[str, Any]


def engine_can_run() -> bool:
    """Whether the embedded engine and the weights of its ears are installed."""
    modules = all(importlib.util.find_spec(name) for name in ("onnxruntime", "hibari"))
    return modules and ModelStore().is_present("moonshine-tiny-en")


def clean_environment(home: str, **more: str) -> dict[str, str]:
    """Ours without keys and settings, with a home that is empty; models stay where they are."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VOICECLI_", "OPENAI_", "XDG_"))
    }
    return inherited | {
        "HOME": home, "XDG_CONFIG_HOME": home, "PYTHONPATH": str(ROOT),
        "VOICECLI_MODELS": str(ModelStore().root),
        "TERM": "xterm-256color", "LC_ALL": "C.UTF-8",
    } | more  # fmt: skip


class Program:
    """`voicecli` with arguments, ended with the context at the latest.

    Args:
        arguments: after the program's name.
        at_terminal: run it at a terminal of its own, for all three streams.
        stdin: what it reads, when it is not at a terminal.
        environment: more variables.
    """

    def __init__(
        self,
        *arguments: str,
        at_terminal: bool = False,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        environment: dict[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "voicecli"),
    ) -> None:
        self._arguments = [*command, *arguments]
        self._at_terminal = at_terminal
        self._stdin = stdin
        self._more = environment or {}
        self._stack = contextlib.ExitStack()
        self._readers: list[threading.Thread] = []
        self._grown = threading.Condition()
        self.output = bytearray()
        "Stdout, or all that the terminal was sent."
        self.errors = bytearray()
        self.line_times: list[float] = []
        "When each line of stdout was complete."
        self.master = -1
        self._slave = -1
        self._is_hung_up = threading.Event()

    def __enter__(self) -> Self:
        home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vc"))
        environment = clean_environment(home, **self._more)
        self.started_at = time.monotonic()
        if self._at_terminal:
            self._start_at_terminal(environment)
        else:
            self._start_with_pipes(environment)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        for descriptor in (self.master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._stack.close()

    def _start_with_pipes(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            self._arguments, stdin=self._stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, cwd=ROOT,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._read(self.process.stdout.fileno(), self.output)
        self._read(self.process.stderr.fileno(), self.errors)

    def _start_at_terminal(self, environment: dict[str, str]) -> None:
        self.master, self._slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.modes_before = self.modes
        slave = self._slave
        self.process = subprocess.Popen(
            self._arguments, env=environment, cwd=ROOT, preexec_fn=lambda: os.login_tty(slave),
            pass_fds=(slave,),
        )  # fmt: skip
        self._read(self.master, self.output)

    @property
    def modes(self) -> list[Any]:
        """The terminal's settings now."""
        return termios.tcgetattr(self._slave)

    def type(self, keys: bytes) -> None:
        """Press keys at the terminal."""
        os.write(self.master, keys)

    def press_until_ended(self, key: bytes, *, every_s: float = 2.0, times: int = 10) -> int:
        """Press a key; again if it came before the program listened. Gives the exit code."""
        for _ in range(times):
            self.type(key)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(every_s)
                break
        return self.wait(every_s)

    def hang_up(self) -> None:
        """Close the terminal under it."""
        self._is_hung_up.set()
        for reader in self._readers:
            reader.join(10)
        master, slave, self.master, self._slave = self.master, self._slave, -1, -1
        os.close(slave)
        os.close(master)

    def kill(self, number: int = signal.SIGINT) -> None:
        """Send a signal, unless it has ended already."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self, timeout_s: float = 20.0) -> int:
        """The exit code; raises `TimeoutExpired` with the output when it does not end."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            text = f"{self.shown}\n{self.complaint}"
            raise AssertionError(f"still running after {timeout_s} s:\n{text[-3000:]}") from None
        for reader in self._readers:
            reader.join(10)
        return code

    def until(self, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Wait until what was written makes `condition` true."""
        with self._grown:
            reached = self._grown.wait_for(condition, timeout_s)
        if not reached:
            raise AssertionError(f"waited in vain:\n{self.shown[-3000:]}\n{self.complaint[-3000:]}")

    def until_line(self, kind: str, count: int = 1, timeout_s: float = 20.0) -> Line:
        """Wait for the `count`th JSON line of a type."""
        self.until(lambda: len(self.lines_of(kind)) >= count, timeout_s)
        return self.lines_of(kind)[count - 1]

    @property
    def shown(self) -> str:
        return self.output.decode("utf-8", "replace")

    @property
    def complaint(self) -> str:
        return self.errors.decode("utf-8", "replace")

    @property
    def lines(self) -> list[Line]:
        """Stdout as complete JSON lines."""
        *complete, _ = bytes(self.output).split(b"\n")
        return [json.loads(line) for line in complete]

    def lines_of(self, kind: str) -> list[Line]:
        return [line for line in self.lines if line["type"] == kind]

    def _read(self, descriptor: int, into: bytearray) -> None:
        reader = threading.Thread(target=self._keep, args=(descriptor, into), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _keep(self, descriptor: int, into: bytearray) -> None:
        while piece := self._piece(descriptor):
            now = time.monotonic()
            with self._grown:
                into += piece
                if into is self.output:
                    self.line_times += [now] * piece.count(b"\n")
                self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    def _piece(self, descriptor: int) -> bytes:
        # A terminal has no end while we hold its other side open: then the process's end counts.
        while not select.select([descriptor], [], [], 0.05)[0]:
            if self._is_hung_up.is_set() or (self._at_terminal and self.process.poll() is not None):
                return b""
        with contextlib.suppress(OSError):
            return os.read(descriptor, 65536)
        return b""


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pids: Sequence[int], timeout_s: float = 5.0) -> bool:
    """Whether all of them have ended in time."""
    deadline = time.monotonic() + timeout_s
    while any(map(is_running, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def spoken(*arguments: str, **more: Any) -> Iterator[Program]:
    """`voicecli talk` without sound devices, as JSON lines unless told otherwise."""
    given = ["talk", *arguments]
    if "--mic" not in given:
        given += ["--mic", "none"]
    if "--speaker" not in given:
        given += ["--speaker", "none"]
    with Program(*given, **more) as program:
        yield program
