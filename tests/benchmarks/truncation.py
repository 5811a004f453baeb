"""What the server is told was heard, less what the speaker really played of it.

    python tests/benchmarks/truncation.py [--quick] [--trials N] [--json] [--only CELL ...]

`voicecli talk` runs as a process of its own on a virtual sound card and talks to a scripted server.
Answers are noise in which every 12 samples occur in one place only: so the recording of the speaker
tells for each item which of its samples was the last to be heard. Each cell is interrupted as often
by `speech_started`; what is told of an item is its `audio_end_ms`, nothing if it was deleted, and
all of it if it was left alone. An answer of two items counts with the worse of them.

making      the response goes on: its audio was sent at once, and more comes after the interruption
paced       the same at the pace of real time
two         two items, cut in either, while the response goes on
done        after `response.done`
two done    two items, after `response.done`
gap         soon after the server had left a gap in the item's audio
underflow   soon after the program was stopped for 80 ms, and the device had run empty
pcmu        like `making`, in G.711: 8 kHz on the wire

idle: with `--json`. load: at a terminal with the drawn screen, another process keeping a core busy,
and 100 kB of JSON that mean nothing to the client ten times a second.

Printed per cell: the error, and the time from sending `speech_started` until the last sample. Then
over all cells: how far off, in either direction; how much was heard of audio that was sent after
`speech_started`; and, to show that the device did run empty, the silences in those answers. A time
is left out where the virtual sound card itself stalled. The load average tells what else this
machine was doing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from common import RATE_HZ, SAMPLES_PER_MS, Figures, Sounding, pause, show, stand_apart, talking
from helpers_program import Program
from scripted_server import Peer
from vsound import Recording, VirtualSound, times_heard

from voicecli.audio.g711 import ULAW
from voicecli.audio.playback import FADE_SAMPLES, faded_out
from voicecli.audio.wire import WireDecoder, WireFormat

TELLING_SAMPLES, FRAGMENT_SAMPLES = 12, 48
LONGEST_HOLE = RATE_HZ // 10
STALL_S = 0.01
"When the sound server gives samples so late, no time can be told."
AFTER_S, LATEST_S = 0.3, 0.8
"""For so long after an interruption, sound may still belong to what was interrupted; and to what
was sent after it."""
FIRST_ITEM_MS, ANSWER_MS, LATE_MS, DELTA_MS = 700, 4000, 200, 100
STOPPED_S, SERVER_GAP_S = 0.08, 0.25


@dataclass
class Item:
    """Audio of one item: as it is sent, and as the client plays it."""

    id: str
    deltas: list[bytes]
    pcm: bytes


@dataclass
class Cut:
    """One interruption."""

    items: list[Item]
    late: list[Item]
    "Sent after `speech_started`."
    begun_at: float
    speech_at: float


@dataclass
class Cell:
    """What one kind of interruption came to."""

    name: str
    error: Figures = field(init=False)
    silence: Figures = field(init=False)
    late_ms: list[float] = field(default_factory=list)
    "Heard of audio that was sent after `speech_started`."
    longest_gap_ms: list[float] = field(default_factory=list)
    "Where the device was made to run empty."
    stalls: int = 0
    "Interruptions whose times are not known, because the sound server stalled."

    def __post_init__(self) -> None:
        self.error = Figures(f"{self.name}: told - heard")
        self.silence = Figures(f"{self.name}: speech_started -> silence")


class Scene:
    """The server's side of one talk, and what it may do to the program."""

    def __init__(self, peer: Peer, wire: WireFormat, stop: Callable[[float], None]) -> None:
        self.peer = peer
        self._wire = wire
        self.stop = stop
        self._count = 0

    def item(self, ms: int) -> Item:
        """Noise that has not been before."""
        self._count += 1
        rng = np.random.default_rng((self._count, len(self._wire)))
        if self._wire == "pcm":
            samples = rng.integers(2000, 9000, ms * SAMPLES_PER_MS)
            sent = (samples * rng.choice((-1, 1), len(samples))).astype("<i2").tobytes()
            step = DELTA_MS * SAMPLES_PER_MS * 2
        else:
            samples = rng.integers(3000, 9000, ms * 8) * rng.choice((-1, 1), ms * 8)
            sent, step = ULAW.encode(samples.astype("<i2").tobytes()), DELTA_MS * 8
        deltas = [sent[start : start + step] for start in range(0, len(sent), step)]
        decoder = WireDecoder(self._wire)
        pcm = b"".join([*map(decoder.decode, deltas), decoder.finish()])
        return Item(f"I{self._count}", deltas, pcm)

    async def begin(self, item: Item, response_id: str, *, paced: bool = False) -> float:
        """Send an item with all of its audio; gives when the first was sent."""
        await self.peer.item(response_id, item.id, "Words of an answer. " * 4)
        return await self.send(item, response_id, paced=paced)

    async def send(self, item: Item, response_id: str, *, paced: bool = False) -> float:
        begun = asyncio.get_running_loop().time()
        first_at = 0.0
        for number, delta in enumerate(item.deltas):
            if paced:
                due = begun + number * DELTA_MS / 1000
                await asyncio.sleep(due - asyncio.get_running_loop().time())
            at = await self.peer.delta(response_id, item.id, delta)
            first_at = first_at or at
        return first_at

    async def speech(self) -> float:
        """The user begins to speak; gives when that was sent."""
        await self.peer.speech(f"U{self._count}")
        return self.peer.sent_at["input_audio_buffer.speech_started"]

    async def cut(
        self, items: list[Item], begun_at: float, response_id: str, speech_at: float = 0.0
    ) -> Cut:
        """The user begins to speak, or has; if the response still goes on, so does its audio."""
        late: list[Item] = []
        speech_at = speech_at or await self.speech()
        if response_id:
            late = [self.item(LATE_MS), self.item(LATE_MS)]
            late[0].id = items[-1].id
            await self.send(late[0], response_id)
            await self.begin(late[1], response_id, paced=True)
            await self.peer.end(
                response_id, *(one.id for one in items), status="cancelled", reason="turn_detected"
            )
        await self.peer.speech(f"V{self._count}", ended_ms=1000)
        return Cut(items, late, begun_at, speech_at)


Kind = Callable[[Scene, str], Coroutine[Any, Any, Cut]]


async def _wait(least_s: float = 0.15, most_s: float = 0.75) -> None:
    await asyncio.sleep(random.uniform(least_s, most_s))


async def making(scene: Scene, response_id: str) -> Cut:
    item = scene.item(ANSWER_MS)
    await scene.peer.begin(response_id)
    begun_at = await scene.begin(item, response_id)
    await _wait()
    return await scene.cut([item], begun_at, response_id)


async def paced(scene: Scene, response_id: str) -> Cut:
    item = scene.item(1600)
    await scene.peer.begin(response_id)
    sending = asyncio.create_task(scene.begin(item, response_id, paced=True))
    await _wait(0.3, 1.0)
    speech_at = await scene.speech()
    begun_at = await sending
    return await scene.cut([item], begun_at, response_id, speech_at)


async def two(scene: Scene, response_id: str, *, is_done: bool = False) -> Cut:
    items = [scene.item(FIRST_ITEM_MS), scene.item(ANSWER_MS)]
    await scene.peer.begin(response_id)
    begun_at = await scene.begin(items[0], response_id)
    await scene.peer.audio_done(response_id, items[0].id)
    await scene.begin(items[1], response_id)
    if is_done:
        await scene.peer.audio_done(response_id, items[1].id)
        await scene.peer.end(response_id, *(one.id for one in items))
    await _wait(0.2, 1.2)
    return await scene.cut(items, begun_at, "" if is_done else response_id)


async def two_done(scene: Scene, response_id: str) -> Cut:
    return await two(scene, response_id, is_done=True)


async def done(scene: Scene, response_id: str) -> Cut:
    item = scene.item(ANSWER_MS)
    await scene.peer.begin(response_id)
    begun_at = await scene.begin(item, response_id)
    await scene.peer.audio_done(response_id, item.id)
    await scene.peer.end(response_id, item.id)
    await _wait()
    return await scene.cut([item], begun_at, "")


async def gap(scene: Scene, response_id: str) -> Cut:
    item = scene.item(ANSWER_MS)
    first = Item(item.id, item.deltas[:3], b"")
    await scene.peer.begin(response_id)
    begun_at = await scene.begin(first, response_id)
    await asyncio.sleep(len(first.deltas) * DELTA_MS / 1000 + SERVER_GAP_S)
    await scene.send(Item(item.id, item.deltas[3:], b""), response_id)
    await _wait(0.05, 0.5)
    return await scene.cut([item], begun_at, response_id)


async def underflow(scene: Scene, response_id: str) -> Cut:
    item = scene.item(ANSWER_MS)
    await scene.peer.begin(response_id)
    begun_at = await scene.begin(item, response_id)
    await _wait(0.2, 0.5)
    await asyncio.to_thread(scene.stop, STOPPED_S)
    await _wait(0.05, 0.5)
    return await scene.cut([item], begun_at, response_id)


KINDS: dict[str, Kind] = {
    "making": making, "paced": paced, "two": two, "done": done, "two done": two_done, "gap": gap,
    "underflow": underflow,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 interruptions a cell")
    parser.add_argument("--trials", type=int, default=10, help="interruptions a cell")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="*", default=[*KINDS, "pcmu"])
    arguments = parser.parse_args()
    trials = 4 if arguments.quick else arguments.trials
    kinds = {name: kind for name, kind in KINDS.items() if name in arguments.only}
    cells: list[Cell] = []
    busy: list[float] = []
    stand_apart()
    with VirtualSound() as sound:
        for load in ("idle", "load"):
            if kinds:
                cells += measured(sound, load, "pcm", kinds, trials)
            if "pcmu" in arguments.only:
                cells += measured(sound, load, "pcmu", {"pcmu": making}, trials)
            busy.append(os.getloadavg()[0])
    show([one.error for one in cells], as_json=arguments.json)
    show([one.silence for one in cells], as_json=arguments.json)
    show(summed(cells), as_json=arguments.json)
    if not arguments.json:
        print("interruptions without a time:", sum(one.stalls for one in cells))
        print("load average after `idle` and `load`:", *(f"{one:.1f}" for one in busy))


def summed(cells: Sequence[Cell]) -> list[Figures]:
    """Over all cells."""
    found = []
    for load, aim in (("idle", "median 1, most 3"), ("load", "most 10")):
        some = [one for one in cells if one.name.startswith(load)]
        off = [abs(value) for one in some for value in one.error.values]
        found += [
            Figures(f"{load}: |told - heard|", aim, values=off),
            Figures(
                f"{load}: speech_started -> silence",
                "p95 30",
                values=[value for one in some for value in one.silence.values],
            ),
            Figures(
                f"{load}: heard of audio sent after it",
                "none",
                values=[value for one in some for value in one.late_ms],
            ),
            Figures(
                f"{load}: longest silence in an answer, `underflow`",
                values=[value for one in some for value in one.longest_gap_ms],
            ),
        ]
    return found


def measured(
    sound: VirtualSound, load: str, wire: WireFormat, kinds: dict[str, Kind], trials: int
) -> list[Cell]:
    """One talk in which each kind of interruption comes as often, in turn."""
    cuts: list[tuple[str, Cut]] = []
    ended, started = threading.Event(), threading.Event()
    program: list[Program] = []

    def stop(seconds: float) -> None:
        program[0].process.send_signal(signal.SIGSTOP)
        threading.Event().wait(seconds)
        program[0].process.send_signal(signal.SIGCONT)

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(500)
        await asyncio.to_thread(started.wait)
        scene = Scene(peer, wire, stop)
        chatter = asyncio.create_task(_chatter(peer)) if load == "load" else None
        for number in range(trials):
            for name, kind in kinds.items():
                cuts.append((name, await kind(scene, f"R{number}{name}")))
                await asyncio.sleep(pause(0.35, 0.45))
        if chatter is not None:
            chatter.cancel()
        ended.set()

    screen = "json" if load == "idle" else "terminal"
    worker = _busy_core() if load == "load" else None
    try:
        with talking(script, screen, "--format", wire) as (running, server):
            program.append(running)
            recorder = sound.recorder()
            started.set()
            ended.wait(60 + 4 * trials * len(kinds))
            recording = recorder.stop()
            log = server.log
    finally:
        if worker is not None:
            worker.kill()
            worker.wait()
    told = {
        one.event["item_id"]: float(one.event["audio_end_ms"])
        for one in log.of("conversation.item.truncate")
    }
    told |= {one.event["item_id"]: 0.0 for one in log.of("conversation.item.delete")}
    cells = {name: Cell(f"{load}, {name}") for name in kinds}
    for name, cut in cuts:
        judge(cells[name], cut, recording, told)
    return list(cells.values())


async def _chatter(peer: Peer) -> None:
    filler = "x" * 100_000
    while True:
        await peer.send("filler.of.ours", text=filler)
        await asyncio.sleep(0.1)


def _busy_core() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


def judge(cell: Cell, cut: Cut, recording: Recording, told: dict[str, float]) -> None:
    """Put one interruption into its cell."""
    first = max(0, recording.sample_at(cut.begun_at - 0.02))
    last = recording.sample_at(cut.speech_at + AFTER_S)
    samples = recording.samples[first:last]
    ends = [heard_until(one.pcm, samples) for one in cut.items]
    errors = [
        told.get(item.id, len(item.pcm) / 2 / SAMPLES_PER_MS) - heard / SAMPLES_PER_MS
        for item, (heard, _) in zip(cut.items, ends, strict=True)
    ]
    cell.error.values.append(max(errors, key=abs))
    end = first + max(at for _, at in ends)
    if has_stalled(recording, cut.speech_at):
        cell.stalls += 1
    else:
        cell.silence.values.append((recording.time_of(end) - cut.speech_at) * 1000)
    last = recording.sample_at(cut.speech_at + LATEST_S)
    after = Recording(recording.samples[first:last], 0.0, RATE_HZ, None)
    late = sum(int(times_heard(one.pcm, [after]).sum()) for one in cut.late)
    cell.late_ms.append(late / SAMPLES_PER_MS)
    if cell.name.endswith("underflow"):
        gaps = Sounding(samples).gaps_ms(int(np.argmax(samples != 0)), end - first)
        cell.longest_gap_ms.append(max(gaps, default=0.0))


def has_stalled(recording: Recording, at: float) -> bool:
    """Whether the sound server, which is late by chance, was very late about that time."""
    first, last = (recording.sample_at(at + s) // FRAGMENT_SAMPLES for s in (-0.02, 0.06))
    numbers = np.arange(max(0, first), min(last, len(recording.arrivals)))
    due = recording.begun_at + (numbers + 1) * FRAGMENT_SAMPLES / RATE_HZ
    return bool(np.max(np.abs(recording.arrivals[numbers] - due), initial=0.0) > STALL_S)


def heard_until(pcm: bytes, samples: Any) -> tuple[int, int]:
    """How far an item was heard, its fade-out included, and where in the recording that is."""
    wanted = np.frombuffer(pcm, "<i2")
    for at in np.flatnonzero(samples)[::-1]:
        begin = int(at) - TELLING_SAMPLES + 1
        place = _place(samples[max(0, begin) : at + 1].tobytes(), pcm)
        if begin >= 0 and place >= 0:
            whole = place + TELLING_SAMPLES
            faded, until = _faded(wanted[whole:], samples[at + 1 :])
            return whole + faded, int(at) + 1 + until
    return 0, 0


def _place(piece: bytes, pcm: bytes) -> int:
    """At which sample `piece` is in `pcm`; -1 for nowhere."""
    at = pcm.find(piece)
    while at % 2 == 1 and at >= 0:
        at = pcm.find(piece, at + 1)
    return at // 2 if at >= 0 else -1


def _faded(wanted: Any, played: Any) -> tuple[int, int]:
    """How many samples of `wanted` were played so as the fade-out makes them, and until where."""
    expected = np.frombuffer(faded_out(wanted[:FADE_SAMPLES].tobytes()), "<i2")
    # The device may have run empty right before it.
    later = np.flatnonzero(played[:LONGEST_HOLE])
    for begin in (0, *later[:1]):
        if np.array_equal(expected, played[begin : begin + len(expected)]):
            return len(expected), int(begin) + len(expected)
    return 0, 0


if __name__ == "__main__":
    main()
