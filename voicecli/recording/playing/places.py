"""Where in a recording one can begin, and what had happened before."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from voicecli.protocol.events import ResponseDone
from voicecli.protocol.objects import Usage
from voicecli.recording.fold import Fold, Source
from voicecli.recording.format import Entry, event_of
from voicecli.recording.playing.pace import Route


class Marked(Protocol):
    """A mark, as a recording gives it."""

    @property
    def at(self) -> float: ...
    @property
    def kind(self) -> str: ...
    @property
    def values(self) -> dict[str, object]: ...
    @property
    def position(self) -> int: ...


class Searchable(Source, Protocol):
    """A recording in which things are found without reading all of it."""

    @property
    def marks(self) -> Sequence[Marked]: ...

    def entries_with(self, text: bytes) -> Iterator[tuple[int, Entry]]: ...


@dataclass(frozen=True)
class Place:
    """Where a fold can begin; the beginning of the recording by default."""

    at: float = 0.0
    position: int | None = None
    session_lines: tuple[int, ...] = ()
    turns: int = 0
    interruptions: int = 0
    markers: int = 0
    usage: Usage = field(default_factory=Usage)
    latencies_ms: tuple[int, ...] = ()

    def fold(self, source: Source) -> Fold:
        """A conversation that stands as it stood here, apart from the rows of the transcript."""
        fold = Fold(source)
        if self.position is not None:
            fold.start_at_rest(self.position, self.session_lines, self.turns)
            counts = fold.conversation.counts
            counts.interruptions, counts.usage = self.interruptions, self.usage
            counts.markers = self.markers
            fold.conversation.timing.first_sounds_ms = list(self.latencies_ms)
        return fold


BEGINNING = Place()


class Places:
    """The places of one recording."""

    def __init__(self, recording: Searchable) -> None:
        self._recording = recording

    @cached_property
    def route(self) -> Route:
        """Its turns, interruptions and markers."""
        turns, interruptions, markers = [], [], []
        for mark in self._recording.marks:
            if mark.kind == "turn":
                turns.append(_number(mark.values.get("began_at"), mark.at))
            elif mark.kind == "barge_in":
                interruptions.append(mark.at)
            elif mark.kind == "marker":
                markers.append(mark.at)
        return Route.of(turns, interruptions, markers)

    def before(self, at: float) -> Place:
        """The last one at or before a time."""
        rests = [one for one in self._recording.marks if one.kind == "rest"]
        number = bisect_right([one.at for one in rests], at)
        # The first rest is the session's own beginning: nothing is gained by it.
        if number <= 1:
            return BEGINNING
        rest = rests[number - 1]
        lines = rest.values.get("session")
        usage = Usage()
        for position, used in self._usages:
            if position <= rest.position:
                usage += used
        return Place(
            at=rest.at,
            position=rest.position,
            session_lines=tuple(lines) if isinstance(lines, list) else (),
            turns=int(_number(rest.values.get("turns"), 0)),
            interruptions=sum(at < rest.at for at in self.route.interruptions),
            markers=sum(
                one.kind == "marker" and one.position <= rest.position
                for one in self._recording.marks
            ),
            usage=usage,
            latencies_ms=tuple(ms for position, ms in self._latencies if position <= rest.position),
        )

    @cached_property
    def _usages(self) -> list[tuple[int, Usage]]:
        found = []
        for position, entry in self._recording.entries_with(b'"response.done"'):
            event = event_of(entry).event if entry.code == "recv" else None
            if isinstance(event, ResponseDone):
                found.append((position, event.response.usage))
        return found

    @cached_property
    def _latencies(self) -> list[tuple[int, int]]:
        found = []
        for position, entry in self._recording.entries_with(b',"tell",{"type":"turn"'):
            told = entry.value(0)
            ms = told.get("first_sound_ms") if isinstance(told, dict) else None
            if isinstance(ms, int):
                found.append((position, ms))
        return found


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
