"""Texts as words: what one hears of them, without capitals and punctuation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_WORD: Final = re.compile(
    # Writing that does not part its words: each sign stands for itself.
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]"
    r"|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]+(?:'[^\W_]+)*"
)


def words_of(text: str) -> list[str]:
    """The words of a text in order; an apostrophe is a part of its word."""
    return _WORD.findall(text.replace("’", "'").casefold())


def place_of(words: Sequence[str], within: Sequence[str]) -> int | None:
    """Where some words in a row begin in others; None: they are not there."""
    length = len(words)
    for start in range(len(within) - length + 1):
        if within[start : start + length] == words:
            return start
    return None


def word_errors(said: Sequence[str], reference: Sequence[str]) -> int:
    """Words that have to be changed, added or left out to make one of the other."""
    row = list(range(len(reference) + 1))
    for number, word in enumerate(said, start=1):
        diagonal, row[0] = row[0], number
        for place, wanted in enumerate(reference, start=1):
            least = min(row[place] + 1, row[place - 1] + 1, diagonal + (word != wanted))
            diagonal, row[place] = row[place], least
    return row[-1]
