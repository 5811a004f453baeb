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

from voicecli.engine.dialogue.checks import Refusal, few_values
from voicecli.engine.dialogue.patience import PATIENCE, Patience
from voicecli.engine.dialogue.session_fields import (
    DETECTION_DEFAULTS,
    SessionKind,
    Settings,
    check_choice,
)
from voicecli.protocol.objects import JsonDict
from voicecli.protocol.settings import AudioFormat, format_name, wire_format

INSTRUCTIONS: Final = (
    "You are a friendly voice assistant. You are heard, not read: answer in short, plain "
    "sentences, and in the language of the user."
)

TOLD_AFTER_COMMIT: Final = ("whisper-1", "gpt-4o", "gpt-transcribe")
"Transcription models whose words come after the commit only; a client may count on that."


@dataclass(frozen=True)
class TurnRules:
    """How turns end by themselves, from either kind of turn detection."""

    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    "A silence of this length ends a turn in any case."
    idle_timeout_ms: int | None
    create_response: bool
    interrupt_response: bool
    patience: Patience | None = None
    "When a judge may end turns sooner."


class SessionState:
    """The settings in force, and the facts that forbid changing some of them."""

    def __init__(
        self,
        session_id: str,
        model: str,
        voices: Collection[str],
        instructions: str = INSTRUCTIONS,
        *,
        kind: SessionKind = "realtime",
        expires_at: int | None = None,
    ) -> None:
        self.kind = kind
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
            "expires_at": expires_at,
            "audio": {
                "input": {
                    "format": wire_format("pcm"),
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": dict(DETECTION_DEFAULTS["server_vad"]),
                },
                "output": {"format": wire_format("pcm"), "voice": "marin", "speed": 1.0},
            },
            "include": None,
        }
        if kind == "transcription":
            self._input["transcription"] = {"model": model, **_TRANSCRIPTION_DEFAULTS}

    def to_wire(self) -> JsonDict:
        """The complete session, as `session.created` and `session.updated` carry it; a copy."""
        fields = copy.deepcopy(self._fields)
        return fields if self.kind == "realtime" else _of_transcription(fields)

    def update(self, change: JsonDict, *, answering: bool) -> None:
        """Merge a `session.update`, whole or not at all.

        Args:
            change: the event's `session`; not kept.
            answering: whether a response is being made, during which the speed is fixed.

        Raises:
            Refusal: a field is not allowed, not now or not with this value.
        """
        few_values(change, "session")
        wanted = self.settings.session(change, "session")
        kind = wanted.pop("type")
        if kind != self.kind:
            raise Refusal(
                "invalid_parameter",
                f"Passing a {kind} session update event to a {self.kind} session is not allowed.",
                "session.type",
            )
        # Clients repeat the model of their configuration; this server has the one it serves.
        wanted.pop("model", None)
        merged = _merged(self._fields, wanted)
        self._check_locks(merged, answering)
        if "tool_choice" in wanted:
            check_choice(merged["tool_choice"], merged["tools"], "session.tool_choice")
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
    def tools(self) -> list[JsonDict]:
        return list(copy.deepcopy(self._fields["tools"]))

    @property
    def tool_choice(self) -> Any:
        """A word, or an object that names what has to be called."""
        return copy.deepcopy(self._fields["tool_choice"])

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
    def captions(self) -> bool:
        """Whether it wants to be told while the user is speaking."""
        wanted = self._input["transcription"]
        return wanted is not None and not str(wanted.get("model")).startswith(TOLD_AFTER_COMMIT)

    @property
    def language(self) -> str:
        """What the user speaks, as ISO 639-1 in lower case; "" when the client did not say.

        Of several, English if it is among them: the ears know it best.
        """
        wanted = self._input["transcription"] or {}
        named = [wanted.get("language"), *(wanted.get("languages") or [])]
        codes = [one.replace("_", "-").partition("-")[0].lower() for one in named if one]
        return "en" if "en" in codes else next(iter(codes), "")

    @property
    def turn_rules(self) -> TurnRules | None:
        """None: turns are manual."""
        found = self._input["turn_detection"]
        if found is None:
            return None
        defaults = DETECTION_DEFAULTS["server_vad"]
        if found["type"] == "semantic_vad":
            patience = PATIENCE[found["eagerness"]]
            found = {**defaults, **found, "silence_duration_ms": patience.limit_ms}
            found["patience"] = patience
        if self.kind == "transcription":
            found = {**found, "create_response": False, "interrupt_response": False}
        known = TurnRules.__dataclass_fields__
        return TurnRules(**{name: value for name, value in found.items() if name in known})

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


_TRANSCRIPTION_DEFAULTS: Final[JsonDict] = {"language": None, "prompt": None}

_OF_RESPONSES: Final = ("create_response", "interrupt_response", "idle_timeout_ms")


def _of_transcription(fields: JsonDict) -> JsonDict:
    """What there is of a session that makes no responses."""
    heard = fields["audio"]["input"]
    for name in _OF_RESPONSES:
        (heard["turn_detection"] or {}).pop(name, None)
    return {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "id": fields["id"],
        "expires_at": fields["expires_at"],
        "audio": {"input": heard},
        "include": fields["include"],
    }


_WHOLE: Final = frozenset({"format", "voice", "tracing", "prompt", "truncation", "tool_choice"})
"Objects that replace the old one instead of being merged into it."


def _merged(old: JsonDict, new: JsonDict) -> JsonDict:
    merged = copy.deepcopy(old)
    for name, value in new.items():
        before = merged.get(name)
        if name == "turn_detection" and value is not None:
            if before is None or before["type"] != value["type"]:
                before = DETECTION_DEFAULTS[value["type"]]
            merged[name] = {**before, **value}
        elif name == "transcription" and value is not None:
            merged[name] = {**(before or _TRANSCRIPTION_DEFAULTS), **value}
        elif isinstance(value, dict) and isinstance(before, dict) and name not in _WHOLE:
            merged[name] = _merged(before, value)
        else:
            merged[name] = copy.deepcopy(value)
    return merged
