"""Rooms for tests of echo: how what a speaker plays comes to a microphone."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from helpers_speech import clips

from voicecli.audio.cleaning import Cleaner
from voicecli.audio.echo import EchoMode
from voicecli.audio.pcm import FRAME_BYTES, FRAME_SAMPLES, WIRE_RATE_HZ
from voicecli.audio.resample import convert

BLOCK_SAMPLES = 160
BEGUN_AT = 100.0
PLAYED = (
    "librivox_sense_0870",
    "jfk",
    "forever_2",
    "librivox_sense_0890",
    "something",
    "goforward",
)
"Whose voices an answer has, …"
SAID = ("cards_001", "cards_003", "tidigits_dhd_2934z", "librivox_sense_0880", "cards_005")
"… and whose the user has."


@lru_cache
def voices() -> dict[str, Any]:
    """Every recording of a person, at 24 kHz, by name."""
    found = {}
    for clip in clips():
        pcm = convert((clip.samples() * 32767).astype("<i2").tobytes(), 16_000, WIRE_RATE_HZ)
        found[clip.path.stem] = np.frombuffer(pcm, "<i2").astype(float)
    return found


def levels(samples: Any) -> Any:
    """The root mean square of each 20 ms."""
    whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
    return np.sqrt((samples[:whole].reshape(-1, FRAME_SAMPLES) ** 2).mean(1))


def dbfs(samples: Any) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(samples))) / 32768 + 1e-9))


def at_level(samples: Any, level_dbfs: float) -> Any:
    """As loud as that on average, where it sounds."""
    each = levels(samples)
    return samples * (32768 * 10 ** (level_dbfs / 20) / each[each > each.max() * 0.1].mean())


def from_onset(samples: Any) -> Any:
    """Without what is before the voice."""
    each = levels(samples)
    first = int(np.flatnonzero(each > each.max() * 0.15)[0])
    return samples[max(0, first - 1) * FRAME_SAMPLES :]


def answer(seconds: float, level_dbfs: float = -20.0, seed: int = 0) -> Any:
    """People who speak, with short pauses, one after the other."""
    rng = np.random.default_rng(seed)
    pieces: list[Any] = []
    length, number = 0, seed
    while length < seconds * WIRE_RATE_HZ:
        said = at_level(voices()[PLAYED[number % len(PLAYED)]], level_dbfs)
        pieces += [said, np.zeros(int(rng.uniform(0.2, 0.7) * WIRE_RATE_HZ))]
        length += len(said) + len(pieces[-1])
        number += 1
    return np.concatenate(pieces)[: int(seconds * WIRE_RATE_HZ)]


def echo_of(
    played: Any,
    level_dbfs: float,
    *,
    delay_ms: float = 20.0,
    t60_s: float = 0.25,
    drift_ppm: float = 0.0,
    is_overdriven: bool = False,
    seed: int = 1,
) -> Any:
    """What comes to the microphone of what is played."""
    if not np.isfinite(level_dbfs):
        return np.zeros(len(played))
    rng = np.random.default_rng(seed)
    source = np.tanh(played / 9000) * 9000 if is_overdriven else played
    taps = int(t60_s * WIRE_RATE_HZ)
    room = rng.normal(0, 0.12, taps) * 10 ** (-3 * np.arange(taps) / taps)
    room[0] = 1.0
    room = np.concatenate([np.zeros(int(delay_ms * WIRE_RATE_HZ / 1000)), room])
    size = 1 << (len(source) + len(room)).bit_length()
    heard = np.fft.irfft(np.fft.rfft(source, size) * np.fft.rfft(room, size), size)[: len(source)]
    if drift_ppm:
        at = np.arange(len(heard)) * (1 + drift_ppm * 1e-6)
        heard = np.interp(at, np.arange(len(heard)), heard)
    return at_level(heard, level_dbfs)


def hiss(samples: int, level_dbfs: float = -60.0, seed: int = 3) -> Any:
    return np.random.default_rng(seed).normal(0, 32768 * 10 ** (level_dbfs / 20), samples)


def pcm(samples: Any) -> bytes:
    return bytes(np.clip(samples, -32768, 32767).astype("<i2").tobytes())


class Room:
    """A microphone beside a speaker, through a cleaner, with the times that devices give.

    Args:
        mode: how echo is kept out.
        latency_s: how far ahead of the sound the speaker is given it.
        tremble_s: by how much the times of capture are off, either way.
    """

    def __init__(
        self,
        mode: EchoMode = "aec",
        *,
        latency_s: float = 0.05,
        tremble_s: float = 0.01,
        **settings: Any,
    ) -> None:
        self.cleaner = Cleaner(mode, **settings)
        self.cleaner.speaker_changed(WIRE_RATE_HZ)
        self._latency_s = latency_s
        self._tremble_s = tremble_s
        self._rng = np.random.default_rng(11)
        self.alarms: list[float] = []
        "When the watch raised its voice, in seconds."

    def hear(
        self,
        played: Any,
        captured: Any,
        *,
        lost: tuple[float, float] | None = None,
        is_told: bool = True,
        is_another: bool = False,
    ) -> Any:
        """Let both go on for as long as they are; gives what is sent.

        Args:
            played: what the speaker is given.
            captured: what comes to the microphone at the same time.
            lost: from when until when the device loses what is captured, in seconds.
            is_told: whether it says so.
            is_another: whether it is another device then.
        """
        out, near = pcm(played), pcm(captured)
        sent, block_bytes, given = [], BLOCK_SAMPLES * 2, 0
        for start in range(0, len(near) // FRAME_BYTES * FRAME_BYTES, FRAME_BYTES):
            at = start / 2 / WIRE_RATE_HZ
            while given / 2 / WIRE_RATE_HZ < at + self._latency_s + 0.02 and given < len(out):
                block = out[given : given + block_bytes].ljust(block_bytes, b"\0")
                self.cleaner.played(block, BEGUN_AT + given / 2 / WIRE_RATE_HZ)
                given += block_bytes
            if lost is not None and lost[0] <= at < lost[1]:
                sent.append(bytes(FRAME_BYTES))
                continue
            if lost is not None and at >= lost[1]:
                if is_another:
                    self.cleaner.microphone_changed()
                elif is_told:
                    self.cleaner.capture_broke()
                lost = None
            adc_at = BEGUN_AT + at + self._tremble_s * self._rng.choice((-1, 1))
            knew = self.cleaner.has_found_echo
            sent.append(self.cleaner.cleaned(near[start : start + FRAME_BYTES], adc_at))
            if self.cleaner.has_found_echo and not knew:
                self.alarms.append(at)
        return np.frombuffer(b"".join(sent), "<i2").astype(float)
