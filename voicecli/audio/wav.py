"""RIFF WAVE files: read any plain PCM as mono PCM16.

The standard library's reader knows neither the extensible header (before Python 3.12) nor floats,
and refuses files whose writer was cut off; all three are common in what people record.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from numpy import floating
    from numpy.typing import NDArray

_PCM: Final = 1
_FLOAT: Final = 3
_EXTENSIBLE: Final = 0xFFFE


@dataclass(frozen=True, slots=True)
class Sound:
    """One channel of audio at its own rate."""

    rate_hz: int
    pcm: bytes
    "PCM16 little endian."


@dataclass(frozen=True, slots=True)
class _Format:
    encoding: int
    channels: int
    rate_hz: int
    bits: int


def decode_wav(contents: bytes) -> Sound:
    """The audio of a WAV file: 8, 16, 24 or 32 bit or float; channels are averaged.

    A file whose header promises more than there is (its writer died) gives what there is.

    Raises:
        ValueError: it is no WAV file, or one of an encoding not named above; says which.
    """
    if contents[:4] != b"RIFF" or contents[8:12] != b"WAVE":
        raise ValueError("not a WAV file")
    format_ = None
    for name, body in _chunks(contents):
        if name == b"fmt ":
            format_ = _parsed(body)
        elif name == b"data" and format_ is not None:
            return Sound(format_.rate_hz, _mono_pcm(body, format_))
    raise ValueError("a WAV file without audio")


def _chunks(contents: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(contents):
        name, size = struct.unpack_from("<4sI", contents, position)
        body = contents[position + 8 : position + 8 + size]
        # zero or all ones is what a writer leaves that could not go back to fill it in
        if name == b"data" and size in (0, 0xFFFFFFFF):
            body = contents[position + 8 :]
        yield name, body
        position += 8 + size + size % 2


def _parsed(body: bytes) -> _Format:
    if len(body) < 16:
        raise ValueError("a WAV file with a damaged header")
    encoding, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if encoding == _EXTENSIBLE and len(body) >= 26:
        (encoding,) = struct.unpack_from("<H", body, 24)
    known = (encoding == _PCM and bits in (8, 16, 24, 32)) or (encoding == _FLOAT and bits == 32)
    if not known:
        raise ValueError(f"a WAV file of encoding {encoding} with {bits} bits")
    if not channels or not rate_hz:
        raise ValueError("a WAV file with a damaged header")
    return _Format(encoding, channels, rate_hz, bits)


def _mono_pcm(body: bytes, format_: _Format) -> bytes:
    block = format_.channels * format_.bits // 8
    body = body[: len(body) - len(body) % block]
    if format_.bits == 16 and format_.channels == 1:
        return body
    import numpy as np

    levels = _levels(body, format_).reshape(-1, format_.channels).mean(axis=1)
    return bytes(np.clip(np.rint(levels), -32768, 32767).astype("<i2").data)


def _levels(body: bytes, format_: _Format) -> "NDArray[floating]":
    """The samples as floats on the scale of 16 bit."""
    import numpy as np

    if format_.encoding == _FLOAT:
        floats: NDArray[floating] = np.nan_to_num(np.frombuffer(body, "<f4")) * np.float32(32768)
        return floats
    if format_.bits == 8:
        return (np.frombuffer(body, np.uint8).astype(np.float32) - 128) * 256
    if format_.bits == 16:
        return np.frombuffer(body, "<i2").astype(np.float32)
    if format_.bits == 32:
        return np.frombuffer(body, "<i4").astype(np.float32) / 65536
    # 24 bit: each sample becomes the upper three bytes of a 32-bit number
    widened = np.zeros((len(body) // 3, 4), np.uint8)
    widened[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)
    return widened.view("<i4").reshape(-1).astype(np.float32) / 65536
