"""Variables of a script: `{name}` in its texts, and where their values come from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from voicecli.demo.tables import Node, nearest, shortened, shown_value
from voicecli.errors import ConfigError

Value: TypeAlias = str | int | float | bool

_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
USE: Final = re.compile(r"\{(?:\{(?P<plain>[A-Za-z_][\w.]*)\}|(?P<name>[A-Za-z_][\w.]*))\}")
_ENV: Final = "env."
_SECRET: Final = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)


@dataclass
class Variables:
    """The values that are known, and which names were used.

    Args:
        sets: from the command line.
        environ: the environment.
    """

    sets: Mapping[str, str]
    environ: Mapping[str, str]
    _declared: dict[str, Node] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    @property
    def names(self) -> frozenset[str]:
        """All that are declared or used, those of the environment left out."""
        return frozenset({*self._declared, *self._used})

    def declare(self, table: Node) -> None:
        """Take a `[variables]`; what is declared already goes before it."""
        for one in table.table():
            if not _NAME.fullmatch(one.name):
                raise one.wrong(
                    f"{one.name!r} cannot be the name of a variable",
                    "a name has letters, digits and _, and begins with no digit",
                )
            if not isinstance(one.value, str | int | float):
                raise one.wrong(
                    f"{shown_value(one.value)} cannot be a variable",
                    "it is a text, a number, true or false",
                )
            self._declared.setdefault(one.name, one)

    def filled(self, node: Node) -> Node:
        """The same with the values of variables in all of its texts.

        A text that is a variable and nothing else becomes its value, which may be a number.
        """
        value = node.value
        if isinstance(value, str):
            return Node(self._filled_text(node, ()), node.path, node.file)
        if isinstance(value, dict):
            return Node({key: self.filled(node[key]).value for key in value}, node.path, node.file)
        if isinstance(value, list):
            return Node([self.filled(one).value for one in node], node.path, node.file)
        return node

    def _filled_text(self, node: Node, within: tuple[str, ...]) -> Value:
        text: str = node.value
        whole = USE.fullmatch(text)
        if whole is not None and whole["name"]:
            return self._value(whole["name"], node, within)

        def put(found: re.Match[str]) -> str:
            if found["plain"]:
                return f"{{{found['plain']}}}"
            return _written(self._value(found["name"], node, within))

        return USE.sub(put, text)

    def _value(self, name: str, node: Node, within: tuple[str, ...]) -> Value:
        if name.startswith(_ENV):
            return self._from_environment(name.removeprefix(_ENV), node)
        self._used.add(name)
        declared = self._declared.get(name)
        if name in self.sets:
            return _like(name, self.sets[name], declared)
        if declared is None:
            near = nearest(name, [*self._declared, *self.sets])
            raise node.wrong(
                f"there is no variable {name!r}{'; ' if near else ''}{near}",
                f"declare it in [variables], give it by --set {name}=…, "
                f"or write {{{{{name}}}}} for the text {{{name}}}",
            )
        if not isinstance(declared.value, str):
            return _scalar(declared.value)
        if name in within:
            raise declared.wrong(f"the variable {name!r} is made of itself")
        return self._filled_text(declared, (*within, name))

    def _from_environment(self, name: str, node: Node) -> str:
        if _SECRET.search(name):
            raise node.wrong(
                f"{name} looks like the name of a secret, and what a script says is no secret",
                "keys are sent to servers by the configuration: see docs/configuration.md",
            )
        if name not in self.environ:
            raise node.wrong(f"the environment variable {name} is not set")
        return self.environ[name]


def check_sets(sets: Mapping[str, str], names: Sequence[frozenset[str]]) -> None:
    """See that every variable from the command line is one of some script.

    Args:
        sets: from the command line.
        names: `Script.variables` of each script that is played.

    Raises:
        ConfigError: no script has such a variable.
    """
    known = frozenset().union(*names)
    for name in sets:
        if name not in known:
            has = f"there are: {', '.join(sorted(known))}" if known else "there are none"
            raise ConfigError(
                f"--set {name}: no script has such a variable", nearest(name, known) or has
            )


def _written(value: Value) -> str:
    return shown_value(value) if isinstance(value, bool) else str(value)


def _scalar(value: Any) -> Value:
    return value if isinstance(value, bool | int | float) else str(value)


def _like(name: str, text: str, declared: Node | None) -> Value:
    """A text from the command line as what the script declares."""
    if declared is None or isinstance(declared.value, str):
        return text
    try:
        return _converted(text, declared.value)
    except (ValueError, KeyError) as exc:
        kind = "true or false" if isinstance(declared.value, bool) else "a number"
        raise ConfigError(
            f"--set {name}: {shortened(text)} is not {kind}",
            f"as it is in {declared.place}: {shown_value(declared.value)}",
        ) from exc


def _converted(text: str, like: object) -> Value:
    if isinstance(like, bool):
        return {"true": True, "false": False}[text.lower()]
    if isinstance(like, int):
        try:
            return int(text)
        except ValueError:
            return float(text)
    return float(text)
