"""Findings as lines, and a screen that shows them as they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from voicecli.doctor.findings import Area, Finding, State, verdict
from voicecli.ui.amounts import count
from voicecli.ui.cells import cells, shorten, wrap
from voicecli.ui.clean import clean

if TYPE_CHECKING:
    from rich.live import Live

_STYLES: Final[dict[State, str]] = {
    "ok": "green", "warning": "yellow", "problem": "bold red", "skipped": "dim",
}  # fmt: skip
_STATE_CELLS: Final = 9
_CHECK_CELLS: Final = 15
_NARROW: Final = 60
_FIX_INDENT: Final = 4
_BAR_CELLS: Final = 10
_QUIETEST_DBFS: Final = -60.0


def finding_lines(finding: Finding, width: int) -> list[Text]:
    """One finding: what was found in at most `width` cells a line, and what can be pasted.

    A command is one line, however long: broken by us it could not be pasted.
    """
    told = clean(finding.told, one_line=True)
    state = Text(finding.state, style=_STYLES[finding.state])
    dim = "dim" if finding.state == "skipped" else ""
    if width < _NARROW or cells(finding.check) >= _CHECK_CELLS:
        check_cells = max(1, width - _STATE_CELLS)
        head = state + Text(" " * max(1, _STATE_CELLS - cells(finding.state)))
        lines = [head + Text(shorten(finding.check, check_cells), style="bold")]
        indent = 2 if width < _NARROW else _STATE_CELLS + _CHECK_CELLS
    else:
        lines = []
        indent = _STATE_CELLS + _CHECK_CELLS
    room = max(1, width - indent)
    for number, (start, end) in enumerate(wrap(told, room)):
        front = Text(" " * indent)
        if number == 0 and not lines:
            front = state + Text(" " * (_STATE_CELLS - cells(finding.state)))
            front += Text(finding.check.ljust(_CHECK_CELLS))
        lines.append(front + Text(told[start:end], style=dim))
    advice = clean(finding.advice, one_line=True)
    for start, end in wrap(advice, room) if advice else ():
        lines.append(Text(" " * indent) + Text(advice[start:end], style="dim"))
    indent = min(indent, _FIX_INDENT) if width < _NARROW else indent
    for fix in finding.fixes:
        lines.append(Text(" " * indent) + Text(clean(fix, one_line=True), style="cyan"))
    return lines


def verdict_line(findings: Iterable[Finding]) -> Text:
    """How it all came out."""
    done = list(findings)
    problems = sum(one.state == "problem" for one in done)
    warnings = sum(one.state == "warning" for one in done)
    parts = [count(problems, "problem")] if problems else []
    parts += [count(warnings, "warning")] if warnings else []
    return Text(", ".join(parts) or "all is well", style=_STYLES[verdict(done)])


def working_line(doing: str, level_dbfs: float | None, width: int, *, is_ascii: bool) -> Text:
    """What is being done now, with a meter if somebody is listened to."""
    if level_dbfs is None:
        return Text(shorten(doing, width, ""), style="dim")
    lit_sign, unlit_sign = ("#", ".") if is_ascii else ("■", "·")
    share = (level_dbfs - _QUIETEST_DBFS) / -_QUIETEST_DBFS
    lit = round(min(1.0, max(0.0, share)) * _BAR_CELLS)
    bar = Text(lit_sign * lit, style="red" if lit == _BAR_CELLS else "green")
    bar += Text(unlit_sign * (_BAR_CELLS - lit), style="dim")
    bar += Text(f" {level_dbfs:4.0f} dBFS  ")
    room = width - bar.cell_len
    return bar + Text(shorten(doing, max(0, room), ""), style="dim")


class Checkup:
    """Shows findings as they come, grouped by area, and below them what is being done.

    Args:
        console: where to; below a terminal's findings stands a line that changes.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._area: Area | None = None
        self._live: Live | None = None
        self._is_ascii = not console.encoding.startswith("utf")

    def show(self, finding: Finding) -> None:
        """Print one finding for good."""
        lines = finding_lines(finding, self._width)
        if finding.area != self._area:
            head = [] if self._area is None else [Text()]
            lines = [*head, Text(finding.area, style="bold"), *lines]
            self._area = finding.area
        self._print(lines)

    def working(self, doing: str, level_dbfs: float | None = None) -> None:
        """Show what is being done; only on a terminal."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            return
        line = working_line(doing, level_dbfs, self._width - 1, is_ascii=self._is_ascii)
        if self._live is None:
            from rich.live import Live

            self._live = Live(line, console=self._console, transient=True, auto_refresh=False)
            self._live.start(refresh=True)
        else:
            self._live.update(line, refresh=True)

    def close(self, findings: Iterable[Finding] = ()) -> None:
        """Leave the terminal as it was; say how it all came out, if something was found."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        done = list(findings)
        if done:
            self._print([Text(), verdict_line(done)])

    @property
    def _width(self) -> int:
        return max(20, self._console.width)

    def _print(self, lines: list[Text]) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=True, highlight=False)
