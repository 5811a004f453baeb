import math
from array import array
from itertools import pairwise

import pytest

from voicecli.audio.pcm import unpacked
from voicecli.audio.resample import Resampler, convert

PAIRS = [(24_000, 8_000), (8_000, 24_000), (48_000, 24_000), (24_000, 44_100), (16_000, 24_000)]


def sine(rate_hz, seconds, hz=440.0, amplitude=12_000):
    count = round(rate_hz * seconds)
    step = 2 * math.pi * hz / rate_hz
    return array("h", (round(amplitude * math.sin(step * k)) for k in range(count))).tobytes()


def snr_db(pcm, wanted):
    ours, ideal = unpacked(pcm)[300:-300], unpacked(wanted)[300:-300]
    error = sum((a - b) ** 2 for a, b in zip(ours, ideal, strict=False))
    return 10 * math.log10(sum(b * b for b in ideal) / error)


def in_frames(resampler, pcm):
    size = resampler.from_hz // 50 * 2
    return [resampler.process(pcm[k : k + size]) for k in range(0, len(pcm), size)]


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_stream_keeps_its_waveform_and_its_length(from_hz, to_hz):
    resampler = Resampler(from_hz, to_hz)
    pcm = sine(from_hz, 0.777)
    converted = b"".join(in_frames(resampler, pcm)) + resampler.finish()
    assert len(converted) // 2 == round(len(pcm) // 2 * to_hz / from_hz)
    assert snr_db(converted, sine(to_hz, 0.777)) > 75


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_stream_lags_less_than_three_milliseconds(from_hz, to_hz):
    resampler = Resampler(from_hz, to_hz)
    given = 0
    for number, frame in enumerate(in_frames(resampler, sine(from_hz, 0.4)), 1):
        given += len(frame) // 2
        assert number * 20 - given * 1000 / to_hz < 3


@pytest.mark.parametrize("samples", [0, 1, 7, 479, 481])
def test_short_streams_have_exactly_their_length(samples):
    resampler = Resampler(24_000, 8_000)
    converted = resampler.process(bytes(samples * 2)) + resampler.finish()
    assert len(converted) // 2 == (samples * 2 + 3) // 6


def test_a_resampler_is_as_new_after_its_end():
    resampler = Resampler(24_000, 8_000)
    pcm = sine(24_000, 0.1)
    first = resampler.process(pcm) + resampler.finish()
    assert resampler.process(pcm) + resampler.finish() == first


def test_equal_rates_pass_through_untouched():
    resampler, pcm = Resampler(24_000, 24_000), sine(24_000, 0.1)
    assert resampler.process(pcm) is pcm
    assert resampler.finish() == b""


def test_overshoot_is_clipped_and_does_not_wrap():
    square = (b"\xff\x7f" * 60 + b"\x00\x80" * 60) * 20
    converted = unpacked(Resampler(24_000, 48_000).process(square))
    jumps = max(abs(a - b) for a, b in pairwise(converted))
    assert jumps < 60_000


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_whole_recording_keeps_its_waveform_and_its_length(from_hz, to_hz):
    converted = convert(sine(from_hz, 0.777), from_hz, to_hz)
    assert len(converted) == len(sine(to_hz, 0.777))
    assert snr_db(converted, sine(to_hz, 0.777)) > 75


def test_converting_nothing_gives_nothing():
    assert convert(b"", 48_000, 24_000) == b""
    assert convert(b"\1\0", 24_000, 24_000) == b"\1\0"
