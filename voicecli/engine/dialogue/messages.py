"""What a mind is shown, and what it says beside words: messages, functions, calls.

Pure: the words that the dialogue and the minds share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from voicecli.protocol.objects import JsonDict

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function that was made earlier."""

    id: str
    name: str
    arguments: str
    "JSON text as the mind wrote it, valid or not."


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that was said, instructions, or what a function gave back."""

    role: Role
    text: str
    calls: tuple[Call, ...] = ()
    "Of the assistant: what it called after it had said `text`. The results are the next messages."
    call_id: str = ""
    "Of a `tool`: the call that `text` is the result of."


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called."""

    name: str
    description: str = ""
    parameters: JsonDict = field(default_factory=dict)
    "A JSON schema of an object; empty: it takes none."


@dataclass(frozen=True, slots=True)
class Offer:
    """The functions offered for one answer."""

    tools: tuple[Tool, ...] = ()
    choice: Literal["auto", "required"] = "auto"
    "`required`: one of them has to be called."

    def find(self, name: str) -> Tool | None:
        """The function of this name."""
        return next((tool for tool in self.tools if tool.name == name), None)


NO_OFFER: Final = Offer()


@dataclass(frozen=True, slots=True)
class CallStart:
    """A mind begins to call a function; its arguments follow."""

    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next of the JSON text with the arguments of the call begun last."""

    text: str


Piece: TypeAlias = str | CallStart | CallArguments
"What an answer is made of: words, and calls, each ended by whatever comes after it."
