# ruff: noqa: E402
"""What a server takes: floods, memory over many sessions, and many sessions talking at once.

The server is a process of its own on a loopback address; every part is bounded in time.

  flood     one session answers typed questions while another one sends at full speed: speech, one
            long append after the other, nonsense, or requests for audio that it does not read.
            For each, in milliseconds: a request -> its confirmation (`loop`), and a question ->
            the first audio of the answer (`audio`)
  memory    200 sessions one after the other, each with a spoken turn and an answer: the server's
            resident memory after each 50
  sessions  1, 4 and 16 sessions that play the clips of tests/data/speech in real time: end of
            speech -> first audio of the answer, and what became of every turn
  loading   connect as soon as the port is open, while the models load -> session.created

Run: python tests/benchmarks/serve_load.py [flood] [memory] [sessions] [loading] [--mind rules]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import functools
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from engine_fakes import clip, silence
from engine_latency import frames_of, play
from helpers_speech import clips
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Event = dict[str, Any]
FLOOD_S = 8.0


@contextlib.asynccontextmanager
async def server(mind: str, *options: str) -> AsyncIterator[tuple[str, int]]:
    """The URL and the process id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voicecli", "serve", "--port", "0", "--announce", "--mind", mind),
        *options,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=TESTS.parent,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield json.loads(await process.stdout.readline())["url"], process.pid
    finally:
        process.stdin.close()
        await process.wait()


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def client(url: str, **options: Any) -> connect:
    return connect(url, compression=None, max_size=None, ping_interval=None, **options)


async def send(socket: ClientConnection, type: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": type, **fields}))


async def until(socket: ClientConnection, type: str) -> Event:
    while True:
        event: Event = json.loads(await socket.recv())
        if event["type"] == type:
            return event


async def question(socket: ClientConnection) -> tuple[float, float]:
    """Milliseconds to a confirmation, and to the first audio."""
    began = time.monotonic()
    await send(socket, "input_audio_buffer.clear")
    await until(socket, "input_audio_buffer.cleared")
    loop_ms = 1000 * (time.monotonic() - began)
    content = [{"type": "input_text", "text": "What is three plus four?"}]
    item = {"type": "message", "role": "user", "content": content}
    began = time.monotonic()
    await send(socket, "conversation.item.create", item=item)
    await send(socket, "response.create")
    await until(socket, "response.output_audio.delta")
    audio_ms = 1000 * (time.monotonic() - began)
    await until(socket, "response.done")
    return loop_ms, audio_ms


# ------------------------------------------------------------------------------------------ floods


async def drain(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv(decode=False)


def append(pcm: bytes) -> str:
    audio = base64.b64encode(pcm).decode()
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio})


async def repeat(url: str, text: str, sent: list[int], *, reads: bool = True) -> None:
    async with client(url) as socket:
        reading = asyncio.create_task(drain(socket)) if reads else None
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send(text)
                sent[0] += len(text)
                await asyncio.sleep(0)
        if reading is not None:
            reading.cancel()


async def speech(url: str, sent: list[int]) -> None:
    await repeat(url, append(clip() + silence(800)), sent)


async def frames(url: str, sent: list[int]) -> None:
    await repeat(url, append(clip()[:960]), sent)


async def long_appends(url: str, sent: list[int]) -> None:
    pcm = (clip() + silence(800)) * 80
    await repeat(url, append(pcm[: 14 * 1024 * 1024]), sent)


async def nonsense(url: str, sent: list[int]) -> None:
    await repeat(url, '{"type": "nonsense", "a": [' + "1," * 2000 + "1]}", sent)


async def unread(url: str, sent: list[int]) -> None:
    async with client(url, max_queue=1) as socket:
        audio = base64.b64encode(silence(60_000)).decode()
        content = [{"type": "input_audio", "audio": audio}]
        item = {"id": "long", "type": "message", "role": "user", "content": content}
        await send(socket, "conversation.item.create", item=item)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await send(socket, "conversation.item.retrieve", item_id="long")
                sent[0] += 60
                await asyncio.sleep(0.001)


FLOODS: dict[str, Callable[[str, list[int]], Awaitable[None]] | None] = {
    "none": None,
    "speech": speech,
    "20 ms frames": frames,
    "14 MiB appends": long_appends,
    "nonsense": nonsense,
    "unread audio": unread,
}


def flood_process(name: str, url: str) -> None:
    """Runs in a process of its own, so that the victim's client is not slowed down itself."""
    flood = FLOODS[name]
    assert flood is not None
    sent = [0]

    async def run() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLOOD_S):
                await flood(url, sent)

    asyncio.run(run())
    print(sent[0])


async def measure_flood(mind: str) -> None:
    print(f"{'flood':16}{'n':>5}{'loop':>16}{'audio':>16}{'sent':>10}{'server':>9}")
    print(f"{'':21}{'median    p95':>16}{'median    p95':>16}{'MB/s':>10}{'MB':>9}")
    for name in FLOODS:
        async with server(mind) as (url, pid), client(url) as socket:
            for _ in range(3):
                await question(socket)
            flooder = None
            if name != "none":
                flooder = await asyncio.create_subprocess_exec(
                    *(sys.executable, __file__, "--flood", name, "--url", url),
                    stdout=subprocess.PIPE,
                )
            times: list[tuple[float, float]] = []
            most_mb = 0.0
            began = time.monotonic()
            await asyncio.sleep(1.5 if flooder else 0)
            while time.monotonic() - began < FLOOD_S - 1:
                times.append(await question(socket))
                most_mb = max(most_mb, resident_mb(pid))
                await asyncio.sleep(0.05)
            sent = 0.0
            if flooder is not None:
                out, _ = await flooder.communicate()
                sent = int(out.split()[-1]) / FLOOD_S / 1e6
        columns = "".join(
            f"{statistics.median(one):10.1f}{sorted(one)[int(0.95 * len(one))]:7.1f}"
            for one in zip(*times, strict=True)
        )
        print(f"{name:16}{len(times):5}{columns[1:]}{sent:10.1f}{most_mb:9.0f}", flush=True)


# ------------------------------------------------------------------------------------------ memory


async def one_session(url: str) -> None:
    async with client(url) as socket:
        await socket.send(append(silence(300) + clip() + silence(900)))
        await until(socket, "response.done")
        await question(socket)


async def measure_memory(mind: str, sessions: int = 200) -> None:
    async with server(mind) as (url, pid):
        await one_session(url)
        print(f"{'after sessions':16}{'MB':>8}\n{1:<16}{resident_mb(pid):8.1f}", flush=True)
        for number in range(2, sessions + 1):
            await one_session(url)
            if number % 50 == 0:
                print(f"{number:<16}{resident_mb(pid):8.1f}", flush=True)


# ---------------------------------------------------------------------------------------- sessions


@dataclass
class Outcome:
    """What became of the turns of one session."""

    took_ms: list[float] = field(default_factory=list)
    "From the end of speech to the first audio, of the turns that had any."
    counts: Counter[str] = field(default_factory=Counter)
    "Turns, what became of them, and errors by code."
    waiting: str | None = None
    "The item of the newest turn, while nothing has become of it."

    def see(self, event: Event) -> None:
        match event["type"]:
            case "input_audio_buffer.committed":
                self.counts["turns"] += 1
                self.waiting = event["item_id"]
            case "input_audio_buffer.speech_started" if self.waiting:
                self._became("spoken on, answered with the next")
            case "response.created":
                self._became("responses")
            case "response.done":
                response = event["response"]
                details = response["status_details"] or {}
                reason = details.get("reason") or (details.get("error") or {}).get("message", "")
                self.counts[f"{response['status']} {reason}".strip()] += 1
            case "error":
                self.counts[f"error {event['error']['code']}"] += 1
            case "conversation.item.input_audio_transcription.completed":
                if not event["transcript"] and event["item_id"] == self.waiting:
                    self._became("without words, not answered")

    def _became(self, what: str) -> None:
        self.counts[what] += 1
        self.waiting = None

    def end(self) -> None:
        """The client leaves."""
        if self.waiting is not None:
            self._became("left before anything came")


async def talking(url: str, number: int, turns: int) -> Outcome:
    """Speak so many turns, each after the answer to the one before."""
    all_clips = clips()
    outcome = Outcome()
    took = outcome.took_ms
    told = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    async with client(url) as socket:
        await send(socket, "session.update", session={"type": "realtime", **told})
        for turn in range(turns):
            path = all_clips[(number + turn) % len(all_clips)].path
            first: dict[str, float] = {}
            done = asyncio.Event()

            async def listen(first: dict[str, float] = first, done: asyncio.Event = done) -> None:
                async for text in socket:
                    event: Event = json.loads(text)
                    outcome.see(event)
                    kind = event["type"]
                    if kind == "input_audio_buffer.speech_started":
                        first.clear()
                        done.clear()
                    elif kind == "response.output_audio.delta":
                        first.setdefault("at", time.monotonic())
                    elif kind == "response.done":
                        done.set()

            listening = asyncio.create_task(listen())
            ended = await play(socket, *frames_of(path))
            await done.wait()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
            if "at" in first:
                took.append(1000 * (first["at"] - ended))
    outcome.end()
    return outcome


async def measure_sessions(mind: str, counts: Sequence[int] = (1, 4, 16), turns: int = 3) -> None:
    print(f"{'sessions':10}{'n':>5}{'median':>9}{'p95':>9}{'server MB':>11}")
    for count in counts:
        async with server(mind) as (url, pid):
            await one_session(url)

            async def later(number: int, url: str = url) -> Outcome:
                await asyncio.sleep(number * 0.37)
                return await talking(url, number, turns)

            outcomes = await asyncio.gather(*(later(number) for number in range(count)))
            took = sorted(one for each in outcomes for one in each.took_ms)
            p95 = took[int(0.95 * len(took))]
            print(
                f"{count:<10}{len(took):5}{statistics.median(took):9.0f}{p95:9.0f}"
                f"{resident_mb(pid):11.0f}",
                flush=True,
            )
            became = sum((one.counts for one in outcomes), Counter[str]())
            print("  " + ", ".join(f"{count} {what}" for what, count in became.items()), flush=True)


async def measure_loading(mind: str) -> None:
    took = []
    for _ in range(3):
        async with server(mind) as (url, _):
            began = time.monotonic()
            worst = 0.0
            # Again and again, as whatever a library does at its start may hold the loop up.
            while time.monotonic() - began < 2.0:
                at = time.monotonic()
                async with client(url) as socket:
                    await until(socket, "session.created")
                worst = max(worst, time.monotonic() - at)
            took.append(1000 * worst)
    shown = ", ".join(f"{one:.0f}" for one in took)
    print(f"session.created while models load, the slowest of many connections, ms: {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", nargs="*", choices=["flood", "memory", "sessions", "loading", []])
    parser.add_argument("--mind", default="rules")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--turns", type=int, default=3, help="of each session")
    parser.add_argument("--flood", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.flood:
        flood_process(given.flood, given.url)
        return
    measures = {
        "loading": measure_loading,
        "flood": measure_flood,
        "memory": measure_memory,
        "sessions": functools.partial(measure_sessions, counts=given.sessions, turns=given.turns),
    }
    for name in given.what or measures:
        asyncio.run(measures[name](given.mind))


if __name__ == "__main__":
    main()
