"""How long the client takes, seen from outside, on the virtual sound card.

    python tests/benchmarks/client_latency.py [--json] [--trials N] [--starts N]

start       process start -> its first microphone audio at the server
microphone  the last sample of a frame at the microphone -> the frame at the server
paced       the first delta of an answer sent -> its first sample at the speaker; 100 ms deltas at
            the pace of real time
at once     the same for an answer of 20 s that is sent at once
gaps        silences in an answer of 20 s that is paced at real time
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from typing import Any

import numpy as np
from common import (
    RATE_HZ,
    SAMPLES_PER_MS,
    SCREENS,
    Figures,
    Sounding,
    Tap,
    noise,
    pause,
    show,
    talking,
)
from scripted_server import Peer
from vsound import VirtualSound

FRAME_SAMPLES = 480


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--starts", type=int, default=7)
    arguments = parser.parse_args()
    figures: list[Figures] = []
    with VirtualSound() as sound:
        for screen in SCREENS:
            figures.append(starts(screen, arguments.starts))
            figures.append(microphone(sound, screen))
            figures += answers(sound, screen, arguments.trials)
    show(figures, as_json=arguments.json)


def starts(screen: str, count: int) -> Figures:
    figures = Figures(f"{screen}: process start -> first append", "< 600")
    for _ in range(count):
        first = threading.Event()

        async def script(peer: Peer, first: threading.Event = first) -> None:
            await peer.greet()
            await peer.until_heard(20)
            first.set()

        with talking(script, screen) as (program, server):
            first.wait(20)
            figures.values.append((server.log.appends[0] - program.started_at) * 1000)
    return figures


def microphone(sound: VirtualSound, screen: str) -> Figures:
    figures = Figures(f"{screen}: last sample of a frame at the microphone -> server")
    begun, done = threading.Event(), threading.Event()
    said = noise(4, 1)

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(500)
        begun.set()
        await peer.until_heard(6500)
        done.set()

    with talking(script, screen) as (_, server):
        begun.wait(20)
        tap = Tap("mic_feed.monitor")
        feeder = sound.feed(said)
        done.wait(20)
        feeder.wait(10)
        samples, tapped_at = tap.stop()
        log = server.log
        heard, appends = np.frombuffer(bytes(log.audio), "<i2"), list(log.appends)
    at_source, at_server = _position(samples, said), _position(heard, said)
    for number in range(at_server // FRAME_SAMPLES + 20, len(appends)):
        last = (number + 1) * FRAME_SAMPLES - 1
        into = last - at_server
        if into >= len(said) // 2:
            break
        entered_at = tapped_at + (at_source + into) / RATE_HZ
        figures.values.append((appends[number] - entered_at) * 1000)
    return figures


def _position(samples: Any, said: bytes) -> int:
    """Where `said` begins, or would have begun: its own beginning may be lost."""
    pattern = np.frombuffer(said, "<i2")
    for offset in range(RATE_HZ // 4, len(pattern) - 64, RATE_HZ // 4):
        wanted = pattern[offset : offset + 64]
        for start in np.flatnonzero(samples == wanted[0]):
            if np.array_equal(samples[start : start + 64], wanted):
                return int(start) - offset
    raise SystemExit("what was said did not arrive whole: the machine was too busy, try again")


def answers(sound: VirtualSound, screen: str, trials: int) -> list[Figures]:
    paced = Figures(f"{screen}: first delta -> first sample, paced", "< 8")
    at_once = Figures(f"{screen}: first delta -> first sample, 20 s at once", "< 50")
    gaps = Figures(f"{screen}: silences in a paced answer of 20 s", "none", "ms each")
    sent: list[tuple[Figures, float]] = []
    done = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(500)
        for number in range(trials):
            pcm = noise(0.4, number)
            at = await peer.answer(f"P{number}", f"IP{number}", pcm, "Yes.", paced=True)
            sent.append((paced, at))
            await asyncio.sleep(0.5 + pause())
        for number in range(trials):
            pcm = noise(20, 100 + number)
            at = await peer.answer(f"O{number}", f"IO{number}", pcm, "A long answer. " * 20)
            sent.append((at_once, at))
            await asyncio.sleep(pause())
            await peer.speech(f"U{number}", ended_ms=1000)
            await asyncio.sleep(pause())
        at = await peer.answer("L", "IL", noise(20, 999), "Long and slow. " * 20, paced=True)
        sent.append((gaps, at))
        await asyncio.sleep(1)
        done.set()

    with talking(script, screen):
        recorder = sound.recorder()
        done.wait(180)
        recording = recorder.stop()
    sounding = Sounding(recording.samples)
    for figures, at in sent:
        begin, end = next(run for run in sounding.runs if recording.time_of(run[0]) > at - 0.01)
        if figures is gaps:
            runs = [run for run in sounding.runs if run[0] >= begin]
            gaps.values = sounding.gaps_ms(begin, runs[-1][1])
            heard = (runs[-1][1] - begin) / SAMPLES_PER_MS
            print(f"{screen}: the paced answer of 20000 ms took {heard:.1f} ms at the speaker")
        else:
            figures.values.append((recording.time_of(begin) - at) * 1000)
        del end
    return [paced, at_once, gaps]


if __name__ == "__main__":
    main()
