"""Times, lengths and sizes as people read them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """A time as `m:ss`, from an hour on `h:mm:ss`; parts of a second are cut off."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def length(seconds: float) -> str:
    """How long something is, as `clock`, to the nearest second."""
    return clock(seconds + 0.5)


def size(count: int) -> str:
    """Bytes with a unit of a thousand: `1.3 MB`."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5:
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"
    return f"{amount / 1000:,.1f} TB"


def count(number: int, one: str, many: str = "") -> str:
    """`1 turn`, `2 turns`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
