"""How wide text is on a terminal, and where to break it.

Terminals do not agree on the width of joined emoji. What is counted here is the widest of the
readings in use, so that a line never takes more room than was counted for it.
"""

from __future__ import annotations

from rich.cells import get_character_cell_size

_EMOJI_STYLE = "\ufe0f"
_JOINER = "\u200d"


def cells(text: str) -> int:
    """The columns that `text`, one line of it, may take."""
    if text.isascii():
        return len(text)
    return sum(_width(text, index) for index in range(len(text)))


def tail(text: str, width: int) -> str:
    """The longest end of `text` that fits `width` columns."""
    start = len(text)
    used = 0
    while start > 0:
        used += _width(text, start - 1)
        if used > width:
            break
        start -= 1
    while start < len(text) and _is_attached(text, start):
        start += 1
    return text[start:]


def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` if it fits `width` columns, else its beginning and an ellipsis."""
    if cells(text) <= width:
        return text
    end = _fit(text, 0, len(text), max(0, width - cells(ellipsis)))
    return text[:end].rstrip() + ellipsis if width >= cells(ellipsis) else ""


def wrap(text: str, width: int) -> list[tuple[int, int]]:
    """Break `text` into lines of at most `width` columns (1 or more), at spaces where possible.

    Returns:
        The bounds of each line in `text`; the space or line end at a break belongs to neither line.
        An empty text has one empty line.
    """
    lines: list[tuple[int, int]] = []
    start = 0
    for paragraph in text.split("\n"):
        end = start + len(paragraph)
        lines += _wrap_paragraph(text, start, end, width)
        start = end + 1
    return lines


def _wrap_paragraph(text: str, start: int, stop: int, width: int) -> list[tuple[int, int]]:
    lines: list[tuple[int, int]] = []
    while True:
        end = _fit(text, start, stop, width)
        if end >= stop:
            return [*lines, (start, stop)]
        space = text.rfind(" ", start + 1, end + 1)
        if space < 0:
            end = max(end, start + 1)
            lines.append((start, end))
            start = end
            continue
        lines.append((start, space))
        start = space + 1


def _fit(text: str, start: int, stop: int, width: int) -> int:
    """The end of the longest piece from `start` that fits and does not part what is joined."""
    if text.isascii():
        return min(stop, start + width)
    used = 0
    for index in range(start, stop):
        used += _width(text, index)
        if used > width:
            end = index
            while end > start and _is_attached(text, end):
                end -= 1
            return end if end > start else index
    return stop


def _width(text: str, index: int) -> int:
    """Columns that the character at `index` adds."""
    character = text[index]
    if character == _EMOJI_STYLE:
        # It makes a narrow sign before it wide, on terminals that know of it.
        return 1 if index and get_character_cell_size(text[index - 1]) == 1 else 0
    return get_character_cell_size(character)


def _is_attached(text: str, index: int) -> bool:
    """Whether the character at `index` belongs to the one before it."""
    character = text[index]
    before = text[index - 1] if index else ""
    return (
        character == _JOINER
        or before == _JOINER
        or (not character.isascii() and get_character_cell_size(character) == 0)
    )
