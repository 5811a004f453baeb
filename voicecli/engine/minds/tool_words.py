"""Which function a sentence asks for, and with what arguments, without a model.

A function is asked for when its name is said ("roll dice"), or all words of it that tell it from
others ("the weather" for `get_weather`). Arguments are read by their names and types: numbers,
words of an enumeration, and names after the word that introduces them ("in Berlin").

Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from voicecli.engine.dialogue.messages import Offer, Tool
from voicecli.engine.dialogue.tool_schemas import (
    kind_of,
    needed,
    properties,
    schema_of,
    spoken_name,
)
from voicecli.engine.minds.arithmetic import read_number
from voicecli.protocol.objects import JsonDict

_GENERIC: Final = frozenset(
    (
        *("get", "set", "fetch", "find", "show", "tell", "give", "read", "look", "up"),
        *("lookup", "query", "run", "do", "make", "create", "check", "call", "current"),
        *("my", "me", "the", "a", "an", "of", "for", "to", "by", "with", "in", "at"),
        *("from", "info", "information", "data", "details"),
    )
)
"Words of a function's name that need not be said."
_ARTICLES: Final = frozenset(("the", "a", "an", "is", "some"))
_COURTESY: Final = frozenset(["please", "now", "thanks", "then", "right", "again"])
_DAYS: Final = frozenset(
    (
        *("today", "tomorrow", "tonight", "yesterday", "monday", "tuesday", "wednesday"),
        *("thursday", "friday", "saturday", "sunday"),
    )
)
_INTRODUCERS: Final[Mapping[str, Sequence[str]]] = {
    "in at for near to of": (
        *("city", "place", "location", "town", "country", "where", "address", "region", "area"),
        *("room", "zone", "timezone"),
    ),
    "from": ("origin", "from", "source", "departure"),
    "to": ("destination", "to", "target", "arrival", "recipient", "receiver"),
    "on for at": ("date", "day", "when", "time"),
    "called named titled": ("name", "title", "label"),
    "to with for of": ("person", "contact", "user", "who", "guest"),
    "saying that about for on of": (
        *("query", "topic", "subject", "question", "text", "message", "content", "note", "body"),
        *("term", "phrase", "word", "item", "song", "task", "reminder", "thing"),
    ),
}
"What introduces the value of a parameter, by words of the parameter's name."
_ANY_INTRODUCER: Final = "called named saying about for in on to with of from at"
_LONG: Final = frozenset(
    (
        *("query", "question", "text", "message", "content", "note", "body", "reminder"),
        *("task",),
    )
)
"Parameters whose value goes on to the end of the sentence."
_TRUE: Final = frozenset(["on", "yes", "true", "enable", "enabled"])
_FALSE: Final = frozenset(["off", "no", "false", "not", "disable", "disabled", "without"])


@dataclass(frozen=True)
class Wanted:
    """A function that was asked for."""

    tool: Tool
    arguments: JsonDict
    missing: tuple[str, ...] = ()
    "Parameters that are needed and were not said, in words."

    @property
    def json(self) -> str:
        return json.dumps(self.arguments, ensure_ascii=False)


def wanted(text: str, offer: Offer) -> Wanted | None:
    """The function that `text` asks for; with `required`, always one of them, and complete."""
    words = _Words(text)
    scored = [(_score(words, tool), tool) for tool in offer.tools]
    best, tool = max(scored, key=lambda one: one[0], default=(0, None))
    if tool is None or (best == 0 and offer.choice == "auto"):
        return None
    found = _arguments(words, tool)
    if offer.choice == "auto" or not found.missing:
        return found
    defaults = {name: _default(schema, text) for name, schema in needed(tool)}
    return Wanted(tool, {**defaults, **found.arguments})


def spoken_result(output: str) -> str:
    """What a function gave back, as a sentence: JSON without its marks, other text as it is."""
    try:
        value = json.loads(output)
        failed = isinstance(value, dict) and set(value) == {"error"}
        text = f"That did not work: {_in_words(value['error'])}" if failed else _in_words(value)
    except (ValueError, RecursionError):
        text = _in_words(output)
    if not text:
        return "Done."
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else f"{text}."


def _in_words(value: object) -> str:
    match value:
        case None:
            return "done"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{spoken_name(str(k))} {_in_words(v)}" for k, v in value.items())
        case list():
            return ", ".join(map(_in_words, value))
    return " ".join(str(value).split())


@dataclass
class _Words:
    """A sentence, word by word; each word may serve one argument only."""

    text: str
    spans: list[tuple[int, int]] = field(init=False)
    stems: list[str] = field(init=False)
    plain: list[str] = field(init=False)
    used: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        found = list(re.finditer(r"\w+(?:['’]\w+)?(?:\.\d+)?", self.text))
        self.spans = [one.span() for one in found]
        self.plain = [one.group().lower() for one in found]
        self.stems = [_stem(word) for word in self.plain]

    def place_of(self, names: Sequence[str]) -> list[int] | None:
        """Where these words stand one after the other, articles between them allowed."""
        for start in range(len(self.stems)):
            at = start
            places: list[int] = []
            for name in names:
                while places and at < len(self.stems) and self.stems[at] in _ARTICLES:
                    at += 1
                if at >= len(self.stems) or self.stems[at] != name:
                    break
                places.append(at)
                at += 1
            else:
                return places
        return None

    def is_sentence_end(self, at: int) -> bool:
        """Whether the sentence or clause ends before this word."""
        return bool(re.search(r"[.,;:!?\n]", self.text[self.spans[at - 1][1] : self.spans[at][0]]))

    def phrase(self, start: int, *, long: bool) -> str | None:
        """The words from `start` on that belong together, as they were written; marks them used."""
        while start < len(self.plain) and self.plain[start] in _ARTICLES:
            start += 1
        end = start
        while end < len(self.plain) and end not in self.used:
            if end > start and not long and self._ends_phrase(end):
                break
            end += 1
        while end > start and self.plain[end - 1] in _COURTESY:
            end -= 1
        if end <= start:
            return None
        self.used.update(range(start, end))
        return self.text[self.spans[start][0] : self.spans[end - 1][1]]

    def _ends_phrase(self, at: int) -> bool:
        introduces = self.plain[at] in {*_ANY_INTRODUCER.split(), "and", "that", "near"}
        return introduces or self.plain[at] in _COURTESY | _DAYS or self.is_sentence_end(at)


def _stem(word: str) -> str:
    word = re.sub(r"['’]s$", "", word.lower())
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _stems(name: str) -> list[str]:
    return [_stem(word) for word in spoken_name(name).split()]


def _score(words: _Words, tool: Tool) -> int:
    names = _stems(tool.name)
    if names and words.place_of(names) is not None:
        return 100 + len(names)
    telling = [name for name in names if name not in _GENERIC]
    return len(telling) if all(name in words.stems for name in telling) else 0


_ORDER: Final = ("enum", "boolean", "integer", "number", "string")


def _arguments(words: _Words, tool: Tool) -> Wanted:
    names = _stems(tool.name)
    telling = [name for name in names if name not in _GENERIC]
    places = words.place_of(names) or [words.stems.index(n) for n in telling if n in words.stems]
    words.used.update(places)
    must = {name for name, _ in needed(tool)}
    schemas = {name: schema_of(tool, schema) for name, schema in properties(tool).items()}
    found: JsonDict = {}
    # Those of few possible values first, so that the words left are those of free text; of numbers
    # those that are named ("five minutes").
    for named_only in (True, False):
        for name, schema in sorted(
            schemas.items(), key=lambda one: (*_ORDER, kind_of(one[1])).index(kind_of(one[1]))
        ):
            if name not in found:
                after = max(places, default=-1) + 1 if name in must else None
                value = _value(words, name, schema, named_only=named_only, rest_after=after)
                if value is not None:
                    found[name] = value
    ordered = {name: found[name] for name in schemas if name in found}
    missing = [spoken_name(name) for name in schemas if name in must and name not in found]
    return Wanted(tool, ordered, tuple(missing))


def _value(
    words: _Words, name: str, schema: JsonDict, *, named_only: bool, rest_after: int | None
) -> Any:
    match kind_of(schema):
        case "enum":
            return _one_of(words, schema["enum"])
        case "boolean":
            return None if named_only else _boolean(words, name)
        case "integer" | "number" as kind:
            return _number(words, name, named_only=named_only, whole=kind == "integer")
        case "string":
            return _string(words, name, named_only=named_only, rest_after=rest_after)
    return None


def _one_of(words: _Words, values: Collection[Any]) -> Any:
    for value in values:
        places = words.place_of(_stems(str(value))) if _stems(str(value)) else None
        if places is not None:
            words.used.update(places)
            return value
    return None


def _boolean(words: _Words, name: str) -> bool | None:
    if any(word in _FALSE for word in words.plain):
        return False
    said = any(word in _TRUE for word in words.plain)
    return True if said or words.place_of(_stems(name)) is not None else None


def _number(words: _Words, name: str, *, named_only: bool, whole: bool) -> int | float | None:
    names = set(_stems(name))
    for start, end, value in _numbers(words):
        around = {words.stems[at] for at in (start - 1, end) if 0 <= at < len(words.stems)}
        if (named_only and not names & around) or (whole and value.denominator != 1):
            continue
        words.used.update(range(start, end))
        return int(value) if value.denominator == 1 else float(value)
    return None


def _numbers(words: _Words) -> Iterator[tuple[int, int, Fraction]]:
    at = 0
    while at < len(words.plain):
        number = None if at in words.used else read_number(words.plain, at)
        if number is None:
            at += 1
            continue
        value, end = number
        yield at, end, value
        at = end


def _string(words: _Words, name: str, *, named_only: bool, rest_after: int | None) -> str | None:
    names = _stems(name)
    is_long = bool(set(names) & _LONG)
    if named_only:
        quoted = re.search(r"[\"“]([^\"“”]+)[\"”]", words.text)
        if quoted and is_long:
            return quoted[1]
        places = words.place_of(names)
        if places and not set(places) & words.used:
            return words.phrase(places[-1] + 1, long=is_long)
        return None
    if set(names) & {"date", "day", "when"}:
        day = next((at for at, word in enumerate(words.plain) if word in _DAYS), None)
        if day is not None:
            words.used.add(day)
            return words.plain[day]
    hints = [key for key, hinted in _INTRODUCERS.items() if set(names) & set(hinted)]
    for introducer in " ".join(hints or [_ANY_INTRODUCER]).split():
        for at, word in enumerate(words.plain):
            free = at not in words.used and at + 1 not in words.used
            if word == introducer and free:
                found = words.phrase(at + 1, long=is_long)
                if found is not None:
                    return found
    if rest_after is None:
        return None
    while rest_after < len(words.plain) and words.plain[rest_after] in _ANY_INTRODUCER.split():
        rest_after += 1
    return words.phrase(rest_after, long=is_long) if rest_after < len(words.plain) else None


def _default(schema: JsonDict, text: str) -> Any:
    """A value of the right type, for a call that has to be made."""
    match kind_of(schema):
        case "enum":
            return next(iter(schema["enum"]), None)
        case "boolean":
            return False
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "array":
            return []
        case "object":
            return {}
    return text
