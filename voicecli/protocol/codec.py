"""Events to JSON text and back, the same for both ends.

The common case is one pass: text straight into the typed value, base64 audio included. What that
pass does not take (old event names, fields we do not know, nulls) goes a second, slower
way which is forgiving. What is no event at all comes back as a value, never as an exception, so a
hostile server cannot end the receive loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias, Union

import msgspec
from msgspec import UNSET

from voicecli.protocol import dialects
from voicecli.protocol.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    Event,
    MalformedEvent,
    UnknownEvent,
)
from voicecli.protocol.objects import JsonDict, JsonObject

Decoded: TypeAlias = Event | UnknownEvent | MalformedEvent

EXCERPT_CHARS: Final = 200

_UNKNOWN: Final = "*unknown"
"How the field `unknown` of an event is called where events are made of JSON objects."

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def _from_json(kind: type, value: object) -> object:
    if issubclass(kind, JsonObject):
        if isinstance(value, dict):
            return kind(value)
        raise TypeError(f"Expected `object`, got `{type(value).__name__}`")
    raise NotImplementedError(kind)


def _to_json(value: object) -> object:
    if isinstance(value, JsonObject):
        return value.fields
    raise NotImplementedError(type(value))


_encoder: Final = msgspec.json.Encoder(enc_hook=_to_json)
_objects: Final = msgspec.json.Decoder()


def encode(event: Event | UnknownEvent) -> bytes:
    """The event as one JSON object in UTF-8, `type` first."""
    if isinstance(event, UnknownEvent):
        return _encoder.encode({**event.fields, "type": event.type})
    if event.unknown is UNSET:
        return _encoder.encode(event)
    fields: JsonDict = msgspec.to_builtins(event, enc_hook=_to_json)
    fields |= fields.pop(_UNKNOWN)
    return _encoder.encode(fields)


class Codec:
    """Reads the events of one direction; holds no state between calls."""

    def __init__(self, events: Sequence[type[Event]]) -> None:
        self._types: dict[str, type[Event]] = {_tag(event): event for event in events}
        self._known: dict[type[Event], frozenset[str]] = {
            event: frozenset(event.__struct_encode_fields__) - {_UNKNOWN} for event in events
        }
        # The union exists only at run time, so no type checker can follow it.
        union: Any = Union[tuple(events)]  # noqa: UP007
        self._fast = msgspec.json.Decoder(union, dec_hook=_from_json)

    def decode(self, text: str | bytes) -> Decoded:
        """One message of the wire as a value; never raises."""
        try:
            event: Event = self._fast.decode(text)
        except _UNREADABLE:
            return self._decode_forgivingly(text)
        # A field of that very name is one that we do not know, like any other.
        return event if event.unknown is UNSET else self._decode_forgivingly(text)

    def _decode_forgivingly(self, text: str | bytes) -> Decoded:
        try:
            fields = _objects.decode(text)
        except _UNREADABLE as exc:
            return _malformed(f"not JSON: {exc}", text)
        if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
            event_id = fields.get("event_id") if isinstance(fields, dict) else None
            return _malformed("not an object with a `type`", text, event_id)
        kind = self._types.get(dialects.to_ga_name(fields["type"]))
        if kind is None:
            return UnknownEvent(fields["type"], fields)
        known = {key: value for key, value in fields.items() if key in self._known[kind]}
        unknown = {k: v for k, v in fields.items() if k not in known and k != "type"}
        if unknown:
            known[_UNKNOWN] = unknown
        try:
            return _converted(known, kind)
        except _UNREADABLE:
            pass
        # Servers made from typed models write every optional field, with null.
        given = {key: value for key, value in known.items() if value is not None}
        try:
            return _converted(given, kind)
        except _UNREADABLE as exc:
            return _malformed(f"{fields['type']}: {exc}", text, fields.get("event_id"))


def _converted(fields: JsonDict, kind: type[Event]) -> Event:
    event: Event = msgspec.convert(fields, kind, dec_hook=_from_json)
    return event


def _tag(event: type[Event]) -> str:
    tag = event.__struct_config__.tag
    if not isinstance(tag, str):  # pragma: no cover - a mistake in events.py, not in data
        raise TypeError(event)
    return tag


def _malformed(reason: str, text: str | bytes, event_id: object = None) -> MalformedEvent:
    start = text[:EXCERPT_CHARS]
    excerpt = start.decode("utf-8", "replace") if isinstance(start, bytes) else start
    shown_id = event_id if isinstance(event_id, str) else None
    return MalformedEvent(reason[:EXCERPT_CHARS], excerpt, shown_id)


CLIENT_CODEC: Final = Codec(CLIENT_EVENTS)
"Reads what clients send: for servers."

SERVER_CODEC: Final = Codec(SERVER_EVENTS)
"Reads what servers send: for clients and for recordings."
