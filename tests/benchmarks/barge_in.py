"""What a barge-in comes to: how soon there is silence, and how true the truncation is.

    python tests/benchmarks/barge_in.py [--json] [--trials N] [--screen terminal|json]

For each kind of answer, over as many trials: from sending `speech_started` until the last sample at
the virtual speaker, and what the client told the server was heard, less what the recording has.

generating  the answer is sent at once and its response goes on: deltas keep coming afterwards
paced       deltas of 100 ms at the pace of real time, which keep coming afterwards
two items   an answer of two items, cut in the first or in the second
done        the response is over and the answer is still playing
"""

from __future__ import annotations

import argparse
import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from common import SAMPLES_PER_MS, SCREENS, Figures, Sounding, noise, pause, show, talking
from scripted_server import Peer
from vsound import VirtualSound

FIRST_ITEM_S = 0.7
LATEST_S = 0.25
"Sound that begins so long after the interruption belongs to another answer."


@dataclass
class Trial:
    """One barge-in: what was sent and when."""

    items: tuple[str, ...]
    lengths_ms: tuple[float, ...]
    first_delta_at: float = 0.0
    speech_at: float = 0.0


Kind = Callable[[Peer, str, int], Coroutine[Any, Any, Trial]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--screen", choices=SCREENS, default="terminal")
    arguments = parser.parse_args()
    figures: list[Figures] = []
    with VirtualSound() as sound:
        for name, kind in KINDS.items():
            figures += measure(sound, arguments.screen, name, kind, arguments.trials)
    show(figures, as_json=arguments.json)


def measure(sound: VirtualSound, screen: str, name: str, kind: Kind, trials: int) -> list[Figures]:
    cut: list[Trial] = []
    done = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(500)
        for number in range(trials):
            cut.append(await kind(peer, f"{number}", number))
            await asyncio.sleep(pause())
        done.set()

    with talking(script, screen) as (_, server):
        recorder = sound.recorder()
        done.wait(180)
        recording = recorder.stop()
        told = {
            one.event["item_id"]: float(one.event["audio_end_ms"])
            for one in server.log.of("conversation.item.truncate")
        }
        deleted = {one.event["item_id"] for one in server.log.of("conversation.item.delete")}
    silence = Figures(f"{name}: speech_started -> silence", "< 25")
    error = Figures(f"{name}: told as heard, less what was heard", "within 2")
    sounding = Sounding(recording.samples)
    for trial in cut:
        # A stall of the whole machine leaves a hole in the recording, which is still one answer.
        runs = [
            run
            for run in sounding.runs
            if trial.first_delta_at < recording.time_of(run[0]) < trial.speech_at + LATEST_S
        ]
        begin, end = runs[0][0], runs[-1][1]
        silence.values.append((recording.time_of(end) - trial.speech_at) * 1000)
        holes = sum(round(gap * SAMPLES_PER_MS) for gap in sounding.gaps_ms(begin, end))
        error.values.append(_told_ms(trial, told, deleted) - (end - begin - holes) / SAMPLES_PER_MS)
    return [silence, error]


def _told_ms(trial: Trial, told: dict[str, float], deleted: set[str]) -> float:
    """How much of an answer the server was told to have been heard, over its items."""
    heard = 0.0
    for item, length in zip(trial.items, trial.lengths_ms, strict=True):
        if item in told:
            return heard + told[item]
        if item not in deleted:
            heard += length
    return heard


async def generating(peer: Peer, name: str, seed: int) -> Trial:
    trial = Trial((f"I{name}",), (5000.0,))
    await peer.begin(f"R{name}")
    await peer.item(f"R{name}", f"I{name}", "An answer that goes on. " * 4)
    trial.first_delta_at = await peer.deltas(f"R{name}", f"I{name}", noise(5, seed))
    await asyncio.sleep(random.uniform(0.2, 1.2))
    trial.speech_at = await _cut(peer, name)
    await peer.deltas(f"R{name}", f"I{name}", noise(0.5, seed), ms=20)
    await _cancelled(peer, name)
    return trial


async def paced(peer: Peer, name: str, seed: int) -> Trial:
    trial = Trial((f"I{name}",), (5000.0,))
    await peer.begin(f"R{name}")
    await peer.item(f"R{name}", f"I{name}", "An answer at its pace. " * 4)
    pcm = noise(1.7, seed)
    going = asyncio.create_task(peer.deltas(f"R{name}", f"I{name}", pcm, paced=True))
    await asyncio.sleep(0)
    trial.first_delta_at = peer.sent_at["response.output_audio_transcript.delta"]
    await asyncio.sleep(random.uniform(0.3, 1.3))
    trial.speech_at = await _cut(peer, name)
    await going
    await _cancelled(peer, name)
    return trial


async def two_items(peer: Peer, name: str, seed: int) -> Trial:
    first, second = f"I{name}", f"J{name}"
    trial = Trial((first, second), (FIRST_ITEM_S * 1000, 5000.0))
    await peer.begin(f"R{name}")
    pcm = noise(FIRST_ITEM_S + 5, seed)
    cut = int(FIRST_ITEM_S * 48_000)
    await peer.item(f"R{name}", first, "One moment.")
    trial.first_delta_at = await peer.deltas(f"R{name}", first, pcm[:cut])
    await peer.audio_done(f"R{name}", first)
    await peer.item(f"R{name}", second, "And here is the answer.")
    await peer.deltas(f"R{name}", second, pcm[cut:])
    await asyncio.sleep(random.uniform(0.2, 1.4))
    trial.speech_at = await _cut(peer, name)
    await _cancelled(peer, name)
    return trial


async def after_done(peer: Peer, name: str, seed: int) -> Trial:
    trial = Trial((f"I{name}",), (5000.0,))
    trial.first_delta_at = await peer.answer(f"R{name}", f"I{name}", noise(5, seed), "All of it.")
    await asyncio.sleep(random.uniform(0.2, 1.2))
    trial.speech_at = await _cut(peer, name)
    await peer.speech(f"V{name}", ended_ms=1000)
    return trial


async def _cut(peer: Peer, name: str) -> float:
    await peer.speech(f"U{name}")
    return peer.sent_at["input_audio_buffer.speech_started"]


async def _cancelled(peer: Peer, name: str) -> None:
    await peer.end(f"R{name}", f"I{name}", status="cancelled", reason="turn_detected")
    await peer.speech(f"V{name}", ended_ms=1000)


KINDS: dict[str, Kind] = {
    "generating": generating,
    "paced": paced,
    "two items": two_items,
    "done": after_done,
}

if __name__ == "__main__":
    main()
