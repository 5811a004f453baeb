"""Echo: cancelled in simulated rooms, gated where it cannot be, and told of where it is left."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers_room import (
    SAID,
    Room,
    answer,
    at_level,
    dbfs,
    echo_of,
    from_onset,
    hiss,
    levels,
    voices,
)

from voicecli.audio import echo
from voicecli.audio.cleaning import Cleaner, turned_down
from voicecli.audio.cleaning_thread import CleaningThread
from voicecli.audio.device_ends import DeviceMicrophone, DeviceSpeaker, Intake
from voicecli.audio.echo_watch import EchoWatch
from voicecli.audio.far_end import FarEnd, TimeLine
from voicecli.audio.half_duplex import HalfDuplexGate
from voicecli.audio.outlet import Outlet
from voicecli.audio.pcm import SILENT_FRAME
from voicecli.audio.residual import ResidualGate
from voicecli.errors import ConfigError

needs_canceller = pytest.mark.skipif(
    not echo.has_canceller(), reason="pywebrtc-audio is not installed (the extra `aec`)"
)
RATE_HZ = 24_000
ROOT = Path(__file__).parents[1]


def part(samples, begin_s, end_s):
    return samples[int(begin_s * RATE_HZ) : int(end_s * RATE_HZ)]


# --- the time line ------------------------------------------------------------------------------


def placed(line, times, samples=480):
    return [line.place(at, samples) for at in times]


def test_times_that_tremble_do_not_move_a_stream():
    rng = np.random.default_rng(1)
    line = TimeLine(30)
    times = [5 + 0.02 * k + 0.012 * rng.choice((-1, 1)) for k in range(500)]
    places = placed(line, times)[30:]
    assert set(np.diff(places)) <= {479, 480, 481}
    assert abs(places[-1] - (5 + 0.02 * 499) * RATE_HZ) < 0.013 * RATE_HZ


def test_a_stream_that_lost_samples_goes_on_where_its_times_say_and_tells_of_it():
    line = TimeLine(6)
    placed(line, [5 + 0.02 * k for k in range(100)])
    assert not line.has_slipped
    slips = []
    for k in range(100, 110):
        last = line.place(5.2 + 0.02 * k, 480)
        slips.append(line.has_slipped)
    assert slips.count(True) == 1
    assert last == round((5.2 + 0.02 * 109) * RATE_HZ)


def test_a_loss_that_was_told_of_and_cannot_be_seen_moves_nothing():
    rng = np.random.default_rng(2)
    line = TimeLine(6, 3)
    places = []
    for k in range(600):
        if k in (200, 203, 350, 480):
            line.restart()
        places.append(line.place(5 + 0.02 * k + 0.0015 * rng.uniform(-1, 1), 480))
    assert set(np.diff(places[30:])) <= {479, 480, 481}


def test_a_loss_that_was_told_of_moves_a_stream_at_once():
    line = TimeLine(6, 3)
    placed(line, [5 + 0.02 * k for k in range(100)])
    line.restart()
    assert line.place(7.008, 480) == round(7.008 * RATE_HZ)
    assert line.has_slipped


def test_another_stream_is_where_its_times_say():
    line = TimeLine(30)
    placed(line, [5 + 0.02 * k for k in range(100)])
    line.restart(is_another=True)
    assert line.place(7.008, 480) == round(7.008 * RATE_HZ)


def test_a_clock_that_drifts_is_followed_a_sample_at_a_time():
    line = TimeLine(6)
    places = placed(line, [5 + 0.02 * k * (1 + 60e-6) for k in range(30_000)])
    assert set(np.diff(places)) <= {480, 481}
    assert abs(places[-1] - (5 + 0.02 * 29_999 * (1 + 60e-6)) * RATE_HZ) < 0.003 * RATE_HZ


def test_what_was_played_is_found_at_its_place_and_silence_where_there_was_nothing():
    far, loud = FarEnd(), np.arange(1, 101, dtype="<i2")
    far.put(1_000, loud.tobytes())
    far.put(1_150, loud.tobytes())
    found = np.frombuffer(far.read(990, 300), "<i2")
    expected = np.zeros(300, "<i2")
    expected[10:110] = expected[160:260] = loud
    assert (found == expected).all()
    far.put(10_000_000, loud.tobytes())
    assert not any(far.read(1_000, 300))
    assert np.frombuffer(far.read(10_000_000, 100), "<i2").tolist() == loud.tolist()


def test_the_last_four_seconds_are_found_across_the_end_of_the_memory():
    far = FarEnd()
    ramp = np.arange(200_000, dtype=np.int64) % 30_000
    for start in range(0, 200_000, 160):
        far.put(start, ramp[start : start + 160].astype("<i2").tobytes())
    for start in (105_000, 191_900, 199_000):
        found = np.frombuffer(far.read(start, 480), "<i2")
        assert (found == ramp[start : start + 480]).all()


# --- cancellation -------------------------------------------------------------------------------


def erle_db(captured, sent, begin_s, end_s):
    return dbfs(part(captured, begin_s, end_s)) - dbfs(part(sent, begin_s, end_s))


@needs_canceller
@pytest.mark.parametrize(
    "room",
    [
        {"level_dbfs": -26.0},
        {"level_dbfs": -26.0, "delay_ms": 60.0},
        {"level_dbfs": -26.0, "delay_ms": 200.0},
        {"level_dbfs": -38.0},
        {"level_dbfs": -16.0, "is_overdriven": True},
        {"level_dbfs": -26.0, "drift_ppm": 50.0},
    ],
    ids=str,
)
def test_an_answer_is_taken_out_of_the_microphone(room):
    played = answer(14)
    captured = echo_of(played, **room) + hiss(len(played))
    sent = Room().hear(played, captured)
    # A lone frame that comes through is nobody's voice.
    loud = 20 * np.log10(levels(part(sent, 8, 14)) / 32768 + 1e-9) > -45.0
    assert np.convolve(loud, np.ones(5), "valid").max() < 4
    # What is left is the room's noise.
    assert erle_db(captured, sent, 8, 14) > min(20.0, room["level_dbfs"] + 50.0)


@needs_canceller
def test_a_user_over_an_answer_is_heard_and_one_without_an_echo_is_not_touched():
    played = answer(14)
    said = np.zeros(len(played))
    voice = from_onset(at_level(voices()[SAID[4]], -24.0))
    said[10 * RATE_HZ : 10 * RATE_HZ + len(voice)] = voice
    sent = Room().hear(played, echo_of(played, -30.0) + said + hiss(len(played)))
    before, over = levels(part(sent, 8, 10)), levels(part(sent, 10, 12))
    assert np.percentile(20 * np.log10(before / 32768 + 1e-9), 95) < -50
    assert np.count_nonzero(20 * np.log10(over / 32768 + 1e-9) > -40) > 25
    alone = Room().hear(0 * played, said + hiss(len(played)))
    assert abs(dbfs(part(alone, 10, 12)) - dbfs(part(said, 10, 12))) < 1.5


@needs_canceller
@pytest.mark.parametrize("is_told", [True, False])
def test_after_a_gap_the_canceller_begins_anew_and_recovers(is_told):
    played = answer(20)
    captured = echo_of(played, -24.0) + hiss(len(played))
    room = Room()
    sent = room.hear(played, captured, lost=(9.0, 9.3), is_told=is_told)
    # Times say where the samples are, told or not: nothing slips, and nothing comes through.
    assert dbfs(part(sent, 10, 20)) < -48.0
    assert dbfs(part(sent, 14, 20)) < -52.0


@needs_canceller
def test_a_way_that_became_shorter_is_forgotten_when_the_device_is_another_one():
    played = answer(24)
    far_away, near_by = (echo_of(played, -24.0, delay_ms=ms) for ms in (120.0, 20.0))
    captured = np.concatenate([part(far_away, 0, 10), part(near_by, 10, 24)]) + hiss(len(played))
    room = Room()
    sent = room.hear(played, captured, lost=(9.9, 10.1), is_another=True)
    assert room.cleaner.resets >= 2
    assert dbfs(part(sent, 15, 24)) < -50.0
    assert max(20 * np.log10(levels(part(sent, 10, 24)) / 32768 + 1e-9)) < -24.0


@needs_canceller
def test_noise_is_suppressed_when_asked_for_and_not_otherwise():
    noise = hiss(8 * RATE_HZ, -40.0)
    plain = Room("off").hear(0 * noise, noise)
    quiet = Room("off", suppresses_noise=True).hear(0 * noise, noise)
    assert dbfs(part(plain, 4, 8)) == pytest.approx(-40.0, abs=0.2)
    assert dbfs(part(quiet, 4, 8)) < -46.0


@needs_canceller
def test_a_reset_forgets_all_but_the_settings():
    processor = echo.Processor(cancels_echo=True, suppresses_noise=False)
    loud = np.random.default_rng(2).integers(-3000, 3000, 480).astype("<i2").tobytes()
    first = [processor.process(loud, loud) for _ in range(20)]
    processor.reset()
    assert [processor.process(loud, loud) for _ in range(20)] == first


# --- what is left of it -------------------------------------------------------------------------


def test_what_is_left_of_an_echo_is_turned_down_to_the_room():
    gate = ResidualGate()
    for _ in range(50):
        assert gate.push(-100.0, -62.0, -62.0) == 0.0
    for _ in range(400):
        down_db = gate.push(-20.0, -26.0, -55.0)
    assert down_db == pytest.approx(-55.0 - gate.room_dbfs)
    assert gate.push(-20.0, -24.0, -25.0) == 0.0  # Somebody, and loud.


def test_before_anything_was_taken_away_only_what_is_louder_than_an_echo_passes():
    gate = ResidualGate()
    for _ in range(30):
        assert gate.push(-20.0, -22.0, -22.0) > 20.0
    for _ in range(400):
        gate.push(-20.0, -22.0, -22.0)  # A canceller that does nothing.
    assert gate.push(-20.0, -22.0, -22.0) > 20.0
    assert [gate.push(-20.0, -5.0, -5.0) > 0.0 for _ in range(6)] == [True] * 3 + [False] * 3


def test_a_gate_that_does_not_last_opens_when_the_canceller_has_learned():
    gate = ResidualGate(lasts=False)
    young = [gate.push(-20.0, -26.0, -40.0) for _ in range(249)]
    assert min(young) > 15.0
    old = [gate.push(-20.0, -26.0, -40.0) for _ in range(10)]
    assert old == [0.0] * 10
    gate.slipped()
    assert gate.push(-20.0, -26.0, -40.0) > 15.0


def test_a_gate_stays_where_the_canceller_takes_nothing_away():
    gate = ResidualGate(lasts=False)
    assert min(gate.push(-20.0, -26.0, -27.0) for _ in range(600)) > 20.0


def test_with_a_headset_everything_passes_that_is_louder_than_the_room():
    gate = ResidualGate()
    for _ in range(200):
        gate.push(-20.0, -62.0, -62.0)
    # At once, frame by frame: there is no echo that it could be.
    assert [gate.push(-20.0, level, level) for level in (-50.0, -40.0, -46.0)] == [0.0] * 3


def test_turning_down_is_in_decibels():
    loud = np.full(480, 10_000, "<i2").tobytes()
    assert set(np.frombuffer(turned_down(loud, 20.0), "<i2")) == {1_000}
    assert turned_down(loud, 0.0) is loud


# --- half duplex --------------------------------------------------------------------------------


def test_the_gate_is_closed_while_something_sounds_and_for_the_tail():
    gate = HalfDuplexGate(tail_ms=250)
    gate.played(10.0, 10.5)
    gate.played(10.6, 11.0)
    closed = [at / 100 for at in range(980, 1150, 2) if gate.is_closed(at / 100, at / 100 + 0.02)]
    assert closed[0] == pytest.approx(9.98)
    assert closed[-1] == pytest.approx(11.24)
    assert len(closed) == round((11.24 - 9.98) / 0.02) + 1


def test_half_duplex_sends_silence_while_an_answer_plays_and_everything_else():
    played = np.concatenate([np.zeros(2 * RATE_HZ), answer(3), np.zeros(3 * RATE_HZ)])
    captured = hiss(len(played), -30.0)
    sent = Room("half-duplex").hear(played, captured)
    assert dbfs(part(sent, 0, 1.9)) == pytest.approx(-30.0, abs=0.5)
    assert not np.any(part(sent, 2.5, 4.5))
    assert dbfs(part(sent, 5.4, 8)) == pytest.approx(-30.0, abs=0.5)


# --- the watch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [{}, {"delay_ms": 300.0}, {"t60_s": 0.5}, {"drift_ppm": 50.0}])
def test_an_echo_that_is_sent_is_found_within_some_seconds_and_told_once(room):
    played = answer(12)
    heard = Room("off")
    heard.hear(played, echo_of(played, -34.0, **room) + hiss(len(played)))
    assert len(heard.alarms) == 1
    assert heard.alarms[0] < 10.0


@pytest.mark.parametrize("seed", range(6))
def test_a_user_who_speaks_over_an_answer_is_no_echo(seed):
    played = answer(20, seed=seed)
    rng = np.random.default_rng(seed)
    said, at = hiss(len(played)), int(rng.uniform(0, 1) * RATE_HZ)
    while at < len(said):
        voice = at_level(voices()[SAID[rng.integers(len(SAID))]], -24.0)[: len(said) - at]
        said[at : at + len(voice)] += voice
        at += len(voice) + int(rng.uniform(0.1, 0.6) * RATE_HZ)
    heard = Room("off")
    heard.hear(played, said)
    assert heard.alarms == []


@needs_canceller
def test_what_was_cancelled_is_no_echo():
    played = answer(16)
    heard = Room()
    heard.hear(played, echo_of(played, -20.0) + hiss(len(played)))
    assert heard.alarms == []


def test_nothing_is_said_while_nothing_is_played():
    watch = EchoWatch()
    rng = np.random.default_rng(4)
    assert not any(watch.push(-100.0, rng.uniform(-60, -20)) for _ in range(2000))


# --- the choice ---------------------------------------------------------------------------------


def without_canceller(monkeypatch):
    monkeypatch.setattr(echo.importlib.util, "find_spec", lambda name: None)


def test_without_the_library_auto_means_half_duplex_and_asking_for_it_is_an_error(monkeypatch):
    without_canceller(monkeypatch)
    assert echo.choose_mode("auto") == "half-duplex"
    assert echo.choose_mode("off") == "off"
    with pytest.raises(ConfigError, match="not installed") as raised:
        echo.choose_mode("aec")
    assert 'pip install "voicecli[aec]"' in raised.value.hint
    with pytest.raises(ConfigError, match="noise suppression"):
        echo.check_suppression()


def test_an_empty_package_of_that_name_is_no_canceller(monkeypatch, tmp_path):
    (tmp_path / "pywebrtc_audio.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pywebrtc_audio", raising=False)
    assert not echo.has_canceller()
    monkeypatch.delitem(sys.modules, "pywebrtc_audio", raising=False)


def test_without_cancellation_no_numpy_is_loaded():
    program = (
        "import sys; from voicecli.audio.cleaning import Cleaner\n"
        "for mode in ('off', 'half-duplex'):\n"
        "    cleaner = Cleaner(mode)\n"
        "    cleaner.speaker_changed(24000)\n"
        "    for k in range(400):\n"
        "        cleaner.played(b'\\1\\2' * 480, 5 + 0.02 * k)\n"
        "        cleaner.cleaned(b'\\1\\2' * 480, 4.9 + 0.02 * k)\n"
        "print('numpy' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout == "False\n"


# --- the thread ---------------------------------------------------------------------------------


class Beside:
    """Microphone and speaker of devices, with a thread that cleans."""

    def __init__(self, cleaner, rate_hz=RATE_HZ):
        self.cleaner = cleaner
        self.woken, self.failures = threading.Semaphore(0), []
        self.thread = CleaningThread(
            cleaner, self.woken.release, lambda: None, self.failures.append
        )
        self.microphone, self.intake = DeviceMicrophone(), Intake(rate_hz)
        self.speaker, self.outlet = DeviceSpeaker(lambda: 0.0, 0.0), Outlet(rate_hz)
        self.microphone.connect(self.intake)
        self.speaker.connect(self.outlet)
        self.microphone.cleaning = self.speaker.cleaning = self.thread
        self.frames = []
        asyncio.run(self.microphone.start(self.frames.append))
        self.thread.start()

    def capture(self, block, adc_at):
        assert not self.microphone.captured(self.intake, block, adc_at=adc_at)
        self.woken.acquire(timeout=5)
        self.microphone.hand_over()


@pytest.mark.parametrize("rate_hz", [24_000, 48_000])
def test_what_a_device_gives_is_cleaned_of_what_another_one_plays(rate_hz):
    beside = Beside(Cleaner("half-duplex"), rate_hz)
    block = rate_hz // 50
    beside.speaker.play("item", 0, b"\x10\x20" * 2 * RATE_HZ)
    for k in range(40):
        if k >= 10:
            beside.speaker.take(beside.outlet, block, 5 + 0.02 * k, False)
        beside.capture(b"\1\1" * block, 5 + 0.02 * (k - 1))
    beside.thread.close()
    assert beside.failures == []
    silent = [frame == SILENT_FRAME for frame in beside.frames]
    assert not any(silent[:8])
    assert all(silent[12:])
    assert len(silent) >= 38


def test_a_microphone_that_gives_zeros_is_told_from_one_that_is_gated():
    beside = Beside(Cleaner("half-duplex"))
    beside.speaker.play("item", 0, b"\x10\x20" * 5 * RATE_HZ)
    for k in range(120):
        beside.speaker.take(beside.outlet, 480, 5 + 0.02 * k, False)
        beside.capture(b"\1\1" * 480, 5 + 0.02 * (k - 2))
    beside.thread.close()
    assert beside.frames[-1] == SILENT_FRAME
    assert not beside.microphone.silent


class Compared:
    """In place of a canceller: keeps what it is to take out."""

    def __init__(self):
        self.far = []

    def process(self, near, far):
        self.far.append(far)
        return near

    def reset(self):
        pass


class Early(Cleaner):
    """Is asked for a frame before the speaker took what is played meanwhile."""

    def __init__(self, plays):
        super().__init__("off")
        self._lead_samples, self._residual = 480, ResidualGate()
        self._processor = self.compared = Compared()
        self.plays = plays

    def lacks_played(self, adc_at):
        lacks = super().lacks_played(adc_at)
        if lacks:
            self.plays()
        return lacks


def test_a_frame_waits_for_all_that_is_played_meanwhile():
    played = iter(range(1000))
    beside = Beside(Early(lambda: play()))

    def play():
        beside.speaker.take(beside.outlet, 160, 5 + next(played) / 150, False)

    beside.speaker.play("item", 0, b"\x10\x20" * 2 * RATE_HZ)
    for k in range(30):
        beside.capture(b"\1\1" * 480, 5 + 0.02 * k)
    beside.thread.close()
    assert beside.failures == []
    assert beside.cleaner.compared.far == [b"\x10\x20" * 480] * 30


def test_without_a_speaker_no_frame_waits_for_it_for_long():
    beside = Beside(Early(lambda: None))
    for k in range(10):
        assert not beside.microphone.captured(beside.intake, b"\1\1" * 480, adc_at=5 + 0.02 * k)
    for _ in range(10):
        assert beside.woken.acquire(timeout=5)
    beside.thread.close()
    assert beside.cleaner.compared.far == [SILENT_FRAME] * 10


class Broken(Cleaner):
    def __init__(self, where):
        super().__init__("off")
        setattr(self, where, self.breaks)

    def breaks(self, *_):
        raise RuntimeError("no more")


@pytest.mark.parametrize("where", ["cleaned", "played", "speaker_changed", "microphone_changed"])
def test_when_cleaning_breaks_down_the_microphone_is_sent_as_it_is(where):
    beside = Beside(Broken(where))
    for k in range(3):
        beside.speaker.take(beside.outlet, 480, 5 + 0.02 * k, False)
        beside.capture(b"\1\1" * 480, 5 + 0.02 * k)
    beside.thread.close()
    assert beside.frames == [b"\1\1" * 480] * 3
    assert beside.failures == ["RuntimeError: no more"]
