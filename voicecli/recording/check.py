"""Does a recording still come out as it was: every action computed again, and compared."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any

import msgspec

from voicecli.actions import Action, Send
from voicecli.protocol.events import InputAudioBufferAppend
from voicecli.recording.fold import Fold, Source, Step
from voicecli.recording.format import (
    ACTION_CODES,
    Entry,
    action_lines,
    line,
)


@dataclass(frozen=True)
class Difference:
    """An action that is not what it was."""

    at: float
    cause: str
    "The line of the input that led to it."
    recorded: str | None
    "The line of the action as it was; None: there was none."
    computed: str | None
    "As it is now; None: there is none."


@dataclass
class Checked:
    """What has been compared so far."""

    inputs: int = 0
    actions: int = 0
    at: float = 0.0


class Check:
    """Compares a recording with what the conversation makes of its inputs now.

    What needs audio that was not kept is left out: the bytes sent and played, the words that were
    heard of an answer that was cut off, and, where the user's audio is missing, finding the end of
    the user's speech anew.
    """

    def __init__(self, source: Source) -> None:
        kept = source.header.audio
        self.checked = Checked()
        self._source = source
        self._fold = Fold(source, relives_voice=kept == "both")
        self._sums_up_audio = kept != "none"

    def differences(self) -> Iterator[Difference]:
        """All differences in order; `checked` tells how far it is meanwhile.

        Only the first one is sure to be a cause: what follows may be its consequence.
        """
        step: Step | None = None
        recorded: list[Entry] = []
        is_whole = False
        for entry in self._source.entries():
            if entry.code in ACTION_CODES:
                recorded.append(entry)
                continue
            taken = self._fold.take(entry)
            if taken is None:
                is_whole = True
                continue
            if step is not None:
                yield from self._compared(step, recorded)
            step, recorded, is_whole = taken, [], False
        if step is not None:
            yield from self._compared(step, recorded, is_whole=is_whole)

    def _compared(
        self, step: Step, recorded: Sequence[Entry], *, is_whole: bool = True
    ) -> Iterator[Difference]:
        """Compare one step; of one that is not whole, the recording ended before all of it."""
        actions: Sequence[Action] = step.actions
        self.checked.at = step.at
        self.checked.inputs += 1
        if step.entry.code == "mic":
            actions = actions[1:] if _is_append(actions) else actions
            yield from self._frame(step)
        self.checked.actions += len(step.actions)
        lines = action_lines(step.at, actions, with_audio=self._sums_up_audio)
        for was, now in zip_longest(recorded, lines if is_whole else islice(lines, len(recorded))):
            text = None if was is None else was.line
            if not self._are_equal(text, now):
                yield Difference(step.at, _shown(step.entry.line), _text(text), _text(now))

    def _frame(self, step: Step) -> Iterator[Difference]:
        """Compare what was appended: its size, and its checksum if there is one."""
        was = step.entry
        sent = _sent_audio(step.actions)
        recorded = was.all_values[1:3]
        now = [] if sent is None else [len(sent), zlib.crc32(sent)][: max(1, len(recorded))]
        if recorded != now:
            computed = line(step.at, "mic", was.value(0), *now)
            yield Difference(step.at, _shown(was.line), _shown(was.line), _shown(computed))

    def _are_equal(self, was: bytes | None, now: bytes | None) -> bool:
        if was is None or now is None:
            return False
        with_audio = self._sums_up_audio
        return was == now or (
            _values(was, with_audio=with_audio) == _values(now, with_audio=with_audio)
        )


def _is_append(actions: Sequence[Action]) -> bool:
    return bool(actions) and _sent_audio(actions) is not None


def _sent_audio(actions: Sequence[Action]) -> bytes | None:
    if actions and isinstance(actions[0], Send):
        event = actions[0].event
        if isinstance(event, InputAudioBufferAppend):
            return event.audio
    return None


def _values(text: bytes, *, with_audio: bool) -> list[Any]:
    """The values of a line of an action; without audio only those that can be found without."""
    values: list[Any] = msgspec.json.decode(text)
    if not with_audio and values[1:2] == ["tell"] and isinstance(values[-1], dict):
        # Words are placed by the pauses of the voice.
        values[-1].pop("heard_text", None)
    return values


def _text(text: bytes | None) -> str | None:
    return None if text is None else _shown(text)


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace").rstrip("\n")
