"""What a conversation wants done, one value each; the session carries them out in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from voicecli import reports
from voicecli.errors import VoicecliError
from voicecli.protocol.events import ClientEvent


@dataclass(frozen=True, slots=True)
class Send:
    """Send an event to the server."""

    event: ClientEvent


@dataclass(frozen=True, slots=True)
class Play:
    """Queue PCM16 at 24 kHz behind what the speaker has."""

    item_id: str
    content_index: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class FinishPart:
    """Tell the speaker that no more audio of a part will come."""

    item_id: str
    content_index: int


@dataclass(frozen=True, slots=True)
class SetGain:
    """Play on this loud: 1.0 is full level; 0.0 pauses, until another gain plays on from there."""

    gain: float


@dataclass(frozen=True, slots=True)
class StopPlayback:
    """Fall silent now, and play at full level what comes after it.

    The speaker's account comes back as `PlaybackStopped`.
    """


@dataclass(frozen=True, slots=True)
class CallTool:
    """Run a function; its result comes back as `ToolFinished`."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Show or print a report."""

    report: reports.Report


@dataclass(frozen=True, slots=True)
class Finish:
    """End the talk: in good order when `error` is None."""

    reason: str
    error: VoicecliError | None = None


Action: TypeAlias = Send | Play | FinishPart | SetGain | StopPlayback | CallTool | Tell | Finish
