"""Server events as one-liners, and a conversation with its speaker played by hand."""

from __future__ import annotations

from voicecli import inputs
from voicecli.actions import Action, Send, StopPlayback
from voicecli.audio.playback import Heard
from voicecli.conversation import Conversation, Options
from voicecli.protocol import events
from voicecli.protocol.events import ClientEvent, Event
from voicecli.protocol.objects import ErrorDetails, Item, Response, Session
from voicecli.protocol.settings import ServerVad, SessionSettings

MS = 48
"Bytes of a millisecond of PCM16 at 24 kHz."

AUTOMATIC = SessionSettings(turn_detection=ServerVad(), transcription_model="whisper")
MANUAL = SessionSettings(turn_detection=None, transcription_model="whisper")


def session_created(**more: object) -> Event:
    return events.SessionCreated(session=Session({"id": "sess", "audio": {}, **more}))


def session_updated(turn_detection: dict[str, object] | None = None) -> Event:
    audio = {"input": {"turn_detection": turn_detection}, "output": {"voice": "marin"}}
    return events.SessionUpdated(session=Session({"id": "sess", "model": "m", "audio": audio}))


def created(response_id: str = "R1") -> Event:
    return events.ResponseCreated(response=Response({"id": response_id, "status": "in_progress"}))


def done(response_id: str = "R1", *items: dict[str, object], status: str = "completed") -> Event:
    fields = {"id": response_id, "status": status, "output": list(items)}
    return events.ResponseDone(response=Response(fields))


def message(item_id: str, role: str = "assistant", text: str = "") -> dict[str, object]:
    kind = "output_audio" if role == "assistant" else "input_audio"
    content = [{"type": kind, "transcript": text}]
    return {"id": item_id, "type": "message", "role": role, "content": content}


def added(item_id: str, role: str = "assistant", after: str | None = None) -> Event:
    return events.ConversationItemAdded(item=Item(message(item_id, role)), previous_item_id=after)


def announced(item_id: str, response_id: str = "R1") -> Event:
    return events.ResponseOutputItemAdded(response_id=response_id, item=Item(message(item_id)))


def audio(item_id: str, ms: int, response_id: str = "R1", part: int = 0) -> Event:
    return events.ResponseOutputAudioDelta(
        response_id=response_id, item_id=item_id, content_index=part, delta=bytes(ms * MS)
    )


def audio_done(item_id: str, response_id: str = "R1", part: int = 0) -> Event:
    return events.ResponseOutputAudioDone(
        response_id=response_id, item_id=item_id, content_index=part
    )


def said(item_id: str, text: str, response_id: str = "R1") -> Event:
    return events.ResponseOutputAudioTranscriptDelta(
        response_id=response_id, item_id=item_id, delta=text
    )


def speech_started(item_id: str = "U2") -> Event:
    return events.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=0)


def speech_stopped(item_id: str = "U2") -> Event:
    return events.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=0)


def committed(item_id: str = "U2", after: str | None = None) -> Event:
    return events.InputAudioBufferCommitted(item_id=item_id, previous_item_id=after)


def heard_user(item_id: str, text: str) -> Event:
    return events.InputAudioTranscriptionCompleted(item_id=item_id, transcript=text)


def call(call_id: str, name: str = "f", response_id: str = "R1") -> Event:
    return events.ResponseOutputItemDone(
        response_id=response_id, item=Item(call_item(call_id, name))
    )


def call_item(call_id: str, name: str = "f") -> dict[str, object]:
    fields: dict[str, object] = {"id": f"i_{call_id}", "type": "function_call"}
    return fields | {"call_id": call_id, "name": name, "arguments": "{}"}


def error(code: str, event_id: str = "", text: str = "no") -> Event:
    fields = {"type": "invalid_request_error", "code": code, "message": text, "event_id": event_id}
    return events.ErrorEvent(error=ErrorDetails(fields))


def played(item_id: str, ms: int, of_ms: int, part: int = 0) -> Heard:
    return Heard(item_id, part, of_ms * 24, ms * 24)


class Talk:
    """A conversation and its time; `sends` are the client events since the last look."""

    def __init__(
        self,
        settings: SessionSettings = AUTOMATIC,
        *,
        detection: dict[str, object] | None = None,
        **options: object,
    ) -> None:
        self.conversation = Conversation(Options(settings=settings, **options))  # type: ignore[arg-type]
        self.at = 0.0
        self.actions: list[Action] = []
        vad = settings.turn_detection
        wire = detection or (None if vad is None else vad.to_wire())
        self.feed(session_created(), session_updated(wire))
        self.take()

    def feed(self, *given: Event | inputs.Input) -> list[Action]:
        """Hand inputs over, server events wrapped, and give the actions of all of them."""
        came: list[Action] = []
        for one in given:
            an_input = inputs.Received(one) if isinstance(one, Event) else one
            came += self.conversation.handle(an_input, self.at)  # type: ignore[arg-type]
        self.actions += came
        return came

    def stopped(self, *heard: Heard) -> list[Action]:
        """The speaker's answer to `StopPlayback`, which must have been asked for."""
        assert StopPlayback() in self.actions
        return self.feed(inputs.PlaybackStopped(heard))

    def take(self) -> list[Action]:
        actions, self.actions = self.actions, []
        return actions

    def sends(self) -> list[ClientEvent]:
        return [action.event for action in self.take() if isinstance(action, Send)]

    def reports(self, kind: type) -> list[object]:
        told = [getattr(action, "report", None) for action in self.actions]
        return [report for report in told if isinstance(report, kind)]
