"""What recording costs, and what a killed program loses.

    python tests/benchmarks/recording.py cost|crash [--json] [--seconds S] [--times N]

`cost` holds the talk of `client_cost.py` (without sound devices) with and without `--record`, in
turn, and reads the processor time and the size of the files. `crash` kills a recorded talk with
signal 9 at random moments; the loss is the time from the last line in the recording to the kill.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import threading
import time
from pathlib import Path

from client_cost import _cpu_s, _turn
from common import TESTS, Figures, noise, show
from helpers_program import Program
from scripted_server import Peer, ScriptedServer

from voicecli.recording.check import Check
from voicecli.recording.files import Recording

CLIP = TESTS / "data" / "speech" / "jfk.wav"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["cost", "crash"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--times", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        if arguments.what == "cost":
            figures = cost(place, arguments.seconds)
        else:
            figures = crash(place, arguments.times)
    show(figures, as_json=arguments.json)


def cost(place: Path, seconds: float) -> list[Figures]:
    without = Figures("user + system time a minute, not recorded", "", "s")
    with_it = Figures("user + system time a minute, recorded", "", "s")
    sizes = {
        name: Figures(f"{name} a minute", "", "kB")
        for name in ("events.jsonl", "user.pcm", "assistant.pcm")
    }
    for number in range(3):
        without.values.append(_talked(seconds))
        folder = place / str(number)
        with_it.values.append(_talked(seconds, "--record", str(folder)))
        for name, figures in sizes.items():
            figures.values.append((folder / name).stat().st_size / 1000 * 60 / seconds)
    return [without, with_it, *sizes.values()]


def _talked(seconds: float, *more: str) -> float:
    done, ready = threading.Event(), threading.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(500)
        ready.set()
        begun = asyncio.get_running_loop().time()
        for number in range(round(seconds / 20)):
            await _turn(peer, number, begun + 20 * number)
        done.set()

    with ScriptedServer(script) as server:
        given = ["talk", "--server", server.url, "--mic", "none", "--speaker", "none", "--json"]
        with Program(*given, *more) as program:
            ready.wait(20)
            before = _cpu_s(program.process.pid)
            done.wait(seconds + 60)
            spent = _cpu_s(program.process.pid) - before
            program.kill(2)
            program.wait(10)
    return spent * 60 / seconds


def crash(place: Path, times: int) -> list[Figures]:
    lost = Figures("time lost to kill -9", "< 1000")
    differing = 0

    async def script(peer: Peer) -> None:
        await peer.greet()
        for number in range(1000):
            await peer.answer(f"R{number}", f"I{number}", noise(1.0, number), "One, two, three.")
            await asyncio.sleep(0.6)
            if number % 2:
                await peer.speech(f"U{number}")
            await asyncio.sleep(0.3)

    for number in range(times):
        folder = place / str(number)
        with ScriptedServer(script) as server:
            given = ["talk", "--server", server.url, "--mic", str(CLIP), "--speaker", "none"]
            with Program(*given, "--record", str(folder), "--json") as program:
                program.until_line("session")
                began = program.line_times[0] - program.lines[0]["at_ms"] / 1000
                time.sleep(random.uniform(0.05, 3.0))
                program.kill(9)
                killed = time.monotonic()
                program.wait()
        with Recording.open(folder) as recording:
            differing += any(True for _ in Check(recording).differences())
            lost.values.append((killed - began - recording.duration_s) * 1000)
    return [lost, Figures("recordings that do not come out the same", "0", "", [differing])]


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
