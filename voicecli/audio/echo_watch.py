"""Does what is sent still resemble what was played?

Theory. An echo rises and falls as its source does, a fixed time later, whatever a room does to its
sound. So the levels of both, in steps of 20 ms, are held against each other at every delay that a
device may have. Another voice rises and falls at other times: over some seconds it resembles the
speaker's by chance at one delay or another, but not several times in a row at the same one.

Levels are all that is needed: no sample is multiplied, and no library is loaded.
"""

import math
from collections import deque
from typing import Final

from voicecli.audio.pcm import FLOOR_DBFS, FRAME_MS

WINDOW_MS: Final = 4000
_WINDOW: Final = WINDOW_MS // FRAME_MS
_EVERY: Final = 1000 // FRAME_MS
_LONGEST_DELAY: Final = 600 // FRAME_MS
_PLAYED_SHARE: Final = 0.4
"So much of the window has to sound, or nothing can be said of it."
_PLAYED_DBFS: Final = -50.0
_HEARD_DBFS: Final = -58.0
"Below it an echo harms nobody."
_RANGE_DB: Final = 40.0
"Levels count above this far below the loudest: the room's noise is no likeness."
_ALIKE: Final = 0.85
_TIMES: Final = 3
_SAME_DELAY: Final = 1


class EchoWatch:
    """Takes the levels of both, frame by frame; says once when they are alike.

    Nothing is looked at while nothing is played.
    """

    def __init__(self) -> None:
        self._played: deque[float] = deque(maxlen=_WINDOW + _LONGEST_DELAY)
        self._sent: deque[float] = deque(maxlen=_WINDOW)
        self._since_look = 0
        self._delays: deque[int] = deque(maxlen=_TIMES)
        self.likeness = 0.0
        "The correlation found at the last look."
        self.has_told = False

    def reset(self) -> None:
        """The way from the speaker to the microphone is another one; what was said stays said."""
        self._played.clear()
        self._sent.clear()
        self._delays.clear()

    def push(self, played_dbfs: float, sent_dbfs: float) -> bool:
        """Take the levels of the next frame; whether it is to be told now that there is echo."""
        if self.has_told:
            return False
        self._played.append(played_dbfs)
        self._sent.append(sent_dbfs)
        self._since_look += 1
        if self._since_look < _EVERY or len(self._played) < self._played.maxlen:  # type: ignore[operator]
            return False
        self._since_look = 0
        return self._look()

    def _look(self) -> bool:
        sounding = sum(level > _PLAYED_DBFS for level in self._played)
        if sounding < _PLAYED_SHARE * len(self._played):
            return False  # Not unlike: there is too little to go by. Answers have pauses.
        self.likeness, delay = self._best()
        if self.likeness < _ALIKE or max(self._sent) < _HEARD_DBFS:
            self._delays.clear()
            return False
        if self._delays and abs(delay - self._delays[-1]) > _SAME_DELAY:
            self._delays.clear()
        self._delays.append(delay)
        self.has_told = len(self._delays) == _TIMES
        return self.has_told

    def _best(self) -> tuple[float, int]:
        """The highest correlation, and by how many frames what was sent is late for it."""
        sent = _above_floor(self._sent)
        played = _above_floor(self._played)
        found = []
        for delay in range(_LONGEST_DELAY + 1):
            first = _LONGEST_DELAY - delay
            found.append((_correlation(played[first : first + _WINDOW], sent), delay))
        return max(found)


def _above_floor(levels: "deque[float]") -> list[float]:
    floor = max(max(levels) - _RANGE_DB, FLOOR_DBFS)
    return [max(level, floor) for level in levels]


def _correlation(some: list[float], others: list[float]) -> float:
    """From -1 to 1; 0 where one of them does not change."""
    mean, other_mean = sum(some) / len(some), sum(others) / len(others)
    some = [one - mean for one in some]
    others = [one - other_mean for one in others]
    power = sum(one * one for one in some) * sum(one * one for one in others)
    if power <= 0:
        return 0.0
    return sum(map(float.__mul__, some, others)) / math.sqrt(power)
