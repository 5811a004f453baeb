"""How often each setting of turn detection cuts a speaker off, and how long it waits at the end.

Feeds human speech to the input buffer of the engine, in audio time, with a second of a quiet room
before it and ten after it. Two columns of cuts:

  spoken   pauses that the speakers made: those of 200 ms or more within the clips, and the comma
           between two clips that are one sentence of one reader, 0.8 s long
  halted   each clip with a pause of a second at the quietest place of its middle: what somebody
           does who looks for a word, though the melody is not that of a person who does

Where somebody speaks is measured by loudness, without the detector under test. A turn that ends
before the last 100 ms of speech cuts the speaker off. The *wait* is from the end of speech to the
end of the turn, in the clips as they were spoken, with the computing time of the judge.

Run: python tests/benchmarks/turn_end.py [-v] [folder with WAV files at 16 kHz ...]
"""
# ruff: noqa: E402

from __future__ import annotations

import statistics
import sys
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import numpy as np
from helpers_speech import SPEECH

from voicecli.audio.resample import convert
from voicecli.engine.dialogue.listening import EndSuspected, Listener, TurnStopped
from voicecli.engine.dialogue.session_state import SessionState
from voicecli.engine.ears.judge import MODEL, SmartTurn
from voicecli.engine.store import ModelStore

RATE_HZ = 16_000
FRAME = RATE_HZ // 50
LOUD_DB = 25.0
"Below the loudest frame of a clip: what is quieter is nobody's voice."
PAUSE_MS = 200
SPEECH_MS = 100
ENDS_MS = {"jfk": 10_380}
"Where noise follows the speech: the ears write the same words without it."
ONE_SENTENCE = ("librivox_sense_0880", "librivox_sense_0890")
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *(
        (f"server_vad, {ms} ms", {"type": "server_vad", "silence_duration_ms": ms})
        for ms in (200, 300, 500, 700)
    ),
    *(
        (f"semantic_vad, {name}", {"type": "semantic_vad", "eagerness": name})
        for name in ("high", "medium", "low")
    ),
]


@dataclass
class Sound:
    """Mono samples at 16 kHz that begin and end with speech."""

    name: str
    samples: Any

    @property
    def loud(self) -> Any:
        """The frames of 20 ms in which somebody speaks."""
        frames = self.samples[: len(self.samples) // FRAME * FRAME].reshape(-1, FRAME)
        levels = 20 * np.log10(np.sqrt((frames**2.0).mean(axis=1)) + 1e-9)
        return np.flatnonzero(levels > levels.max() - LOUD_DB)

    @property
    def pauses_ms(self) -> list[int]:
        gaps = (np.diff(self.loud) - 1) * 20
        return [int(gap) for gap in gaps if gap >= PAUSE_MS]

    def halted(self, pause: Any) -> Sound:
        middle = self.samples[int(len(self.samples) * 0.3) : int(len(self.samples) * 0.7)]
        windows = middle[: len(middle) // FRAME * FRAME].reshape(-1, FRAME) ** 2.0
        quiet = np.convolve(windows.sum(axis=1), np.ones(3), "valid").argmin() + 1.5
        at = int(len(self.samples) * 0.3) + int(quiet * FRAME)
        return Sound(
            f"{self.name}, halted", np.concatenate([self.samples[:at], pause, self.samples[at:]])
        )


@dataclass
class Outcome:
    cuts: int = 0
    waits_ms: list[float] = field(default_factory=list)
    judged_ms: list[float] = field(default_factory=list)


def room(seconds: float) -> Any:
    samples = np.random.default_rng(0).standard_normal(int(RATE_HZ * seconds)) * 2.0
    return samples.astype(np.int16)


def read(path: Path) -> Sound:
    with wave.open(str(path), "rb") as wav:
        assert wav.getframerate() == RATE_HZ
        sound = Sound(path.stem, np.frombuffer(wav.readframes(wav.getnframes()), np.int16))
    if path.stem in ENDS_MS:
        sound.samples = sound.samples[: ENDS_MS[path.stem] * RATE_HZ // 1000]
    loud = sound.loud
    sound.samples = sound.samples[loud[0] * FRAME : (loud[-1] + 1) * FRAME]
    return sound


def listen(sound: Sound, detection: dict[str, Any], judge: SmartTurn) -> Outcome:
    """The turns that the engine finds in a clip."""
    session = SessionState("sess", "model", ())
    change = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    session.update(change, answering=False)
    listener = Listener(session.input_format, session.turn_rules)
    speech = sound.loud * 20 + 1000
    heard_whole = np.concatenate([room(1), sound.samples, room(10)]).astype("<i2").tobytes()
    pcm = convert(heard_whole, RATE_HZ, 24_000)
    outcome = Outcome()
    for at in range(0, len(pcm), 960):
        heard = listener.append(pcm[at : at + 960])
        took_ms = 0.0
        while heard:
            one, *heard = heard
            if isinstance(one, EndSuspected):
                samples = np.frombuffer(one.pcm16k, "<i2").astype(np.float32) / 32768
                began = time.perf_counter()
                probability = judge.probability(samples)
                took_ms = (time.perf_counter() - began) * 1000
                outcome.judged_ms.append(took_ms)
                heard += listener.judged(probability)
            elif isinstance(one, TurnStopped):
                if (speech >= one.audio_end_ms).sum() * 20 >= SPEECH_MS:
                    outcome.cuts += 1
                else:
                    outcome.waits_ms.append(one.audio_end_ms - (speech[-1] + 20) + took_ms)
    return outcome


def main() -> None:
    folders = [Path(one) for one in sys.argv[1:] if one != "-v"] or [SPEECH]
    paths = {path.name: path for folder in folders for path in sorted(folder.glob("*.wav"))}
    clips = {path.stem: read(path) for path in paths.values()}
    spoken = list(clips.values())
    if set(ONE_SENTENCE) <= set(clips):
        first, second = (clips[name].samples for name in ONE_SENTENCE)
        spoken.append(Sound("one sentence", np.concatenate([first, room(0.8), second])))
    halted = [clip.halted(room(1)) for clip in clips.values()]
    judge = SmartTurn(ModelStore().path(MODEL))
    pauses = sorted(ms for sound in spoken for ms in sound.pauses_ms)
    print(f"{len(spoken)} clips with {len(pauses)} pauses: {pauses} ms; {len(halted)} halted\n")
    print("| setting | cuts, spoken | cuts, halted | wait in ms: median | mean | longest |")
    print("|---|---|---|---|---|---|")
    judged: list[float] = []
    for name, detection in SETTINGS:
        outcomes = [listen(sound, detection, judge) for sound in spoken]
        of_halted = [listen(sound, detection, judge) for sound in halted]
        waits = [wait for outcome in outcomes for wait in outcome.waits_ms]
        judged += [one for outcome in outcomes for one in outcome.judged_ms]
        cuts = sum(outcome.cuts for outcome in outcomes)
        halts = sum(outcome.cuts for outcome in of_halted)
        figures = [statistics.median(waits), statistics.mean(waits), max(waits)]
        print(f"| {name} | {cuts} | {halts} | " + " | ".join(f"{one:.0f}" for one in figures), "|")
        if "-v" in sys.argv:
            for sound, outcome in zip(spoken + halted, outcomes + of_halted, strict=True):
                print(
                    f"   {sound.name:32}{outcome.cuts}  {[round(one) for one in outcome.waits_ms]}"
                )
    print(f"\njudge: median {statistics.median(judged):.0f} ms, slowest {max(judged):.0f} ms")


if __name__ == "__main__":
    main()
