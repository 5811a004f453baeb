"""What a demo script consists of: the values that reading one gives.

A script is a list of steps. The user's acts among them (`say`, `type`, `press`, `interrupt`, …)
come one after the other, each as soon as the one before is over; `wait` holds the next one back.
What is said and heard from one act up to the next is an *exchange*, and an expectation is about the
exchange that it stands in, or about the whole talk. docs/demos.md describes the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from voicecli.demo.clauses import Clause

PATIENCE_S: Final = 30.0
"How long a moment is waited for, if the script does not say."

State: TypeAlias = Literal["listening", "hearing", "thinking", "speaking"]
"A phase of the conversation."

Key: TypeAlias = Literal["space", "esc"]
"`space` is push to talk, `esc` interrupts."

NoiseKind: TypeAlias = Literal["white", "pink", "babble", "cough"]


@dataclass(frozen=True)
class Place:
    """Where something stands."""

    source: str
    "The file, as it is shown."
    line: int
    "From 1."

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"


# ------------------------------------------------------------------------------------- what is said


@dataclass(frozen=True)
class Words:
    """Spoken by the local voice."""

    text: str
    voice: str = ""
    "One of the local voices; empty: that of the script, else one that is not the assistant's."


@dataclass(frozen=True)
class WavSpeech:
    """A file with somebody's voice."""

    path: str
    "Can be opened as it is: relative names were put beside the script."
    text: str = ""
    "What is said in it, if the script tells: the measure of word errors."


@dataclass(frozen=True)
class RecordedSpeech:
    """A turn of a recording."""

    recording: str
    "A name, the beginning of one, a path, or `last`: see `recording.library.find`."
    turn: int
    "Which of the turns that the user spoke, from 1."
    text: str = ""
    "What is said in it, if the script tells."


Speech: TypeAlias = Words | WavSpeech | RecordedSpeech


# ---------------------------------------------------------------------------------------- the verbs


@dataclass(frozen=True)
class Say:
    """Speak."""

    speech: Speech


@dataclass(frozen=True)
class Type:
    """Send a written message."""

    text: str


@dataclass(frozen=True)
class Press:
    """Press a key; `space` stays down until `Release`, or while something is said."""

    key: Key
    speech: Speech | None = None
    "With `space`: it is held while this is said, and let go."


@dataclass(frozen=True)
class Release:
    """Let push to talk go."""


@dataclass(frozen=True)
class AtWord:
    """When this has been heard of the answer, by the estimate of the transcript."""

    words: str
    "A word, or some in a row; capitals and punctuation make no difference."
    occurrence: int = 1
    "The first time, the second, …"


@dataclass(frozen=True)
class HeardMs:
    """When so much of the answer has been heard; gaps in its sound do not count."""

    ms: float


@dataclass(frozen=True)
class AfterMs:
    """So long after the answer began to be heard."""

    ms: float


Moment: TypeAlias = AtWord | HeardMs | AfterMs


@dataclass(frozen=True)
class Interrupt:
    """Do something in the middle of the answer to the act before."""

    act: Say | Type | Press
    moment: Moment
    timeout_s: float = PATIENCE_S
    "Without that moment for so long the step fails, and the act is done all the same."


@dataclass(frozen=True)
class Mute:
    """Mute the microphone, or hear it again."""

    is_muted: bool


@dataclass(frozen=True)
class Noise:
    """Noise on the microphone from now on; a cough, and what is `once`, ends by itself."""

    kind: NoiseKind | Literal["wav", "off"]
    snr_db: float = 20.0
    "How much the user's speech is louder."
    path: str = ""
    "Of a WAV file."
    once: bool = False


@dataclass(frozen=True)
class Set:
    """Change the session's settings while it goes on."""

    values: Mapping[str, object]
    "By key of the configuration, with dots: `vad.silence_ms`."


@dataclass(frozen=True)
class Note:
    """Something for the audience to read."""

    text: str


@dataclass(frozen=True)
class UntilAnswered:
    """Until the answer to the last act has been heard to its end."""


@dataclass(frozen=True)
class UntilState:
    """Until the conversation is in this phase."""

    state: State


@dataclass(frozen=True)
class ForSeconds:
    """For a time: a pause."""

    seconds: float


@dataclass(frozen=True)
class UntilSaid:
    """Until this is found in what somebody has said since the last act, as far as it was heard."""

    regex: str
    "Compiles; case makes no difference."
    by: Literal["assistant", "user"] = "assistant"


@dataclass(frozen=True)
class UntilCalled:
    """Until the model has called this function since the last act, and it has run."""

    tool: str


Until: TypeAlias = UntilAnswered | UntilState | ForSeconds | UntilSaid | UntilCalled


@dataclass(frozen=True)
class Wait:
    """Hold back what follows."""

    until: Until
    timeout_s: float = PATIENCE_S
    "After so long the step fails, and the script goes on."


@dataclass(frozen=True)
class Expect:
    """What is to be true of the exchange that this stands in, or of the whole talk."""

    clauses: tuple[Clause, ...]
    places: tuple[Place, ...] = field(default=(), compare=False)
    "Where each of the clauses stands; empty: where the step does."

    def placed(self, step: Place) -> Iterator[tuple[Clause, Place]]:
        """Each clause and where it stands; `step` is where the whole of it does."""
        return zip(self.clauses, self.places or (step,) * len(self.clauses), strict=True)


Verb: TypeAlias = (
    Say | Type | Press | Release | Interrupt | Mute | Noise | Set | Note | Wait | Expect
)


# --------------------------------------------------------------------------------------- the script


@dataclass(frozen=True)
class Step:
    """One step, and where it stands."""

    place: Place
    verb: Verb
    text: str = ""
    'Short, for a list of results: `say "What makes the tide?"`.'


@dataclass(frozen=True, kw_only=True)
class Script:
    """A script that was read, checked, and put together with what it includes."""

    source: str
    "The file, as it is shown."
    title: str = ""
    description: str = ""
    user_voice: str = ""
    "Of the local voices; empty: one that is not the assistant's."
    session: Mapping[str, object] = field(default_factory=dict)
    "By key of the configuration, with dots; relative files were put beside the script."
    steps: tuple[Step, ...] = ()
    at_end: tuple[Step, ...] = ()
    "What is expected of the whole talk: their verbs are `Expect`."
    then: str = ""
    "The script that follows, as a path that can be opened; empty: none."
    variables: frozenset[str] = frozenset()
    "Names that are declared or used."
