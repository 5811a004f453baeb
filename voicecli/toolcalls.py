"""The function calls the model is waiting for."""

from __future__ import annotations

from dataclasses import dataclass

from voicecli.protocol.objects import Item


@dataclass(frozen=True)
class Call:
    """One function call of the model."""

    item_id: str
    call_id: str
    name: str
    arguments: str
    "JSON text as the model wrote it, valid or not."


class ToolCalls:
    """Calls by their id: each is run once and answered once, however often it is announced."""

    def __init__(self) -> None:
        self._running: dict[str, Call] = {}
        self._seen: set[str] = set()

    @property
    def are_running(self) -> bool:
        return bool(self._running)

    def start(self, item: Item) -> Call | None:
        """Take a call on; None if it is known already or has no id to answer to."""
        if item.type != "function_call" or not item.call_id or item.call_id in self._seen:
            return None
        self._seen.add(item.call_id)
        call = Call(item.id or item.call_id, item.call_id, item.name, item.arguments)
        self._running[item.call_id] = call
        return call

    def refuse(self, item: Item) -> bool:
        """Take note of a call that will not be run; says whether it has to be answered."""
        is_new = bool(item.call_id) and item.call_id not in self._seen
        self._seen.add(item.call_id)
        return is_new and item.type == "function_call"

    def finished(self, call_id: str) -> Call | None:
        """The call that an output belongs to; None if nobody waits for it."""
        return self._running.pop(call_id, None)
