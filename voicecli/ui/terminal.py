"""Draws a conversation on a terminal, from one task and in one write per redraw.

rich styles the text; which lines have to be written is found out here, because most of the picture
does not change from one drawing to the next. There is no thread: who calls, draws.
"""

from __future__ import annotations

import atexit
import select
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, replace
from typing import IO, Final

from rich.color import ColorSystem
from rich.console import Console
from rich.text import Text

from voicecli.conversation import Conversation
from voicecli.reports import ErrorReport, MarkerReport, NoteReport, Report, SummaryReport
from voicecli.transcript import Row
from voicecli.ui.block import Block, DrawnLine
from voicecli.ui.cells import cells
from voicecli.ui.controls import Prompt
from voicecli.ui.lines import summary_line
from voicecli.ui.meters import Meters
from voicecli.ui.view import (
    ASCII,
    UNICODE,
    Frame,
    Glyphs,
    Printed,
    live_view,
    marker_text,
    note_lines,
    settled_row,
)

_HIDE_CURSOR: Final = "\x1b[?25l"
_SHOW_CURSOR: Final = "\x1b[?25h"
# Synchronized output (2026), where it is known, shows a redraw at once. Without autowrap (7) a
# line that a terminal finds wider than it was counted loses its end instead of pushing the others
# down.
_BEGIN: Final = "\x1b[?2026h\x1b[?7l"
_END: Final = "\x1b[?7h\x1b[?2026l"

_VIRTUAL_TERMINAL: Final = 0x0004

_COLOR_SYSTEMS: Final = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
    "windows": ColorSystem.WINDOWS,
}


class Terminal:
    """A conversation on a terminal: what is settled scrolls, the rest is drawn over at the bottom.

    Args:
        console: decides on size, colours and encoding, and names the stream to write to.
    """

    def __init__(self, console: Console | None = None) -> None:
        _enable_sequences()
        self._console = console or Console(highlight=False)
        self._stream: IO[str] = self._console.file
        self._encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._glyphs = _glyphs_for(self._encoding)
        self._styles = _Styles(self._console)
        self._block = Block()
        self._size = (0, 0)
        self._printed = Printed()
        self._above: list[str] = []
        self._last: Conversation | None = None
        self._summary: SummaryReport | None = None
        self._is_live = False
        self._is_gone = False

    @property
    def fd(self) -> int:
        """The descriptor that is written to; -1 if the stream is no file of the system."""
        try:
            return self._stream.fileno()
        except (OSError, ValueError):
            return -1

    def start(self) -> None:
        """Take the terminal over; `close` is called at the exit of the program at the latest."""
        self._size = self._console.size
        self._is_live = True
        atexit.register(self.close)
        self.write(_HIDE_CURSOR)

    def write(self, text: str) -> None:
        """Send text and sequences as they are; a terminal that is gone takes no more of them."""
        if self._is_gone or not text:
            return
        if self._encoding != "utf-8":
            text = text.encode(self._encoding, "replace").decode(self._encoding)
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._is_gone = True

    def tell(self, report: Report, at: float) -> None:
        """Print errors, notes and markers above the picture; the summary is printed at the end.

        Args:
            report: all others are left to the picture.
            at: when, in seconds since the connection opened; shown of markers only.
        """
        match report:
            case ErrorReport(message=message):
                self._print(message, "red")
            case NoteReport(message=message):
                self._take_settled_rows()
                self._print(message, "italic")
            case MarkerReport(number=number):
                self._take_settled_rows()
                self._print(marker_text(number, at), "dim")
            case SummaryReport():
                self._summary = report

    def draw(
        self,
        conversation: Conversation,
        meters: Meters,
        prompt: Prompt | None = None,
        *,
        show_help: bool = False,
        footer: Callable[[Frame], Sequence[Text]] | None = None,
    ) -> None:
        """Bring the terminal up to date.

        With `footer` its lines stand below the status, instead of the keys of a talk.

        Does nothing while the terminal does not take what was written before, or after `close`.
        """
        self._last = conversation
        if not self._is_live or not self._is_ready():
            return
        wiped = self._wiped_if_resized()
        frame = self._frame(prompt, show_help=show_help)
        if footer is not None:
            frame = replace(frame, footer=tuple(footer(frame)))
        self._take_settled_rows()
        waiting = self._printed.waiting(conversation.transcript)
        lines = self._drawn(live_view(conversation, meters, frame, waiting))
        above, self._above = self._above, []
        self._write_block(wiped + self._block.redraw(lines, above))

    def begin_anew(self, printed: Iterable[Row] = ()) -> None:
        """Another conversation follows, or the same from another time on.

        Args:
            printed: rows of it that are not to be printed.
        """
        self._printed = Printed.of(printed)
        self._last = None

    def suspend(self) -> None:
        """Leave the picture as it stands and show the cursor, before the process is stopped."""
        if self._is_live:
            self._is_live = False
            self.write(self._block.left() + _SHOW_CURSOR)

    def resume(self) -> None:
        """Go on below whatever was printed in the meantime; the next `draw` draws all of it."""
        if not self._is_live:
            self._is_live = True
            self._size = self._console.size
            self.write("\r" + _HIDE_CURSOR)

    def repaint(self) -> None:
        """Clear the screen; the next `draw` draws all of it."""
        if self._is_live:
            self._block = Block()
            self.write("\x1b[H\x1b[2J")

    def close(self) -> None:
        """Print what is left of the conversation, then the summary; give the terminal back."""
        if not self._is_live:
            return
        self._is_live = False
        atexit.unregister(self.close)
        wiped = self._wiped_if_resized()
        if self._last is not None:
            transcript = self._last.transcript
            for row in self._printed.rest(transcript):
                self._above += self._drawn_texts(settled_row(row, transcript, self._frame()))
        if self._summary is not None:
            self._print(summary_line(self._summary), "dim", now=False)
        above, self._above = self._above, []
        self._write_block(wiped + self._block.redraw((), above))
        self.write(_SHOW_CURSOR)

    def _take_settled_rows(self) -> None:
        """Print next what is settled by now: it comes before whatever is told next."""
        if self._last is None:
            return
        transcript = self._last.transcript
        for row in self._printed.due(transcript):
            self._above += self._drawn_texts(settled_row(row, transcript, self._frame()))

    def _print(self, message: str, style: str, *, now: bool = True) -> None:
        self._above += self._drawn_texts(note_lines(message, self._frame(), style))
        if now and self._is_live and self._is_ready():
            wiped = self._wiped_if_resized()
            above, self._above = self._above, []
            self._write_block(wiped + self._block.redraw(self._block.lines, above))

    def _write_block(self, text: str) -> None:
        if text:
            self.write(_BEGIN + text + _END)

    def _wiped_if_resized(self) -> str:
        size = self._console.size
        if size == self._size:
            return ""
        self._size = size
        return self._block.resized(*size)

    def _is_ready(self) -> bool:
        """Whether a write would not block: a stalled terminal must not stop the talk."""
        fd = self.fd
        if sys.platform == "win32" or fd < 0:
            return True
        return bool(select.select([], [fd], [], 0)[1])

    def _frame(self, prompt: Prompt | None = None, *, show_help: bool = False) -> Frame:
        width, height = self._size
        return Frame(width, height, prompt, show_help, self._glyphs)

    def _drawn(self, texts: Iterable[Text]) -> list[DrawnLine]:
        return [DrawnLine(self._styles.sequence(text), cells(text.plain)) for text in texts]

    def _drawn_texts(self, texts: Iterable[Text]) -> list[str]:
        return [self._styles.sequence(text) for text in texts]


def _enable_sequences() -> None:
    """Make the console of Windows understand control sequences; others always do."""
    if sys.platform == "win32":
        import ctypes

        kernel32 = ctypes.windll.kernel32
        output = kernel32.GetStdHandle(-11)
        mode = ctypes.c_ulong()
        if kernel32.GetConsoleMode(output, ctypes.byref(mode)):
            kernel32.SetConsoleMode(output, mode.value | _VIRTUAL_TERMINAL)


class _Styles:
    """Turns styled text into the sequences of one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._system = _COLOR_SYSTEMS.get(console.color_system or "")

    def sequence(self, text: Text) -> str:
        if self._system is None:
            return text.plain
        written: list[str] = []
        for segment in text.render(self._console):
            style = segment.style
            if style is None:
                written.append(segment.text)
                continue
            style = style.without_color if self._console.no_color else style
            written.append(style.render(segment.text, color_system=self._system))
        return "".join(written)


def _glyphs_for(encoding: str) -> Glyphs:
    try:
        "".join(astuple(UNICODE)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE
