"""Client and engine joined in memory, with a listener between them.

No network, no clock and no models: events are encoded and decoded on the way, speech is a recording
of a person, and the speaker is the real ledger, moved on by hand.
"""

from __future__ import annotations

import base64
import json
import random
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from engine_fakes import clip, counted_ids
from openai_types import check_client_event, check_server_event

from voicecli import actions, inputs
from voicecli.audio.pcm import FRAME_BYTES, FRAME_SAMPLES, packed
from voicecli.audio.playback import (
    FADE_SAMPLES,
    Drained,
    Emitted,
    Finished,
    Playout,
    PlayoutEvent,
    Started,
)
from voicecli.bargein import BargeInRules
from voicecli.conversation import Conversation, Options
from voicecli.engine.dialogue import jobs
from voicecli.engine.dialogue.dialogue import Dialogue
from voicecli.protocol.codec import CLIENT_CODEC, SERVER_CODEC, encode
from voicecli.protocol.events import InputAudioBufferSpeechStarted, ServerEvent
from voicecli.protocol.settings import ServerVad, SessionSettings
from voicecli.reports import Report
from voicecli.session import Observer

SAMPLES_PER_MS = 24
FRAME_S = 0.02
AUTOMATIC = SessionSettings(
    turn_detection=ServerVad(silence_duration_ms=300), transcription_model="whisper-1"
)
OURS = SessionSettings(
    turn_detection=ServerVad(
        silence_duration_ms=300, create_response=False, interrupt_response=False
    ),
    transcription_model="whisper-1",
)
"Interruptions and answers are up to the client."
MANUAL = SessionSettings(turn_detection=None, transcription_model="whisper-1")


def speech(ms: int, seed: int = 0) -> bytes:
    """An answer's audio: no sample is zero and no two answers are alike."""
    values = random.Random(seed)
    samples = (
        values.choice((-1, 1)) * values.randrange(1000, 9000) for _ in range(ms * SAMPLES_PER_MS)
    )
    return packed(array("h", samples))


class Pair:
    """A conversation and a dialogue with a listener between them; time moves by `pass_ms`."""

    def __init__(
        self,
        wanted: SessionSettings = AUTOMATIC,
        words: Sequence[str] = (),
        observe: Callable[[Conversation], Observer] | None = None,
        rules: BargeInRules | None = None,
    ) -> None:
        self.at = 0.0
        options = Options(settings=wanted, server="local", barge_in=rules or BargeInRules())
        self.conversation = Conversation(options)
        self.observers = [] if observe is None else [observe(self.conversation)]
        self.dialogue = Dialogue(counted_ids())
        self.playout = Playout()
        self.speaker = bytearray()
        self.reports: list[Report] = []
        self.sent: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.jobs: list[jobs.Output] = []
        self._words, self._turns = tuple(words), 0
        self._to_server: deque[bytes | jobs.Input] = deque()
        self._to_client: deque[bytes] = deque()
        self._emit(self.dialogue.begin())
        self._settle()

    # -------------------------------------------------------------------------------- the wires

    def give(self, an_input: inputs.Input) -> None:
        """Let something happen to the client, and all that follows from it."""
        self._happen(an_input)
        self._settle()

    def tell_engine(self, result: jobs.Input) -> None:
        """Let a model of the engine say something."""
        self._to_server.append(result)
        self._settle()

    def _happen(self, an_input: inputs.Input) -> None:
        wanted = self.conversation.handle(an_input, self.at)
        for observer in self.observers:
            observer.stepped(an_input, self.at, wanted)
        for action in wanted:
            match action:
                case actions.Send(event):
                    self._to_server.append(encode(event))
                case actions.Play(item_id, content_index, pcm):
                    self.playout.enqueue(item_id, content_index, pcm)
                case actions.FinishPart(item_id, content_index):
                    self.playout.finish(item_id, content_index)
                case actions.SetGain(gain):
                    self.playout.set_gain(gain)
                case actions.StopPlayback():
                    heard = tuple(self.playout.flush(self.at))
                    self._report()
                    self._happen(inputs.PlaybackStopped(heard))
                case actions.Tell(report):
                    self.reports.append(report)
                case _:
                    raise AssertionError(action)

    def _settle(self) -> None:
        while self._to_server or self._to_client or self.playout.has_events:
            while self._to_server:
                self._reach_server(self._to_server.popleft())
            while self._to_client:
                self._reach_client(self._to_client.popleft())
            self._report()

    def _report(self) -> None:
        for event in self.playout.drain_events():
            self._happen(_as_input(event))

    def _reach_server(self, what: bytes | jobs.Input) -> None:
        if isinstance(what, bytes):
            check_client_event(what)
            self.sent.append(json.loads(what))
            self._emit(self.dialogue.handle(CLIENT_CODEC.decode(what), self.at))
        else:
            self._emit(self.dialogue.handle(what, self.at))

    def _reach_client(self, text: bytes) -> None:
        check_server_event(text)
        self.received.append(json.loads(text))
        self._happen(inputs.Received(SERVER_CODEC.decode(text), text))

    def _emit(self, outputs: Iterable[jobs.Output]) -> None:
        for output in outputs:
            if isinstance(output, ServerEvent):
                self._turns += isinstance(output, InputAudioBufferSpeechStarted)
                self._to_client.append(encode(output))
            elif isinstance(output, jobs.Transcribe):
                self._to_server.append(jobs.Transcribed(output.job, self._words_of_this_turn()))
            else:
                self.jobs.append(output)

    def _words_of_this_turn(self) -> str:
        # The ears are asked at every pause, so they are asked more than once in some turns.
        turn = max(0, self._turns - 1)
        return self._words[turn] if turn < len(self._words) else "Something."

    # ----------------------------------------------------------------------------- what happens

    def pass_ms(self, ms: int, mic: bytes = b"") -> None:
        """Let time pass: the microphone gives `mic` and then silence, the speaker plays."""
        mic = mic.ljust(ms * SAMPLES_PER_MS * 2, b"\0")
        for start in range(0, ms * SAMPLES_PER_MS * 2 - FRAME_BYTES + 1, FRAME_BYTES):
            self.speaker += self.playout.take(FRAME_SAMPLES, self.at)
            self.at = round(self.at + FRAME_S, 6)
            self._settle()
            self.give(inputs.MicFrame(mic[start : start + FRAME_BYTES]))

    def say(self, pcm: bytes, then_ms: int = 800) -> None:
        """The user speaks and is silent for long enough."""
        self.pass_ms(len(pcm) // FRAME_BYTES * 20 + then_ms, pcm)

    @property
    def asked(self) -> jobs.Answer:
        """What the mind was asked last."""
        return [one for one in self.jobs if isinstance(one, jobs.Answer)][-1]

    def answer(self, *pieces: tuple[str, bytes], finish: bool = True) -> None:
        """The engine generates, faster than real time."""
        job = self.asked.job
        for text, pcm in pieces:
            self.tell_engine(jobs.AnswerText(job, text))
            self.tell_engine(jobs.AnswerAudio(job, pcm))
        if finish:
            self.tell_engine(jobs.AnswerFinished(job))

    # ----------------------------------------------------------------------------- what is known

    def remembered(self, item_id: str) -> bytes | None:
        """The server's audio of an item; None if it knows of none."""
        ask = json.dumps({"type": "conversation.item.retrieve", "item_id": item_id})
        (told,) = self.dialogue.handle(CLIENT_CODEC.decode(ask), self.at)
        assert isinstance(told, ServerEvent)
        item = json.loads(encode(told)).get("item")
        if item is None:
            return None
        return base64.b64decode(item["content"][0].get("audio") or "")

    def text_remembered(self, item_id: str) -> str:
        """The server's words of an item."""
        ask = json.dumps({"type": "conversation.item.retrieve", "item_id": item_id})
        (told,) = self.dialogue.handle(CLIENT_CODEC.decode(ask), self.at)
        content = json.loads(encode(told))["item"]["content"][0]  # type: ignore[arg-type]
        return str(content.get("transcript") or content.get("text") or "")

    @property
    def answers(self) -> list[str]:
        """The ids of the assistant's messages, oldest first."""
        return [
            one["item"]["id"]
            for one in self.received
            if one["type"] == "response.output_item.added"
        ]

    def told(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.reports if isinstance(one, kind)]

    def types(self) -> list[str]:
        """Client events, microphone audio left out."""
        return [one["type"] for one in self.sent if one["type"] != "input_audio_buffer.append"]


def _as_input(event: PlayoutEvent) -> inputs.Input:
    match event:
        case Started(item_id, content_index, at):
            return inputs.PartStarted(item_id, content_index, at)
        case Finished(item_id, content_index):
            return inputs.PartPlayed(item_id, content_index)
        case Emitted(item_id, content_index, first, samples, at, fade, gain):
            return inputs.PartEmitted(item_id, content_index, first, samples, at, fade, gain)
        case Drained():
            return inputs.PlaybackDrained()


def heard_of(pair: Pair, pcm: bytes) -> int:
    """Samples of `pcm` that left the speaker, and nothing but what is in it."""
    start = bytes(pair.speaker).find(pcm[:64])
    if start < 0:
        return 0
    played = bytes(pair.speaker[start : start + len(pcm)])
    whole = next((i for i in range(0, len(played), 2) if played[i : i + 2] != pcm[i : i + 2]), None)
    if whole is None:
        return len(pcm) // 2
    # The last few milliseconds are faded and so not equal, but they are heard.
    return whole // 2 + sum(
        any(played[i : i + 2]) for i in range(whole, whole + 2 * FADE_SAMPLES, 2)
    )


def remembers_what_was_heard(pair: Pair, item_id: str, pcm: bytes) -> int:
    """To the millisecond; gives the samples."""
    heard = heard_of(pair, pcm)
    remembered = pair.remembered(item_id)
    if heard < SAMPLES_PER_MS:
        assert not remembered
        return heard
    assert remembered is not None
    assert pcm.startswith(remembered)
    # The quietest samples of a fade-out round to nothing.
    assert 0 <= heard + 4 - len(remembered) // 2 < SAMPLES_PER_MS + 4
    return heard


def after_a_question(**more: Any) -> Pair:
    pair = Pair(words=["Go forward ten meters."], **more)
    pair.pass_ms(200)
    pair.say(clip("goforward"))
    assert pair.asked.messages[-1].text == "Go forward ten meters."
    return pair
