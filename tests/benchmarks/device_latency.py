"""How fast the speaker starts and stops, and what that costs: the figures of docs/audio.md.

    python tests/benchmarks/device_latency.py [BLOCK_SAMPLES ...] [--trials N] [--seconds S]

Opens microphone and speaker on the virtual sound card for each block size, in a process of its own
that runs an event loop with light work. Prints one row per block size:

start   from `play` until the first sample leaves the speaker (median, 95th percentile), ms
stop    from `stop` until the last sample leaves the speaker (median, 95th percentile), ms
error   what `stop` said was heard, less what was played, ms (median, largest)
cpu     CPU seconds per minute of the whole process: silent, and playing
gaps    silences of 1 ms and more in continuous noise: without load, and under load (a redraw of a
        rich screen 8 times a second, and 100 kB of JSON decoded 4 times a second)
"""

import argparse
import asyncio
import io
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common import stand_apart
from vsound import Recording, VirtualSound

from voicecli.audio.devices import AudioDevices, find_device, quiet_stderr
from voicecli.audio.playback import Heard

RATE_HZ = 24_000
BLOCKS = (64, 96, 120, 160, 240)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("blocks", nargs="*", type=int, default=BLOCKS)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        sound = VirtualSound()  # the parent's daemon is the one in the environment
        asyncio.run(measure(sound, arguments.blocks[0], arguments.trials, arguments.seconds))
        return
    print(
        "samples  start p50/p95   stop p50/p95   error p50/max  cpu silent/playing  gaps idle/load"
    )
    with VirtualSound():
        for block in arguments.blocks:
            command = [sys.executable, __file__, str(block), "--inside"]
            command += ["--trials", str(arguments.trials), "--seconds", str(arguments.seconds)]
            subprocess.run(command, check=False)


async def measure(sound: VirtualSound, block: int, trials: int, seconds: float) -> None:
    stand_apart()
    with quiet_stderr():
        devices = AudioDevices(
            find_device(None, "input"),
            find_device(None, "output"),
            block_ms=block * 1000 / RATE_HZ,
        )
        recorder = sound.recorder()
        await devices.open()
        frames: list[bytes] = []
        await devices.microphone.start(frames.append)
        await devices.speaker.start(lambda report: None)
        light_work = asyncio.create_task(tick())
        await asyncio.sleep(0.5)
        log = [await trial(devices, number) for number in range(trials)]
        await asyncio.sleep(0.3)  # what the device took yet sounds
        recording = recorder.stop()
        silent_cpu, _ = await cpu_per_minute(seconds / 2)
        playing_cpu, idle_gaps = await continuous(sound, devices, seconds, None)
        _, load_gaps = await continuous(sound, devices, seconds, under_load)
        light_work.cancel()
        await devices.close()
    starts, stops, errors = judged(recording, log)
    print(
        f"{block:5d}   {spread(starts)}   {spread(stops)}"
        f"   {statistics.median(errors):5.2f} / {max(map(abs, errors)):5.2f}"
        f"   {silent_cpu:5.2f} / {playing_cpu:5.2f}     {idle_gaps} / {load_gaps}"
        f"   (device underflows {devices.speaker.underflows}, lost frames"
        f" {devices.microphone.dropped_frames})",
        flush=True,
    )


async def tick() -> None:
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def trial(devices: AudioDevices, number: int) -> tuple[float, float, Heard]:
    """Play noise for a moment, then stop it; when each was asked for, and what `stop` said."""
    await asyncio.sleep(random.uniform(0.15, 0.25))
    started_at = time.monotonic()
    devices.speaker.play(f"item_{number}", 0, noise(1.0))
    await asyncio.sleep(random.uniform(0.15, 0.3))
    stopped_at = time.monotonic()
    (heard,) = devices.speaker.stop()
    return started_at, stopped_at, heard


def noise(seconds: float) -> bytes:
    """Noise that is never zero, so that every zero recorded is silence."""
    generator = np.random.default_rng(1)
    loud = generator.integers(2000, 20_000, int(seconds * RATE_HZ))
    return (loud * generator.choice((-1, 1), len(loud))).astype("<i2").tobytes()


async def cpu_per_minute(seconds: float) -> tuple[float, float]:
    begun, begun_at = used(), time.monotonic()
    await asyncio.sleep(seconds)
    return (used() - begun) * 60 / (time.monotonic() - begun_at), seconds


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def continuous(
    sound: VirtualSound, devices: AudioDevices, seconds: float, load: Callable[[], Any] | None
) -> tuple[float, int]:
    """CPU per minute and gaps while noise plays without a pause."""
    recorder = sound.recorder()
    devices.speaker.play("noise", 0, noise(seconds))
    working = asyncio.create_task(load()) if load else None
    cpu, _ = await cpu_per_minute(seconds - 0.5)
    if working:
        working.cancel()
    await asyncio.sleep(1.0)
    devices.speaker.stop()
    return cpu, gaps_in(recorder.stop())


async def under_load() -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    text = json.dumps({"delta": "x" * 60_000, "list": list(range(6_000))})
    with Live(console=Console(file=io.StringIO()), auto_refresh=False) as live:
        for count in range(1_000_000):
            table = Table(title=str(count))
            for row in range(12):
                table.add_row(str(row), "a word " * 8, str(count))
            live.update(table, refresh=True)
            if count % 2:
                json.loads(text)
            await asyncio.sleep(0.125)


def gaps_in(recording: Recording) -> int:
    sounding = np.flatnonzero(recording.samples)
    return int(np.count_nonzero(np.diff(sounding) > RATE_HZ // 1000))


def judged(
    recording: Recording, log: list[tuple[float, float, Heard]]
) -> tuple[list[float], list[float], list[float]]:
    """Start latencies, stop latencies and errors of the position, each in ms."""
    starts, stops, errors = [], [], []
    for started_at, stopped_at, heard in log:
        begin = recording.sample_at(started_at)
        around = recording.samples[begin : recording.sample_at(stopped_at + 0.14)]
        sounding = np.flatnonzero(around)
        starts.append((recording.time_of(begin + sounding[0]) - started_at) * 1000)
        stops.append((recording.time_of(begin + sounding[-1]) - stopped_at) * 1000)
        played = sounding[-1] - sounding[0] + 1
        errors.append((heard.emitted_samples - played) * 1000 / RATE_HZ)
    return starts, stops, errors


def spread(latencies: list[float]) -> str:
    high = sorted(latencies)[int(len(latencies) * 0.95)]
    return f"{statistics.median(latencies):5.1f} / {high:5.1f}"


if __name__ == "__main__":
    main()
