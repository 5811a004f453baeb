"""How loud a microphone is, and what is wrong with its signal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import mul
from typing import Final

from voicecli.audio.pcm import FLOOR_DBFS, unpacked
from voicecli.doctor.findings import Finding
from voicecli.doctor.platforms import input_level, unmute

FULL_SCALE: Final = 32_768
_AT_THE_RAIL: Final = 32_700
"Samples this large are taken for cut off: some converters stop a little below full scale."
_CLIPPED_SHARE: Final = 0.0005
"Less than this is a single click."
_SOFT_DBFS: Final = -55.0
"Speech at an arm's length is 20 dB above this on any microphone whose gain is set right."
_NOTHING_DBFS: Final = -75.0
_NOISY_DBFS: Final = -40.0
_OFFSET_SHARE: Final = 0.01
_QUIET_SHARE: Final = 0.2
"So much of the time nobody speaks, even if somebody does."


@dataclass(frozen=True)
class Reading:
    """What a meter shows after some blocks."""

    samples: int = 0
    peak_dbfs: float = FLOOR_DBFS
    "Of the largest sample."
    loudest_dbfs: float = FLOOR_DBFS
    "Of the loudest block."
    noise_dbfs: float = FLOOR_DBFS
    "Of the quiet blocks."
    clipped_share: float = 0.0
    offset_share: float = 0.0
    "The mean of all samples, of full scale; with its sign."
    is_zero: bool = True
    "There was no sample that is not exactly zero."


class Meter:
    """Adds blocks up; not for the audio thread."""

    def __init__(self) -> None:
        self.last_dbfs = FLOOR_DBFS
        "Of the newest block, without its mean: what a needle shows."
        self._levels: list[float] = []
        self._samples = 0
        self._sum = 0
        self._peak = 0
        self._clipped = 0

    def add(self, pcm: bytes) -> None:
        """One block, PCM16 of any rate and length."""
        samples = unpacked(pcm)
        if not samples:
            return
        low, high, total = min(samples), max(samples), sum(samples)
        self._samples += len(samples)
        self._sum += total
        self._peak = max(self._peak, high, -low)
        if max(high, -low) >= _AT_THE_RAIL:
            self._clipped += sum(abs(one) >= _AT_THE_RAIL for one in samples)
        energy = sum(map(mul, samples, samples)) - total * total / len(samples)
        self.last_dbfs = _dbfs(math.sqrt(max(0.0, energy) / len(samples)))
        self._levels.append(self.last_dbfs)

    def reading(self) -> Reading:
        """Of all blocks so far."""
        if not self._samples:
            return Reading()
        quiet = sorted(self._levels)[int(len(self._levels) * _QUIET_SHARE)]
        return Reading(
            samples=self._samples,
            peak_dbfs=_dbfs(self._peak),
            loudest_dbfs=max(self._levels),
            noise_dbfs=quiet,
            clipped_share=self._clipped / self._samples,
            offset_share=self._sum / self._samples / FULL_SCALE,
            is_zero=self._peak == 0,
        )


def judged(reading: Reading, platform: str, *, was_asked: bool) -> list[Finding]:
    """What to say of a microphone.

    Args:
        reading: of a second or more.
        platform: as `sys.platform`.
        was_asked: somebody was asked to speak meanwhile.
    """
    facts: dict[str, object] = {
        "peak_dbfs": round(reading.peak_dbfs, 1),
        "loudest_dbfs": round(reading.loudest_dbfs, 1),
        "noise_dbfs": round(reading.noise_dbfs, 1),
        "clipped_share": round(reading.clipped_share, 5),
        "offset_share": round(reading.offset_share, 4),
        "is_zero": reading.is_zero,
    }
    if not reading.samples:
        return [Finding("audio", "level", "problem", "the microphone gave nothing", facts=facts)]
    if reading.is_zero:
        words, fixes = unmute(platform)
        told = "exact zeros and nothing else: the microphone is silenced"
        return [Finding("audio", "level", "problem", told, words, fixes, facts)]
    found = [_level(reading, platform, facts, was_asked=was_asked)]
    if abs(reading.offset_share) > _OFFSET_SHARE:
        told = f"the signal is {reading.offset_share:+.1%} of full scale off zero"
        advice = "a fault of the device or its driver, which confuses what looks at levels"
        found.append(Finding("audio", "offset", "warning", told, f"{advice}: try another --mic"))
    if reading.noise_dbfs > _NOISY_DBFS and reading.clipped_share <= _CLIPPED_SHARE:
        told = f"never below {reading.noise_dbfs:.0f} dBFS: that may be taken for speech"
        advice = "a louder threshold, or push to talk with the space bar"
        fixes = ("voicecli talk --threshold 0.8", "voicecli talk --vad none")
        found.append(Finding("audio", "noise", "warning", told, advice, fixes))
    return found


def _level(
    reading: Reading, platform: str, facts: dict[str, object], *, was_asked: bool
) -> Finding:
    if reading.clipped_share > _CLIPPED_SHARE:
        told = f"too loud: {reading.clipped_share:.1%} of the samples are cut off at full scale"
        advice = "turn its gain down"
        fixes = (input_level(platform, 50),)
        return Finding("audio", "level", "warning", told, advice, fixes, facts)
    least = _SOFT_DBFS if was_asked else _NOTHING_DBFS
    if reading.loudest_dbfs < least:
        told = f"very soft: {reading.loudest_dbfs:.0f} dBFS at its loudest"
        advice = "if you spoke meanwhile, turn its gain up; or this is not the microphone you mean"
        louder = (input_level(platform, 90), "voicecli devices")
        return Finding("audio", "level", "warning", told, advice, louder, facts)
    told = f"{reading.loudest_dbfs:.0f} dBFS at its loudest, {reading.noise_dbfs:.0f} when quiet"
    return Finding("audio", "level", "ok", told, facts=facts)


def _dbfs(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20 * math.log10(amplitude / FULL_SCALE)) if amplitude else FLOOR_DBFS
