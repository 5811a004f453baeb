# ruff: noqa: E402
"""What the benchmarks of the client share: the program on virtual sound, and tables of figures.

The program runs as a process of its own, at a terminal with the drawn screen or with `--json`, and
talks to a scripted server over a loopback connection. What it plays is recorded at the virtual
speaker with the monotonic time of each sample.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from helpers_program import Program
from scripted_server import Script, ScriptedServer

RATE_HZ = 24_000
SAMPLES_PER_MS = 24
SCREENS = ("terminal", "json")


def noise(seconds: float, seed: int) -> bytes:
    """PCM16 in which no sample is zero and no two answers are alike."""
    rng = np.random.default_rng(seed)
    samples = rng.integers(2000, 9000, int(seconds * RATE_HZ)) * rng.choice((-1, 1))
    samples[1::2] *= -1
    return samples.astype("<i2").tobytes()


def stand_apart() -> None:
    """Where that is allowed: other work on this machine is not what is measured."""
    with contextlib.suppress(OSError, AttributeError):
        os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("-17")


@contextlib.contextmanager
def talking(script: Script, screen: str, *arguments: str) -> Iterator[tuple[Program, Any]]:
    """The program and the server that it talks to; ended in good order."""
    given = ["talk", *arguments, *(["--json"] if screen == "json" else [])]
    with ScriptedServer(script) as server:
        given += ["--server", server.url]
        with Program(*given, at_terminal=screen == "terminal") as program:
            yield program, server
            program.kill(2)
            program.wait(10)
        if server.failures:
            raise server.failures[0]


@dataclass
class Figures:
    """Values of one kind, and how they are to be shown."""

    name: str
    aim: str = ""
    unit: str = "ms"
    values: list[float] = field(default_factory=list)

    @property
    def row(self) -> dict[str, Any]:
        ordered = sorted(self.values)
        if not ordered:
            return {"name": self.name, "n": 0}
        return {
            "name": self.name, "n": len(ordered), "unit": self.unit, "aim": self.aim,
            "median": round(statistics.median(ordered), 2),
            "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 2),
            "least": round(ordered[0], 2), "most": round(ordered[-1], 2),
        }  # fmt: skip


def show(figures: Sequence[Figures], *, as_json: bool) -> None:
    """Print a table, or one JSON object a line."""
    if as_json:
        for one in figures:
            print(json.dumps(one.row))
        return
    print(f"{'':52}{'n':>4}{'median':>9}{'p95':>9}{'least':>9}{'most':>9}  aim")
    for one in figures:
        row = one.row
        if not row["n"]:
            print(f"{one.name:52}   0")
            continue
        values = "".join(f"{row[key]:9.2f}" for key in ("median", "p95", "least", "most"))
        print(f"{one.name:52}{row['n']:4}{values}  {one.unit} {one.aim}")


class Sounding:
    """Answers found in a recording: the runs of samples that are not zero."""

    def __init__(self, samples: Any, *, joined_ms: float = 60.0) -> None:
        self.samples = samples
        loud = np.flatnonzero(samples)
        breaks = np.flatnonzero(np.diff(loud) > joined_ms * SAMPLES_PER_MS) if len(loud) else []
        edges = np.concatenate(([-1], breaks, [len(loud) - 1])).astype(int) if len(loud) else []
        self.runs: list[tuple[int, int]] = [
            (int(loud[begin + 1]), int(loud[end]) + 1) for begin, end in itertools.pairwise(edges)
        ]
        "First sample and the one after the last of each answer."

    def gaps_ms(self, begin: int, end: int, at_least_ms: float = 1.0) -> list[float]:
        """Silences inside of a run."""
        loud = np.flatnonzero(self.samples[begin:end])
        silent = (np.diff(loud) - 1) / SAMPLES_PER_MS
        return [float(one) for one in silent if one >= at_least_ms]


class Tap:
    """Records a source of the sound server with the times at which it was heard there."""

    def __init__(self, source: str) -> None:
        self._process = subprocess.Popen(
            ["parec", f"--device={source}", "--raw", "--format=s16le", f"--rate={RATE_HZ}",
             "--channels=1", "--latency-msec=2"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._pieces: list[tuple[float, bytes]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while piece := self._process.stdout.read1(4096):  # type: ignore[attr-defined]
            self._pieces.append((time.monotonic(), piece))

    def stop(self) -> tuple[Any, float]:
        """The samples, and the time of the first of them."""
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        counts = np.cumsum([len(piece) // 2 for _, piece in self._pieces])
        offsets = np.array([at for at, _ in self._pieces]) - counts / RATE_HZ
        samples = np.frombuffer(b"".join(piece for _, piece in self._pieces), "<i2")
        return samples, float(np.percentile(offsets, 5))


def pause(least_s: float = 0.3, most_s: float = 0.4) -> float:
    """Seconds to wait between trials, so that no two begin at the same phase of anything."""
    return random.uniform(least_s, most_s)
