"""The lines at the bottom of the terminal that change, above them what is said and done.

Theory. The block is a few lines that are drawn over again; everything printed above it belongs to
the terminal's scrollback and is never touched again. Between two redraws the cursor rests in the
first column of the block's last line, so the way to every line of it is known, whatever stands
above. A redraw is one string of escape sequences: only lines that differ are written, each cleared
to its end after the text. Downwards the cursor moves by line feeds, which scroll where there is no
next line; upwards by CUU, which never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_CLEAR_BELOW = "\x1b[J"
_CLEAR_LINE_END = "\x1b[K"


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """One line ready for the terminal."""

    text: str
    "With its styling sequences, without a line end."
    width: int
    "Columns that it takes."


@dataclass
class Block:
    """What stands on the terminal; every method gives the string that makes it so."""

    lines: list[DrawnLine] = field(default_factory=list)

    def redraw(self, lines: Sequence[DrawnLine], above: Sequence[str] = ()) -> str:
        """Show `lines` instead of what is there, and print `above` into the scrollback for good."""
        if above:
            return self._replace(lines, above)
        if list(lines) == self.lines:
            return ""
        if not lines or not self.lines:
            return self._replace(lines, ())
        return self._update(lines)

    def resized(self, width: int, height: int) -> str:
        """Wipe the block out after the terminal's size has changed.

        A terminal that has become narrower wraps the lines that are too long now, and one that has
        become lower may have scrolled the first of them away.
        """
        if not self.lines:
            return ""
        above = sum(-(-max(1, line.width) // max(1, width)) for line in self.lines[:-1])
        self.lines = []
        return _up(min(above, max(0, height - 1))) + "\r" + _CLEAR_BELOW

    def left(self) -> str:
        """Leave the block as it stands and go below it: from now on nothing of it is known."""
        was_drawn = bool(self.lines)
        self.lines = []
        return "\r\n" if was_drawn else ""

    def _replace(self, lines: Sequence[DrawnLine], above: Sequence[str]) -> str:
        start = _up(len(self.lines) - 1) + "\r" + _CLEAR_BELOW if self.lines else ""
        self.lines = list(lines)
        printed = "".join(f"{text}\r\n" for text in above)
        block = "\r\n".join(line.text for line in lines)
        return start + printed + block + ("\r" if lines else "")

    def _update(self, lines: Sequence[DrawnLine]) -> str:
        written: list[str] = []
        old = self.lines
        row = len(old) - 1
        for index, line in enumerate(lines):
            if index < len(old) and old[index] == line:
                continue
            written += [_move(row, index), line.text, _CLEAR_LINE_END, "\r"]
            row = index
        last = len(lines) - 1
        if len(old) > len(lines):
            written += [_move(row, last), "\r\n", _CLEAR_BELOW, _up(1)]
        else:
            written.append(_move(row, last))
        self.lines = list(lines)
        return "".join(written)


def _move(row: int, to: int) -> str:
    return "\r\n" * (to - row) if to > row else _up(row - to)


def _up(rows: int) -> str:
    return f"\x1b[{rows}A" if rows > 0 else ""
