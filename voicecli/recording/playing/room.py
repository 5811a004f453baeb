"""Both sides in one room: pieces of sound on the session's time line, mixed to mono."""

from __future__ import annotations

from array import array
from collections import deque
from operator import add

from voicecli.audio.pcm import SAMPLE_BYTES, packed, unpacked
from voicecli.recording.heard import Piece

_LOWEST, _HIGHEST = -32768, 32767


class Room:
    """Keeps pieces until they are forgotten; gives any stretch of them, as often as it is asked."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()

    def put(self, piece: Piece) -> None:
        """Add sound; each side's in order of time, the sides in any order."""
        self._pieces.append(piece)

    def forget(self, before: int) -> None:
        """Drop what ends before a position, in samples."""
        while self._pieces and self._pieces[0].end < before:
            self._pieces.popleft()

    def mixed(self, position: int, samples: int) -> bytes:
        """The sound from `position` on; silence where there is none, loud sums are clipped."""
        end = position + samples
        heard = [one for one in self._pieces if one.position < end and one.end > position]
        if not heard:
            return bytes(samples * SAMPLE_BYTES)
        mix = _placed(heard[0], position, samples)
        for piece in heard[1:]:
            mix = _sum(mix, _placed(piece, position, samples))
        return mix


def _placed(piece: Piece, position: int, samples: int) -> bytes:
    """A stretch of a piece in a block of its own."""
    before = max(0, piece.position - position) * SAMPLE_BYTES
    start = max(0, position - piece.position) * SAMPLE_BYTES
    size = samples * SAMPLE_BYTES
    return (bytes(before) + piece.pcm[start : start + size - before]).ljust(size, b"\0")


def _sum(one: bytes, other: bytes) -> bytes:
    if not any(one):
        return other
    if not any(other):
        return one
    sums = map(add, unpacked(one), unpacked(other))
    try:
        return packed(array("h", sums))
    except OverflowError:
        sums = map(add, unpacked(one), unpacked(other))
        return packed(array("h", [min(_HIGHEST, max(_LOWEST, value)) for value in sums]))
