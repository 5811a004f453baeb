"""How long a silence ends a turn when a model judges whether the speaker is through.

Theory. In a silence the judge is asked how likely the turn is over, first after `least_ms`, and
again each time the silence has doubled, because a silence is itself a hint. Sure enough, and the
turn ends at once; else it ends when the silence has lasted as long as the doubt is worth: the time
limit, shortened in proportion to the probability. Speech forgets it all. Without a judge the turn
ends after a fixed silence.

The limits (2, 4 and 8 s) are those that the API documents for `eagerness`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Patience:
    """What one `eagerness` means."""

    least_ms: int
    "No shorter silence ends a turn."
    sure: float
    "The probability from which a turn ends without waiting any longer."
    limit_ms: int
    "A silence of this length ends the turn, whatever the judge says."
    unjudged_ms: int
    "The silence that ends a turn when there is no judge."

    def wait_ms(self, probability: float | None) -> int:
        """The silence that ends a turn which is over with this probability; None: not known."""
        if probability is None:
            return self.unjudged_ms
        if probability >= self.sure:
            return self.least_ms
        return max(self.least_ms, int(self.limit_ms * (1.0 - probability)))


_MEDIUM: Final = Patience(least_ms=300, sure=0.6, limit_ms=4000, unjudged_ms=600)

PATIENCE: Final[Mapping[str, Patience]] = MappingProxyType(
    {
        "low": Patience(least_ms=600, sure=0.9, limit_ms=8000, unjudged_ms=1200),
        "medium": _MEDIUM,
        "auto": _MEDIUM,
        "high": Patience(least_ms=200, sure=0.5, limit_ms=2000, unjudged_ms=300),
    }
)
"By `eagerness`."


class Step(enum.Enum):
    """What a silence that has grown asks for."""

    WAIT = "wait"
    ASK = "ask the judge, and wait for what it says before any more audio is looked at"
    END = "the turn is over"


class Silence:
    """One silence in a turn, from its first moment to the end of the turn or the next word."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._wait_ms = patience.limit_ms
        self._ask_at_ms: int | None = patience.least_ms

    def grown(self, to_ms: int) -> Step:
        """Take the length of the silence so far; after `ASK` comes `judged`."""
        if self._ask_at_ms is not None and to_ms >= self._ask_at_ms:
            self._ask_at_ms *= 2
            return Step.ASK
        return Step.END if to_ms >= self._wait_ms else Step.WAIT

    def judged(self, probability: float | None) -> None:
        """Take the verdict; None when there is none, and then the judge is not asked again."""
        self._wait_ms = self._patience.wait_ms(probability)
        if probability is None:
            self._ask_at_ms = None
