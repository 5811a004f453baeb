"""When a moment of a recording is played: speed, idle stretches that are cut short, turns to go to.

Theory. Three time lines. *Recorded* time is the session's own. *Kept* time is what is left of it:
recorded time without the cuts, from where playing began. *Played* time is the listener's, kept time
divided by the speed. `Timeline` leads from played to recorded time; `Idle` decides on the cuts.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from voicecli.errors import ConfigError

SLOWEST: Final = 0.5
FASTEST: Final = 8.0
SPEEDS: Final = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)

LEAD_S: Final = 0.3
"Going to a turn begins so long before the user speaks."

MARKER_LEAD_S: Final = 2.0
"Going to a marker begins so long before it: a key comes after what it is pressed for."

AGAIN_S: Final = 1.0
"Going to the turn before goes to this one's beginning, when that is longer ago."


def seconds_of(text: str, option: str) -> float:
    """A time as it is typed: `90`, `1:30`, `1:02:03.5`.

    Raises:
        ConfigError: it is no time; `option` is named.
    """
    if not re.fullmatch(r"(?:(?:\d+:)?\d{1,2}:\d{1,2}|\d+)(?:\.\d*)?", text.strip()):
        raise ConfigError(
            f"{option} {text!r} is no time", "write seconds, m:ss or h:mm:ss, as in 90 or 1:30"
        )
    seconds = 0.0
    for part in text.strip().split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def clock_text(seconds: float) -> str:
    """A time as a person reads it: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def faster(speed: float) -> float:
    """The next speed up."""
    return next((one for one in SPEEDS if one > speed + 1e-9), FASTEST)


def slower(speed: float) -> float:
    """The next speed down."""
    return next((one for one in reversed(SPEEDS) if one < speed - 1e-9), SLOWEST)


class Timeline:
    """Which recorded moment is heard when, as it is laid out while it plays.

    Args:
        recorded_s: where playing begins.
        speed: how much faster than it was.
    """

    def __init__(self, recorded_s: float, speed: float = 1.0) -> None:
        self.speed = speed
        self._breaks: deque[tuple[float, float]] = deque([(0.0, recorded_s)])
        self.kept_s = 0.0
        "How much has been laid out, in kept time."

    @property
    def laid_s(self) -> float:
        """The recorded time up to which it has been laid out."""
        return self._recorded(self.kept_s)

    def lay(self, seconds: float) -> None:
        """Recorded time goes on for so long."""
        self.kept_s += seconds

    def cut_to(self, recorded_s: float) -> None:
        """What comes next is of another recorded time."""
        self._breaks.append((self.kept_s, recorded_s))

    def recorded(self, played_s: float) -> float:
        """The recorded time that is heard at a played time; later questions are not for earlier."""
        kept_s = min(played_s * self.speed, self.kept_s)
        while len(self._breaks) > 1 and self._breaks[1][0] <= kept_s:
            self._breaks.popleft()
        return self._recorded(kept_s)

    def _recorded(self, kept_s: float) -> float:
        for kept, recorded in reversed(self._breaks):
            if kept <= kept_s:
                return recorded + kept_s - kept
        return self._breaks[0][1]


@dataclass
class Idle:
    """Where nobody speaks and nothing is heard, and what is left of that.

    Args:
        limit_s: an idle stretch is played for so long; None: all of it.
    """

    limit_s: float | None = None
    _begins: list[float] = field(default_factory=list)
    _ends: list[float] = field(default_factory=list)

    def active(self, begins_s: float, ends_s: float) -> None:
        """Something is heard from here to there; in any order."""
        if self.limit_s is None:
            return
        first = bisect_left(self._ends, begins_s)
        last = bisect_right(self._begins, ends_s)
        if first < last:
            begins_s = min(begins_s, self._begins[first])
            ends_s = max(ends_s, self._ends[last - 1])
        self._begins[first:last] = [begins_s]
        self._ends[first:last] = [ends_s]

    def forget(self, before_s: float) -> None:
        """Keep only what may still be asked about."""
        gone = bisect_left(self._ends, before_s) - 1
        if gone > 0:
            del self._begins[:gone], self._ends[:gone]

    def next_kept(self, at_s: float, began_s: float, known_s: float) -> float:
        """Where to go on: `at_s` itself, or a later time if this is beyond the limit.

        Args:
            at_s: what would come next.
            began_s: where playing began; from there the first idle stretch counts.
            known_s: up to here all that is heard is known.
        """
        if self.limit_s is None:
            return at_s
        following = bisect_right(self._begins, at_s)
        quiet_since = began_s if following == 0 else max(began_s, self._ends[following - 1])
        if at_s < quiet_since + self.limit_s:
            return at_s
        following_s = self._begins[following] if following < len(self._begins) else math.inf
        return max(at_s, min(following_s, known_s))


@dataclass(frozen=True)
class Route:
    """The turns and the markers of a recording, to go along."""

    turns: tuple[float, ...] = ()
    "When the user began each of them."
    interruptions: tuple[float, ...] = ()
    markers: tuple[float, ...] = ()
    "When the user set each of them."

    @classmethod
    def of(
        cls,
        turns: Iterable[float],
        interruptions: Iterable[float],
        markers: Iterable[float] = (),
    ) -> Route:
        """From times in any order."""
        return cls(tuple(sorted(turns)), tuple(sorted(interruptions)), tuple(sorted(markers)))

    @property
    def stops(self) -> list[float]:
        """Where going to a turn ends: a little before it."""
        return [max(0.0, turn - LEAD_S) for turn in self.turns]

    def turn(self, number: int) -> float:
        """Where turn `number` begins, from 1.

        Raises:
            ConfigError: there is no such turn.
        """
        if 1 <= number <= len(self.turns):
            return self.stops[number - 1]
        count = len(self.turns)
        there = "has no turns" if count == 0 else f"has {count} turn{'s' if count > 1 else ''}"
        raise ConfigError(f"there is no turn {number}", f"the recording {there}")

    def following(self, at_s: float) -> float | None:
        """The next turn's beginning; None after the last."""
        return next((stop for stop in self.stops if stop > at_s + 0.05), None)

    def before(self, at_s: float) -> float:
        """This turn's beginning, or the one's before if it has only just begun."""
        return next((stop for stop in reversed(self.stops) if stop < at_s - AGAIN_S), 0.0)

    def following_marker(self, at_s: float) -> float | None:
        """A little before the next marker; None after the last."""
        return next((stop for stop in self._marker_stops if stop > at_s + 0.05), None)

    def marker_before(self, at_s: float) -> float | None:
        """A little before the last marker, or the one before it if there one has only just begun.

        None before the first.
        """
        return next((stop for stop in reversed(self._marker_stops) if stop < at_s - AGAIN_S), None)

    @property
    def _marker_stops(self) -> list[float]:
        return [max(0.0, marker - MARKER_LEAD_S) for marker in self.markers]

    def number_at(self, at_s: float) -> int:
        """How many turns have begun."""
        return bisect_right(self.stops, at_s)
