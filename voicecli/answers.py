"""The audio of answers on its way to the speaker: parts received, finished, heard.

A part is one content part of one item. Its samples are counted as they are received, so that what
is reported as heard can never be more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from voicecli.audio.pcm import ms_of_samples, samples_in
from voicecli.audio.wire import WireDecoder


@dataclass
class AudioPart:
    """One content part: what came of it and whether more will come."""

    item_id: str
    content_index: int
    response_id: str
    decoder: WireDecoder
    received_samples: int = 0
    is_complete: bool = False
    is_played: bool = False


@dataclass(frozen=True)
class ItemHeard:
    """What an interruption left of one item."""

    item_id: str
    content_index: int
    "The part in which it stopped."
    heard_ms: int
    "In that part; for `audio_end_ms`."
    item_heard_ms: int
    "Over all parts of the item."
    item_received_ms: int
    is_complete: bool
    "The server has no more audio of the item than we received."

    @property
    def was_heard_whole(self) -> bool:
        return self.is_complete and self.item_heard_ms >= self.item_received_ms


@dataclass
class Answers:
    """The parts that are not settled yet, in the order in which they are played."""

    new_decoder: Callable[[], WireDecoder]
    _parts: dict[tuple[str, int], AudioPart] = field(default_factory=dict)

    @property
    def are_open(self) -> bool:
        """Whether anything may still be queued or audible."""
        return any(not part.is_played for part in self._parts.values())

    def receive(self, item_id: str, content_index: int, response_id: str, encoded: bytes) -> bytes:
        """Take a delta in; gives the PCM16 at 24 kHz that it holds (perhaps nothing)."""
        part = self._parts.get((item_id, content_index))
        if part is None:
            part = AudioPart(item_id, content_index, response_id, self.new_decoder())
            self._parts[item_id, content_index] = part
        part.is_played = False
        pcm = part.decoder.decode(encoded)
        part.received_samples += samples_in(pcm)
        return pcm

    def complete(self, item_id: str, content_index: int) -> bytes | None:
        """No more deltas of a part will come; gives the last samples, None if it is not known."""
        part = self._parts.get((item_id, content_index))
        if part is None or part.is_complete:
            return None
        part.is_complete = True
        pcm = part.decoder.finish()
        part.received_samples += samples_in(pcm)
        return pcm

    def open_parts_of(self, response_id: str) -> list[AudioPart]:
        """Parts of a response that were not marked complete."""
        return [
            part
            for part in self._parts.values()
            if part.response_id == response_id and not part.is_complete
        ]

    def has_audio(self, item_id: str) -> bool:
        return any(part.item_id == item_id for part in self._parts.values())

    def received_ms(self, item_id: str) -> int:
        return ms_of_samples(sum(part.received_samples for part in self._of(item_id)))

    def is_complete(self, item_id: str) -> bool:
        parts = self._of(item_id)
        return bool(parts) and all(part.is_complete for part in parts)

    def is_played(self, item_id: str) -> bool:
        """Whether every part of the item was heard to its end."""
        parts = self._of(item_id)
        return bool(parts) and all(part.is_played for part in parts)

    def played(self, item_id: str, content_index: int) -> None:
        """A part was heard to its end."""
        part = self._parts.get((item_id, content_index))
        if part is not None:
            part.is_played = True

    def heard_ms(self, item_id: str, emitted: dict[int, int]) -> int:
        """Milliseconds heard of an item.

        Args:
            item_id: the item.
            emitted: samples that left the speaker, by content index, of parts that are not over.
        """
        samples = 0
        for part in self._of(item_id):
            heard = part.received_samples if part.is_played else emitted.get(part.content_index, 0)
            samples += min(heard, part.received_samples)
        return ms_of_samples(samples)

    def interrupted(self, emitted: dict[tuple[str, int], int]) -> tuple[list[ItemHeard], list[str]]:
        """Close everything open.

        Args:
            emitted: samples that left the speaker, by part, of parts that are not over.

        Returns:
            What was heard of each item that was cut, and the ids of those that were heard whole.
        """
        touched = dict.fromkeys(part.item_id for part in self._parts.values() if not part.is_played)
        cut = [self._cut(item_id, emitted) for item_id in touched]
        for item_id in touched:
            self.forget(item_id)
        whole = [item.item_id for item in cut if item.was_heard_whole]
        return [item for item in cut if not item.was_heard_whole], whole

    def forget(self, item_id: str) -> None:
        for part in self._of(item_id):
            del self._parts[part.item_id, part.content_index]

    def _of(self, item_id: str) -> list[AudioPart]:
        return [part for part in self._parts.values() if part.item_id == item_id]

    def _cut(self, item_id: str, emitted: dict[tuple[str, int], int]) -> ItemHeard:
        parts = self._of(item_id)
        heard = {part.content_index: _heard_samples(part, emitted) for part in parts}
        unplayed = [part for part in parts if not part.is_played]
        stopped_in = _last_heard(unplayed, heard)
        return ItemHeard(
            item_id=item_id,
            content_index=stopped_in.content_index,
            heard_ms=ms_of_samples(heard[stopped_in.content_index]),
            item_heard_ms=ms_of_samples(sum(heard.values())),
            item_received_ms=ms_of_samples(sum(part.received_samples for part in parts)),
            is_complete=all(part.is_complete for part in parts),
        )


def _heard_samples(part: AudioPart, emitted: dict[tuple[str, int], int]) -> int:
    # The speaker lists every part that is not over: one that it does not list was heard whole.
    heard = emitted.get((part.item_id, part.content_index), part.received_samples)
    return part.received_samples if part.is_played else min(heard, part.received_samples)


def _last_heard(parts: Iterable[AudioPart], heard: dict[int, int]) -> AudioPart:
    """The part in which the sound stopped: the last one with something heard, else the first."""
    ordered = list(parts)
    sounding = [part for part in ordered if heard[part.content_index]]
    return sounding[-1] if sounding else ordered[0]
