"""Writes down a talk step by step: an observer of the session.

It is told of every step before its actions are carried out, and gives lines and audio to a sink
that never waits. Beside the facts it writes marks, which readers find without reading all the rest:
where a turn began, where an answer was cut off, where the user set a marker, and where nothing was
going on, so that a replay can begin there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from voicecli import inputs
from voicecli.actions import Action, Finish, Send, Tell
from voicecli.audio.pcm import FRAME_MS, SILENT_FRAME
from voicecli.conversation import Conversation
from voicecli.protocol.events import (
    ConversationItemCreate,
    InputAudioBufferSpeechStarted,
    MalformedEvent,
    ResponseOutputAudioDelta,
    SessionCreated,
    SessionUpdated,
)
from voicecli.recording.format import (
    Header,
    Sound,
    action_lines,
    appended,
    encode_header,
    frame_line,
    input_line,
    line,
    received_line,
)
from voicecli.recording.secrets import Censor
from voicecli.reports import BargeInReport, MarkerReport


class Sink(Protocol):
    """Takes what is to be written; must not wait."""

    def write(self, lines: bytes, user: bytes = b"", assistant: bytes = b"") -> None:
        """Append to the three files, the audio before the lines that point into it."""


class Recorder:
    """Turns steps into lines.

    Args:
        header: written at once.
        conversation: the one whose steps are seen; only read.
        sink: where it all goes.
        secrets: values that must not be written.
    """

    def __init__(
        self, header: Header, conversation: Conversation, sink: Sink, secrets: Iterable[str] = ()
    ) -> None:
        self._conversation = conversation
        self._sink = sink
        self._censor = Censor(secrets)
        self._keeps_user = header.audio == "both"
        self._keeps_assistant = header.audio in ("assistant", "both")
        self._length = 0
        self._user_size = 0
        self._assistant_size = 0
        self._voice_at: float | None = None
        self._sent_ms = 0
        self._turns = 0
        self._was_talk_open = False
        self._rests = False
        self._session_lines: dict[str, int] = {}
        self._write([self._censor.clean(encode_header(header).rstrip(b"\n")) + b"\n"])

    def stepped(self, an_input: inputs.Input, at: float, actions: Sequence[Action]) -> None:
        """Write one step down."""
        match an_input:
            case inputs.MicFrame(pcm):
                actions = self._frame(pcm, at, actions)
            case inputs.Received():
                self._received(an_input, at)
            case _:
                self._write([self._censor.clean(input_line(at, an_input).rstrip()) + b"\n"])
        if actions:
            lines = action_lines(at, actions, with_audio=self._keeps_assistant)
            self._write([self._censor.clean(one.rstrip()) + b"\n" for one in lines])
        self._mark(an_input, at, actions)

    def frames_lost(self, count: int, at: float) -> None:
        """Frames whose append never went out."""
        self._write([line(at, "lost", count)])

    def ended(self, at: float, finish: Finish, dropped_frames: int, underflows: int) -> None:
        """The last line."""
        end = {
            "reason": finish.reason,
            "error": None if finish.error is None else finish.error.message,
            "turns": self._conversation.counts.turns,
            "interruptions": self._conversation.counts.interruptions,
            "dropped_frames": dropped_frames,
            "underflows": underflows,
        }
        self._write([self._censor.clean(line(at, "end", end).rstrip()) + b"\n"])

    def _write(self, lines: list[bytes], user: bytes = b"", assistant: bytes = b"") -> None:
        text = b"".join(lines)
        self._length += len(text)
        self._user_size += len(user)
        self._assistant_size += len(assistant)
        self._sink.write(text, user, assistant)

    def _frame(self, pcm: bytes, at: float, actions: Sequence[Action]) -> Sequence[Action]:
        """Write a frame and its append as one line; gives the other actions."""
        voice = self._conversation.voice_ended_at != self._voice_at
        self._voice_at = self._conversation.voice_ended_at
        sent, rest = appended(actions)
        if sent is not None:
            self._sent_ms += FRAME_MS
        sound, kept = None, b""
        if sent is not None and self._keeps_user:
            # What was muted was not sent, and is nobody's business.
            kept = SILENT_FRAME if self._conversation.is_muted else pcm
            sound = Sound(self._user_size, len(kept))
        near = self._conversation.near
        text = frame_line(at, voice=voice, near=near, sent=sent, sound=sound)
        self._write([text], user=kept)
        return rest

    def _received(self, received: inputs.Received, at: float) -> None:
        event = received.event
        sound, kept = None, b""
        if isinstance(event, ResponseOutputAudioDelta):
            kept = event.delta if self._keeps_assistant else b""
            offset = self._assistant_size if self._keeps_assistant else None
            sound = Sound(offset, len(event.delta))
        if isinstance(event, SessionCreated | SessionUpdated):
            self._session_lines[event.type] = self._length
        if isinstance(event, MalformedEvent):
            # It is written in a form in which no key would be found.
            received = inputs.Received(event, self._censor.clean(received.text))
        text = self._censor.clean(received_line(at, received, sound).rstrip()) + b"\n"
        self._write([text], assistant=kept)

    # ------------------------------------------------------------------------------------ the marks

    def _mark(self, an_input: inputs.Input, at: float, actions: Sequence[Action]) -> None:
        self._mark_turn(an_input, at, actions)
        for action in actions:
            match action:
                case Tell(BargeInReport() as told):
                    values = {"item_id": told.item_id, "heard_ms": told.heard_ms, "by": told.by}
                    self._write([line(at, "mark", "barge_in", values)])
                case Tell(MarkerReport(number=number)):
                    self._write([line(at, "mark", "marker", {"number": number})])
        rests = self._is_at_rest(at)
        if rests and not self._rests:
            values = {"turns": self._turns, "session": list(self._session_lines.values())}
            self._write([line(at, "mark", "rest", values)])
        self._rests = rests

    def _is_at_rest(self, at: float) -> bool:
        conversation = self._conversation
        return not (
            conversation.session is None or conversation.is_muted or conversation.is_busy(at)
        )

    def _mark_turn(self, an_input: inputs.Input, at: float, actions: Sequence[Action]) -> None:
        is_talk_open = self._conversation.is_talk_open
        by, began_at = "", at
        match an_input:
            case inputs.Received(InputAudioBufferSpeechStarted(audio_start_ms=start_ms)):
                by = "voice"
                began_at = max(0.0, at - max(0, self._sent_ms - start_ms) / 1000)
            case inputs.TextTyped() if any(_creates_item(action) for action in actions):
                by = "text"
            case _ if is_talk_open and not self._was_talk_open:
                by = "key"
        self._was_talk_open = is_talk_open
        if by:
            self._turns += 1
            values = {"turn": self._turns, "by": by, "began_at": round(began_at, 3)}
            self._write([line(at, "mark", "turn", values)])


def _creates_item(action: Action) -> bool:
    return isinstance(action, Send) and isinstance(action.event, ConversationItemCreate)
