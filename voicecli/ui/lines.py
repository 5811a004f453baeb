"""A talk as lines: JSON for scripts, plain words for a pipe or a terminal that cannot be drawn on.

Both have the shape of a screen, without keys and pictures. Nothing of rich is imported here.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, AnyStr, BinaryIO, Final, Generic, TextIO

from voicecli.errors import VoicecliError
from voicecli.inputs import Input, QuitPressed
from voicecli.reports import (
    AssistantReport,
    ErrorReport,
    MarkerReport,
    NoteReport,
    Report,
    SessionReport,
    SummaryReport,
    ToolReport,
    TurnReport,
    UserReport,
    encode_report,
)
from voicecli.ui.clean import clean

if TYPE_CHECKING:
    from voicecli.conversation import Conversation
    from voicecli.ui.meters import Meters

_WINDOWS_READER_IS_GONE: Final = errno.EINVAL
_DUMB: Final = frozenset({"", "dumb", "unknown"})


def can_be_drawn_on(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a screen can be drawn on `stream`: a terminal that knows cursor movements."""
    if not stream.isatty():
        return False
    return os.name == "nt" or environ.get("TERM", "") not in _DUMB


class _Output(Generic[AnyStr]):
    """A stream whose reader may go away at any time.

    The first write that fails asks for the end of the talk, once, and nothing is written after it.
    """

    def __init__(self, stream: IO[AnyStr]) -> None:
        self._stream: IO[AnyStr] = stream
        self._quit: Callable[[], object] | None = None
        self._is_closed = False
        self._failure: OSError | None = None

    def start(self, deliver: Callable[[Input], None]) -> None:
        loop = asyncio.get_running_loop()
        # Not at once: a report is told in the middle of a step, and the end is an input of its own.
        self._quit = lambda: loop.call_soon(deliver, QuitPressed())

    def write(self, line: AnyStr) -> None:
        """Write a line with its end, and flush it."""
        if self._is_closed:
            return
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as exc:
            self._is_closed = True
            self._failure = exc
            _divert(self._stream)
            if self._quit is not None:
                self._quit()

    def close(self) -> None:
        """Tell of a failure that was not the reader's leaving."""
        failure, self._failure = self._failure, None
        if failure is None or isinstance(failure, ConnectionError):
            return
        if failure.errno != _WINDOWS_READER_IS_GONE:
            raise VoicecliError(f"cannot write the output: {failure.strerror or failure}")


class JsonLines:
    """One line of JSON per report, flushed line by line.

    Args:
        stream: a binary stream, since JSON is UTF-8 whatever the locale. A reader that is slow
            holds the talk up once the pipe is full.
    """

    wants_drawing = False

    def __init__(self, stream: BinaryIO) -> None:
        self._output = _Output(stream)

    async def start(self, deliver: Callable[[Input], None]) -> None:
        self._output.start(deliver)

    def tell(self, report: Report, at: float) -> None:
        self._output.write(encode_report(report, round(at * 1000)) + b"\n")

    def draw(self, conversation: Conversation, meters: Meters) -> None:
        """Nothing: a script wants facts."""

    async def close(self) -> None:
        """End; raises `VoicecliError` if lines could not be written, though somebody reads."""
        self._output.close()


class PlainLines:
    """One readable line per fact: what was said, once it is final, and how long answers took.

    Args:
        stream: gets the talk.
        errors: gets errors and notes.
    """

    wants_drawing = False

    def __init__(self, stream: TextIO, errors: TextIO) -> None:
        self._output = _Output(stream)
        self._encoding = stream.encoding or "utf-8"
        self._errors = _Output(errors)
        self._errors_encoding = errors.encoding or "utf-8"

    async def start(self, deliver: Callable[[Input], None]) -> None:
        self._output.start(deliver)

    def tell(self, report: Report, at: float) -> None:
        if isinstance(report, ErrorReport | NoteReport):
            line = _line("error" if isinstance(report, ErrorReport) else "note", report.message)
            self._errors.write(_encodable(line, self._errors_encoding))
            return
        text = plain_line(report)
        if text:
            self._output.write(_encodable(text, self._encoding))

    def draw(self, conversation: Conversation, meters: Meters) -> None:
        """Nothing: there is nowhere to draw."""

    async def close(self) -> None:
        """End; raises `VoicecliError` if lines could not be written, though somebody reads."""
        self._output.close()


class NoScreen:
    """A talk that nobody watches."""

    wants_drawing = False

    async def start(self, deliver: Callable[[Input], None]) -> None: ...

    def tell(self, report: Report, at: float) -> None: ...

    def draw(self, conversation: Conversation, meters: Meters) -> None: ...

    async def close(self) -> None: ...


def plain_line(report: Report) -> str:
    """A report as a line with its end; empty for what is not final or tells nothing by itself."""
    match report:
        case SessionReport(server=server, model=model, voice=voice):
            return _line("session", ", ".join(part for part in (server, model, voice) if part))
        case UserReport(text=text, final=True) if text.strip():
            return _line("you", text)
        case AssistantReport(final=True) if report.text.strip():
            return _line("assistant", _answer(report))
        case ToolReport(output=str(output)):
            return _line("tool", f"{report.name}({report.arguments}) → {output}")
        case TurnReport(first_sound_ms=int(first_sound_ms)):
            return _line("latency", f"{first_sound_ms} ms")
        case MarkerReport(number=number):
            return _line("marker", str(number))
        case SummaryReport():
            return _line("end", summary_line(report))
    return ""


def summary_line(summary: SummaryReport) -> str:
    """The whole talk in one line, without its end; zeros are left out."""
    parts = [
        summary.reason,
        _count(summary.turns, "turn", "turns"),
        _count(summary.interruptions, "interruption", "interruptions"),
        f"{summary.seconds:.0f} s",
        "" if summary.latency_ms is None else f"median latency {summary.latency_ms} ms",
        _count(summary.total_tokens, "token", "tokens"),
        _count(summary.dropped_frames, "frame lost", "frames lost"),
        _count(summary.underflows, "gap", "gaps"),
    ]
    return ", ".join(part for part in parts if part)


def _answer(report: AssistantReport) -> str:
    """The words that were heard, and those that were not."""
    if not report.interrupted:
        return report.text
    unheard = report.text[len(report.heard_text) :].strip()
    cut = f"[cut off: {unheard}]" if unheard else "[cut off]"
    return f"{report.heard_text} {cut}".strip()


def _line(name: str, text: str) -> str:
    return f"{name}: {clean(text, one_line=True).strip()}\n"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""


def _encodable(text: str, encoding: str) -> str:
    return text.encode(encoding, "replace").decode(encoding)


def _divert(stream: IO[AnyStr]) -> None:
    """Let the rest of a stream go nowhere, so that the flush at exit does not fail again."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
