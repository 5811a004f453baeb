"""PCM16 arithmetic: rates, frames, samples and milliseconds, levels.

Everywhere in the program audio is signed 16-bit little-endian mono at `WIRE_RATE_HZ` in `bytes`,
unless a name says otherwise. This room knows no device and needs no numpy.
"""

import math
import sys
from array import array
from operator import mul
from typing import Final

WIRE_RATE_HZ: Final = 24_000
"The rate of `audio/pcm` in the Realtime API, and of all audio inside the program."
FRAME_MS: Final = 20
FRAME_SAMPLES: Final = WIRE_RATE_HZ * FRAME_MS // 1000
SAMPLE_BYTES: Final = 2
FRAME_BYTES: Final = FRAME_SAMPLES * SAMPLE_BYTES
SILENT_FRAME: Final = bytes(FRAME_BYTES)
FLOOR_DBFS: Final = -100.0
"What `level_dbfs` gives for digital silence; one bit of noise is at -90."

_FULL_SCALE_SQUARED: Final = 32768.0 * 32768.0


def samples_in(pcm: bytes) -> int:
    """Whole samples in `pcm`; a last odd byte does not count."""
    return len(pcm) // SAMPLE_BYTES


def ms_of_samples(samples: int, rate_hz: int = WIRE_RATE_HZ) -> int:
    """Milliseconds that `samples` last, rounded down: never more than there is."""
    return samples * 1000 // rate_hz


def samples_of_ms(ms: float, rate_hz: int = WIRE_RATE_HZ) -> int:
    """Samples that fill `ms`, rounded down."""
    return int(ms * rate_hz / 1000)


def unpacked(pcm: bytes) -> "array[int]":
    """The samples of `pcm` as a new array of 16-bit numbers; `pcm` holds whole samples."""
    samples = array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def packed(samples: "array[int]") -> bytes:
    """The inverse of `unpacked`; `samples` is left as it was."""
    if sys.byteorder == "big":
        samples = array("h", samples)
        samples.byteswap()
    return samples.tobytes()


def level_dbfs(pcm: bytes) -> float:
    """Root mean square of `pcm` in dB below a full-scale square wave; `FLOOR_DBFS` if all zero."""
    samples = unpacked(pcm)
    energy = sum(map(mul, samples, samples))
    if not energy:
        return FLOOR_DBFS
    return 10.0 * math.log10(energy / (len(samples) * _FULL_SCALE_SQUARED))


def is_digital_silence(pcm: bytes) -> bool:
    """Whether every sample is exactly zero: what a muted or dead device gives, and no live one."""
    return pcm == bytes(len(pcm))


class Framer:
    """Cuts a stream of bytes of any lengths into frames of exactly `frame_bytes`."""

    def __init__(self, frame_bytes: int = FRAME_BYTES) -> None:
        self._frame_bytes = frame_bytes
        self._rest = b""

    @property
    def waiting_bytes(self) -> int:
        """What waits for a frame to become whole."""
        return len(self._rest)

    def push(self, pcm: bytes) -> list[bytes]:
        """Add `pcm` (also a torn sample); give the frames that are now whole, in order."""
        size = self._frame_bytes
        if not self._rest and len(pcm) == size:
            return [pcm]
        whole = self._rest + pcm
        end = len(whole) - len(whole) % size
        self._rest = whole[end:]
        return [whole[start : start + size] for start in range(0, end, size)]

    def finish(self) -> list[bytes]:
        """The last frame filled up with silence, or nothing; the framer is as new after it."""
        rest, self._rest = self._rest, b""
        if not rest:
            return []
        whole = rest[: len(rest) - len(rest) % SAMPLE_BYTES]
        return [whole.ljust(self._frame_bytes, b"\0")]
