# ruff: noqa: E402
"""What is left of an echo, and what keeping it out costs.

    python tests/benchmarks/echo.py [--minutes M] [--each N] [--levels DB ...] [--json]
    python tests/benchmarks/echo.py --cost [--seconds S] [--json]

The first simulates rooms: an answer of people's voices at -20 dBFS, what comes of it to the
microphone (T60 0.25 s, 40 ms away, 50 ppm of drift, times of capture that tremble by 10 ms, hiss
at -60 dBFS), and a user of -26 dBFS, than whom echoes are as much softer or louder as the rows say;
from +6 dB on the speaker is overdriven. Printed are

taken     how much softer the microphone is for the cleaning, from the 10th second on (ERLE)
20 dB     when that was 20 dB for the first time, over half a second of sound
self      interruptions of an answer by itself in so many minutes, the first seconds included:
          `server` by the engine's voice detection at its usual settings, `local` by the client's,
          where all that were ducked are counted apart
missed    people who spoke over an answer, from the 12th second on, and were not heard within 2 s:
          by the server in `server`, where the gate lasts, and by the client's detection in `local`

`--cost` opens the virtual devices with each mode, and prints the CPU seconds a minute of the whole
process, silent and playing, and the 99th percentile of the CPU time of each callback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from helpers_room import SAID, Room, answer, at_level, dbfs, echo_of, from_onset, hiss, pcm, voices
from vsound import VirtualSound

from voicecli.audio.pcm import FRAME_BYTES
from voicecli.audio.resample import convert
from voicecli.audio.vad import SpeechDetector, SpeechStarted, SpeechStopped
from voicecli.bargein import BargeIn, BargeInRules, NearVoice, Stop

RATE_HZ = 24_000
USER_DBFS = -26.0
LEVELS = (-12, 0, 6, 10)
"Of the echo at the microphone, over the user."
VOICES = (-6, 0, 6)
"Of the user, over the usual."
MODES = ("off", "half-duplex", "aec")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--levels", type=int, nargs="*", help="of the echo, over the user")
    parser.add_argument("--each", type=int, default=20, help="users of each level")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        asyncio.run(cost(arguments.inside, arguments.seconds))
    elif arguments.cost:
        with VirtualSound():
            for mode in MODES:
                command = [sys.executable, __file__, "--inside", mode]
                command += ["--seconds", str(arguments.seconds)]
                print_row(json.loads(subprocess.check_output(command)), arguments.json)
    else:
        for level in arguments.levels or LEVELS:
            for mode in MODES if level == 0 else ("aec",):
                row = {"echo": f"{level:+d} dB", "mode": mode}
                row |= alone(mode, level, arguments.minutes)
                for louder in VOICES:
                    row |= interrupted(mode, level, louder, arguments.each)
                print_row(row, arguments.json)


def print_row(row: dict[str, Any], as_json: bool) -> None:
    shown = json.dumps(row) if as_json else "  ".join(f"{key}: {one}" for key, one in row.items())
    print(shown, flush=True)


def microphone(played: Any, level: float, seed: int) -> Any:
    """What comes of an answer, and the room."""
    echo = echo_of(
        played,
        USER_DBFS + level,
        delay_ms=40.0,
        drift_ppm=50.0,
        is_overdriven=level >= 6,
        seed=seed,
    )
    return echo + hiss(len(played))


def alone(mode: Any, level: float, minutes: float) -> dict[str, Any]:
    played = answer(minutes * 60, seed=1)
    captured = microphone(played, level, seed=1)
    sent = as_sent(mode, played, captured)
    server, _, _ = heard(sent)
    _, ducked, stopped = heard(as_sent(mode, played, captured, gate_lasts=False))
    first = 10 * RATE_HZ
    taken = dbfs(captured[first:]) - dbfs(sent[first:])
    return {
        "taken": f"{taken:.0f} dB" if mode == "aec" else "-",
        "20 dB": _first_taken(captured, sent) if mode == "aec" else "-",
        "self server": len(server), "self local": len(stopped), "ducked": len(ducked),
    }  # fmt: skip


def _first_taken(captured: Any, sent: Any) -> str:
    half = RATE_HZ // 2
    for start in range(0, 20 * RATE_HZ, half // 5):
        before, after = captured[start : start + half], sent[start : start + half]
        # Where there is no more than hiss there is nothing to be taken.
        if dbfs(before) > -42.0 and dbfs(before) - dbfs(after) > 20.0:
            return f"{(start + half) / RATE_HZ:.1f} s"
    return "never"


def interrupted(mode: Any, level: float, louder: float, each: int) -> dict[str, Any]:
    """How many of those who spoke over an answer were heard."""
    played = answer(12 + 8 * each, seed=2)
    said = np.zeros(len(played))
    rng = np.random.default_rng(5)
    begun = [12 + 8 * number + float(rng.uniform(0, 1)) for number in range(each)]
    for number, at_s in enumerate(begun):
        voice = from_onset(at_level(voices()[SAID[number % len(SAID)]], USER_DBFS + louder))
        first = int(at_s * RATE_HZ)
        said[first : first + len(voice)] += voice[: len(said) - first]
    captured = microphone(played, level, seed=2) + said
    server, _, _ = heard(as_sent(mode, played, captured))
    _, ducked, _ = heard(as_sent(mode, played, captured, gate_lasts=False))
    missed = [
        100 * sum(not any(at <= one < at + 2 for one in times) for at in begun) / each
        for times in (server, ducked)
    ]
    return {f"missed {louder:+d} dB": f"{missed[0]:.0f} % server, {missed[1]:.0f} % local"}


def as_sent(mode: Any, played: Any, captured: Any, *, gate_lasts: bool = True) -> Any:
    """What is sent with `--barge-in server`, or with `local`, where the gate does not last."""
    return Room(mode, watches=False, gate_lasts=gate_lasts).hear(played, captured)


def heard(sent: Any) -> tuple[list[float], list[float], list[float]]:
    """When the server began to hear somebody, when `local` ducked, and when it stopped."""
    wire = pcm(sent)
    ears = convert(wire, RATE_HZ, 16_000)
    detector, near = SpeechDetector(16_000), NearVoice(BargeInRules().level_dbfs)
    rules = BargeIn(BargeInRules(mode="local"), has_words=False)
    server: list[float] = []
    ducked: list[float] = []
    stopped: list[float] = []
    was_soft = False
    for number in range(min(len(wire) // FRAME_BYTES, len(ears) // 640)):
        at = (number + 1) * 0.02
        frame = wire[number * FRAME_BYTES : (number + 1) * FRAME_BYTES]
        outcomes = rules.frame(near.push(frame), is_answering=True, at=at)
        event = detector.push(ears[number * 640 : (number + 1) * 640])
        if isinstance(event, SpeechStarted):
            server.append(at)
            outcomes += rules.speech_started(f"U{len(server)}", is_answering=True, at=at)
        elif isinstance(event, SpeechStopped):
            outcomes += rules.speech_stopped(f"U{len(server)}", at=at)
            outcomes += rules.committed(f"U{len(server)}")
        stopped += [at for one in outcomes if isinstance(one, Stop)]
        is_soft = rules.gain < 1.0
        if is_soft and not was_soft:
            ducked.append(at)
        was_soft = is_soft
    return server, ducked, stopped


# ------------------------------------------------------------------------------------ what it costs


async def cost(mode: Any, seconds: float) -> None:
    from voicecli.audio import devices as room
    from voicecli.audio.devices import AudioDevices, find_device, quiet_stderr

    took: dict[str, list[float]] = {"input": [], "output": []}

    def timed(line: Any) -> None:
        inner = line._called_back

        def called_back(self: Any, *arguments: Any) -> None:
            begun = time.thread_time_ns()
            inner(self, *arguments)
            took[self.kind].append((time.thread_time_ns() - begun) / 1e6)

        line._called_back = called_back

    timed(room._CaptureLine)
    timed(room._PlayLine)
    with quiet_stderr():
        both = find_device(None, "input"), find_device(None, "output")
        devices = AudioDevices(*both, echo=mode)
        await devices.open()
        await devices.microphone.start(lambda frame: None)
        await devices.speaker.start(lambda report: None)
        await asyncio.sleep(1.0)
        used = [await _used(seconds)]
        devices.speaker.play("answer", 0, pcm(answer(seconds + 2)))
        await asyncio.sleep(0.5)
        used.append(await _used(seconds))
        await devices.close()
    print(
        json.dumps(
            {
                "mode": mode,
                "cpu s/min silent": round(used[0], 2),
                "playing": round(used[1], 2),
                "capture p99 ms": round(float(np.percentile(took["input"], 99)), 3),
                "playback p99 ms": round(float(np.percentile(took["output"], 99)), 3),
                "gaps": devices.speaker.underflows,
            }
        )
    )


async def _used(seconds: float) -> float:
    def so_far() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    begun, begun_at = so_far(), time.monotonic()
    await asyncio.sleep(seconds)
    return (so_far() - begun) * 60 / (time.monotonic() - begun_at)


if __name__ == "__main__":
    main()
