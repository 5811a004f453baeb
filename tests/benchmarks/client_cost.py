"""What a talk costs: processor time and memory of the client's process, on the virtual sound card.

    python tests/benchmarks/client_cost.py [--json] [--seconds S] [--screen terminal|json]

For half of the time an answer of speech plays (10 s, sent faster than it is played, its words in
many deltas), for the other half the user speaks, the words coming back in deltas. `RSS` and `PSS`
are read at the end, `peak` is the highest RSS of the whole talk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import wave
from pathlib import Path

from common import SCREENS, TESTS, Figures, noise, show, talking
from scripted_server import Peer
from vsound import VirtualSound

from voicecli.audio.resample import convert

TURN_S = 10.0
WORDS = ["It", "is", "a", "fact", "well", "known", "that", "a", "talk", "has", "to", "be", "made."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--screen", choices=[*SCREENS, "both"], default="both")
    arguments = parser.parse_args()
    figures: list[Figures] = []
    with VirtualSound() as sound:
        for screen in SCREENS if arguments.screen == "both" else (arguments.screen,):
            figures += measure(sound, screen, arguments.seconds)
    show(figures, as_json=arguments.json)


def measure(sound: VirtualSound, screen: str, seconds: float) -> list[Figures]:
    ready, done = threading.Event(), threading.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(1000)
        ready.set()
        begun = asyncio.get_running_loop().time()
        number = 0
        while asyncio.get_running_loop().time() - begun < seconds - 1:
            await _turn(peer, number, begun + 2 * TURN_S * number)
            number += 1
        done.set()

    with talking(script, screen) as (program, _):
        ready.wait(20)
        pid = program.process.pid
        before, stop = _cpu_s(pid), threading.Event()
        user = threading.Thread(target=_speak, args=(sound, stop))
        user.start()
        done.wait(seconds + 60)
        spent = _cpu_s(pid) - before
        whole = _cpu_s(pid)
        memory = _memory_mb(pid)
        stop.set()
        user.join()
    minute = [spent * 60 / seconds]
    per_minute = Figures(f"{screen}: user + system time a minute", "< 2", "s", minute)
    start = Figures(f"{screen}: user + system time of the start", "", "s", [whole - spent])
    names = {"VmHWM": "peak RSS", "VmRSS": "RSS", "Pss": "PSS"}
    return [per_minute, start] + [
        Figures(f"{screen}: {name}", "< 80", "MB", [memory[key]]) for key, name in names.items()
    ]


async def _turn(peer: Peer, number: int, begins_at: float) -> None:
    """10 s of the user's, with words; then 10 s of answer."""
    loop = asyncio.get_running_loop()
    user, response, item = f"U{number}", f"R{number}", f"I{number}"
    await peer.speech(user)
    for word in range(25):
        await asyncio.sleep(begins_at + 0.3 * (word + 1) - loop.time())
        await peer.send(
            "conversation.item.input_audio_transcription.delta",
            item_id=user, content_index=0, delta=WORDS[word % len(WORDS)] + " ",
        )  # fmt: skip
    await peer.speech(user, ended_ms=1000)
    await peer.words(user, " ".join(WORDS[word % len(WORDS)] for word in range(25)))
    await asyncio.sleep(begins_at + TURN_S - loop.time())
    await peer.begin(response)
    await peer.item(response, item)
    speech = noise(TURN_S, number)
    for word in range(30):
        start, end = (int(TURN_S * 48_000 * (word + shift) / 30) // 2 * 2 for shift in (0, 1))
        await peer.send(
            "response.output_audio_transcript.delta", response_id=response, item_id=item,
            output_index=0, content_index=0, delta=WORDS[word % len(WORDS)] + " ",
        )  # fmt: skip
        await peer.delta(response, item, speech[start:end])
        await asyncio.sleep(0.1)  # three times as fast as it is played
    await peer.audio_done(response, item)
    await peer.end(response, item)
    await asyncio.sleep(begins_at + 2 * TURN_S - loop.time())


def _speak(sound: VirtualSound, stop: threading.Event) -> None:
    """A human voice at the microphone in every other span of 10 s."""
    with wave.open(str(TESTS / "data" / "speech" / "jfk.wav"), "rb") as wav:
        pcm = convert(wav.readframes(wav.getnframes()), wav.getframerate(), 24_000)
    spoken = pcm[: int(TURN_S * 48_000)]
    while not stop.is_set():
        feeder = sound.feed(spoken)
        stop.wait(2 * TURN_S)
        feeder.kill()
        feeder.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> dict[str, float]:
    text = Path(f"/proc/{pid}/status").read_text() + Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = [line.split() for line in text.splitlines()]
    return {line[0][:-1]: int(line[1]) / 1024 for line in lines if line[-1:] == ["kB"]}


if __name__ == "__main__":
    main()
