"""How long a person waits for an answer of the embedded engine, at a microphone and a speaker.

    python tests/benchmarks/talk_latency.py [--mind rules] [--mind small] [--json]

Says the clips of tests/data/speech into the virtual microphone, one after the other, and measures
from the last loud sample at the microphone until the first audible one at the virtual speaker. The
silence that ends a turn is part of it. Needs the engine's models.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
from common import RATE_HZ, Figures, Tap, show
from helpers_program import Program
from helpers_speech import clips
from vsound import VirtualSound

from voicecli.audio.resample import convert

AIMS = {"rules": "< 500", "small": "< 1000"}
LOUD = 330
"About -40 dBFS."
AUDIBLE = 66
"-54 dBFS: what comes before is silence, though it may not be all zeros."
WINDOW = 240
QUIET_S = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mind", action="append")
    arguments = parser.parse_args()
    with VirtualSound() as sound:
        figures = [measure(sound, mind) for mind in arguments.mind or AIMS]
    show(figures, as_json=arguments.json)


def measure(sound: VirtualSound, mind: str) -> Figures:
    figures = Figures(f"{mind}: end of speech -> first sound of the answer", AIMS.get(mind, ""))
    paths = [clip.path for clip in clips()]
    with Program("talk", "--server", "local", "--mind", mind, "--json") as program:
        program.until_line("session", timeout_s=60)
        time.sleep(2)
        for number, path in enumerate([paths[0], *paths]):
            waited_ms = answered_after_ms(sound, program, path)
            if number:  # the first one warms up
                figures.values.append(waited_ms)
                print(f"{mind}: {path.name:26} {waited_ms:6.0f} ms", file=sys.stderr)
        program.kill(2)
        program.wait()
    return figures


def answered_after_ms(sound: VirtualSound, program: Program, path: Path) -> float:
    """Say a clip, wait until its answer was heard, and find both in what was recorded."""
    recorder, tap = sound.recorder(), Tap("mic_feed.monitor")
    time.sleep(0.3)
    said = len(program.lines)
    feeder = sound.feed(spoken(path))
    feeder.wait()
    program.until(lambda: ends_heard(program.lines[said:]), timeout_s=60)
    time.sleep(QUIET_S)
    samples, begun_at = tap.stop()
    recording = recorder.stop()
    speech_ended_at = begun_at + last_loud(samples) / RATE_HZ
    sounding = np.flatnonzero(np.abs(recording.samples.astype(int)) > AUDIBLE)
    begins = sounding[np.diff(sounding, prepend=-RATE_HZ) > QUIET_S * RATE_HZ]
    answers = (recording.time_of(int(begin)) for begin in begins)
    first_at = next(at for at in answers if at > speech_ended_at)
    return (first_at - speech_ended_at) * 1000


def spoken(path: Path) -> bytes:
    with wave.open(str(path), "rb") as wav:
        return convert(wav.readframes(wav.getnframes()), wav.getframerate(), RATE_HZ)


def ends_heard(lines: list[dict[str, Any]]) -> bool:
    """Whether the user's last words were answered, and the answer heard to its end."""
    final = [line for line in lines if line["type"] in ("user", "assistant") and line["final"]]
    after_user = itertools.takewhile(lambda line: line["type"] == "assistant", reversed(final))
    return any(not line["interrupted"] for line in after_user)


def last_loud(samples: Any) -> int:
    """The end of the last 10 ms that are as loud as speech."""
    whole = samples[: len(samples) // WINDOW * WINDOW].astype(np.float64).reshape(-1, WINDOW)
    loud = np.flatnonzero(np.sqrt((whole**2).mean(axis=1)) > LOUD)
    return int(loud[-1] + 1) * WINDOW


if __name__ == "__main__":
    main()
