# ruff: noqa: E402
"""What a talk loses when its sound devices are lost: the table of docs/audio.md.

    python tests/benchmarks/devices_lost.py [--times N] [SCENE ...]

Each scene is one talk on a virtual sound card, in which the same thing happens N times, in the
middle of an answer of 2.5 s and in the middle of a question. Per scene:

went on  losses after which the answer was heard to its end, or the next words came in, without help
gap      silence at the speaker beyond the time that the sound server was away, in seconds
lost     of each answer: what was never heard, ms; of each question: what was said while a
         microphone could be had and did not reach the server, ms
twice    what was heard twice, ms
clock    audio that the server got, less the time that passed, ms
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from common import RATE_HZ, SAMPLES_PER_MS, noise
from helpers_program import Program
from scripted_server import Peer, ScriptedServer
from vsound import VirtualSound, times_heard

ANSWER_S = 2.5
AWAY_S = 0.7
PIECE = 2 * RATE_HZ // 200
PATIENCE_S = 20.0

Break = Callable[[VirtualSound], None]


def killed(sound: VirtualSound) -> None:
    sound.kill()
    time.sleep(AWAY_S)
    sound.restart()


def frozen(sound: VirtualSound) -> None:
    sound.freeze()
    time.sleep(2.0)
    sound.thaw()


def hiccup(sound: VirtualSound) -> None:
    sound.freeze()
    time.sleep(0.3)
    sound.thaw()


def pulled(sound: VirtualSound) -> None:
    """The default speaker goes away while there is another one."""
    sound.remove(sound.module_of("sink_name=speaker"))


def changed(sound: VirtualSound) -> None:
    """The default goes to another speaker and back."""
    sound.make_default("other")
    time.sleep(0.5)
    sound.make_default("speaker")


SCENES: dict[str, Break] = {
    "killed": killed, "frozen": frozen, "hiccup": hiccup, "pulled": pulled, "changed": changed,
}  # fmt: skip


def put_back(sound: VirtualSound, name: str) -> None:
    """Have everything as it was for the next time."""
    if name == "pulled":
        sound.add_sink("speaker")
        sound.make_default("speaker")


HEARD_AT = {"changed": ("speaker", "other"), "pulled": ("speaker", "mic_feed")}
"Where the answer comes out, if not at the speaker alone."


@dataclass
class Outcome:
    """What one scene came to."""

    name: str
    times: int = 0
    went_on: int = 0
    gaps_s: list[float] = field(default_factory=list)
    lost_ms: list[float] = field(default_factory=list)
    twice_ms: list[float] = field(default_factory=list)
    clock_ms: list[float] = field(default_factory=list)

    @property
    def row(self) -> str:
        columns = (self.gaps_s, self.lost_ms, self.twice_ms, self.clock_ms)
        cells = "  ".join(f"{spread(one):>20}" for one in columns)
        return f"{self.name:24} {self.went_on:3}/{self.times:<3} {cells}"


def spread(values: list[float]) -> str:
    """Median and worst."""
    if not values:
        return "-"
    worst = max(values, key=abs)
    return f"{float(np.median(values)):.2f} ({worst:.2f})"


class Talk:
    """A talk whose server answers when it is told to, and listens."""

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ready = threading.Event()

    async def script(self, peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(300)
        self.peer, self.loop = peer, asyncio.get_running_loop()
        self.ready.set()

    def answer(self, number: int, pcm: bytes) -> None:
        assert self.peer is not None
        assert self.loop is not None
        doing = self.peer.answer(f"R{number}", f"I{number}", pcm, "A story.")
        asyncio.run_coroutine_threadsafe(doing, self.loop).result(10)

    @property
    def heard(self) -> bytes:
        assert self.peer is not None
        return bytes(self.peer.log.audio)


def in_answers(sound: VirtualSound, name: str, times: int) -> Outcome:
    outcome, talk = Outcome(f"{name}, in mid-answer", times), Talk()
    with (
        ScriptedServer(talk.script) as server,
        Program("talk", "--server", server.url, "--json") as program,
    ):
        assert talk.ready.wait(PATIENCE_S)
        for number in range(times):
            pcm = noise(ANSWER_S, number)
            recorders = [sound.recorder(sink) for sink in HEARD_AT.get(name, ("speaker",))]
            talk.answer(number, pcm)
            time.sleep(0.7 + 0.013 * number)
            broken_at = time.monotonic()
            SCENES[name](sound)
            away_s = time.monotonic() - broken_at
            item = f"I{number}"
            program.until(lambda item=item: over(program, item), PATIENCE_S)  # type: ignore[misc]
            time.sleep(0.2)
            recordings = [recorder.stop() for recorder in recorders]
            told = over(program, item)[0]
            outcome.went_on += told["heard_ms"] == told["received_ms"] and not told["interrupted"]
            put_back(sound, name)
            judge_answer(outcome, pcm, recordings, away_s if name in ("killed", "frozen") else 0.0)
        program.kill(signal.SIGINT)
        assert program.wait(10) == 0, program.complaint
        assert program.complaint == "", program.complaint
    return outcome


def over(program: Program, item: str) -> list[dict[str, Any]]:
    return [one for one in program.lines_of("assistant") if one["final"] and one["item_id"] == item]


def judge_answer(outcome: Outcome, pcm: bytes, recordings: list[Any], away_s: float) -> None:
    # A recorder whose speaker is pulled out is moved, too, and hears the same as the next one.
    counts = np.max([times_heard(pcm, [one]) for one in recordings], axis=0)
    outcome.lost_ms.append(float(np.count_nonzero(counts == 0)) / SAMPLES_PER_MS)
    outcome.twice_ms.append(float(np.maximum(counts - 1, 0).sum()) / SAMPLES_PER_MS)
    times = np.sort(np.concatenate([times_of_sound(one) for one in recordings]))
    if len(times) > 1:
        outcome.gaps_s.append(float(np.diff(times).max()) - away_s)


def times_of_sound(recording: Any) -> Any:
    """When each fragment of 2 ms that is no silence came."""
    fragments = recording.samples.reshape(len(recording.arrivals), -1)
    return recording.arrivals[np.any(fragments, axis=1)]


def in_questions(sound: VirtualSound, name: str, times: int) -> Outcome:
    outcome, talk = Outcome(f"{name}, in mid-question", times), Talk()
    with (
        ScriptedServer(talk.script) as server,
        Program("talk", "--server", server.url, "--json") as program,
    ):
        assert talk.ready.wait(PATIENCE_S)
        peer = talk.peer
        assert peer is not None
        for number in range(times):
            first, second = noise(0.6, 2 * number), noise(0.6, 2 * number + 1)
            begun, had = peer.log.appends[-1], len(peer.log.audio)
            with sound.feed(first):
                time.sleep(0.4 + 0.007 * number)
                SCENES[name](sound)
            time.sleep(0.3)
            deadline = time.monotonic() + PATIENCE_S / 2
            while time.monotonic() < deadline:
                with sound.feed(second):
                    pass
                time.sleep(0.4)
                if found_ms(second, talk.heard) > 300:
                    outcome.went_on += 1
                    break
            took_s = peer.log.appends[-1] - begun
            outcome.clock_ms.append((len(peer.log.audio) - had) / 48 - took_s * 1000)
            put_back(sound, name)
            outcome.lost_ms.append(max(0.0, 400.0 + 7 * number - found_ms(first, talk.heard)))
        program.kill(signal.SIGINT)
        assert program.wait(10) == 0, program.complaint
        assert program.complaint == "", program.complaint
    return outcome


def found_ms(pcm: bytes, heard: bytes) -> float:
    pieces = [pcm[start : start + PIECE] for start in range(0, len(pcm), PIECE)]
    return 5.0 * sum(piece in heard for piece in pieces)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="*", choices=[[], *SCENES], default=[])
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    columns = "  ".join(f"{one:>20}" for one in ("gap s", "lost ms", "twice ms", "clock ms"))
    print(f"{'median (worst)':24} went on {columns}")
    for name in given.scenes or SCENES:
        for kind in (in_answers, in_questions):
            with VirtualSound() as sound:
                if name == "changed":
                    sound.add_sink("other")
                print(kind(sound, name, given.times).row, flush=True)


if __name__ == "__main__":
    main()
