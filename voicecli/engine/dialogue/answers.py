"""One response, from `response.created` to `response.done`.

An answer knows nothing of the conversation. It is told pieces of text, audio and calls, and gives
the events that say so, in the order of the API. It may be ended at any moment, whole or not.

Its output is a list of items, one after the other: text after a call is another message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from voicecli.audio.pcm import ms_of_samples
from voicecli.engine.dialogue.answer_items import AnswerCallItem, AnswerItem, AnswerMessage
from voicecli.engine.dialogue.items import Record
from voicecli.engine.dialogue.messages import NO_OFFER, Offer
from voicecli.engine.dialogue.usage import CHARS_PER_TOKEN, TOKEN_BYTES, Tokens, text_tokens, usage
from voicecli.protocol import events
from voicecli.protocol.events import ServerEvent
from voicecli.protocol.objects import JsonDict, Response
from voicecli.protocol.settings import AudioFormat, wire_format

Reason: TypeAlias = Literal["turn_detected", "client_cancelled", "max_output_tokens"]
Status: TypeAlias = Literal["completed", "cancelled", "incomplete", "failed"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one response is to be; fixed when it is created."""

    id: str
    conversation_id: str | None
    "None: out of band, its items join no conversation."
    output_modalities: list[str]
    instructions: str
    voice: Any
    "A name, or an object with an `id`."
    output_format: AudioFormat
    max_output_tokens: int | str
    metadata: JsonDict | None = None
    input: tuple[Record, ...] | None = None
    "What is shown to the mind in place of the conversation."
    prompt: str = ""
    "Instructions at the end, for a response that no words of the user led to."
    offer: Offer = NO_OFFER
    "The functions that may be called."

    @property
    def spoken(self) -> bool:
        return "audio" in self.output_modalities

    @property
    def in_conversation(self) -> bool:
        return self.conversation_id is not None


@dataclass
class RunningAnswer:
    """A response that is being made."""

    plan: Plan
    new_id: Callable[[str], str]
    input_tokens: Tokens = field(default_factory=Tokens)
    started: bool = False
    "Whether a mind was asked; before that it waits for the words of the user."
    items: list[AnswerItem] = field(default_factory=list)
    "Its output so far."
    growing: AnswerItem | None = None
    "The last of the items, until it is ended."
    text: str = ""
    "All that costs text tokens: words, names of functions, arguments."
    audio_bytes: int = 0
    "At 24 kHz."

    # -------------------------------------------------------------------------------- beginning

    def created(self) -> ServerEvent:
        return events.ResponseCreated(response=Response(self._to_wire("in_progress")))

    def open_message(self) -> AnswerMessage:
        """Begin a message; the caller announces it."""
        spoken_in = self.plan.output_format if self.plan.spoken else None
        message = AnswerMessage(self.plan.id, self.new_id("item"), len(self.items), spoken_in)
        self.growing = message
        self.items.append(message)
        return message

    def open_call(self, name: str) -> AnswerCallItem:
        """Begin a call; the caller announces it."""
        call_id = self.new_id("call")
        call = AnswerCallItem(
            self.plan.id, self.new_id("item"), len(self.items), call_id=call_id, name=name
        )
        self.growing = call
        self.items.append(call)
        self.text += name
        return call

    # ---------------------------------------------------------------------------------- growing

    @property
    def audio_ms(self) -> int:
        return ms_of_samples(self.audio_bytes // 2)

    @property
    def tokens(self) -> Tokens:
        return Tokens(text=text_tokens(self.text), audio=-(-self.audio_bytes // TOKEN_BYTES))

    @property
    def budget(self) -> int | None:
        """Tokens that may still come; None when there is no limit."""
        limit = self.plan.max_output_tokens
        return None if isinstance(limit, str) else max(0, limit - self.tokens.total)

    @property
    def text_room(self) -> int | None:
        """Characters that may still come, the rest of the last token included."""
        budget = self.budget
        return (
            None if budget is None else budget * CHARS_PER_TOKEN - len(self.text) % -CHARS_PER_TOKEN
        )

    @property
    def audio_room(self) -> int | None:
        """Bytes at 24 kHz that may still come, the rest of the last token included."""
        budget = self.budget
        return None if budget is None else budget * TOKEN_BYTES - self.audio_bytes % -TOKEN_BYTES

    def say(self, message: AnswerMessage, text: str) -> Iterator[ServerEvent]:
        """Add text to the message that grows."""
        self.text += text
        return message.say(text)

    def sound(self, message: AnswerMessage, pcm: bytes) -> Iterator[ServerEvent]:
        """Add audio to it: PCM16 24 kHz, whole samples."""
        self.audio_bytes += len(pcm)
        return message.sound(pcm)

    def argue(self, call: AnswerCallItem, text: str) -> Iterator[ServerEvent]:
        """Add arguments to the call that grows."""
        self.text += text
        return call.argue(text)

    # ----------------------------------------------------------------------------------- ending

    def done(
        self, status: Status, reason: Reason | None = None, error: JsonDict | None = None
    ) -> ServerEvent:
        """The last event; the item that grew must be ended before."""
        details: JsonDict | None = None if status == "completed" else {"type": status}
        if details is not None and reason is not None:
            details["reason"] = reason
        if details is not None and error is not None:
            details["error"] = error
        fields = self._to_wire(status)
        fields["status_details"] = details
        fields["output"] = [item.record.to_wire() for item in self.items]
        fields["usage"] = usage(self.input_tokens, self.tokens)
        return events.ResponseDone(response=Response(fields))

    def _to_wire(self, status: str) -> JsonDict:
        plan = self.plan
        audio = {"format": wire_format(plan.output_format), "voice": plan.voice}
        return {
            "object": "realtime.response",
            "id": plan.id,
            "status": status,
            "status_details": None,
            "output": [],
            "conversation_id": plan.conversation_id,
            "output_modalities": list(plan.output_modalities),
            "max_output_tokens": plan.max_output_tokens,
            "audio": {"output": audio},
            "usage": None,
            "metadata": plan.metadata,
        }
