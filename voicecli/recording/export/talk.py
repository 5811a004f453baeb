"""A recording folded once into plain facts: who said what and when, and how long it took.

All exports of text, and the commands that show and compare recordings, are made of this. It holds
text and numbers only; all times are seconds since the connection opened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Protocol, TypeAlias

import msgspec

from voicecli import inputs, reports
from voicecli.actions import Tell
from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.protocol import events
from voicecli.protocol.objects import Usage
from voicecli.recording.fold import Fold, Source, Step
from voicecli.recording.format import Entry, Header, Values
from voicecli.recording.playing.ending import ending_told
from voicecli.transcript import Row

Speaker: TypeAlias = Literal["user", "assistant", "tool"]

_GAP_S = 0.01
"Runs that are closer together are one."


class Readable(Source, Protocol):
    """What is needed of a recording."""

    warnings: list[str]

    @property
    def name(self) -> str: ...


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole recording is about."""

    name: str
    "Of the recording's folder."
    created: str
    "UTC, RFC 3339."
    program: str
    "Name and version of what recorded."
    server: str
    "As the configuration called it."
    url: str
    model: str
    "As the server told it, or else as it was asked for."
    voice: str
    session_id: str
    audio: str
    "Whose audio was kept: `none`, `assistant` or `both`."
    seconds: float
    "Time of the last line."
    ended_suddenly: bool
    "There is no line that says how the talk ended."
    error: str
    "What ended the talk, where it did not end in good order; else empty."
    source: str
    "The recording whose user speaks here, when this one comes of running it again."
    settings: Values
    "What the server was asked for."
    warnings: list[str]
    "What could not be read."


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from the end of the user's speech; None where the point was never reached."""

    speech_stopped_ms: int | None
    "The server's decision that the turn had ended."
    response_created_ms: int | None
    first_delta_ms: int | None
    first_sound_ms: int | None
    "The first sample out of the speaker."


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model called."""

    call_id: str
    name: str
    arguments: str
    "JSON text as the model wrote it, valid or not."
    output: str | None
    "None: it never ended."
    failed: bool


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Sound without a gap."""

    begins_at: float
    ends_at: float

    @property
    def seconds(self) -> float:
        return self.ends_at - self.begins_at


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the conversation: what the user or the assistant said, or a function call."""

    turn: int
    "Number of the user's turn that this is, or follows: as the `turn` marks count; 0 before any."
    speaker: Speaker
    item_id: str
    text: str
    "The whole text; of a call `name(arguments)`. Empty where nothing was understood."
    heard_text: str
    "What of it was heard (an estimate, when it was cut off); of the user the whole text."
    unheard_text: str
    "The rest; empty when all was heard."
    by: str
    "Of the user: `voice`, `key` (push to talk) or `text` (typed); else empty."
    is_spoken: bool
    "False for what was typed or only written."
    begins_at: float | None
    "First sound of the user's voice, or the assistant's first sample out of the speaker; of text "
    "when it was sent or told. None: never."
    ends_at: float | None
    "End of the user's voice; the assistant's last sample out of the speaker."
    runs: list[Run]
    "When the assistant was heard, in order; there are gaps where the network was slow."
    heard_ms: int
    "The assistant's audio that left the speaker."
    received_ms: int
    "The assistant's audio that came from the server and was to be played."
    interrupted: bool
    "The user cut it off."
    interrupted_by: str
    "`voice`, `key` or `text`; else empty."
    is_over: bool
    "False: the talk ended before this did."
    latency: Latency | None
    "Of an answer, when it was the first one to a turn."
    call: Call | None
    "Of a function call."

    @property
    def is_cut_off(self) -> bool:
        """Whether some of the words were never heard."""
        return bool(self.unheard_text)


NoticeKind: TypeAlias = Literal["error", "note", "marker"]


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An error or a note that was told, or a marker that the user set."""

    at: float
    kind: NoticeKind
    message: str
    "Of a marker its number."
    code: str
    source: str
    "As in `reports.ErrorReport`; empty for notes and markers."


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it. `msgspec.to_builtins` and `msgspec.json.encode` make it plain."""

    facts: Facts
    rows: list[Said]
    "In the order of the conversation, which is the order of the transcript on the screen."
    notices: list[Notice]
    "In the order of time."
    summary: reports.SummaryReport
    usage: Usage
    "The tokens of the summary in detail."

    @property
    def turns(self) -> list[list[Said]]:
        """The rows by turn: each begins with what the user said, unless nobody had spoken yet."""
        groups: dict[int, list[Said]] = {}
        for row in self.rows:
            groups.setdefault(row.turn, []).append(row)
        return list(groups.values())


def talk_of(recording: Readable) -> Talk:
    """Read a recording from its beginning to its end, once; its audio is not kept.

    Raises:
        RecordingError: a line is damaged beyond use.
    """
    listener = _Listener(recording)
    for entry in recording.entries():
        listener.take(entry)
    return listener.talk()


class _Turn(msgspec.Struct):
    """A turn of the user's, as it goes on."""

    number: int
    by: str
    begins_at: float
    ends_at: float | None = None


class _Listener:
    """Follows the fold and keeps what its conversation forgets: times."""

    def __init__(self, recording: Readable) -> None:
        self._recording = recording
        self._fold = Fold(recording)
        self._conversation = self._fold.conversation
        self._turns: dict[str, _Turn] = {}
        self._item_id = ""
        "Of the user's turn that began last, if it is known."
        self._waiting: _Turn | None = None
        "A turn whose item the server has not named yet."
        self._runs: dict[str, list[Run]] = {}
        self._told_at: dict[str, tuple[float, float]] = {}
        self._heard_then: dict[str, str] = {}
        "Of answers that were cut off, the words that were told as heard."
        self._latencies: dict[str, Latency] = {}
        self._barge_ins: dict[str, str] = {}
        self._calls: dict[str, Call] = {}
        self._call_ids: dict[str, str] = {}
        "By the item's."
        self._cut_by = ""
        self._notices: list[Notice] = []
        self._end: Values | None = None
        self._session: reports.SessionReport | None = None
        self._last_at = 0.0
        self._turn_count = 0

    def take(self, entry: Entry) -> None:
        self._last_at = entry.at
        if entry.code == "mark" and entry.value(0) == "turn":
            self._turn_began(entry.value(1))
        elif entry.code == "end":
            self._end = entry.value(0)
        elif entry.code == "tell":
            self._take_told(entry.value(0))
        else:
            step = self._fold.take(entry, audio=False)
            if step is not None:
                self._take_input(step)
                for action in step.actions:
                    if isinstance(action, Tell):
                        self._take_report(action.report, step.at)

    # --------------------------------------------------------------------------------- the user

    def _take_input(self, step: Step) -> None:
        match step.an_input:
            case inputs.Received(events.InputAudioBufferSpeechStarted(item_id=item_id)):
                self._item_id = item_id
            case inputs.Received(events.InputAudioBufferSpeechStopped(item_id=item_id)):
                self._turn_ended(item_id or self._item_id, step.at)
            case inputs.Received(events.InputAudioBufferCommitted(item_id=item_id)):
                self._turn_ended(item_id, step.at)
            case inputs.TalkPressed():
                self._item_id = ""
            case inputs.Received(events.ResponseOutputItemDone(item=item)):
                self._call_ids[item.id] = item.call_id
            case inputs.Received(events.ResponseDone(response=response)):
                self._call_ids |= {item.id: item.call_id for item in response.output}
            case inputs.PartEmitted() as run:
                self._emitted(run)
            case inputs.ToolFinished(call_id, _, failed) if failed:
                self._call_failed(call_id)

    def _turn_began(self, mark: object) -> None:
        """The mark of a turn; it follows the input by which the turn began."""
        values = mark if isinstance(mark, dict) else {}
        self._turn_count = int(values.get("turn", self._turn_count + 1))
        began_at = float(values.get("began_at", self._last_at))
        turn = _Turn(self._turn_count, str(values.get("by", "voice")), began_at)
        if turn.by == "text":
            self._turns[self._item_id] = msgspec.structs.replace(turn, ends_at=began_at)
        elif self._item_id and turn.by == "voice":
            self._turns.setdefault(self._item_id, turn)
        else:
            self._waiting = turn

    def _turn_ended(self, item_id: str, at: float) -> None:
        if self._waiting is not None and item_id:
            self._turns.setdefault(item_id, self._waiting)
            self._waiting = None
        turn = self._turns.get(item_id) or self._waiting
        if turn is not None and turn.ends_at is None:
            voice_end = self._conversation.voice_ended_at
            is_of_turn = voice_end is not None and voice_end > turn.begins_at
            turn.ends_at = voice_end if is_of_turn else at

    # ---------------------------------------------------------------------------- the assistant

    def _emitted(self, run: inputs.PartEmitted) -> None:
        runs = self._runs.setdefault(run.item_id, [])
        begins_at = round(run.sounds_at, 6)
        ends_at = round(run.sounds_at + run.samples / WIRE_RATE_HZ, 6)
        if runs and begins_at - runs[-1].ends_at < _GAP_S:
            runs[-1] = Run(begins_at=runs[-1].begins_at, ends_at=ends_at)
        else:
            runs.append(Run(begins_at=begins_at, ends_at=ends_at))

    def _take_report(self, report: reports.Report, at: float) -> None:
        match report:
            case reports.SessionReport():
                self._session = report
            case reports.UserReport(item_id=item_id):
                self._item_id = item_id if item_id.startswith("typed_") else self._item_id
                self._tell(item_id, at)
            case reports.AssistantReport(item_id=item_id):
                self._tell(item_id, at)
                if report.interrupted:
                    self._barge_ins[item_id] = self._cut_by
            case reports.BargeInReport(by=by):
                self._cut_by = by
            case reports.TurnReport(item_id=item_id):
                self._latencies[item_id] = Latency(
                    speech_stopped_ms=report.speech_stopped_ms,
                    response_created_ms=report.response_created_ms,
                    first_delta_ms=report.first_delta_ms,
                    first_sound_ms=report.first_sound_ms,
                )
            case reports.ToolReport():
                self._take_call(report, at)
            case reports.ErrorReport(message=message, code=code, source=source):
                self._notice(at, "error", message, code, source)
            case reports.NoteReport(message=message):
                self._notice(at, "note", message)
            case reports.MarkerReport(number=number):
                self._notice(at, "marker", str(number))

    def _take_told(self, told: object) -> None:
        """What was told in the talk: words are placed by audio, which may not have been kept."""
        fields = told if isinstance(told, dict) else {}
        if fields.get("type") == "assistant" and fields.get("interrupted") is True:
            self._heard_then[str(fields.get("item_id"))] = str(fields.get("heard_text"))

    def _tell(self, item_id: str, at: float) -> None:
        first, _ = self._told_at.get(item_id, (at, at))
        self._told_at[item_id] = (first, at)

    def _notice(
        self,
        at: float,
        kind: NoticeKind,
        message: str,
        code: str = "",
        source: str = "",
    ) -> None:
        self._notices.append(Notice(at=at, kind=kind, message=message, code=code, source=source))

    # -------------------------------------------------------------------------------- the tools

    def _take_call(self, report: reports.ToolReport, at: float) -> None:
        known = self._calls.get(report.call_id)
        self._calls[report.call_id] = Call(
            call_id=report.call_id,
            name=report.name,
            arguments=report.arguments,
            output=report.output,
            failed=known is not None and known.failed,
        )
        self._tell(report.call_id, at)

    def _call_failed(self, call_id: str) -> None:
        # The report of the same step, which is taken after this, keeps the mark.
        if call_id in self._calls:
            self._calls[call_id] = msgspec.structs.replace(self._calls[call_id], failed=True)

    # ------------------------------------------------------------------------------- the result

    def talk(self) -> Talk:
        rows: list[Said] = []
        turn = 0
        for row in self._conversation.transcript:
            if row.item_id in self._turns:
                turn = self._turns[row.item_id].number
            rows.append(self._said(row, turn))
        return Talk(
            facts=self._facts(),
            rows=rows,
            notices=self._notices,
            summary=self._summary(),
            usage=self._conversation.counts.usage,
        )

    def _said(self, row: Row, turn: int) -> Said:
        """The row as it is now, that is at the end of the talk."""
        runs = self._runs.get(row.item_id, [])
        call = self._call_of(row)
        begins_at, ends_at = self._times(row, runs, call)
        if row.speaker == "assistant" and not row.is_settled:
            row = replace(row, heard_ms=round(sum(run.seconds for run in runs) * 1000))
        text = row.text if call is None else f"{call.name}({call.arguments})"
        heard = self._heard_text(row) if row.speaker == "assistant" else text
        user = self._turns.get(row.item_id) if row.speaker == "user" else None
        return Said(
            turn=turn,
            speaker=row.speaker,
            item_id=row.item_id,
            text=text,
            heard_text=heard,
            unheard_text=text[len(heard) :].strip(),
            by="" if user is None else user.by,
            is_spoken=row.is_spoken,
            begins_at=begins_at,
            ends_at=ends_at,
            runs=runs,
            heard_ms=row.heard_ms,
            received_ms=row.received_ms,
            interrupted=row.interrupted,
            interrupted_by=self._barge_ins.get(row.item_id, ""),
            is_over=row.is_settled,
            latency=self._latencies.get(row.item_id),
            call=call,
        )

    def _heard_text(self, row: Row) -> str:
        told = self._heard_then.get(row.item_id)
        # What was told then: the estimate gets another one as the speaking rate is learned.
        if row.interrupted and told is not None and row.text.startswith(told):
            return told
        return self._conversation.transcript.heard_text(row)

    def _call_of(self, row: Row) -> Call | None:
        if row.speaker != "tool":
            return None
        return self._calls.get(self._call_ids.get(row.item_id, row.item_id))

    def _times(
        self, row: Row, runs: list[Run], call: Call | None
    ) -> tuple[float | None, float | None]:
        if runs:
            return runs[0].begins_at, runs[-1].ends_at
        turn = self._turns.get(row.item_id)
        if row.speaker == "user" and turn is not None:
            return turn.begins_at, turn.ends_at
        if row.speaker == "assistant" and row.is_spoken:
            return None, None
        return self._told_at.get(call.call_id if call else row.item_id, (None, None))

    def _facts(self) -> Facts:
        header: Header = self._recording.header
        session = self._session
        return Facts(
            # On disk a name may be bytes that are no text.
            name=self._recording.name.encode("utf-8", "replace").decode(),
            created=header.created,
            program=header.program,
            server=header.server,
            url=header.url,
            model=(session.model if session else "") or header.model,
            voice=session.voice if session else "",
            session_id=session.session_id if session else "",
            audio=header.audio,
            seconds=self._last_at,
            ended_suddenly=self._end is None,
            error=str((self._end or {}).get("error") or ""),
            source=header.source,
            settings=header.settings,
            warnings=list(self._recording.warnings),
        )

    def _summary(self) -> reports.SummaryReport:
        told = ending_told(self._last_at, self._end).summary(self._conversation)
        assert isinstance(told, reports.SummaryReport)
        return told
