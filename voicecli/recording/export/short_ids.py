"""Short names for the ids of a recorded talk, the same in both directions.

The ids that servers give are long and random. Here each kind of thing is numbered as it comes:
`item_1`, `resp_1`, `call_1`. Ids that our side has made are what the conversation makes of them.
"""

from __future__ import annotations

import re
from typing import Any, Final

_KIND_BY_FIELD: Final = {
    "item_id": "item",
    "previous_item_id": "item",
    "approval_request_id": "item",
    "response_id": "resp",
    "call_id": "call",
    "conversation_id": "conv",
    "session_id": "sess",
}
_KIND_BY_OBJECT: Final = {
    "item": "item",
    "output": "item",
    "response": "resp",
    "conversation": "conv",
    "session": "sess",
}
_OUR_ITEM: Final = re.compile(r"typed_\d+")
_LIKE_AN_ID: Final = re.compile(r"\b[A-Za-z]+_[A-Za-z0-9]+\b")
_NOT_NEEDED: Final = frozenset({"obfuscation"})


class ShortIds:
    """The names given so far."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def of(self, given: str, kind: str) -> str:
        """The short name of an id, a new one for one that is new; of none none."""
        if not given or _OUR_ITEM.fullmatch(given):
            return self._names.get(given, given)
        if given not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[given] = f"{kind}_{self._counts[kind]}"
        return self._names[given]

    def is_now(self, given: str, name: str) -> None:
        """An id that our side had made has another name now."""
        self._names[given] = name

    def in_event(self, event: Any) -> Any:
        """A server's event with short names, without its own id: nothing refers to that."""
        if not isinstance(event, dict):
            return event
        return {
            key: self._field(key, value, "") for key, value in event.items() if key != "event_id"
        }

    def in_text(self, text: str) -> str:
        """A message to people with the ids in it that are known."""
        return _LIKE_AN_ID.sub(lambda found: self._names.get(found[0], found[0]), text)

    def _field(self, key: str, value: Any, owner: str) -> Any:
        if isinstance(value, dict):
            kept = {one: field for one, field in value.items() if one not in _NOT_NEEDED}
            if key == "session":
                # What the model was told is in the settings, if it was not the server's own idea.
                kept.pop("instructions", None)
            return {one: self._field(one, field, key) for one, field in kept.items()}
        if isinstance(value, list):
            return [self._field(key, one, owner) if isinstance(one, dict) else one for one in value]
        if not isinstance(value, str):
            return value
        return self._word(key, value, owner)

    def _word(self, key: str, value: str, owner: str) -> str:
        if key in _KIND_BY_FIELD:
            return self.of(value, _KIND_BY_FIELD[key])
        if key == "id":
            return self.of(value, _KIND_BY_OBJECT.get(owner, "id"))
        if owner == "error" and key == "event_id":
            # One of our own events.
            return self._names.get(value, value)
        if owner == "error" and key == "message":
            return self.in_text(value)
        return value
