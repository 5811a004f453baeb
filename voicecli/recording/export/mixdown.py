"""Both sides of a talk laid on one time line, block by block.

Pieces of sound come side by side and somewhat out of step: a piece of the assistant's is known when
it is over. So what is nearer to the last step than `heard.LATEST_S` is held back, and memory stays
flat however long the talk is.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from voicecli.audio.pcm import WIRE_RATE_HZ, packed, unpacked
from voicecli.recording.fold import Fold, Source
from voicecli.recording.heard import LATEST_S, HeardAudio, Piece, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Layout: TypeAlias = Literal["stereo", "mono", "user", "assistant"]
"`stereo`: left the user, right the assistant; `mono`: both mixed; or one of them alone."

BLOCK_SAMPLES: Final = WIRE_RATE_HZ
_LATEST_SAMPLES: Final = math.ceil(LATEST_S * WIRE_RATE_HZ)


def channels_of(layout: Layout) -> int:
    """How many channels a layout has."""
    return 2 if layout == "stereo" else 1


def mixdown(source: Source, layout: Layout) -> Iterator[bytes]:
    """What was heard, from the opening of the connection to the last line, in PCM16 at 24 kHz.

    Blocks of a second; channels are interleaved.

    Raises:
        RecordingError: a line is damaged beyond use.
    """
    heard = HeardAudio()
    line = TimeLine()
    at = 0.0
    for step in Fold(source).steps():
        at = step.at
        for piece in heard.step(step):
            line.add(piece)
        while line.waiting_until(at) >= BLOCK_SAMPLES:
            yield laid_out(line.taken(BLOCK_SAMPLES), layout)
    for block in line.rest(round(at * WIRE_RATE_HZ)):
        yield laid_out(block, layout)


@dataclass
class TimeLine:
    """Two tracks of which the beginning has been taken away."""

    position: int = 0
    "Of the first sample that is kept, since the connection opened."
    _tracks: dict[Side, array[int]] = field(
        default_factory=lambda: {"user": array("h"), "assistant": array("h")}
    )

    def add(self, piece: Piece) -> None:
        """Lay a piece where it belongs; what is before the beginning is cut off."""
        track = self._tracks[piece.side]
        samples = unpacked(piece.pcm)
        start = piece.position - self.position
        if start < 0:
            samples, start = samples[-start:], 0
        if start > len(track):
            track.frombytes(bytes(2 * (start - len(track))))
        track[start : start + len(samples)] = samples

    def waiting_until(self, at: float) -> int:
        """How many samples are complete at a step's time."""
        return round(at * WIRE_RATE_HZ) - _LATEST_SAMPLES - self.position

    def taken(self, samples: int) -> dict[Side, array[int]]:
        """Take so many samples from the beginning of both tracks."""
        block: dict[Side, array[int]] = {}
        for side, track in self._tracks.items():
            block[side] = track[:samples]
            block[side].frombytes(bytes(2 * (samples - len(block[side]))))
            del track[:samples]
        self.position += samples
        return block

    def rest(self, end: int) -> Iterator[dict[Side, array[int]]]:
        """All that is left, up to a position at least."""
        left = max(end - self.position, *(len(track) for track in self._tracks.values()))
        while left > 0:
            samples = min(left, BLOCK_SAMPLES)
            yield self.taken(samples)
            left -= samples


def laid_out(block: dict[Side, array[int]], layout: Layout) -> bytes:
    """A block of both sides in PCM16."""
    user, assistant = block["user"], block["assistant"]
    match layout:
        case "user":
            return packed(user)
        case "assistant":
            return packed(assistant)
        case "mono":
            return _mixed(user, assistant)
        case "stereo":
            both = array("h", bytes(4 * len(user)))
            both[0::2], both[1::2] = user, assistant
            return packed(both)


def _mixed(first: array[int], second: array[int]) -> bytes:
    """The sum, held within 16 bits."""
    import numpy as np

    total: NDArray[np.int32] = np.frombuffer(first, np.int16).astype(np.int32)
    total = total + np.frombuffer(second, np.int16)
    return bytes(np.clip(total, -32768, 32767).astype("<i2").data)
