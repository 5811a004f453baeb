"""Both sides of a talk as one sound: where each sample lies, and the files that hold it."""

from __future__ import annotations

import io
import signal
import struct
import sys
import tracemalloc
import wave
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
from helpers_recording import LATENCY_S, Exchange, Maker, make_recording, spoken_frames
from numpy.typing import NDArray

from voicecli.audio.pcm import FRAME_SAMPLES, WIRE_RATE_HZ
from voicecli.audio.wav import decode_wav
from voicecli.errors import ConfigError, RecordingError
from voicecli.recording.export.files import (
    Followed,
    flac_chunks,
    wav_chunks,
    write_flac,
    write_wav,
)
from voicecli.recording.export.flac import flac_encoder
from voicecli.recording.export.mixdown import Layout, TimeLine, laid_out, mixdown
from voicecli.recording.export.riff import HEADER_BYTES, LARGEST_RIFF, wav_header
from voicecli.recording.files import Recording
from voicecli.recording.format import Header, encode_header, line
from voicecli.recording.heard import Piece, Side

TURNS = [Exchange(1.0, 4000, cut_after_ms=1000), Exchange(5.0, 2000)]


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    made = Maker(tmp_path_factory.mktemp("audio") / "made", keeps_played=True)
    made.talk(12.0, TURNS)
    return made


@pytest.fixture
def recording(maker):
    with Followed.open(maker.path) as opened:
        yield opened


def stereo(recording: Recording) -> NDArray[np.int16]:
    return np.frombuffer(b"".join(mixdown(recording, "stereo")), "<i2").reshape(-1, 2)


def test_the_right_channel_is_what_left_the_speaker_sample_by_sample(maker, recording):
    played = np.frombuffer(bytes(maker.played), "<i2")
    right = stereo(recording)[:, 1]
    latency = round(LATENCY_S * WIRE_RATE_HZ)
    assert np.any(played)
    assert np.array_equal(right[latency : len(played)], played[: len(played) - latency])


def test_the_left_channel_is_what_the_microphone_gave_where_it_was_spoken(recording):
    left = stereo(recording)[:, 0]
    spoken = np.frombuffer(b"".join(spoken_frames()), "<i2")
    for turn in TURNS:
        start = round(turn.begins_at * WIRE_RATE_HZ)
        near = [start + step * FRAME_SAMPLES for step in range(-10, 10)]
        assert any(np.array_equal(left[at : at + len(spoken)], spoken) for at in near)


def test_the_sound_is_as_long_as_the_talk(recording):
    assert len(stereo(recording)) == pytest.approx(recording.duration_s * WIRE_RATE_HZ, abs=1)


def test_an_hour_in_which_nothing_happens_is_laid_out_in_blocks(tmp_path):
    header = Header(created="c", program="p", server="s", settings={})
    lines = [encode_header(header), line(1.0, "woke"), line(3601.0, "woke")]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    with Recording.open(tmp_path) as recording:
        sizes = [len(block) for block in mixdown(recording, "stereo")]
    assert max(sizes) <= 4 * WIRE_RATE_HZ
    assert sum(sizes) == 4 * WIRE_RATE_HZ * 3601


def encode(recording: Recording, stream: io.BytesIO, written: list[int]) -> None:
    with flac_encoder(stream, 2, 0.5) as write:
        for block in mixdown(recording, "stereo"):
            write(block)
            written.append(len(block))


class _Full(io.BytesIO):
    """A stream on a disk that is full after a while."""

    def write(self, content: Any) -> int:
        if self.tell() + len(content) > 3000:
            raise OSError(28, "No space left on device")
        return super().write(content)


def test_a_full_disk_ends_flac_with_what_is_wrong_and_nothing_is_printed(recording, capfd):
    with pytest.raises(OSError, match="No space left on device"):
        encode(recording, _Full(), [])
    assert capfd.readouterr().err == ""


class _Interrupted(io.BytesIO):
    """A stream at which Ctrl-C comes while it is written to."""

    writes = 0

    def write(self, content: Any) -> int:
        self.writes += 1
        if self.writes == 30:
            signal.raise_signal(signal.SIGINT)
        return super().write(content)


def test_an_interrupt_within_the_library_is_not_lost_and_leaves_a_valid_file(recording, capfd):
    stream = _Interrupted()
    blocks: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        encode(recording, stream, blocks)
    assert 0 < len(blocks) < recording.duration_s - 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capfd.readouterr().err == ""
    sound, _ = soundfile.read(io.BytesIO(stream.getvalue()))
    assert len(sound) == (len(blocks) + 1) * WIRE_RATE_HZ


def test_one_side_alone_and_both_mixed_come_of_the_same_samples(recording):
    both = stereo(recording).astype(np.int32)

    def mono(layout: Layout) -> NDArray[np.int16]:
        return np.frombuffer(b"".join(mixdown(recording, layout)), "<i2")

    assert np.array_equal(mono("user"), both[:, 0])
    assert np.array_equal(mono("assistant"), both[:, 1])
    assert np.array_equal(mono("mono"), np.clip(both.sum(axis=1), -32768, 32767))


def test_a_mix_that_is_too_loud_is_held_within_16_bits():
    line = TimeLine()
    for side in get_args(Side):
        line.add(Piece(side, 0, struct.pack("<2h", 30_000, -30_000)))
    assert laid_out(line.taken(2), "mono") == struct.pack("<2h", 32767, -32768)


def test_pieces_lie_where_they_belong_in_whatever_order_they_come():
    line = TimeLine()
    line.add(Piece("assistant", 4, struct.pack("<2h", 5, 6)))
    line.add(Piece("user", -1, struct.pack("<3h", 9, 1, 2)))
    line.add(Piece("assistant", 1, struct.pack("<h", 3)))
    assert list(line.taken(3)["user"]) == [1, 2, 0]
    line.add(Piece("user", 2, struct.pack("<2h", 7, 8)))
    (rest,) = line.rest(7)
    assert list(rest["user"]) == [8, 0, 0, 0]
    assert list(rest["assistant"]) == [0, 5, 6, 0]


def test_memory_does_not_grow_with_the_talk(tmp_path):
    peaks = []
    for seconds in (60, 240):
        with Recording.open(make_recording(tmp_path / str(seconds), seconds)) as recording:
            tracemalloc.start()
            total = sum(len(block) for block in mixdown(recording, "stereo"))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert total == pytest.approx(seconds * WIRE_RATE_HZ * 4, rel=0.01)
    assert peaks[1] < peaks[0] * 1.2


# ---------------------------------------------------------------------------------------- the files


def test_a_wav_file_is_read_by_others(recording, tmp_path):
    path = tmp_path / "talk.wav"
    write_wav(path, recording, "stereo", force=False)
    with wave.open(str(path)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (2, 2, WIRE_RATE_HZ)
        frames = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == WIRE_RATE_HZ
    assert np.array_equal(samples, frames)
    assert np.array_equal(frames, stereo(recording))


def test_a_wav_file_is_valid_wherever_its_writing_is_interrupted(recording, tmp_path):
    path = tmp_path / "talk.wav"
    sizes: list[int] = []

    def look(_: float) -> None:
        if path.exists() and path.stat().st_size:
            with wave.open(str(path)) as wav:
                sizes.append(wav.getnframes())
                assert path.stat().st_size == HEADER_BYTES + 4 * wav.getnframes()
            if len(sizes) > 500:
                raise KeyboardInterrupt

    recording.follow = look
    with pytest.raises(KeyboardInterrupt):
        write_wav(path, recording, "stereo", force=False)
    recording.follow = lambda _: None
    assert 0 < sizes[-1] < recording.duration_s * WIRE_RATE_HZ
    assert all(one <= other for one, other in pairwise(sizes))
    whole = stereo(recording)
    with wave.open(str(path)) as wav:
        frames = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
    assert np.array_equal(frames, whole[: len(frames)])


def test_a_wav_file_in_a_pipe_goes_on_to_its_end(recording):
    piped = b"".join(wav_chunks(recording, "user"))
    assert decode_wav(piped).pcm == b"".join(mixdown(recording, "user"))


@pytest.mark.parametrize("data_bytes", [0, 4, LARGEST_RIFF - HEADER_BYTES + 8])
def test_up_to_four_gigabytes_the_header_is_riff(data_bytes):
    header = wav_header(2, data_bytes)
    assert len(header) == HEADER_BYTES
    name, size, kind = struct.unpack_from("<4sI4s", header)
    assert (name, size, kind) == (b"RIFF", HEADER_BYTES - 8 + data_bytes, b"WAVE")
    assert header.endswith(struct.pack("<4sI", b"data", data_bytes))


def test_beyond_four_gigabytes_the_header_is_rf64():
    data_bytes = 5 * 2**30
    header = wav_header(2, data_bytes)
    assert len(header) == HEADER_BYTES
    assert struct.unpack_from("<4sI4s", header) == (b"RF64", 0xFFFFFFFF, b"WAVE")
    name, size, riff, data, samples, table = struct.unpack_from("<4sIQQQI", header, 12)
    assert (name, size, table) == (b"ds64", 28, 0)
    assert (riff, data, samples) == (HEADER_BYTES - 8 + data_bytes, data_bytes, data_bytes // 4)


def test_others_read_such_a_large_file(tmp_path):
    path = tmp_path / "large.wav"
    data_bytes = LARGEST_RIFF - LARGEST_RIFF % 4 + 4 * WIRE_RATE_HZ
    with path.open("wb") as file:
        file.write(wav_header(2, data_bytes))
        # A hole: it takes no room on the disk.
        file.truncate(HEADER_BYTES + data_bytes)
    assert soundfile.info(path).frames == data_bytes // 4


def test_flac_holds_the_same_samples(recording, tmp_path):
    path = tmp_path / "talk.flac"
    write_flac(path, recording, "stereo", force=False)
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == WIRE_RATE_HZ
    assert np.array_equal(samples, stereo(recording))
    piped, _ = soundfile.read(io.BytesIO(b"".join(flac_chunks(recording, "user"))), dtype="int16")
    assert np.array_equal(piped, samples[:, 0])


def test_without_the_library_flac_says_how_to_get_it(recording, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ConfigError) as caught:
        write_flac(tmp_path / "talk.flac", recording, "stereo", force=False)
    assert "pip install" in caught.value.hint
    assert not (tmp_path / "talk.flac").exists()


@pytest.mark.parametrize("write", [write_wav, write_flac])
def test_a_file_that_is_there_is_written_over_only_when_that_is_wanted(recording, tmp_path, write):
    path = tmp_path / "there"
    path.write_bytes(b"precious")
    with pytest.raises(RecordingError, match="there already"):
        write(path, recording, "user", force=False)
    assert path.read_bytes() == b"precious"
    write(path, recording, "user", force=True)
    assert path.stat().st_size > 8


def test_what_was_not_kept_is_silence(tmp_path):
    path = Maker(tmp_path / "made", audio="none").talk(6.0, [Exchange(1.0, 2000)])
    with Recording.open(path) as recording:
        sound = stereo(recording)
        assert len(sound) == pytest.approx(recording.duration_s * WIRE_RATE_HZ, abs=1)
        assert not np.any(sound)
