"""Recordings made faster than real time: a talk on a clock that is turned by hand.

The conversation, the ledger of the speaker and the recorder are the program's own; the server and
the user are played here. What comes out is a recording like any other: `Check` finds no difference.
"""

from __future__ import annotations

import math
import random
import sys
import wave
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from helpers_conversation import (
    announced,
    audio,
    audio_done,
    committed,
    created,
    heard_user,
    message,
    said,
    session_created,
    session_updated,
    speech_stopped,
)

from voicecli import inputs
from voicecli.actions import Finish, FinishPart, Play, SetGain, StopPlayback
from voicecli.audio.pcm import FRAME_BYTES, SILENT_FRAME, WIRE_RATE_HZ, packed
from voicecli.audio.playback import Drained, Emitted, Finished, Playout, PlayoutEvent, Started
from voicecli.audio.resample import convert
from voicecli.audio.wire import WireEncoder
from voicecli.conversation import Conversation, Options
from voicecli.protocol import events
from voicecli.protocol.codec import encode
from voicecli.protocol.events import Event
from voicecli.protocol.objects import Response
from voicecli.protocol.settings import AudioFormat, ServerVad, SessionSettings
from voicecli.recording.format import Header, Keeps, plain_settings
from voicecli.recording.recorder import Recorder

SPEECH = Path(__file__).parent / "data" / "speech"
TICK_S = 0.02
LATENCY_S = 0.01
"Of the speaker's device."
DELTA_MS = 200
"How much audio one delta holds; the server sends four times as fast as it is spoken."
ANSWER = "the tide comes in twice a day because the moon pulls at the sea"
QUESTION = "what makes the tide come in"


class FolderSink:
    """Writes a recording's three files at once, without a thread."""

    def __init__(self, path: Path, header: Header) -> None:
        path.mkdir(parents=True)
        names = ("events.jsonl", "user.pcm", header.assistant_file)
        self._files = [(path / name).open("wb", buffering=2**20) for name in names]

    def write(self, lines: bytes, user: bytes = b"", assistant: bytes = b"") -> None:
        for file, content in zip(self._files, (lines, user, assistant), strict=True):
            if content:
                file.write(content)

    def close(self) -> None:
        for file in self._files:
            file.close()


@cache
def spoken_frames() -> list[bytes]:
    """Human speech of about a second, frame by frame."""
    with wave.open(str(SPEECH / "cards_001.wav")) as wav:
        pcm = convert(wav.readframes(wav.getnframes()), wav.getframerate(), WIRE_RATE_HZ)
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)]


@cache
def tone(ms: int, hz: float = 220.0) -> bytes:
    """The assistant's voice: a tone, of which no two stretches of 20 ms are alike."""
    step = 2 * math.pi * hz / WIRE_RATE_HZ
    samples = (
        round((3000 + 2000 * math.sin(k * step / 97)) * math.sin(k * step))
        for k in range(ms * WIRE_RATE_HZ // 1000)
    )
    return packed(array("h", samples))


@dataclass
class Exchange:
    """One turn of a talk that is made up."""

    begins_at: float
    "When the user begins to speak."
    answer_ms: int = 4000
    cut_after_ms: int | None = None
    "How much of the answer is heard when the next exchange, that begins then, cuts it off."


def exchanges(seconds: float, *, pause_s: float = 2.0, seed: int = 1) -> list[Exchange]:
    """A talk of a length: every third answer is interrupted."""
    chance = random.Random(seed)
    spoken_s = len(spoken_frames()) * TICK_S
    at, made = 1.0, []
    while at < seconds - 12:
        answer_ms = chance.choice((2000, 4000, 6000))
        cut = answer_ms // 2 if len(made) % 3 == 2 else None
        made.append(Exchange(at, answer_ms, cut))
        heard_s = (cut if cut is not None else answer_ms) / 1000
        at += spoken_s + 0.7 + heard_s + (0.0 if cut is not None else pause_s)
    return made


@dataclass
class Maker:
    """Makes one recording.

    Args:
        path: the new folder.
        wire: format of the audio, both ways.
        audio: whose audio is kept.
    """

    path: Path
    wire: AudioFormat = "pcm"
    audio: Keeps = "both"
    at: float = 0.0
    keeps_played: bool = False
    "Keep what the speaker gave in `played`, from the connection's opening on."
    played: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        settings = SessionSettings(
            turn_detection=ServerVad(), transcription_model="whisper",
            input_format=self.wire, output_format=self.wire,
        )  # fmt: skip
        self.header = Header(
            created="2026-01-01T00:00:00Z", program="voicecli test", server="made",
            audio=self.audio, settings=plain_settings(settings), options={"linger_s": 3.0},
        )  # fmt: skip
        self._sink = FolderSink(self.path, self.header)
        self.conversation = Conversation(Options(settings=settings, server="made"))
        self._recorder = Recorder(self.header, self.conversation, self._sink)
        self._playout = Playout()
        self._encoder = WireEncoder(self.wire)
        self._taken = 0

    # -------------------------------------------------------------------------------- the talk

    def talk(self, seconds: float, turns: list[Exchange] | None = None) -> Path:
        """Hold a talk of a length and end it in good order; gives the folder."""
        planned = exchanges(seconds) if turns is None else turns
        self.open()
        script = sorted(self._script(planned), key=lambda one: one[0])
        frames = self._frames(planned)
        position = 0
        while self.at < seconds - TICK_S:
            self.at = round(self.at + TICK_S, 6)
            while position < len(script) and script[position][0] <= self.at:
                self.step(inputs.Received(script[position][1]))
                position += 1
            self.step(inputs.MicFrame(next(frames)))
            self.play_out()
        self.quit()
        return self.path

    def open(self) -> None:
        """The server confirms the session."""
        self.at = 0.1
        self.step(inputs.Received(session_created()))
        self.step(inputs.Received(session_updated(ServerVad().to_wire())))

    def quit(self) -> None:
        """End it, as a key would."""
        self.step(inputs.QuitPressed())
        self.close()

    def close(self) -> None:
        """Leave it as it is: what was not ended looks as if the program had been killed."""
        self._sink.close()

    def step(self, an_input: inputs.Input) -> None:
        """Hand one input over, and carry out what comes of it."""
        if isinstance(an_input, inputs.Received) and not an_input.text:
            an_input = inputs.Received(an_input.event, encode(an_input.event))
        actions = self.conversation.handle(an_input, self.at)
        self._recorder.stepped(an_input, self.at, actions)
        for action in actions:
            match action:
                case Play(item_id, index, pcm):
                    self._playout.enqueue(item_id, index, pcm)
                case FinishPart(item_id, index):
                    self._playout.finish(item_id, index)
                    self._report()
                case SetGain(gain):
                    self._playout.set_gain(gain)
                case StopPlayback():
                    heard = self._playout.flush(self.at)
                    self._report()
                    self.step(inputs.PlaybackStopped(tuple(heard)))
                case Finish():
                    self._recorder.ended(self.at, action, 0, 0)

    def play_out(self) -> None:
        """Let the speaker take what is due up to now."""
        due = round(self.at * WIRE_RATE_HZ)
        pcm = self._playout.take(due - self._taken, self._taken / WIRE_RATE_HZ + LATENCY_S)
        self._taken = due
        if self.keeps_played:
            self.played += pcm
        self._report()

    def _report(self) -> None:
        for event in self._playout.drain_events():
            self.step(_reported(event))

    # ------------------------------------------------------------------------------ the script

    def _script(self, planned: list[Exchange]) -> Iterator[tuple[float, Event]]:
        spoken_s = len(spoken_frames()) * TICK_S
        for number, turn in enumerate(planned, 1):
            item, answer, response = f"item_u{number}", f"item_a{number}", f"resp_{number}"
            noticed = turn.begins_at + 0.2
            start_ms = round((turn.begins_at - 0.1) * 1000) - 100
            yield (
                noticed,
                events.InputAudioBufferSpeechStarted(item_id=item, audio_start_ms=start_ms),
            )
            ended = turn.begins_at + spoken_s + 0.3
            yield ended, speech_stopped(item)
            yield ended, committed(item)
            yield ended + 0.05, created(response)
            yield ended + 0.1, heard_user(item, f"{QUESTION} number {number}")
            yield ended + 0.1, announced(answer, response)
            yield from self._answer(ended + 0.2, turn, answer, response)

    def _answer(
        self, at: float, turn: Exchange, answer: str, response: str
    ) -> Iterator[tuple[float, Event]]:
        most_ms = turn.answer_ms
        words = ANSWER.split()
        for number, start in enumerate(range(0, most_ms, DELTA_MS)):
            due = at + start / 4000
            if number < len(words):
                yield due, said(answer, f"{words[number]} ", response)
            delta = audio(answer, 0, response)
            assert isinstance(delta, events.ResponseOutputAudioDelta)
            pcm = tone(most_ms)[start * 48 : (start + DELTA_MS) * 48]
            yield due, _with(delta, self._encoder.encode(pcm))
        over = at + most_ms / 4000
        yield over, audio_done(answer, response)
        usage = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
        fields = {"id": response, "status": "completed", "usage": usage}
        fields["output"] = [message(answer, text=ANSWER)]
        yield over, events.ResponseDone(response=Response(fields))

    def _frames(self, planned: list[Exchange]) -> Iterator[bytes]:
        """What the microphone hears, from the tick on in which it is first asked."""
        tick = round(self.at / TICK_S) - 1
        for turn in planned:
            begins = round(turn.begins_at / TICK_S)
            for _ in range(max(0, begins - tick)):
                yield SILENT_FRAME
            yield from spoken_frames()
            tick = max(tick, begins) + len(spoken_frames())
        while True:
            yield SILENT_FRAME


def _with(delta: events.ResponseOutputAudioDelta, pcm: bytes) -> Event:
    return events.ResponseOutputAudioDelta(
        response_id=delta.response_id, item_id=delta.item_id, content_index=0, delta=pcm
    )


def _reported(event: PlayoutEvent) -> inputs.Input:
    match event:
        case Started(item_id, index, at):
            return inputs.PartStarted(item_id, index, at)
        case Emitted(item_id, index, first, samples, at, fade, gain):
            return inputs.PartEmitted(item_id, index, first, samples, at, fade, gain)
        case Finished(item_id, index):
            return inputs.PartPlayed(item_id, index)
        case Drained():
            return inputs.PlaybackDrained()


def make_recording(path: Path, seconds: float, **more: Any) -> Path:
    """A talk of a length with a turn every ten seconds or so; every third answer is cut off."""
    return Maker(path, **more).talk(seconds)


if __name__ == "__main__":
    make_recording(Path(sys.argv[1]), float(sys.argv[2]), audio=sys.argv[3])
