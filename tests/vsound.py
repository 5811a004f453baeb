"""A virtual sound card for tests: a private PulseAudio daemon with one speaker and one microphone.

Both are null sinks at the wire's rate, so what is recorded equals what was played sample by sample.
`norewinds=1` matters: without it a null sink renders up to 2 s ahead. The recorder runs in a
process of its own and reads 2 ms at a time, which also makes the sink render in steps of 2 ms: its
times are true to that. Used as the fixture `virtual_sound` (`pytest_plugins = ["vsound"]`), or as a
context manager outside of pytest. Needs pulseaudio, pulseaudio-utils, libasound2-plugins and
libportaudio2.
"""

import contextlib
import ctypes
import ctypes.util
import glob
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

RATE_HZ = 24_000
_FRAGMENT_SAMPLES = 48
_REALTIME_PRIORITY = 20
_TELLING_SAMPLES = 12
"So many samples of noise occur in one place only."

_DAEMON_SCRIPT = """\
.fail
load-module module-null-sink sink_name=speaker format=s16le rate={rate} channels=1 norewinds=1
load-module module-null-sink sink_name=mic_feed format=s16le rate={rate} channels=1 norewinds=1
load-module module-remap-source master=mic_feed.monitor source_name=microphone channels=1
set-default-sink speaker
set-default-source microphone
load-module module-native-protocol-unix auth-anonymous=1 socket={folder}/native
"""
_ALSA_CONFIG = """\
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse hint { show on description "virtual sound" } }
ctl.!default { type pulse }
"""


def missing() -> str:
    """Why there can be no virtual sound here; empty if there can."""
    for program in ("pulseaudio", "pactl", "pacat"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    for library in ("portaudio", "pulse-simple"):
        if ctypes.util.find_library(library) is None:
            return f"lib{library} is not installed"
    plugins = "alsa-lib/libasound_module_pcm_pulse.so"
    if not any(glob.glob(f"/usr/{folder}/{plugins}") for folder in ("lib", "lib64", "lib/*")):
        return "the pulse plugin of ALSA is not installed"
    return ""


@pytest.fixture(scope="session")
def virtual_sound() -> Iterator["VirtualSound"]:
    """One daemon for the whole run; the environment points this process and its children at it."""
    reason = missing()
    if reason:
        pytest.skip(f"no virtual sound: {reason}")
    with VirtualSound() as sound:
        yield sound


class VirtualSound:
    """The daemon, alive while the context lasts."""

    def __init__(self, rate_hz: int = RATE_HZ) -> None:
        self.rate_hz = rate_hz
        self.environment: dict[str, str] = {}
        self._before: dict[str, str | None] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "VirtualSound":
        with contextlib.ExitStack() as stack:
            # a short path: names of Unix sockets are limited to about 100 bytes
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vs")))
            self.environment = _environment(folder)
            (folder / "asound.conf").write_text(_ALSA_CONFIG)
            script = folder / "daemon.pa"
            script.write_text(_DAEMON_SCRIPT.format(folder=folder, rate=self.rate_hz))
            self._set_environment()
            stack.callback(self._restore_environment)
            self._folder = folder
            self.daemon = _started_daemon(folder, script)
            stack.callback(lambda: _ended(self.daemon))
            _wait_for(self.daemon, folder)
            _reset_portaudio()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        _reset_portaudio()

    def recorder(self, sink: str = "speaker") -> "Recorder":
        """Begin to record what the speaker, or another sink, plays."""
        return Recorder(self.rate_hz, sink)

    def kill(self) -> None:
        """Let the daemon die, with all its devices."""
        self.daemon.kill()
        self.daemon.wait()

    def restart(self) -> None:
        """Start another daemon in its place, as service managers do."""
        self.daemon = _started_daemon(self._folder, self._folder / "daemon.pa")
        _wait_for(self.daemon, self._folder)

    def freeze(self) -> None:
        """Let it answer nobody until `thaw`."""
        os.kill(self.daemon.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.daemon.pid, signal.SIGCONT)

    def add_sink(self, name: str) -> str:
        """Plug another speaker in; gives what `remove` takes."""
        return _control(
            "load-module", "module-null-sink", f"sink_name={name}", "format=s16le",
            f"rate={self.rate_hz}", "channels=1", "norewinds=1",
        )  # fmt: skip

    def remove(self, module: str) -> None:
        """Pull it out."""
        _control("unload-module", module)

    def module_of(self, argument: str) -> str:
        """The first module whose arguments contain this."""
        lines = _control("list", "short", "modules").splitlines()
        return next(line.split()[0] for line in lines if argument in line)

    def make_default(self, sink: str) -> None:
        _control("set-default-sink", sink)

    def feed(self, pcm: bytes) -> "subprocess.Popen[bytes]":
        """Say `pcm` into the microphone, in the background; the process ends with it."""
        feeder = subprocess.Popen(
            ["pacat", "--playback", "--device=mic_feed", "--raw", "--format=s16le",
             f"--rate={self.rate_hz}", "--channels=1", "--latency-msec=20"],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert feeder.stdin is not None
        feeder.stdin.write(pcm)
        feeder.stdin.close()
        return feeder

    def _set_environment(self) -> None:
        for name, value in self.environment.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value

    def _restore_environment(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass
class Recording:
    """What the speaker played, with the monotonic time of each sample."""

    samples: Any
    "int16 array."
    begun_at: float
    rate_hz: int
    arrivals: Any
    "When each fragment of 2 ms came; tells of interruptions, and is late by chance."

    def time_of(self, sample: int) -> float:
        """When this sample left the speaker, on the clock of `time.monotonic`."""
        return self.begun_at + sample / self.rate_hz

    def sample_at(self, at: float) -> int:
        """The sample that left the speaker at a monotonic time."""
        return int((at - self.begun_at) * self.rate_hz)


def times_heard(pcm: bytes, recordings: "list[Recording]") -> Any:
    """How often each sample of `pcm`, of which no two stretches are alike, was recorded."""
    import numpy as np

    wanted = np.frombuffer(pcm, "<i2")
    counts = np.zeros(len(wanted), int)
    for recording in recordings:
        loud = np.flatnonzero(recording.samples)
        for part in np.split(loud, np.flatnonzero(np.diff(loud) > 1) + 1):
            run = recording.samples[part]
            while len(run) >= _TELLING_SAMPLES:
                begin = _place(run[:_TELLING_SAMPLES].tobytes(), pcm)
                if begin < 0:
                    run = run[1:]
                    continue
                length = min(len(run), len(wanted) - begin)
                differing = np.flatnonzero(run[:length] != wanted[begin : begin + length])
                length = int(differing[0]) if len(differing) else length
                counts[begin : begin + length] += 1
                run = run[length:]
    return counts


def _place(piece: bytes, pcm: bytes) -> int:
    """At which sample `piece` is in `pcm`; -1 for nowhere."""
    at = pcm.find(piece)
    while at % 2 == 1 and at >= 0:
        at = pcm.find(piece, at + 1)
    return at // 2 if at >= 0 else -1


class Recorder:
    """Records in a process of its own until `stop`."""

    def __init__(self, rate_hz: int = RATE_HZ, sink: str = "speaker") -> None:
        self._rate_hz = rate_hz
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(rate_hz), sink],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"recording\n"

    def stop(self) -> Recording:
        """End, and give everything recorded."""
        import numpy as np

        contents, _ = self._process.communicate(b"")
        record = struct.calcsize("<q") + _FRAGMENT_SAMPLES * 2
        table = np.frombuffer(
            contents, [("at_ns", "<i8"), ("pcm", "<i2", _FRAGMENT_SAMPLES)], len(contents) // record
        )
        samples_before = np.arange(1, len(table) + 1) * _FRAGMENT_SAMPLES
        offsets = table["at_ns"] / 1e9 - samples_before / self._rate_hz
        # a fragment may arrive late but never early: the low end of the offsets is the truth
        begun_at = float(np.percentile(offsets, 5)) if len(offsets) else 0.0
        arrivals = table["at_ns"] / 1e9
        return Recording(table["pcm"].reshape(-1), begun_at, self._rate_hz, arrivals)


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PULSE_SERVER": f"unix:{folder}/native",
        "PULSE_RUNTIME_PATH": f"{folder}/runtime",
        "PULSE_STATE_PATH": f"{folder}/state",
        "PULSE_COOKIE": f"{folder}/cookie",
        "ALSA_CONFIG_PATH": f"{folder}/asound.conf",
    }


def _started_daemon(folder: Path, script: Path) -> "subprocess.Popen[bytes]":
    log = (folder / "log").open("wb")
    with log:
        daemon = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--realtime=no",
             "--high-priority=no", "--use-pid-file=no", "-F", str(script)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    _be_realtime(daemon.pid)
    return daemon


def _be_realtime(pid: int) -> None:
    """Where that is allowed: "hardware" does not starve while the program is under load."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(_REALTIME_PRIORITY))


def _wait_for(daemon: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and daemon.poll() is None:
        if subprocess.run(["pactl", "info"], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.02)
    raise RuntimeError((folder / "log").read_text())


def _ended(daemon: "subprocess.Popen[bytes]") -> None:
    daemon.terminate()
    try:
        daemon.wait(3)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _reset_portaudio() -> None:
    """PortAudio lists the devices once, when it is loaded."""
    sounddevice = sys.modules.get("sounddevice")
    if sounddevice is not None:
        sounddevice._terminate()
        sounddevice._initialize()


class _SampleSpec(ctypes.Structure):
    _fields_ = (
        ("format", ctypes.c_int),
        ("rate", ctypes.c_uint32),
        ("channels", ctypes.c_uint8),
    )


class _BufferAttributes(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize")
    )


def _control(*arguments: str) -> str:
    command = ["pactl", *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def _record(rate_hz: int, sink: str) -> None:
    """Body of the recorder's process: fragments with their time of arrival, until stdin ends.

    When the daemon dies it waits for the next one, and goes on with that one's speaker.
    """
    import select

    pulse = ctypes.CDLL("libpulse-simple.so.0")
    pulse.pa_simple_new.restype = ctypes.c_void_p
    pulse.pa_simple_read.argtypes = [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
    ]  # fmt: skip
    unset, size = 0xFFFFFFFF, _FRAGMENT_SAMPLES * 2
    pulse.pa_simple_free.argtypes = [ctypes.c_void_p]
    _be_realtime(0)

    def connected() -> Any:
        return pulse.pa_simple_new(
            None, b"recorder", 2, f"{sink}.monitor".encode(), b"recorder",
            ctypes.byref(_SampleSpec(3, rate_hz, 1)), None,
            ctypes.byref(_BufferAttributes(unset, unset, unset, unset, size)), None,
        )  # fmt: skip

    stream = connected()
    if not stream:
        raise SystemExit("cannot record")
    fragment = ctypes.create_string_buffer(size)
    fragments: list[bytes] = []
    while not select.select([sys.stdin], [], [], 0)[0]:
        if not stream or pulse.pa_simple_read(stream, fragment, size, None) < 0:
            if stream:
                pulse.pa_simple_free(stream)
            time.sleep(0.002)
            stream = connected()
            continue
        fragments.append(struct.pack("<q", time.monotonic_ns()) + fragment.raw)
        if len(fragments) == 10:
            sys.stdout.buffer.write(b"recording\n")
            sys.stdout.buffer.flush()
    sys.stdout.buffer.write(b"".join(fragments))


if __name__ == "__main__":
    _record(int(sys.argv[1]), sys.argv[2])
