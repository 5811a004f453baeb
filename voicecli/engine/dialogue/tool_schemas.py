"""What the JSON schema of a function's parameters says, as far as the engine needs it.

Schemas come from clients, so anything may stand in them; what makes no sense reads as nothing.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from voicecli.engine.dialogue.messages import Tool
from voicecli.protocol.objects import JsonDict


def spoken_name(name: str) -> str:
    """An identifier as words: `dueDate` is "due date"."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[\W_]+", apart.lower())).strip()


def needed(tool: Tool) -> Iterator[tuple[str, JsonDict]]:
    """The parameters that a call must have, with their schemas."""
    known = properties(tool)
    required = tool.parameters.get("required")
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str):
            yield name, schema_of(tool, known.get(name))


def properties(tool: Tool) -> JsonDict:
    """All parameters, with their schemas as they were given."""
    found = tool.parameters.get("properties")
    return found if isinstance(found, dict) else {}


def schema_of(tool: Tool, schema: Any) -> JsonDict:
    """A parameter's schema without references and without the choice of null."""
    for _ in range(5):
        if not isinstance(schema, dict):
            return {}
        if "$ref" in schema:
            defined = tool.parameters.get("$defs")
            name = str(schema["$ref"]).rpartition("/")[2]
            schema = defined.get(name) if isinstance(defined, dict) else {}
        elif isinstance(schema.get("anyOf"), list):
            kinds = [one for one in schema["anyOf"] if one != {"type": "null"}]
            schema = kinds[0] if kinds else {}
        else:
            break
    return schema if isinstance(schema, dict) else {}


def kind_of(schema: JsonDict) -> str:
    """A JSON type, or `enum`."""
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "string")
    return "enum" if isinstance(schema.get("enum"), list) else str(kind)
