"""What clients ask for, checked and completed: items to add and responses to make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from voicecli.engine.dialogue import checks
from voicecli.engine.dialogue.answers import Plan
from voicecli.engine.dialogue.items import Items, Record, record_from
from voicecli.engine.dialogue.jobs import Prepare
from voicecli.engine.dialogue.messages import NO_OFFER, Offer, Tool
from voicecli.engine.dialogue.session_fields import check_choice
from voicecli.engine.dialogue.session_state import SessionState, voice_refusal
from voicecli.protocol.objects import JsonDict
from voicecli.protocol.settings import format_name

MAX_INPUT_ITEMS: Final = 1000


class Requests:
    """Reads `response.create` and `conversation.item.create` against the session and its items."""

    def __init__(self, session: SessionState, items: Items, new_id: Callable[[str], str]) -> None:
        self._session = session
        self._items = items
        self._new_id = new_id
        settings = session.settings
        self._response = checks.fields(
            {
                **settings.shared,
                "audio": checks.fields({"output": checks.fields(settings.output)}),
                "conversation": checks.one_of("auto", "none"),
                "input": checks.nullable(checks.list_of(self._input_item, MAX_INPUT_ITEMS)),
                "metadata": checks.nullable(checks.metadata),
            }
        )

    def item(self, wire: JsonDict) -> Record:
        """The item of a `conversation.item.create`, not yet in the conversation.

        Raises:
            Refusal: it is none, or an output of a call that never was.
        """
        record = record_from(wire, "item", self._new_id, self._session.input_format)
        call_id = str(record.fields.get("call_id"))
        if record.type == "function_call_output" and not self._items.has_call(call_id):
            raise checks.wrong_value(
                call_id, "item.call_id", "the id of a function call in the conversation"
            )
        return record

    def plan(self, wanted: JsonDict, conversation_id: str, prompt: str = "") -> Plan:
        """The response that a `response.create` asks for, completed from the session.

        Args:
            wanted: the event's `response`; empty for an answer by voice detection.
            conversation_id: of the default conversation.
            prompt: see `Plan`.

        Raises:
            Refusal: something in it is not allowed.
        """
        asked = self._response(wanted, "response")
        session = self._session
        output = asked.get("audio", {}).get("output", {})
        voice = output.get("voice", session.voice)
        apart = asked.get("conversation") == "none"
        if session.voice_locked and voice != session.voice and not apart:
            raise voice_refusal("response.audio.output.voice")
        shown = asked.get("input")
        tools = asked.get("tools", session.tools)
        choice = asked.get("tool_choice", session.tool_choice)
        if "tools" in asked or "tool_choice" in asked:
            check_choice(choice, tools, "response.tool_choice")
        return Plan(
            id=self._new_id("resp"),
            conversation_id=None if apart else conversation_id,
            output_modalities=asked.get("output_modalities", session.output_modalities),
            instructions=asked.get("instructions", session.instructions),
            voice=voice,
            output_format=format_name(output["format"])
            if "format" in output
            else session.output_format,
            max_output_tokens=asked.get("max_output_tokens", session.max_output_tokens),
            metadata=asked.get("metadata"),
            input=None if shown is None else tuple(shown),
            prompt=prompt,
            offer=_offer(tools, choice),
        )

    def usual(self) -> Prepare:
        """What the mind is told and offered where a response asks for nothing else."""
        session = self._session
        return Prepare(session.instructions, _offer(session.tools, session.tool_choice))

    def _input_item(self, value: Any, param: str) -> Record:
        if isinstance(value, dict) and value.get("type") == "item_reference":
            named = {"type": checks.string, "id": checks.string}
            found = self._items.get(checks.fields(named, ("id",))(value, param)["id"])
            if found is None:
                raise checks.wrong_value(value["id"], f"{param}.id", "the id of an item")
            return found
        return record_from(value, param, self._new_id, self._session.input_format)


def _offer(tools: Sequence[JsonDict], choice: Any) -> Offer:
    """What a mind may call; a function that has to be called is offered alone."""
    functions = tuple(
        Tool(str(one["name"]), str(one.get("description") or ""), one.get("parameters") or {})
        for one in tools
        if one["type"] == "function"
    )
    if isinstance(choice, dict) and choice["type"] == "function":
        named = tuple(tool for tool in functions if tool.name == choice["name"])
        return Offer(named, "required") if named else Offer(functions)
    if choice == "none":
        return NO_OFFER
    return Offer(functions, "required" if choice == "required" else "auto")
