"""One response, from `response.created` to `response.done`.

An answer knows nothing of the conversation. It is told pieces of text and audio, and gives the
events that say so, in the order of the API. It may be ended at any moment, whole or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from voicecli.audio.pcm import WIRE_RATE_HZ, ms_of_samples
from voicecli.audio.wire import WireEncoder
from voicecli.engine.items import Record
from voicecli.engine.spoken import Spoken
from voicecli.engine.usage import TOKEN_BYTES, Tokens, text_tokens, usage
from voicecli.protocol import events
from voicecli.protocol.events import ServerEvent
from voicecli.protocol.objects import Item, JsonDict, Part, Response
from voicecli.protocol.settings import AudioFormat, wire_format

Reason: TypeAlias = Literal["turn_detected", "client_cancelled", "max_output_tokens"]
Status: TypeAlias = Literal["completed", "cancelled", "incomplete", "failed"]

DELTA_BYTES: Final = WIRE_RATE_HZ * 2 // 5
"The longest audio delta: 200 ms at 24 kHz."


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

    @property
    def spoken(self) -> bool:
        return "audio" in self.output_modalities

    @property
    def in_conversation(self) -> bool:
        return self.conversation_id is not None


@dataclass
class RunningAnswer:
    """A response that is being made, with at most one message in its output."""

    plan: Plan
    item_id: str
    "The id its message will have, if it comes to one."
    input_tokens: Tokens = field(default_factory=Tokens)
    started: bool = False
    "Whether a mind was asked; before that it waits for the words of the user."
    record: Record | None = None
    "The message; None until there is something in it."
    text: str = ""
    audio_bytes: int = 0
    "At 24 kHz."
    _encoder: WireEncoder | None = None

    # -------------------------------------------------------------------------------- beginning

    def created(self) -> ServerEvent:
        return events.ResponseCreated(response=Response(self._to_wire("in_progress")))

    def open(self) -> tuple[Record, list[ServerEvent]]:
        """Begin the message; the caller announces it in the conversation, then `part_added`."""
        content: list[JsonDict] = [] if self.plan.spoken else [{"type": "output_text", "text": ""}]
        fields = {**self.opening_item(), "content": content}
        del fields["id"]
        record = self.record = Record(self.item_id, fields)
        if self.plan.spoken:
            record.spoken = Spoken()
            self._encoder = WireEncoder(self.plan.output_format)
        added = events.ResponseOutputItemAdded(
            response_id=self.plan.id, output_index=0, item=Item(self.opening_item())
        )
        return record, [added]

    def opening_item(self) -> JsonDict:
        """The message as it is announced: without content."""
        return {
            "id": self.item_id,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }

    def part_added(self) -> ServerEvent:
        return events.ResponseContentPartAdded(part=self._part(""), **self._place)

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

    def say(self, record: Record, text: str) -> Iterator[ServerEvent]:
        """Add text; in a spoken answer its audio follows."""
        self.text += text
        if record.spoken is None:
            record.fields["content"][0]["text"] = self.text
            yield events.ResponseOutputTextDelta(delta=text, **self._place)
            return
        record.spoken.say(text)
        yield events.ResponseOutputAudioTranscriptDelta(delta=text, **self._place)

    def sound(self, record: Record, pcm: bytes) -> Iterator[ServerEvent]:
        """Add audio of the text told last: PCM16 24 kHz, whole samples."""
        if record.spoken is None or self._encoder is None:
            return
        record.spoken.sound(len(pcm) // 2)
        record.audio += pcm
        self.audio_bytes += len(pcm)
        for start in range(0, len(pcm), DELTA_BYTES):
            yield from self._delta(self._encoder.encode(pcm[start : start + DELTA_BYTES]))

    # ----------------------------------------------------------------------------------- ending

    def close(self, record: Record, *, whole: bool) -> Iterator[ServerEvent]:
        """End the part; the caller then tells the conversation, then `item_done`."""
        record.fields["status"] = "completed" if whole else "incomplete"
        if record.spoken is None:
            yield events.ResponseOutputTextDone(text=self.text, **self._place)
        else:
            if whole:
                record.spoken.finish()
            if self._encoder is not None:
                yield from self._delta(self._encoder.finish())
            yield events.ResponseOutputAudioDone(**self._place)
            yield events.ResponseOutputAudioTranscriptDone(transcript=self.text, **self._place)
        yield events.ResponseContentPartDone(part=self._part(self.text), **self._place)

    def item_done(self, record: Record) -> ServerEvent:
        return events.ResponseOutputItemDone(
            response_id=self.plan.id, output_index=0, item=Item(record.to_wire())
        )

    def done(
        self, status: Status, reason: Reason | None = None, error: JsonDict | None = None
    ) -> ServerEvent:
        """The last event; the message must be closed before."""
        details: JsonDict | None = None if status == "completed" else {"type": status}
        if details is not None and reason is not None:
            details["reason"] = reason
        if details is not None and error is not None:
            details["error"] = error
        fields = self._to_wire(status)
        fields["status_details"] = details
        fields["output"] = [] if self.record is None else [self.record.to_wire()]
        fields["usage"] = usage(self.input_tokens, self.tokens)
        return events.ResponseDone(response=Response(fields))

    # ------------------------------------------------------------------------------------ parts

    def _delta(self, encoded: bytes) -> Iterator[ServerEvent]:
        if encoded:
            yield events.ResponseOutputAudioDelta(delta=encoded, **self._place)

    def _part(self, text: str) -> Part:
        if self.plan.spoken:
            return Part({"type": "audio", "transcript": text})
        return Part({"type": "text", "text": text})

    @property
    def _place(self) -> dict[str, Any]:
        return {
            "response_id": self.plan.id,
            "item_id": self.item_id,
            "output_index": 0,
            "content_index": 0,
        }

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
