"""What goes through the door of the dialogue beside client events, and what comes out of it.

The dialogue asks for work by *jobs* (`Transcribe`, `Answer`) and is told of their results by
*inputs*. A job has an id; results of a job that is over or was cancelled change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from voicecli.protocol.events import Event, MalformedEvent, ServerEvent, UnknownEvent

# ------------------------------------------------------------------------------------------ inputs


@dataclass(frozen=True)
class Transcribed:
    """The ears are through with a job."""

    job: str
    text: str
    "Empty when there were no words."


@dataclass(frozen=True)
class TranscriptionFailed:
    """The ears cannot do a job."""

    job: str
    message: str


@dataclass(frozen=True)
class AnswerText:
    """The next piece of an answer.

    When the answer is spoken, the pieces are sentences or clauses, and each comes right before its
    audio: that is how the dialogue knows which words lie where.
    """

    job: str
    text: str


@dataclass(frozen=True)
class AnswerAudio:
    """The next audio of the piece of text told last."""

    job: str
    pcm: bytes
    "PCM16 mono 24 kHz, whole samples, any length."


@dataclass(frozen=True)
class AnswerFinished:
    """All text and audio of the answer have been told."""

    job: str


@dataclass(frozen=True)
class AnswerFailed:
    """No more will come; `message` says why."""

    job: str
    message: str


@dataclass(frozen=True)
class Tick:
    """The time that `next_timer` named may have come."""


Input: TypeAlias = (
    Event
    | UnknownEvent
    | MalformedEvent
    | Transcribed
    | TranscriptionFailed
    | AnswerText
    | AnswerAudio
    | AnswerFinished
    | AnswerFailed
    | Tick
)

# ----------------------------------------------------------------------------------------- outputs


@dataclass(frozen=True)
class Said:
    """One thing that was said, or instructions: what a mind is shown."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Transcribe:
    """Say what was said."""

    job: str
    pcm16k: bytes
    "PCM16 mono 16 kHz."


@dataclass(frozen=True)
class CancelTranscription:
    """The result is not wanted any more."""

    job: str


@dataclass(frozen=True)
class Answer:
    """Think of an answer and, if it is to be heard, speak it."""

    job: str
    messages: tuple[Said, ...]
    "The instructions first, then the conversation, oldest first."
    spoken: bool
    voice: str
    speed: float


@dataclass(frozen=True)
class CancelAnswer:
    """Stop at once; nothing more of it is wanted."""

    job: str


Job: TypeAlias = Transcribe | CancelTranscription | Answer | CancelAnswer
Output: TypeAlias = ServerEvent | Job
