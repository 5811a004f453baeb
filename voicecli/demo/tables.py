"""Values of a script, taken out of their tables and checked: each wrong one names its place."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from voicecli.demo.positions import KeyPath, Positions
from voicecli.demo.steps import Place
from voicecli.errors import ConfigError

DOCUMENTED: Final = "docs/demos.md describes the format"
_LONGEST_SHOWN: Final = 60
_AT_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")
_LONG_NUMBER: Final = re.compile(r"[\d_]{4000}", re.ASCII)
_AT_END: Final = re.compile(r" \(at end of document\)$")


@dataclass(frozen=True)
class File:
    """A script's file."""

    source: str
    "As it is shown, and as the place that relative names start from."
    positions: Positions
    root: dict[str, Any]

    def place(self, path: KeyPath) -> Place:
        """Where what is at a path stands."""
        return Place(self.source, self.positions.line(path))


def parsed(text: str, source: str) -> File:
    """The tables of a file.

    Raises:
        ConfigError: it is no TOML; names the line, and the key that is given twice.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    positions = Positions(text)
    try:
        return File(source, positions, tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        for path, line, first in positions.twice:
            shown = shown_path(path) or "the table"
            raise ConfigError(
                f"{source}:{line}: {shown} is given twice",
                f"it is in line {first} already; a list of tables has two brackets: [[step]]",
            ) from exc
        raise ConfigError(_no_toml(str(exc), text, source), DOCUMENTED) from exc
    except (RecursionError, ValueError) as exc:
        # What TOML allows, and the parser has no room for.
        if isinstance(exc, RecursionError):
            what, line = "it is nested too deeply", positions.last_line
        else:
            long = _LONG_NUMBER.search(text)
            what = "a number is too long"
            line = 1 + (text.count("\n", 0, long.start()) if long else 0)
        raise ConfigError(f"{source}:{line}: {what}", DOCUMENTED) from exc


def _no_toml(message: str, text: str, source: str) -> str:
    lines = text.splitlines()
    at = _AT_LINE.search(message)
    number = int(at[1]) if at else max(1, len(lines))
    what = _AT_END.sub(", at the end of the file", _AT_LINE.sub("", message))
    shown = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    quoted = f", in {shortened(shown)}" if shown else ""
    return f"{source}:{number}: not TOML: {what[:1].lower()}{what[1:]}{quoted}"


def shown_path(path: KeyPath) -> str:
    """A path for people: `step 3: wait.timeout_s`."""
    parts = list(path)
    head = ""
    if len(parts) > 1 and parts[0] == "step" and isinstance(parts[1], int):
        head = f"step {parts[1] + 1}"
        parts = parts[2:]
    shown = ""
    for part in parts:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += f".{part}" if shown else str(part)
    return ": ".join(one for one in (head, shown) if one)


def shown_value(value: object) -> str:
    """A value as it is written in TOML, more or less."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return shortened(value) if isinstance(value, str) else str(value)


def shortened(text: str) -> str:
    """A text in quotes, on one line, and not too long."""
    flat = " ".join(text.split())
    cut = flat if len(flat) <= _LONGEST_SHOWN else f"{flat[: _LONGEST_SHOWN - 1]}…"
    return repr(cut)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one, as a question; empty if there is none."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def listed(words: Sequence[str], last: str = "or") -> str:
    """Words as one would say them: `a, b or c`."""
    *rest, final = words
    return f"{', '.join(rest)} {last} {final}" if rest else final


@dataclass(frozen=True)
class Node:
    """A value and where it stands."""

    value: Any
    path: KeyPath
    file: File

    @property
    def name(self) -> str:
        return str(self.path[-1]) if self.path else ""

    @property
    def place(self) -> Place:
        return self.file.place(self.path)

    def wrong(self, message: str, hint: str = DOCUMENTED) -> ConfigError:
        """The error to raise about this value."""
        shown = shown_path(self.path)
        return ConfigError(f"{self.place}: {shown}: {message}".replace(": :", ":"), hint)

    # -------------------------------------------------------------------------------- as a table

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def __iter__(self) -> Iterator[Node]:
        """What is in a table or in a list."""
        keys = self.value if isinstance(self.value, dict) else range(len(self.value))
        return (self[key] for key in keys)

    def __getitem__(self, key: str | int) -> Node:
        return Node(self.value[key], (*self.path, key), self.file)

    @property
    def is_table(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def table(self, *allowed: str) -> Node:
        """This, which must be a table that has none but these keys."""
        if not self.is_table:
            keys = f" with {listed(allowed)}" if allowed else ""
            raise self.wrong(f"{shown_value(self.value)} is no table", f"it is a table{keys}")
        if allowed:
            for one in self:
                if one.name not in allowed:
                    message = " ".join(("unknown;", nearest(one.name, allowed))).rstrip("; ")
                    raise one.wrong(message, f"allowed are {listed(allowed, 'and')}")
        return self

    def one_of(self, keys: Sequence[str], lacking: str) -> Node:
        """The value of the one key of these that a table has.

        Args:
            keys: of which there must be one.
            lacking: what is said if there is none: `says nothing`.
        """
        given = [key for key in keys if key in self]
        if len(given) == 1:
            return self[given[0]]
        message = f"has {listed(given, 'and')} at the same time" if given else lacking
        raise self.wrong(message, f"it has one of {listed(keys)}")

    # -------------------------------------------------------------------------------- as a value

    def text(self) -> str:
        """A text that is not empty."""
        if not isinstance(self.value, str):
            raise self.wrong(f"{shown_value(self.value)} is no text", 'a text is in quotes: "…"')
        if not self.value.strip():
            raise self.wrong("there is nothing in the text")
        return self.value

    def texts(self) -> list[Node]:
        """A text, or some in a list: a node for each."""
        ones = list(self) if self.is_list else [self]
        if not ones:
            raise self.wrong("the list is empty", 'it is a text, or a list of texts: ["…", "…"]')
        for one in ones:
            one.text()
        return ones

    def word(self, allowed: Sequence[str]) -> str:
        """One of these words."""
        if self.value in allowed:
            return str(self.value)
        near = nearest(str(self.value), allowed)
        message = f"{shown_value(self.value)} is not known"
        raise self.wrong(f"{message}; {near}" if near else message, f"it is {listed(allowed)}")

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.wrong(f"{shown_value(self.value)} is neither true nor false")
        return self.value

    def true(self) -> None:
        """True: the key says it all."""
        if self.value is not True:
            raise self.wrong(f"{shown_value(self.value)} is not true", "leave it out instead")

    def number(self, low: float, high: float, unit: str = "") -> float:
        """A number in a range, both ends included.

        Args:
            low: the least.
            high: the most.
            unit: for messages: `seconds`.
        """
        of_what = f" {unit}" if unit else ""
        allowed = f"it is a number from {low:g} to {high:g}{of_what}"
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong(f"{shown_value(self.value)} is no number", allowed)
        if not low <= self.value <= high:
            raise self.wrong(f"{self.value} is out of range", allowed)
        return float(self.value)

    def whole(self, low: int, high: int) -> int:
        """A whole number in a range, both ends included."""
        allowed = f"it is a whole number from {low} to {high}"
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.wrong(f"{shown_value(self.value)} is no whole number", allowed)
        if not low <= self.value <= high:
            raise self.wrong(f"{self.value} is out of range", allowed)
        return self.value

    def regex(self) -> str:
        """A text that is a regular expression."""
        text = self.text()
        try:
            re.compile(text, re.IGNORECASE)
        except re.error as exc:
            raise self.wrong(
                f"{shortened(text)} is no regular expression: {exc}",
                "in single quotes nothing has to be escaped for TOML: '\\d+'",
            ) from exc
        return text
