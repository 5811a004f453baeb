"""Talks as a picture: all that scrolled by, and what was shown at the end, as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from voicecli.actions import Tell
from voicecli.recording.fold import Fold, Source
from voicecli.reports import ErrorReport, MarkerReport, NoteReport
from voicecli.ui.clean import clean
from voicecli.ui.view import Frame, Printed, marker_text, note_lines, settled_row

MOST_LINES: Final = 48
"Of a longer talk the end is shown."

_FONT_FACE: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_THEME: Final = TerminalTheme(
    (24, 26, 31),
    (222, 224, 230),
    [
        (70, 74, 84), (240, 113, 120), (145, 209, 120), (236, 196, 102),
        (110, 170, 250), (205, 140, 235), (95, 208, 218), (222, 224, 230),
    ],
    [
        (110, 115, 128), (240, 113, 120), (145, 209, 120), (236, 196, 102),
        (110, 170, 250), (205, 140, 235), (95, 208, 218), (255, 255, 255),
    ],
)  # fmt: skip


def lines_of(sources: Iterable[Source], columns: int) -> list[Text]:
    """What talks left on the screen, in order.

    Raises:
        RecordingError: a line of a recording is damaged beyond use.
    """
    frame = Frame(width=columns)
    return [line for source in sources for line in _printed(source, frame)]


def _printed(source: Source, frame: Frame) -> Iterator[Text]:
    fold = Fold(source)
    printed = Printed()
    transcript = fold.conversation.transcript
    for step in fold.steps(audio=False):
        for row in printed.due(transcript):
            yield from settled_row(row, transcript, frame)
        for action in step.actions:
            if isinstance(action, Tell):
                match action.report:
                    case ErrorReport(message=message):
                        yield from note_lines(message, frame, "red")
                    case NoteReport(message=message):
                        yield from note_lines(message, frame, "italic")
                    case MarkerReport(number=number):
                        yield from note_lines(marker_text(number, step.at), frame)
    for row in printed.rest(transcript):
        yield from settled_row(row, transcript, frame)


def svg_of(lines: Sequence[Text], title: str, columns: int) -> str:
    """The lines as a window of a terminal; the same lines always give the same picture."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=columns,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        highlight=False,
        soft_wrap=True,
    )
    for line in lines[-MOST_LINES:]:
        console.print(line)
    svg = console.export_svg(title=clean(title, one_line=True), theme=_THEME, unique_id="voicecli")
    # The fonts would be fetched from elsewhere whenever the picture is looked at.
    return _FONT_FACE.sub("", svg)
