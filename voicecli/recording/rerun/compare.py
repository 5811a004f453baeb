"""Two talks laid side by side, turn by turn.

Turns belong together when the user says much the same in them; what lies between such turns is
paired in order, and what is left over stands alone. Capitals and punctuation make no difference
between words: they are the transcriber's.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from voicecli.recording.export.talk import Said, Talk
from voicecli.recording.shelf.prices import Prices, cost_of

ALIKE: Final = 0.4
"Share of words that two turns have in common when they are the same turn."

MOST_COMPARED: Final = 4_000_000
"Pairs of words; texts with more count as different throughout when they are not equal."

_T = TypeVar("_T")


class Sides(msgspec.Struct, Generic[_T], frozen=True):
    """The same thing in both talks."""

    a: _T
    b: _T

    @property
    def differ(self) -> bool:
        return bool(self.a != self.b)


class Stretch(msgspec.Struct, frozen=True):
    """Words in a row: the same in both talks, or those that one has in place of the other's."""

    same: bool
    a: str
    "As A has them; empty: none."
    b: str


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """A text in both talks."""

    a: str
    b: str
    words: list[Stretch]
    "Both texts as one."
    changed: int
    "Words that were changed, added or left out."


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """An interruption of an answer."""

    heard_ms: int
    received_ms: int
    heard_text: str
    by: str


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A function call; how it came out is told, and is no difference between talks."""

    name: str
    arguments: str
    output: str | None
    failed: bool


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn of the user's and what followed; `number` is None where a talk has no such turn."""

    number: Sides[int | None]
    user: Wording
    answer: Wording
    "The whole text, heard or not."
    latency_ms: Sides[int | None]
    "From the end of the user's speech to the first sound."
    cut: Sides[Cut | None]
    calls: Sides[list[Call]]
    calls_differ: bool
    "In number, names or arguments."

    @property
    def is_in_both(self) -> bool:
        return self.number.a is not None and self.number.b is not None

    @property
    def differs(self) -> bool:
        """Whether something else was said, called or cut off; time does not count."""
        words = self.user.changed + self.answer.changed
        cuts = (self.cut.a is None) != (self.cut.b is None)
        return not self.is_in_both or words > 0 or cuts or self.calls_differ


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """Of all answers of one talk."""

    median_ms: int | None
    p95_ms: int | None
    "The smallest that 95 % are not above."
    answers: int


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What one talk took."""

    input: int
    output: int
    cached: int
    "A part of `input`."


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that is not the same; nested ones with dots."""

    key: str
    a: Any
    b: Any


class About(msgspec.Struct, frozen=True, kw_only=True):
    """One of the talks."""

    name: str
    created: str
    server: str
    model: str
    voice: str
    seconds: float
    reason: str
    turns: int
    interruptions: int
    errors: list[str]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    talks: Sides[About]
    latencies: Sides[Latencies]
    tokens: Sides[Tokens]
    cost_usd: Sides[float | None]
    "None without prices for the model, or where its tokens are not told apart."
    settings: list[Change]
    turns: list[Turn]

    @property
    def differs(self) -> bool:
        """Whether any turn differs."""
        return any(turn.differs for turn in self.turns)

    @property
    def slower_percent(self) -> float | None:
        """How much longer B's median latency is; None where one of them has none."""
        a, b = self.latencies.a.median_ms, self.latencies.b.median_ms
        return None if not a or b is None else (b - a) * 100 / a


def compare(a: Talk, b: Talk, prices: Mapping[str, Prices] | None = None) -> Comparison:
    """Lay two talks side by side.

    Args:
        a: what was before.
        b: what is to be seen against it.
        prices: by model.
    """
    known = prices or {}
    return Comparison(
        talks=Sides(_about(a), _about(b)),
        latencies=Sides(_latencies(a), _latencies(b)),
        tokens=Sides(_tokens(a), _tokens(b)),
        cost_usd=Sides(*(cost_of(talk.usage, known.get(talk.facts.model)) for talk in (a, b))),
        settings=list(_changes(a.facts.settings, b.facts.settings)),
        turns=[_turn(*pair) for pair in aligned(_exchanges(a), _exchanges(b))],
    )


def plain(comparison: Comparison) -> dict[str, Any]:
    """All of it as plain values, with what follows from them: `differs`, also of each turn."""
    values: dict[str, Any] = msgspec.to_builtins(comparison)
    values["differs"] = comparison.differs
    for turn, fields in zip(comparison.turns, values["turns"], strict=True):
        fields["differs"] = turn.differs
    return values


def _about(talk: Talk) -> About:
    facts, summary = talk.facts, talk.summary
    return About(
        name=facts.name,
        created=facts.created,
        server=facts.server,
        model=facts.model,
        voice=facts.voice,
        seconds=round(facts.seconds, 3),
        reason=summary.reason,
        turns=summary.turns,
        interruptions=summary.interruptions,
        errors=[notice.message for notice in talk.notices if notice.kind == "error"],
    )


def _latencies(talk: Talk) -> Latencies:
    times = sorted(
        row.latency.first_sound_ms
        for row in talk.rows
        if row.latency is not None and row.latency.first_sound_ms is not None
    )
    if not times:
        return Latencies(median_ms=None, p95_ms=None, answers=0)
    middle = len(times) // 2
    return Latencies(
        median_ms=round((times[middle] + times[~middle]) / 2),
        p95_ms=times[math.ceil(len(times) * 0.95) - 1],
        answers=len(times),
    )


def _tokens(talk: Talk) -> Tokens:
    usage = talk.usage
    return Tokens(input=usage.input_tokens, output=usage.output_tokens, cached=usage.cached_tokens)


# ----------------------------------------------------------------------------------- the settings


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Change]:
    flat_a, flat_b = dict(_flat(a)), dict(_flat(b))
    for key in dict.fromkeys([*flat_a, *flat_b]):
        was, now = flat_a.get(key), flat_b.get(key)
        if was != now:
            yield Change(key=key, a=was, b=now)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


# -------------------------------------------------------------------------------------- the turns


class Exchange(msgspec.Struct, frozen=True):
    """A turn of one talk: its number, and its rows."""

    number: int
    rows: list[Said]

    @property
    def user_text(self) -> str:
        return self._text("user")

    @property
    def answer_text(self) -> str:
        return self._text("assistant")

    def _text(self, speaker: str) -> str:
        said = (row.text.strip() for row in self.rows if row.speaker == speaker)
        return " ".join(text for text in said if text)

    @property
    def latency_ms(self) -> int | None:
        times = [row.latency.first_sound_ms for row in self.rows if row.latency is not None]
        return times[0] if times else None

    @property
    def cut(self) -> Cut | None:
        for row in self.rows:
            if row.interrupted:
                return Cut(
                    heard_ms=row.heard_ms,
                    received_ms=row.received_ms,
                    heard_text=row.heard_text,
                    by=row.interrupted_by,
                )
        return None

    @property
    def calls(self) -> list[Call]:
        return [
            Call(
                name=row.call.name,
                arguments=row.call.arguments,
                output=row.call.output,
                failed=row.call.failed,
            )
            for row in self.rows
            if row.call is not None
        ]


_Pair: TypeAlias = tuple[Exchange | None, Exchange | None]


def _exchanges(talk: Talk) -> list[Exchange]:
    return [Exchange(rows[0].turn, rows) for rows in talk.turns]


def aligned(a: Sequence[Exchange], b: Sequence[Exchange]) -> list[_Pair]:
    """Turns that belong together, in order; None where there is no counterpart."""
    pairs: list[_Pair] = []
    at_a = at_b = 0
    for next_a, next_b in [*_anchors(a, b), (len(a), len(b))]:
        pairs += _in_order(a[at_a:next_a], b[at_b:next_b])
        if next_a < len(a):
            pairs.append((a[next_a], b[next_b]))
        at_a, at_b = next_a + 1, next_b + 1
    return pairs


def _in_order(a: Sequence[Exchange], b: Sequence[Exchange]) -> Iterator[_Pair]:
    # What comes before anybody has spoken goes with the like of it only.
    first_a, first_b = (1 if one and one[0].number == 0 else 0 for one in (a, b))
    if first_a != first_b:
        yield (a[0], None) if first_a else (None, b[0])
        a, b = a[first_a:], b[first_b:]
    for position in range(max(len(a), len(b))):
        yield (
            a[position] if position < len(a) else None,
            b[position] if position < len(b) else None,
        )


def _anchors(a: Sequence[Exchange], b: Sequence[Exchange]) -> list[tuple[int, int]]:
    """Positions of turns that are alike, ascending: those with the most likeness in all."""
    words_a, words_b = ([frozenset(_words(one.user_text)) for one in side] for side in (a, b))
    best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        row, below = best[i], best[i + 1]
        for j in range(len(b) - 1, -1, -1):
            likeness = _likeness(words_a[i], words_b[j])
            row[j] = max(below[j], row[j + 1], below[j + 1] + likeness if likeness else 0.0)
    found = []
    i = j = 0
    while i < len(a) and j < len(b):
        likeness = _likeness(words_a[i], words_b[j])
        if likeness and best[i][j] == best[i + 1][j + 1] + likeness:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _likeness(a: frozenset[str], b: frozenset[str]) -> float:
    """Share of words in common; 0 where they are too few."""
    if not a or not b:
        return 0.0
    share = 2 * len(a & b) / (len(a) + len(b))
    return share if share >= ALIKE else 0.0


def _turn(a: Exchange | None, b: Exchange | None) -> Turn:
    calls = Sides(a.calls if a else [], b.calls if b else [])
    return Turn(
        number=Sides(a.number if a else None, b.number if b else None),
        user=wording(a.user_text if a else "", b.user_text if b else ""),
        answer=wording(a.answer_text if a else "", b.answer_text if b else ""),
        latency_ms=Sides(a.latency_ms if a else None, b.latency_ms if b else None),
        cut=Sides(a.cut if a else None, b.cut if b else None),
        calls=calls,
        calls_differ=_essence(calls.a) != _essence(calls.b),
    )


def _essence(calls: Sequence[Call]) -> list[tuple[str, Any]]:
    return [(call.name, _plain(call.arguments)) for call in calls]


def _plain(text: str) -> Any:
    """What JSON text says; the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# -------------------------------------------------------------------------------------- the words


def wording(a: str, b: str) -> Wording:
    """Two texts as one, word by word."""
    stretches: list[Stretch] = []
    changed = 0
    was, now = a.split(), b.split()
    for tag, from_a, to_a, from_b, to_b in _operations(was, now):
        same = tag == "equal"
        changed += 0 if same else max(to_a - from_a, to_b - from_b)
        stretches.append(Stretch(same, " ".join(was[from_a:to_a]), " ".join(now[from_b:to_b])))
    return Wording(a=a, b=b, words=stretches, changed=changed)


def _operations(was: list[str], now: list[str]) -> list[tuple[str, int, int, int, int]]:
    bare_was, bare_now = [_bare(word) for word in was], [_bare(word) for word in now]
    if bare_was != bare_now and len(was) * len(now) > MOST_COMPARED:
        return [("replace", 0, len(was), 0, len(now))]
    matcher = SequenceMatcher(None, bare_was, bare_now, autojunk=False)
    return [tuple(one) for one in matcher.get_opcodes()]  # type: ignore[misc]


_PUNCTUATION: Final = re.compile(r"^\W+|\W+$")


def _bare(word: str) -> str:
    """A word without capitals and what stands around it; a lone sign stays what it is."""
    return _PUNCTUATION.sub("", word).casefold() or word


def _words(text: str) -> list[str]:
    return [_bare(word) for word in text.split()]
