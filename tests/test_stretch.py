"""Faster and slower with the same pitch."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from voicecli.audio.resample import convert
from voicecli.audio.stretch import Stretcher

RATE_HZ = 24_000
SPEEDS = [0.5, 0.75, 1.25, 1.5, 2.0, 3.0, 8.0]


def sine(hz: float, seconds: float = 4.0) -> bytes:
    t = np.arange(round(RATE_HZ * seconds)) / RATE_HZ
    return (8000 * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes()


def speech() -> bytes:
    path = Path(__file__).parent / "data" / "speech" / "jfk.wav"
    with wave.open(str(path)) as wav:
        return convert(wav.readframes(wav.getnframes()), wav.getframerate(), RATE_HZ)


def stretched(pcm: bytes, speed: float, block: int = 960) -> np.ndarray:
    stretcher = Stretcher(speed)
    pieces = [stretcher.push(pcm[at : at + block]) for at in range(0, len(pcm), block)]
    return np.frombuffer(b"".join([*pieces, stretcher.finish()]), "<i2").astype(float)


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_length_is_that_of_the_input_divided_by_the_speed(speed: float) -> None:
    pcm = sine(200, 3.3)
    assert len(stretched(pcm, speed)) == round(len(pcm) / 2 / speed)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("hz", [95.0, 220.0, 1000.0])
def test_the_pitch_of_a_tone_is_kept(speed: float, hz: float) -> None:
    middle = stretched(sine(hz), speed)[1200:-1200]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2**19))
    assert np.argmax(spectrum) * RATE_HZ / 2**19 == pytest.approx(hz, abs=max(1.5, hz * 0.005))


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_tone_neither_clicks_nor_drops_out(speed: float) -> None:
    middle = stretched(sine(220), speed)[480:-1200]
    steepest = 8000 * 2 * np.pi * 220 / RATE_HZ
    assert np.abs(np.diff(middle)).max() < steepest * 1.02
    loud = np.sqrt(np.mean(middle[: len(middle) // 480 * 480].reshape(-1, 480) ** 2, axis=1))
    assert loud.min() > 8000 / np.sqrt(2) * 0.9


@pytest.mark.parametrize("speed", [0.5, 1.5, 2.0])
def test_speech_stays_as_loud_and_where_it_was(speed: float) -> None:
    pcm = speech()
    before = np.frombuffer(pcm, "<i2").astype(float)
    after = stretched(pcm, speed)
    hop = round(0.1 * RATE_HZ)
    loudness = [
        np.sqrt(np.mean(samples[: len(samples) // step * step].reshape(-1, step) ** 2, axis=1))
        for samples, step in ((before, hop), (after, round(hop / speed)))
    ]
    count = min(map(len, loudness))
    assert np.corrcoef(loudness[0][:count], loudness[1][:count])[0, 1] > 0.97  # 0.99 measured
    assert np.abs(after).max() <= np.abs(before).max() * 1.1


def test_at_its_own_speed_sound_is_not_touched() -> None:
    stretcher = Stretcher(1.0)
    pcm = speech()[:9601]
    assert stretcher.push(pcm) == pcm
    assert stretcher.finish() == b""


def test_the_size_of_the_blocks_makes_no_difference() -> None:
    pcm = speech()[: 2 * RATE_HZ * 2]
    assert np.array_equal(stretched(pcm, 1.5, 960), stretched(pcm, 1.5, 7000))


def test_it_keeps_no_more_than_it_needs() -> None:
    stretcher = Stretcher(2.0)
    for _ in range(50):
        stretcher.push(sine(220, 1.0))
    assert stretcher._input is not None
    assert len(stretcher._input) < 3 * RATE_HZ // 10


@pytest.mark.parametrize("speed", [0.0, -1.0])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Stretcher(speed)


def test_nothing_gives_nothing() -> None:
    assert Stretcher(2.0).finish() == b""
