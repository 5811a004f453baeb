"""What a conversation tells the outside, one value each: the lines of `--json` and of plain output.

`encode_report` writes a report as one JSON object with its `type` and `at_ms`, milliseconds since
the connection opened. `docs/json.md` describes every field.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec


class Report(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something the user, or a script, wants to know."""

    @property
    def type(self) -> str:
        return str(self.__struct_config__.tag)


class SessionReport(Report, frozen=True, kw_only=True, tag="session"):
    """The server has confirmed the session."""

    server: str
    session_id: str
    model: str
    voice: str


class UserReport(Report, frozen=True, kw_only=True, tag="user"):
    """The user's words so far; `final` once the transcript is complete."""

    item_id: str
    text: str
    final: bool


class AssistantReport(Report, frozen=True, kw_only=True, tag="assistant"):
    """The assistant's words so far; `final` once all of it was heard or cut off."""

    item_id: str
    text: str
    final: bool
    heard_ms: int
    "Audio of this item that left the speaker."
    received_ms: int
    "Audio of this item that came from the server and was to be played."
    interrupted: bool
    heard_text: str
    "The words that were heard (an estimate, when interrupted)."


class BargeInReport(Report, frozen=True, kw_only=True, tag="barge_in"):
    """The user cut an answer off."""

    item_id: str
    "The item being heard."
    heard_ms: int
    received_ms: int
    by: str
    "`voice`, `key` or `text`."


class FalseAlarmReport(Report, frozen=True, kw_only=True, tag="false_alarm"):
    """An answer was softened because of a voice that was no interruption, and came back."""

    text: str
    "What was said over it; empty for a noise."
    softened_ms: int
    "For how long."


class TurnReport(Report, frozen=True, kw_only=True, tag="turn"):
    """How long an answer took, in milliseconds from the end of the user's speech.

    None where the point was never reached. A typed turn counts from when it was sent.
    """

    item_id: str
    "The assistant's first item."
    speech_stopped_ms: int | None
    "The server's decision that the turn had ended."
    response_created_ms: int | None
    first_delta_ms: int | None
    "The first audio received."
    first_sound_ms: int | None
    "The first sample out of the speaker."


class ToolReport(Report, frozen=True, kw_only=True, tag="tool"):
    """A function the model called, before (`output` null) and after it ran."""

    call_id: str
    name: str
    arguments: str
    output: str | None


class ErrorReport(Report, frozen=True, kw_only=True, tag="error"):
    """Something went wrong; the talk goes on unless a summary follows."""

    message: str
    code: str
    source: str
    "`server`, `protocol`, `tool`, `audio`, `connection` or `recording`."


class NoteReport(Report, frozen=True, kw_only=True, tag="note"):
    """Something worth knowing that is no error."""

    message: str


class MarkerReport(Report, frozen=True, kw_only=True, tag="marker"):
    """The user has marked this moment."""

    number: int
    "From 1."


class SummaryReport(Report, frozen=True, kw_only=True, tag="summary"):
    """The last line: the whole talk in numbers."""

    reason: str
    turns: int
    interruptions: int
    seconds: float
    dropped_frames: int
    underflows: int
    latency_ms: int | None
    "Median of `first_sound_ms`."
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_tokens: int


def encode_report(report: Report, at_ms: int) -> bytes:
    """One line of JSON without its line end: `type` first, then `at_ms`, then the fields."""
    fields = msgspec.to_builtins(report)
    line = msgspec.json.encode({"type": fields.pop("type"), "at_ms": at_ms, **fields})
    return _CONTROLS.sub(_escaped, line)


_CONTROLS: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]")
"What JSON leaves as it is and a terminal obeys: U+007F to U+009F in UTF-8."


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u00%02x" % found[0][-1]
