import asyncio
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from voicecli.audio.choosing import DeviceInfo, candidates, choose_device
from voicecli.audio.dac import DacClock
from voicecli.audio.device_ends import DeviceMicrophone, DeviceSpeaker, Intake
from voicecli.audio.devices import AudioDevices, find_device, list_devices, quiet_stderr
from voicecli.audio.outlet import Outlet
from voicecli.audio.pcm import FRAME_BYTES, SILENT_FRAME
from voicecli.audio.playback import Drained, Emitted, Finished, Heard, Started
from voicecli.errors import AudioDeviceError

pytest_plugins = ["vsound"]


def device(index, name, host_api="ALSA", inputs=2, outputs=2, default=False):
    return DeviceInfo(index, name, host_api, inputs, outputs, 48_000, default, default)


DEVICES = [
    device(0, "Built-in Microphone", outputs=0, default=True),
    device(1, "Built-in Speaker", inputs=0, default=True),
    device(2, "USB Headset"),
    device(3, "USB Headset Pro"),
]


# --- choosing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "kind", "index"),
    [
        (None, "input", 0),
        (None, "output", 1),
        (2, "input", 2),
        ("2", "output", 2),
        ("speak", "output", 1),
        ("usb headset", "input", 2),
        ("PRO", "output", 3),
    ],
)
def test_a_device_is_found_by_default_index_or_name(spec, kind, index):
    assert choose_device(DEVICES, spec, kind).index == index


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("head", "input", "several input devices match 'head': 2 'USB Headset', 3 'USB"),
        ("violin", "input", "no input device 'violin' among 0 'Built-in Microphone'"),
        (1, "input", "no input device 1"),
    ],
)  # fmt: skip
def test_a_device_that_is_missing_or_ambiguous_names_the_candidates(spec, kind, message):
    with pytest.raises(AudioDeviceError) as raised:
        choose_device(DEVICES, spec, kind)
    assert message in raised.value.message
    assert raised.value.hint


def test_of_the_same_name_on_several_host_apis_the_default_one_is_meant():
    twice = [device(0, "Mic", "MME"), device(1, "Mic (USB)", "WASAPI", default=True)]
    assert choose_device(twice, "mic (", "input").index == 1
    twice.append(device(2, "Mic (USB)", "DirectSound"))
    assert choose_device(twice, "mic (usb)", "input").index == 1


def test_without_any_device_that_is_said():
    with pytest.raises(AudioDeviceError, match="no input device"):
        choose_device([device(0, "Speaker", inputs=0)], None, "input")
    with pytest.raises(AudioDeviceError, match="no input default device"):
        choose_device([device(0, "Odd")], None, "input")


def names(devices):
    return [one.name for one in devices]


def test_in_the_place_of_a_lost_device_come_the_one_wanted_the_default_and_then_the_others():
    assert names(candidates(DEVICES, None, "output")) == [
        "Built-in Speaker", "USB Headset", "USB Headset Pro",
    ]  # fmt: skip
    plugged_in_again = [device(7, "Other", default=True), device(8, "USB Headset")]
    assert names(candidates(plugged_in_again, DEVICES[2], "input")) == ["USB Headset", "Other"]
    assert candidates([DEVICES[0]], None, "output") == []


def test_nobody_is_sent_unasked_to_a_television_to_ourselves_or_past_the_sound_server():
    listed = [
        device(0, "default", default=True), device(1, "HDA Intel: ALC257 (hw:0,0)"),
        device(2, "HDMI 1"), device(3, "Monitor of Speaker"), device(4, "pulse"),
        device(5, "Headset", "JACK"),
    ]  # fmt: skip
    assert names(candidates(listed, None, "input")) == ["default", "pulse"]
    assert names(candidates(listed, listed[2], "output")) == ["HDMI 1", "default", "pulse"]


def test_without_portaudio_the_error_says_how_to_install_it(tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    program = (
        "from voicecli.audio.devices import list_devices\n"
        "from voicecli.errors import AudioDeviceError\n"
        "try:\n"
        "    list_devices()\n"
        "except AudioDeviceError as error:\n"
        "    print(error.message, bool(error.hint), error.exit_code)\n"
    )
    root = os.path.dirname(os.path.dirname(__file__))
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "PortAudio is not installed True 3\n"


# --- the clock ----------------------------------------------------------------------------------


def test_dac_times_use_the_least_offset_seen():
    clock = DacClock()
    assert clock.dac_at(100.0, 100.01, now=5.0) == pytest.approx(5.01)
    assert clock.dac_at(100.1, 100.11, now=5.117) == pytest.approx(5.11)  # came 17 ms late
    assert clock.dac_at(100.2, 100.21, now=5.199) == pytest.approx(5.209)


def test_dac_times_follow_a_drifting_clock():
    clock = DacClock()
    for number in range(2000):
        at = number * 0.005
        stamp = 100 + at * 0.9999
        late = clock.dac_at(stamp, stamp + 0.01, now=at)
    assert late == pytest.approx(at + 0.01, abs=2e-4)


@pytest.mark.parametrize("jump_s", [-30.0, 30.0])
def test_dac_times_survive_a_change_of_the_time_of_day(jump_s):
    clock = DacClock()
    clock.dac_at(100.0, 100.01, now=5.0)
    assert clock.dac_at(100.1 + jump_s, 100.11 + jump_s, now=5.1) == pytest.approx(5.11)


def test_without_stamps_the_stream_latency_is_assumed():
    assert DacClock(0.03).dac_at(0.0, 0.0, now=5.0) == pytest.approx(5.03)
    assert DacClock(0.03).dac_at(7.0, 0.0, now=5.0) == pytest.approx(5.03)


@pytest.mark.parametrize("stamp", [float("nan"), float("inf"), -7.0, 1e9])
@pytest.mark.parametrize("is_now", [False, True])
def test_times_that_can_not_be_are_not_believed_and_forgotten(stamp, is_now):
    clock = DacClock(0.03)
    assert clock.dac_at(7.0, 7.02, now=5.0) == pytest.approx(5.02)
    stamps = (stamp, 7.04) if is_now else (7.02, stamp)
    assert clock.dac_at(*stamps, now=5.02) == pytest.approx(5.05)
    assert clock.dac_at(7.04, 7.06, now=5.04) == pytest.approx(5.06)


# --- both sides, without a device ---------------------------------------------------------------


def started(side, *arguments):
    asyncio.run(side.start(*arguments))
    return side


def on_stream(rate_hz, deliver):
    microphone, intake = DeviceMicrophone(), Intake(rate_hz)
    microphone.connect(intake)
    return started(microphone, deliver), intake


def playing_on(rate_hz, clock, fade_ms=0.0):
    speaker, outlet = DeviceSpeaker(clock, fade_ms), Outlet(rate_hz)
    speaker.connect(outlet)
    return speaker, outlet


def test_frames_nobody_takes_are_dropped_from_the_oldest_and_counted():
    frames = []
    microphone, intake = on_stream(24_000, frames.append)
    for number in range(60):
        assert microphone.captured(intake, number.to_bytes(2, "little") * 480)
    microphone.hand_over()
    assert microphone.dropped_frames == 10
    assert [frame[0] for frame in frames] == list(range(10, 60))


def test_a_microphone_is_silent_only_while_it_gives_zeros():
    microphone, intake = on_stream(24_000, lambda frame: None)
    assert not microphone.silent
    for frame in [b"\1\0" * 480] + [SILENT_FRAME] * 99:
        microphone.captured(intake, frame)
        microphone.hand_over()
        assert not microphone.silent
    microphone.captured(intake, SILENT_FRAME)
    microphone.hand_over()
    assert microphone.silent


def test_frames_before_the_start_and_after_the_end_go_nowhere():
    microphone, intake, frames = DeviceMicrophone(), Intake(24_000), []
    microphone.connect(intake)
    assert not microphone.captured(intake, SILENT_FRAME)
    started(microphone, frames.append)
    asyncio.run(microphone.close())
    microphone.captured(intake, SILENT_FRAME)
    microphone.hand_over()
    assert frames == []
    assert microphone.dropped_frames == 0


def test_capture_at_another_rate_gives_frames_of_the_wire():
    frames = []
    microphone, intake = on_stream(44_100, frames.append)
    for _ in range(100):
        microphone.captured(intake, b"\x10\x27" * 441)
        microphone.hand_over()
    assert {len(frame) for frame in frames} == {FRAME_BYTES}
    assert 48 <= len(frames) <= 50


def test_while_there_is_no_microphone_silence_comes_at_its_pace():
    frames = []

    async def lose():
        microphone, intake = DeviceMicrophone(), Intake(24_000)
        await microphone.start(frames.append)
        microphone.connect(intake)
        microphone.captured(intake, b"\1\0" * 480)
        begun = time.monotonic()
        microphone.disconnect(0.1)
        await until(lambda: len(frames) >= 16)
        took_s = time.monotonic() - begun
        assert not microphone.captured(intake, b"\2\0" * 480)
        after = Intake(48_000)
        microphone.connect(after)
        microphone.captured(after, b"\3\0" * 960)
        microphone.hand_over()
        frames_now = len(frames)
        await asyncio.sleep(0.05)
        assert len(frames) == frames_now
        return took_s

    took_s = asyncio.run(lose())
    assert frames[0] == b"\1\0" * 480  # what it had captured before
    assert frames[1:16] == [SILENT_FRAME] * 15
    assert 0.19 <= took_s < 0.4  # five of them were due at once


def test_a_device_that_says_that_it_lost_samples_is_believed():
    microphone, intake = on_stream(24_000, lambda frame: None)
    microphone.captured(intake, SILENT_FRAME, overflowed=True)
    assert microphone.dropped_frames == 1


def test_an_answer_goes_on_at_the_rate_of_the_next_device():
    clock = Clock()
    speaker, outlet = playing_on(24_000, clock)
    voice = noise(0.2).tobytes()
    speaker.play("a", 0, voice)
    assert speaker.take(outlet, 480, 0.0, underflowed=False)[0] == voice[:960]

    clock.now = 0.0125
    speaker.disconnect(clock.now)
    assert speaker.take(outlet, 480, 0.02, underflowed=False) == (bytes(960), False)
    assert speaker.heard() == [Heard("a", 0, 4800, 300)]
    after = Outlet(48_000)
    speaker.connect(after)
    for block in range(5):
        speaker.take(after, 960, 1.0 + block * 0.02, underflowed=False)
    clock.now = 1.01
    assert speaker.heard() == [Heard("a", 0, 4800, 300 + 240)]


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_playback_at_another_rate_counts_samples_of_the_wire():
    clock = Clock()
    speaker, outlet = playing_on(48_000, clock)
    speaker.play("a", 0, b"\x10\x27" * 2400)
    speaker.finish("a", 0)
    assert speaker.pending_ms == 100
    for block in range(4):
        speaker.take(outlet, 480, block * 0.01, underflowed=False)
    clock.now = 0.025
    assert speaker.heard() == [Heard("a", 0, 2400, 600)]
    (stopped,) = speaker.stop()
    assert 960 <= stopped.emitted_samples < 1010  # the filter looks 1 or 2 ms ahead
    assert speaker.heard() == []


def test_a_speaker_reports_in_order_and_counts_device_gaps():
    reports = []
    speaker, outlet = playing_on(24_000, Clock(), fade_ms=4)
    started(speaker, reports.append)
    speaker.play("a", 0, b"\1\0" * 240)
    speaker.finish("a", 0)
    block, wake = speaker.take(outlet, 480, 1.0, underflowed=True)
    assert (len(block), wake) == (960, True)
    speaker.report_events()
    assert reports == [
        Started("a", 0, 1.0),
        Finished("a", 0, pytest.approx(1.01)),
        Emitted("a", 0, 0, 240, 1.0),
        Drained(pytest.approx(1.01)),
    ]
    assert speaker.underflows == 1
    assert speaker.take(outlet, 480, 1.02, underflowed=False) == (SILENT_FRAME, False)


# --- descriptor 2 -------------------------------------------------------------------------------


def test_c_libraries_are_silenced_and_our_own_messages_are_not(tmp_path):
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from voicecli.audio.devices import quiet_stderr\n"
        "with quiet_stderr(Path(sys.argv[1])):\n"
        "    os.write(2, b'ALSA lib noise\\n')\n"
        "    print('ours', file=sys.stderr)\n"
        "os.write(2, b'after\\n')\n"
        "print('ours again', file=sys.stderr)\n"
    )
    log = tmp_path / "log"
    command = [sys.executable, "-c", program, str(log)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == "ours\nafter\nours again\n"
    assert log.read_text() == "ALSA lib noise\n"
    assert log.stat().st_mode & 0o077 == 0


# --- on the virtual sound card ------------------------------------------------------------------


def noise(seconds, seed=1):
    generator = np.random.default_rng(seed)
    count = int(seconds * 24_000)
    loud = generator.integers(2000, 20_000, count) * generator.choice((-1, 1), count)
    return loud.astype("<i2")


def talk(scenario, **settings):
    """Run `scenario(devices, reports, frames)` with both devices open."""

    async def main():
        devices = AudioDevices(find_device(None, "input"), find_device(None, "output"), **settings)
        reports, frames = [], []
        await devices.open()
        await devices.microphone.start(frames.append)
        await devices.speaker.start(reports.append)
        try:
            return await scenario(devices, reports, frames)
        finally:
            await devices.close()

    with quiet_stderr():
        return asyncio.run(main())


def run_apart(program, *arguments):
    """What a program prints that breaks its own sound server."""
    folder = os.path.dirname(__file__)
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{os.path.dirname(folder)}"}
    ran = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, *arguments],
        capture_output=True, text=True, errors="replace", timeout=40, env=environment, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout


LEAVE = """
def leave(sound):
    # As the product does: without PortAudio's end and without waiting for a thread, for one may
    # still be inside of the sound server's library.
    import os, shutil
    sound.kill()
    shutil.rmtree(sound._folder, ignore_errors=True)
    os._exit(0)
"""


async def until(condition, patience_s=5.0):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "did not come"
        await asyncio.sleep(0.005)


@pytest.mark.usefixtures("virtual_sound")
def test_the_virtual_devices_are_listed_and_are_the_defaults():
    assert find_device(None, "input").is_default_input
    assert find_device("default", "output") in list_devices()


def test_playback_is_exact_and_starts_soon(virtual_sound):
    voice = noise(0.5)

    async def scenario(devices, reports, frames):
        recorder = virtual_sound.recorder()
        asked_at = time.monotonic()
        devices.speaker.play("a", 0, voice.tobytes())
        devices.speaker.finish("a", 0)
        await until(lambda: any(isinstance(report, Drained) for report in reports))
        await asyncio.sleep(0.1)
        return recorder.stop(), asked_at, reports

    for _ in range(2):  # the machine itself may lose a block: once is forgiven
        recording, asked_at, reports = talk(scenario)
        first = np.flatnonzero(recording.samples)[0]
        if np.array_equal(recording.samples[first : first + len(voice)], voice):
            break
    assert np.array_equal(recording.samples[first : first + len(voice)], voice)
    assert recording.time_of(first) - asked_at < 0.1
    assert [type(report) for report in reports] == [Started, Finished, Emitted, Drained]
    assert reports[0].at == pytest.approx(recording.time_of(first), abs=0.01)


def test_what_stop_says_was_heard_is_what_was_played(virtual_sound):
    voice = noise(2.0).tobytes()

    async def scenario(devices, reports, frames):
        recorder = virtual_sound.recorder()
        outcomes = []
        for number in range(5):
            devices.speaker.play(f"item_{number}", 0, voice)
            await asyncio.sleep(0.15 + number * 0.007)
            asked_at = time.monotonic()
            (before,) = devices.speaker.heard()
            (stopped,) = devices.speaker.stop()
            await asyncio.sleep(0.15)
            outcomes.append((asked_at, before, stopped))
        return recorder.stop(), outcomes

    recording, outcomes = talk(scenario)
    lags, errors, early = [], [], []
    for asked_at, before, stopped in outcomes:
        begin = max(recording.sample_at(asked_at - 0.2), 0)
        end = recording.sample_at(asked_at + 0.14)
        sounding = begin + np.flatnonzero(recording.samples[begin:end])
        lags.append(recording.time_of(sounding[-1]) - asked_at)
        errors.append(stopped.emitted_samples - (sounding[-1] - sounding[0] + 1))
        played_by_then = recording.sample_at(asked_at) - sounding[0]
        early.append((before.emitted_samples - played_by_then) / 24)
    assert sorted(errors)[2] == 0  # an underflow of the machine may cost a block or two
    assert sorted(lags)[2] < 0.04
    assert abs(sorted(early)[2]) < 8


def test_what_is_said_into_the_microphone_is_delivered_exactly(virtual_sound):
    voice = noise(0.4, seed=2)

    async def scenario(devices, reports, frames):
        await until(lambda: devices.microphone.silent)
        feeder = virtual_sound.feed(voice.tobytes())
        await until(lambda: any(frame != SILENT_FRAME for frame in frames))
        assert not devices.microphone.silent
        await asyncio.sleep(0.6)
        await asyncio.to_thread(feeder.wait)
        return frames, devices.microphone.dropped_frames

    for _ in range(2):
        frames, dropped = talk(scenario)
        captured = np.frombuffer(b"".join(frames), "<i2")
        first = np.flatnonzero(captured)[0]
        if np.array_equal(captured[first : first + len(voice)], voice):
            break
    assert np.array_equal(captured[first : first + len(voice)], voice)
    assert {len(frame) for frame in frames} == {FRAME_BYTES}
    assert dropped == 0


def test_closing_takes_no_second_and_gives_the_switch_interval_back(virtual_sound):
    interval_s = sys.getswitchinterval()

    async def scenario(devices, reports, frames):
        assert sys.getswitchinterval() == pytest.approx(0.001)
        begun_at = time.monotonic()
        await devices.close()
        await devices.close()
        return time.monotonic() - begun_at, devices.is_abandoned

    took_s, is_abandoned = talk(scenario)
    assert took_s < 1.0
    assert not is_abandoned
    assert sys.getswitchinterval() == pytest.approx(interval_s)


RETURNING = """
import asyncio, os, sys
from pathlib import Path
from vsound import VirtualSound
from voicecli.audio.devices import AudioDevices, find_device, quiet_stderr, refresh_list

HEADSET = 'pcm.headset { type pulse hint { show on description "x" } }\\n'

async def main(sound):
    alsa = Path(os.environ["ALSA_CONFIG_PATH"])
    without = alsa.read_text()
    alsa.write_text(without + HEADSET)
    refresh_list()
    devices = AudioDevices(None, find_device("headset", "output"), named=["output"])
    reports = asyncio.Queue()
    await devices.open()
    await devices.start(reports.put_nowait)
    devices.speaker.play("a", 0, b"\\1\\1" * 24000 * 8)
    alsa.write_text(without)
    sound.kill()
    print((await asyncio.wait_for(reports.get(), 5)).message, devices.missing)
    await asyncio.sleep(0.8)  # by then it has looked for devices anew
    sound.restart()
    print((await asyncio.wait_for(reports.get(), 5)).message)
    alsa.write_text(without + HEADSET)
    print((await asyncio.wait_for(reports.get(), 15)).message, devices.missing)
    (before,) = devices.speaker.heard()
    await asyncio.sleep(0.5)
    (after,) = devices.speaker.heard()
    print(after.emitted_samples > before.emitted_samples + 24000 * 0.3)
    await devices.close()
    sys.stdout.flush()
    leave(sound)

with VirtualSound() as sound, quiet_stderr():
    asyncio.run(main(sound))
"""


@pytest.mark.usefixtures("virtual_sound")
def test_a_device_that_was_named_is_taken_again_when_it_is_plugged_in_again():
    assert run_apart(LEAVE + RETURNING).splitlines() == [
        "the speaker is gone: the sound device went away; looking for another speaker",
        "the speaker is now 'default'",
        "the speaker is now 'headset' ",
        "True",
    ]


FROZEN = """
import asyncio, contextlib, os, signal, sys, time
from vsound import VirtualSound
from voicecli.audio.devices import AudioDevices, find_device, quiet_stderr
from voicecli.audio.ports import Failed

async def main(sound, loss):
    speaker, microphone = find_device(None, "output"), find_device(None, "input")
    devices = AudioDevices(microphone, speaker, patience_s=0.5)
    reports = []
    failed = asyncio.Event()

    def reported(report):
        reports.append(report)
        if isinstance(report, Failed):
            failed.set()

    await devices.open()
    await devices.start(reported)
    await asyncio.sleep(0.3)
    os.kill(sound.daemon.pid, loss)
    begun = time.monotonic()
    while not reports:
        await asyncio.sleep(0.01)
    lost_s = time.monotonic() - begun
    await asyncio.wait_for(failed.wait(), 8)
    begun = time.monotonic()
    await devices.close()
    closed_s = time.monotonic() - begun
    with contextlib.suppress(ProcessLookupError):
        os.kill(sound.daemon.pid, signal.SIGCONT)
    print(*[report.message for report in reports], sep=" / ")
    print(lost_s < 2, closed_s < 1.5, devices.is_abandoned, flush=True)
    leave(sound)

sound = VirtualSound()
sound.__enter__()
with quiet_stderr():
    asyncio.run(main(sound, getattr(signal, sys.argv[1])))
"""


@pytest.mark.usefixtures("virtual_sound")
@pytest.mark.parametrize(
    ("loss", "message"),
    [("SIGKILL", "went away"), ("SIGSTOP", "stopped answering")],
)
def test_a_sound_server_that_dies_or_hangs_is_told_and_closing_does_not_hang(loss, message):
    first, second = run_apart(LEAVE + FROZEN, loss).splitlines()
    lost, given_up = first.split(" / ")
    assert lost.startswith("the speaker and the microphone are gone: ")
    assert message in lost
    assert message in given_up
    assert given_up.endswith("no speaker and no microphone could be opened for 0.5 s")
    assert second.startswith("True True")
    assert signal.Signals[loss]
