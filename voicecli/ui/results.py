"""What came of a demo, as lines: expectations that were not met, and how long answers took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.text import Text

from voicecli.demo.outcome import Outcome
from voicecli.reports import TurnReport
from voicecli.ui.cells import cells, shorten, wrap
from voicecli.ui.clean import clean

_COLUMNS: Final = (
    ("speech_stopped_ms", "turn end", 2),
    ("first_delta_ms", "first audio", 1),
    ("first_sound_ms", "heard", 0),
)
"A moment of a turn, its title, and which column goes first where there is no room (0: none)."
_LEAST_WORDS: Final = 12
_MOST_WORDS: Final = 36
_GAP: Final = "  "


def result_lines(
    outcome: Outcome,
    width: int,
    *,
    shown: Callable[[str], str] = lambda source: source,
    ellipsis: str = "…",
) -> list[Text]:
    """All of it, in lines of at most `width` cells.

    Args:
        outcome: of one run.
        width: of the screen.
        shown: how a script's file is written.
        ellipsis: stands for what is cut away.
    """
    lines: list[Text] = []
    if outcome.is_real_time:
        lines += latency_lines(outcome, width, ellipsis)
    for verdict in outcome.failed:
        place = f"{shown(verdict.place.source)}:{verdict.place.line}"
        told = f"{place}: {verdict.wanted}: {verdict.came}"
        lines += _wrapped(told, width, "red")
    for part in outcome.parts:
        if part.failure:
            lines += _wrapped(f"{shown(part.source)}: {part.failure}", width, "red")
    lines.append(_verdict_line(outcome, width))
    return lines


def latency_lines(outcome: Outcome, width: int, ellipsis: str = "…") -> list[Text]:
    """A table of the turns, in milliseconds from the end of the user's voice."""
    turns = [
        (turn, asked)
        for part in outcome.parts
        for turn, asked in zip(part.log.turns, part.log.asked, strict=False)
        if turn.first_sound_ms is not None
    ]
    if not turns:
        return []
    columns = list(_COLUMNS)
    while len(columns) > 1 and width < _LEAST_WORDS + sum(len(one[1]) + 2 for one in columns):
        columns.remove(max(columns, key=lambda one: one[2]))
    titles = [title for _, title, _ in columns]
    words = [clean(asked, one_line=True) for _, asked in turns]
    room = max(1, width - sum(len(title) + 2 for title in titles))
    room = min(room, max(_MOST_WORDS, 0), max(map(cells, [*words, "ms from the end of the voice"])))

    def line(head: str, numbers: Sequence[str], style: str = "") -> Text:
        head = shorten(head, room, ellipsis)
        text = Text(head + " " * (room - cells(head)))
        for number, title in zip(numbers, titles, strict=True):
            text.append(_GAP + number.rjust(len(title)))
        text.stylize(style)
        return text

    lines = [Text(), line("ms from the end of the voice", titles, "dim")]
    for (turn, _), asked in zip(turns, words, strict=True):
        lines.append(line(asked, [_ms(turn, name) for name, _, _ in columns]))
    if len(turns) > 1:
        medians = [_median([turn for turn, _ in turns], name) for name, _, _ in columns]
        lines.append(line("median", medians, "bold"))
    return [*lines, Text()]


def _ms(turn: TurnReport, name: str) -> str:
    value = getattr(turn, name)
    return "-" if value is None else str(value)


def _median(turns: Sequence[TurnReport], name: str) -> str:
    from statistics import median

    values = [value for value in (getattr(turn, name) for turn in turns) if value is not None]
    return str(round(median(values))) if values else "-"


def _wrapped(message: str, width: int, style: str) -> list[Text]:
    text = Text(clean(message, one_line=True), style=style)
    return [text[start:end] for start, end in wrap(text.plain, width)]


def _verdict_line(outcome: Outcome, width: int) -> Text:
    judged = [one for one in outcome.verdicts if not one.is_skipped]
    met = sum(one.passed for one in judged)
    if outcome.was_stopped:
        return Text(shorten(f"{outcome.name}: stopped", width, ""), style="yellow")
    skipped = len(outcome.verdicts) - len(judged)
    told = f"{outcome.name}: {met} of {len(judged)} expectations met"
    if not judged:
        told = f"{outcome.name}: played" if outcome.has_passed else f"{outcome.name}: failed"
    if skipped:
        told += f", {skipped} not judged"
    return Text(shorten(told, width, ""), style="green" if outcome.has_passed else "red")
