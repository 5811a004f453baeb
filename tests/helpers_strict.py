"""A judge of both ends: every event of the engine and of our client, in whatever test it happens.

It stands at the doors through which all of them come, `Dialogue` and `Conversation`, and holds each
against the types of the `openai` package.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from voicecli import actions
from voicecli.conversation import Conversation
from voicecli.engine.dialogue.dialogue import Dialogue
from voicecli.protocol.codec import encode
from voicecli.protocol.events import Event, ServerEvent, SessionUpdate


@dataclass
class Judge:
    """Counts what it has seen, by type, and remembers what was wrong."""

    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    witnesses: list[list[Event]] = field(default_factory=list)
    "Lists to which whatever is seen is added."

    def look_at(self, event: Event, *, is_from_server: bool) -> None:
        """Hold an event against the type of its name."""
        from openai_types import check_client_event, check_server_event

        text = encode(event)
        self.seen[event.type] += 1
        for witness in self.witnesses:
            witness.append(event)
        try:
            (check_server_event if is_from_server else check_client_event)(text)
        except (AssertionError, ValueError) as exc:  # pydantic's errors are ValueErrors
            self.wrong.append(f"{text[:300]!r}: {exc}")

    def watch(self) -> Callable[[], None]:
        """Stand at the doors from now on; gives what ends it."""
        before = (Dialogue.begin, Dialogue.steps, Conversation.handle)
        Dialogue.begin = self._watched(Dialogue.begin, _of_server)  # type: ignore[method-assign]
        # `handle` takes all steps at once.
        Dialogue.steps = self._watched_steps(Dialogue.steps)  # type: ignore[method-assign]
        Conversation.handle = self._watched(Conversation.handle, _of_client)  # type: ignore[method-assign]

        def leave() -> None:
            Dialogue.begin, Dialogue.steps, Conversation.handle = before  # type: ignore[method-assign]

        return leave

    def _watched(self, door: Any, events_in: Callable[[list[Any]], Iterator[Event]]) -> Any:
        @functools.wraps(door)
        def handle(*args: Any) -> list[Any]:
            outputs: list[Any] = door(*args)
            for event in events_in(outputs):
                self.look_at(event, is_from_server=isinstance(event, ServerEvent))
            return outputs

        return handle

    def _watched_steps(self, door: Any) -> Any:
        @functools.wraps(door)
        def steps(*args: Any) -> Iterator[list[Any]]:
            for outputs in door(*args):
                for event in _of_server(outputs):
                    self.look_at(event, is_from_server=True)
                yield outputs

        return steps

    def verdict(self) -> str:
        """One line of what was seen."""
        return (
            f"{self.seen.total()} events of {len(self.seen)} types held against the API's types: "
            f"{len(self.wrong)} violations"
        )


def _of_server(outputs: list[Any]) -> Iterator[Event]:
    return (one for one in outputs if isinstance(one, ServerEvent))


def _of_client(wanted: list[Any]) -> Iterator[Event]:
    sent = (one.event for one in wanted if isinstance(one, actions.Send))
    return (one for one in sent if not _is_of_old(one))


def _is_of_old(event: Event) -> bool:
    # To servers of the old shape our client writes as they do; the types know the new one only.
    return isinstance(event, SessionUpdate) and "modalities" in event.session
