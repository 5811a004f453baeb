"""A look at one sound device: which rates it takes, and how it runs for a moment.

Streams of its own, apart from those of a talk: raw blocks at the device's rate, before anything is
converted. Everything here may hang for as long as the sound server does, so it is called in a
thread that can be left behind.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from voicecli.audio.choosing import DeviceInfo, Kind
from voicecli.audio.devices import CAPTURE_BLOCK_MS, DEFAULT_BLOCK_MS
from voicecli.audio.pcm import WIRE_RATE_HZ, samples_of_ms
from voicecli.audio.portaudio import (
    load_sounddevice,
    mapped_errors,
    stream_settings,
    with_com,
)
from voicecli.errors import AudioDeviceError

RATES_HZ: Final = (8_000, 16_000, 24_000, 44_100, 48_000)
_FIRST_BLOCK_S: Final = 1.5
"A device that gives nothing for so long after its start gives nothing at all."
_LOADING: Final = """\
import resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.alarm(10)
import sounddevice
"""
"Ends by itself where a sound server hangs and whoever started it is gone."


@dataclass
class Probe:
    """How a device ran."""

    rate_hz: int = 0
    accepted_hz: tuple[int, ...] = ()
    latency_s: float = 0.0
    "As PortAudio reports it."
    block_samples: int = 0
    called_at: list[float] = field(default_factory=list)
    "When each block came or went, on the clock given."
    troubles: int = 0
    "Overflows or underflows that the device told of."
    has_stopped: bool = False
    "It gave or took blocks, and then no more."


def library_version() -> str:
    """What PortAudio calls itself.

    Raises:
        AudioDeviceError: it is missing.
    """
    return str(load_sounddevice().get_portaudio_version()[1]).partition(", revision")[0]


def crash_of_library(limit_s: float) -> str:
    """The signal that ends a process which loads PortAudio, as `SIGABRT`; empty: none does.

    With a broken configuration of ALSA, PortAudio ends its process, and no `except` sees that: so
    another process tries it first. Elsewhere there is no such thing.

    Raises:
        TimeoutError: it takes longer than `limit_s`.
    """
    if sys.platform != "linux" or getattr(sys, "frozen", False):
        return ""
    nothing = subprocess.DEVNULL
    command = [sys.executable, "-P", "-c", _LOADING]
    try:
        done = subprocess.run(
            command, stdin=nothing, stdout=nothing, stderr=nothing, check=False, timeout=limit_s
        )
    except subprocess.TimeoutExpired as exc:
        raise TimeoutError from exc
    return signal.Signals(-done.returncode).name if done.returncode < 0 else ""


def accepted_rates(device: DeviceInfo, kind: Kind) -> tuple[int, ...]:
    """The usual rates, and its own, that the device takes with one channel of 16 bits.

    Raises:
        AudioDeviceError: PortAudio is missing.
    """
    sounddevice = load_sounddevice()
    check = (
        sounddevice.check_input_settings if kind == "input" else sounddevice.check_output_settings
    )
    extra = stream_settings(sounddevice, device.host_api)
    accepted = []
    for rate_hz in sorted({*RATES_HZ, device.default_rate_hz}):
        with contextlib.suppress(sounddevice.PortAudioError, ValueError):
            check(device.index, 1, "int16", extra, rate_hz)
            accepted.append(rate_hz)
    return tuple(accepted)


def probe(
    device: DeviceInfo,
    kind: Kind,
    duration_s: float,
    *,
    rates_hz: Sequence[int] = (),
    took: Callable[[bytes], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Probe:
    """Run the device for a moment, a speaker with silence; blocks meanwhile.

    Args:
        device: the one.
        kind: what to open it for.
        duration_s: from its first block on.
        rates_hz: tried in this order; empty: 24 kHz, then its own.
        took: gets each block of a microphone, in the thread that called.
        clock: of the times reported.

    Raises:
        AudioDeviceError: it takes none of the rates, or is in use.
    """
    outcome = Probe()
    with_com(lambda: _probe(outcome, device, kind, duration_s, rates_hz, took, clock))
    return outcome


def _probe(
    outcome: Probe,
    device: DeviceInfo,
    kind: Kind,
    duration_s: float,
    rates_hz: Sequence[int],
    took: Callable[[bytes], None],
    clock: Callable[[], float],
) -> None:
    outcome.accepted_hz = accepted_rates(device, kind)
    came: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def called_back(buffer: Any, samples: int, stamps: Any, flags: Any) -> None:
        del samples, stamps
        outcome.called_at.append(clock())
        outcome.troubles += bool(flags) and bool(flags.input_overflow or flags.output_underflow)
        if kind == "output":
            buffer[:] = bytes(len(buffer))
        came.put(bytes(buffer) if kind == "input" else b"")

    wanted = rates_hz or dict.fromkeys((WIRE_RATE_HZ, device.default_rate_hz))
    stream = _opened(outcome, device, kind, tuple(wanted), called_back)
    try:
        with contextlib.suppress(queue.Empty):
            block = came.get(timeout=_FIRST_BLOCK_S)
            until = clock() + duration_s
            outcome.has_stopped = True
            while clock() < until:
                took(block)
                block = came.get(timeout=_FIRST_BLOCK_S)
            outcome.has_stopped = False
    finally:
        stream.abort(ignore_errors=True)
        stream.close(ignore_errors=True)


def _opened(
    outcome: Probe, device: DeviceInfo, kind: Kind, rates_hz: Sequence[int], call: Any
) -> Any:
    sounddevice = load_sounddevice()
    make = sounddevice.RawInputStream if kind == "input" else sounddevice.RawOutputStream
    block_ms = CAPTURE_BLOCK_MS if kind == "input" else DEFAULT_BLOCK_MS
    for number, rate_hz in enumerate(rates_hz):
        try:
            with mapped_errors(f"cannot open {device.name!r}"):
                stream = make(
                    device=device.index,
                    samplerate=rate_hz,
                    blocksize=samples_of_ms(block_ms, rate_hz),
                    channels=1,
                    dtype="int16",
                    latency="low",
                    callback=call,
                    extra_settings=stream_settings(sounddevice, device.host_api),
                )
                outcome.rate_hz, outcome.latency_s = rate_hz, stream.latency
                outcome.block_samples = samples_of_ms(block_ms, rate_hz)
                stream.start()
        except AudioDeviceError:
            if number == len(rates_hz) - 1:
                raise
        else:
            return stream
    raise AudioDeviceError(f"{device.name!r} takes no rate")
