"""What a client may set of its session: the check of every field, by the kind of session.

Source: the session object of the Realtime API (GA shape).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final, Literal, TypeAlias

from voicecli.engine.dialogue import checks
from voicecli.engine.dialogue.checks import Check
from voicecli.protocol.objects import JsonDict
from voicecli.protocol.settings import ServerVad, format_name, wire_format

SessionKind: TypeAlias = Literal["realtime", "transcription"]
"A conversation, or a recogniser that answers nothing."

API_VOICES: Final = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"),
)

_TOOLS_MAX: Final = 128

_detection: Final[dict[str, Check]] = {
    "type": checks.string,
    "create_response": checks.boolean,
    "interrupt_response": checks.boolean,
}
_server_vad: Final = checks.fields(
    {
        **_detection,
        "threshold": checks.number(0.0, 1.0),
        "prefix_padding_ms": checks.integer(0, 5000),
        "silence_duration_ms": checks.integer(0, 10_000),
        "idle_timeout_ms": checks.nullable(checks.integer(5000, 30_000)),
    }
)
_semantic_vad: Final = checks.fields(
    {**_detection, "eagerness": checks.one_of("low", "medium", "high", "auto")}
)
_turn_detection: Final = checks.by_type({"server_vad": _server_vad, "semantic_vad": _semantic_vad})

DETECTION_DEFAULTS: Final[dict[str, JsonDict]] = {
    "server_vad": ServerVad().to_wire(),
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}


def _wire_format(value: Any, param: str) -> JsonDict:
    pcm = checks.fields({"type": checks.string, "rate": checks.integer(24000, 24000)})
    law = checks.fields({"type": checks.string})
    checked = checks.by_type({"audio/pcm": pcm, "audio/pcmu": law, "audio/pcma": law})(value, param)
    return wire_format(format_name(checked))


def modalities(value: Any, param: str) -> list[str]:
    """Accepts `["audio"]` and `["text"]`; the old pair of both means audio, which brings text."""
    names = checks.list_of(checks.one_of("text", "audio"), 2)(value, param)
    if not names:
        raise checks.wrong_value(names, param, "['audio'] or ['text']")
    return ["audio"] if "audio" in names else ["text"]


_FUNCTION_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _function_name(value: Any, param: str) -> str:
    if not _FUNCTION_NAME.fullmatch(checks.string(value, param)):
        raise checks.wrong_value(value, param, "1 to 64 letters, digits, '_' and '-'")
    return str(value)


_text: Final = checks.nullable(checks.string)
_texts: Final = checks.nullable(checks.list_of(checks.string, 1000))
_some_tools: Final = checks.fields({"tool_names": _texts, "read_only": checks.boolean})
_approvals: Final = checks.fields(dict.fromkeys(("always", "never"), _some_tools))


def _allowed(value: Any, param: str) -> Any:
    return (_texts if isinstance(value, list) else checks.nullable(_some_tools))(value, param)


def _approval(value: Any, param: str) -> Any:
    check = _approvals if isinstance(value, dict) else checks.one_of("always", "never")
    return checks.nullable(check)(value, param)


_CONNECTORS: Final = tuple(
    f"connector_{one}"
    for one in (
        *("dropbox", "gmail", "googlecalendar", "googledrive"),
        *("microsoftteams", "outlookcalendar", "outlookemail", "sharepoint"),
    )
)

# Accepted for their shape: nobody calls them here.
_remote: Final = checks.fields(
    {
        **dict.fromkeys(("authorization", "server_description", "server_url", "tunnel_id"), _text),
        "connector_id": checks.nullable(checks.one_of(*_CONNECTORS)),
        "type": checks.string,
        "server_label": checks.string,
        "allowed_callers": checks.nullable(
            checks.list_of(checks.one_of("direct", "programmatic"), 2)
        ),
        "allowed_tools": _allowed,
        "defer_loading": checks.boolean,
        "headers": checks.nullable(checks.strings),
        "require_approval": _approval,
    },
    ("server_label",),
)


def _tool(value: Any, param: str) -> JsonDict:
    described = {"name": _function_name, "description": checks.nullable(checks.string)}
    described["parameters"] = checks.nullable(checks.free_object)
    function = checks.fields({"type": checks.string, **described}, ("name",))
    checked: JsonDict = checks.by_type({"function": function, "mcp": _remote})(value, param)
    return checked


def tools(value: Any, param: str) -> list[JsonDict]:
    """Accepts functions, each of a name of its own, and remote servers."""
    checked: list[JsonDict] = checks.list_of(_tool, _TOOLS_MAX)(
        [] if value is None else value, param
    )
    names = [one["name"] for one in checked if one["type"] == "function"]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise checks.wrong_value(name, param, "functions with different names")
    return checked


def check_choice(choice: Any, offered: Collection[JsonDict], param: str) -> None:
    """Whether the function that has to be called is among those offered.

    Raises:
        Refusal: it is not.
    """
    if not isinstance(choice, dict) or choice["type"] != "function":
        return
    names = [str(one["name"]) for one in offered if one["type"] == "function"]
    if choice["name"] not in names:
        known = ", ".join(map(repr, names[:20])) or "none is"
        raise checks.wrong_value(choice["name"], f"{param}.name", f"a function of 'tools': {known}")


def _tool_choice(value: Any, param: str) -> Any:
    if isinstance(value, str):
        return checks.one_of("none", "auto", "required")(value, param)
    function = checks.fields({"type": checks.string, "name": checks.string}, ("name",))
    named = {"type": checks.string, "server_label": checks.string}
    remote = checks.fields({**named, "name": checks.nullable(checks.string)}, ("server_label",))
    return checks.by_type({"function": function, "mcp": remote})(value, param)


_truncation: Final = checks.by_type(
    {
        "retention_ratio": checks.fields(
            {
                "type": checks.string,
                "retention_ratio": checks.number(0.0, 1.0),
                "token_limits": checks.fields({"post_instructions": checks.integer(0, 10**7)}),
            },
            ("retention_ratio",),
        )
    }
)
_reasoning: Final = checks.fields(
    {"effort": checks.one_of("minimal", "low", "medium", "high", "xhigh")}
)
_tracing: Final = checks.fields(
    {"workflow_name": _text, "group_id": _text, "metadata": checks.free_form}
)
_prompt: Final = checks.fields(
    {"id": checks.string, "version": _text, "variables": checks.nullable(checks.strings)}, ("id",)
)
_strings: Final = checks.list_of(checks.string, 1000)


class Settings:
    """The checks of every settable field, for a server that knows these `voices`."""

    def __init__(self, voices: Collection[str]) -> None:
        known = checks.one_of(*sorted({*API_VOICES, *voices}))

        def voice(value: Any, param: str) -> Any:
            if isinstance(value, dict):
                return checks.fields({"id": checks.string}, ("id",))(value, param)
            return known(value, param)

        # Shared with `response.create`, which overrides them for one response.
        self.shared: dict[str, Check] = {
            "instructions": lambda value, param: checks.string(value or "", param),
            "output_modalities": modalities,
            "tools": tools,
            "tool_choice": _tool_choice,
            "parallel_tool_calls": checks.boolean,
            "reasoning": checks.nullable(_reasoning),
            "max_output_tokens": checks.or_text("inf", checks.integer(1, 4096)),
            "prompt": checks.nullable(_prompt),
        }
        self.output: dict[str, Check] = {"format": _wire_format, "voice": voice}
        heard = checks.fields(self._input())
        include = checks.nullable(
            checks.list_of(checks.one_of("item.input_audio_transcription.logprobs"), 8)
        )
        realtime = checks.fields(
            {
                **self.shared,
                "type": checks.string,
                "model": checks.string,
                "truncation": self._truncation(),
                "tracing": checks.nullable(checks.or_text("auto", _tracing)),
                "include": include,
                "audio": checks.fields(
                    {
                        "input": heard,
                        "output": checks.fields({**self.output, "speed": checks.number(0.25, 1.5)}),
                    }
                ),
            }
        )
        transcription = checks.fields(
            {
                "type": checks.string,
                "include": include,
                "audio": checks.fields({"input": heard}),
            }
        )
        self.session = checks.by_type({"realtime": realtime, "transcription": transcription})

    @staticmethod
    def _truncation() -> Check:
        return checks.or_text("auto", checks.or_text("disabled", _truncation))

    @staticmethod
    def _input() -> dict[str, Check]:
        transcription = {
            "model": checks.string,
            "language": checks.nullable(checks.string),
            "languages": checks.nullable(_strings),
            "keywords": checks.nullable(_strings),
            "prompt": checks.nullable(checks.string),
            "delay": checks.nullable(checks.one_of("minimal", "low", "medium", "high", "xhigh")),
        }
        reduction = {
            "type": checks.one_of("near_field", "far_field"),
            "strength": checks.number(0.0, 1.0),
        }
        return {
            "format": _wire_format,
            "transcription": checks.nullable(checks.fields(transcription)),
            "noise_reduction": checks.nullable(checks.fields(reduction, ("type",))),
            "turn_detection": checks.nullable(_turn_detection),
        }
