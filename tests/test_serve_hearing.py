"""What the engine hears, through the socket and its threads."""

import asyncio
import base64
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from engine_fakes import FakeEars, FakeMind, FakeVoice, clip, silence, types
from test_serve import Shown, send, talking, until
from websockets.asyncio.client import ClientConnection

from voicecli.engine.ears.ears import Ears
from voicecli.engine.ears.judge import MODEL, Judge
from voicecli.engine.stages import Models
from voicecli.errors import LanguageNotHeard

STOPPED = "input_audio_buffer.speech_stopped"
DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"


class SureJudge:
    def __init__(self, probability: float) -> None:
        self._probability = probability

    def probability(self, samples: Any) -> float:
        assert abs(samples).max() <= 1
        return self._probability


class NotedEars:
    """Hears the same every time, and notes that it was asked."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)

    def transcribe(self, samples: Any, *, language: str = "") -> str:
        self.asked.release()
        return "Go forward."


class EnglishEars:
    def transcribe(self, samples: Any, *, language: str = "") -> str:
        if language == "de":
            raise LanguageNotHeard("not 'de'")
        return "Go forward."


def models(ears: Ears | None = None, judge: Judge | None = None) -> Callable[[], Models]:
    return lambda: Models(
        ears or FakeEars("Go forward."), FakeMind("Yes."), FakeVoice(), judge=judge
    )


async def append(socket: ClientConnection, pcm: bytes) -> None:
    await send(socket, "input_audio_buffer.append", audio=base64.b64encode(pcm).decode())


async def configure(socket: ClientConnection, **fields: Any) -> None:
    session = {"type": "realtime", "audio": {"input": fields}}
    await send(socket, "session.update", session=session)
    await until(socket, "session.updated")


def semantic(eagerness: str) -> Shown:
    return {"type": "semantic_vad", "eagerness": eagerness}


@pytest.mark.parametrize(("probability", "waited_ms"), [(0.99, 300), (0.1, 3600)])
def test_the_judge_decides_how_long_a_silence_ends_the_turn(
    probability: float, waited_ms: int
) -> None:
    async def talk(socket: ClientConnection) -> None:
        await configure(socket, turn_detection=semantic("medium"))
        speech = clip("cards_001")
        await append(socket, speech + silence(5000))
        stopped = (await until(socket, STOPPED))[-1]
        assert abs(stopped["audio_end_ms"] - len(speech) // 48 - waited_ms) <= 100
        await until(socket, "response.done")

    talking(talk, models(judge=SureJudge(probability)))


def test_without_the_weights_semantic_vad_works_by_silence_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talk(socket: ClientConnection) -> None:
        await configure(socket, turn_detection=semantic("high"))
        for _ in range(2):
            await append(socket, clip("cards_001") + silence(1000))
            told = await until(socket, "response.done")
            assert STOPPED in types(told)

    with caplog.at_level(logging.WARNING):
        talking(talk, models())
    assert caplog.text.count(f"voicecli models pull {MODEL}") == 1


def test_words_come_while_the_user_is_still_speaking() -> None:
    ears = NotedEars()

    async def talk(socket: ClientConnection) -> None:
        await configure(socket, transcription={"model": "gpt-realtime-whisper"})
        speech = clip("librivox_sense_0870") * 2
        asked = 0
        while asked < 2:
            await append(socket, speech[: 48 * 500])
            speech = speech[48 * 500 :]
            asked += await asyncio.to_thread(ears.asked.acquire, timeout=0.1)
        told = await until(socket, DELTA)
        assert STOPPED not in types(told)
        await append(socket, silence(1000))
        told += await until(socket, COMPLETED)
        deltas = [one["delta"] for one in told if one["type"] == DELTA]
        assert "".join(deltas) == told[-1]["transcript"] == "Go forward."

    talking(talk, models(ears))


def test_a_language_that_is_not_understood_fails_the_turn_and_not_the_talk() -> None:
    async def talk(socket: ClientConnection) -> None:
        for language in ("de", "en"):
            await configure(socket, transcription={"model": "whisper-1", "language": language})
            await append(socket, clip("cards_001") + silence(1000))
            told = await until(socket, "response.done")
            failed = [one for one in told if one["type"].endswith("transcription.failed")]
            codes = [one["error"]["code"] for one in failed]
            assert codes == (["language_not_supported"] if language == "de" else [])
            done = told[-1]["response"]["status"]
            assert done == ("failed" if language == "de" else "completed")

    talking(talk, models(EnglishEars()))
