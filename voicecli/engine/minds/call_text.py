"""Function calls of models that write them as text: how they are asked to, and how it is read.

Small models have no reliable form for calls. They are shown one, by examples made from the very
functions that are offered, and what they write is read leniently: inside a code fence, with other
names for the fields, with values of the wrong type, or cut off at the end.

Pure.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from voicecli.engine.dialogue.messages import (
    Call,
    CallArguments,
    CallStart,
    Message,
    Offer,
    Piece,
    Tool,
)
from voicecli.engine.dialogue.tool_schemas import (
    kind_of,
    needed,
    properties,
    schema_of,
    spoken_name,
)
from voicecli.protocol.objects import JsonDict

_DESCRIPTION_CHARS: Final = 120
_EXAMPLES: Final = 2
_SMALL_TALK: Final = (
    ("Hello, how are you?", "I am fine, thank you. What can I do for you?"),
    ("That was a good one.", "I am glad that you liked it."),
)
_SAMPLE_WORDS: Final = {"city": "Oslo", "place": "Oslo", "location": "Oslo", "name": "Ada"}


def manual(offer: Offer) -> str:
    """What is added to the instructions."""
    lines = [f"- {_signature(tool)}" for tool in offer.tools]
    return "\n".join(
        (
            "You can use these functions:",
            *lines,
            "If the user wants what one of them does, write only its call, as JSON: "
            '{"name": "...", "arguments": {...}}. Otherwise answer in words.',
        )
    )


def examples(offer: Offer) -> list[Message]:
    """Turns before the conversation: calls and words by turns."""
    shown: list[Message] = []
    for number, (question, answer) in enumerate(_SMALL_TALK):
        shown += [Message("user", question), Message("assistant", answer)]
        if offer.tools and number < _EXAMPLES:
            tool = offer.tools[(number * (len(offer.tools) - 1)) % len(offer.tools)]
            arguments = {name: _sample(name, schema, number) for name, schema in needed(tool)}
            told = "".join(f", {spoken_name(name)} {value}" for name, value in arguments.items())
            shown += [
                Message("user", f"Please {spoken_name(tool.name)}{told}."),
                Message("assistant", written(tool.name, json.dumps(arguments))),
            ]
    return shown


def written(name: str, arguments: str) -> str:
    """A call as the model writes it."""
    return f'{{"name": {json.dumps(name)}, "arguments": {arguments or "{}"}}}'


def flattened(messages: Sequence[Message]) -> list[Message]:
    """The conversation with calls and their results as words, without system messages."""
    names = {call.id: call.name for message in messages for call in message.calls}
    flat: list[Message] = []
    for message in messages:
        match message.role:
            case "system":
                continue
            case "tool":
                name = names.get(message.call_id, "function")
                told = f"[{name} returned: {message.text}]\nTell me that in one short sentence."
                flat.append(Message("user", told))
            case _:
                calls = [written(call.name, call.arguments) for call in message.calls]
                text = "\n".join(one for one in (message.text, *calls) if one)
                flat.append(Message(message.role, text))
    return flat


def call_schema(offer: Offer) -> JsonDict:
    """A JSON schema of a call of one of the functions, for models that can be held to one."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.name},
                "arguments": tool.parameters or {"type": "object", "properties": {}},
            },
            "required": ["name", "arguments"],
        }
        for tool in offer.tools
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


class CallReader:
    """Finds the first call in a text that arrives in pieces; what is no call passes through.

    Args:
        offer: the functions that may be called.
        said: what was said lately: optional words that are not in it were made up.
        done: calls that are not to be made again.
        cautious: take no call that has nothing to do with what was said.
    """

    def __init__(
        self, offer: Offer, said: str = "", done: Sequence[Call] = (), *, cautious: bool = False
    ) -> None:
        self._offer = offer
        self._said = said
        self._done = [(call.name, _parsed(call.arguments or "{}")) for call in done]
        self._cautious = cautious
        self._held = ""
        self.found = False
        "Once true, the text after it is of no interest."

    def push(self, piece: str) -> list[Piece]:
        """Take more text; return what is certain so far."""
        if self.found:
            return []
        self._held += piece
        pieces: list[Piece] = []
        while self._held and not self.found:
            start = _BEGIN.search(self._held)
            if start is None or start.start() > 0:
                end = len(self._held) if start is None else start.start()
                pieces.append(self._held[:end])
                self._held = self._held[end:]
                continue
            opened = _OPENING.match(self._held)
            body = opened.end() if opened else 0
            if body == len(self._held) or _FULL_BEGIN.match(self._held) is None:
                break  # a part of a fence
            behind = _end_of_object(self._held, body)
            if behind is None:
                break
            pieces += self._read(self._held[:behind], self._held[body:behind])
            self._held = self._held[behind:]
        return pieces

    def finish(self) -> list[Piece]:
        """The end of the text: what is left of a call is completed, if that can be."""
        held, self._held = self._held, ""
        if self.found or not held:
            return []
        opened = _OPENING.match(held)
        body = held[opened.end() if opened else 0 :]
        for ending in ("", "}", "}}", '"}}', '"}'):
            pieces = self._read("", body + ending)
            if self.found:
                return pieces
        return [] if body.lstrip().startswith("{") else [held]

    def _read(self, text: str, body: str) -> list[Piece]:
        """The call that `body` is, or else the text; a call that cannot be read is no text."""
        call = read_call(body, self._offer, self._said)
        if call is None:
            return [] if _LIKE_A_CALL.match(body) else [text]
        self.found = True
        name, arguments = call
        if call in self._done or (self._cautious and not self._has_a_reason(name, arguments)):
            return []
        return [CallStart(name), CallArguments(json.dumps(arguments, ensure_ascii=False))]

    def _has_a_reason(self, name: str, arguments: JsonDict) -> bool:
        """Whether the function, or what it needs, has anything to do with what was said."""
        tool = self._offer.find(name) or Tool(name)
        must = {one for one, _ in needed(tool)}
        reasons = [spoken_name(name), tool.description, *map(spoken_name, properties(tool))]
        reasons += [str(value) for one, value in arguments.items() if one in must]
        return bool(_telling(" ".join(reasons)) & _telling(self._said))


_IDLE_WORDS: Final = frozenset(
    (
        *("about", "from", "into", "have", "name", "some", "that", "this", "what", "when"),
        *("with", "will", "your", "true", "false", "list", "current", "given"),
    )
)


def _telling(text: str) -> set[str]:
    """The longer words of a text, without their endings."""
    words = re.findall(r"\w{4,}", text.lower())
    return {word.rstrip("s") for word in words if word not in _IDLE_WORDS}


_LIKE_A_CALL: Final = re.compile(r"""\{\s*["']?(?:name|function|tool)["']?\s*:""")
_FULL_BEGIN: Final = re.compile(r"\{|```|<tool_call>")
_BEGIN: Final = re.compile(_FULL_BEGIN.pattern + r"|`{1,2}$|<(?:t(?:o(?:o(?:l\w*)?)?)?)?$")
_OPENING: Final = re.compile(r"(?:```\w*\s*|<tool_call>\s*|\[\s*)*")


def _end_of_object(text: str, start: int) -> int | None:
    """Behind the object that begins at `start`, or the first thing there that is none."""
    if text[start] != "{":
        return start + 1
    depth, quoted, escaped = 0, False, False
    for at in range(start, len(text)):
        char = text[at]
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            quoted = True
        elif char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return at + 1
    return None


def read_call(text: str, offer: Offer, said: str = "") -> tuple[str, JsonDict] | None:
    """The name and the arguments of a call in JSON, or None if it is none of the functions.

    Args:
        text: what may be a call.
        offer: the functions.
        said: see `CallReader`.
    """
    value = _parsed(text)
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        return None
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), "")
    tool = _find(name, offer)
    if tool is None:
        return None
    arguments: Any = next((value[key] for key in _ARGUMENT_KEYS if key in value), None)
    if arguments is None:
        arguments = {key: one for key, one in value.items() if key not in _NAME_KEYS}
    if isinstance(arguments, str):
        arguments = _parsed(arguments)
    return tool.name, _fitted(tool, arguments if isinstance(arguments, dict) else {}, said)


_NAME_KEYS: Final = ("name", "function", "tool", "function_name", "tool_name", "action")
_ARGUMENT_KEYS: Final = ("arguments", "parameters", "args", "input", "params")


def _find(name: str, offer: Offer) -> Tool | None:
    alike = [one for one in offer.tools if spoken_name(one.name) == spoken_name(name)]
    return offer.find(name) or (alike[0] if name and alike else None)


def _parsed(text: str) -> Any:
    for attempt in (text, _BARE_KEY.sub(r'\1"\2":', text)):
        with suppress(ValueError, RecursionError):
            return json.loads(attempt, strict=False)
    try:
        return ast.literal_eval(text)  # quotes as Python has them
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


_BARE_KEY: Final = re.compile(r"([{,]\s*)(\w+)\s*:")


def _fitted(tool: Tool, arguments: JsonDict, said: str) -> JsonDict:
    """The arguments that the function has, with values of the right type where that is clear."""
    known, must = properties(tool), {name for name, _ in needed(tool)}
    return {
        name: _fitting(value, schema_of(tool, known[name]))
        for name, value in arguments.items()
        if name in known and (name in must or not _is_made_up(value, said))
    }


def _is_made_up(value: Any, said: str) -> bool:
    if not isinstance(value, str) or not said:
        return value is None
    return not set(re.findall(r"\w{3,}", value.lower())) & set(re.findall(r"\w+", said.lower()))


def _fitting(value: Any, schema: JsonDict) -> Any:
    text = str(value).strip()
    match kind_of(schema):
        case "enum":
            alike = (one for one in schema["enum"] if str(one).lower() == text.lower())
            return next(alike, value)
        case "integer" | "number" as kind if isinstance(value, (str, float)):
            number = re.fullmatch(r"(-?\d+(?:\.\d+)?)(?:\s*\D*)?", text)
            if number is None:
                return value
            whole = float(number[1]).is_integer()
            return int(float(number[1])) if whole or kind == "integer" else float(number[1])
        case "boolean" if isinstance(value, str):
            return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower(), value)
        case "string" if isinstance(value, (int, float)):
            return text
    return value


def _signature(tool: Tool) -> str:
    must = {name for name, _ in needed(tool)}
    parameters = ", ".join(
        f"{name}{'' if name in must else '?'}: {_type_name(schema_of(tool, schema))}"
        for name, schema in properties(tool).items()
    )
    description = " ".join(tool.description.split())[:_DESCRIPTION_CHARS]
    return f"{tool.name}({parameters}): {description}".rstrip(" :")


def _type_name(schema: JsonDict) -> str:
    if kind_of(schema) == "enum":
        return "|".join(map(str, schema["enum"][:20]))
    return kind_of(schema)


def _sample(name: str, schema: JsonDict, number: int) -> Any:
    match kind_of(schema):
        case "enum":
            return schema["enum"][number % len(schema["enum"])] if schema["enum"] else ""
        case "integer" | "number":
            return 7 + number
        case "boolean":
            return True
        case "array":
            return []
        case "object":
            return {}
    words = spoken_name(name).split()
    return next((_SAMPLE_WORDS[word] for word in words if word in _SAMPLE_WORDS), "blue moon")
