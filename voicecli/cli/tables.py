"""Tables that fit the terminal: columns are left out, and no cell is broken over lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_GAP: Final = 2


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    goes: int = 0
    "The column with the highest number is left out first; 0 is never left out."
    is_right: bool = False
    least: int = 0
    "Long cells are cut to so many before a column is left out; 0: they are not cut."


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> Table:
    """The table in at most `width` cells, without a frame; as many columns as there is room for.

    Columns that are empty in all rows are left out.

    Args:
        columns: of the table.
        rows: each with one cell a column.
        width: of the terminal.
    """
    from rich.table import Table

    filled = [
        position for position, column in enumerate(columns)
        if not column.goes or any(row[position] for row in rows)
    ]  # fmt: skip
    shown = _that_fit(columns, rows, filled, width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for position in shown:
        column = columns[position]
        justify: Literal["left", "right"] = "right" if column.is_right else "left"
        table.add_column(column.title, justify=justify, no_wrap=True, overflow="ellipsis")
    widths = {position: _widest(columns, rows, position) for position in shown}
    _cut(columns, widths, width)
    for drawn, position in zip(table.columns, shown, strict=True):
        drawn.width = widths[position]
    for row in rows:
        table.add_row(*(row[position] for position in shown))
    return table


def _widest(columns: Sequence[Column], rows: Sequence[Sequence[Text]], position: int) -> int:
    from rich.cells import cell_len

    cells = (row[position].cell_len for row in rows)
    return max(cell_len(columns[position].title), *cells, 1)


def _that_fit(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], positions: list[int], width: int
) -> list[int]:
    """The positions of the columns that stay."""
    least = {
        position: min(_widest(columns, rows, position), columns[position].least or width)
        for position in positions
    }
    stay = list(positions)
    while sum(least[one] for one in stay) + _GAP * (len(stay) - 1) > width:
        first = max(stay, key=lambda position: columns[position].goes)
        if not columns[first].goes:
            break
        stay.remove(first)
    return stay


def _cut(columns: Sequence[Column], widths: dict[int, int], width: int) -> None:
    """Take what is too much from the columns that may be cut, the widest first."""
    over = sum(widths.values()) + _GAP * (len(widths) - 1) - width
    while over > 0:
        may_be_cut = [one for one in widths if columns[one].least and widths[one] > 1]
        above = [one for one in may_be_cut if widths[one] > columns[one].least]
        candidates = above or may_be_cut
        if not candidates:
            return
        widest = max(candidates, key=lambda position: widths[position])
        widths[widest] -= 1
        over -= 1
