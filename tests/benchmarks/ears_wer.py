"""How well and how fast the ears hear: `python tests/benchmarks/ears_wer.py [threads]`."""
# ruff: noqa: E402

import statistics
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from helpers_speech import clips, word_errors

from voicecli.engine.ears.ears import MoonshineEars
from voicecli.engine.store import ModelStore


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    started = time.perf_counter()
    ears = MoonshineEars(ModelStore().path("moonshine-tiny-en"), threads)
    print(f"load {(time.perf_counter() - started) * 1000:.0f} ms, {threads} threads")
    errors = total = 0
    medians = []
    for clip in clips():
        samples = clip.samples()
        times_ms = []
        for _ in range(5):
            started = time.perf_counter()
            heard = ears.transcribe(samples)
            times_ms.append((time.perf_counter() - started) * 1000)
        wrong, words = word_errors(clip.transcript, heard)
        errors, total = errors + wrong, total + words
        medians.append(statistics.median(times_ms))
        print(f"{clip.name:26} {clip.seconds:5.1f} s {medians[-1]:5.0f} ms {wrong}/{words} {heard}")
    print(f"word error rate {errors / total:.1%} ({errors}/{total})")
    print(f"per clip: median {statistics.median(medians):.0f} ms, slowest {max(medians):.0f} ms")


if __name__ == "__main__":
    main()
