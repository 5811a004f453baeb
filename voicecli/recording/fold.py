"""A recording through the door again: the same inputs, into a fresh conversation.

What is talked about here is the recorded time. Nothing waits and nothing is played.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from voicecli import inputs
from voicecli.actions import Action
from voicecli.audio.pcm import SILENT_FRAME
from voicecli.bargein import BargeInRules, Near, NearVoice
from voicecli.conversation import Conversation, Options
from voicecli.errors import RecordingError
from voicecli.recording.format import Entry, Header, frame_of, input_of, settings_of
from voicecli.timing import VoiceEnd


class Source(Protocol):
    """What is needed of a recording that can be read."""

    header: Header

    def entries(self, position: int | None = None) -> Iterator[Entry]: ...

    def entry_at(self, position: int) -> Entry | None: ...

    def audio_of(self, entry: Entry) -> bytes: ...


class RecordedVoice(VoiceEnd):
    """The end of the user's speech as it was found when the recording was made."""

    def push(self, pcm: bytes, at: float) -> None:
        """Nothing: `heard` tells."""

    def heard(self, at: float) -> None:
        """The voice was heard up to here."""
        self.at = at


class RecordedNearVoice(NearVoice):
    """Which frames were a voice for the barge-in when the recording was made."""

    def __init__(self) -> None:
        self.near = Near.NOTHING

    def push(self, pcm: bytes) -> Near:
        """What was set for this frame."""
        return self.near


class Step(NamedTuple):
    """One input, and what came of it now."""

    at: float
    an_input: inputs.Input
    actions: Sequence[Action]
    entry: Entry
    "The line of the input."


def options_of(header: Header) -> Options:
    """The options of the conversation that was recorded.

    Raises:
        RecordingError: they are damaged.
    """
    kept = header.options
    try:
        return Options(
            settings=settings_of(header.settings),
            server=header.server,
            linger_s=float(kept.get("linger_s", 3.0)),
            max_minutes=msgspec.convert(kept.get("max_minutes"), float | None),
            talk_at_start=bool(kept.get("talk_at_start", False)),
            barge_in=msgspec.convert(kept.get("barge_in") or {}, BargeInRules),
        )
    except (TypeError, ValueError, msgspec.ValidationError) as exc:
        raise RecordingError(f"the recording's options are damaged: {exc}") from exc


@dataclass
class Fold:
    """The conversation of a recording, carried forward step by step.

    Args:
        source: read from; its position is this fold's from now on.
        relives_voice: find the end of the user's speech in the audio again, as a check does,
            instead of taking it from the recording, which needs no audio.
    """

    source: Source
    relives_voice: bool = False

    def __post_init__(self) -> None:
        self._voice = VoiceEnd() if self.relives_voice else RecordedVoice()
        self._near = None if self.relives_voice else RecordedNearVoice()
        options = options_of(self.source.header)
        self.conversation = Conversation(options, self._voice, self._near)
        self._position: int | None = None

    def start_at_rest(self, position: int, session_lines: Iterable[int], turns: int) -> None:
        """Begin where nothing was going on, instead of at the beginning.

        Args:
            position: in the file of events, as a `rest` mark gives it.
            session_lines: positions of the lines by which the session was set up.
            turns: how many there were before.
        """
        for start in session_lines:
            entry = self.source.entry_at(start)
            if entry is None:
                continue
            an_input = input_of(entry)
            if an_input is not None:
                self.conversation.handle(an_input, entry.at)
        self.conversation.counts.turns = turns
        self._position = position

    def steps(self, *, audio: bool = True) -> Iterator[Step]:
        """Every step up to the end.

        Args:
            audio: read the user's audio; without, frames are silent. Of the assistant's audio the
                length counts, so it is always read.

        Raises:
            RecordingError: a line is damaged beyond use.
        """
        for entry in self.source.entries(self._position):
            step = self.take(entry, audio=audio)
            if step is not None:
                yield step

    def take(self, entry: Entry, *, audio: bool = True) -> Step | None:
        """Carry the conversation one entry forward; None for entries that are no inputs."""
        an_input = self._input(entry, audio=audio)
        if an_input is None:
            return None
        return Step(entry.at, an_input, self.conversation.handle(an_input, entry.at), entry)

    def _input(self, entry: Entry, *, audio: bool) -> inputs.Input | None:
        if entry.code != "mic":
            return input_of(entry, self.source.audio_of(entry))
        frame = frame_of(entry)
        if isinstance(self._voice, RecordedVoice) and frame.voice:
            self._voice.heard(entry.at)
        if self._near is not None:
            self._near.near = frame.near
        return inputs.MicFrame((self.source.audio_of(entry) if audio else b"") or SILENT_FRAME)
