"""What a client may put into the conversation: the check of every field of an item.

Source: the items of the Realtime API (GA shape).
"""

from __future__ import annotations

import base64
from typing import Any, Final

from voicecli.engine.dialogue import checks
from voicecli.protocol.objects import JsonDict


def _base64(value: Any, param: str) -> bytes:
    """Accepts base64, and gives what it stands for: there may be much, to be read once."""
    try:
        return base64.b64decode(checks.string(value, param), validate=True)
    except ValueError as exc:
        raise checks.wrong_value("audio", param, "base64") from exc


def _null(value: Any, param: str) -> None:
    if value is not None:
        raise checks.wrong_value(value, param, "null in a part of this type")


def _part(*needed: str, **known: checks.Check) -> checks.Check:
    """Accepts a part with these fields, and with null for the others that parts have."""
    others = dict.fromkeys(("text", "audio", "transcript", "image_url", "detail"), _null)
    return checks.fields({**others, "type": checks.string, **known}, needed)


_input_text: Final = _part("text", text=checks.string)
_output_text: Final = checks.fields(
    {
        "type": checks.string,
        "text": checks.string,
        "transcript": checks.nullable(checks.string),
        "audio": _null,
    },
    ("text",),
)
_input_audio: Final = _part(
    audio=checks.nullable(_base64), transcript=checks.nullable(checks.string)
)
_input_image: Final = _part(
    "image_url",
    image_url=checks.string,
    detail=checks.nullable(checks.one_of("auto", "low", "high")),
)

_CONTENT: Final = {
    "system": checks.by_type({"input_text": _input_text}),
    "user": checks.by_type(
        {"input_text": _input_text, "input_audio": _input_audio, "input_image": _input_image}
    ),
    # Assistant audio cannot be supplied, so an item that came from a server must be rewritten.
    "assistant": checks.by_type(
        {"output_text": _output_text, "output_audio": _output_text, "text": _output_text}
    ),
}
_COMMON: Final = {"id": checks.nullable(checks.string), "object": checks.anything}
_CONTENT_PARTS_MAX: Final = 100


def _message(value: Any, param: str) -> JsonDict:
    if "role" not in value:
        raise checks.missing(f"{param}.role")
    role = checks.one_of(*_CONTENT)(value["role"], f"{param}.role")
    content = checks.list_of(_CONTENT[role], _CONTENT_PARTS_MAX)
    known = {**_COMMON, "type": checks.string, "role": checks.string, "content": content}
    known |= {"status": checks.nullable(checks.string), "phase": checks.anything}
    checked: JsonDict = checks.fields(known, ("content",))(value, param)
    if role == "assistant":
        checked["content"] = [{**part, "type": "output_text"} for part in checked["content"]]
    return checked


def _strings(*needed: str, **more: checks.Check) -> checks.Check:
    named = dict.fromkeys((*needed, "type"), checks.string)
    known = {**_COMMON, **named, **more, "status": checks.nullable(checks.string)}
    return checks.fields(known, needed)


_remote_tool: Final = checks.fields(
    {
        "name": checks.string,
        "description": checks.nullable(checks.string),
        "input_schema": checks.free_form,
        "annotations": checks.free_form,
    },
    ("name", "input_schema"),
)
_failure: Final = checks.by_type(
    {
        kind: checks.fields(
            {"type": checks.string, "message": checks.string, "code": checks.integer(0, 10**6)},
            needed,
        )
        for kind, needed in {
            "protocol_error": ("code", "message"),
            "tool_execution_error": ("message",),
            "http_error": ("code", "message"),
        }.items()
    }
)

item: Final = checks.by_type(
    {
        "message": _message,
        "function_call": _strings("name", "arguments", call_id=checks.nullable(checks.string)),
        "function_call_output": _strings("call_id", "output"),
        "mcp_list_tools": _strings("server_label", tools=checks.list_of(_remote_tool, 1000)),
        "mcp_call": _strings(
            *("server_label", "name", "arguments"),
            approval_request_id=checks.nullable(checks.string),
            output=checks.nullable(checks.string),
            error=checks.nullable(_failure),
        ),
        "mcp_approval_request": _strings("server_label", "name", "arguments"),
        "mcp_approval_response": checks.fields(
            {
                **_COMMON,
                "type": checks.string,
                "approval_request_id": checks.string,
                "approve": checks.boolean,
                "reason": checks.nullable(checks.string),
            },
            ("approval_request_id", "approve"),
        ),
    }
)
