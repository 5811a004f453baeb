"""Which recordings go, by age, number and size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from voicecli.errors import ConfigError


class Kept(Protocol):
    """What is known of a recording."""

    @property
    def made_at(self) -> float: ...

    @property
    def size_bytes(self) -> int: ...


_Kept = TypeVar("_Kept", bound=Kept)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is to go; None: the rule is not asked for."""

    older_than_s: float | None = None
    larger_than_bytes: int | None = None
    "With `older_than_s`: only what is both goes."
    max_total_bytes: int | None = None
    "Of what is left, the oldest go until the rest is so small."
    keep: int | None = None
    "So many of the newest stay, whatever the other rules say; alone, all others go."

    @property
    def are_empty(self) -> bool:
        return self == Rules()


def going(kept: Sequence[_Kept], rules: Rules, now: float) -> list[_Kept]:
    """What is to be deleted, the oldest first.

    Args:
        kept: all there are, in any order.
        rules: what is asked for.
        now: in Unix seconds, as `made_at`.
    """
    by_age = sorted(kept, key=lambda one: one.made_at)
    may_go = by_age[: max(0, len(by_age) - (rules.keep or 0))]
    if rules == Rules(keep=rules.keep):
        return [] if rules.keep is None else may_go
    gone = [one for one in may_go if _is_chosen(one, rules, now)]
    if rules.max_total_bytes is None:
        return gone
    left = sum(one.size_bytes for one in by_age) - sum(one.size_bytes for one in gone)
    chosen = {id(one) for one in gone}
    for one in may_go:
        if left > rules.max_total_bytes and id(one) not in chosen:
            chosen.add(id(one))
            left -= one.size_bytes
    return [one for one in may_go if id(one) in chosen]


def _is_chosen(one: Kept, rules: Rules, now: float) -> bool:
    if rules.older_than_s is None and rules.larger_than_bytes is None:
        return False
    is_old = rules.older_than_s is None or now - one.made_at > rules.older_than_s
    is_large = rules.larger_than_bytes is None or one.size_bytes > rules.larger_than_bytes
    return is_old and is_large


_SECONDS: Final = {"h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_BYTES: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY_BYTES: Final = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_NUMBER: Final = r"(\d{1,12}(?:\.\d{1,6})?)"


def seconds_in(text: str) -> float:
    """A length of time such as `30d`, `12h`, `2w` or `1y` in seconds.

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(rf"{_NUMBER}\s*([hdwy])", text.strip().lower(), re.ASCII)
    if found is None:
        raise ConfigError(
            f"{text!r} is no length of time", "a number and h, d, w or y: 12h, 30d, 2w, 1y"
        )
    return float(found[1]) * _SECONDS[found[2]]


def bytes_in(text: str) -> int:
    """A size such as `500MB`, `1.5G` or `2GiB` in bytes; units without `i` are of a thousand.

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(rf"{_NUMBER}\s*([kmgt]?)(i?)b?", text.strip().lower(), re.ASCII)
    if found is None or (found[3] and not found[2]):
        raise ConfigError(f"{text!r} is no size", "a number and a unit: 800kB, 500MB, 1.5GB, 2GiB")
    units = _BINARY_BYTES if found[3] else _BYTES
    return round(float(found[1]) * units[found[2]])
