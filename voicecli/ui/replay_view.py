"""The lines below the picture of a talk while its recording is played: progress and keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rich.text import Text

from voicecli.recording.playing.pace import Route, clock_text
from voicecli.ui.cells import cells, shorten
from voicecli.ui.clean import clean
from voicecli.ui.replay_keys import HELP
from voicecli.ui.view import UNICODE, Frame, fitting


@dataclass(frozen=True)
class Progress:
    """How far a replay is."""

    at: float
    duration: float
    speed: float = 1.0
    is_paused: bool = False
    route: Route = field(default_factory=Route)
    hint: str = ""
    "A word to the user, instead of the list of keys."
    shows_help: bool = False


class _Signs(NamedTuple):
    played: str
    coming: str
    turn: str
    turn_coming: str
    interruption: str
    marker: str
    here: str


_LINES: Final = _Signs("━", "─", "┿", "┼", "╳", "◆", "●")
_ASCII: Final = _Signs("=", "-", "|", "|", "x", "^", "O")

_SHORTEST_BAR: Final = 8
_MOST_MARKED: Final = 0.5
_HEIGHT_WITH_KEYS: Final = 5
_KEYS: Final = (
    (6, "space", "pause"),
    (5, "←→", "5 s"),
    (4, "↑↓", "turn"),
    (3, "+-", "speed"),
    (2, "?", "help"),
    (1, "q", "quit"),
)
_ASCII_KEYS: Final = {"←→": "left/right", "↑↓": "up/down"}


def footer(progress: Progress) -> Callable[[Frame], list[Text]]:
    """What makes the lines, once it is known how much room there is."""

    def lines(frame: Frame) -> list[Text]:
        bar = [progress_line(progress, frame)]
        if progress.shows_help:
            return [*bar, *_help_lines(frame)]
        if frame.height >= _HEIGHT_WITH_KEYS:
            bar.append(_last_line(progress, frame))
        return bar

    return lines


def progress_line(progress: Progress, frame: Frame) -> Text:
    """Where it is: the time, the bar with its marks, the length, and what is unusual."""
    before = f"{clock_text(progress.at)} "
    after = f" {clock_text(progress.duration)}"
    turns = len(progress.route.turns)
    number = progress.route.number_at(progress.at)
    extras = [
        (f"  turn {number}/{turns}" if turns else "", "dim"),
        ("" if progress.speed == 1.0 else f"  {progress.speed:g}x", "cyan"),
        ("  paused" if progress.is_paused else "", "yellow"),
    ]

    def room() -> int:
        return frame.columns - sum(cells(text) for text in (before, after, *dict(extras)))

    # In a narrow window the least urgent goes first.
    while len(extras) > 1 and room() < _SHORTEST_BAR:
        del extras[0]
    if room() < _SHORTEST_BAR:
        return Text(shorten(before.strip() + extras[-1][0], frame.columns, ""), style="bold")
    bar = _bar(progress, room(), _LINES if frame.glyphs is UNICODE else _ASCII)
    return Text.assemble(before, bar, (after, "dim"), *extras)


def _bar(progress: Progress, width: int, signs: _Signs) -> Text:
    here = _cell(progress.at, progress.duration, width)
    turns = _marked(progress.route.turns, progress.duration, width)
    cut = _marked(progress.route.interruptions, progress.duration, width)
    markers = _marked(progress.route.markers, progress.duration, width)
    bar = Text()
    for cell in range(width):
        is_played = cell < here
        if cell == here:
            bar.append(signs.here, style="bold")
        elif cell in markers:
            bar.append(signs.marker, style="green")
        elif cell in cut:
            bar.append(signs.interruption, style="yellow")
        elif cell in turns:
            bar.append(signs.turn if is_played else signs.turn_coming, style="cyan")
        else:
            bar.append(signs.played if is_played else signs.coming, "" if is_played else "dim")
    return bar


def _marked(times: Sequence[float], duration: float, width: int) -> set[int]:
    """The cells that have a mark; none where there would hardly be anything else."""
    cells_marked = {_cell(at, duration, width) for at in times}
    return cells_marked if len(cells_marked) <= width * _MOST_MARKED else set()


def _cell(at: float, duration: float, width: int) -> int:
    share = at / duration if duration > 0 else 0.0
    return min(width - 1, max(0, int(share * width)))


def _last_line(progress: Progress, frame: Frame) -> Text:
    if progress.hint:
        hint = clean(progress.hint, one_line=True)
        return Text(shorten(hint, frame.columns, frame.glyphs.ellipsis), style="yellow")
    is_plain = frame.glyphs is not UNICODE
    parts = []
    for importance, key, word in _KEYS:
        shown = _ASCII_KEYS.get(key, key) if is_plain else key
        does = "go on" if key == "space" and progress.is_paused else word
        parts.append((importance, Text.assemble((shown, "bold"), (f" {does}", "dim"))))
    return fitting(parts, frame.glyphs.separator, frame.columns)


def _help_lines(frame: Frame) -> Sequence[Text]:
    lines = [
        Text.assemble(
            (f"{key:>10} ", "bold"),
            (shorten(words, max(0, frame.columns - 11), frame.glyphs.ellipsis), "dim"),
        )
        for key, words in HELP
    ]
    return [line[: frame.columns] for line in lines]
