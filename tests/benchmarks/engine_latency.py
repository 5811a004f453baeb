# ruff: noqa: E402
"""How long the engine takes from the end of the user's speech to the first audio of its answer.

Sends the clips of tests/data/speech in real time and prints, for each, the stages in milliseconds:

  endpoint  end of speech -> speech_stopped, most of it the silence that was asked for
  ears      computing time of the transcription; it runs within the silence
  mind      the mind is asked -> its first piece
  voice     the voice is asked -> its first piece
  total     end of speech -> first response.output_audio.delta

Run: python tests/benchmarks/engine_latency.py --mind rules --mind small
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import statistics
import sys
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from helpers_speech import clips
from websockets.asyncio.client import ClientConnection, connect

from voicecli.audio.pcm import FRAME_BYTES, SILENT_FRAME, level_dbfs
from voicecli.audio.resample import convert
from voicecli.engine.ears import MoonshineEars
from voicecli.engine.messages import Message
from voicecli.engine.mind import load_mind
from voicecli.engine.serve import serve
from voicecli.engine.stages import Models
from voicecli.engine.store import ModelStore
from voicecli.engine.voices import HibariVoice

FRAME_S = 0.02
TAIL_FRAMES = 150
COLUMNS = ("endpoint", "ears", "mind", "voice", "total")

Times = dict[str, float]


class TimedEars:
    def __init__(self, ears: Any, times: Times) -> None:
        self._ears, self._times = ears, times

    def transcribe(self, samples: Any, *, language: str = "") -> str:
        began = time.monotonic()
        text: str = self._ears.transcribe(samples, language=language)
        self._times["ears"] = time.monotonic() - began
        return text


def timed_first(pieces: Iterator[Any], stage: str, times: Times) -> Iterator[Any]:
    began = time.monotonic()
    for piece in pieces:
        times.setdefault(stage, time.monotonic() - began)
        yield piece


class TimedMind:
    def __init__(self, mind: Any, times: Times) -> None:
        self._mind, self._times, self.name = mind, times, mind.name

    def reply(
        self,
        messages: Sequence[Message],
        *,
        stopped: Callable[[], bool],
        max_tokens: int | None = None,
    ) -> Iterator[str]:
        pieces = self._mind.reply(messages, stopped=stopped, max_tokens=max_tokens)
        self._times.pop("mind", None)
        self._times.pop("voice", None)
        return timed_first(pieces, "mind", self._times)


class TimedVoice:
    def __init__(self, voice: Any, times: Times) -> None:
        self._voice, self._times = voice, times

    def speak(self, text: str, *, speed: float = 1.0) -> Iterator[bytes]:
        return timed_first(self._voice.speak(text, speed=speed), "voice", self._times)


def frames_of(path: Path, samples_hz: int = 16_000) -> tuple[list[bytes], int]:
    """The clip in frames of 20 ms, and how many there are up to the end of speech."""
    with wave.open(str(path), "rb") as wav:
        pcm = convert(wav.readframes(wav.getnframes()), samples_hz, 24_000)
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]
    loud = [index for index, frame in enumerate(frames) if level_dbfs(frame) > -40.0]
    return [*frames, *[SILENT_FRAME] * TAIL_FRAMES], loud[-1] + 1


async def play(socket: ClientConnection, frames: list[bytes], speech_frames: int) -> float:
    """Send as a microphone does; returns when speech ended."""
    began = time.monotonic()
    for index, frame in enumerate(frames):
        await asyncio.sleep(began + (index + 1) * FRAME_S - time.monotonic())
        audio = base64.b64encode(frame).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
    return began + speech_frames * FRAME_S


async def turn(url: str, path: Path, times: Times) -> Times:
    """The stages of one clip."""
    times.clear()
    told: list[tuple[float, str]] = []
    done = asyncio.Event()
    async with connect(url, compression=None, max_size=None) as socket:

        async def listen() -> None:
            async for text in socket:
                kind = json.loads(text)["type"]
                told.append((time.monotonic(), kind))
                if kind == "response.done":
                    done.set()

        listening = asyncio.create_task(listen())
        ended = await play(socket, *frames_of(path))
        while told[-1][1] != "response.done":
            done.clear()
            await done.wait()
        listening.cancel()
    stopped = [at for at, kind in told if kind == "input_audio_buffer.speech_stopped"][-1]
    first = next(at for at, kind in told if kind == "response.output_audio.delta" and at > stopped)
    return {**times, "endpoint": stopped - ended, "total": first - ended}


async def measure(mind: str) -> None:
    times: Times = {}
    store = ModelStore()

    def make_models() -> Models:
        ears = MoonshineEars(store.path("moonshine-tiny-en"))
        return Models(
            TimedEars(ears, times),
            TimedMind(load_mind(mind, store), times),
            TimedVoice(HibariVoice(), times),
        )

    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        serve("127.0.0.1", 0, make_models, ready=port.set_result, stop=stop)
    )
    url = f"ws://127.0.0.1:{await port}/v1/realtime"
    await turn(url, clips()[0].path, times)  # warms up, and waits for the models
    print(f"mind {mind}\n{'clip':28}" + "".join(f"{name:>10}" for name in COLUMNS))
    rows = []
    for clip in clips():
        row = await turn(url, clip.path, times)
        rows.append(row)
        print(f"{clip.name:28}" + "".join(f"{1000 * row.get(n, 0):10.0f}" for n in COLUMNS))
    medians = {n: statistics.median(row.get(n, 0.0) for row in rows) for n in COLUMNS}
    print(f"{'median':28}" + "".join(f"{1000 * medians[n]:10.0f}" for n in COLUMNS), flush=True)
    stop.set()
    await server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mind", action="append")
    for mind in parser.parse_args().mind or ["rules"]:
        asyncio.run(measure(mind))


if __name__ == "__main__":
    main()
