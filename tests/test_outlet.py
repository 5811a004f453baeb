"""What a device of another rate gets, and when each sample of it leaves."""

import numpy as np
import pytest

from voicecli.audio.outlet import Outlet
from voicecli.audio.resample import convert


class Source:
    """Sound after some silence; keeps what it was asked for."""

    def __init__(self, pcm):
        self._pcm = pcm
        self._position = 0
        self.asked = []

    def __call__(self, samples, at):
        self.asked.append((self._position, samples, at))
        piece = self._pcm[self._position * 2 : (self._position + samples) * 2]
        self._position += samples
        return piece.ljust(samples * 2, b"\0")


def speech_like(samples):
    at = np.arange(samples) / 24_000
    loudness = np.hanning(samples)
    wave = 8000 * np.sin(880 * np.pi * at) + 3000 * np.sin(2460 * np.pi * at)
    return (loudness * wave).astype("<i2").tobytes()


def played(outlet, source, blocks, samples):
    return b"".join(
        outlet.take(samples, number * samples / outlet.rate_hz, source) for number in range(blocks)
    )


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 48_000])
def test_a_device_of_another_rate_gets_the_same_sound_at_the_same_time(rate_hz):
    source = Source(speech_like(12_000))
    heard = np.frombuffer(played(Outlet(rate_hz), source, 100, rate_hz // 150), "<i2")
    wanted = np.frombuffer(convert(speech_like(12_000), 24_000, rate_hz), "<i2")
    errors = heard[: len(wanted)].astype(float) - wanted
    assert np.sqrt(np.mean(errors**2)) < 2
    sounding = [(position, at) for position, _, at in source.asked if position < 12_000]
    assert max(abs(position / 24_000 - at) for position, at in sounding) < 1e-6
    assert len(source.asked) < 103  # it looks ahead once, and then takes what it gives


def test_after_silence_the_sound_begins_with_the_block_in_which_it_comes():
    outlet = Outlet(48_000)
    assert played(outlet, Source(b""), 10, 320) == bytes(6400)
    source = Source(speech_like(2400))
    first = outlet.take(320, 7.0, source)
    assert any(first)
    assert source.asked[0] == (0, 160, 7.0)
    assert [at for _, _, at in source.asked] == sorted(at for _, _, at in source.asked)


def test_a_device_of_24_khz_gets_it_as_it_is():
    source = Source(speech_like(480))
    assert Outlet(24_000).take(480, 1.5, source) == speech_like(480)
    assert source.asked == [(0, 480, 1.5)]
