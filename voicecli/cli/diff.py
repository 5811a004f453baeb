"""`voicecli recordings diff`: two runs side by side."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from voicecli.cli.library import NAMED_HELP, complete_recording, local_date, read_talk
from voicecli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.table import Table
    from rich.text import Text

    from voicecli.recording.rerun.compare import Call, Comparison, Cut, Sides, Turn, Wording
    from voicecli.recording.shelf.prices import Prices

NARROWEST_BESIDE: Final = 64
"On fewer cells the two sides do not stand beside each other, but are one text."

_Name = Annotated[
    str, typer.Argument(metavar="A", autocompletion=complete_recording, help=NAMED_HELP)
]
_Other = Annotated[
    str, typer.Argument(metavar="B", autocompletion=complete_recording, help=NAMED_HELP)
]


def diff_command(
    a: _Name,
    b: _Other,
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML with the prices of models: adds the cost."),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="different|slower:PCT",
            help="Leave with 1 if words, calls or interruptions differ, or if B's median latency "
            "is more than PCT percent longer. May be given twice.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Lay two recordings side by side: words, latencies, cost.

    Interruptions, calls and tokens, too. Turns are paired by what the user said in them, and in
    order where that does not tell.
    """
    import sys

    conditions = [_condition(one) for one in fail_if or []]
    from voicecli.recording.rerun.compare import compare, plain

    known = _read_prices(prices) if prices is not None else {}
    comparison = compare(read_talk(a), read_talk(b), known)
    if as_json:
        import json

        typer.echo(json.dumps(plain(comparison), indent=2))
    elif sys.stdout.isatty():
        _draw(comparison)
    else:
        typer.echo("\n".join(_plain(comparison)))
    reasons = [reason for condition in conditions if (reason := condition(comparison))]
    for reason in reasons:
        typer.echo(f"voicecli: {reason}", err=True)
    if reasons:
        raise typer.Exit(1)


def _read_prices(path: Path) -> dict[str, Prices]:
    import tomllib

    from voicecli.recording.shelf.prices import prices_from

    try:
        tables = tomllib.loads(path.expanduser().read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"cannot read the prices in {str(path)!r}: {reason}") from exc
    return prices_from(tables, str(path))


def _condition(text: str) -> Callable[[Comparison], str]:
    """What is checked; the result says why it fails, or is empty."""
    if text == "different":
        return _difference
    found = re.fullmatch(r"slower:(\d{1,6}(?:\.\d+)?)%?", text, re.ASCII)
    if found is None:
        raise ConfigError(f"{text!r} is no condition", "`different`, or as in slower:10")
    allowed = float(found[1])

    def is_slower(comparison: Comparison) -> str:
        percent = comparison.slower_percent
        if percent is None:
            return "the latencies cannot be compared: one of the talks has none"
        return f"the median latency is {percent:.0f} % longer" if percent > allowed else ""

    return is_slower


def _difference(comparison: Comparison) -> str:
    count = sum(turn.differs for turn in comparison.turns)
    if not count:
        return ""
    return "1 turn differs" if count == 1 else f"{count} turns differ"


# ---------------------------------------------------------------------------------- what is shown


class Row(NamedTuple):
    """One thing in both talks; `wording` instead of `a` and `b` where words are compared."""

    label: str
    a: str = ""
    b: str = ""
    change: str = ""
    "From A to B, where it is a number."
    wording: Wording | None = None

    @property
    def differs(self) -> bool:
        return self.a != self.b if self.wording is None else self.wording.changed > 0


class Section(NamedTuple):
    """Rows under a title."""

    title: str
    rows: Sequence[Row]


def sections_of(comparison: Comparison) -> Iterator[Section]:
    """All that is shown, from the whole to the turns."""
    yield Section("", list(_overall(comparison)))
    if comparison.settings:
        rows = [Row(one.key, _value(one.a), _value(one.b)) for one in comparison.settings]
        yield Section("settings that differ", rows)
    for turn in comparison.turns:
        yield Section(_title(turn), list(_of_turn(turn)))


def _overall(comparison: Comparison) -> Iterator[Row]:
    from voicecli.ui.amounts import length

    a, b = comparison.talks.a, comparison.talks.b
    latencies, tokens, cost = comparison.latencies, comparison.tokens, comparison.cost_usd
    yield Row("recording", a.name, b.name)
    yield Row("date", local_date(a.created), local_date(b.created))
    for key in ("server", "model", "voice"):
        yield Row(key, getattr(a, key), getattr(b, key))
    yield Row("length", length(a.seconds), length(b.seconds))
    yield Row("ended", a.reason, b.reason)
    yield _numbers("turns", a.turns, b.turns)
    yield _numbers("interruptions", a.interruptions, b.interruptions)
    yield _numbers("median latency", latencies.a.median_ms, latencies.b.median_ms, " ms")
    yield _numbers("95 % within", latencies.a.p95_ms, latencies.b.p95_ms, " ms")
    yield _numbers("tokens in", tokens.a.input, tokens.b.input)
    yield _numbers("cached of them", tokens.a.cached, tokens.b.cached)
    yield _numbers("tokens out", tokens.a.output, tokens.b.output)
    if cost.a is not None or cost.b is not None:
        yield Row("cost", _dollars(cost.a), _dollars(cost.b), _cost_change(cost))
    for error_a, error_b in _beside(a.errors, b.errors):
        yield Row("error", error_a, error_b)


def _title(turn: Turn) -> str:
    a, b = turn.number.a, turn.number.b
    if a == b:
        return f"turn {a}" if a else "before the first turn"
    if a is None or b is None:
        return f"turn {a or b or 0}, only in {'B' if a is None else 'A'}"
    return f"turn {a}, in B {b}"


def _of_turn(turn: Turn) -> Iterator[Row]:
    if turn.user.words:
        yield Row("you", wording=turn.user)
    if turn.answer.words:
        yield Row("assistant", wording=turn.answer)
    latency, cut = turn.latency_ms, turn.cut
    if latency.a is not None or latency.b is not None:
        yield _numbers("latency", latency.a, latency.b, " ms")
    if cut.a is not None or cut.b is not None:
        both = cut.a is not None and cut.b is not None
        change = _signed(cut.b.heard_ms - cut.a.heard_ms, " ms") if cut.a and cut.b else ""
        a, b = (_cut_text(one) or ("not cut off" if not both else "") for one in (cut.a, cut.b))
        yield Row("cut off", a, b, change)
    for call_a, call_b in _beside([*map(_call, turn.calls.a)], [*map(_call, turn.calls.b)]):
        yield Row("tool", call_a, call_b)


def _cut_text(cut: Cut | None) -> str:
    if cut is None:
        return ""
    return f"after {cut.heard_ms} of {cut.received_ms} ms, by {cut.by or 'voice'}"


def _call(call: Call) -> str:
    return f"{call.name}({call.arguments})" + (" failed" if call.failed else "")


def _beside(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[str, str]]:
    from itertools import zip_longest

    yield from zip_longest(a, b, fillvalue="")


def _numbers(label: str, a: int | None, b: int | None, unit: str = "") -> Row:
    shown_a, shown_b = ("-" if one is None else f"{one}{unit}" for one in (a, b))
    change = ""
    if a is not None and b is not None and a != b:
        change = _signed(b - a, unit)
        if unit and a:
            change += f" ({(b - a) * 100 / a:+.0f} %)"
    return Row(label, shown_a, shown_b, change)


def _signed(number: int, unit: str) -> str:
    return f"{number:+d}{unit}" if number else ""


def _dollars(amount: float | None) -> str:
    return "-" if amount is None else f"${amount:.4f}"


def _cost_change(cost: Sides[float | None]) -> str:
    if not cost.a or cost.b is None:
        return ""
    return f"{(cost.b - cost.a) * 100 / cost.a:+.0f} %"


def _value(value: Any) -> str:
    import json

    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


# ------------------------------------------------------------------------------------- as lines


def _plain(comparison: Comparison) -> Iterator[str]:
    """Tabs between label, A, B and change; words of one side only as [-A-] and {+B+}."""
    from voicecli.ui.clean import clean

    for position, section in enumerate(sections_of(comparison)):
        if position:
            yield ""
        if section.title:
            yield clean(section.title, one_line=True)
        for row in section.rows:
            cells = [row.label, row.a, row.b, row.change]
            if row.wording is not None:
                cells = [row.label, _as_one(row.wording)]
            yield "\t".join(clean(cell, one_line=True) for cell in cells).rstrip("\t")


def _as_one(wording: Wording) -> str:
    parts = []
    for stretch in wording.words:
        if stretch.same:
            parts.append(stretch.b)
        else:
            parts += [f"[-{stretch.a}-]"] if stretch.a else []
            parts += [f"{{+{stretch.b}+}}"] if stretch.b else []
    return " ".join(parts)


# ----------------------------------------------------------------------------------- as a picture


def _draw(comparison: Comparison) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for position, section in enumerate(sections_of(comparison)):
        if position:
            console.print()
        if section.title:
            console.print(_clean(section.title, "bold"))
        console.print(_table(section, console.width, is_first=position == 0))


def _table(section: Section, width: int, *, is_first: bool) -> Table:
    from rich.table import Table

    beside = width >= NARROWEST_BESIDE
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), width=width)
    longest = max((len(row.label) for row in section.rows), default=0)
    table.add_column(width=min(max(16, longest), width * 2 // 5), style="dim", overflow="fold")
    for _ in range(2 if beside else 1):
        table.add_column(ratio=1, overflow="fold")
    has_numbers = any(row.change or row.wording for row in section.rows)
    change_width = 18 if width >= 90 and has_numbers else 0
    if change_width:
        table.add_column(width=change_width, style="dim", no_wrap=True)
    for row in section.rows:
        style = "bold" if is_first and row.label == "recording" else ""
        cells = [*_beside_cells(row, style)] if beside else [_one_cell(row)]
        if change_width:
            cells.append(_clean(row.change))
        elif row.change:
            cells[-1].append(f"  {row.change}", style="dim")
        table.add_row(_clean(row.label), *cells)
    return table


def _beside_cells(row: Row, style: str) -> Iterator[Text]:
    from rich.text import Text

    if row.wording is None:
        yield _clean(row.a, style)
        yield _clean(row.b, style or ("yellow" if row.differs else ""))
        return
    words = row.wording.words
    sides = [(one.a, "" if one.same else "red") for one in words]
    others = [(one.b, "" if one.same else "green") for one in words]
    for side in (sides, others):
        told = [_clean(text, style) for text, style in side if text]
        yield Text(" ").join(told) if told else Text("-", style="dim")


def _one_cell(row: Row) -> Text:
    from rich.text import Text

    if row.wording is not None:
        told: list[tuple[str, str]] = []
        for one in row.wording.words:
            told += [(one.b, "")] if one.same else [(one.a, "red strike"), (one.b, "green")]
        return Text(" ").join(_clean(text, style) for text, style in told if text)
    if not row.differs:
        return _clean(row.a)
    return _clean(f"{row.a or '-'} → {row.b or '-'}", "yellow")


def _clean(text: str, style: str = "") -> Text:
    from rich.text import Text

    from voicecli.ui.clean import clean

    return Text(clean(text, one_line=True), style=style)
