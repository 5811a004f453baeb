"""What the `openai` package believes an event is: the judge of both ends in the tests.

An event is right if it validates strictly against the package's own type and has no field that the
type does not know, except the ones listed here that servers are known to send.
"""

from __future__ import annotations

import json
from typing import Any

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

KNOWN_EXTRAS = {
    # The server's echo has more than the request type that the package uses for it.
    ("RealtimeSessionCreateRequest", "id"),
    ("RealtimeSessionCreateRequest", "object"),
    ("RealtimeSessionCreateRequest", "expires_at"),
    ("RealtimeTranscriptionSessionCreateRequest", "id"),
    ("RealtimeTranscriptionSessionCreateRequest", "object"),
    ("RealtimeTranscriptionSessionCreateRequest", "expires_at"),
    # `semantic_vad` is documented for these sessions as well; their type knows its name only.
    ("RealtimeTranscriptionSessionTurnDetection", "eagerness"),
}


_unions: dict[str, dict[str, TypeAdapter[Any]]] = {}


def _members(name: str, union: Any) -> dict[str, TypeAdapter[Any]]:
    if name not in _unions:
        members = union.__origin__.__args__ if hasattr(union, "__metadata__") else union.__args__
        _unions[name] = {
            one.model_fields["type"].annotation.__args__[0]: TypeAdapter(one) for one in members
        }
    return _unions[name]


def check_server_event(text: str | bytes) -> Any:
    """Raise AssertionError or ValidationError unless `text` is a server event; give it typed."""
    return _check(text, _members("server", RealtimeServerEvent))


def check_client_event(text: str | bytes) -> Any:
    """Raise AssertionError or ValidationError unless `text` is a client event; give it typed."""
    return _check(text, _members("client", RealtimeClientEvent))


def _check(text: str | bytes, members: dict[str, TypeAdapter[Any]]) -> Any:
    kind = json.loads(text)["type"]
    assert kind in members, f"{kind} is no event of the API"
    event = members[kind].validate_json(text, strict=True)
    unknown = sorted(_unknown(event, kind))
    assert not unknown, f"fields that the API does not have: {unknown}"
    return event


def _unknown(value: Any, path: str) -> list[str]:
    found: list[str] = []
    if isinstance(value, BaseModel):
        kind = type(value).__name__
        found += [
            f"{path}.{name} ({kind})"
            for name in value.model_extra or {}
            if (kind, name) not in KNOWN_EXTRAS
        ]
        for name in type(value).model_fields:
            found += _unknown(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, one in enumerate(value):
            found += _unknown(one, f"{path}[{index}]")
    return found


def event_names() -> dict[str, list[str]]:
    """The types of all events, of the `client` and of the `server`."""
    return {
        "client": list(_members("client", RealtimeClientEvent)),
        "server": list(_members("server", RealtimeServerEvent)),
    }
