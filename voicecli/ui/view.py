"""The picture of a conversation: state in, lines of styled text out.

There are two kinds of lines. A row of the transcript that is *settled* is printed once, into the
terminal's scrollback (`settled_row`). What still changes is drawn over and over below it
(`live_view`): the rows from the first that is not settled, a status line, and a line of keys or
the message being written. `Printed` remembers where one ends and the other begins.

Nothing here is markup: text from outside is cleaned and becomes `Text`, never a string that rich
reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rich.containers import Lines
from rich.text import Text

from voicecli.conversation import Conversation, Phase
from voicecli.transcript import Row, Speaker, Transcript
from voicecli.ui.cells import cells, shorten, tail, wrap
from voicecli.ui.clean import clean
from voicecli.ui.controls import Prompt
from voicecli.ui.meters import Meters

__all__ = [
    "ASCII",
    "UNICODE",
    "Frame",
    "Glyphs",
    "Printed",
    "fitting",
    "live_view",
    "note_lines",
    "settled_row",
]


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs that not every terminal's encoding has."""

    bullet: str
    ellipsis: str
    separator: str
    lit: str
    unlit: str
    line_end: str
    arrow: str


UNICODE: Final = Glyphs("●", "…", " · ", "■", "·", "⏎", "›")
ASCII: Final = Glyphs("*", "...", " - ", "#", ".", " ", ">")


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the picture goes, and what the keyboard adds to it."""

    width: int = 80
    height: int = 24
    prompt: Prompt | None = None
    "The message being written."
    show_help: bool = False
    glyphs: Glyphs = UNICODE
    footer: tuple[Text, ...] | None = None
    "Lines to stand below the status, instead of the keys of a talk."

    @property
    def columns(self) -> int:
        """What a line may take: the last column stays free, where terminals differ."""
        return max(1, self.width - 1)


WAITING_ROWS: Final = 6
"A row that does not settle holds up the rows after it until so many of them are finished."

LEVEL_CELLS: Final = 8
_QUIETEST_DBFS: Final = -60.0
_LOUDEST_DBFS: Final = -6.0
_WIDE_COLUMNS: Final = 48
"From here on there is room for whole words before each row."
_ROOMY_HEIGHT: Final = 16
_TWO_LINES_HEIGHT: Final = 4

_NAMES: Final[dict[Speaker, tuple[str, str]]] = {
    "user": ("you", "you"),
    "assistant": ("assistant", "ai"),
    "tool": ("tool", "fn"),
}
_NAME_STYLES: Final[dict[Speaker, str]] = {
    "user": "bold cyan",
    "assistant": "bold magenta",
    "tool": "bold yellow",
}
_PHASE_STYLES: Final[dict[Phase, str]] = {
    "connecting": "yellow",
    "listening": "green",
    "hearing": "bold cyan",
    "thinking": "yellow",
    "speaking": "bold magenta",
}
_UNHEARD: Final = "dim"
_CUT: Final = "dim strike"

_HELP: Final = (
    ("space", "talk: hold it, or tap to begin and tap to end", True),
    ("m", "mute the microphone, or hear it again", False),
    ("b", "set a marker: to find this moment again", False),
    ("enter", "write a message; enter sends it, esc leaves it", False),
    ("esc", "make the assistant stop", False),
    ("?", "show or hide this", False),
    ("q", "end the talk; so does ctrl-c", False),
)
# (importance, key, word, only in manual mode): the lowest importance is dropped first.
_KEYS: Final = (
    (6, "space", "talk", True),
    (2, "m", "mute", False),
    (4, "enter", "type", False),
    (3, "esc", "stop", False),
    (5, "?", "help", False),
    (1, "q", "quit", False),
)


@dataclass
class Printed:
    """Which rows have been printed; what is to be printed next."""

    _ids: set[str] = field(default_factory=set)
    _overtaken: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Printed:
        """These have been printed already."""
        return cls({row.item_id for row in rows})

    def due(self, transcript: Transcript) -> list[Row]:
        """The rows that may be printed now, in order; they count as printed from here on.

        A row waits until all before it are settled, so that the scrollback is in the order of the
        conversation. One that stays open although `WAITING_ROWS` rows after it are finished is
        overtaken: it holds up nothing any more, and is printed if it settles at last.
        """
        rows = self._unprinted(transcript)
        due: list[Row] = []
        settled_count = sum(row.is_settled for row in rows)
        for row in rows:
            if row.is_settled:
                due.append(row)
                settled_count -= 1
            elif row.item_id not in self._overtaken:
                if settled_count < WAITING_ROWS:
                    break
                self._overtaken.add(row.item_id)
        self._ids.update(row.item_id for row in due)
        return due

    def waiting(self, transcript: Transcript) -> list[Row]:
        """The rows that have not been printed and that something is still expected of."""
        return [row for row in self._unprinted(transcript) if row.item_id not in self._overtaken]

    def rest(self, transcript: Transcript) -> list[Row]:
        """All that was not printed, for the end of the talk."""
        rows = self._unprinted(transcript)
        self._ids.update(row.item_id for row in rows)
        return rows

    def _unprinted(self, transcript: Transcript) -> list[Row]:
        return [row for row in transcript if row.item_id not in self._ids]


def settled_row(row: Row, transcript: Transcript, frame: Frame = Frame()) -> Lines:
    """The lines of a row that will not change any more; none for one without words."""
    if not row.text.strip():
        return Lines()
    return _row_lines(row, transcript.heard_chars(row), frame)[0]


def note_lines(message: str, frame: Frame, style: str = "dim") -> Lines:
    """The lines of something that is no part of the conversation: an error, a note."""
    text = Text(clean(message), style=style)
    return Lines([text[start:end] for start, end in wrap(text.plain, frame.columns)])


def marker_text(number: int, at: float) -> str:
    """The line of a marker that the user has set.

    Args:
        number: as it was told.
        at: when it was set, in seconds since the connection opened.
    """
    return f"marker {number} at {_elapsed(at)}"


def live_view(
    conversation: Conversation,
    meters: Meters,
    frame: Frame = Frame(),
    rows: Sequence[Row] | None = None,
) -> Lines:
    """All that still changes, as lines that fit the frame.

    Args:
        conversation: read, never changed.
        meters: what the edges know.
        frame: the room there is; the picture leaves at least one line of it free.
        rows: those to show; by default all that are not settled.
    """
    if rows is None:
        rows = [row for row in conversation.transcript if not row.is_settled]
    status = [_status_line(conversation, meters, frame)]
    if frame.footer is not None:
        status += frame.footer
    elif frame.height >= _TWO_LINES_HEIGHT or frame.prompt is not None:
        status.append(_last_line(conversation, meters, frame))
    if frame.show_help:
        status = [*_help_lines(conversation, frame), *status]
    status = status[-max(1, frame.height - 1) :]
    room = frame.height - 1 - len(status)
    spoken = _live_rows(conversation, meters, frame, rows, room)
    is_roomy = frame.height >= _ROOMY_HEIGHT and len(spoken) < room
    return Lines([*spoken, *([Text()] if is_roomy else []), *status])


# ------------------------------------------------------------------------------------------- rows


def _live_rows(
    conversation: Conversation, meters: Meters, frame: Frame, rows: Sequence[Row], room: int
) -> list[Text]:
    """The rows' lines, at most `room` of them: those around the words that sound now."""
    lines: list[Text] = []
    focus: int | None = None
    for row in rows:
        heard_chars = _heard_chars(conversation, meters, row)
        if not row.text and (row.speaker != "user" or row.is_settled):
            continue
        row_lines, at = _row_lines(row, heard_chars, frame)
        if row.speaker == "assistant" and row.is_spoken and not row.is_settled and focus is None:
            focus = len(lines) + at
        lines += row_lines
    if len(lines) <= room:
        return lines
    if room <= 0:
        return []
    focus = len(lines) - 1 if focus is None else focus
    start = min(max(0, focus - room * 2 // 3), len(lines) - room)
    return lines[start : start + room]


def _heard_chars(conversation: Conversation, meters: Meters, row: Row) -> int:
    """How much of the row's text was heard, with what the speaker has emitted by now."""
    if row.speaker != "assistant" or row.is_settled:
        return conversation.transcript.heard_chars(row)
    emitted = {
        one.content_index: one.emitted_samples for one in meters.heard if one.item_id == row.item_id
    }
    heard_ms = max(row.heard_ms, conversation.heard_ms(row.item_id, emitted))
    return conversation.transcript.heard_chars(replace(row, heard_ms=heard_ms))


def _row_lines(row: Row, heard_chars: int, frame: Frame) -> tuple[Lines, int]:
    """A row as lines, and in which of them the heard text ends."""
    is_wide = frame.width >= _WIDE_COLUMNS
    name = _NAMES[row.speaker][0 if is_wide else 1]
    indent = 11 if is_wide else 4
    columns = max(1, frame.columns - indent)
    body, heard_end = _row_text(row, heard_chars, frame, columns)
    lines = Lines()
    focus = 0
    for number, (start, end) in enumerate(wrap(body.plain, columns)):
        if start <= heard_end:
            focus = number
        label = Text(" " * indent)
        if number == 0:
            label = Text(name.rjust(indent - 2) if is_wide else name.ljust(indent - 1))
            label.stylize(_NAME_STYLES[row.speaker])
            label.append("  " if is_wide else " ")
        lines.append(label.append_text(body[start:end]) if end > start else label)
    return lines, focus


def _row_text(row: Row, heard_chars: int, frame: Frame, columns: int) -> tuple[Text, int]:
    """The row's words, and where in them the heard ones end."""
    if row.speaker == "tool":
        call = clean(row.text, one_line=True)
        call = call if row.is_settled else call + " " + frame.glyphs.ellipsis
        return Text(shorten(call, columns, frame.glyphs.ellipsis)), 0
    if row.speaker == "user":
        text = Text(clean(row.text).strip())
        if not row.is_settled and (not row.text or not row.is_final):
            text.append(frame.glyphs.ellipsis)
        return text, 0
    heard = clean(row.text[:heard_chars].lstrip())
    unheard = clean(row.text[heard_chars:].rstrip())
    text = Text(heard)
    if not row.interrupted:
        return text.append(unheard, style=_UNHEARD), len(heard)
    # In words as well, where it happened: not every terminal can strike through.
    text.append(" [cut off]" if heard else "[cut off]", style="yellow")
    if unheard:
        text.append(" ").append(unheard.lstrip(), style=_CUT)
    return text, len(heard)


# ------------------------------------------------------------------------------------- the status


def _status_line(conversation: Conversation, meters: Meters, frame: Frame) -> Text:
    """One line: as much as fits, the important first to stay."""
    phase = conversation.phase
    word = "ready" if phase == "listening" and conversation.is_manual else phase
    parts = [(9, Text(f"{frame.glyphs.bullet} {word}", style=_PHASE_STYLES[phase]))]
    if conversation.softened:
        parts.append((8, Text(conversation.softened, style="yellow")))
    if meters.missing:
        parts.append((9, Text(f"no {meters.missing}", style="bold red")))
    if meters.is_half_duplex:
        parts.append((7, Text("half duplex", style="yellow")))
    if meters.is_recording:
        parts.append((8, Text(f"{frame.glyphs.bullet} rec", style="red")))
    if conversation.is_muted:
        parts.append((8, Text("muted", style="bold red")))
    parts.append((7, _level_bar(meters.level_dbfs, conversation.is_muted, frame.glyphs)))
    if conversation.timing.last_ms is not None:
        parts.append((6, Text(f"{conversation.timing.last_ms} ms")))
    for importance, number, one, many in (
        (3, conversation.counts.interruptions, "interruption", "interruptions"),
        (4, meters.underflows, "gap", "gaps"),
        (5, meters.dropped_frames, "frame lost", "frames lost"),
    ):
        if number > 0:
            style = "dim" if importance == 3 else "yellow"
            parts.append((importance, Text(f"{number} {one if number == 1 else many}", style)))
    parts.append((2, Text(_elapsed(meters.at), style="dim")))
    return fitting(parts, "  ", frame.columns)


def _last_line(conversation: Conversation, meters: Meters, frame: Frame) -> Text:
    if frame.prompt is not None:
        return _prompt_line(frame.prompt, frame)
    if meters.hint:
        hint = clean(meters.hint, one_line=True)
        return Text(shorten(hint, frame.columns, frame.glyphs.ellipsis), style="yellow")
    manual = conversation.is_manual
    parts = [
        (importance, Text.assemble((key, "bold"), (f" {word}", "dim")))
        for importance, key, word, manual_only in _KEYS
        if manual or not manual_only
    ]
    return fitting(parts, frame.glyphs.separator, frame.columns)


def _prompt_line(prompt: Prompt, frame: Frame) -> Text:
    """The message being written, scrolled so that the cursor can be seen."""
    glyphs = frame.glyphs
    sign = f"{glyphs.arrow} "
    before, under, after = (part.replace("\n", glyphs.line_end) for part in prompt.parts)
    under = under or " "
    room = max(1, frame.columns - cells(sign))
    before = tail(before, max(0, room - cells(under)))
    after = shorten(after, max(0, room - cells(before) - cells(under)), "")
    return Text.assemble((sign, "bold cyan"), before, (under, "reverse"), after)


def _help_lines(conversation: Conversation, frame: Frame) -> list[Text]:
    return [
        Text.assemble(
            (f"{key:>5} ", "bold"),
            (shorten(words, max(0, frame.columns - 6), frame.glyphs.ellipsis), "dim"),
        )
        for key, words, manual_only in _HELP
        if conversation.is_manual or not manual_only
    ]


def _level_bar(level_dbfs: float, is_muted: bool, glyphs: Glyphs) -> Text:
    share = (level_dbfs - _QUIETEST_DBFS) / (_LOUDEST_DBFS - _QUIETEST_DBFS)
    lit = 0 if is_muted else round(min(1.0, max(0.0, share)) * LEVEL_CELLS)
    style = "red" if lit == LEVEL_CELLS else "green"
    return Text.assemble((glyphs.lit * lit, style), (glyphs.unlit * (LEVEL_CELLS - lit), "dim"))


def _elapsed(seconds: float) -> str:
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def fitting(parts: list[tuple[int, Text]], separator: str, columns: int) -> Text:
    """Join as many parts as fit, in their order; the least important are left out."""
    kept = list(parts)
    while len(kept) > 1 and _joined_width(kept, separator) > columns:
        kept.remove(min(kept, key=lambda part: part[0]))
    if _joined_width(kept, separator) > columns:
        only = kept[0][1]
        return Text(shorten(only.plain, columns, ""), style=only.style)
    line = Text()
    for number, (_, part) in enumerate(kept):
        if number:
            line.append(separator, style="dim")
        line.append_text(part)
    return line


def _joined_width(parts: list[tuple[int, Text]], separator: str) -> int:
    return sum(cells(part.plain) for _, part in parts) + cells(separator) * (len(parts) - 1)
