"""Writes the transcript: what each event, input and report of the speaker changes in it.

Every method changes rows and gives the reports that the change is worth. What must not be heard any
more is the conversation's business: it does not call for events of silenced responses.
"""

from __future__ import annotations

from voicecli import reports
from voicecli.answers import ItemHeard
from voicecli.protocol import events
from voicecli.protocol.objects import Item
from voicecli.reports import AssistantReport, Report, UserReport
from voicecli.toolcalls import Call
from voicecli.transcript import Row, Transcript


class Scribe:
    """The one writer of a transcript."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    # ---------------------------------------------------------------------------------------- items

    def placed(self, item: Item, previous_item_id: str | None, *, is_new: bool) -> None:
        """The server has an item; a new one says where it belongs, its end is not to be trusted."""
        if item.type != "message" or item.role not in ("user", "assistant") or not item.id:
            return
        row = self._transcript.row(item.id, "user" if item.role == "user" else "assistant")
        if is_new:
            self._transcript.place(item.id, previous_item_id)
        if row.speaker == "user" and not row.text:
            row.text = item.text

    def deleted(self, item_id: str) -> None:
        """An item is gone; what was cut off stays to be seen."""
        row = self._transcript.get(item_id)
        if row is not None and not row.interrupted:
            self._transcript.remove(item_id)

    # ---------------------------------------------------------------------------------------- user

    def user_began(self, item_id: str) -> None:
        if item_id:
            self._transcript.row(item_id, "user")

    def user_committed(self, item_id: str, previous_item_id: str | None) -> None:
        self._transcript.row(item_id, "user")
        self._transcript.place(item_id, previous_item_id)

    def user_typed(self, item_id: str, text: str) -> UserReport:
        row = self._transcript.row(item_id, "user")
        row.text, row.is_spoken = text, False
        self._transcript.settle(row)
        return UserReport(item_id=item_id, text=text, final=True)

    def user_delta(self, event: events.InputAudioTranscriptionDelta) -> list[Report]:
        row = self._transcript.row(event.item_id, "user")
        if row.is_final or not event.delta:
            return []
        row.text += event.delta
        return [UserReport(item_id=row.item_id, text=row.text, final=False)]

    def user_text(self, event: events.InputAudioTranscriptionCompleted) -> UserReport:
        """The whole of the user's words, or with some servers all of them so far."""
        row = self._transcript.row(event.item_id, "user")
        row.text = event.transcript.strip()
        # xAI sends several of these, each with all the text so far.
        is_final = (event.unknown or {}).get("status") != "in_progress"
        if is_final:
            self._transcript.settle(row)
        return UserReport(item_id=row.item_id, text=row.text, final=is_final)

    def user_failed(self, item_id: str) -> None:
        self._transcript.settle(self._transcript.row(item_id, "user"))

    def users_are_final(self) -> None:
        """There will be no transcripts: what the user said stays as it is."""
        for row in self._transcript:
            if row.speaker == "user" and not row.is_settled:
                self._transcript.settle(row)

    # ----------------------------------------------------------------------------------- assistant

    def answer_began(self, item_id: str) -> None:
        self._transcript.row(item_id, "assistant")

    def answer_delta(self, item_id: str, delta: str) -> list[Report]:
        row = self._transcript.row(item_id, "assistant")
        if row.is_settled or not delta:
            return []
        row.text += delta
        return [self._assistant(row)]

    def answer_text(self, item_id: str, text: str) -> None:
        """The whole text; a server that sends it only here has sent no deltas."""
        row = self._transcript.row(item_id, "assistant")
        if row.is_settled:
            return
        row.is_final = True
        if len(text) > len(row.text):
            row.text = text

    def audio_received(
        self, item_id: str, pcm: bytes, received_ms: int, *, is_complete: bool
    ) -> None:
        row = self._transcript.row(item_id, "assistant")
        row.activity.push(pcm)
        row.received_ms, row.audio_is_complete = received_ms, is_complete

    def answer_written(self, item: Item) -> list[Report]:
        """An answer without audio is over when its response is."""
        row = self._transcript.row(item.id, "assistant")
        if row.is_settled:
            return []
        row.text = row.text or item.text
        row.is_spoken = False
        self._transcript.settle(row)
        return [self._assistant(row)]

    def answer_heard(self, item_id: str) -> list[Report]:
        """An answer was heard to its end."""
        row = self._transcript.get(item_id)
        if row is None or row.is_settled:
            return []
        row.heard_ms = row.received_ms
        self._transcript.settle(row)
        return [self._assistant(row)]

    def answer_cut(self, item: ItemHeard) -> AssistantReport:
        """An answer was interrupted."""
        row = self._transcript.row(item.item_id, "assistant")
        row.interrupted = True
        row.audio_is_complete = item.is_complete
        row.heard_ms, row.received_ms = item.item_heard_ms, item.item_received_ms
        self._transcript.settle(row)
        return self._assistant(row)

    def was_heard(self, item_id: str) -> bool:
        """Whether anything of an answer reached the user."""
        row = self._transcript.get(item_id)
        return row is not None and (row.heard_ms > 0 or (row.is_settled and not row.interrupted))

    def _assistant(self, row: Row) -> AssistantReport:
        return AssistantReport(
            item_id=row.item_id,
            text=row.text,
            final=row.is_settled,
            heard_ms=row.heard_ms,
            received_ms=row.received_ms,
            interrupted=row.interrupted,
            heard_text=self._transcript.heard_text(row),
        )

    # --------------------------------------------------------------------------------------- tools

    def call_began(self, call: Call) -> reports.ToolReport:
        row = self._transcript.row(call.item_id, "tool")
        row.text, row.is_spoken = f"{call.name}({call.arguments})", False
        return _tool(call, None)

    def call_ended(self, call: Call, output: str) -> reports.ToolReport:
        row = self._transcript.row(call.item_id, "tool")
        row.text += f" → {output}"
        self._transcript.settle(row)
        return _tool(call, output)


def _tool(call: Call, output: str | None) -> reports.ToolReport:
    return reports.ToolReport(
        call_id=call.call_id, name=call.name, arguments=call.arguments, output=output
    )
