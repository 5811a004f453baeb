"""In which line of a TOML file each key stands: for messages, since the parser does not tell.

A scanner over text that is valid TOML, or is up to the place that the parser complains of. Values
are passed over, not read.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Final, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"Keys, and in arrays the index from 0."

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    # Up to two quotes may stand before the three that end it.
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_VALUE: Final = re.compile(r"[^,\]}\n#]+")


class Positions:
    """Where everything stands in a text.

    Args:
        text: TOML; the reading ends where it is none.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        self._given: set[KeyPath] = set()
        self.twice: list[tuple[KeyPath, int, int]] = []
        "What is given a second time: its line, and that of the first time."
        try:
            _Scanner(text, self).scan()
        except (_NoToml, RecursionError):
            return

    @property
    def last_line(self) -> int:
        """The last line in which something is known to stand; from 1."""
        return max(self._lines.values(), default=1)

    def line(self, path: KeyPath) -> int:
        """The line of what is at a path, or else of what is around it; from 1."""
        for length in range(len(path), 0, -1):
            found = self._lines.get(path[:length])
            if found is not None:
                return found
        return 1

    def stands(self, path: KeyPath, line: int) -> None:
        """Something at or inside of `path` stands in this line."""
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)

    def given(self, path: KeyPath, line: int) -> None:
        """What may be given once, a value or the head of a table, stands in this line."""
        if path in self._given:
            self.twice.append((path, line, self._lines[path]))
        self._given.add(path)
        self.stands(path, line)


class _NoToml(Exception):
    """The scanner has lost its way."""


class _Scanner:
    """Goes through a text once."""

    def __init__(self, text: str, found: Positions) -> None:
        self._text = text
        self._found = found
        self._at = 0
        self._ends = [place for place, sign in enumerate(text) if sign == "\n"]
        self._lengths: dict[KeyPath, int] = {}
        "Of arrays of tables."

    def scan(self) -> None:
        table: KeyPath = ()
        self._pass(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._pass(_BLANK)

    def _header(self) -> KeyPath:
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        keys = self._keys()
        self._expect("]]" if is_array else "]")
        path = (*self._resolved(keys[:-1]), keys[-1])
        if is_array:
            index = self._lengths[path] = self._lengths.get(path, -1) + 1
            path = (*path, index)
        elif path in self._lengths:
            path = (*path, self._lengths[path])
        self._found.given(path, line)
        return path

    def _resolved(self, keys: list[str]) -> KeyPath:
        """A path through the last element of each array of tables."""
        path: KeyPath = ()
        for key in keys:
            path = (*path, key)
            if path in self._lengths:
                path = (*path, self._lengths[path])
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = (*table, *self._keys())
        self._expect("=")
        self._found.given(path, line)
        self._value(path)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._pass(_SPACE)
            keys.append(self._key())
            self._pass(_SPACE)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _key(self) -> str:
        quoted = _STRING.match(self._text, self._at)
        if quoted is not None:
            self._at = quoted.end()
            try:
                return str(tomllib.loads(f"key = {quoted[0]}")["key"])
            except tomllib.TOMLDecodeError as exc:
                raise _NoToml from exc
        return self._pass(_BARE_KEY)

    def _value(self, path: KeyPath) -> None:
        self._pass(_SPACE)
        opening = self._text[self._at : self._at + 1]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        elif opening in ("'", '"'):
            self._pass(_STRING)
        else:
            self._pass(_BARE_VALUE)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        self._pass(_BLANK)
        while not self._text.startswith("]", self._at):
            self._found.stands((*path, index), self._line())
            self._value((*path, index))
            index += 1
            self._between("]")
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        self._pass(_BLANK)
        while not self._text.startswith("}", self._at):
            self._pair(path)
            self._between("}")
        self._at += 1

    def _between(self, closing: str) -> None:
        self._pass(_BLANK)
        if not self._text.startswith(closing, self._at):
            self._expect(",")
            self._pass(_BLANK)

    def _pass(self, what: re.Pattern[str]) -> str:
        found = what.match(self._text, self._at)
        if found is None:
            raise _NoToml
        self._at = found.end()
        return found[0]

    def _expect(self, sign: str) -> None:
        if not self._text.startswith(sign, self._at):
            raise _NoToml
        self._at += len(sign)

    def _line(self) -> int:
        return bisect_right(self._ends, self._at - 1) + 1
