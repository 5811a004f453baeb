"""`voicecli doctor` on a virtual sound card, with air between its speaker and its microphone."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers_acoustics import Air, true_delay_ms, with_patience
from helpers_program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsound import VirtualSound

pytest_plugins = ["vsound"]

Checks = dict[str, dict[str, Any]]
FINE = ("ok", "warning")
"This machine may be too busy for its sound."
DELAY_WITHIN_MS = 6.0
"A recording of the virtual card knows its times to 2 ms, and there are two of them."


@pytest.fixture
def own_sound(virtual_sound: VirtualSound) -> Iterator[VirtualSound]:
    """A sound server that nobody else needs."""
    with type(virtual_sound)() as sound:
        yield sound


def listened(*arguments: str) -> tuple[int, Checks]:
    with Program("doctor", "--only", "audio", "--json", *arguments) as program:
        code = program.wait(30)
    told = json.loads(program.shown)
    return code, {one["check"]: one for one in told["checks"]}


@pytest.mark.parametrize(
    ("delay_ms", "gain_db", "advised"),
    [(30, -20.0, "aec"), (200, -6.0, "aec"), (450, -12.0, "half-duplex")],
)
@with_patience
def test_the_round_trip_and_the_echo_are_what_they_are(
    virtual_sound: VirtualSound, delay_ms: int, gain_db: float, advised: str
) -> None:
    pytest.importorskip("pywebrtc_audio")
    for _ in range(3):  # A busy machine may lose a block, here or in the air.
        with Air(delay_ms, gain_db, noise_dbfs=-60.0):
            speaker, microphone = virtual_sound.recorder(), virtual_sound.recorder("mic_feed")
            code, checks = listened()
            truth_ms = true_delay_ms(speaker.stop(), microphone.stop())
        facts = checks["echo"].get("facts", {})
        if facts.get("echo_delay_ms") is None:
            continue
        is_delay_right = abs(facts["echo_delay_ms"] - truth_ms) <= DELAY_WITHIN_MS
        if is_delay_right and abs(facts["coupling_db"] - gain_db) <= 1.5:
            break
    assert code == 0, checks
    assert facts["echo_delay_ms"] == pytest.approx(truth_ms, abs=DELAY_WITHIN_MS)
    assert facts["round_trip_ms"] > facts["echo_delay_ms"]
    assert facts["coupling_db"] == pytest.approx(gain_db, abs=1.5)
    assert facts["noise_dbfs"] == pytest.approx(-60, abs=3)
    assert checks["advice"]["facts"]["echo"] == advised


@with_patience
def test_a_headset_gives_no_echo_and_needs_no_cancellation(virtual_sound: VirtualSound) -> None:
    for _ in range(3):  # As above.
        with Air(30, -150.0, noise_dbfs=-60.0):
            code, checks = listened()
        if code == 0:
            break
    assert code == 0, checks
    assert checks["echo"]["facts"]["coupling_db"] is None
    assert checks["advice"]["fixes"] == ["voicecli talk --echo off"]
    assert checks["level"]["facts"]["loudest_dbfs"] == pytest.approx(-59, abs=2)
    for side in ("speaker", "microphone"):
        facts = checks[side]["facts"]
        assert facts["rate_hz"] == 24_000
        assert 24_000 in facts["accepted_hz"]
        assert facts["callback_median_ms"] == pytest.approx(facts["block_ms"], rel=0.2)


@with_patience
def test_a_silenced_microphone_is_a_problem_and_nothing_is_played(
    virtual_sound: VirtualSound,
) -> None:
    recorder = virtual_sound.recorder()
    code, checks = listened()
    played = recorder.stop()
    assert code == 1
    assert (checks["level"]["state"], checks["echo"]["state"]) == ("problem", "skipped")
    assert checks["level"]["facts"]["is_zero"] is True
    assert not np.any(played.samples)


@with_patience
def test_a_microphone_that_is_too_loud_is_told(virtual_sound: VirtualSound) -> None:
    with Air(30, -150.0, noise_dbfs=2.0):
        code, checks = listened("--no-sound")
    assert (code, checks["level"]["state"]) == (0, "warning")
    assert checks["level"]["facts"]["clipped_share"] > 0.1


@with_patience
def test_no_sound_means_no_sound(virtual_sound: VirtualSound) -> None:
    recorder = virtual_sound.recorder()
    with Air(30, -20.0, noise_dbfs=-60.0, offset=700):
        code, checks = listened("--no-sound")
    played = recorder.stop()
    assert (code, checks["echo"]["state"]) == (0, "skipped")
    assert checks["offset"]["state"] == "warning"
    assert not np.any(played.samples)


@with_patience
def test_only_a_microphone_is_examined_without_a_speaker(virtual_sound: VirtualSound) -> None:
    with Air(30, -150.0, noise_dbfs=-60.0):
        code, checks = listened("--speaker", "none")
    assert code == 0
    assert "speaker" not in checks
    assert checks["microphone"]["state"] in FINE
    assert checks["echo"]["state"] == "skipped"


@with_patience
def test_a_device_that_is_not_there_is_told(virtual_sound: VirtualSound) -> None:
    code, checks = listened("--mic", "nobody's microphone", "--no-sound")
    assert (code, checks["microphone"]["state"]) == (1, "problem")
    assert checks["speaker"]["state"] in FINE


@with_patience
def test_what_is_muted_in_the_sound_server_is_told(own_sound: VirtualSound) -> None:
    subprocess.run(["pactl", "set-sink-mute", "@DEFAULT_SINK@", "1"], check=True)
    code, checks = listened("--mic", "none")
    assert (code, checks["mute"]["state"]) == (1, "problem")
    assert checks["mute"]["fixes"] == ["pactl set-sink-mute @DEFAULT_SINK@ 0"]


@with_patience
def test_a_frozen_sound_server_hangs_nothing(own_sound: VirtualSound) -> None:
    own_sound.freeze()
    try:
        began = time.monotonic()
        code, checks = listened()
        took_s = time.monotonic() - began
    finally:
        own_sound.thaw()
    assert code == 1
    assert took_s < 15
    assert "problem" in {one["state"] for one in checks.values()}
    assert any("does not answer" in one["told"] for one in checks.values())


@with_patience
def test_at_a_terminal_there_is_a_meter_and_ctrl_c_takes_it_away(
    virtual_sound: VirtualSound,
) -> None:
    with (
        Air(30, -150.0, noise_dbfs=-30.0),
        Program("doctor", "--only", "audio", at_terminal=True) as program,
    ):
        program.until(lambda: "■■■" in program.shown)
        program.kill(signal.SIGINT)
        assert program.wait(5) == 130
    assert "say something" in program.shown
    assert "Traceback" not in program.shown
    assert program.shown.rfind("\x1b[?25h") > program.shown.rfind("\x1b[?25l")
