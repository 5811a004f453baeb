"""The JSON objects that events carry: items, responses, sessions.

Servers differ most inside these objects, and they grow new fields every few months. So they stay
JSON objects, whole, and each class gives typed, forgiving read access to what we use: a field that
is missing or of the wrong shape reads as its empty value, and everything else survives a round
trip untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JsonDict = dict[str, Any]


class JsonObject:
    """A JSON object with typed read access; `fields` is the object itself and is never changed."""

    __slots__ = ("fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields: JsonDict = dict(fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JsonObject) or type(other) is not type(self):
            return NotImplemented
        return other.fields == self.fields

    def __hash__(self) -> int:
        return hash((type(self), self._str("id")))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fields!r})"

    def _str(self, key: str) -> str:
        value = self.fields.get(key)
        return value if isinstance(value, str) else ""

    def _dict(self, key: str) -> JsonDict:
        value = self.fields.get(key)
        return value if isinstance(value, dict) else {}

    def _dicts(self, key: str) -> list[JsonDict]:
        value = self.fields.get(key)
        return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


class Part(JsonObject):
    """A content part, of an item (`output_audio`, …) or of an event (`audio`, `text`)."""

    __slots__ = ()

    @property
    def type(self) -> str:
        return self._str("type")

    @property
    def text(self) -> str:
        """What the part says, typed or spoken."""
        return self._str("text") or self._str("transcript")


class Item(JsonObject):
    """A conversation item: a message, a function call or its output."""

    __slots__ = ()

    @property
    def id(self) -> str:
        return self._str("id")

    @property
    def type(self) -> str:
        return self._str("type")

    @property
    def role(self) -> str:
        return self._str("role")

    @property
    def status(self) -> str:
        return self._str("status")

    @property
    def name(self) -> str:
        return self._str("name")

    @property
    def call_id(self) -> str:
        return self._str("call_id")

    @property
    def arguments(self) -> str:
        return self._str("arguments")

    @property
    def output(self) -> str:
        return self._str("output")

    @property
    def content(self) -> list[Part]:
        return [Part(part) for part in self._dicts("content")]

    @property
    def text(self) -> str:
        """All that the item says, its parts joined by a space."""
        return " ".join(part.text for part in self.content if part.text)


@dataclass(frozen=True)
class Usage:
    """Tokens of one response; cached counts are a part of the input counts."""

    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    cached_tokens: int = 0
    cached_text_tokens: int = 0
    cached_audio_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        names = self.__dataclass_fields__
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in names})


def _count(fields: Any, *path: str) -> int:
    for key in path:
        fields = fields.get(key) if isinstance(fields, dict) else None
    return fields if isinstance(fields, int) and not isinstance(fields, bool) else 0


def usage_from(fields: Mapping[str, Any]) -> Usage:
    """The token counts of a `usage` object; what is missing counts as zero."""
    incoming, outgoing = "input_token_details", "output_token_details"
    return Usage(
        total_tokens=_count(fields, "total_tokens"),
        input_tokens=_count(fields, "input_tokens"),
        output_tokens=_count(fields, "output_tokens"),
        input_text_tokens=_count(fields, incoming, "text_tokens"),
        input_audio_tokens=_count(fields, incoming, "audio_tokens"),
        cached_tokens=_count(fields, incoming, "cached_tokens"),
        cached_text_tokens=_count(fields, incoming, "cached_tokens_details", "text_tokens"),
        cached_audio_tokens=_count(fields, incoming, "cached_tokens_details", "audio_tokens"),
        output_text_tokens=_count(fields, outgoing, "text_tokens"),
        output_audio_tokens=_count(fields, outgoing, "audio_tokens"),
    )


class Response(JsonObject):
    """One answer of the model: its status, its items and what it cost."""

    __slots__ = ()

    @property
    def id(self) -> str:
        return self._str("id")

    @property
    def status(self) -> str:
        """`in_progress`, `completed`, `cancelled`, `incomplete` or `failed`."""
        return self._str("status")

    @property
    def reason(self) -> str:
        """Why it was cancelled or left incomplete: `turn_detected`, `max_output_tokens`."""
        reason = self._dict("status_details").get("reason")
        return reason if isinstance(reason, str) else ""

    @property
    def error_message(self) -> str:
        """Why it failed, as one line; empty when it did not."""
        error = ErrorDetails(Response(self._dict("status_details"))._dict("error"))
        told = ": ".join(one for one in (error.code, error.message) if one)
        return told or error.type

    @property
    def output(self) -> list[Item]:
        return [Item(item) for item in self._dicts("output")]

    @property
    def usage(self) -> Usage:
        return usage_from(self._dict("usage"))


class Session(JsonObject):
    """The effective settings of a connection, as the server states them."""

    __slots__ = ()

    @property
    def id(self) -> str:
        return self._str("id")

    @property
    def model(self) -> str:
        return self._str("model")

    @property
    def expires_at(self) -> float | None:
        """Unix seconds at which the server will end the session, if it said so."""
        value = self.fields.get("expires_at")
        return float(value) if isinstance(value, (int, float)) and value > 0 else None

    @property
    def is_beta(self) -> bool:
        """Whether the server describes itself in the flat shape of before August 2025."""
        return "audio" not in self.fields and (
            "modalities" in self.fields or "input_audio_format" in self.fields
        )

    @property
    def voice(self) -> str:
        audio = self._dict("audio").get("output")
        voice = audio.get("voice") if isinstance(audio, dict) else self.fields.get("voice")
        return voice if isinstance(voice, str) else ""

    @property
    def tells_turn_detection(self) -> bool:
        """Whether it says how turns are taken at all; some servers echo only a part."""
        audio = self._dict("audio").get("input")
        nested = isinstance(audio, dict) and "turn_detection" in audio
        return nested or "turn_detection" in self.fields

    @property
    def turn_detection(self) -> JsonDict | None:
        """The voice detection in force; None when turns are manual."""
        audio = self._dict("audio").get("input")
        found = audio.get("turn_detection") if isinstance(audio, dict) else None
        found = self.fields.get("turn_detection") if found is None else found
        return found if isinstance(found, dict) and found.get("type") else None


class ErrorDetails(JsonObject):
    """What an `error` event says: an open `type`, perhaps a `code`, a message, and whose fault."""

    __slots__ = ()

    @property
    def type(self) -> str:
        return self._str("type")

    @property
    def code(self) -> str:
        return self._str("code")

    @property
    def message(self) -> str:
        return self._str("message")

    @property
    def param(self) -> str:
        return self._str("param")

    @property
    def event_id(self) -> str:
        """The id of the client event that caused it, where the server tells."""
        return self._str("event_id")
