"""A conversation to draw, and a terminal to draw it on, for the tests of the screen."""

import re
from dataclasses import dataclass, field

from voicecli import inputs
from voicecli.actions import StopPlayback
from voicecli.audio.playback import Heard
from voicecli.bargein import BargeInRules
from voicecli.conversation import Conversation, Options
from voicecli.protocol import events
from voicecli.protocol.objects import Item, Response, Session
from voicecli.protocol.settings import ServerVad, SessionSettings

SAMPLES_PER_S = 24_000


class Talk:
    """A real conversation, brought about by what a server and a speaker would send."""

    def __init__(
        self,
        *,
        manual: bool = False,
        connected: bool = True,
        rules: BargeInRules = BargeInRules(),  # noqa: B008
    ) -> None:
        by_server = rules.mode == "server"
        self.detection = (
            None if manual else ServerVad(create_response=by_server, interrupt_response=by_server)
        )
        settings = SessionSettings(turn_detection=self.detection, transcription_model="a model")
        self.conversation = Conversation(Options(settings=settings, barge_in=rules))
        self.manual = manual
        self.at = 0.0
        if connected:
            self.connect()

    def connect(self) -> None:
        detection = None if self.detection is None else self.detection.to_wire()
        session = Session({"audio": {"input": {"turn_detection": detection}}})
        self.server(events.SessionCreated(session=session))
        self.server(events.SessionUpdated(session=session))

    def put(self, an_input: inputs.Input) -> list[object]:
        return list(self.conversation.handle(an_input, self.at))

    def server(self, *several: events.ServerEvent) -> None:
        for event in several:
            self.put(inputs.Received(event))

    def user_begins(self, item_id: str) -> None:
        stops = self.put(
            inputs.Received(events.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=0))
        )
        self.must_stop = StopPlayback() in stops

    def user_says(self, item_id: str, text: str) -> None:
        self.server(events.InputAudioTranscriptionDelta(item_id=item_id, delta=text))

    def user_ends(self, item_id: str, text: str) -> None:
        self.server(
            events.InputAudioBufferSpeechStopped(item_id=item_id),
            events.InputAudioBufferCommitted(item_id=item_id),
            events.InputAudioTranscriptionCompleted(item_id=item_id, transcript=text),
        )

    def answer(self, item_id: str, text: str, seconds: float, *, done: bool = True) -> None:
        """The server makes an answer: all of its text and audio at once."""
        response_id = f"response of {item_id}"
        audio = bytes(round(seconds * SAMPLES_PER_S) * 2)
        self.server(
            events.ResponseCreated(response=Response({"id": response_id})),
            events.ResponseOutputItemAdded(
                response_id=response_id, item=Item({"id": item_id, "type": "message"})
            ),
            events.ResponseOutputAudioTranscriptDelta(
                response_id=response_id, item_id=item_id, delta=text
            ),
            events.ResponseOutputAudioDelta(response_id=response_id, item_id=item_id, delta=audio),
        )
        if done:
            self.server(
                events.ResponseOutputAudioDone(response_id=response_id, item_id=item_id),
                events.ResponseDone(response=Response({"id": response_id, "status": "completed"})),
            )

    def played(self, item_id: str) -> None:
        self.put(inputs.PartPlayed(item_id, 0))

    def cut_off(self, item_id: str, heard_s: float, received_s: float) -> None:
        self.put(inputs.PlaybackStopped((heard(item_id, heard_s, received_s),)))


def heard(item_id: str, heard_s: float, received_s: float) -> Heard:
    return Heard(item_id, 0, round(received_s * SAMPLES_PER_S), round(heard_s * SAMPLES_PER_S))


_TOKEN = re.compile(r"\x1b\[([?<>=]?)([0-9;:]*)([A-Za-z])|([\r\n])|([^\x1b\r\n])")


@dataclass
class Emulator:
    """As much of a terminal as the screen uses; what it does not know, it refuses.

    Every character is one column wide. A line that is too long wraps, unless autowrap is off.
    """

    width: int = 80
    height: int = 24
    modes: dict[str, bool] = field(default_factory=lambda: {"7": True, "25": True})
    rows: list[str] = field(default_factory=lambda: [""])
    "Scrollback and screen; the screen is the last `height` of them."
    row: int = 0
    column: int = 0

    def write(self, text: str) -> int:
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            assert match, f"not understood: {text[position : position + 12]!r}"
            position = match.end()
            prefix, parameters, final, move, character = match.groups()
            if move:
                self._move(move)
            elif character:
                self._put(character)
            else:
                self._sequence(prefix, parameters, final)
        return len(text)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        raise OSError("a terminal without a file")

    @property
    def text(self) -> list[str]:
        """What can be seen; empty rows below the last words are not."""
        return "\n".join(row.rstrip() for row in self.rows).rstrip("\n").split("\n")

    def _move(self, move: str) -> None:
        if move == "\r":
            self.column = 0
            return
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    def _put(self, character: str) -> None:
        if self.column >= self.width:
            if self.modes["7"]:
                self._move("\n")
                self.column = 0
            else:
                self.column = self.width - 1
        row = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
        self.column += 1

    def _sequence(self, prefix: str, parameters: str, final: str) -> None:
        if prefix == "?" and final in "hl":
            self.modes[parameters] = final == "h"
        elif prefix == "" and final == "A":
            top = max(0, len(self.rows) - self.height)
            self.row = max(top, self.row - int(parameters or 1))
        elif prefix == "" and final in "JK" and not parameters:
            self.rows[self.row] = self.rows[self.row][: self.column]
            if final == "J":
                del self.rows[self.row + 1 :]
        else:
            assert final == "m", f"not understood: {prefix}{parameters}{final}"
