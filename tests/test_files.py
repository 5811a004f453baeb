import asyncio
import io
import os
import struct
import subprocess
import sys
import threading
import wave
from itertools import pairwise

import numpy as np
import pytest
from helpers_loop import clock, run, stall

from voicecli.audio.files import (
    NullSpeaker,
    PipeMicrophone,
    PipeSpeaker,
    SilentMicrophone,
    WavMicrophone,
    WavSpeaker,
)
from voicecli.audio.pcm import FRAME_BYTES, SILENT_FRAME, unpacked
from voicecli.audio.playback import Drained, Emitted, Finished, Heard, Started
from voicecli.audio.ports import Failed
from voicecli.audio.wav import decode_wav
from voicecli.errors import AudioDeviceError


def loud(samples, value=1000):
    return value.to_bytes(2, "little", signed=True) * samples


def wav_bytes(samples, rate_hz, channels=1, width=2):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate_hz)
        writer.writeframes(samples)
    return file.getvalue()


def written(path):
    with wave.open(str(path)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (
            24_000, 1, 2,
        )  # fmt: skip
        return reader.readframes(reader.getnframes())


# --- WAV ----------------------------------------------------------------------------------------


def test_every_width_of_wav_reads_alike():
    levels = [0, 0.5, -0.5, 0.25]
    eight = bytes(int(128 + 128 * level) for level in levels)
    sixteen = struct.pack("<4h", *(int(32768 * level) for level in levels))
    twenty_four = b"".join(
        int(8388608 * level).to_bytes(3, "little", signed=True) for level in levels
    )
    thirty_two = struct.pack("<4i", *(int(2147483648 * level) for level in levels))
    wanted = [0, 16384, -16384, 8192]
    for width, body in enumerate((eight, sixteen, twenty_four, thirty_two), 1):
        sound = decode_wav(wav_bytes(body, 24_000, width=width))
        assert list(unpacked(sound.pcm)) == wanted


def test_floats_and_the_extensible_header_are_read():
    body = struct.pack("<3f", 0.5, -2.0, float("nan"))
    header = struct.pack("<HHIIHHHHIH14x", 0xFFFE, 1, 8000, 32000, 4, 32, 22, 32, 4, 3)
    chunks = b"fmt " + struct.pack("<I", len(header)) + header
    chunks += b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"data" + struct.pack("<I", 12) + body
    sound = decode_wav(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    assert (sound.rate_hz, list(unpacked(sound.pcm))) == (8000, [16384, -32768, 0])


def test_channels_are_averaged():
    sound = decode_wav(wav_bytes(struct.pack("<4h", 100, 300, -10, -30), 24_000, channels=2))
    assert list(unpacked(sound.pcm)) == [200, -20]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 5000])
def test_a_wav_whose_writer_died_gives_what_there_is(size):
    whole = wav_bytes(loud(100), 24_000)
    torn = whole[:40] + struct.pack("<I", size) + whole[44:]
    assert decode_wav(torn).pcm == loud(100)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"OggS" + bytes(50), "not a WAV"),
        (b"RIFF\0\0\0\0WAVE", "without audio"),
        (b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 4) + bytes(4), "damaged"),
        (
            b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 6, 1, 8000, 8000, 1, 8),
            "encoding 6",
        ),
        (
            b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 0, 8000, 8000, 1, 8),
            "damaged",
        ),
    ],
)
def test_what_is_no_readable_wav_says_why(contents, message):
    with pytest.raises(ValueError, match=message):
        decode_wav(contents)


# --- microphones --------------------------------------------------------------------------------


def delivered_by(microphone, seconds):
    async def main():
        frames, times = [], []

        def deliver(frame):
            frames.append(frame)
            times.append(clock())

        await microphone.start(deliver)
        await asyncio.sleep(seconds)
        await microphone.close()
        await asyncio.sleep(1)
        return frames, times

    return run(main)


def test_silence_comes_every_twenty_milliseconds_without_drift():
    microphone = SilentMicrophone()
    frames, times = delivered_by(microphone, 60.01)
    assert frames == [SILENT_FRAME] * 3000
    assert all(later - earlier == pytest.approx(0.02) for earlier, later in pairwise(times))
    assert times[-1] - times[0] == pytest.approx(2999 * 0.02)
    assert not microphone.silent
    assert not microphone.ended


def test_a_wav_is_spoken_once_and_silence_follows(tmp_path):
    path = tmp_path / "word.wav"
    path.write_bytes(wav_bytes(loud(1000), 24_000))
    microphone = WavMicrophone(path)
    assert not microphone.ended
    frames, _ = delivered_by(microphone, 0.21)
    assert b"".join(frames) == loud(1000).ljust(10 * FRAME_BYTES, b"\0")
    assert microphone.ended
    assert not microphone.silent


def test_a_wav_of_another_rate_keeps_its_length(tmp_path):
    path = tmp_path / "word.wav"
    path.write_bytes(wav_bytes(loud(8000), 8_000))
    frames, _ = delivered_by(WavMicrophone(path), 1.5)
    sounding = np.flatnonzero(np.frombuffer(b"".join(frames), "<i2"))
    assert sounding[-1] + 1 == pytest.approx(24_000, abs=2)


def test_a_missing_or_broken_wav_is_told(tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no")
    with pytest.raises(AudioDeviceError, match="No such file"):
        delivered_by(WavMicrophone(tmp_path / "none.wav"), 1)
    with pytest.raises(AudioDeviceError, match="not a WAV"):
        delivered_by(WavMicrophone(broken), 1)


@pytest.mark.parametrize(("stalled_s", "dropped"), [(0.5, 0), (3.0, 100)])
def test_after_a_stall_at_most_a_second_is_caught_up(stalled_s, dropped):
    async def main():
        microphone, frames = SilentMicrophone(), []
        await microphone.start(frames.append)
        await asyncio.sleep(0.1)
        stall(stalled_s)
        await asyncio.sleep(0.105)
        await microphone.close()
        return microphone.dropped_frames, len(frames) + microphone.dropped_frames

    assert run(main) == (pytest.approx(dropped, abs=1), int((0.205 + stalled_s) * 50))


def test_closing_from_within_a_delivery_ends_it():
    async def main():
        microphone, frames, closing = SilentMicrophone(), [], []

        def deliver(frame):
            frames.append(frame)
            closing.append(asyncio.ensure_future(microphone.close()))

        await microphone.start(deliver)
        await asyncio.sleep(1)
        await asyncio.gather(*closing)
        return len(frames)

    assert run(main) == 1


def test_a_pipe_is_delivered_whole_and_then_ends():
    speech = b"".join(loud(480, 1 + k) for k in range(120)) + loud(100)

    async def main():
        microphone, frames = PipeMicrophone(io.BytesIO(speech)), []
        await microphone.start(frames.append)
        while not microphone.ended:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        count = len(frames)
        await asyncio.sleep(0.1)
        await microphone.close()
        return [frame for frame in frames if frame != SILENT_FRAME], frames[count:]

    sounding, after = run(main)
    assert b"".join(sounding) == speech.ljust(121 * FRAME_BYTES, b"\0")
    assert after == [SILENT_FRAME] * 5


class DryPipe(io.RawIOBase):
    """Gives nothing until released, then ends."""

    def __init__(self):
        self.released = threading.Event()

    def read(self, size=-1):
        self.released.wait(10)
        return b""


def test_a_pipe_that_gives_nothing_counts_as_silence_after_a_tenth_of_a_second():
    async def main():
        pipe, frames = DryPipe(), []
        microphone = PipeMicrophone(pipe)
        await microphone.start(frames.append)
        await asyncio.sleep(0.41)
        await microphone.close()
        pipe.released.set()
        return frames, microphone.ended

    frames, ended = run(main)
    assert frames == [SILENT_FRAME] * 15
    assert not ended


# --- speakers -----------------------------------------------------------------------------------


def test_a_file_speaker_reports_exact_times():
    async def main():
        speaker, reports = NullSpeaker(clock=clock), []
        await speaker.start(reports.append)
        begun = clock()
        await asyncio.sleep(0.5)
        speaker.play("a", 0, loud(2400))
        speaker.play("a", 1, loud(1200))
        speaker.finish("a", 1)
        assert speaker.pending_ms == 150
        await asyncio.sleep(1)
        assert speaker.pending_ms == 0
        await speaker.close()
        return begun, reports

    begun, reports = run(main)
    assert reports == [
        Started("a", 0, pytest.approx(begun + 0.5, abs=1e-4)),
        Finished("a", 0, pytest.approx(begun + 0.6, abs=1e-4)),
        Emitted("a", 0, 0, 2400, pytest.approx(begun + 0.5, abs=1e-4)),
        Started("a", 1, pytest.approx(begun + 0.6, abs=1e-4)),
        Finished("a", 1, pytest.approx(begun + 0.65, abs=1e-4)),
        Emitted("a", 1, 0, 1200, pytest.approx(begun + 0.6, abs=1e-4)),
        Drained(pytest.approx(begun + 0.65, abs=1e-4)),
    ]


def test_a_part_finished_after_it_was_heard_is_told_at_once():
    async def main():
        speaker, reports = NullSpeaker(clock=clock), []
        await speaker.start(reports.append)
        speaker.play("a", 0, loud(2400))
        await asyncio.sleep(0.5)
        reports.clear()
        speaker.finish("a", 0)
        await asyncio.sleep(0.001)
        await speaker.close()
        return reports

    assert [type(report) for report in run(main)] == [Finished]


def test_what_is_held_waits_and_goes_on_with_the_next_sample(tmp_path):
    path = tmp_path / "out.wav"

    async def main():
        speaker, reports = WavSpeaker(path, clock=clock), []
        await speaker.start(reports.append)
        speaker.play("a", 0, loud(12_000))
        speaker.finish("a", 0)
        await asyncio.sleep(0.2)
        speaker.set_gain(0.0)
        await asyncio.sleep(1.0)
        (held,) = speaker.heard()
        speaker.set_gain(1.0)
        await asyncio.sleep(0.5)
        await speaker.close()
        return held, reports

    held, reports = run(main)
    assert held.emitted_samples == pytest.approx(4920, abs=1)
    assert sum(one.samples for one in reports if isinstance(one, Emitted)) == 12_000
    assert [one for one in reports if isinstance(one, Finished)]
    samples = np.frombuffer(written(path), "<i2")
    silent = np.diff(np.flatnonzero(samples)).max()
    assert silent == pytest.approx(24_000 - 120, abs=10)


def test_stopping_cuts_exactly_now(tmp_path):
    path = tmp_path / "out.wav"

    async def main():
        speaker = WavSpeaker(path, clock=clock)
        await speaker.start(lambda report: None)
        await asyncio.sleep(0.25)
        speaker.play("a", 0, loud(24_000))
        speaker.play("b", 0, loud(24_000))
        await asyncio.sleep(0.1231)
        heard = speaker.heard()
        stopped = speaker.stop()
        await asyncio.sleep(0.4)
        await speaker.close()
        return heard, stopped

    heard, stopped = run(main)
    assert heard == [Heard("a", 0, 24_000, pytest.approx(2954, abs=1)), Heard("b", 0, 24_000, 0)]
    assert stopped[0].emitted_samples == heard[0].emitted_samples + 96
    assert stopped[1] == Heard("b", 0, 24_000, 0)
    samples = np.frombuffer(written(path), "<i2")
    sounding = np.flatnonzero(samples)
    assert sounding[0] == pytest.approx(6000, abs=1)
    assert sounding[-1] + 1 - sounding[0] == pytest.approx(stopped[0].emitted_samples, abs=1)
    assert len(samples) == pytest.approx(0.7731 * 24_000, abs=2)


def test_the_file_is_valid_while_it_is_written(tmp_path):
    path = tmp_path / "out.wav"

    async def main():
        speaker = WavSpeaker(path, clock=clock)
        await speaker.start(lambda report: None)
        speaker.play("a", 0, loud(24_000))
        await asyncio.sleep(0.501)
        contents = written(path)
        await speaker.close()
        await speaker.close()
        return contents

    contents = run(main)
    assert contents == loud(len(contents) // 2)
    assert len(contents) > 0.45 * 48_000


def test_a_long_stall_is_played_in_full(tmp_path):
    path = tmp_path / "out.wav"

    async def main():
        speaker = WavSpeaker(path, clock=clock)
        await speaker.start(lambda report: None)
        speaker.play("a", 0, loud(24_000 * 5))
        stall(7)
        await asyncio.sleep(0.1)
        await speaker.close()

    run(main)
    assert written(path).rstrip(b"\0") == loud(24_000 * 5).rstrip(b"\0")


def test_a_wav_that_cannot_be_made_is_told(tmp_path):
    async def main():
        await WavSpeaker(tmp_path / "none" / "out.wav").start(lambda report: None)

    with pytest.raises(AudioDeviceError, match="cannot write"):
        run(main)


class FullDisk(io.BytesIO):
    def write(self, contents):
        raise OSError(28, "No space left on device")


def test_a_failing_pipe_is_told_once_and_the_ledger_goes_on():
    async def main():
        speaker, reports = PipeSpeaker(FullDisk(), clock=clock), []
        await speaker.start(reports.append)
        (writer,) = (one for one in threading.enumerate() if one.name == "pipe-speaker")
        speaker.play("a", 0, loud(48_000))
        await asyncio.sleep(0.1)
        writer.join(10)  # the loop's time flies, the thread's does not
        while not any(isinstance(report, Failed) for report in reports):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        speaker.play("b", 0, loud(480))
        stopped = speaker.stop()
        await speaker.close()
        return reports, stopped

    reports, stopped = run(main)
    (failure,) = [report for report in reports if isinstance(report, Failed)]
    assert "No space left" in failure.message
    assert stopped[-1].item_id == "b"


def test_a_pipe_gets_what_is_heard_with_its_pauses():
    async def main():
        sink = io.BytesIO()
        speaker = PipeSpeaker(sink, clock=clock)
        await speaker.start(lambda report: None)
        await asyncio.sleep(0.2)
        speaker.play("a", 0, loud(480))
        await asyncio.sleep(0.3)
        await speaker.close()
        return sink.getvalue()

    samples = np.frombuffer(run(main), "<i2")
    assert list(np.flatnonzero(samples)) == list(range(4800, 5280))
    assert len(samples) == pytest.approx(12_000, abs=2)


class StuckPipe(io.RawIOBase):
    def __init__(self):
        self.released = threading.Event()

    def write(self, contents):
        self.released.wait(10)
        return len(contents)


def test_a_reader_two_seconds_behind_counts_as_gone():
    async def main():
        pipe, reports = StuckPipe(), []
        speaker = PipeSpeaker(pipe, clock=clock)
        await speaker.start(reports.append)
        speaker.play("a", 0, loud(24_000 * 4))
        await asyncio.sleep(4)
        pipe.released.set()
        await speaker.close()
        return reports

    assert Failed("cannot write the speaker's audio: the reader of the pipe does not keep up") in (
        run(main)
    )


def test_a_pipe_that_stays_open_and_silent_does_not_keep_the_program():
    """A thread that waits inside of `sys.stdin.buffer` made the interpreter abort at its end."""
    program = (
        "import asyncio, sys\n"
        "from voicecli.audio.files import PipeMicrophone\n"
        "async def main():\n"
        "    microphone = PipeMicrophone(sys.stdin.buffer)\n"
        "    await microphone.start(lambda frame: None)\n"
        "    await microphone.close()\n"
        "asyncio.run(main())\n"
    )
    reading, writing = os.pipe()
    try:
        ended = subprocess.run([sys.executable, "-c", program], stdin=reading, timeout=30)
    finally:
        os.close(reading)
        os.close(writing)
    assert ended.returncode == 0
