# ruff: noqa: E402
"""What it gives and costs to be told the user's words while they are spoken.

Sends the clips of tests/data/speech in real time to an engine, once with transcription deltas
during speech (`gpt-realtime-whisper`) and once without (`whisper-1`), and prints

  first    onset of speech -> the first delta; "after" when it came after the end of speech
  early    words told before `speech_stopped`, of all
  wer      word error rate of the completed transcripts, in which told words are not corrected
  ears     computing time of the ears, over the length of the clips

Run: python tests/benchmarks/captions.py
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), *map(str, Path(__file__).parents[1:3])]

from engine_latency import FRAME_S, frames_of
from helpers_speech import clips, word_errors
from websockets.asyncio.client import connect

from voicecli.audio.pcm import level_dbfs
from voicecli.engine.ears.ears import load_ears
from voicecli.engine.minds.mind import load_mind
from voicecli.engine.server.serve import serve
from voicecli.engine.stages import Models
from voicecli.engine.store import ModelStore

PREFIX = "conversation.item.input_audio_transcription."


class CountedEars:
    def __init__(self, ears: Any) -> None:
        self._ears = ears
        self.calls, self.seconds = 0, 0.0

    def transcribe(self, samples: Any, *, language: str = "") -> str:
        began = time.monotonic()
        text: str = self._ears.transcribe(samples, language=language)
        self.calls += 1
        self.seconds += time.monotonic() - began
        return text


class NoVoice:
    def speak(self, text: str, *, speed: float = 1.0) -> Any:
        yield from ()


async def turn(url: str, model: str, frames: list[bytes]) -> list[tuple[float, dict[str, Any]]]:
    """The events of one clip, with seconds since its first frame."""
    told: list[tuple[float, dict[str, Any]]] = []
    detection = {"type": "server_vad", "silence_duration_ms": 700, "create_response": False}
    audio = {"input": {"transcription": {"model": model}, "turn_detection": detection}}
    update = {"type": "session.update", "session": {"type": "realtime", "audio": audio}}
    async with connect(url, compression=None, max_size=None) as socket:
        await socket.send(json.dumps(update))
        began = time.monotonic()

        async def listen() -> None:
            async for text in socket:
                event = json.loads(text)
                told.append((time.monotonic() - began, event))

        listening = asyncio.create_task(listen())
        for index, frame in enumerate(frames):
            await asyncio.sleep(began + (index + 1) * FRAME_S - time.monotonic())
            pcm = base64.b64encode(frame).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": pcm}))
        await asyncio.sleep(1.0)
        listening.cancel()
    return told


def kinds(told: list[tuple[float, dict[str, Any]]], kind: str) -> list[tuple[float, str]]:
    key = "delta" if kind == "delta" else "transcript"
    return [(at, one[key]) for at, one in told if one["type"] == PREFIX + kind]


async def measure(url: str, model: str, ears: CountedEars) -> None:
    firsts, errors, words, early, spoken_s = [], 0, 0, 0, 0.0
    ears.calls, ears.seconds = 0, 0.0
    print(f"\n{model}")
    for clip in clips():
        frames, last = frames_of(clip.path)
        onset = next(at for at, frame in enumerate(frames) if level_dbfs(frame) > -40.0)
        told = await turn(url, model, frames[: last + 60])
        spoken_s += (last - onset) * FRAME_S
        deltas = kinds(told, "delta")
        completed = " ".join(text for _, text in kinds(told, "completed"))
        wrong, of = word_errors(clip.transcript, completed)
        errors, words = errors + wrong, words + of
        before = "".join(text for at, text in deltas if at < last * FRAME_S)
        early += len(before.split())
        first = deltas[0][0] - onset * FRAME_S if deltas else float("nan")
        during = bool(before)
        firsts += [first] if during else []
        shown = f"{first * 1000:6.0f}" if during else " after"
        print(
            f"  {clip.name:28}{shown} ms  {len(before.split()):2}/{of:2} words early  {completed}"
        )
        whole = "".join(text for _, text in deltas)
        parts = [text for _, text in kinds(told, "completed")]
        assert whole == "".join(parts), (whole, parts)
    if firsts:
        print(f"  first: median {statistics.median(firsts) * 1000:.0f} ms in {len(firsts)} clips")
    print(f"  early: {early}/{words} words; wer {errors / words:.1%} ({errors}/{words})")
    share = ears.seconds / spoken_s
    print(f"  ears: {ears.calls} calls, {ears.seconds:.1f} s for {spoken_s:.1f} s ({share:.0%})")


async def main() -> None:
    store = ModelStore()
    ears = CountedEars(load_ears(store))
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def make_models() -> Models:
        return Models(ears, load_mind("rules", store), NoVoice())

    server = asyncio.create_task(
        serve("127.0.0.1", 0, make_models, ready=port.set_result, stop=stop)
    )
    url = f"ws://127.0.0.1:{await port}/v1/realtime"
    for model in ("gpt-realtime-whisper", "whisper-1"):
        await measure(url, model, ears)
    stop.set()
    await server


if __name__ == "__main__":
    asyncio.run(main())
