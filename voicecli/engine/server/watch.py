"""What the events of one session say about it: for its journal, its figures, and its end.

Pure: it sees the events that are sent, with their times, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from voicecli.protocol import events
from voicecli.protocol.events import ServerEvent
from voicecli.protocol.objects import JsonDict

OTHER_CODE: Final = "other"
KNOWN_CODES: Final = frozenset(
    {
        "invalid_value",
        "invalid_type",
        "invalid_event",
        "unknown_parameter",
        "missing_required_parameter",
        "input_audio_buffer_commit_empty",
        "response_cancel_not_active",
        "conversation_already_has_active_response",
        "cannot_update_voice",
        "unsupported_content_type",
        "item_retrieve_invalid_item_id",
        "item_truncate_invalid_item_id",
        "item_delete_invalid_item_id",
    }
)
"Codes that have a figure of their own."


ERRORS_WRITTEN: Final = 20
"Of a session; more are only counted, so that a client cannot fill the disk."


@dataclass
class _Answer:
    asked_at: float
    began_at: float
    first_s: float | None = None


@dataclass
class Watch:
    """One session, as its events show it.

    Args:
        write: takes an entry for the journal: its name and fields.
        count: one more of a figure, with labels.
        observe: seconds for a figure.
        words: whether what was said goes into the journal.
    """

    write: Callable[..., None]
    count: Callable[..., None]
    observe: Callable[[str, float], None]
    words: bool = False
    turns: int = 0
    responses: int = 0
    errors: int = 0
    _answers: dict[str, _Answer] = field(default_factory=dict)
    _turn_ended_at: float | None = None

    @property
    def is_answering(self) -> bool:
        """Whether a response has begun and not ended."""
        return bool(self._answers)

    def sent(self, event: ServerEvent, at: float) -> None:
        """An event is on its way to the client."""
        match event:
            case events.ResponseOutputAudioDelta(response_id=response_id):
                self._began(response_id, at)
            case events.ResponseOutputTextDelta(response_id=response_id):
                self._began(response_id, at)
            case events.InputAudioBufferSpeechStopped():
                self._turn_ended_at = at
            case events.InputAudioBufferCommitted(item_id=item_id):
                self.turns += 1
                self.count("turns_total")
                self.write("turn", item=item_id)
            case events.InputAudioTranscriptionCompleted():
                if self.words:
                    self.write("heard", item=event.item_id, text=event.transcript)
            case events.ResponseCreated(response=response):
                asked_at, self._turn_ended_at = self._turn_ended_at or at, None
                self._answers[str(response.fields["id"])] = _Answer(asked_at, at)
            case events.ResponseDone(response=response):
                self._ended(response.fields, at)
            case events.ErrorEvent(error=error):
                self._refused(error.fields)

    def _began(self, response_id: str, at: float) -> None:
        answer = self._answers.get(response_id)
        if answer is not None and answer.first_s is None:
            answer.first_s = at - answer.asked_at
            self.observe("first_output_seconds", answer.first_s)

    def _ended(self, response: JsonDict, at: float) -> None:
        answer = self._answers.pop(str(response["id"]), None)
        status = str(response["status"])
        self.responses += 1
        self.count("responses_total", status=status)
        details = response.get("status_details") or {}
        entry: dict[str, Any] = {
            "response": response["id"],
            "status": status,
            "reason": details.get("reason"),
            "error": (details.get("error") or {}).get("message"),
        }
        if answer is not None:
            entry["seconds"] = round(at - answer.began_at, 3)
            if answer.first_s is not None:
                entry["first_output_s"] = round(answer.first_s, 3)
        if self.words:
            entry["text"] = _text_of(response)
        self.write("response", **entry)

    def _refused(self, error: JsonDict) -> None:
        self.errors += 1
        code = error.get("code")
        self.count("errors_total", code=code if code in KNOWN_CODES else OTHER_CODE)
        if self.errors <= ERRORS_WRITTEN:
            # Its message may quote the client's words.
            self.write("error", code=code, param=error.get("param"))


def _text_of(response: JsonDict) -> str | None:
    parts = [part for item in response.get("output") or () for part in item.get("content") or ()]
    texts = [str(part.get("transcript") or part.get("text") or "") for part in parts]
    return " ".join(text for text in texts if text) or None
