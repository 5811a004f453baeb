"""Who said what, as it grows: rows keyed by item, in the server's order.

Nothing arrives in order. The user's words may come after the answer to them, an item is announced
before or after its text, and an answer runs seconds ahead of what is heard of it. So a row is found
by its item's id, placed by `previous_item_id`, and keeps the whole text beside how much of its
audio was heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Speaker: TypeAlias = Literal["user", "assistant", "tool"]

TYPICAL_CHARS_PER_S: Final = 15.0
"Conversational English, spaces included; used until this talk's own answers tell better."


@dataclass
class Row:
    """One item as the screen shows it."""

    item_id: str
    speaker: Speaker
    text: str = ""
    is_final: bool = False
    "The text will not change any more."
    received_ms: int = 0
    heard_ms: int = 0
    is_spoken: bool = True
    "False for what was typed or only written."
    audio_is_complete: bool = False
    "All audio of the item has been received: `received_ms` is its whole length."
    interrupted: bool = False
    is_settled: bool = False
    "Said, heard and done with: the row will not change any more."


@dataclass
class Transcript:
    """The rows of a conversation in order."""

    _rows: dict[str, Row] = field(default_factory=dict)
    _order: list[str] = field(default_factory=list)
    _chars: int = 0
    _audio_ms: int = 0

    def __iter__(self) -> Iterator[Row]:
        return (self._rows[item_id] for item_id in self._order)

    def __len__(self) -> int:
        return len(self._order)

    def get(self, item_id: str) -> Row | None:
        return self._rows.get(item_id)

    def row(self, item_id: str, speaker: Speaker) -> Row:
        """The row of an item; a new one goes to the end."""
        row = self._rows.get(item_id)
        if row is None:
            row = self._rows[item_id] = Row(item_id, speaker)
            self._order.append(item_id)
        return row

    def place(self, item_id: str, previous_item_id: str | None) -> None:
        """Move a row to where the server says it belongs; unknown neighbours change nothing."""
        if previous_item_id is None or item_id == previous_item_id:
            return
        if item_id not in self._rows or previous_item_id not in self._rows:
            return
        self._order.remove(item_id)
        self._order.insert(self._order.index(previous_item_id) + 1, item_id)

    def remove(self, item_id: str) -> None:
        if self._rows.pop(item_id, None) is not None:
            self._order.remove(item_id)

    def settle(self, row: Row) -> None:
        """Close a row for good, and learn the speaking rate from it when it was heard whole."""
        row.is_final = row.is_settled = True
        if row.speaker == "assistant" and row.audio_is_complete and not row.interrupted:
            self._chars += len(row.text)
            self._audio_ms += row.received_ms

    @property
    def chars_per_s(self) -> float:
        """How fast the assistant speaks, from its answers heard so far."""
        return self._chars * 1000 / self._audio_ms if self._audio_ms else TYPICAL_CHARS_PER_S

    def heard_chars(self, row: Row) -> int:
        """How many characters of the row's text were heard, up to a word's end: an estimate.

        Text is not aligned with audio on the wire. Where the whole audio is known the share that
        was heard is taken of the text; where an answer was cut off in the making, its text runs
        ahead of the audio that came, and the speaking rate tells instead.
        """
        if not row.is_spoken or (row.is_settled and not row.interrupted):
            return len(row.text)
        if row.heard_ms <= 0 or not row.text:
            return 0
        if row.audio_is_complete and row.heard_ms >= row.received_ms:
            return len(row.text)
        if row.audio_is_complete:
            share = row.heard_ms / row.received_ms
        else:
            share = row.heard_ms * self.chars_per_s / 1000 / len(row.text)
        return _word_end(row.text, min(len(row.text), round(share * len(row.text))))

    def heard_text(self, row: Row) -> str:
        return row.text[: self.heard_chars(row)].rstrip()


def _word_end(text: str, position: int) -> int:
    """The end of the last word that begins before `position` and is at least half passed there."""
    if position >= len(text):
        return len(text)
    start = text.rfind(" ", 0, position) + 1
    end = text.find(" ", position)
    end = len(text) if end < 0 else end
    return end if (position - start) * 2 >= end - start else max(0, start - 1)
