"""The conversation: turns, barge-in, tool calls, and what is owed to whom.

Theory. Everything that happens enters by `Conversation.handle`, together with its time, and what is
to be done about it comes back as a list of actions. Nothing else happens here: no I/O, no clock, no
thread. An input that makes no sense now changes nothing.

Three things make up the state.

- *Responses* (`responses`): one is active at most. Those that were interrupted are in a set of
  silenced ids; what still comes of them is dropped, whenever it comes.
- *Answers* (`answers`): audio between the server and the listener's ear. `response.done` ends the
  generation, not the playback, which goes on for seconds; an answer is over when the speaker says
  so.
- *Turns*: in automatic mode the server hears the user speak; in manual mode (push to talk) we
  commit.

A barge-in runs so: the user's voice starts -> the active response is silenced, the speaker is told
to stop -> it reports how much of each part was heard -> the item being heard is truncated to that,
items of which nothing was heard are deleted (at once, or when their response has ended), and the
rows of the transcript keep what was heard. A response that the server is still making is cancelled
by us only where the server does not do it by itself.

That is how it is where the server decides on barge-in. Where we do (`bargein`), the server's
`speech_started` is a sign among others: answers are softened first and stopped later, and it is
always us who cancel responses and ask for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from voicecli import inputs, reports
from voicecli.actions import (
    Action,
    CallTool,
    Finish,
    FinishPart,
    Play,
    Send,
    SetGain,
    StopPlayback,
    Tell,
)
from voicecli.answers import Answers, ItemHeard
from voicecli.audio.pcm import SILENT_FRAME
from voicecli.audio.wire import WireDecoder, WireEncoder
from voicecli.bargein import (
    Ask,
    BargeIn,
    BargeInRules,
    Forget,
    Near,
    NearVoice,
    Outcome,
    Resumed,
    Stop,
    TurnEnded,
    Unask,
)
from voicecli.errors import NotAuthorized, ProtocolError
from voicecli.protocol import dialects, events
from voicecli.protocol.events import Event, MalformedEvent, UnknownEvent
from voicecli.protocol.objects import Item, JsonDict, Session, Usage
from voicecli.protocol.settings import SessionSettings
from voicecli.pushtotalk import PushToTalk
from voicecli.responses import Responses
from voicecli.scribe import Scribe
from voicecli.timing import Timing, VoiceEnd
from voicecli.toolcalls import ToolCalls
from voicecli.transcript import Transcript

Phase: TypeAlias = Literal["connecting", "listening", "hearing", "thinking", "speaking"]
Actions: TypeAlias = list[Action]

OWED_S: Final = 5.0
"How long an answer, or a transcript, is expected after a turn before we stop waiting for it."

TEXT_EVERY_S: Final = 0.1
"A growing answer is reported no more often: each report holds the whole text so far."

ONSET_S: Final = 1.0
"How much later than the voice the server may notice that it began."

SETTINGS_EVENT_ID: Final = "settings"

_HARMLESS: Final = frozenset(
    {"response_cancel_not_active", "conversation_already_has_active_response"}
)
"Races that are provided for: the user need not hear of them."


@dataclass(frozen=True, kw_only=True)
class Options:
    """What one talk is to be like, apart from the server's settings."""

    settings: SessionSettings
    server: str = ""
    "How the server is called in reports."
    linger_s: float = 3.0
    "After the microphone's file is through: how long nothing may be owed before the talk ends."
    max_minutes: float | None = None
    talk_at_start: bool = False
    "Manual turns from a file: the whole file is one turn."
    barge_in: BargeInRules = field(default_factory=BargeInRules)


@dataclass
class Owed:
    """What the user may still expect, each until a time."""

    response_until: float = 0.0
    transcripts: dict[str, float] = field(default_factory=dict)

    @property
    def until(self) -> float:
        """When nothing of it is expected any more."""
        return max(self.response_until, *self.transcripts.values(), 0.0)

    def anything(self, at: float) -> bool:
        return at < self.until


@dataclass
class Counts:
    """What is counted here: the numbers of the summary, and the user's markers."""

    turns: int = 0
    interruptions: int = 0
    markers: int = 0
    usage: Usage = field(default_factory=Usage)


class Conversation:
    """One live conversation; see the module's theory.

    Args:
        options: fixed for the whole talk.
        voice_end: finds the end of the user's speech in the microphone's audio.
        near_voice: finds the frames in which somebody speaks.
    """

    def __init__(
        self,
        options: Options,
        voice_end: VoiceEnd | None = None,
        near_voice: NearVoice | None = None,
    ) -> None:
        self._options = options
        self._settings = options.settings
        self.transcript = Transcript()
        self._scribe = Scribe(self.transcript)
        self.timing = Timing()
        self.counts = Counts()
        self.session: Session | None = None
        self.is_muted = False
        self._responses = Responses()
        self._answers = Answers(self._new_decoder)
        self._tools = ToolCalls()
        self._voice_end = voice_end or VoiceEnd()
        self._encoder = WireEncoder(self._settings.input_format)
        self._detection: JsonDict | None = self._initial_detection()
        self._is_configured = False
        self._is_accepted = False
        self._user_speaks = False
        self._push = PushToTalk()
        self._owed = Owed()
        self._stopped_by = "voice"
        self._unheard: set[str] = set()
        self._deleted: set[str] = set()
        self._typed_count = 0
        self._text_told_at: dict[str, float] = {}
        self._mic_ended = False
        self._turn_began_at = 0.0
        self._busy_at = 0.0
        self._is_finished = False
        has_words = bool(self._settings.transcription_model)
        self._barge_in = BargeIn(options.barge_in, has_words=has_words)
        self._near_voice = near_voice or NearVoice(options.barge_in.level_dbfs)
        self._gain = 1.0
        self.near = Near.NOTHING
        "What the last frame of the microphone was, where we look for voices."

    # ------------------------------------------------------------------------------------ the door

    def handle(self, an_input: inputs.Input, at: float) -> Actions:
        """Take one input; say what to do.

        Args:
            an_input: what happened.
            at: when, in seconds since the connection opened; never decreasing.
        """
        if self._is_finished:
            return []
        actions = self._dispatch(an_input, at)
        actions += self._next_request(at)
        if self.is_busy(at):
            self._busy_at = at
        return actions + self._end_if_over(at)

    def _dispatch(self, an_input: inputs.Input, at: float) -> Actions:  # noqa: C901
        match an_input:
            case inputs.MicFrame(pcm):
                return self._mic_frame(pcm, at)
            case inputs.Received(event):
                return self._received(event, at)
            case inputs.PartStarted(item_id, _, sounds_at):
                return self._part_started(item_id, sounds_at)
            case inputs.PartPlayed(item_id, content_index):
                return self._part_played(item_id, content_index)
            case inputs.PlaybackStopped(heard):
                emitted = {(one.item_id, one.content_index): one.emitted_samples for one in heard}
                return self._playback_stopped(emitted)
            case inputs.PartEmitted() | inputs.PlaybackDrained():
                return []
            case inputs.Woke():
                return self._judge(self._barge_in.tick(at))
            case inputs.MicEnded():
                return self._mic_is_through(at)
            case inputs.TalkPressed():
                return self._talk_pressed(at)
            case inputs.TalkReleased():
                return self._talk_released()
            case inputs.MuteToggled():
                self.is_muted = not self.is_muted
                return []
            case inputs.MarkerSet():
                self.counts.markers += 1
                return [Tell(reports.MarkerReport(number=self.counts.markers))]
            case inputs.InterruptPressed():
                return self._interrupt("key", server_cancels=False)
            case inputs.TextTyped(text):
                return self._text_typed(text, at)
            case inputs.SettingsChanged(changes):
                return self._settings_changed(changes)
            case inputs.ToolFinished(call_id, output, failed):
                return self._tool_finished(call_id, output, failed)
            case inputs.Noticed(message, source):
                return self._noticed(message, source)
            case inputs.QuitPressed():
                return self._finish("quit")

    # ----------------------------------------------------------------------------- what can be seen

    @property
    def phase(self) -> Phase:
        """What is going on, as one word."""
        if not self._is_configured:
            return "connecting"
        if self._user_speaks or self._push.is_open:
            return "hearing"
        if self._answers.are_open:
            return "speaking"
        if self._responses.is_busy or self._tools.are_running:
            return "thinking"
        return "listening"

    @property
    def is_manual(self) -> bool:
        """Whether turns are made by push to talk."""
        return self._detection is None

    @property
    def is_listening(self) -> bool:
        """Whether the server gets to hear what the microphone gives."""
        return not self.is_muted and (self._push.is_open or not self.is_manual)

    @property
    def softened(self) -> Literal["", "ducked", "held"]:
        """What happens to the answer because somebody may be interrupting it."""
        if self._gain == 1.0 or not self._answers.are_open:
            return ""
        return "ducked" if self._gain else "held"

    @property
    def voice_ended_at(self) -> float | None:
        """When the user's voice was last heard, as far as it was sent."""
        return self._voice_end.at

    @property
    def is_talk_open(self) -> bool:
        """Whether push to talk is held, or its last syllables are still being taken."""
        return self._push.is_open

    def heard_ms(self, item_id: str, emitted: dict[int, int]) -> int:
        """How much of an item has been heard, given the samples of its parts that are not over."""
        return self._answers.heard_ms(item_id, emitted)

    def is_busy(self, at: float) -> bool:
        """Whether something is being said, played or owed."""
        return self._is_occupied or self._owed.anything(at)

    @property
    def _is_occupied(self) -> bool:
        """Whether something goes on that will end by an input, not by the time."""
        return (
            not self._is_configured
            or self._user_speaks
            or self._push.is_open
            or self._answers.are_open
            or self._responses.is_busy
            or self._tools.are_running
        )

    def next_timer(self) -> float | None:
        """When `Woke` should come next, on the session's clock; None for never."""
        times = [] if self._barge_in.deadline is None else [self._barge_in.deadline]
        if self._options.max_minutes is not None:
            times.append(self._options.max_minutes * 60)
        if self._mic_ended and not self._is_occupied:
            times.append(max(self._busy_at, self._owed.until) + self._options.linger_s)
        return min(times) if times else None

    def summary(self, at: float, reason: str, dropped_frames: int, underflows: int) -> Tell:
        """The whole talk in numbers.

        Args:
            at: the talk's length, in seconds.
            reason: why it ended.
            dropped_frames: microphone frames that were lost.
            underflows: gaps in playback.
        """
        usage = self.counts.usage
        return Tell(
            reports.SummaryReport(
                reason=reason,
                turns=self.counts.turns,
                interruptions=self.counts.interruptions,
                seconds=round(at, 3),
                dropped_frames=dropped_frames,
                underflows=underflows,
                latency_ms=self.timing.median_ms,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                total_tokens=usage.total_tokens,
                cached_tokens=usage.cached_tokens,
            )
        )

    # ------------------------------------------------------------------------------ the microphone

    def _mic_frame(self, pcm: bytes, at: float) -> Actions:
        if not self._is_configured:
            return []
        if not self.is_listening:
            # What is not sent is not looked at either.
            pcm = SILENT_FRAME
        self._voice_end.push(pcm, at)
        if not self.is_manual:
            return [self._append(pcm), *self._listen_for_voice(pcm, at)]
        if not self._push.is_open:
            return []
        return [self._append(pcm), *self._end_of_push(at)]

    def _listen_for_voice(self, pcm: bytes, at: float) -> Actions:
        if self._options.barge_in.mode != "local":
            return []
        self.near = self._near_voice.push(pcm)
        if not self._decides_on_turns:
            return []
        outcomes = self._barge_in.frame(self.near, is_answering=self._is_answering, at=at)
        return self._judge(outcomes)

    def _append(self, pcm: bytes) -> Send:
        return Send(events.InputAudioBufferAppend(audio=self._encoder.encode(pcm)))

    def _mic_is_through(self, at: float) -> Actions:
        self._mic_ended = True
        self._busy_at = at
        return self._talk_released() if self.is_manual else []

    def _talk_pressed(self, at: float) -> Actions:
        if not self.is_manual or not self._is_configured or not self._push.press():
            return []
        self._turn_began_at = at
        actions = self._interrupt("key", server_cancels=False)
        return [*actions, Send(events.InputAudioBufferClear())]

    def _talk_released(self) -> Actions:
        self._push.release()
        return []

    def _end_of_push(self, at: float) -> Actions:
        match self._push.frame_sent():
            case "commit":
                self._turn_ended(at)
                self._responses.want()
                return [Send(events.InputAudioBufferCommit())]
            case "clear":
                return [Send(events.InputAudioBufferClear())]
            case None:
                return []

    # ------------------------------------------------------------------------------ other inputs

    def _text_typed(self, text: str, at: float) -> Actions:
        if not self._is_configured or not text.strip():
            return []
        actions = self._interrupt("text", server_cancels=False)
        self._typed_count += 1
        item_id = f"typed_{self._typed_count:04d}"
        self.timing.turn_ended(at)
        self.counts.turns += 1
        self._responses.want()
        content = [{"type": "input_text", "text": text}]
        item = Item({"id": item_id, "type": "message", "role": "user", "content": content})
        told = self._scribe.user_typed(item_id, text)
        return [*actions, Send(events.ConversationItemCreate(item=item)), Tell(told)]

    def _settings_changed(self, changes: JsonDict) -> Actions:
        """What the server confirms of them is in force; a refusal is told as an error."""
        if self.session is None:
            return []
        wanted: JsonDict = {"type": "realtime", **changes}
        if self.session.is_beta:
            wanted = dialects.to_beta_session(wanted)
        return [Send(events.SessionUpdate(session=wanted))]

    def _tool_finished(self, call_id: str, output: str, failed: bool) -> Actions:
        call = self._tools.finished(call_id)
        if call is None:
            return []
        if not self._tools.are_running:
            self._responses.want()
        item = Item({"type": "function_call_output", "call_id": call_id, "output": output})
        told = self._scribe.call_ended(call, output)
        actions: Actions = [Send(events.ConversationItemCreate(item=item)), Tell(told)]
        if failed:
            actions.append(_error(f"{call.name} failed: {output}", source="tool"))
        return actions

    def _noticed(
        self, message: str, source: Literal["audio", "connection", "recording", "note"]
    ) -> Actions:
        if source == "note":
            return [Tell(reports.NoteReport(message=message))]
        return [_error(message, source=source)]

    def _finish(self, reason: str, error: ProtocolError | NotAuthorized | None = None) -> Actions:
        self._is_finished = True
        return [Finish(reason, error)]

    def _end_if_over(self, at: float) -> Actions:
        if self._is_finished:
            return []
        limit = self._options.max_minutes
        if limit is not None and at >= limit * 60:
            return self._finish("time limit")
        idle = self._mic_ended and not self.is_busy(at)
        # Summed as in `next_timer`: on a clock that leaps, the difference may be a hair short.
        if idle and at >= self._busy_at + self._options.linger_s:
            return self._finish("finished")
        return []

    # ------------------------------------------------------------------------------ the barge-in

    def _interrupt(self, by: str, *, server_cancels: bool) -> Actions:
        """Silence what is being said and made.

        Args:
            by: `voice`, `key` or `text`.
            server_cancels: whether the server ends a running response by itself.
        """
        actions: Actions = []
        if server_cancels:
            self._responses.silence()
        else:
            cancel = self._responses.cancel()
            if cancel is not None:
                actions.append(Send(cancel))
        if self._answers.are_open:
            self._stopped_by = by
            actions.append(StopPlayback())
            self._gain = 1.0
        self._barge_in.interrupted()
        return [*actions, *self._follow_gain()]

    @property
    def _decides_on_turns(self) -> bool:
        """Whether the server leaves it to us to interrupt and to ask for answers."""
        if self._options.barge_in.mode == "server" or self._detection is None:
            return False
        wanted = ("create_response", "interrupt_response")
        return all(self._detection.get(key) is False for key in wanted)

    @property
    def _is_answering(self) -> bool:
        """Whether an answer is being heard or made."""
        return self._answers.are_open or self._responses.is_busy or self._tools.are_running

    def _judge(self, outcomes: Iterable[Outcome]) -> Actions:
        """Do what came of looking at the user's voice and words."""
        actions: Actions = []
        for outcome in outcomes:
            match outcome:
                case Stop():
                    actions += self._interrupt("voice", server_cancels=False)
                case Resumed(text, softened_ms):
                    if self.softened:
                        report = reports.FalseAlarmReport(text=text, softened_ms=softened_ms)
                        actions.append(Tell(report))
                case TurnEnded(stopped_at):
                    self._turn_ended(stopped_at)
                case Ask():
                    self._responses.want()
                case Forget(item_id):
                    actions += self._delete(item_id)
                case Unask() if not self._answers.are_open:
                    cancel = self._responses.cancel()
                    actions += [] if cancel is None else [Send(cancel)]
        return [*actions, *self._follow_gain()]

    def _follow_gain(self) -> Actions:
        gain = self._barge_in.gain
        if gain == self._gain:
            return []
        self._gain = gain
        return [SetGain(gain)]

    def _playback_stopped(self, emitted: dict[tuple[str, int], int]) -> Actions:
        cut, whole = self._answers.interrupted(emitted)
        heard = [one for item_id in whole for one in self._scribe.answer_heard(item_id)]
        if not cut:
            return _told(heard)
        self.counts.interruptions += 1
        repairs = [action for item in cut for action in self._repair(item)]
        first = cut[0]
        barge_in = reports.BargeInReport(
            item_id=first.item_id,
            heard_ms=first.item_heard_ms,
            received_ms=first.item_received_ms,
            by=self._stopped_by,
        )
        rows = [self._scribe.answer_cut(item) for item in cut]
        return [*repairs, *_told([*heard, barge_in, *rows])]

    def _repair(self, item: ItemHeard) -> Actions:
        """Make the server's memory of an item what was heard of it."""
        if item.item_heard_ms > 0:
            truncate = events.ConversationItemTruncate(
                item_id=item.item_id,
                content_index=item.content_index,
                audio_end_ms=item.heard_ms,
            )
            return [Send(truncate)]
        if self._responses.active is not None:
            # The server is still writing this item; it can be deleted when the response has ended.
            self._unheard.add(item.item_id)
            return []
        return self._delete(item.item_id)

    def _delete(self, item_id: str) -> Actions:
        if item_id in self._deleted:
            return []
        self._deleted.add(item_id)
        return [Send(events.ConversationItemDelete(item_id=item_id))]

    # ------------------------------------------------------------------------------ server events

    def _received(self, event: Event | UnknownEvent | MalformedEvent, at: float) -> Actions:
        if isinstance(event, MalformedEvent):
            message = f"the server sent something unreadable ({event.reason})"
            return [_error(message, source="protocol")]
        if type(event) in _SIGNS_OF_ACCEPTANCE:
            self._is_accepted = True
        handler = _HANDLERS.get(type(event))
        return [] if handler is None else handler(self, event, at)

    def _session_created(self, event: events.SessionCreated, _: float) -> Actions:
        if self._is_configured:
            return []
        self._is_configured = True
        wanted = self._settings.to_wire()
        if event.session.is_beta:
            wanted = dialects.to_beta_session(wanted)
        update = events.SessionUpdate(event_id=SETTINGS_EVENT_ID, session=wanted)
        actions: Actions = [Send(update)]
        if self.is_manual and self._options.talk_at_start:
            self._push.press()
        return actions

    def _session_updated(self, event: events.SessionUpdated, _: float) -> Actions:
        is_first = self.session is None
        self.session = event.session
        if event.session.tells_turn_detection and not event.session.is_beta:
            self._detection = event.session.turn_detection
        if not is_first:
            return []
        report = reports.SessionReport(
            server=self._options.server,
            session_id=event.session.id,
            model=event.session.model,
            voice=event.session.voice,
        )
        mode = self._options.barge_in.mode
        if mode == "server" or self.is_manual or self._decides_on_turns:
            return [Tell(report)]
        message = f"the server interrupts and answers by itself: barge-in {mode!r} is not possible"
        return [Tell(report), Tell(reports.NoteReport(message=message))]

    def _error(self, event: events.ErrorEvent, _: float) -> Actions:
        error = event.error
        message = error.message or error.code or "the server reported an error without a message"
        if error.code in dialects.KEY_ERRORS:
            refused = NotAuthorized(
                f"the server refused the key: {message}",
                "check the key in the environment variable that the configuration names",
            )
            return self._finish("key refused", refused)
        is_unaddressed = not error.event_id and not self._is_accepted
        if error.event_id == SETTINGS_EVENT_ID or is_unaddressed:
            rejected = ProtocolError(
                f"the server refused the session's settings: {message}",
                "a setting may not suit this server or model: see `voicecli config`",
            )
            return self._finish("settings refused", rejected)
        self._responses.refused(error.event_id, error.code)
        if error.code in _HARMLESS:
            return []
        return [_error(message, source="server", code=error.code)]

    def _speech_started(self, event: events.InputAudioBufferSpeechStarted, at: float) -> Actions:
        self._user_speaks = True
        self._turn_began_at = at
        self._scribe.user_began(event.item_id)
        if self._decides_on_turns:
            outcomes = self._barge_in.speech_started(
                event.item_id, is_answering=self._is_answering, at=at
            )
            return self._judge(outcomes)
        server_cancels = (self._detection or {}).get("interrupt_response") is not False
        return self._interrupt("voice", server_cancels=server_cancels)

    def _speech_stopped(self, event: events.InputAudioBufferSpeechStopped, at: float) -> Actions:
        self._user_speaks = False
        if self._decides_on_turns:
            return self._judge(self._barge_in.speech_stopped(event.item_id, at=at))
        self._turn_ended(at)
        self._expect_response(at)
        return []

    def _expect_response(self, at: float) -> None:
        if (self._detection or {}).get("create_response", self._detection is not None):
            self._owed.response_until = at + OWED_S

    def _turn_ended(self, at: float) -> None:
        self.counts.turns += 1
        voice_end = self._voice_end.at
        if voice_end is not None and voice_end < self._turn_began_at - ONSET_S:
            voice_end = None
        self.timing.turn_ended(at, voice_end)

    def _committed(self, event: events.InputAudioBufferCommitted, at: float) -> Actions:
        self._user_speaks = False
        self._scribe.user_committed(event.item_id, event.previous_item_id)
        if self._settings.transcription_model:
            self._owed.transcripts[event.item_id] = at + OWED_S
        self._expect_response(at)
        return self._judge(self._barge_in.committed(event.item_id))

    def _cleared(self, _: events.InputAudioBufferCleared, __: float) -> Actions:
        self._user_speaks = False
        return []

    def _item_placed(
        self,
        event: events.ConversationItemAdded
        | events.ConversationItemCreated
        | events.ConversationItemDone,
        _: float,
    ) -> Actions:
        if event.item.id not in self._deleted:
            is_new = not isinstance(event, events.ConversationItemDone)
            self._scribe.placed(event.item, event.previous_item_id, is_new=is_new)
        return []

    def _item_deleted(self, event: events.ConversationItemDeleted, _: float) -> Actions:
        self._scribe.deleted(event.item_id)
        return []

    def _user_delta(self, event: events.InputAudioTranscriptionDelta, at: float) -> Actions:
        told = self._scribe.user_delta(event)
        row = self.transcript.get(event.item_id)
        text = "" if row is None else row.text
        return [*_told(told), *self._judge_words(event.item_id, text, is_final=False, at=at)]

    def _judge_words(self, item_id: str, text: str, *, is_final: bool, at: float) -> Actions:
        outcomes = self._barge_in.words(
            item_id, text, is_final=is_final, is_answering=self._is_answering, at=at
        )
        return self._judge(outcomes)

    def _user_text(self, event: events.InputAudioTranscriptionCompleted, at: float) -> Actions:
        report = self._scribe.user_text(event)
        if report.final:
            self._owed.transcripts.pop(event.item_id, None)
        if report.final and not report.text:
            # Noise, or nothing that was understood: there will be no answer to it either.
            self._owed.response_until = 0.0
        judged = self._judge_words(event.item_id, report.text, is_final=report.final, at=at)
        return [Tell(report), *judged]

    def _user_failed(self, event: events.InputAudioTranscriptionFailed, at: float) -> Actions:
        self._scribe.user_failed(event.item_id)
        self._owed.transcripts.pop(event.item_id, None)
        message = f"your words could not be transcribed: {event.error.message or event.error.code}"
        judged = self._judge(self._barge_in.no_words(event.item_id, at))
        return [_error(message, source="server", code=event.error.code), *judged]

    def _response_created(self, event: events.ResponseCreated, at: float) -> Actions:
        self._owed.response_until = 0.0
        if not (self._settings.transcription_model or self._user_speaks):
            self._scribe.users_are_final()
        self.timing.response_created(at)
        cancel = self._responses.created(event.response.id)
        return [] if cancel is None else [Send(cancel)]

    def _output_item_added(self, event: events.ResponseOutputItemAdded, _: float) -> Actions:
        if event.item.type == "message" and not self._responses.is_silenced(event.response_id):
            self._scribe.answer_began(event.item.id)
        return []

    def _output_item_done(self, event: events.ResponseOutputItemDone, _: float) -> Actions:
        return self._call(event.item, event.response_id)

    def _call(self, item: Item, response_id: str) -> Actions:
        if item.status == "incomplete" or self._responses.is_silenced(response_id):
            return self._refuse_call(item)
        call = self._tools.start(item)
        if call is None:
            return []
        report = self._scribe.call_began(call)
        return [Tell(report), CallTool(call.call_id, call.name, call.arguments)]

    def _refuse_call(self, item: Item) -> Actions:
        """A call that was cut off is not run, but has to have an output all the same."""
        if not self._tools.refuse(item):
            return []
        fields = {"type": "function_call_output", "call_id": item.call_id}
        cancelled = Item(fields | {"output": '{"error":"cancelled"}'})
        return [Send(events.ConversationItemCreate(item=cancelled))]

    def _audio_delta(self, event: events.ResponseOutputAudioDelta, at: float) -> Actions:
        if self._responses.is_silenced(event.response_id) or event.item_id in self._deleted:
            return []
        pcm = self._answers.receive(
            event.item_id, event.content_index, event.response_id, event.delta
        )
        if not pcm:
            return []
        self.timing.delta_received(event.item_id, at)
        self._count_received(event.item_id, pcm)
        return [Play(event.item_id, event.content_index, pcm)]

    def _audio_done(self, event: events.ResponseOutputAudioDone, _: float) -> Actions:
        return self._complete(event.item_id, event.content_index)

    def _complete(self, item_id: str, content_index: int) -> Actions:
        rest = self._answers.complete(item_id, content_index)
        if rest is None:
            return []
        self._count_received(item_id, rest)
        play: Actions = [Play(item_id, content_index, rest)] if rest else []
        # An item may be played to its end before its end was announced, when another follows it.
        return [*play, FinishPart(item_id, content_index), *self._settle_if_heard(item_id)]

    def _count_received(self, item_id: str, pcm: bytes) -> None:
        received_ms = self._answers.received_ms(item_id)
        is_complete = self._answers.is_complete(item_id)
        self._scribe.audio_received(item_id, pcm, received_ms, is_complete=is_complete)

    def _answer_delta(
        self,
        event: events.ResponseOutputAudioTranscriptDelta | events.ResponseOutputTextDelta,
        at: float,
    ) -> Actions:
        if self._responses.is_silenced(event.response_id):
            return []
        told = self._scribe.answer_delta(event.item_id, event.delta)
        if at - self._text_told_at.get(event.item_id, -TEXT_EVERY_S) < TEXT_EVERY_S:
            return []
        self._text_told_at = {event.item_id: at}
        return _told(told)

    def _spoken_text(self, event: events.ResponseOutputAudioTranscriptDone, _: float) -> Actions:
        if not self._responses.is_silenced(event.response_id):
            self._scribe.answer_text(event.item_id, event.transcript)
        return []

    def _written_text(self, event: events.ResponseOutputTextDone, _: float) -> Actions:
        if not self._responses.is_silenced(event.response_id):
            self._scribe.answer_text(event.item_id, event.text)
        return []

    def _response_done(self, event: events.ResponseDone, _: float) -> Actions:
        response = event.response
        self.counts.usage += response.usage
        was_silenced = self._responses.done(response.id)
        actions: Actions = []
        for part in self._answers.open_parts_of(response.id):
            actions += self._complete(part.item_id, part.content_index)
        for item in response.output:
            actions += self._call(item, response.id)
            actions += self._forget_unheard(item) if was_silenced else self._settle_unspoken(item)
        for item_id in sorted(self._unheard):
            actions += self._delete(item_id)
        self._unheard.clear()
        return actions + _outcome(response.status, response.reason, response.error_message)

    def _forget_unheard(self, item: Item) -> Actions:
        """A message that was cut off before any of it was heard is no part of the conversation."""
        if item.type != "message" or self._scribe.was_heard(item.id):
            return []
        self._scribe.deleted(item.id)
        return self._delete(item.id)

    def _settle_unspoken(self, item: Item) -> Actions:
        if item.type != "message" or self._answers.has_audio(item.id):
            return []
        return _told(self._scribe.answer_written(item))

    # ------------------------------------------------------------------------------ the speaker

    def _part_started(self, item_id: str, at: float) -> Actions:
        report = self.timing.sound_started(item_id, at)
        return [] if report is None else [Tell(report)]

    def _part_played(self, item_id: str, content_index: int) -> Actions:
        self._answers.played(item_id, content_index)
        return self._settle_if_heard(item_id)

    def _settle_if_heard(self, item_id: str) -> Actions:
        if not (self._answers.is_complete(item_id) and self._answers.is_played(item_id)):
            return []
        self._answers.forget(item_id)
        return _told(self._scribe.answer_heard(item_id))

    # ------------------------------------------------------------------------------ small things

    def _next_request(self, at: float) -> Actions:
        """The request for a response, once nothing is in its way.

        While the server owes its own answer to what the user said, ours would be a second one.
        """
        is_in_the_way = self._user_speaks or self._push.is_open or self._tools.are_running
        if is_in_the_way or at < self._owed.response_until:
            return []
        request = self._responses.next_request()
        return [] if request is None else [Send(request)]

    def _new_decoder(self) -> WireDecoder:
        return WireDecoder(self._settings.output_format)

    def _initial_detection(self) -> JsonDict | None:
        detection = self._settings.turn_detection
        return None if detection is None else detection.to_wire()


def _told(told: Iterable[reports.Report]) -> Actions:
    return [Tell(report) for report in told]


def _error(message: str, *, source: str, code: str = "") -> Tell:
    return Tell(reports.ErrorReport(message=message, code=code, source=source))


def _outcome(status: str, reason: str, error_message: str) -> Actions:
    """What the user should know of how a response ended."""
    if status == "failed":
        return [_error(f"the answer failed: {error_message or 'no reason given'}", source="server")]
    if status == "incomplete" and reason != "turn_detected":
        message = f"the answer was cut short by the server: {reason}"
        return [Tell(reports.NoteReport(message=message))]
    return []


_SIGNS_OF_ACCEPTANCE: Final = frozenset(
    {
        events.SessionUpdated,
        events.InputAudioBufferSpeechStarted,
        events.InputAudioBufferCommitted,
        events.ResponseCreated,
    }
)
"Events that show that the session goes on: some servers never confirm its settings."

_Handler: TypeAlias = Callable[..., Actions]

_HANDLERS: Final[dict[type, _Handler]] = {
    events.SessionCreated: Conversation._session_created,
    events.SessionUpdated: Conversation._session_updated,
    events.ErrorEvent: Conversation._error,
    events.InputAudioBufferSpeechStarted: Conversation._speech_started,
    events.InputAudioBufferSpeechStopped: Conversation._speech_stopped,
    events.InputAudioBufferCommitted: Conversation._committed,
    events.InputAudioBufferCleared: Conversation._cleared,
    events.ConversationItemAdded: Conversation._item_placed,
    events.ConversationItemCreated: Conversation._item_placed,
    events.ConversationItemDone: Conversation._item_placed,
    events.ConversationItemDeleted: Conversation._item_deleted,
    events.InputAudioTranscriptionDelta: Conversation._user_delta,
    events.InputAudioTranscriptionCompleted: Conversation._user_text,
    events.InputAudioTranscriptionFailed: Conversation._user_failed,
    events.ResponseCreated: Conversation._response_created,
    events.ResponseOutputItemAdded: Conversation._output_item_added,
    events.ResponseOutputItemDone: Conversation._output_item_done,
    events.ResponseOutputAudioDelta: Conversation._audio_delta,
    events.ResponseOutputAudioDone: Conversation._audio_done,
    events.ResponseOutputAudioTranscriptDelta: Conversation._answer_delta,
    events.ResponseOutputAudioTranscriptDone: Conversation._spoken_text,
    events.ResponseOutputTextDelta: Conversation._answer_delta,
    events.ResponseOutputTextDone: Conversation._written_text,
    events.ResponseDone: Conversation._response_done,
}
