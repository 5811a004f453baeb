"""`voicecli doctor` without sound: what it makes of what it finds, and of servers of many kinds."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_program import ROOT, Program, clean_environment
from rich.console import Console
from scripted_server import SESSION, Peer, ScriptedServer, plain_tcp
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from voicecli.audio.choosing import DeviceInfo
from voicecli.doctor import chirp, machine, network
from voicecli.doctor.advice import judged_loop, recommended
from voicecli.doctor.chirp import Echo, Loop
from voicecli.doctor.devices import (
    Run,
    ServerDefaults,
    judged_defaults,
    judged_device,
    no_devices,
    no_library,
)
from voicecli.doctor.findings import Finding, document, exit_code, verdict
from voicecli.doctor.keys import judged_key
from voicecli.doctor.levels import Meter, judged
from voicecli.doctor.limits import Patience
from voicecli.doctor.naming import better, is_bluetooth, is_own_sound, is_screen, is_telephone
from voicecli.doctor.weights import Weights, judged_engine, judged_weights
from voicecli.ui.checkup import Checkup, finding_lines, verdict_line, working_line

KEY = "sk-secret-0123456789abcdef"
NO_DEVICES = ("--mic", "none", "--speaker", "none")


def states(findings: list[Finding]) -> dict[str, str]:
    return {one.check: one.state for one in findings}


# ------------------------------------------------------------------------------------- the verdict


def test_a_problem_gives_exit_code_1_and_a_warning_or_a_skipped_check_does_not() -> None:
    kinds = {
        state: Finding("audio", "level", state, "")
        for state in ("ok", "warning", "problem", "skipped")
    }
    assert exit_code([]) == exit_code([kinds["ok"], kinds["warning"], kinds["skipped"]]) == 0
    assert exit_code([kinds["problem"], kinds["ok"]]) == 1
    assert verdict([kinds["ok"], kinds["skipped"]]) == "ok"
    assert verdict([kinds["warning"], kinds["ok"]]) == "warning"


def test_every_field_of_the_document_is_described() -> None:
    text = (ROOT / "docs/json.md").read_text(encoding="utf-8").partition("\n# ")[2]
    told = document([Finding("audio", "level", "ok", "fine", facts={"peak_dbfs": -3.0})], "1.0")
    assert json.loads(json.dumps(told)) == told
    for name in (*told, *told["checks"][0]):
        assert f"| `{name}` |" in text


# --------------------------------------------------------------------------------------- the meter


def pcm(samples: Any) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()


def metered(samples: Any, block: int = 960) -> Meter:
    meter = Meter()
    for start in range(0, len(samples), block):
        meter.add(pcm(samples[start : start + block]))
    return meter


def speech(dbfs: float, seconds: float = 2.0, rate_hz: int = 48_000) -> Any:
    """Half a second of noise, half a second of next to nothing, and so on."""
    rng = np.random.default_rng(3)
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    loud = np.where(at % 1.0 < 0.5, 10 ** (dbfs / 20), 10 ** (-70 / 20))
    return rng.normal(0, 1, len(at)) * loud * 32768


def test_a_meter_tells_levels_and_a_voice_is_fine() -> None:
    reading = metered(speech(-25)).reading()
    assert reading.loudest_dbfs == pytest.approx(-25, abs=1)
    assert reading.noise_dbfs == pytest.approx(-70, abs=1)
    assert states(judged(reading, "linux", was_asked=True)) == {"level": "ok"}


@pytest.mark.parametrize(
    ("platform", "fix"), [("linux", "pactl"), ("darwin", "Privacy_Microphone"), ("win32", "start ")]
)
def test_exact_zeros_are_a_silenced_microphone_with_the_systems_own_fix(
    platform: str, fix: str
) -> None:
    (found,) = judged(metered(np.zeros(48_000)).reading(), platform, was_asked=False)
    assert (found.check, found.state) == ("level", "problem")
    assert fix in found.fixes[0]
    assert found.facts["is_zero"] is True


def test_one_bit_of_noise_is_no_silenced_microphone() -> None:
    samples = np.zeros(48_000)
    samples[::7] = 1
    (found,) = judged(metered(samples).reading(), "linux", was_asked=False)
    assert (found.check, found.state) == ("level", "warning")
    assert "soft" in found.told


def test_a_soft_voice_is_told_where_somebody_was_asked_to_speak() -> None:
    reading = metered(speech(-62)).reading()
    assert states(judged(reading, "linux", was_asked=True)) == {"level": "warning"}
    assert states(judged(reading, "linux", was_asked=False)) == {"level": "ok"}


def test_clipping_is_told_and_a_single_click_is_not() -> None:
    (clipping,) = judged(metered(speech(3)).reading(), "linux", was_asked=True)
    assert "cut off" in clipping.told
    assert clipping.fixes == ("pactl set-source-volume @DEFAULT_SOURCE@ 50%",)
    clicked = speech(-25)
    clicked[1000] = 40_000
    (fine,) = judged(metered(clicked).reading(), "linux", was_asked=True)
    assert fine.state == "ok"


def test_a_signal_off_zero_and_a_loud_room_are_told() -> None:
    shifted = judged(metered(speech(-25) + 800).reading(), "linux", was_asked=True)
    assert states(shifted) == {"level": "ok", "offset": "warning"}
    rng = np.random.default_rng(4)
    loud = judged(metered(rng.normal(0, 1, 96_000) * 1000).reading(), "linux", was_asked=True)
    assert states(loud) == {"level": "ok", "noise": "warning"}


# --------------------------------------------------------------------------------------- the chirp


def heard(
    delay_ms: float,
    gain_db: float,
    *,
    noise_dbfs: float = -90,
    left_at_ms: float = 400,
    tail: Any = (1.0,),
) -> Loop:
    """What is found of a sound that came by a way of this delay, gain and impulse response."""
    rng = np.random.default_rng(5)
    whole = rng.normal(0, 1, int(2.6 * 24_000)) * 10 ** (noise_dbfs / 20)
    sent = np.frombuffer(chirp.sound(), "<i2") / 32768
    came = np.convolve(sent, tail) * 10 ** (gain_db / 20)
    at = round((left_at_ms + delay_ms) * 24)
    whole[at : at + len(came)] += came[: max(0, len(whole) - at)]
    return chirp.analysed(pcm(whole * 32768), left_at_ms)


@pytest.mark.parametrize("delay_ms", [0, 8.5, 60, 347, 850])
@pytest.mark.parametrize("gain_db", [-45, -20, 0, 6])
def test_a_sound_is_found_again_at_any_delay_and_gain(delay_ms: float, gain_db: float) -> None:
    echo = heard(delay_ms, gain_db).echo
    assert echo is not None
    assert echo.delay_ms == pytest.approx(delay_ms, abs=0.1)
    assert echo.coupling_db == pytest.approx(gain_db, abs=0.5)
    assert echo.found == 3


@pytest.mark.parametrize("gain_db", [-30, -12])
def test_noise_as_loud_as_the_echo_hides_it_not(gain_db: float) -> None:
    loop = heard(120, gain_db, noise_dbfs=-20 + gain_db)
    assert loop.echo is not None
    assert loop.echo.delay_ms == pytest.approx(120, abs=1)
    assert loop.echo.coupling_db == pytest.approx(gain_db, abs=1.5)
    assert loop.noise_dbfs == pytest.approx(-20 + gain_db, abs=1)


def test_the_energy_of_a_room_counts_and_its_first_way_is_the_delay() -> None:
    rng = np.random.default_rng(6)
    tail = rng.normal(0, 0.02, 2400) * np.exp(-np.arange(2400) / 600)
    tail[0] = 0.7
    tail[6 * 24] = 0.9
    gain_db = 10 * np.log10(np.sum(tail**2))
    echo = heard(50, 0, tail=tail).echo
    assert echo is not None
    assert echo.delay_ms == pytest.approx(50, abs=1)
    assert echo.coupling_db == pytest.approx(gain_db, abs=1.5)


@pytest.mark.parametrize("noise_dbfs", [-90, -50, -20])
def test_where_there_is_no_echo_none_is_found(noise_dbfs: float) -> None:
    loop = heard(100, -150, noise_dbfs=noise_dbfs)
    assert loop.echo is None
    assert recommended(loop, can_cancel=False).fixes == ("voicecli talk --echo off",)


def test_the_sound_is_softer_than_a_voice() -> None:
    samples = np.frombuffer(chirp.sound(), "<i2") / 32768
    assert np.max(np.abs(samples)) < 0.15
    assert len(samples) == chirp.TOTAL_MS * 24


# ------------------------------------------------------------------------------------- the advice


def loop_of(delay_ms: float, coupling_db: float) -> Loop:
    return Loop(Echo(delay_ms, coupling_db, 0.0, 3), -60.0, -50.0)


@pytest.mark.parametrize(
    ("delay_ms", "coupling_db", "can_cancel", "state", "mode"),
    [
        (50, -20, True, "ok", "aec"),
        (50, -20, False, "warning", "half-duplex"),
        (50, 6, True, "warning", "aec"),
        (420, -20, True, "warning", "half-duplex"),
        (420, -58, True, "ok", "off"),
    ],
)
def test_the_advice_is_a_flag_to_paste(
    delay_ms: float, coupling_db: float, can_cancel: bool, state: str, mode: str
) -> None:
    found = recommended(loop_of(delay_ms, coupling_db), can_cancel=can_cancel)
    assert (found.state, found.facts) == (state, {"echo": mode})
    assert f"voicecli talk --echo {mode}" in found.fixes


def test_where_cancellation_is_not_installed_its_installation_comes_first() -> None:
    found = recommended(loop_of(50, -20), can_cancel=False)
    assert found.fixes[0] == 'pip install "voicecli[aec]"'


def test_a_very_loud_echo_may_also_mean_push_to_talk() -> None:
    assert "voicecli talk --vad none" in recommended(loop_of(50, 6), can_cancel=True).fixes


def test_a_measurement_with_gaps_says_so() -> None:
    assert judged_loop(loop_of(50, -20), 20.0).state == "ok"
    found = judged_loop(loop_of(50, -20), 20.0, gaps=1)
    assert (found.state, found.facts["round_trip_ms"]) == ("warning", 70.0)


# --------------------------------------------------------------------------------- devices by name


def device(name: str, *, index: int = 0, rate_hz: int = 48_000, default: bool = True) -> DeviceInfo:
    return DeviceInfo(index, name, "ALSA", 1, 2, rate_hz, default, default)


def run_of(*accepted_hz: int, troubles: int = 0, blocks: int = 50, worst_ms: float = 21.0) -> Run:
    rate_hz = 24_000 if 24_000 in accepted_hz else accepted_hz[-1]
    return Run(rate_hz, accepted_hz, 12.0, 20.0, blocks, 20.0, worst_ms, troubles)


def test_names_tell_of_bluetooth_screens_and_our_own_sound() -> None:
    assert is_bluetooth("AirPods Pro")
    assert is_bluetooth("bluez_output.00_11_22.a2dp-sink")
    assert is_telephone("Headset (WH-1000XM4 Hands-Free AG Audio)")
    assert is_telephone("AirPods Pro", [8_000, 16_000])
    assert not is_telephone("AirPods Pro", [44_100, 48_000])
    assert not is_telephone("USB Telephone", [8_000, 16_000])
    assert is_screen("HDA Intel: HDMI 0 (hw:0,3)")
    assert is_screen("alsa_output.pci-0000_01_00.1.hdmi-stereo")
    assert not is_screen("Monitor of Built-in Audio")
    assert is_own_sound("alsa_output.pci.analog-stereo.monitor")
    assert not any(
        check("MacBook Pro Microphone") for check in (is_bluetooth, is_screen, is_own_sound)
    )


def test_a_device_that_runs_is_told_with_its_rates_and_times() -> None:
    found = judged_device(device("Built-in"), "input", run_of(24_000, 48_000), [])
    assert found.state == "ok"
    assert "24 kHz (its own: 48)" in found.told
    assert found.facts["accepted_hz"] == [24_000, 48_000]
    converted = judged_device(device("Card"), "output", run_of(44_100, 48_000), [])
    assert "refuses 24 kHz" in converted.told


def test_a_headset_in_telephone_mode_is_told_with_another_microphone_to_paste() -> None:
    others = [device("AirPods"), device("MacBook's Microphone", index=1, default=False)]
    found = judged_device(others[0], "input", run_of(8_000, 16_000), others)
    assert found.state == "warning"
    assert "telephone" in found.told
    assert found.fixes == ("voicecli talk --mic 'MacBook'\"'\"'s Microphone'",)


def test_a_screen_as_speaker_is_told_with_another_to_paste() -> None:
    others = [device("HDMI 0"), device("DisplayPort 1"), device("Speakers", default=False)]
    found = judged_device(others[0], "output", run_of(24_000, 48_000), others)
    assert (found.state, found.fixes[0]) == ("warning", "voicecli talk --speaker Speakers")
    assert better(others[:2], others[0], "output") is None


def test_a_device_that_opens_and_does_nothing_is_a_problem_and_a_late_one_a_warning() -> None:
    assert judged_device(device("A"), "input", None, []).state == "problem"
    assert judged_device(device("A"), "input", run_of(24_000, worst_ms=300), []).state == "warning"
    assert judged_device(device("A"), "input", run_of(24_000, troubles=1), []).state == "warning"


def test_what_is_behind_the_sound_servers_default_is_told_only_where_it_is_used() -> None:
    defaults = ServerDefaults("alsa_output.x.hdmi-stereo", "alsa_output.x.monitor", True, True)
    found = judged_defaults(defaults, ["output"])
    assert states(found) == {"default speaker": "warning", "mute": "problem"}
    assert states(judged_defaults(defaults, ["input"])) == {
        "default microphone": "warning",
        "mute": "problem",
    }
    assert judged_defaults(ServerDefaults("speaker", "microphone"), ["input", "output"]) == []


def test_a_device_that_stops_in_the_middle_is_a_problem() -> None:
    gone = Run(24_000, (24_000,), 40.0, 20.0, 30, 20.0, 22.0, 0, has_stopped=True)
    found = judged_device(device("A"), "input", gone, [])
    assert (found.state, found.check) == ("problem", "microphone")
    assert "stops" in found.told


def test_without_sound_it_says_what_works_all_the_same() -> None:
    for found in (no_devices(is_wsl=False), no_library("PortAudio is not installed", "linux")):
        assert found.state == "problem"
        assert "voicecli demo" in found.fixes
    assert no_library("", "darwin").fixes[0] == "brew install portaudio"
    assert "libasound2-plugins" in no_devices(is_wsl=True).fixes[0]


# -------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("value", "state", "told"),
    [
        (None, "problem", "not set"),
        (" \n", "problem", "empty"),
        (f'"{KEY}"', "problem", "quotes"),
        (f"“{KEY}”", "problem", "quotes"),
        (f"Bearer {KEY}", "problem", "Bearer"),
        (f"{KEY} {KEY}", "problem", "space"),
        (f"{KEY}…", "problem", "characters"),
        (f"{KEY}\n", "warning", "line end"),
        ("sk-your-key-goes-here", "warning", "stand-in"),
        ("sk-123", "warning", "short"),
        (KEY, "ok", "MY_KEY"),
    ],
)
def test_a_key_is_judged_by_its_looks_and_never_told(
    value: str | None, state: str, told: str
) -> None:
    found = judged_key("MY_KEY", value, "linux")
    assert found.state == state
    assert told in found.told
    assert "MY_KEY" in found.told
    for secret in {KEY, value}:
        assert secret is None or not secret.strip() or secret.strip() not in repr(found)


# ----------------------------------------------------------------------- models, disk and terminal


EARS = Weights("ears", "hears", 44_000_000, "present")
MIND = Weights("mind", "thinks", 1_000_000_000, "missing")


def test_a_key_that_stands_where_its_variable_is_to_be_named_is_not_repeated() -> None:
    found = judged_key(KEY, None, "linux")
    assert found.state == "problem"
    assert KEY not in str(found)


def test_missing_models_are_told_with_the_command_that_fetches_them() -> None:
    (weights, memory) = judged_weights([EARS, MIND], ["ears", "mind"], 8 * 10**9, is_used=True)
    assert (weights.state, weights.fixes) == ("warning", ("voicecli models pull mind",))
    assert memory.state == "ok"
    (unused,) = judged_weights([EARS, MIND], ["ears", "mind"], 8 * 10**9, is_used=False)
    assert unused.state == "ok"


def test_a_damaged_model_and_one_that_does_not_fit_are_told() -> None:
    damaged = Weights("old", "hears", 1, "damaged")
    found = judged_weights([EARS, damaged], ["ears"], 10_000_000, is_used=True)
    assert [one.state for one in found] == ["ok", "warning", "problem"]
    assert found[1].fixes == ("voicecli models pull old",)


def test_a_slow_engine_is_told_and_one_without_a_voice_is_a_problem() -> None:
    assert judged_engine(2.0, 0.3, "small").state == "ok"
    assert judged_engine(2.0, 4.0, "small").fixes == ("voicecli talk --mind rules",)
    assert judged_engine(2.0, None, "small").state == "problem"


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    assert machine.judged_recordings(tmp_path / "not" / "there" / "yet").state == "ok"
    (tmp_path / "file").write_text("")
    found = machine.judged_recordings(tmp_path / "file" / "recordings")
    assert found.state == "problem"
    assert not list(tmp_path.glob("not*"))


def test_a_home_that_nobody_has_is_a_problem_and_no_crash() -> None:
    found = machine.judged_recordings("~nobody-has-this-name/recordings")
    assert found.state == "problem"
    assert "cannot be written" in found.told


def test_packages_that_are_missing_are_told_and_extras_are_a_choice() -> None:
    everything = dict.fromkeys(machine.versions(), "1.0")
    assert machine.judged_packages(everything).state == "ok"
    found = machine.judged_packages(everything | {"rich": None})
    assert (found.state, found.fixes) == ("problem", ("pip install rich",))
    found = machine.judged_packages(everything | {"pywebrtc-audio": None})
    assert (found.state, found.fixes) == ("ok", ('pip install "voicecli[aec]"',))


@pytest.mark.parametrize(
    ("term", "encoding", "state"),
    [("xterm", "utf-8", "ok"), ("dumb", "utf-8", "warning"), ("xterm", "latin-1", "warning")],
)
def test_what_a_terminal_cannot_do_is_told(term: str, encoding: str, state: str) -> None:
    found = machine.judged_terminal(
        is_terminal=True, columns=80, encoding=encoding, environ={"TERM": term}
    )
    assert found.state == state


# --------------------------------------------------------------------------------------- patience


def test_what_hangs_is_left_behind_and_remembered() -> None:
    release = threading.Event()

    async def run() -> None:
        patience = Patience()
        assert await patience.run(lambda: 7, 5) == 7
        assert not patience.is_hanging
        with pytest.raises(TimeoutError):
            await patience.run(release.wait, 0.05)
        assert patience.is_hanging
        with pytest.raises(ValueError, match="own"):
            await patience.run(lambda: (_ for _ in ()).throw(ValueError("own")), 5)

    try:
        asyncio.run(run())
    finally:
        release.set()


# ---------------------------------------------------------------------------------------- the look


LONG = Finding(
    "audio", "microphone", "problem", "what was found " * 8, "what to do " * 6,
    ("voicecli talk --mic 'a name that is longer than any line of a narrow terminal can be'",),
)  # fmt: skip


@pytest.mark.parametrize("width", [120, 80, 60, 40, 24])
def test_findings_fit_the_width_and_commands_stay_whole(width: int) -> None:
    lines = finding_lines(LONG, width)
    assert all(line.cell_len <= width for line in lines[:-1])
    assert lines[-1].plain.strip() == LONG.fixes[0]
    assert lines[0].plain.startswith("problem")


def test_nothing_from_outside_can_give_the_terminal_orders() -> None:
    nasty = "evil\x1b]0;title\x07\x1b[31m\u202ename\nsecond"
    finding = Finding("audio", "microphone", "ok", nasty, nasty, (nasty,))
    text = "".join(line.plain for line in finding_lines(finding, 80))
    assert not set(text) & {"\x1b", "\x07", "\u202e", "\n"}


def test_a_long_name_of_a_check_does_not_run_into_what_was_found() -> None:
    found = Finding("audio", "default microphone", "warning", "a screen")
    lines = [one.plain for one in finding_lines(found, 80)]
    assert lines == ["warning  default microphone", " " * 24 + "a screen"]


def test_the_last_line_counts() -> None:
    assert verdict_line([]).plain == "all is well"
    warning = Finding("audio", "level", "warning", "")
    assert verdict_line([LONG, warning, warning]).plain == "1 problem, 2 warnings"


def test_a_meter_lights_up_with_the_level_and_fits() -> None:
    line = working_line("say something", -30.0, 40, is_ascii=False)
    assert line.plain.startswith("■■■■■·····  -30 dBFS")
    assert line.cell_len <= 40
    assert working_line("say", -100.0, 40, is_ascii=True).plain.startswith("..........")


def test_a_file_gets_no_meter_and_no_colours(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+", encoding="utf-8") as out:
        shown = Checkup(Console(file=out, highlight=False))
        shown.working("say something", -30.0)
        shown.show(LONG)
        shown.close([LONG])
        out.seek(0)
        text = out.read()
    assert text.startswith("audio\nproblem  microphone")
    assert text.endswith("\n\n1 problem\n")
    assert "\x1b" not in text


# ------------------------------------------------------------------------- servers of all kinds


def examined(*arguments: str, **environment: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Exit code, checks by name, and all that was written."""
    with Program("doctor", *arguments, "--json", environment=environment) as program:
        code = program.wait()
    written = program.shown + program.complaint
    if not program.shown:
        return code, {}, written
    told = json.loads(program.shown)
    return code, {one["check"]: one for one in told["checks"]}, written


def server_checks(url: str, **environment: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    return examined("--only", "server", "--server", url, **environment)


def state_of(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: one["state"] for name, one in checks.items()}


def test_a_good_server_is_reached_and_its_distance_measured() -> None:
    with ScriptedServer() as server:
        code, checks, _ = server_checks(server.url)
    assert state_of(checks) == {
        "server": "ok", "key": "skipped", "dns": "ok", "tcp": "ok", "tls": "skipped",
        "session": "ok", "round trip": "ok",
    }  # fmt: skip
    assert code == 0
    assert checks["round trip"]["facts"]["pings"] == 5
    assert 0 < checks["round trip"]["facts"]["median_ms"] < 250


def test_a_server_that_closes_the_session_at_once_is_a_problem_with_its_reason() -> None:
    async def closing(peer: Peer) -> None:
        await peer.send("session.created", session=SESSION)
        await peer.close(1011, "out of \x1b[31morder")

    with ScriptedServer(closing) as server:
        code, checks, _ = server_checks(server.url)
    assert (code, checks["round trip"]["state"]) == (1, "problem")
    assert "out of" in checks["round trip"]["told"]
    assert "\x1b" not in checks["round trip"]["told"]


def named_server(tmp_path: Path, url: str) -> tuple[str, ...]:
    file = tmp_path / "config.toml"
    file.write_text(f'[servers.mine]\nurl = "{url}"\nkey_env = "MY_KEY"\n', encoding="utf-8")
    return ("--only", "server", "--server", "mine", "--config", str(file))


def test_a_refused_key_is_told_as_such_and_shown_nowhere(tmp_path: Path) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(401, f"bad key {request.headers.get('Authorization')}")

    with ScriptedServer(respond=refuse) as server:
        wanted = named_server(tmp_path, server.url)
        code, checks, written = examined(*wanted, MY_KEY=KEY)
    assert code == 1
    assert checks["session"]["state"] == "problem"
    assert "refused the key (HTTP 401)" in checks["session"]["told"]
    assert "MY_KEY" in checks["session"]["fixes"][0]
    assert checks["round trip"]["state"] == "skipped"
    assert KEY not in written


def test_without_a_key_no_session_is_tried(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        code, checks, _ = examined(*named_server(tmp_path, server.url))
    assert code == 1
    assert (checks["key"]["state"], checks["session"]["state"]) == ("problem", "skipped")
    assert server.paths == []


def test_secrets_in_an_address_are_not_shown() -> None:
    code, checks, written = server_checks(f"ws://user:{KEY}@127.0.0.1:9/v1?token={KEY}")
    assert code == 1
    assert checks["tcp"]["state"] == "problem"
    assert KEY not in written


def test_a_plain_web_server_is_told_to_be_none(tmp_path: Path) -> None:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            code, checks, _ = server_checks(f"ws://127.0.0.1:{server.server_port}/v1/realtime")
        finally:
            server.shutdown()
            thread.join()
    assert code == 1
    assert (checks["tcp"]["state"], checks["session"]["state"]) == ("ok", "problem")


def test_a_server_that_takes_the_line_and_says_nothing_does_not_hang_it() -> None:
    began = time.monotonic()
    with plain_tcp(None) as port:
        code, checks, _ = server_checks(f"ws://127.0.0.1:{port}/v1/realtime")
    assert code == 1
    assert checks["session"]["state"] == "problem"
    assert "within" in checks["session"]["told"]
    assert time.monotonic() - began < 12


def test_a_server_without_tls_is_told_apart_from_one_that_is_away() -> None:
    with plain_tcp(b"SSH-2.0-nothing\r\n") as port:
        code, checks, _ = server_checks(f"wss://127.0.0.1:{port}/v1/realtime")
    assert code == 1
    assert state_of(checks) == {
        "server": "ok", "key": "skipped", "dns": "ok", "tcp": "ok", "tls": "problem",
        "session": "skipped", "round trip": "skipped",
    }  # fmt: skip


def test_a_port_where_nobody_listens_and_a_name_that_is_none_are_told() -> None:
    with plain_tcp(None) as port:
        pass
    code, checks, _ = server_checks(f"ws://127.0.0.1:{port}/v1/realtime")
    assert (code, checks["tcp"]["state"]) == (1, "problem")
    assert checks["tcp"]["fixes"] == ["voicecli serve"]
    code, checks, _ = server_checks("ws://no-such-host.invalid/v1/realtime")
    assert (code, checks["dns"]["state"], checks["tcp"]["state"]) == (1, "problem", "skipped")


def openssl(*arguments: object, folder: Path) -> None:
    try:
        subprocess.run(
            ["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=folder
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no openssl that could make such a certificate")


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    openssl(
        "req", "-x509", *NEW_KEY, "-keyout", key, "-out", cert, "-days", 30,
        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", folder=folder,
    )  # fmt: skip
    return cert, key


EXPIRED = """\
[ca]
default_ca = it
[it]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = names
x509_extensions = more
[names]
commonName = supplied
[more]
subjectAltName = DNS:localhost
"""


def expired_certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "old.pem", folder / "old.key"
    (folder / "ca.conf").write_text(EXPIRED)
    (folder / "index").touch()
    openssl(
        "req", "-new", *NEW_KEY, "-keyout", key, "-out", "old.csr", "-subj", "/CN=localhost",
        folder=folder,
    )  # fmt: skip
    openssl(
        "ca", "-selfsign", "-batch", "-notext", "-config", "ca.conf", "-keyfile", key,
        "-in", "old.csr", "-out", cert, "-startdate", "20200101000000Z",
        "-enddate", "20200201000000Z", folder=folder,
    )  # fmt: skip
    return cert, key


@contextlib.contextmanager
def tls_server(cert: Path, key: Path) -> Iterator[int]:
    """Shakes hands, and that is all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def tls_place(port: int) -> network.Place:
    return network.Place("localhost", port, is_secure=True, is_loopback=True)


def test_a_self_signed_certificate_is_told_with_the_way_to_trust_it(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with tls_server(cert, key) as port:
        code, checks, _ = server_checks(f"wss://localhost:{port}/v1/realtime")
        assert (code, checks["tls"]["state"]) == (1, "problem")
        assert "self-signed" in checks["tls"]["told"]
        assert checks["tls"]["fixes"][0].startswith("export SSL_CERT_FILE=")
        trusting = server_checks(f"wss://localhost:{port}/v1/realtime", SSL_CERT_FILE=str(cert))[1]
    assert trusting["tls"]["state"] == "ok"
    assert trusting["tls"]["facts"]["days_left"] in (29, 30)


def test_a_certificate_that_is_over_or_soon_will_be_or_is_anothers_is_told(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=cert)
    with tls_server(cert, key) as port:
        later = datetime.now(UTC) + timedelta(days=25)
        found = network.secured(tls_place(port), 5, now=lambda: later, context=trusted)
        assert (found.state, found.facts["days_left"]) == ("warning", 4)
    cert, key = certificate(tmp_path, "elsewhere")
    trusted = ssl.create_default_context(cafile=cert)
    with tls_server(cert, key) as port:
        found = network.secured(tls_place(port), 5, context=trusted)
        assert found.state == "problem"
        assert "name" in found.advice


def test_an_expired_certificate_is_told(tmp_path: Path) -> None:
    cert, key = expired_certificate(tmp_path)
    with tls_server(cert, key) as port:
        found = network.secured(tls_place(port), 5, context=ssl.create_default_context(cafile=cert))
    assert found.state == "problem"
    assert "expired" in found.told
    assert found.fixes == ("date -u",)


def test_the_engine_of_ours_is_a_server_like_others() -> None:
    from helpers_program import engine_can_run

    if not engine_can_run():
        pytest.skip("the engine's models are not here")
    with Program(
        "serve", "--port", "0", "--announce", "--mind", "rules", stdin=subprocess.PIPE
    ) as engine:
        engine.until(lambda: b"\n" in engine.output)
        url = json.loads(engine.output.split(b"\n")[0])["url"]
        code, checks, _ = server_checks(url)
        engine.kill()
        engine.wait()
    assert (code, checks["session"]["state"], checks["round trip"]["state"]) == (0, "ok", "ok")


# ---------------------------------------------------------------------------------- the whole of it


def test_the_engine_inside_is_started_and_asked_where_it_is_used() -> None:
    from helpers_program import engine_can_run

    if not engine_can_run():
        pytest.skip("the engine's models are not here")
    code, checks, _ = examined("--only", "models", "--server", "local")
    assert checks["weights"]["state"] in ("ok", "warning")
    assert checks["engine"]["state"] in ("ok", "warning"), checks["engine"]
    assert code == 0


def test_a_wrong_configuration_is_a_finding_and_the_rest_is_examined(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[audio]\nmicc = 'x'\n", encoding="utf-8")
    code, checks, _ = examined("--config", str(file), "--only", "system,server")
    assert code == 1
    assert checks["settings"]["state"] == "problem"
    assert "audio.micc" in checks["settings"]["told"]
    assert checks["server"]["state"] == "ok"


def test_an_unknown_server_is_one_problem_and_not_two() -> None:
    code, checks, _ = examined("--only", "server", "--server", "nowhere")
    assert (code, state_of(checks)) == (1, {"settings": "problem", "server": "skipped"})


def test_a_mind_that_there_is_not_is_a_problem_as_in_a_talk() -> None:
    from helpers_program import engine_can_run

    if not engine_can_run():
        pytest.skip("the engine's models are not here")
    code, checks, _ = examined("--only", "models", VOICECLI_LOCAL__MIND="nobody")
    assert (code, checks["engine"]["state"]) == (1, "problem")
    assert "'nobody'" in checks["engine"]["told"]


def test_a_mind_elsewhere_that_is_away_or_refuses_is_told_with_its_reason() -> None:
    from helpers_program import engine_can_run

    if not engine_can_run():
        pytest.skip("the engine's models are not here")
    with plain_tcp(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n") as port:
        mind = f"http://127.0.0.1:{port}/v1"
        code, checks, _ = examined("--only", "models", VOICECLI_LOCAL__MIND=mind)
    assert (code, checks["engine"]["state"]) == (1, "problem")
    assert "refused the key" in checks["engine"]["told"]
    code, checks, _ = examined("--only", "models", VOICECLI_LOCAL__MIND=mind)
    assert (code, checks["stages"]["state"], checks["engine"]["state"]) == (1, "problem", "skipped")


def test_a_full_disk_under_the_output_is_one_line_of_complaint() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "voicecli", "doctor", "--only", "system"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT,
            env=clean_environment("/nowhere"),
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "voicecli: cannot write the output: No space left on device\n"


def test_an_unknown_area_is_refused_with_those_there_are() -> None:
    code, _, written = examined("--only", "sond")
    assert code == 2
    assert "system, audio, server, models" in written


def test_files_and_none_are_no_devices_and_leave_nothing_to_examine() -> None:
    code, checks, _ = examined("--only", "audio", *NO_DEVICES)
    assert (code, state_of(checks)) == (0, {"devices": "skipped"})


def test_a_microphones_file_that_is_not_there_is_a_problem_as_in_a_talk(tmp_path: Path) -> None:
    absent = str(tmp_path / "nothing.wav")
    code, checks, _ = examined("--only", "audio", "--mic", absent, "--speaker", "none")
    assert (code, state_of(checks)) == (1, {"files": "problem", "devices": "skipped"})


def test_a_missing_sound_library_is_told_with_what_installs_it(tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    code, checks, _ = examined("--only", "audio", PYTHONPATH=path)
    assert (code, state_of(checks)) == (1, {"sound library": "problem"})
    assert "voicecli demo" in checks["sound library"]["fixes"]


@pytest.mark.skipif(sys.platform != "linux", reason="ALSA is what can end a process")
def test_a_sound_library_that_ends_its_process_is_told_instead_of_ending_this_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "sounddevice.py").write_text("import os\nos.abort()\n")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    code, checks, _ = examined("--only", "audio", PYTHONPATH=path)
    assert (code, state_of(checks)) == (1, {"sound library": "problem"})
    assert checks["sound library"]["facts"] == {"signal": "SIGABRT"}


def test_no_sound_device_is_told_with_what_works_without() -> None:
    nowhere = {"PULSE_SERVER": "unix:/nowhere", "ALSA_CONFIG_PATH": "/usr/share/alsa/alsa.conf"}
    code, checks, _ = examined("--only", "audio", **nowhere)
    if "devices" not in checks:
        pytest.skip("there are devices, or there is no PortAudio")
    assert (code, checks["devices"]["state"]) == (1, "problem")
    assert "voicecli demo" in checks["devices"]["fixes"]


def test_ctrl_c_ends_it_at_once_and_leaves_the_terminal_as_it_was() -> None:
    with (
        plain_tcp(None) as port,
        Program(
            "doctor", "--only", "server", "--server", f"ws://127.0.0.1:{port}/", at_terminal=True
        ) as program,
    ):
        program.until(lambda: b"asking" in program.output)
        began = time.monotonic()
        program.kill()
        assert program.wait() == 130
        assert time.monotonic() - began < 3
    assert "Traceback" not in program.shown
    assert program.shown.rfind("\x1b[?25h") > program.shown.rfind("\x1b[?25l")


def test_the_help_of_the_program_needs_nothing_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, voicecli.cli; print(*sys.modules)"],
        capture_output=True, text=True, check=True, cwd=ROOT, env=clean_environment("/nowhere"),
    )  # fmt: skip
    assert not [one for one in done.stdout.split() if one.startswith("voicecli.doctor")]
