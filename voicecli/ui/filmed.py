"""The screen of a talk without a terminal: what would have been written on one, and when.

`StringTerminal` is the terminal of a talk whose writes are given back as strings. `Film` carries a
recording forward on its own clock and draws it at the moments at which a talk draws, so the same
recording always gives the same film.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from rich.console import Console

from voicecli.actions import Action, Tell
from voicecli.audio.pcm import level_dbfs
from voicecli.conversation import Conversation
from voicecli.inputs import MicFrame
from voicecli.recording.fold import Fold, Source, Step
from voicecli.recording.format import Entry
from voicecli.recording.playing.ending import ending_told
from voicecli.recording.playing.sounding import Sounding
from voicecli.reports import Report
from voicecli.ui.meters import DRAW_BUSY_S, DRAW_IDLE_S, SILENCE_DBFS, Meters
from voicecli.ui.terminal import Terminal


class StringTerminal:
    """A terminal of a fixed size; each method gives what it would have written.

    It knows colours and UTF-8, whatever the real one knows.
    """

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self._written = io.StringIO()
        console = Console(
            file=self._written,
            width=columns,
            height=rows,
            force_terminal=True,
            color_system="256",
            no_color=False,
            legacy_windows=False,
            highlight=False,
        )
        self._terminal = Terminal(console)

    def start(self) -> str:
        self._terminal.start()
        return self._taken()

    def tell(self, report: Report, at: float) -> str:
        self._terminal.tell(report, at)
        return self._taken()

    def draw(self, conversation: Conversation, meters: Meters) -> str:
        self._terminal.draw(conversation, meters)
        return self._taken()

    def close(self) -> str:
        """Give it back as it was found; empty when it was closed already."""
        self._terminal.close()
        return self._taken()

    def _taken(self) -> str:
        text = self._written.getvalue()
        self._written.seek(0)
        self._written.truncate()
        return text


@dataclass
class DrawTimes:
    """When a talk is drawn: on the rule of the session, for a clock that does not run by itself.

    While something goes on every `DRAW_BUSY_S`; else when something changes, and every
    `DRAW_IDLE_S` at the latest.
    """

    due: float = 0.0
    _watched_from: float = 0.0

    def drawn(self, at: float, *, is_idle: bool) -> None:
        """A picture was drawn; `is_idle`: nothing goes on in it."""
        self._watched_from = at + DRAW_BUSY_S
        self.due = at + (DRAW_IDLE_S if is_idle else DRAW_BUSY_S)

    def changed(self, at: float) -> None:
        """Something happened that can be seen."""
        if at >= self._watched_from:
            self.due = min(self.due, at)


class Shot(NamedTuple):
    """What was written on the screen at a moment."""

    at: float
    "Seconds since the connection opened."
    text: str


class Marked(NamedTuple):
    """A moment that somebody may want to go to."""

    at: float
    label: str


class Film:
    """A recording on a screen.

    Args:
        source: read once, from its beginning.
        columns: of the screen.
        rows: of the screen.
        shows_recording: show that it is being recorded, as was shown then.
    """

    def __init__(
        self,
        source: Source,
        columns: int = 80,
        rows: int = 24,
        *,
        shows_recording: bool = True,
    ) -> None:
        self._source = source
        self._shows_recording = shows_recording
        self._fold = Fold(source)
        self._sounding = Sounding()
        self._terminal = StringTerminal(columns, rows)
        self._times = DrawTimes()
        self._last_frame: Entry | None = None
        self._dropped_frames = 0
        self._underflows = 0
        self._is_over = False
        self.at = 0.0
        "Where it is."
        self.failed = False
        "Once it is over: whether the talk was ended by an error."

    def shots(self) -> Iterator[Shot | Marked]:
        """All that is written, and the marks between, in order of time; nothing of it is kept.

        Raises:
            RecordingError: a line is damaged beyond use.
        """
        try:
            yield from _shot(0.0, self._terminal.start())
            for entry in self._sounding.read_ahead(self._source.entries()):
                while self._times.due < entry.at:
                    yield from self._draw(self._times.due)
                self.at = entry.at
                yield from self._take(entry)
            yield from self._end()
        finally:
            self._terminal.close()

    def _take(self, entry: Entry) -> Iterator[Shot | Marked]:
        if self._is_over:
            return
        match entry.code:
            case "mark":
                label = _label(entry)
                if label:
                    yield Marked(entry.at, label)
            case "lost":
                self._dropped_frames += int(entry.value(0) or 0)
            case "end":
                yield from self._end(entry.value(0))
            case _:
                if entry.code == "mic":
                    self._last_frame = entry
                step = self._fold.take(entry, audio=False)
                if step is not None:
                    yield from self._stepped(step)

    def _stepped(self, step: Step) -> Iterator[Shot]:
        self._sounding.stepped(step.an_input)
        if not isinstance(step.an_input, MicFrame):
            self._times.changed(step.at)
        for action in step.actions:
            yield from self._told(action, step.at)

    def _told(self, action: Action, at: float) -> Iterator[Shot]:
        if isinstance(action, Tell):
            yield from _shot(at, self._terminal.tell(action.report, at))

    def _draw(self, at: float) -> Iterator[Shot]:
        conversation = self._fold.conversation
        yield from _shot(at, self._terminal.draw(conversation, self._meters(at)))
        is_idle = conversation.phase in ("connecting", "listening")
        self._times.drawn(at, is_idle=is_idle)

    def _meters(self, at: float) -> Meters:
        return Meters(
            at=at,
            level_dbfs=self._level(),
            dropped_frames=self._dropped_frames,
            underflows=self._underflows,
            heard=self._sounding.heard(at),
            is_recording=self._shows_recording,
        )

    def _level(self) -> float:
        pcm = b"" if self._last_frame is None else self._source.audio_of(self._last_frame)
        return level_dbfs(pcm) if pcm else SILENCE_DBFS

    def _end(self, end: object = None) -> Iterator[Shot]:
        """The last picture, the summary and the terminal given back."""
        if self._is_over:
            return
        self._is_over = True
        ending = ending_told(self.at, end)
        if end is None:
            ending = replace(ending, dropped_frames=self._dropped_frames)
        self.failed = bool(ending.error)
        self._dropped_frames, self._underflows = ending.dropped_frames, ending.underflows
        yield from self._draw(self.at)
        yield from self._told(Tell(ending.summary(self._fold.conversation)), self.at)
        yield from _shot(self.at, self._terminal.close())


def _shot(at: float, text: str) -> Iterator[Shot]:
    if text:
        yield Shot(at, text)


def _label(entry: Entry) -> str:
    """What a mark is called; empty for marks that are none of the viewer's business."""
    values = entry.value(1)
    fields = values if isinstance(values, dict) else {}
    match entry.value(0):
        case "turn":
            return f"turn {fields.get('turn', '')}".rstrip()
        case "barge_in":
            return f"interruption after {fields.get('heard_ms', 0)} ms"
        case "marker":
            return f"marker {fields.get('number', '')}".rstrip()
    return ""
