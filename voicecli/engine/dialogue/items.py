"""The conversation: items in order, what clients may add to it, what the mind sees of it.

An item has two faces. On the wire it is what the API says; a truncated item, for one, has lost its
transcript. The mind is shown what was really said and heard.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from voicecli.engine.dialogue import checks, item_fields
from voicecli.engine.dialogue.checks import Refusal
from voicecli.engine.dialogue.jobs import Breath
from voicecli.engine.dialogue.listening import MAX_BUFFER_MS, Clip
from voicecli.engine.dialogue.messages import Call, Message
from voicecli.engine.dialogue.recoding import in_base64, recoded
from voicecli.engine.dialogue.spoken import Spoken
from voicecli.protocol.objects import JsonDict
from voicecli.protocol.settings import AudioFormat

MAX_ITEMS: Final = 10_000
MAX_GIVEN_CHARS: Final = 16 * 1024 * 1024
"Text and images in the items of a conversation that a client has added."
MAX_ID_CHARS: Final = 512
AUDIO_KEPT_BYTES: Final = 30_000_000
"About ten minutes: the audio of items before that cannot be retrieved any more."

_WITH_STATUS: Final = ("message", "function_call", "function_call_output")


@dataclass(eq=False)
class Record:
    """One item: its wire form and what only the server knows about it."""

    id: str
    fields: JsonDict
    "As the client gave it or as the API would show it; content of audio items is made from below."
    clip: Clip | None = None
    "Audio of the user, of all its parts; emptied when it is too old to be kept."
    part_bytes: tuple[int, ...] = ()
    "How much of `clip` each part has that has audio; empty: it is all of one part."
    buffered: bool = False
    "Whether it came through the input audio buffer."
    transcript: str | None = None
    "Words of the user's audio; None until the ears are through."
    failure: str = ""
    "Why there is no transcript and will be none."
    spoken: Spoken | None = None
    "Audio of the assistant."
    audio: bytearray = field(default_factory=bytearray)
    "PCM16 24 kHz of `spoken`, as long as it is kept."
    given_chars: int = 0
    "Of text and images, if a client has added it."

    def __post_init__(self) -> None:
        self.clip_ms = 0 if self.clip is None else self.clip.duration_ms

    @property
    def type(self) -> str:
        return str(self.fields["type"])

    @property
    def role(self) -> str:
        return str(self.fields.get("role", ""))

    @property
    def awaits_transcript(self) -> bool:
        return self.clip is not None and self.transcript is None and not self.failure

    @property
    def kept_bytes(self) -> int:
        return len(self.audio) + (0 if self.clip is None else len(self.clip.audio))

    def forget_audio(self) -> None:
        """Free the memory; what was said stays known."""
        self.audio = bytearray()
        self.clip = None if self.clip is None else Clip()

    def understood(self, words: str) -> None:
        """The ears are through; their copy of the audio is not needed any more."""
        self.transcript = words.strip()
        self.clip = None if self.clip is None else Clip(self.clip.audio, self.clip.format)

    @property
    def is_wordless(self) -> bool:
        """Audio of the user in which nobody said anything."""
        return self.clip is not None and not self.awaits_transcript and not self.words()

    def to_wire(self) -> JsonDict:
        """A copy without audio, as most events carry it."""
        shown = {"id": self.id, **self.fields}
        if self.spoken is not None:
            cut = self.spoken.cut_samples is not None
            text = "" if cut else self.spoken.text
            shown["content"] = [{"type": "output_audio", "transcript": text}]
        elif "content" in shown:
            shown["content"] = [self._shown_part(part) for part in shown["content"]]
        return shown

    def _shown_part(self, part: JsonDict) -> JsonDict:
        if part["type"] != "input_audio":
            return dict(part)
        # The recognised words come in an event of their own; the item shows what the client gave.
        return {"type": "input_audio", "transcript": part.get("transcript")}

    def to_wire_with_audio(
        self, heard_in: AudioFormat, spoken_in: AudioFormat
    ) -> Generator[Breath, None, JsonDict]:
        """A copy with the audio that is still kept, as `conversation.item.retrieved` carries it.

        Args:
            heard_in: the format for audio of the user.
            spoken_in: the format for audio of the assistant.
        """
        shown = self.to_wire()
        spoken = [one for one in shown.get("content", []) if one["type"] == "input_audio"]
        if self.clip is not None:
            clip = self.clip
            for part, audio in zip(spoken, self._audio_by_part(clip), strict=False):
                made = yield from recoded(audio, clip.format, heard_in)
                part["audio"] = yield from in_base64(made)
            # The parts are understood together.
            spoken[0]["transcript"] = self.transcript
        for part in shown.get("content", []):
            if part["type"] == "output_audio" and self.spoken is not None:
                kept = len(self.audio)
                if self.spoken.cut_samples is not None:
                    kept = min(kept, self.spoken.cut_samples * 2)
                made = yield from recoded(bytes(self.audio[:kept]), "pcm", spoken_in)
                part["audio"] = yield from in_base64(made)
        return shown

    def _audio_by_part(self, clip: Clip) -> Iterator[bytes]:
        start = 0
        for length in self.part_bytes or (len(clip.audio),):
            yield clip.audio[start : start + length]
            start += length

    def words(self) -> str:
        """What was said in it, as far as it was heard."""
        match self.type:
            case "function_call":
                return f"{self.fields['name']}({self.fields['arguments']})"
            case "function_call_output":
                return str(self.fields["output"])
            case "message" if self.spoken is not None:
                return self.spoken.heard.strip()
            case "message":
                return " ".join(one for one in self._said() if one)
        return ""

    def _said(self) -> Iterator[str]:
        heard = self.transcript
        for part in self.fields["content"]:
            if part["type"] != "input_audio":
                yield str(part.get("text") or "").strip()
            elif heard:
                yield heard.strip()
                heard = ""  # of all parts together
            elif not self.transcript:
                yield str(part.get("transcript") or "").strip()

    @property
    def call(self) -> Call | None:
        """The call that it is, unless that was cut off."""
        if self.type != "function_call" or self.fields["status"] != "completed":
            return None
        return Call(
            str(self.fields["call_id"]), str(self.fields["name"]), str(self.fields["arguments"])
        )

    def for_mind(self) -> Message | None:
        """What the mind sees of it where it stands; None when there is nothing to see."""
        words = self.words()
        if not words or self.type == "function_call":
            return None
        if self.type == "function_call_output":
            # That of a call which is not shown.
            return Message("user", f"[result of a call: {words}]")
        match self.role:
            case "assistant":
                return Message("assistant", words)
            case "system":
                return Message("system", words)
        return Message("user", words)


class Items:
    """The items of one conversation, in order."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._by_id: dict[str, Record] = {}
        self._with_audio: list[str] = []

    def __iter__(self) -> Iterator[Record]:
        return (self._by_id[item_id] for item_id in self._order)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._by_id

    @property
    def last_id(self) -> str | None:
        return self._order[-1] if self._order else None

    def before(self, item_id: str) -> str | None:
        """The id of the item before this one, if there are both."""
        place = self._order.index(item_id) if item_id in self._by_id else 0
        return self._order[place - 1] if place else None

    def find(self, item_id: str, code: str) -> Record:
        """The item of this id.

        Raises:
            Refusal: with `code`, there is none.
        """
        if item_id not in self._by_id:
            shown = item_id[:64]
            raise Refusal(code, f"Item with id '{shown}' does not exist.", "item_id")
        return self._by_id[item_id]

    def get(self, item_id: str) -> Record | None:
        return self._by_id.get(item_id)

    def add(self, record: Record, previous_id: str | None = None) -> str | None:
        """Put an item at the end, after another one or (`root`) at the beginning.

        Returns:
            The id of the item before it.
        """
        if previous_id == "root":
            place = 0
        elif previous_id is None:
            place = len(self._order)
        else:
            place = self._order.index(previous_id) + 1
        self._order.insert(place, record.id)
        self._by_id[record.id] = record
        if record.clip_ms or record.spoken is not None:
            self._with_audio.append(record.id)
            self.forget_old_audio()
        return self._order[place - 1] if place else None

    def delete(self, item_id: str) -> Record:
        """Take an item out.

        Raises:
            Refusal: there is none of this id.
        """
        record = self.find(item_id, "item_delete_invalid_item_id")
        del self._by_id[item_id]
        self._order.remove(item_id)
        if item_id in self._with_audio:
            self._with_audio.remove(item_id)
        return record

    def forget_old_audio(self) -> None:
        """Keep the newest audio only, up to `AUDIO_KEPT_BYTES`."""
        kept = 0
        for index in range(len(self._with_audio) - 1, -1, -1):
            kept += self._by_id[self._with_audio[index]].kept_bytes
            if kept > AUDIO_KEPT_BYTES:
                for item_id in self._with_audio[: index + 1]:
                    self._by_id[item_id].forget_audio()
                del self._with_audio[: index + 1]
                return

    def check_new(self, item_id: str, previous_id: str | None, chars: int = 0) -> None:
        """Whether an item with this id may come after that one.

        Raises:
            Refusal: the id is taken or unusable, there is no such place, or there are too many
                items, or too much is in them with these `chars`.
        """
        if not item_id or len(item_id) > MAX_ID_CHARS or item_id == "root":
            raise checks.wrong_value(item_id, "item.id", f"1 to {MAX_ID_CHARS} characters")
        if item_id in self._by_id:
            raise checks.wrong_value(item_id, "item.id", "an id that no other item has")
        if previous_id not in (None, "root") and previous_id not in self._by_id:
            raise checks.wrong_value(
                previous_id, "previous_item_id", "the id of an item, or 'root'"
            )
        if len(self._order) >= MAX_ITEMS:
            raise Refusal(
                "invalid_value", f"A conversation holds at most {MAX_ITEMS} items.", "item"
            )
        if chars + sum(one.given_chars for one in self) > MAX_GIVEN_CHARS:
            allowed = f"at most {MAX_GIVEN_CHARS} characters in the items of a conversation"
            raise checks.wrong_value(f"{chars} more characters", "item", allowed)

    def has_call(self, call_id: str) -> bool:
        """Whether a function call of this id is in the conversation."""
        return any(
            record.type == "function_call" and record.fields.get("call_id") == call_id
            for record in self
        )


def chars_in(value: Any) -> int:
    """Characters in all texts of a JSON value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(chars_in(one) for one in value.values())
    return sum(chars_in(one) for one in value) if isinstance(value, list) else 0


def record_from(
    wire: JsonDict, param: str, new_id: Callable[[str], str], audio_format: AudioFormat
) -> Record:
    """An item from a client.

    Args:
        wire: what the client sent; not kept.
        param: the path to it, for refusals.
        new_id: makes an id from a prefix.
        audio_format: what audio in it is encoded in.

    Raises:
        Refusal: it is no item, or not one that a client may add.
    """
    fields = item_fields.item(wire, param)
    item_id = fields.pop("id", None) or new_id("item")
    fields.pop("object", None)
    fields.pop("phase", None)
    fields.pop("status", None)
    if fields["type"] in _WITH_STATUS:
        fields["status"] = "completed"
    if fields["type"] == "function_call":
        fields["call_id"] = fields.get("call_id") or new_id("call")
    parts = [part for part in fields.get("content", []) if part["type"] == "input_audio"]
    audio: list[bytes] = [part.pop("audio", None) or b"" for part in parts]
    if not any(audio):
        return Record(item_id, fields)
    clip = Clip(b"".join(audio), audio_format)
    if clip.duration_ms > MAX_BUFFER_MS:
        allowed = f"at most {MAX_BUFFER_MS // 1000} s of audio"
        raise checks.wrong_value(f"{clip.duration_ms // 1000} s", f"{param}.content", allowed)
    return Record(item_id, fields, clip, tuple(map(len, audio)))


def user_audio(item_id: str, clip: Clip) -> Record:
    """The item that a committed input buffer becomes."""
    content = [{"type": "input_audio", "transcript": None}]
    fields: JsonDict = {
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": content,
    }
    return Record(item_id, fields, clip, buffered=True)
