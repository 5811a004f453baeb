"""The output items of a response as they grow: a message, spoken or written, and a function call.

Each gives the events of its own life, in the order of the API; what is told of it to the
conversation (`conversation.item.added` and `done`) is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.audio.wire import WireEncoder
from voicecli.engine.dialogue.items import Record
from voicecli.engine.dialogue.spoken import Spoken
from voicecli.protocol import events
from voicecli.protocol.events import ServerEvent
from voicecli.protocol.objects import Item, JsonDict, Part
from voicecli.protocol.settings import AudioFormat

DELTA_BYTES: Final = WIRE_RATE_HZ * 2 // 5
"The longest audio delta: 200 ms at 24 kHz."
ARGUMENTS_CHARS: Final = 40
"The longest delta of arguments, some ten tokens: clients have to put them together anyway."


class AnswerItem:
    """What both kinds have in common.

    Args:
        response_id: of the response it belongs to.
        item_id: its own.
        output_index: its place in the response's output.
        fields: the item as it is announced, without its id.
    """

    def __init__(self, response_id: str, item_id: str, output_index: int, fields: JsonDict) -> None:
        self.record = Record(item_id, fields)
        self.opening = {"id": item_id, **fields}
        "The item as it is announced."
        self.text = ""
        "All that is in it, in words."
        self._place: dict[str, Any] = {
            "response_id": response_id, "item_id": item_id, "output_index": output_index,
        }  # fmt: skip

    def added(self) -> ServerEvent:
        """The first event of all."""
        return events.ResponseOutputItemAdded(
            response_id=self._place["response_id"],
            output_index=self._place["output_index"],
            item=Item(self.opening),
        )

    def begun(self) -> Iterator[ServerEvent]:
        """What follows once the conversation was told."""
        yield from ()

    def ended(self, *, whole: bool) -> Iterator[ServerEvent]:
        """The end of what is in it; the caller then tells the conversation, then `done`."""
        self.record.fields["status"] = "completed" if whole else "incomplete"
        yield from self._ended(whole=whole)

    def done(self) -> ServerEvent:
        """The last event of all."""
        return events.ResponseOutputItemDone(
            response_id=self._place["response_id"],
            output_index=self._place["output_index"],
            item=Item(self.record.to_wire()),
        )

    def _ended(self, *, whole: bool) -> Iterator[ServerEvent]:
        raise NotImplementedError


class AnswerMessage(AnswerItem):
    """A message of the assistant with one part.

    Args:
        response_id: see `AnswerItem`.
        item_id: see `AnswerItem`.
        output_index: see `AnswerItem`.
        audio_format: what it is heard in; None: it is written.
    """

    def __init__(
        self, response_id: str, item_id: str, output_index: int, audio_format: AudioFormat | None
    ) -> None:
        fields: JsonDict = {"type": "message", "status": "in_progress", "role": "assistant"}
        super().__init__(response_id, item_id, output_index, {**fields, "content": []})
        self._part_place = {**self._place, "content_index": 0}
        self._encoder: WireEncoder | None = None
        if audio_format is None:
            self.record.fields["content"] = [{"type": "output_text", "text": ""}]
        else:
            self.record.spoken = Spoken()
            self._encoder = WireEncoder(audio_format)

    def begun(self) -> Iterator[ServerEvent]:
        yield events.ResponseContentPartAdded(part=self._part(), **self._part_place)

    def say(self, text: str) -> Iterator[ServerEvent]:
        """Add text; in a spoken message its audio follows."""
        self.text += text
        if self.record.spoken is None:
            self.record.fields["content"][0]["text"] = self.text
            yield events.ResponseOutputTextDelta(delta=text, **self._part_place)
            return
        self.record.spoken.say(text)
        yield events.ResponseOutputAudioTranscriptDelta(delta=text, **self._part_place)

    def sound(self, pcm: bytes) -> Iterator[ServerEvent]:
        """Add audio of the text told last: PCM16 24 kHz, whole samples."""
        if self.record.spoken is None or self._encoder is None:
            return
        self.record.spoken.sound(len(pcm) // 2)
        self.record.audio += pcm
        for start in range(0, len(pcm), DELTA_BYTES):
            yield from self._delta(self._encoder.encode(pcm[start : start + DELTA_BYTES]))

    def _ended(self, *, whole: bool) -> Iterator[ServerEvent]:
        if self.record.spoken is None or self._encoder is None:
            yield events.ResponseOutputTextDone(text=self.text, **self._part_place)
        else:
            if whole:
                self.record.spoken.finish()
            yield from self._delta(self._encoder.finish())
            yield events.ResponseOutputAudioDone(**self._part_place)
            yield events.ResponseOutputAudioTranscriptDone(transcript=self.text, **self._part_place)
        yield events.ResponseContentPartDone(part=self._part(), **self._part_place)

    def _delta(self, encoded: bytes) -> Iterator[ServerEvent]:
        if encoded:
            yield events.ResponseOutputAudioDelta(delta=encoded, **self._part_place)

    def _part(self) -> Part:
        if self.record.spoken is not None:
            return Part({"type": "audio", "transcript": self.text})
        return Part({"type": "text", "text": self.text})


class AnswerCallItem(AnswerItem):
    """A call of a function.

    Args:
        response_id: see `AnswerItem`.
        item_id: see `AnswerItem`.
        output_index: see `AnswerItem`.
        call_id: what the client's output will refer to.
        name: of the function.
    """

    def __init__(
        self, response_id: str, item_id: str, output_index: int, *, call_id: str, name: str
    ) -> None:
        fields = {"type": "function_call", "status": "in_progress", "name": name}
        super().__init__(
            response_id, item_id, output_index, {**fields, "call_id": call_id, "arguments": ""}
        )
        self._call_id = call_id
        self._name = name

    def argue(self, text: str) -> Iterator[ServerEvent]:
        """Add to the JSON text of its arguments."""
        self.text += text
        self.record.fields["arguments"] = self.text
        for start in range(0, len(text), ARGUMENTS_CHARS):
            yield events.ResponseFunctionCallArgumentsDelta(
                call_id=self._call_id, delta=text[start : start + ARGUMENTS_CHARS], **self._place
            )

    def _ended(self, *, whole: bool) -> Iterator[ServerEvent]:
        yield events.ResponseFunctionCallArgumentsDone(
            call_id=self._call_id, name=self._name, arguments=self.text, **self._place
        )
