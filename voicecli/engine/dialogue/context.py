"""From the items of a conversation to the messages that a mind is shown.

Chat models know one shape of calls only: an assistant's message with its calls and then the result
of each, at once. A conversation has them in any order, with other items between, and with results
that never came; here they are brought into that shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from voicecli.engine.dialogue.items import Record
from voicecli.engine.dialogue.messages import Call, Message

NO_RESULT: Final = '{"error": "there is no result yet"}'
"Shown for a call whose output has not come; without any, models call again or are confused."


def context(instructions: str, records: Sequence[Record], prompt: str = "") -> tuple[Message, ...]:
    """All that a mind is shown for one answer.

    Args:
        instructions: of the session or the response.
        records: the items, oldest first; calls that were cut off are left out.
        prompt: instructions for an answer that no words of the user led to.
    """
    messages = [Message("system", instructions)] if instructions else []
    results = {
        str(record.fields["call_id"]): record.words()
        for record in records
        if record.type == "function_call_output"
    }
    calls: list[Call] = []
    known = {record.call.id for record in records if record.call is not None}
    for record in records:
        if record.call is not None:
            calls.append(record.call)
            continue
        _add_calls(messages, calls, results)
        calls = []
        if record.type == "function_call_output" and record.fields["call_id"] in known:
            continue  # shown with its call
        if (said := record.for_mind()) is not None:
            messages.append(said)
    _add_calls(messages, calls, results)
    if prompt:
        # Minds answer the last thing that a user said, and here that is nothing.
        messages += [Message("system", prompt), Message("user", "...")]
    return tuple(messages)


def _add_calls(messages: list[Message], calls: list[Call], results: dict[str, str]) -> None:
    if not calls:
        return
    said = ""
    if messages and messages[-1].role == "assistant" and not messages[-1].calls:
        said = messages.pop().text
    messages.append(Message("assistant", said, calls=tuple(calls)))
    messages += [
        Message("tool", results.get(call.id, NO_RESULT), call_id=call.id) for call in calls
    ]
