"""The air between a virtual speaker and a virtual microphone: a delay, a gain, and noise.

It runs in a process of its own, which plays what the speaker's monitor gives into the microphone's
feed. How long the way really is, only recordings of both tell: sound servers add buffers.
"""

from __future__ import annotations

import ctypes
import functools
import random
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Self

RATE_HZ = 24_000
_CHANCES = 3
_FRAGMENT_SAMPLES = 48
_RECORD, _PLAY = 2, 1


def with_patience(test: Callable[..., None]) -> Callable[..., None]:
    """Give a test three chances: the simulated air loses blocks where the machine stalls.

    What is really wrong is wrong three times.
    """

    @functools.wraps(test)
    def patient(*arguments: object, **named: object) -> None:
        for _ in range(_CHANCES - 1):
            try:
                test(*arguments, **named)
            except (AssertionError, LookupError):
                continue
            return
        test(*arguments, **named)

    return patient


class Air:
    """Carries sound from `speaker` to `mic_feed` while the context lasts.

    Args:
        delay_ms: on top of what the sound server adds.
        gain_db: of the echo.
        noise_dbfs: of white noise at the microphone; None: there is none.
        offset: added to each sample of the microphone.
    """

    def __init__(
        self,
        delay_ms: int = 60,
        gain_db: float = -20.0,
        noise_dbfs: float | None = None,
        offset: int = 0,
    ) -> None:
        given = [delay_ms, gain_db, "" if noise_dbfs is None else noise_dbfs, offset]
        self._command = [sys.executable, str(Path(__file__).resolve()), *map(str, given)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"carrying\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def true_delay_ms(speaker: object, microphone: object) -> float:
    """The delay between two recordings of `vsound`, by the place where they are most alike."""
    import numpy as np
    from vsound import Recording

    assert isinstance(speaker, Recording)
    assert isinstance(microphone, Recording)
    sent = speaker.samples.astype(float)
    came = microphone.samples.astype(float)
    size = 1 << (len(sent) + len(came)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(came, size) * np.conj(np.fft.rfft(sent, size)), size)
    lag = int(np.argmax(np.abs(likeness)))
    lag = lag - size if lag > size // 2 else lag
    return (microphone.begun_at - speaker.begun_at) * 1000 + lag * 1000 / speaker.rate_hz


def _carry(delay_ms: int, gain: float, noise: float, offset: int) -> None:
    from vsound import _be_realtime, _BufferAttributes, _SampleSpec

    _be_realtime(0)

    pulse = ctypes.CDLL("libpulse-simple.so.0")
    pulse.pa_simple_new.restype = ctypes.c_void_p
    arguments = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    pulse.pa_simple_read.argtypes = pulse.pa_simple_write.argtypes = arguments
    unset, size = 0xFFFFFFFF, _FRAGMENT_SAMPLES * 2
    spec = ctypes.byref(_SampleSpec(3, RATE_HZ, 1))

    def stream(way: int, device: bytes, tlength: int, prebuf: int, minreq: int) -> int:
        attributes = ctypes.byref(_BufferAttributes(unset, tlength, prebuf, minreq, size))
        made: int | None = pulse.pa_simple_new(
            None, b"air", way, device, b"air", spec, None, attributes, None
        )
        if not made:
            raise SystemExit(f"no {device!r}")
        return made

    ears = stream(_RECORD, b"speaker.monitor", unset, unset, unset)
    mouth = stream(_PLAY, b"mic_feed", RATE_HZ * 4, 0, size)
    fragment = ctypes.create_string_buffer(size)
    chance = random.Random(1)
    hiss = [chance.gauss(0, noise) for _ in range(RATE_HZ)] if noise else []
    silence = bytes(delay_ms * RATE_HZ // 1000 * 2)
    pulse.pa_simple_write(mouth, silence, len(silence), None)
    count = 0
    while pulse.pa_simple_read(ears, fragment, size, None) >= 0:
        samples = array("h", fragment.raw)
        for index, one in enumerate(samples):
            loud = one * gain + offset
            if hiss:
                loud += hiss[(count * _FRAGMENT_SAMPLES + index) % len(hiss)]
            samples[index] = max(-32768, min(32767, round(loud)))
        pcm = samples.tobytes()
        pulse.pa_simple_write(mouth, pcm, len(pcm), None)
        count += 1
        if count == 20:
            sys.stdout.write("carrying\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _, delay, gain_db, noise_dbfs, offset = sys.argv
    level = 32768 * 10 ** (float(noise_dbfs) / 20) if noise_dbfs else 0.0
    _carry(int(delay), 10 ** (float(gain_db) / 20), level, int(offset))
