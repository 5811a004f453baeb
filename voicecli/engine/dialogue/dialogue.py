"""The server's half of the protocol, as one state machine without I/O, clock or thread.

Client events and results of jobs go in by `handle`, with the time; server events and jobs come
out, in order. Whatever comes in, nothing is raised: what makes no sense is refused by an `error`
event and has no effect, and results of jobs that are over are ignored.

How a turn goes under voice detection. The listener finds the onset: `speech_started`, and the
answer in progress is cancelled. At the first short silence the ears are sent ahead (a *guess*): if
speech goes on, their result is dropped; if the silence lasts, it is the transcript, and recognition
has cost no time. Under `semantic_vad` a judge is asked whether the silence ends the turn; until it
has answered, the audio that comes is only kept. At the end of the turn the audio becomes an item,
and an answer is *owed*. It is given when the words are there, unless there are none: a cough is no
turn of a conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

import msgspec
from msgspec import UNSET

from voicecli.engine.dialogue import checks
from voicecli.engine.dialogue.checks import Refusal
from voicecli.engine.dialogue.hearing import Hearing
from voicecli.engine.dialogue.items import Items, Record, chars_in, user_audio
from voicecli.engine.dialogue.jobs import (
    AnswerArguments,
    AnswerAudio,
    AnswerCall,
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    Breath,
    Input,
    Judged,
    MessageEnd,
    Output,
    Steps,
    Tick,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.dialogue.listening import (
    MAX_BUFFER_MS,
    Clip,
    EndSuspected,
    Heard,
    Listener,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    TurnStopped,
)
from voicecli.engine.dialogue.replies import Replies
from voicecli.engine.dialogue.requests import Requests
from voicecli.engine.dialogue.session_fields import SessionKind
from voicecli.engine.dialogue.session_state import SessionState
from voicecli.protocol import events
from voicecli.protocol.events import MalformedEvent, ServerEvent, UnknownEvent
from voicecli.protocol.objects import ErrorDetails, Item, Session

MODEL: Final = "voicecli-local"
MIN_COMMIT_MS: Final = 100
MAX_APPEND_BYTES: Final = 15 * 1024 * 1024
MAX_EVENT_ID_CHARS: Final = 512
STILL_THERE: Final = "The user has been silent for a while. Ask briefly whether they are there."


class Dialogue:
    """One connection: its session, conversation, input buffer and responses.

    Args:
        new_id: makes a unique id from a prefix (`item` gives `item_…`).
        model: what the session says it is served by.
        voices: names of voices beside those of the API.
        kind: of the session.
        expires_at: when the session will be ended, in seconds since 1970; None: never.
    """

    def __init__(
        self,
        new_id: Callable[[str], str],
        *,
        model: str = MODEL,
        voices: Collection[str] = (),
        kind: SessionKind = "realtime",
        expires_at: int | None = None,
    ) -> None:
        self._new_id = new_id
        self._conversation_id = new_id("conv")
        self._session = SessionState(
            new_id("sess"), model, voices, kind=kind, expires_at=expires_at
        )
        self._items = Items()
        self._requests = Requests(self._session, self._items, new_id)
        self._replies = Replies(self._session, self._items, new_id)
        self._listener = Listener(self._session.input_format, self._session.turn_rules)
        self._hearing = Hearing(self._session, self._items, new_id)
        self._owed_id: str | None = None
        "The item that will be answered as soon as its words are known."

    # ------------------------------------------------------------------------------- the door

    def begin(self) -> list[Output]:
        """What a fresh connection is told first."""
        session = Session(self._session.to_wire())
        return self._stamped([events.SessionCreated(session=session)])

    def handle(self, input: Input, at: float) -> list[Output]:
        """Take one input; say what follows from it, in order.

        Args:
            input: a client event, a result of a job, or a tick.
            at: seconds on a clock that never goes back.
        """
        return [one for some in self.steps(input, at) for one in some]

    def steps(self, input: Input, at: float) -> Iterator[list[Output]]:
        """As `handle`, but long work comes in steps of a few milliseconds.

        Results of jobs and ticks may be given between two steps; client events may not.
        """
        outputs: list[Output] = []
        try:
            _check_event_id(input)
            for one in self._route(input, at):
                if isinstance(one, Breath):
                    yield self._stamped(outputs)
                    outputs = []
                else:
                    outputs.append(one)
        except Refusal as refusal:
            outputs.append(_error(refusal, _event_id(input)))
        except RecursionError:
            too_deep = Refusal("invalid_value", "The event is nested too deeply.")
            outputs.append(_error(too_deep, _event_id(input)))
        yield self._stamped(outputs)

    def may_be_sliced(self, audio: bytes) -> bool:
        """Whether an append of this audio may be given in pieces: it will not be refused."""
        return len(audio) <= MAX_APPEND_BYTES and self._listener.has_room(len(audio))

    def next_timer(self) -> float | None:
        """When a `Tick` is due; None while nothing waits for the time to pass."""
        idle_at = self._idle_at
        return self._hearing.judge_by if idle_at is None else idle_at

    @property
    def _idle_at(self) -> float | None:
        rules = self._session.turn_rules
        quiet_from = self._replies.playback_ends_at
        if rules is None or rules.idle_timeout_ms is None or quiet_from is None:
            return None
        if self._hearing.turn_id is not None or self._owed_id is not None:
            return None
        return quiet_from + rules.idle_timeout_ms / 1000

    def _stamped(self, outputs: list[Output]) -> list[Output]:
        return [
            msgspec.structs.replace(one, event_id=self._new_id("event"))
            if isinstance(one, ServerEvent)
            else one
            for one in outputs
        ]

    def _route(self, input: Input, at: float) -> Steps:
        match input:
            case events.InputAudioBufferAppend(audio=audio):
                return self._append(audio, at)
            case (
                AnswerText()
                | AnswerAudio()
                | AnswerCall()
                | AnswerArguments()
                | MessageEnd()
                | AnswerFinished()
                | AnswerFailed()
            ):
                return self._replies.told(input, at)
            case Transcribed() | TranscriptionFailed():
                return self._ears_told(input, at)
            case Judged(job=job, probability=probability):
                return self._judged(job, probability, at)
            case Tick():
                return self._tick(at)
            case UnknownEvent(type=kind):
                raise checks.wrong_value(kind, "type", "the type of a client event")
            case MalformedEvent(reason=reason):
                raise _malformed(reason)
            case _:
                return self._obey(input, at)

    def _obey(self, event: events.Event, at: float) -> Steps:
        match event:
            case events.SessionUpdate():
                return self._update_session(event)
            case events.InputAudioBufferCommit():
                return self._commit(at)
            case events.InputAudioBufferClear():
                return self._clear()
            case events.ConversationItemCreate(item=item):
                checks.few_values(item.fields, "item")
                return self._create_item(event, at)
            case events.ConversationItemRetrieve(item_id=item_id):
                return self._retrieve(item_id)
            case events.ConversationItemTruncate():
                return self._truncate(event)
            case events.ConversationItemDelete(item_id=item_id):
                return self._delete(item_id, at)
            case events.ResponseCreate(response=response):
                checks.few_values(response, "response")
                return self._create_response(event, at)
            case events.ResponseCancel(response_id=response_id):
                found = self._replies.find(None if response_id is UNSET else str(response_id))
                return self._replies.end(found, "cancelled", at, "client_cancelled")
        raise checks.wrong_value(event.type, "type", "an event for WebSocket connections")

    # -------------------------------------------------------------------------------- session

    def _update_session(self, event: events.SessionUpdate) -> Iterator[Output]:
        before = self._requests.usual()
        self._session.update(event.session, answering=self._replies.active is not None)
        self._listener.configure(self._session.input_format, self._session.turn_rules)
        usual = self._requests.usual()
        yield events.SessionUpdated(session=Session(self._session.to_wire()))
        if not self._listener.in_turn:
            yield from self._hearing.drop_turn()
        if usual != before:
            yield usual

    # --------------------------------------------------------------------------- input buffer

    def _append(self, audio: bytes, at: float) -> Iterator[Output]:
        if len(audio) > MAX_APPEND_BYTES:
            raise checks.wrong_value(f"{len(audio)} bytes", "audio", "at most 15 MiB")
        if not self._listener.has_room(len(audio)):
            seconds = MAX_BUFFER_MS // 1000
            raise checks.wrong_value("audio", "audio", f"at most {seconds} s before a commit")
        yield from self._heard_all(self._listener.append(audio), at)

    def _judged(self, job: str, probability: float | None, at: float) -> Iterator[Output]:
        if self._hearing.is_verdict(job):
            yield from self._heard_all(self._listener.judged(probability), at)

    def _heard_all(self, all_heard: list[Heard], at: float) -> Iterator[Output]:
        for heard in all_heard:
            yield from self._heard(heard, at)
        listener = self._listener
        yield from self._hearing.caption(listener.turn_ms, listener.turn_so_far, at)

    def _heard(self, heard: Heard, at: float) -> Iterator[Output]:
        match heard:
            case TurnStarted():
                yield from self._start_turn(heard, at)
            case TurnPaused(clip=clip):
                yield from self._hearing.pause(clip)
            case TurnResumed():
                yield from self._hearing.resume()
            case EndSuspected(pcm16k=pcm16k):
                yield from self._hearing.ask_judge(pcm16k, at)
            case TurnStopped():
                yield from self._stop_turn(heard, at)

    def _start_turn(self, started: TurnStarted, at: float) -> Iterator[Output]:
        self._replies.playback_ends_at = None
        yield events.InputAudioBufferSpeechStarted(
            item_id=self._hearing.begin_turn(), audio_start_ms=started.audio_start_ms
        )
        rules = self._session.turn_rules
        if rules is None or not rules.interrupt_response:
            return
        self._owed_id = None
        if self._replies.active is not None:
            yield from self._replies.end(self._replies.active, "cancelled", at, "turn_detected")

    def _stop_turn(self, stopped: TurnStopped, at: float) -> Iterator[Output]:
        item_id = self._hearing.turn_id or self._new_id("item")
        yield events.InputAudioBufferSpeechStopped(
            item_id=item_id, audio_end_ms=stopped.audio_end_ms
        )
        rules = self._session.turn_rules
        if rules is not None and rules.create_response:
            self._owed_id = item_id
        yield from self._to_item(item_id, stopped.clip, at)

    def _commit(self, at: float) -> Iterator[Output]:
        buffered_ms = self._listener.buffered_ms
        if buffered_ms < MIN_COMMIT_MS:
            raise Refusal(
                "input_audio_buffer_commit_empty",
                f"Error committing input audio buffer: buffer too small. Expected at least "
                f"{MIN_COMMIT_MS}ms of audio, but buffer only has {buffered_ms}ms of audio.",
            )
        item_id = self._hearing.turn_id or self._new_id("item")
        yield from self._hearing.resume()
        yield from self._to_item(item_id, self._listener.take(), at)

    def _clear(self) -> Iterator[Output]:
        self._listener.clear()
        yield from self._hearing.drop_turn()
        yield events.InputAudioBufferCleared()

    def _to_item(self, item_id: str, clip: Clip, at: float) -> Iterator[Output]:
        record = user_audio(item_id, clip)
        previous_id = self._items.add(record)
        yield events.InputAudioBufferCommitted(item_id=item_id, previous_item_id=previous_id)
        yield from self._announced(record, previous_id)
        if (yield from self._hearing.end_turn(record)):
            yield from self._settled(record, at)

    # ----------------------------------------------------------------------------------- ears

    def _ears_told(self, told: Transcribed | TranscriptionFailed, at: float) -> Iterator[Output]:
        record = yield from self._hearing.told(told, at)
        if record is not None:
            yield from self._settled(record, at)

    def _settled(self, record: Record, at: float) -> Iterator[Output]:
        """Go on with what waited for the words of this item."""
        if self._owed_id == record.id:
            self._owed_id = None
            if record.is_wordless and not record.failure:
                self._replies.playback_ends_at = at
            else:
                yield from self._respond()
        yield from self._replies.ask_minds(at)

    # -------------------------------------------------------------------------------- answers

    def _respond(self, prompt: str = "") -> Iterator[Output]:
        """Answer without being asked to; a refusal stops nothing else that is going on."""
        try:
            self._replies.check_room(in_conversation=True)
            plan = self._requests.plan({}, self._conversation_id, prompt)
        except Refusal as refusal:
            yield _error(refusal, None)
        else:
            yield from self._replies.create(plan)

    def _create_response(self, event: events.ResponseCreate, at: float) -> Iterator[Output]:
        if self._session.kind == "transcription":
            raise Refusal(
                "invalid_parameter", "A transcription session makes no responses.", "type"
            )
        wanted = {} if isinstance(event.response, msgspec.UnsetType) else event.response
        plan = self._requests.plan(wanted, self._conversation_id)
        self._replies.check_room(in_conversation=plan.in_conversation)
        if plan.in_conversation:
            self._owed_id = None
        for record in plan.input or ():
            # Audio given for this response only; what is in the conversation was sent to the ears.
            if record.awaits_transcript:
                yield from self._hearing.hear(record)
        yield from self._replies.create(plan)
        yield from self._replies.ask_minds(at)

    def _tick(self, at: float) -> Iterator[Output]:
        judge_by = self._hearing.judge_by
        if judge_by is not None and at >= judge_by:
            yield from self._hearing.give_up_judge()
            yield from self._heard_all(self._listener.judged(None), at)
        due, rules = self._idle_at, self._session.turn_rules
        if due is None or at < due or rules is None or rules.idle_timeout_ms is None:
            return
        self._replies.playback_ends_at = None  # once, also when there is no room for a response
        item_id, end_ms = self._new_id("item"), self._listener.now_ms
        yield events.InputAudioBufferTimeoutTriggered(
            item_id=item_id,
            audio_start_ms=max(0, end_ms - rules.idle_timeout_ms),
            audio_end_ms=end_ms,
        )
        record = user_audio(item_id, Clip())
        record.understood("")
        previous_id = self._items.add(record)
        yield events.InputAudioBufferCommitted(item_id=item_id, previous_item_id=previous_id)
        yield from self._announced(record, previous_id)
        yield from self._respond(STILL_THERE)
        yield from self._replies.ask_minds(at)

    # ---------------------------------------------------------------------------------- items

    def _announced(self, record: Record, previous_id: str | None) -> Iterator[Output]:
        for kind in (events.ConversationItemAdded, events.ConversationItemDone):
            yield kind(item=Item(record.to_wire()), previous_item_id=previous_id)

    def _create_item(self, event: events.ConversationItemCreate, at: float) -> Iterator[Output]:
        record = self._requests.item(event.item.fields)
        after = event.previous_item_id
        previous_id = after if isinstance(after, str) else None
        record.given_chars = chars_in(record.fields)
        self._items.check_new(record.id, previous_id, record.given_chars)
        yield from self._announced(record, self._items.add(record, previous_id))
        if record.awaits_transcript:
            yield from self._hearing.hear(record)

    def _retrieve(self, item_id: str) -> Steps:
        record = self._items.find(item_id, "item_retrieve_invalid_item_id")
        formats = self._session.input_format, self._session.output_format
        shown = yield from record.to_wire_with_audio(*formats)
        yield events.ConversationItemRetrieved(item=Item(shown))

    def _truncate(self, event: events.ConversationItemTruncate) -> Iterator[Output]:
        record = self._items.find(event.item_id, "item_truncate_invalid_item_id")
        spoken = record.spoken
        if spoken is None or not spoken.samples:
            raise Refusal(
                "unsupported_content_type",
                "Only model output audio messages can be truncated.",
                "item_id",
            )
        if event.content_index != 0:
            raise checks.wrong_value(event.content_index, "content_index", "0")
        if event.audio_end_ms < 0:
            raise checks.wrong_value(event.audio_end_ms, "audio_end_ms", "0 or more")
        if event.audio_end_ms > spoken.duration_ms:
            raise Refusal(
                None,
                f"Audio content of {spoken.duration_ms}ms is already shorter than "
                f"{event.audio_end_ms}ms",
                "audio_end_ms",
            )
        spoken.cut(event.audio_end_ms)
        yield events.ConversationItemTruncated(
            item_id=record.id, content_index=0, audio_end_ms=event.audio_end_ms
        )

    def _delete(self, item_id: str, at: float) -> Iterator[Output]:
        self._items.delete(item_id)
        yield events.ConversationItemDeleted(item_id=item_id)
        if self._owed_id == item_id:
            self._owed_id = None
        yield from self._replies.ask_minds(at)


def _event_id(input: Input) -> str | None:
    found = getattr(input, "event_id", None)
    if isinstance(input, UnknownEvent):
        found = input.fields.get("event_id")
    return found[:MAX_EVENT_ID_CHARS] if isinstance(found, str) else None


def _check_event_id(input: Input) -> None:
    found = getattr(input, "event_id", None)
    if isinstance(found, str) and len(found) > MAX_EVENT_ID_CHARS:
        allowed = f"at most {MAX_EVENT_ID_CHARS} characters"
        raise checks.wrong_value(f"{len(found)} characters", "event_id", allowed)


def _error(refusal: Refusal, event_id: str | None) -> ServerEvent:
    error = {
        "type": "invalid_request_error",
        "code": refusal.code,
        "message": refusal.message,
        "param": refusal.param,
        "event_id": event_id,
    }
    return events.ErrorEvent(error=ErrorDetails(error))


def _malformed(reason: str) -> Refusal:
    code = "missing_required_parameter" if "missing required" in reason else "invalid_event"
    return Refusal(code, f"The event could not be read: {reason}")
