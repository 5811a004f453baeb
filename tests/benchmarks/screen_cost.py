"""What drawing costs: `python tests/benchmarks/screen_cost.py`.

One minute of a talk is drawn 8 times a second while a long answer is heard, and 2 times a second
while nothing happens, on a terminal of 80x24 that takes everything. CPU time of this process is
counted.
"""
# ruff: noqa: E402

import io
import statistics
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from helpers_screen import Talk, heard
from rich.console import Console

from voicecli.ui.meters import Meters
from voicecli.ui.terminal import Terminal

WORDS = "The tide comes in twice a day because the moon pulls at the sea, and the sea gives way. "


def main() -> None:
    for seconds, chars in ((20, 300), (60, 900)):
        measure(f"an answer of {chars} characters over {seconds} s", seconds, chars)
    measure("nothing happens", 0, 0)


def measure(name: str, seconds: int, chars: int) -> None:
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, width=80, height=24, color_system="truecolor"
    )
    terminal = Terminal(console)
    terminal.start()
    talk = Talk()
    text = (WORDS * 20)[:chars]
    drawings = 480 if seconds else 120
    costs_ms: list[float] = []
    for number in range(drawings):
        at = number * 60 / drawings
        position, turn = (at % seconds, int(at // seconds)) if seconds else (0.0, 0)
        item_id = f"item {turn}"
        if seconds and talk.conversation.transcript.get(item_id) is None:
            if turn:
                talk.played(f"item {turn - 1}")
            talk.answer(item_id, text, seconds)
        emitted = (heard(item_id, position, seconds),) if seconds else ()
        meters = Meters(at=at, level_dbfs=-60 + number * 7 % 55, heard=emitted)
        started = time.process_time_ns()
        terminal.draw(talk.conversation, meters)
        costs_ms.append((time.process_time_ns() - started) / 1e6)
    terminal.close()
    costs_ms.sort()
    print(
        f"{name}: {drawings} drawings a minute, median {statistics.median(costs_ms):.2f} ms, "
        f"95% {costs_ms[len(costs_ms) * 95 // 100]:.2f} ms, most {costs_ms[-1]:.2f} ms, "
        f"together {sum(costs_ms) / 1000:.3f} s of CPU, {len(stream.getvalue()) / 1024:.0f} KiB"
    )


if __name__ == "__main__":
    main()
