# ruff: noqa: E402
"""How long one session with much audio in its items keeps the server's loop from all others.

The server runs in this process, with models that answer at once; its client is a process of its
own. The longest turn of the loop, in milliseconds of computing time, while an item with minutes of
audio is created and retrieved, in the format it was given in and in another one.

Run: python tests/benchmarks/loop_stalls.py [--minutes 4]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from test_serve import serving
from websockets.sync.client import connect

FORMATS = {
    "pcm": {"type": "audio/pcm", "rate": 24000},
    "pcmu": {"type": "audio/pcmu"},
}
BYTES_PER_MS = {"pcm": 48, "pcmu": 8}


class Pulse:
    """The longest pause of the loop since it was last asked."""

    def __init__(self) -> None:
        self.longest_ms = 0.0

    async def beat(self) -> None:
        # What this thread has worked: on a machine that is busy, what it had to wait is chance.
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest_ms = max(self.longest_ms, 1000 * (now - last))
            last = now

    def take(self) -> float:
        longest, self.longest_ms = self.longest_ms, 0.0
        return longest


def client(url: str, given: str, wanted: str, minutes: float) -> None:
    """Runs in a process of its own; each line of stdin lets it go one step on."""
    audio = bytes(range(256)) * int(minutes * 60_000 * BYTES_PER_MS[given] / 256)
    content = [{"type": "input_audio", "audio": base64.b64encode(audio).decode()}]
    item = {"id": "long", "type": "message", "role": "user", "content": content}

    def format_of(name: str) -> str:
        heard = {"turn_detection": None, "format": FORMATS[name]}
        session = {"type": "realtime", "audio": {"input": heard}}
        return json.dumps({"type": "session.update", "session": session})

    steps = [
        (format_of(given), "session.updated"),
        (json.dumps({"type": "conversation.item.create", "item": item}), "conversation.item.done"),
        (format_of(wanted), "session.updated"),
        (
            json.dumps({"type": "conversation.item.retrieve", "item_id": "long"}),
            "conversation.item.retrieved",
        ),
    ]
    with connect(url, compression=None, max_size=None) as socket:
        for message, answer in steps:
            sys.stdin.readline()
            socket.send(message)
            while json.loads(socket.recv())["type"] != answer:
                pass
            print("done", flush=True)


async def measure(given: str, wanted: str, minutes: float) -> None:
    pulse = Pulse()
    beating = asyncio.create_task(pulse.beat())
    async with serving() as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--client", url, given, wanted, str(minutes)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        figures = []
        for _ in range(4):
            pulse.take()
            process.stdin.write(b"\n")
            await process.stdout.readline()
            figures.append(pulse.take())
        await process.wait()
    beating.cancel()
    print(
        f"{given:6}{wanted:8}{minutes:8.1f}{figures[0]:10.1f}{figures[1]:10.1f}{figures[3]:10.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        url, first, second, minutes = given.client
        client(url, first, second, float(minutes))
        return
    print(f"{'given':6}{'wanted':8}{'minutes':>8}{'update':>10}{'create':>10}{'retrieve':>10}")
    for first, second in (("pcm", "pcm"), ("pcmu", "pcmu"), ("pcm", "pcmu"), ("pcmu", "pcm")):
        for minutes in (given.minutes / 8, given.minutes):
            asyncio.run(measure(first, second, minutes))


if __name__ == "__main__":
    main()
