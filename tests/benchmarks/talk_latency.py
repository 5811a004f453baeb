"""How long a person waits: end of speech -> first sound of the answer, with the embedded engine.

    python tests/benchmarks/talk_latency.py [--json] [--mind rules --mind small] [--devices]

Runs `voicecli talk --server local` once per mind on a recording of several people with pauses
between them, long enough for every answer to end. The client reports each turn: its end of speech
comes from the microphone's audio, its first sound from the speaker. With `--devices` microphone and
speaker are the virtual ones, without them a file and the program's own silent speaker.
"""

from __future__ import annotations

import argparse
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import RATE_HZ, Figures, show
from helpers_program import Program
from helpers_speech import clips
from vsound import VirtualSound

from voicecli.audio.resample import convert

BETWEEN_S = {"rules": 6.0}
BETWEEN_OTHERS_S = 16.0
LONGEST_CLIP_S = 6.0
FIRST_WORDS_S = 2.0
"Silence before the first clip: the models are being loaded, which is no part of a turn."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mind", action="append", choices=["rules", "small", "standard"])
    parser.add_argument("--devices", action="store_true")
    arguments = parser.parse_args()
    figures = []
    for mind in arguments.mind or ["rules", "small"]:
        said = recording(BETWEEN_S.get(mind, BETWEEN_OTHERS_S))
        lines = on_devices(mind, said) if arguments.devices else on_a_file(mind, said)
        figures += of_turns(mind, lines)
    show(figures, as_json=arguments.json)


def recording(between_s: float) -> bytes:
    """The clips one after another."""
    pcm = bytes(int(FIRST_WORDS_S * RATE_HZ) * 2)
    for clip in clips():
        if clip.seconds > LONGEST_CLIP_S:
            continue
        with wave.open(str(clip.path), "rb") as wav:
            pcm += convert(wav.readframes(wav.getnframes()), wav.getframerate(), RATE_HZ)
        pcm += bytes(int(between_s * RATE_HZ) * 2)
    return pcm


def on_a_file(mind: str, said: bytes) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        with wave.open(str(path), "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(RATE_HZ)
            wav.writeframes(said)
        with talking(mind, "--mic", str(path), "--speaker", "none") as program:
            program.wait(len(said) / 2 / RATE_HZ + 60)
            return program.lines


def on_devices(mind: str, said: bytes) -> list[dict[str, Any]]:
    with VirtualSound() as sound, talking(mind) as program:
        program.until_line("session")
        sound.feed(said).wait()
        program.kill()
        program.wait()
        return program.lines


@contextmanager
def talking(mind: str, *arguments: str) -> Iterator[Program]:
    given = ["talk", "--server", "local", "--mind", mind, "--json", *arguments]
    with Program(*given) as program:
        yield program


def of_turns(mind: str, lines: list[dict[str, Any]]) -> list[Figures]:
    turns = [line for line in lines if line["type"] == "turn"]
    summary = lines[-1]
    print(f"{mind}: {len(turns)} turns, {summary['interruptions']} interruptions")
    stages = {
        "speech_stopped_ms": ("the turn is over for the server", ""),
        "first_delta_ms": ("first audio received", ""),
        "first_sound_ms": ("first sound", "< 500" if mind == "rules" else "< 1000"),
    }
    return [
        Figures(f"{mind}: end of speech -> {name}", aim, "ms",
                [turn[key] for turn in turns if turn[key] is not None])
        for key, (name, aim) in stages.items()
    ]  # fmt: skip


if __name__ == "__main__":
    main()
