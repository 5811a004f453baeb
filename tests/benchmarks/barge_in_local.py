# ruff: noqa: E402
"""What stops an answer: with barge-in by the server, and with barge-in that can be taken back.

    python tests/benchmarks/barge_in_local.py [--quick] [--json] [--each N] [--words-after-ms MS]
        [--network-ms MS] [--all] [--list]
    python tests/benchmarks/barge_in_local.py --devices N [--echo MODE] [--json]

Client and engine are joined in memory, with the engine's own voice detection and real ears (their
weights are needed), on a clock of their own: nothing here takes as long as it sounds. Each sound is
heard once over an answer that has been playing for a second. Printed are the share of sounds that
stopped an answer for good, how often the client asked for a second answer to what it let pass, the
share that softened an answer at all, and the time from the sound's beginning (-40 dBFS, a click
that 100 ms of silence follow left out) until the answer is soft, and until it is silent. The device
and the capture of a frame come on top of it; `--words-after-ms` is how long the transcript takes
after the turn has ended, `--network-ms` how far away the server is.

Coughs, claps, beeps, hums, breaths and keys are made of noise and tones. Words are the engine's own
voice at several heights and levels (`--all`: also the ones the detector was tuned on), and people.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import RATE_HZ, Figures, Tap, pause, show, stand_apart, talking

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from helpers_pair import AUTOMATIC, OURS, SAMPLES_PER_MS, Pair
from helpers_speech import clips
from scripted_server import Peer
from vsound import VirtualSound

from voicecli import inputs
from voicecli.audio.pcm import FRAME_BYTES
from voicecli.audio.resample import convert
from voicecli.bargein import BargeInRules
from voicecli.engine.dialogue import jobs
from voicecli.engine.ears.ears import Ears, load_ears
from voicecli.engine.store import ModelStore
from voicecli.engine.voices.voices import HibariVoice
from voicecli.protocol.events import ServerEvent
from voicecli.reports import BargeInReport

LOUD = 6000
"Every sample of an answer is as loud as this, so that its level can be read off."
BEFORE_MS, ROOM_DBFS = 1000, -62.0
AUDIBLE = 328
"-40 dBFS."

TUNED_ON = ("ash", "cedar", "marin", "coral", "shimmer")
HELD_OUT = ("alloy", "ballad", "echo", "sage", "verse")
BACKCHANNELS = ("Mm-hmm.", "Uh-huh.", "Yeah.", "Okay.", "Right.", "I see.", "Yeah, okay.", "Sure.")
INTERRUPTIONS = (
    "Stop.", "Wait.", "No.", "Hold on.", "Stop it.", "No, wait.", "What was that?",
    "Actually, I have another question.",
)  # fmt: skip
WANTED = ("stop, wait", "people")
PEOPLE = ("cards_001", "cards_003", "goforward", "something", "forever_2", "tidigits_dhd_2934z")


@dataclass
class Sound:
    """Something at the microphone."""

    kind: str
    name: str
    samples: Any
    "Of 16 bits at 24 kHz."


class Hearing(Pair):
    """The pair, with ears that hear, and that take their time."""

    def __init__(self, ears: Ears | None, words_after_s: float, away_s: float, **more: Any) -> None:
        self._ears, self._words_after_s = ears, words_after_s
        self._away_s = 0.0
        self._due: list[tuple[float, jobs.Transcribe]] = []
        self._coming: list[tuple[float, ServerEvent]] = []
        super().__init__(**more)
        self._away_s = away_s

    def _emit(self, outputs: Iterable[jobs.Output]) -> None:
        for output in outputs:
            match output:
                case jobs.Transcribe():
                    # A caption is made of what is there, as soon as there is time for it.
                    self._due.append((self.at + self._words_after_s, output))
                case jobs.CancelTranscription(job):
                    self._due = [one for one in self._due if one[1].job != job]
                case ServerEvent() if self._away_s:
                    self._coming.append((self.at + self._away_s, output))
                case _:
                    super()._emit([output])

    def _settle(self) -> None:
        super()._settle()
        while self._coming and self._coming[0][0] <= self.at:
            super()._emit([self._coming.pop(0)[1]])
            super()._settle()
        ready = [job for due, job in self._due if due <= self.at]
        self._due = [one for one in self._due if one[0] > self.at]
        for job in ready:
            text = "Something."
            if self._ears is not None:
                samples = np.frombuffer(job.pcm16k, "<i2").astype(np.float32) / 32768
                text = self._ears.transcribe(samples)
            self.tell_engine(jobs.Transcribed(job.job, text))


@dataclass
class Outcome:
    sound: Sound
    was_stopped: bool
    answers: int
    "That were asked for after the sound."
    duck_ms: float | None
    silence_ms: float | None
    said: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="6 sounds of each kind")
    parser.add_argument("--each", type=int, default=24, help="sounds of each kind")
    parser.add_argument("--words-after-ms", type=int, default=200)
    parser.add_argument("--network-ms", type=int, default=100, help="there and back")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--list", action="store_true", help="every sound that came out wrong")
    parser.add_argument("--devices", type=int, default=0, help="so many words on virtual devices")
    parser.add_argument("--echo", default="auto", help="with --devices: as of `voicecli talk`")
    arguments = parser.parse_args()
    if arguments.devices:
        stand_apart()
        show(on_devices(arguments.devices, arguments.echo), as_json=arguments.json)
        return
    each = 6 if arguments.quick else arguments.each
    sounds = [*noises(each), *spoken(each, also_tuned=arguments.all)]
    ears = load_ears(ModelStore(), threads=1)
    times = (arguments.words_after_ms / 1000, arguments.network_ms / 1000)
    rules = BargeInRules(mode="local")
    runs = {
        "server": [heard(one, Hearing(None, *times, wanted=AUTOMATIC)) for one in sounds],
        "local": [heard(one, Hearing(ears, *times, wanted=OURS, rules=rules)) for one in sounds],
    }
    shares(runs, as_json=arguments.json)
    figures = [
        *(
            Figures(f"local: {kind}, beginning -> ducked", "< 120", values=_times(runs, kind)[0])
            for kind in WANTED
        ),
        *(
            Figures(f"local: {kind}, beginning -> silent", "< 400", values=_times(runs, kind)[1])
            for kind in WANTED
        ),
        *(
            Figures(f"server: {kind}, beginning -> silent", values=_times(runs, kind, "server")[1])
            for kind in WANTED
        ),
        *(
            Figures(f"local: {kind}, answer away for", values=_away(runs["local"], kind))
            for kind in ("cough", "backchannel")
        ),
    ]
    show(figures, as_json=arguments.json)
    if arguments.list:
        for one in runs["local"]:
            late = (one.duck_ms or 0) > 120 and one.sound.kind in WANTED
            if late or one.was_stopped != (one.sound.kind in WANTED):
                ducked = "" if one.duck_ms is None else f", ducked after {one.duck_ms:.0f} ms"
                print(f"  {one.sound.kind}: {one.sound.name} {one.said!r}{ducked}")


def on_devices(count: int, echo: str) -> list[Figures]:
    """The program on a virtual sound card: from the word at the microphone to the speaker.

    The server never says that it hears speech: what happens is what the client hears by itself.
    """
    words = [one for one in spoken(24, also_tuned=False) if one.kind == "stop, wait"][:count]
    done = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(500)
        for number, word in enumerate(words):
            await peer.answer(f"R{number}", f"I{number}", ANSWER[: int(3.5 * 48_000)])
            await asyncio.sleep(pause(0.8, 1.0))
            await asyncio.to_thread(sound.feed(_in_room(word.samples)).wait)
            await asyncio.sleep(3.5)
        done.set()

    wanted = ("--barge-in", "local", "--echo", echo)
    with VirtualSound() as sound, talking(script, "json", *wanted):
        ears, recorder = Tap("mic_feed.monitor"), sound.recorder()
        done.wait(20 + 8 * count)
        said, begun_at = ears.stop()
        recording = recorder.stop()
    ducked = Figures("devices: word at the microphone -> ducked", "< 120")
    silent = Figures("devices: word at the microphone -> silent", "< 400")
    loud = np.flatnonzero(np.abs(said.astype(int)) >= AUDIBLE)
    onsets = [loud[0], *loud[1:][np.diff(loud) > 2 * RATE_HZ]]
    level = np.abs(recording.samples.astype(int))
    for onset in onsets:
        first = recording.sample_at(begun_at + onset / RATE_HZ)
        heard_level = level[first : first + RATE_HZ]
        if level[first - _ms(50) : first].min(initial=LOUD) < LOUD:
            continue  # A stall of the machine: nothing was playing.
        soft = _first(heard_level < LOUD // 3)
        zeros = np.flatnonzero(np.convolve(heard_level, np.ones(240), "valid") == 0)
        if soft is not None and len(zeros):
            ducked.values.append(soft)
            silent.values.append(float(zeros[0]) / SAMPLES_PER_MS)
    return [ducked, silent]


def shares(runs: dict[str, list[Outcome]], *, as_json: bool) -> None:
    """How many of each kind stopped an answer for good, and led to another."""
    if not as_json:
        print(
            f"{'stopped for good':24}{'n':>4}{'server':>9}{'local':>9}"
            f"{'second answers':>17}{'softened':>11}"
        )
    for kind in dict.fromkeys(one.sound.kind for one in runs["server"]):
        server, local = ([x for x in runs[m] if x.sound.kind == kind] for m in ("server", "local"))
        stopped = [100 * sum(x.was_stopped for x in some) / len(some) for some in (server, local)]
        second = sum(x.answers > 0 for x in local if not x.was_stopped)
        softened = 100 * sum(x.duck_ms is not None for x in local) / len(local)
        if as_json:
            row = {"kind": kind, "n": len(local), "server": stopped[0], "local": stopped[1]}
            print(json.dumps(row | {"second_answers": second, "softened": softened}))
        else:
            print(
                f"{kind:24}{len(local):4}{stopped[0]:8.0f}%{stopped[1]:8.0f}%"
                f"{second:17}{softened:10.0f}%"
            )


def _times(
    runs: dict[str, list[Outcome]], kind: str, mode: str = "local"
) -> tuple[list[float], list[float]]:
    """Milliseconds until an answer was soft, and until it was silent."""
    found = [one for one in runs[mode] if one.sound.kind == kind]
    return _known(one.duck_ms for one in found), _known(one.silence_ms for one in found)


def _known(values: Iterable[float | None]) -> list[float]:
    return [one for one in values if one is not None]


def _away(outcomes: list[Outcome], kind: str) -> list[float]:
    """Milliseconds for which an answer was soft or held and then came back."""
    return [
        float(ms)
        for one in outcomes
        if one.sound.kind == kind and not one.was_stopped
        for ms in one.said.split("|")[1:2]
    ]


def heard(sound: Sound, pair: Hearing) -> Outcome:
    """Let one sound be heard over an answer."""
    pair.pass_ms(400, _room(400))
    pair.give(inputs.TextTyped("Tell me something long."))
    pair.answer(("A long answer. " * 8, ANSWER))
    pair.pass_ms(BEFORE_MS, _room(BEFORE_MS))
    begins = len(pair.speaker) // 2
    asked = len([one for one in pair.jobs if isinstance(one, jobs.Answer)])
    ms = len(sound.samples) // SAMPLES_PER_MS // 20 * 20
    pcm = _in_room(sound.samples[: ms * SAMPLES_PER_MS])
    pair.pass_ms(ms, pcm)
    pair.pass_ms(3500, _room(3500))
    onset = begins + _onset(sound.samples)
    level = np.abs(np.frombuffer(bytes(pair.speaker), "<i2").astype(int))[onset:]
    alarms = [one for one in pair.reports if type(one).__name__ == "FalseAlarmReport"]
    away = "|".join(["", *(str(one.softened_ms) for one in alarms)])  # type: ignore[attr-defined]
    users = [one for one in pair.reports if type(one).__name__ == "UserReport"]
    said = users[-1].text if len(users) > 1 else ""  # type: ignore[attr-defined]
    return Outcome(
        sound,
        was_stopped=any(isinstance(one, BargeInReport) for one in pair.reports),
        answers=len([one for one in pair.jobs if isinstance(one, jobs.Answer)]) - asked,
        duck_ms=_first(level < LOUD // 3),
        silence_ms=_first(level == 0),
        said=said + away,
    )


def _onset(samples: Any) -> int:
    """The first audible sample, clicks left out."""
    loud = np.flatnonzero(np.abs(samples) >= AUDIBLE)
    clicks = np.flatnonzero(np.diff(loud) > _ms(100))
    early = clicks[loud[clicks] - loud[0] < _ms(5)]
    return int(loud[early[0] + 1] if len(early) else loud[0])


def _first(is_so: Any) -> float | None:
    found = np.flatnonzero(is_so)
    return None if not len(found) else float(found[0]) / SAMPLES_PER_MS


# ------------------------------------------------------------------------------------- the sounds

_rng = np.random.default_rng(7)
ANSWER = (_rng.choice((-LOUD, LOUD), 9 * RATE_HZ)).astype("<i2").tobytes()


def _room(ms: int) -> bytes:
    return _in_room(np.zeros(ms * SAMPLES_PER_MS))


def _in_room(samples: Any) -> bytes:
    hiss = _rng.normal(0, 32768 * 10 ** (ROOM_DBFS / 20), len(samples))
    return np.clip(samples + hiss, -32768, 32767).astype("<i2").tobytes()


def _at_level(samples: Any, dbfs: float) -> Any:
    """As loud as that where it is loudest, over 20 ms."""
    squares = np.convolve(np.asarray(samples, float) ** 2, np.ones(480) / 480, "same")
    return samples * (32768 * 10 ** (dbfs / 20) / np.sqrt(squares.max()))


def _shaped(samples: Any, peaks: list[tuple[float, float]], floor: float = 0.03) -> Any:
    """Noise with the resonances of a throat: (Hz, width)."""
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    gain = floor + sum(np.exp(-(((hz - at) / width) ** 2)) for at, width in peaks)
    return np.fft.irfft(spectrum * gain, len(samples))


def _ms(ms: float) -> int:
    return int(ms * SAMPLES_PER_MS)


def cough(rng: Any) -> Any:
    """A burst, a breath through the throat, sometimes with a voice at its end; once to thrice."""
    pieces = []
    for _ in range(rng.integers(1, 4)):
        body = _ms(rng.uniform(120, 320))
        envelope = np.exp(-np.arange(body) / _ms(rng.uniform(50, 110)))
        envelope[: _ms(8)] *= np.linspace(0, 1, _ms(8))
        peaks = [(rng.uniform(350, 700), 250), (rng.uniform(1100, 1900), 400), (3200, 900)]
        sound = _shaped(rng.normal(0, 1, body), peaks) * envelope
        if rng.random() < 0.5:
            hz = rng.uniform(110, 220)
            pulses = (np.arange(body) % int(RATE_HZ / hz) == 0).astype(float)
            tail = _shaped(pulses * 6, peaks) * np.exp(-((np.arange(body) / body - 0.6) ** 2) * 30)
            sound = sound + tail
        pieces += [sound, np.zeros(_ms(rng.uniform(60, 220)))]
    return np.concatenate(pieces)


def clap(rng: Any) -> Any:
    """A click that dies away in a room; once to thrice."""
    pieces = []
    for _ in range(rng.integers(1, 4)):
        body = _ms(250)
        decay = np.exp(-np.arange(body) / _ms(rng.uniform(8, 40)))
        pieces += [_shaped(rng.normal(0, 1, body), [(1800, 1500)], 0.2) * decay]
    return np.concatenate(pieces)


def beep(rng: Any) -> Any:
    body = _ms(rng.uniform(120, 900))
    tone = np.sin(2 * np.pi * rng.uniform(400, 2600) * np.arange(body) / RATE_HZ)
    tone[: _ms(5)] *= np.linspace(0, 1, _ms(5))
    return tone


def hum(rng: Any) -> Any:
    at = np.arange(_ms(rng.uniform(800, 2500))) / RATE_HZ
    base = rng.choice((50.0, 60.0, 100.0, 120.0))
    return sum(np.sin(2 * np.pi * base * k * at) / k for k in (1, 2, 3))


def breath(rng: Any) -> Any:
    body = _ms(rng.uniform(400, 900))
    return _shaped(rng.normal(0, 1, body), [(1500, 1200)]) * np.sin(np.pi * np.arange(body) / body)


def keys(rng: Any) -> Any:
    sound = np.zeros(_ms(1200))
    for start in range(0, _ms(1100), _ms(rng.uniform(90, 160))):
        click = rng.normal(0, 1, _ms(12)) * np.exp(-np.arange(_ms(12)) / _ms(2))
        sound[start : start + len(click)] += click
    return sound


NOISES = {
    "cough": cough, "clap": clap, "beep": beep, "hum": hum, "breath": breath, "keys": keys,
}  # fmt: skip
LEVELS = {"breath": (-44.0, -32.0), "keys": (-38.0, -24.0)}


def noises(each: int) -> list[Sound]:
    """The same ones in every run."""
    found = []
    for number, (kind, make) in enumerate(NOISES.items()):
        for k in range(each):
            rng = np.random.default_rng((number, k))
            level = rng.uniform(*LEVELS.get(kind, (-32.0, -14.0)))
            found.append(Sound(kind, f"{k} at {level:.0f} dBFS", _at_level(make(rng), level)))
    return found


def spoken(each: int, *, also_tuned: bool) -> list[Sound]:
    """Words over an answer: at least `each` of each kind."""
    voice, found = HibariVoice(), []
    names = (*HELD_OUT, *(TUNED_ON if also_tuned else ()))
    rng = np.random.default_rng(3)
    for kind, texts in (("backchannel", BACKCHANNELS), ("stop, wait", INTERRUPTIONS)):
        for k in range(max(each, len(texts)) * (3 if also_tuned else 2)):
            text, name = texts[k % len(texts)], names[(k * 3 + k // len(texts)) % len(names)]
            pcm = b"".join(voice.speak(text, speed=rng.uniform(0.9, 1.2), voice=name))
            level = rng.uniform(-32, -16)
            samples = _at_level(np.frombuffer(pcm, "<i2"), level)
            found.append(Sound(kind, f"{text} {name} at {level:.0f} dBFS", samples))
    for one in clips():
        if one.path.stem in PEOPLE:
            pcm = convert((one.samples() * 32767).astype("<i2").tobytes(), 16_000, RATE_HZ)
            for level in (-30.0, -18.0):
                samples = np.frombuffer(pcm[: len(pcm) // FRAME_BYTES * FRAME_BYTES], "<i2")
                loud = np.flatnonzero(np.abs(samples) > AUDIBLE)[0]
                samples = _at_level(samples[max(0, loud - _ms(100)) :][: _ms(2500)], level)
                found.append(Sound("people", f"{one.path.stem} at {level:.0f} dBFS", samples))
    return found


if __name__ == "__main__":
    main()
