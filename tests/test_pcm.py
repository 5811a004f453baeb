import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.audio.pcm import (
    FLOOR_DBFS,
    FRAME_BYTES,
    Framer,
    is_digital_silence,
    level_dbfs,
    ms_of_samples,
    packed,
    samples_in,
    samples_of_ms,
    unpacked,
)


def test_milliseconds_are_rounded_down():
    assert [ms_of_samples(n) for n in (0, 23, 24, 479, 480)] == [0, 0, 1, 19, 20]
    assert ms_of_samples(8000, rate_hz=8000) == 1000


def test_samples_of_a_duration():
    assert samples_of_ms(20) == 480
    assert samples_of_ms(0.02) == 0
    assert samples_of_ms(20, rate_hz=8000) == 160


def test_half_a_sample_does_not_count():
    assert samples_in(b"\1\2\3") == 1


def test_samples_are_little_endian():
    assert list(unpacked(b"\x01\x80\xff\x7f")) == [-32767, 32767]
    assert packed(unpacked(b"\x01\x80\xff\x7f")) == b"\x01\x80\xff\x7f"


def test_the_level_of_a_full_scale_square_wave_is_zero():
    assert level_dbfs(b"\x00\x80" * 480) == pytest.approx(0.0)


def test_the_level_of_a_sine_of_a_tenth():
    sine = [int(3276.8 * math.sin(2 * math.pi * k / 48)) for k in range(480)]
    pcm = b"".join(value.to_bytes(2, "little", signed=True) for value in sine)
    assert level_dbfs(pcm) == pytest.approx(-23.0, abs=0.05)


def test_the_level_of_silence_and_of_nothing_is_the_floor():
    assert level_dbfs(bytes(960)) == FLOOR_DBFS
    assert level_dbfs(b"") == FLOOR_DBFS


def test_one_bit_of_noise_is_no_digital_silence():
    assert is_digital_silence(bytes(960))
    assert not is_digital_silence(bytes(958) + b"\1\0")


def test_a_whole_frame_passes_uncopied():
    frame = bytes(range(240)) * 4
    assert Framer().push(frame)[0] is frame


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_frames_are_the_stream_in_order(pieces):
    framer = Framer()
    frames = [frame for piece in pieces for frame in framer.push(piece)] + framer.finish()
    stream = b"".join(pieces)
    whole_samples = stream[: len(stream) // 2 * 2]
    assert all(len(frame) == FRAME_BYTES for frame in frames)
    assert b"".join(frames)[: len(whole_samples)] == whole_samples
    assert not any(b"".join(frames)[len(whole_samples) :])
    assert len(frames) <= len(stream) // FRAME_BYTES + 1


def test_a_framer_that_ended_on_a_frame_has_no_rest():
    framer = Framer()
    framer.push(bytes(FRAME_BYTES))
    assert framer.finish() == []


def test_a_framer_is_as_new_after_its_end():
    framer = Framer(4)
    framer.push(b"\1\1")
    assert framer.finish() == [b"\1\1\0\0"]
    assert framer.push(b"\2\2\2\2") == [b"\2\2\2\2"]
