"""Small real stand-ins for the engine's models, and a client's grip on a `Dialogue`."""

from __future__ import annotations

import base64
import itertools
import json
import threading
import wave
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from openai_types import check_server_event

from voicecli.audio.pcm import level_dbfs
from voicecli.audio.resample import convert
from voicecli.engine.dialogue.dialogue import Dialogue
from voicecli.engine.dialogue.jobs import (
    Answer,
    AnswerAudio,
    AnswerFinished,
    AnswerText,
    Input,
    Output,
    Transcribe,
    Transcribed,
)
from voicecli.engine.dialogue.messages import NO_OFFER, Message, Offer, Piece
from voicecli.protocol.codec import CLIENT_CODEC, encode
from voicecli.protocol.events import ServerEvent

SPEECH = Path(__file__).parent / "data" / "speech"


@cache
def clip(name: str = "goforward") -> bytes:
    """A spoken clip as PCM16 24 kHz, without the silence before and after."""
    with wave.open(str(SPEECH / f"{name}.wav"), "rb") as wav:
        pcm = convert(wav.readframes(wav.getnframes()), wav.getframerate(), 24_000)
    frames = [pcm[start : start + 960] for start in range(0, len(pcm) - 959, 960)]
    loud = [index for index, frame in enumerate(frames) if level_dbfs(frame) > -40.0]
    return b"".join(frames[loud[0] : loud[-1] + 1])


def silence(ms: int) -> bytes:
    return bytes(48 * ms)


def counted_ids() -> Callable[[str], str]:
    """Ids that count up per prefix: item_1, item_2, …"""
    counters: dict[str, Iterator[int]] = {}

    def new_id(prefix: str) -> str:
        return f"{prefix}_{next(counters.setdefault(prefix, itertools.count(1)))}"

    return new_id


Shown = dict[str, Any]


class Talk:
    """Speaks to a `Dialogue` as a client does; checks each server event against the API's types."""

    def __init__(self, session: Shown | None = None) -> None:
        self.dialogue = Dialogue(counted_ids())
        self.at = 0.0
        self.jobs: list[Output] = []
        self.seen: list[Shown] = []
        self.take(self.dialogue.begin())
        if session is not None:
            self.send("session.update", session={"type": "realtime", **session})

    def take(self, outputs: list[Output]) -> list[Shown]:
        told: list[Shown] = []
        for output in outputs:
            if isinstance(output, ServerEvent):
                text = encode(output)
                check_server_event(text)
                told.append(json.loads(text))
            else:
                self.jobs.append(output)
        self.seen += told
        return told

    def give(self, input: Input) -> list[Shown]:
        return self.take(self.dialogue.handle(input, self.at))

    def send(self, type: str, **fields: Any) -> list[Shown]:
        """Send a client event; returns the server events that came back at once."""
        return self.give(CLIENT_CODEC.decode(json.dumps({"type": type, **fields})))

    def hear(self, pcm: bytes, chunk_ms: int = 20) -> list[Shown]:
        """Append audio as a microphone would."""
        step = 48 * chunk_ms
        told = []
        for start in range(0, len(pcm), step):
            audio = base64.b64encode(pcm[start : start + step]).decode()
            told += self.send("input_audio_buffer.append", audio=audio)
        return told

    def say(self, text: str) -> list[Shown]:
        """Type something."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        return self.send("conversation.item.create", item=item)

    def take_jobs(self) -> list[Output]:
        jobs, self.jobs = self.jobs, []
        return jobs

    def job(self, kind: type[Any]) -> Any:
        """The newest job of this kind."""
        return [one for one in self.jobs if isinstance(one, kind)][-1]

    def understand(self, text: str) -> list[Shown]:
        """The ears' result for the newest transcription."""
        return self.give(Transcribed(self.job(Transcribe).job, text))

    def answer(self, *sentences: str, ms_each: int = 1000, finish: bool = True) -> list[Shown]:
        """The mind's and voice's result for the newest answer."""
        job = self.job(Answer).job
        told = []
        for sentence in sentences:
            told += self.give(AnswerText(job, sentence))
            if self.job(Answer).spoken:
                told += self.give(AnswerAudio(job, silence(ms_each)))
        return told + (self.give(AnswerFinished(job)) if finish else [])

    def ask(self, text: str = "Hello.") -> list[Shown]:
        """Type something and have it answered up to the point where the mind is asked."""
        return self.say(text) + self.send("response.create")


def types(told: Sequence[Shown]) -> list[str]:
    return [one["type"] for one in told]


def only(told: Sequence[Shown], type: str) -> Shown:
    (found,) = [one for one in told if one["type"] == type]
    return found


def error(told: Sequence[Shown]) -> Shown:
    found: Shown = only(told, "error")["error"]
    return found


class FakeEars:
    """Hears what it was told it would."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)
        self.heard_samples: list[int] = []

    def transcribe(self, samples: Any, *, language: str = "") -> str:
        self.heard_samples.append(len(samples))
        return self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]


class FakeMind:
    """Says or calls its pieces; waits before each for `go`, if there is one."""

    name = "fake"

    def __init__(self, *pieces: Piece, go: threading.Semaphore | None = None) -> None:
        self._pieces = pieces
        self._go = go
        self.asked: list[list[Message]] = []
        self.offered: list[Offer] = []
        self.ended = threading.Event()

    def reply(
        self,
        messages: Sequence[Message],
        *,
        stopped: Callable[[], bool],
        max_tokens: int | None = None,
        offer: Offer = NO_OFFER,
    ) -> Iterator[Piece]:
        self.asked.append(list(messages))
        self.offered.append(offer)
        try:
            for piece in self._pieces:
                if self._go is not None:
                    self._go.acquire(timeout=10)
                if stopped():
                    return
                yield piece
        finally:
            self.ended.set()


class FakeVoice:
    """50 ms of a constant for each word."""

    def speak(self, text: str, *, speed: float = 1.0, voice: str = "") -> Iterator[bytes]:
        for _ in text.split():
            yield b"\x01\x00" * 1200
