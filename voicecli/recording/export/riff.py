"""The header of a WAV file that is written as it grows.

A RIFF file counts its bytes with 32 bits. The header leaves room for the 64-bit counts of RF64
(EBU Tech 3306), in a chunk that readers skip until it is needed.
"""

from __future__ import annotations

import struct
from typing import Final

from voicecli.audio.pcm import SAMPLE_BYTES, WIRE_RATE_HZ

LARGEST_RIFF: Final = 0xFFFF_FFFF
UNKNOWN: Final = 0xFFFF_FFFF
"In both counts: the file ends where it ends. So a header says that cannot be changed any more."

_PCM: Final = 1
_DS64_BYTES: Final = 28
HEADER_BYTES: Final = 12 + (8 + _DS64_BYTES) + (8 + 16) + 8


def wav_header(channels: int, data_bytes: int | None) -> bytes:
    """The header of a file with so much PCM16 at 24 kHz behind it; always of the same length.

    Args:
        channels: interleaved.
        data_bytes: None if it is not known and cannot be filled in.
    """
    block_bytes = channels * SAMPLE_BYTES
    sound = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, _PCM, channels, WIRE_RATE_HZ, WIRE_RATE_HZ * block_bytes,
        block_bytes, SAMPLE_BYTES * 8,
    )  # fmt: skip
    riff_bytes = HEADER_BYTES - 8 + (data_bytes or 0)
    if data_bytes is None:
        riff, data_size, room = (b"RIFF", UNKNOWN), UNKNOWN, (b"JUNK", bytes(_DS64_BYTES))
    elif riff_bytes <= LARGEST_RIFF:
        riff, data_size, room = (b"RIFF", riff_bytes), data_bytes, (b"JUNK", bytes(_DS64_BYTES))
    else:
        counts = struct.pack("<QQQI", riff_bytes, data_bytes, data_bytes // block_bytes, 0)
        riff, data_size, room = (b"RF64", LARGEST_RIFF), UNKNOWN, (b"ds64", counts)
    return b"".join(
        (
            struct.pack("<4sI4s", *riff, b"WAVE"),
            struct.pack("<4sI", room[0], _DS64_BYTES),
            room[1],
            sound,
            struct.pack("<4sI", b"data", data_size),
        )
    )
