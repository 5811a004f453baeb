"""The words of a turn, told while it is still being spoken.

Theory. The turn so far is recognised again and again. What two recognitions in a row agree on, from
the beginning, is taken to be certain (*local agreement*) and is told; what was told is never taken
back. The last recognition, of the whole turn, gives the rest: what it says of words that were told
already is dropped, so that the pieces make up the transcript exactly.

Words are compared without case and punctuation, and the punctuation after the last word told waits
for the next piece, because a recognition cut off in mid-sentence ends it with a full stop.

Source of the rule: "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial
Hypothesis Selection" (Liu, Spanakis, Niehues; Interspeech 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

EVERY_MS: Final = 1000
"At most one recognition in so much audio."
SHARE: Final = 8
"At most one part in so many of the time is spent on recognising what will be recognised again."
LONGEST_MS: Final = 24_000
"Of a longer turn the rest is told at its end: each recognition of it would keep others waiting."


class Captions:
    """What of one turn is certain, and what of that was told."""

    def __init__(self) -> None:
        self.told = ""
        self._told_words: list[str] = []
        self._last: list[str] = []

    def heard(self, text: str) -> str:
        """Take a recognition of the turn so far; gives what can be told now, "" for nothing."""
        words = text.split()
        bare = [_bare(word) for word in words]
        agreed = _common(self._last, bare)
        self._last = bare
        return self._tell(words[:agreed], words, whole=False)

    def finish(self, text: str) -> str:
        """Take the recognition of the whole turn; gives the rest. `told` is the transcript now."""
        words = text.split()
        return self._tell(words, words, whole=True)

    def _tell(self, words: list[str], all_words: list[str], *, whole: bool) -> str:
        """Tell of `words`, the first of `all_words`, what is new."""
        known = _aligned(self._told_words, [_bare(word) for word in all_words])
        ended = _after(all_words[known - 1]) if self.told and known else ""
        new = words[known:]
        if not new:
            piece = ended if whole else ""
        else:
            piece = ended + (" " if self.told else "") + " ".join(new)
            piece = piece if whole else _without_end(piece)
        self.told += piece
        self._told_words += [_bare(word) for word in new]
        return piece


@dataclass
class Pace:
    """When the next recognition of a running turn is worth its time."""

    next_ms: int = EVERY_MS
    "The length of the turn at which to ask."
    _asked: tuple[int, float] | None = field(default=None, init=False)

    def due(self, turn_ms: int) -> bool:
        """Whether to ask now."""
        return self._asked is None and self.next_ms <= turn_ms <= LONGEST_MS

    def asked(self, turn_ms: int, at: float) -> None:
        """A recognition of this much of the turn was asked for at that time, in seconds."""
        self._asked = turn_ms, at

    def answered(self, at: float) -> None:
        """The result came, or the news that there is none."""
        if self._asked is None:
            return
        turn_ms, asked_at = self._asked
        self._asked = None
        self.next_ms = turn_ms + max(EVERY_MS, int((at - asked_at) * 1000 * SHARE))


def _bare(word: str) -> str:
    return "".join(char for char in word.lower() if char.isalnum()) or word


def _without_end(text: str) -> str:
    return text[: len(text) - len(_after(text))]


def _after(text: str) -> str:
    """The punctuation at the end."""
    end = len(text)
    while end and not text[end - 1].isalnum():
        end -= 1
    return text[end:] if end else ""


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words from the beginning are the same."""
    length = min(len(one), len(other))
    return next((at for at in range(length) if one[at] != other[at]), length)


def _aligned(told: Sequence[str], words: Sequence[str]) -> int:
    """How many of `words` say what was told: the beginning with the least edit distance to it.

    Among equals the one that ends with the same word, then the one of about the same length.
    """
    row = list(range(len(words) + 1))
    for one in told:
        diagonal, row[0] = row[0], row[0] + 1
        for at, other in enumerate(words, start=1):
            changed = diagonal + (one != other)
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, changed)

    def unlikeness(at: int) -> tuple[int, bool, int]:
        same_end = at > 0 and bool(told) and words[at - 1] == told[-1]
        return row[at], not same_end, abs(at - len(told))

    return min(range(len(row)), key=unlikeness)
