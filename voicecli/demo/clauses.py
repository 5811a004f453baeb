"""What can be expected of a conversation: one value for each thing that is judged by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Whose: TypeAlias = Literal["user", "assistant", "heard"]
"`assistant` is the whole text of an answer, `heard` what was heard of it."


@dataclass(frozen=True)
class Contains:
    """These words are said in a row; capitals and punctuation make no difference."""

    whose: Whose
    words: str


@dataclass(frozen=True)
class Absent:
    """These words are not said in a row."""

    whose: Whose
    words: str


@dataclass(frozen=True)
class Matches:
    """This regular expression is found in what is said; case makes no difference."""

    whose: Whose
    regex: str


@dataclass(frozen=True)
class WordErrors:
    """What is said has few errors against what should have been said."""

    whose: Whose
    at_most: float
    "Words that are changed, added or left out, for each word of the reference."
    text: str = ""
    "The reference; empty: what the script says in this exchange."


@dataclass(frozen=True)
class Calls:
    """A function is called with these arguments, among others."""

    name: str
    arguments: Mapping[str, object]
    "Those that matter; inner tables are compared in the same way."


@dataclass(frozen=True)
class CallsNothing:
    """No function is called."""


@dataclass(frozen=True)
class Answered:
    """An answer is heard, or none is."""

    wanted: bool


@dataclass(frozen=True)
class AnsweredWithin:
    """The first sound of the answer comes so soon after the end of the user's speech."""

    ms: float


@dataclass(frozen=True)
class Interrupted:
    """An answer is cut off, or none is."""

    wanted: bool


@dataclass(frozen=True)
class InterruptedWithin:
    """The answer falls silent so soon after the user's voice (or key) began."""

    ms: float


@dataclass(frozen=True)
class TruncatedWithin:
    """What the server is told to keep of a cut answer is that close to what was heard."""

    ms: float


@dataclass(frozen=True)
class Turns:
    """The user takes so many turns: what the server made of his speech."""

    count: int


@dataclass(frozen=True)
class NoErrors:
    """Nothing goes wrong that the user would be told of."""


@dataclass(frozen=True)
class Confirmed:
    """The server has confirmed this setting of the session."""

    key: str
    "As in the configuration: `vad.silence_ms`."
    value: object


Clause: TypeAlias = (
    Contains
    | Absent
    | Matches
    | WordErrors
    | Calls
    | CallsNothing
    | Answered
    | AnsweredWithin
    | Interrupted
    | InterruptedWithin
    | TruncatedWithin
    | Turns
    | NoErrors
    | Confirmed
)
