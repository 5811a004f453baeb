"""Expectations as a script writes them: tables made into clauses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from voicecli.demo.clauses import (
    Absent,
    Answered,
    AnsweredWithin,
    Calls,
    CallsNothing,
    Clause,
    Confirmed,
    Contains,
    Interrupted,
    InterruptedWithin,
    Matches,
    NoErrors,
    TruncatedWithin,
    Turns,
    Whose,
    WordErrors,
)
from voicecli.demo.settings import CONFIRMED, flat
from voicecli.demo.steps import Expect
from voicecli.demo.tables import Node, listed, nearest
from voicecli.demo.words import words_of

_MOST_MS: Final = 600_000
_MOST_TURNS: Final = 1000

_Placed: TypeAlias = tuple[Clause, Node]
"A clause, and what of the table says it."


def expected_by(node: Node) -> Expect:
    """What a table of expectations says, in its order, and where in the file.

    Raises:
        ConfigError: it says nothing, or something that cannot be expected.
    """
    found = [placed for one in node.table(*_KINDS) for placed in _KINDS[one.name](one)]
    if not found:
        raise node.wrong("expects nothing", f"it may have {listed(list(_KINDS))}")
    return Expect(tuple(clause for clause, _ in found), tuple(where.place for _, where in found))


def _user(node: Node) -> Iterator[_Placed]:
    return _said(node, "user")


def _assistant(node: Node) -> Iterator[_Placed]:
    return _said(node, "assistant")


def _heard(node: Node) -> Iterator[_Placed]:
    return _said(node, "heard")


def _said(node: Node, whose: Whose) -> Iterator[_Placed]:
    """What is expected of somebody's words; a text alone is to be contained."""
    if not node.is_table:
        yield from _contained(node, whose)
        return
    node.table("contains", "absent", "regex", "wer_at_most", "text")
    if "text" in node and "wer_at_most" not in node:
        raise node["text"].wrong("is for word errors, and there is no wer_at_most")
    for one in node:
        match one.name:
            case "contains":
                yield from _contained(one, whose)
            case "absent":
                for text in one.texts():
                    yield Absent(whose, _with_words(text)), text
            case "regex":
                for text in one.texts():
                    yield Matches(whose, text.regex()), text
            case "wer_at_most":
                yield WordErrors(whose, one.number(0, 10), _reference(node, whose)), one
    if not node.value:
        raise node.wrong("expects nothing", "it may have contains, absent, regex or wer_at_most")


def _contained(node: Node, whose: Whose) -> Iterator[_Placed]:
    for text in node.texts():
        yield Contains(whose, _with_words(text)), text


def _with_words(node: Node) -> str:
    text = node.text()
    if not words_of(text):
        raise node.wrong("there is no word in the text", "signs are looked for by regex")
    return text


def _reference(node: Node, whose: Whose) -> str:
    if "text" in node:
        return _with_words(node["text"])
    if whose != "user":
        raise node.wrong(
            "wer_at_most needs to know what should be said", "give it beside it: text = …"
        )
    return ""


def _tool(node: Node) -> Iterator[_Placed]:
    ones = list(node) if node.is_list else [node]
    for one in ones:
        if not one.is_table:
            yield Calls(one.text(), {}), one
            continue
        one.table("name", "arguments")
        if "name" not in one:
            raise one.wrong("has no name", 'it is a name, or { name = "…", arguments = { … } }')
        arguments = _arguments(one["arguments"]) if "arguments" in one else {}
        yield Calls(one["name"].text(), arguments), one


def _arguments(node: Node) -> dict[str, object]:
    for one in flat(node.table()):
        try:
            json.dumps(one.value, allow_nan=False)
        except (TypeError, ValueError) as exc:
            raise one.wrong(f"{one.value} is nothing that JSON has", "write it as a text") from exc
    arguments: dict[str, object] = node.value
    return arguments


def _no_tool(node: Node) -> Iterator[_Placed]:
    node.true()
    yield CallsNothing(), node


def _answered(node: Node) -> Iterator[_Placed]:
    yield Answered(node.flag()), node


def _answered_within(node: Node) -> Iterator[_Placed]:
    yield AnsweredWithin(_ms(node)), node


def _interrupted(node: Node) -> Iterator[_Placed]:
    yield Interrupted(node.flag()), node


def _interrupted_within(node: Node) -> Iterator[_Placed]:
    yield InterruptedWithin(_ms(node)), node


def _truncated_within(node: Node) -> Iterator[_Placed]:
    yield TruncatedWithin(_ms(node)), node


def _turns(node: Node) -> Iterator[_Placed]:
    yield Turns(node.whole(0, _MOST_TURNS)), node


def _no_errors(node: Node) -> Iterator[_Placed]:
    node.true()
    yield NoErrors(), node


def _session(node: Node) -> Iterator[_Placed]:
    for one in flat(node.table()):
        key = ".".join(str(part) for part in one.path[len(node.path) :])
        if key not in CONFIRMED:
            message = f"a server does not confirm it; {nearest(key, CONFIRMED)}"
            raise one.wrong(message.rstrip("; "), f"it confirms {listed(CONFIRMED, 'and')}")
        yield Confirmed(key, one.value), one


def _ms(node: Node) -> float:
    return node.number(0, _MOST_MS, "milliseconds")


_Kind: TypeAlias = Callable[[Node], Iterator[_Placed]]

_KINDS: Final[dict[str, _Kind]] = {
    "user": _user,
    "assistant": _assistant,
    "heard": _heard,
    "tool": _tool,
    "no_tool": _no_tool,
    "answered": _answered,
    "answered_within_ms": _answered_within,
    "interrupted": _interrupted,
    "interrupted_within_ms": _interrupted_within,
    "truncated_within_ms": _truncated_within,
    "turns": _turns,
    "no_errors": _no_errors,
    "session": _session,
}
