"""What goes through the door of the dialogue beside client events, and what comes out of it.

The dialogue asks for work by *jobs* (`Transcribe`, `Answer`) and is told of their results by
*inputs*. A job has an id; results of a job that is over or was cancelled change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from voicecli.engine.dialogue.messages import NO_OFFER, Message, Offer
from voicecli.protocol.events import Event, MalformedEvent, ServerEvent, UnknownEvent
from voicecli.protocol.settings import AudioFormat

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
    code: str = "transcription_failed"
    kind: str = "server_error"
    "The `type` of the error that the client is told of."


@dataclass(frozen=True)
class Judged:
    """How likely it is that a turn is over."""

    job: str
    probability: float | None
    "None: nobody can say."


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
class AnswerCall:
    """The answer calls a function; text and calls told before are complete."""

    job: str
    name: str


@dataclass(frozen=True)
class AnswerArguments:
    """The next of the JSON text with the arguments of the call told last."""

    job: str
    text: str


@dataclass(frozen=True)
class MessageEnd:
    """The message is complete; text that follows begins another one."""

    job: str


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
    | Judged
    | AnswerText
    | AnswerAudio
    | AnswerCall
    | AnswerArguments
    | MessageEnd
    | AnswerFinished
    | AnswerFailed
    | Tick
)

# ----------------------------------------------------------------------------------------- outputs


@dataclass(frozen=True)
class Transcribe:
    """Say what was said."""

    job: str
    pcm16k: bytes
    "PCM16 mono 16 kHz; empty if there is only `encoded`."
    language: str = ""
    "ISO 639-1; empty when the client did not say."
    is_caption: bool = False
    "Only to show what is being said: not to be done while other work is waiting."
    encoded: bytes = b""
    "The audio as the client gave it, in `format`: whoever does the job has to convert it."
    format: AudioFormat = "pcm"


@dataclass(frozen=True)
class CancelTranscription:
    """The result is not wanted any more."""

    job: str


@dataclass(frozen=True)
class JudgeTurn:
    """Say how likely it is that the speaker is through."""

    job: str
    pcm16k: bytes
    "PCM16 mono 16 kHz: the newest of the turn, with the silence at its end."


@dataclass(frozen=True)
class CancelJudgement:
    """The result is not wanted any more."""

    job: str


@dataclass(frozen=True)
class Answer:
    """Think of an answer and, if it is to be heard, speak it."""

    job: str
    messages: tuple[Message, ...]
    "The instructions first, then the conversation, oldest first."
    spoken: bool
    voice: str
    speed: float
    offer: Offer = NO_OFFER
    "The functions that it may call."


@dataclass(frozen=True)
class CancelAnswer:
    """Stop at once; nothing more of it is wanted."""

    job: str


@dataclass(frozen=True)
class Prepare:
    """Answers with these instructions are likely: read them now, if there is nothing else to do.

    Nothing is told of it.
    """

    instructions: str
    offer: Offer


Job: TypeAlias = (
    Transcribe | CancelTranscription | JudgeTurn | CancelJudgement | Answer | CancelAnswer | Prepare
)
Output: TypeAlias = ServerEvent | Job


@dataclass(frozen=True)
class Breath:
    """A place in long work where others may be let go first."""


BREATH: Final = Breath()

Steps: TypeAlias = Iterator[Output | Breath]
"What follows from one input; whoever takes it may wait at each breath."
