"""The session of one connection: its settings, what a `session.update` may change, the echo.

An update is merged deeply into the settings in force; objects with a `type` of their own
(`turn_detection`) are merged while the type stays and start from their defaults when it changes.
One bad field and nothing of the update is applied.

Source: the session object of the Realtime API (GA shape).
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from voicecli.engine import checks
from voicecli.engine.checks import Check, Refusal
from voicecli.protocol.objects import JsonDict
from voicecli.protocol.settings import AudioFormat, ServerVad, format_name, wire_format

INSTRUCTIONS: Final = (
    "You are a friendly voice assistant. You are heard, not read: answer in short, plain "
    "sentences, and in the language of the user."
)

API_VOICES: Final = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"),
)

SEMANTIC_SILENCE_MS: Final = {"low": 1200, "auto": 600, "medium": 600, "high": 300}
"How long a silence ends the turn for each eagerness: no model judges the words yet."

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

_DETECTION_DEFAULTS: Final[dict[str, JsonDict]] = {
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


def _tool(value: Any, param: str) -> JsonDict:
    function = checks.fields({"name": checks.string}, ("name",), open_ended=True)
    remote = checks.fields({"server_label": checks.string}, ("server_label",), open_ended=True)
    checked: JsonDict = checks.by_type({"function": function, "mcp": remote})(value, param)
    return checked


def _tool_choice(value: Any, param: str) -> Any:
    if isinstance(value, str):
        return checks.one_of("none", "auto", "required")(value, param)
    named = checks.fields({"type": checks.one_of("function", "mcp")}, ("type",), open_ended=True)
    return named(value, param)


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
            "tools": lambda value, param: checks.list_of(_tool, _TOOLS_MAX)(value or [], param),
            "tool_choice": _tool_choice,
            "parallel_tool_calls": checks.boolean,
            "reasoning": checks.nullable(_reasoning),
            "max_output_tokens": checks.or_text("inf", checks.integer(1, 4096)),
            "prompt": checks.nullable(checks.fields({"id": checks.string}, open_ended=True)),
        }
        self.output: dict[str, Check] = {"format": _wire_format, "voice": voice}
        self.session = checks.fields(
            {
                **self.shared,
                "type": checks.one_of("realtime"),
                "model": checks.string,
                "truncation": self._truncation(),
                "tracing": checks.nullable(
                    checks.or_text("auto", checks.fields({}, open_ended=True))
                ),
                "include": checks.nullable(
                    checks.list_of(checks.one_of("item.input_audio_transcription.logprobs"), 8)
                ),
                "audio": checks.fields(
                    {
                        "input": checks.fields(self._input()),
                        "output": checks.fields({**self.output, "speed": checks.number(0.25, 1.5)}),
                    }
                ),
            },
            ("type",),
        )

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


@dataclass(frozen=True)
class TurnRules:
    """How turns end by themselves, from either kind of turn detection."""

    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    idle_timeout_ms: int | None
    create_response: bool
    interrupt_response: bool


class SessionState:
    """The settings in force, and the facts that forbid changing some of them."""

    def __init__(
        self, session_id: str, model: str, voices: Collection[str], instructions: str = INSTRUCTIONS
    ) -> None:
        self.settings = Settings(voices)
        self.voice_locked = False
        "True from the first audio of the model on."
        self._fields: JsonDict = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model,
            "output_modalities": ["audio"],
            "instructions": instructions,
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            # A local server does not end sessions.
            "expires_at": None,
            "audio": {
                "input": {
                    "format": wire_format("pcm"),
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": dict(_DETECTION_DEFAULTS["server_vad"]),
                },
                "output": {"format": wire_format("pcm"), "voice": "marin", "speed": 1.0},
            },
            "include": None,
        }

    def to_wire(self) -> JsonDict:
        """The complete session, as `session.created` and `session.updated` carry it; a copy."""
        return copy.deepcopy(self._fields)

    def update(self, change: JsonDict, *, answering: bool) -> None:
        """Merge a `session.update`, whole or not at all.

        Args:
            change: the event's `session`; not kept.
            answering: whether a response is being made, during which the speed is fixed.

        Raises:
            Refusal: a field is not allowed, not now or not with this value.
        """
        wanted = self.settings.session(change, "session")
        # Clients repeat the model of their configuration; this server has the one it serves.
        wanted.pop("model", None)
        merged = _merged(self._fields, wanted)
        self._check_locks(merged, answering)
        self._fields = merged

    def _check_locks(self, merged: JsonDict, answering: bool) -> None:
        now, then = self._fields["audio"]["output"], merged["audio"]["output"]
        if self.voice_locked and then["voice"] != now["voice"]:
            raise voice_refusal("session.audio.output.voice")
        if answering and then["speed"] != now["speed"]:
            raise Refusal(
                "invalid_value",
                "The speed can only change between responses.",
                "session.audio.output.speed",
            )
        if self._fields["tracing"] is not None and merged["tracing"] != self._fields["tracing"]:
            raise Refusal(
                "invalid_value", "Tracing cannot be changed once it is on.", "session.tracing"
            )

    @property
    def model(self) -> str:
        return str(self._fields["model"])

    @property
    def instructions(self) -> str:
        return str(self._fields["instructions"])

    @property
    def output_modalities(self) -> list[str]:
        return list(self._fields["output_modalities"])

    @property
    def max_output_tokens(self) -> int | str:
        found: int | str = self._fields["max_output_tokens"]
        return found

    @property
    def input_format(self) -> AudioFormat:
        return format_name(self._input["format"])

    @property
    def output_format(self) -> AudioFormat:
        return format_name(self._output["format"])

    @property
    def voice(self) -> Any:
        """A name, or an object with an `id`."""
        return copy.deepcopy(self._output["voice"])

    @property
    def speed(self) -> float:
        return float(self._output["speed"])

    @property
    def transcribes(self) -> bool:
        """Whether the client wants to be told what the user said."""
        return self._input["transcription"] is not None

    @property
    def turn_rules(self) -> TurnRules | None:
        """None: turns are manual."""
        found = self._input["turn_detection"]
        if found is None:
            return None
        defaults = _DETECTION_DEFAULTS["server_vad"]
        if found["type"] == "semantic_vad":
            silence_ms = SEMANTIC_SILENCE_MS[found["eagerness"]]
            found = {**defaults, **found, "silence_duration_ms": silence_ms}
        return TurnRules(**{name: found[name] for name in TurnRules.__dataclass_fields__})

    @property
    def _input(self) -> JsonDict:
        found: JsonDict = self._fields["audio"]["input"]
        return found

    @property
    def _output(self) -> JsonDict:
        found: JsonDict = self._fields["audio"]["output"]
        return found


def voice_refusal(param: str) -> Refusal:
    """The refusal of another voice after the first one was heard."""
    return Refusal(
        "cannot_update_voice",
        "Cannot update a conversation's voice if assistant audio is present.",
        param,
    )


_WHOLE: Final = frozenset({"format", "voice", "tracing", "prompt", "truncation", "tool_choice"})
"Objects that replace the old one instead of being merged into it."


def _merged(old: JsonDict, new: JsonDict) -> JsonDict:
    merged = copy.deepcopy(old)
    for name, value in new.items():
        before = merged.get(name)
        if name == "turn_detection" and value is not None:
            if before is None or before["type"] != value["type"]:
                before = _DETECTION_DEFAULTS[value["type"]]
            merged[name] = {**before, **value}
        elif isinstance(value, dict) and isinstance(before, dict) and name not in _WHOLE:
            merged[name] = _merged(before, value)
        else:
            merged[name] = copy.deepcopy(value)
    return merged
