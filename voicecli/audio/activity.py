"""Where in a stretch of speech there is voice, and where a pause: for placing words in time."""

from __future__ import annotations

import math
from array import array
from itertools import accumulate
from operator import mul
from typing import Final, NamedTuple

from voicecli.audio.pcm import FRAME_BYTES, FRAME_MS, unpacked

QUIETER_DB: Final = 30.0
"A frame so much quieter than the loud ones is a pause."

FLOOR_DBFS: Final = -60.0
"And so is one that is quieter than this."

SHORTEST_PAUSE_MS: Final = 180
"What is shorter is the closure of a consonant."

_DECIMATION: Final = 4
"Every fourth sample is enough for a level."

_LOUD: Final = 0.9
"What nine of ten frames are quieter than."


class Pause(NamedTuple):
    """A silence between two stretches of voice."""

    voiced_ms: int
    "How much voice there is before it."
    length_ms: int


class SpeechActivity:
    """Takes the audio of an item as it comes; keeps four bytes for each 20 ms."""

    def __init__(self) -> None:
        self._levels = array("f")
        self._rest = b""
        self._voiced: list[int] = []
        "Frames with voice before each frame; made when it is asked for."

    def __len__(self) -> int:
        """Frames of 20 ms so far."""
        return len(self._levels)

    def push(self, pcm: bytes) -> None:
        """Take PCM16 at 24 kHz: any number of whole samples. 8 us a frame."""
        pcm = self._rest + pcm
        end = len(pcm) // FRAME_BYTES * FRAME_BYTES
        for start in range(0, end, FRAME_BYTES):
            samples = unpacked(pcm[start : start + FRAME_BYTES])[::_DECIMATION]
            power = sum(map(mul, samples, samples)) / len(samples) / 32768**2
            self._levels.append(10 * math.log10(power) if power else -100.0)
        self._rest = pcm[end:]

    @property
    def total_ms(self) -> int:
        """How much of it is voice."""
        return self._counted()[-1] * FRAME_MS

    def voiced_ms(self, until_ms: float) -> float:
        """How much of its first `until_ms` is voice."""
        voiced = self._counted()
        frames = until_ms / FRAME_MS
        whole = int(frames)
        if whole >= len(voiced) - 1:
            return voiced[-1] * FRAME_MS
        return (voiced[whole] + (voiced[whole + 1] - voiced[whole]) * (frames - whole)) * FRAME_MS

    def pauses(self) -> list[Pause]:
        """The pauses inside of it, in order."""
        voiced = self._counted()
        found: list[Pause] = []
        begun = 0
        for frame in range(1, len(voiced)):
            if voiced[frame] == voiced[frame - 1]:
                continue
            length_ms = (frame - 1 - begun) * FRAME_MS
            if length_ms >= SHORTEST_PAUSE_MS and voiced[begun]:
                found.append(Pause(voiced[begun] * FRAME_MS, length_ms))
            begun = frame
        return found

    def _counted(self) -> list[int]:
        if len(self._voiced) != len(self._levels) + 1:
            threshold = FLOOR_DBFS
            if self._levels:
                loud = sorted(self._levels)[int(len(self._levels) * _LOUD)]
                threshold = max(FLOOR_DBFS, loud - QUIETER_DB)
            # Of audio in which nothing is loud, every part is as good as the other.
            is_quiet = max(self._levels, default=0.0) <= threshold
            voiced = (is_quiet or one > threshold for one in self._levels)
            self._voiced = list(accumulate(voiced, initial=0))
        return self._voiced
