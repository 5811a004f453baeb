"""Everything that can happen to a conversation, one value each.

An edge turns what it sees into one of these; `Conversation.handle` is the one door they go through.
Times are handed to the door beside the input, in seconds since the connection opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from voicecli.audio.playback import FULL_LEVEL, Gain, Heard
from voicecli.protocol.codec import Decoded
from voicecli.protocol.objects import JsonDict


@dataclass(frozen=True, slots=True)
class Received:
    """One message came from the server."""

    event: Decoded
    text: bytes = field(default=b"", repr=False, compare=False)
    "As it came, for whoever keeps it; `event` is all that is to be understood of it."


@dataclass(frozen=True, slots=True)
class MicFrame:
    """The microphone gave 20 ms of PCM16 at 24 kHz."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class MicEnded:
    """The file or pipe that serves as microphone is through; only silence follows."""


@dataclass(frozen=True, slots=True)
class PartStarted:
    """The first sample of a part has been handed to the speaker."""

    item_id: str
    content_index: int
    sounds_at: float
    "When it leaves the speaker, in seconds since the connection opened."


@dataclass(frozen=True, slots=True)
class PartEmitted:
    """A stretch of a part has been handed to the speaker without a gap (`playback.Emitted`)."""

    item_id: str
    content_index: int
    first_sample: int
    samples: int
    sounds_at: float
    "When the first of them leaves the speaker, in seconds since the connection opened."
    fade_samples: int = 0
    gain: Gain = FULL_LEVEL


@dataclass(frozen=True, slots=True)
class PartPlayed:
    """The last sample of a part that is complete has been handed to the speaker."""

    item_id: str
    content_index: int


@dataclass(frozen=True, slots=True)
class PlaybackDrained:
    """The speaker has nothing more to play for now."""


@dataclass(frozen=True, slots=True)
class PlaybackStopped:
    """The answer to `StopPlayback`: what will have been heard of each part that was not over."""

    heard: tuple[Heard, ...]


@dataclass(frozen=True, slots=True)
class TalkPressed:
    """Push to talk: the user begins to speak."""


@dataclass(frozen=True, slots=True)
class TalkReleased:
    """Push to talk: the user is done."""


@dataclass(frozen=True, slots=True)
class MuteToggled:
    """The microphone is to be muted, or heard again."""


@dataclass(frozen=True, slots=True)
class MarkerSet:
    """The user wants to find this moment again."""


@dataclass(frozen=True, slots=True)
class InterruptPressed:
    """The user wants the assistant to be quiet."""


@dataclass(frozen=True, slots=True)
class TextTyped:
    """The user sent a written message."""

    text: str


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The session's settings are to be others from now on."""

    changes: JsonDict
    "Of the `session` object, in the GA shape: what changes, and nothing else."


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A function call has run, or failed; `output` is what the model is told either way."""

    call_id: str
    output: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Noticed:
    """An edge has something to tell the user: a silent microphone, a disk that is full."""

    message: str
    source: Literal["audio", "connection", "recording", "note"]


@dataclass(frozen=True, slots=True)
class Woke:
    """The time that `next_timer` named has come."""


@dataclass(frozen=True, slots=True)
class QuitPressed:
    """The user wants to end the talk."""


Input: TypeAlias = (
    Received
    | MicFrame
    | MicEnded
    | PartStarted
    | PartEmitted
    | PartPlayed
    | PlaybackDrained
    | PlaybackStopped
    | TalkPressed
    | TalkReleased
    | MuteToggled
    | MarkerSet
    | InterruptPressed
    | TextTyped
    | SettingsChanged
    | ToolFinished
    | Noticed
    | Woke
    | QuitPressed
)
