# ruff: noqa: E402
"""How long the engine takes from the end of the user's speech to the first audio of its answer.

Some sessions at a time say clips of tests/data/speech in real time, each turn on a connection of
its own. Prints median and 95th percentile of each stage, in milliseconds:

  endpoint  end of speech -> speech_stopped, most of it the silence that was asked for
  ears      computing time of a transcription; it runs within the silence
  mind      the mind begins -> its first piece
  voice     the voice begins -> its first piece
  total     end of speech -> first response.output_audio.delta; the wait for others is in it

The mind `http` is a server on this machine that answers at once.

Run: python tests/benchmarks/engine_latency.py --mind rules --mind http --sessions 1 --sessions 4
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import statistics
import sys
import time
import wave
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from helpers_http import HttpServer, events, said
from helpers_http import models as listed
from helpers_speech import clips
from websockets.asyncio.client import ClientConnection, connect

from voicecli.audio.pcm import FRAME_BYTES, SILENT_FRAME, level_dbfs
from voicecli.audio.resample import convert
from voicecli.engine.ears.ears import MoonshineEars
from voicecli.engine.minds.mind import load_mind
from voicecli.engine.server.serve import serve
from voicecli.engine.stages import Models
from voicecli.engine.store import ModelStore
from voicecli.engine.voices.voices import HibariVoice

FRAME_S = 0.02
TAIL_FRAMES = 150
STAGES = ("ears", "mind", "voice")
COLUMNS = ("endpoint", *STAGES, "total")
TURNS = {1: 12, 4: 4, 16: 2}
"""Of each session, by the number of sessions."""

Times = dict[str, list[float]]


class Timed:
    """A model whose calls are timed, to their first piece where they come in pieces."""

    def __init__(self, model: Any, stage: str, times: Times) -> None:
        self._model, self._stage, self._times = model, stage, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def transcribe(self, *args: Any, **options: Any) -> str:
        began = time.monotonic()
        text: str = self._model.transcribe(*args, **options)
        self._times[self._stage].append(time.monotonic() - began)
        return text

    def reply(self, *args: Any, **options: Any) -> Iterator[Any]:
        return self._to_first(self._model.reply(*args, **options))

    def speak(self, *args: Any, **options: Any) -> Iterator[Any]:
        return self._to_first(self._model.speak(*args, **options))

    def _to_first(self, pieces: Iterator[Any]) -> Iterator[Any]:
        began, is_first = time.monotonic(), True
        for piece in pieces:
            if is_first:
                self._times[self._stage].append(time.monotonic() - began)
            is_first = False
            yield piece


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


async def turn(url: str, path: Path) -> dict[str, float]:
    """How long one clip's answer took to begin; nothing for a clip that got none."""
    told: list[tuple[float, str]] = []
    stopped_since = asyncio.Event()
    async with connect(url, compression=None, max_size=None) as socket:

        async def listen() -> None:
            async for text in socket:
                told.append((time.monotonic(), json.loads(text)["type"]))
                if told[-1][1] == "response.done":
                    stopped_since.set()

        listening = asyncio.create_task(listen())
        ended = await play(socket, *frames_of(path))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while told[-1][1] != "response.done":
                    stopped_since.clear()
                    await stopped_since.wait()
        listening.cancel()
    stops = [at for at, kind in told if kind == "input_audio_buffer.speech_stopped"]
    if not stops:
        return {}
    stopped = stops[-1]
    firsts = [at for at, kind in told if kind == "response.output_audio.delta" and at > stopped]
    return {"endpoint": stopped - ended, "total": firsts[0] - ended} if firsts else {}


async def session(url: str, number: int, turns: int) -> list[dict[str, float]]:
    """The turns of one session, begun at another time than the others'."""
    await asyncio.sleep(number * 0.37)
    paths = [clip.path for clip in clips()]
    return [await turn(url, paths[(number * 5 + index) % len(paths)]) for index in range(turns)]


@contextlib.contextmanager
def mind_called(name: str) -> Iterator[str]:
    """What to load for this name; a server of its own for `http`."""
    if name != "http":
        yield name
        return
    answer = events(said("I have heard you. "), said("What next?"))
    with HttpServer(completions=answer, models=listed("echo")) as server:
        yield server.url


@contextlib.asynccontextmanager
async def engine(mind: str, times: Times) -> AsyncIterator[str]:
    """A server whose models are timed; gives its URL."""
    store = ModelStore()
    models = Models(
        Timed(MoonshineEars(store.path("moonshine-tiny-en")), "ears", times),
        Timed(load_mind(mind, store), "mind", times),
        Timed(HibariVoice(), "voice", times),
        at_once={"mind": 16} if mind.startswith("http") else {},
    )
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        serve("127.0.0.1", 0, lambda: models, ready=port.set_result, stop=stop)
    )
    yield f"ws://127.0.0.1:{await port}/v1/realtime"
    stop.set()
    await server


def shown(values: Sequence[float]) -> str:
    if not values:
        return "-"
    at_95 = sorted(values)[min(len(values) - 1, round(0.95 * len(values)))]
    return f"{1000 * statistics.median(values):.0f} / {1000 * at_95:.0f}"


async def measure(name: str, counts: Sequence[int]) -> None:
    times: Times = {stage: [] for stage in STAGES}
    with mind_called(name) as mind:
        async with engine(mind, times) as url:
            await turn(url, clips()[0].path)  # warms up
            for count in counts:
                for values in times.values():
                    values.clear()
                turns = TURNS.get(count, 2)
                sessions = [session(url, number, turns) for number in range(count)]
                rows = [row for one in await asyncio.gather(*sessions) for row in one]
                answered = [row for row in rows if row]
                found: Times = {
                    one: [row[one] for row in answered] for one in ("endpoint", "total")
                }
                cells = [shown((found | times)[column]) for column in COLUMNS]
                print(
                    f"| `{name}` | {count} | {len(answered)} of {len(rows)} | "
                    + " | ".join(cells)
                    + " |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mind", action="append")
    parser.add_argument("--sessions", action="append", type=int)
    asked = parser.parse_args()
    print("| mind | sessions | answers | " + " | ".join(COLUMNS) + " |")
    print("|---|---|---|" + "---|" * len(COLUMNS))
    for mind in asked.mind or ["rules"]:
        asyncio.run(measure(mind, asked.sessions or [1, 4, 16]))


if __name__ == "__main__":
    main()
