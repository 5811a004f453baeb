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

from voicecli.audio.activity import SpeechActivity
from voicecli.wording import Wording, laid_over, weight_of

Speaker: TypeAlias = Literal["user", "assistant", "tool"]

TYPICAL_LETTERS_PER_S: Final = 15.0
"English while the voice sounds; used until this talk's own answers tell better."


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
    activity: SpeechActivity = field(default_factory=SpeechActivity, repr=False)
    "Voice and pauses of the audio that was received."
    interrupted: bool = False
    is_settled: bool = False
    "Said, heard and done with: the row will not change any more."


@dataclass
class Transcript:
    """The rows of a conversation in order."""

    _rows: dict[str, Row] = field(default_factory=dict)
    _order: list[str] = field(default_factory=list)
    _letters: float = 0.0
    _voiced_ms: int = 0
    _wordings: dict[str, tuple[object, Wording]] = field(default_factory=dict)

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
        self._wordings.pop(row.item_id, None)
        if row.speaker == "assistant" and row.audio_is_complete and not row.interrupted:
            self._letters += weight_of(row.text)
            self._voiced_ms += row.activity.total_ms

    @property
    def letters_per_s(self) -> float:
        """How fast the assistant speaks while it does, from its answers heard so far."""
        if not (self._letters and self._voiced_ms):
            return TYPICAL_LETTERS_PER_S
        return self._letters * 1000 / self._voiced_ms

    def heard_chars(self, row: Row) -> int:
        """How many characters of the row's text were heard, up to a word's end: an estimate.

        Where the whole audio is known its words are laid over all of it; where an answer was cut
        off in the making, its text runs ahead of the audio that came, and the speaking rate tells.
        """
        if not row.is_spoken or (row.is_settled and not row.interrupted):
            return len(row.text)
        if row.heard_ms <= 0 or not row.text:
            return 0
        if row.audio_is_complete and row.heard_ms >= row.received_ms:
            return len(row.text)
        position = self._wording(row).chars_at(row.activity.voiced_ms(row.heard_ms))
        return _word_end(row.text, position)

    def _wording(self, row: Row) -> Wording:
        rate = None if row.audio_is_complete else self.letters_per_s
        key = (row.text, len(row.activity), rate)
        known = self._wordings.get(row.item_id)
        if known is not None and known[0] == key:
            return known[1]
        wording = laid_over(row.text, row.activity, rate)
        self._wordings[row.item_id] = (key, wording)
        return wording

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
