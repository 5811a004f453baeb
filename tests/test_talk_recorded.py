"""The whole program, recorded: nothing that happens to it costs more than the last second."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_program import ROOT, Program, engine_can_run, spoken
from scripted_server import Peer, ScriptedServer

from voicecli.audio.wav import decode_wav
from voicecli.cli import with_empty_values
from voicecli.recording.check import Check
from voicecli.recording.files import Recording
from voicecli.recording.fold import Fold
from voicecli.recording.heard import HeardAudio

SPEECH = Path(__file__).parent / "data" / "speech"
KEY = "sk-test-0123456789abcdef"
needs_models = pytest.mark.skipif(
    not engine_can_run(), reason="the engine or the weights of its ears are not installed"
)


async def talking(peer: Peer) -> None:
    """Answers for ever, and is interrupted now and then."""
    await peer.greet()
    for number in range(1000):
        rng = np.random.default_rng(number)
        pcm = rng.integers(1000, 9000, 24_000).astype("<i2").tobytes()
        await peer.answer(f"R{number}", f"I{number}", pcm, "One, two, three.")
        await asyncio.sleep(0.6)
        if number % 2:
            await peer.speech(f"U{number}")
        await asyncio.sleep(0.3)


def is_same_again(path: Path) -> Recording:
    with Recording.open(path) as recording:
        assert list(Check(recording).differences()) == []
        return recording


def assistant_side(path: Path) -> np.ndarray:
    """What was heard of the assistant, without the silence around it."""
    with Recording.open(path) as recording:
        heard = HeardAudio()
        pieces = [
            piece
            for step in Fold(recording).steps()
            for piece in heard.step(step)
            if piece.side == "assistant"
        ]
    first = min(piece.position for piece in pieces)
    track = np.zeros(max(piece.end for piece in pieces) - first, "<i2")
    for piece in pieces:
        track[piece.position - first : piece.end - first] = np.frombuffer(piece.pcm, "<i2")
    return np.trim_zeros(track)


@needs_models
def test_a_spoken_talk_comes_out_the_same_and_sounds_the_same_sample_by_sample(
    tmp_path: Path,
) -> None:
    heard, place = tmp_path / "heard.wav", tmp_path / "talk"
    with spoken(
        "--server", "local", "--mind", "rules", "--mic", str(SPEECH / "jfk.wav"),
        "--speaker", str(heard), "--record", str(place), "--json",
    ) as program:  # fmt: skip
        assert program.wait(60) == 0
        interruptions = program.lines[-1]["interruptions"]
    assert interruptions >= 1
    assert is_same_again(place).is_complete
    played = np.frombuffer(decode_wav(heard.read_bytes()).pcm, "<i2")
    assert np.array_equal(assistant_side(place), np.trim_zeros(played))


def test_killed_at_any_moment_a_recording_opens_and_lacks_a_second_at_most(tmp_path: Path) -> None:
    moments = random.Random(7)
    for number in range(3):
        place = tmp_path / f"killed{number}"
        with (
            ScriptedServer(talking) as server,
            spoken(
                "--server", server.url, "--mic", str(SPEECH / "jfk.wav"),
                "--record", str(place), "--json",
            ) as program,
        ):  # fmt: skip
            program.until_line("session")
            time.sleep(moments.uniform(0.5, 2.5))
            seen = [line["at_ms"] for line in program.lines]
            program.kill(9)
            program.wait()
        recording = is_same_again(place)
        assert not recording.is_complete
        assert max(seen) - recording.duration_s * 1000 < 1000


def test_a_recording_without_a_place_goes_among_the_users_own(tmp_path: Path) -> None:
    with (
        ScriptedServer() as server,
        spoken(
            "--server", server.url, "--max-minutes", "0.01", "--record", "--json",
            environment={"XDG_DATA_HOME": str(tmp_path)},
        ) as program,
    ):  # fmt: skip
        assert program.wait() == 0
        (place,) = (tmp_path / "voicecli" / "recordings").iterdir()
        assert f"recorded to {place}" in program.complaint
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert is_same_again(place).header.server == server.url


def test_a_folder_that_is_there_gets_the_recording_inside_and_a_recording_is_never_overwritten(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        with (
            ScriptedServer() as server,
            spoken(
                "--server", server.url, "--max-minutes", "0.005", "--record", str(tmp_path)
            ) as program,
        ):
            assert program.wait() == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_a_place_that_cannot_be_made_ends_before_the_talk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        ScriptedServer() as server,
        spoken("--server", server.url, "--record", str(tmp_path / "file" / "r")) as program,
    ):
        assert program.wait() == 6
        assert "cannot write" in program.complaint
        assert "Traceback" not in program.complaint


def test_no_recording_is_made_inside_of_another_one(tmp_path: Path) -> None:
    (tmp_path / "monday").mkdir()
    (tmp_path / "monday" / "events.jsonl").touch()
    with (
        ScriptedServer() as server,
        spoken("--server", server.url, "--record", str(tmp_path / "monday")) as program,
    ):
        assert program.wait() == 2
        assert "is a recording already" in program.complaint
        assert "monday-2" in program.complaint
    assert [path.name for path in (tmp_path / "monday").iterdir()] == ["events.jsonl"]


def test_no_key_gets_into_a_recording(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"

    async def telling(peer: Peer) -> None:
        await peer.greet()
        await peer.send({"type": "error", "error": {"type": "x", "message": f"I know {KEY}"}})
        await asyncio.sleep(0.2)

    with (
        ScriptedServer(telling) as server,
        spoken(
            "--server", "mine", "--config", str(config), "--max-minutes", "0.01",
            "--instructions", f"The key is {KEY}", "--record", str(tmp_path / "r"),
            environment={"MY_KEY": KEY},
        ) as program,
    ):  # fmt: skip
        config.write_text(f'[servers.mine]\nurl = "{server.url}"\nkey_env = "MY_KEY"\n')
        program.wait()
    for file in (tmp_path / "r").iterdir():
        assert KEY.encode() not in file.read_bytes()
    assert (tmp_path / "r" / "events.jsonl").read_bytes().count(b"[removed]") >= 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of files")
def test_a_disk_that_is_full_ends_the_recording_and_not_the_talk(tmp_path: Path) -> None:
    place = tmp_path / "r"

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    with ScriptedServer(talking) as server:
        done = subprocess.run(
            [
                sys.executable, "-m", "voicecli", "talk", "--server", server.url,
                "--mic", str(SPEECH / "jfk.wav"), "--speaker", "none", "--max-minutes", "0.06",
                "--record", str(place), "--json",
            ],
            capture_output=True, text=True, cwd=ROOT, preexec_fn=small, timeout=30, check=False,
            env={**os.environ, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if "the recording has stopped" in line]
    assert len(told) == 1
    assert '"source":"recording"' in told[0]
    assert '"reason":"time limit"' in done.stdout.splitlines()[-1]
    assert "recorded to" not in done.stderr
    with Recording.open(place) as recording:
        assert list(Check(recording).differences()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps files that are open")
def test_a_folder_that_vanishes_ends_the_recording_and_not_the_talk(tmp_path: Path) -> None:
    place = tmp_path / "r"
    with (
        ScriptedServer(talking) as server,
        spoken(
            "--server", server.url, "--record", str(place), "--max-minutes", "0.05", "--json"
        ) as program,
    ):
        program.until_line("assistant")
        shutil.rmtree(place)
        assert program.wait() == 0
        errors = [line["message"] for line in program.lines_of("error")]
    assert errors == ["the recording has stopped: its files have been deleted"]


def test_the_screen_shows_that_it_is_recorded(tmp_path: Path) -> None:
    with (
        ScriptedServer() as server,
        Program(
            "talk", "--server", server.url, "--mic", "none", "--speaker", "none",
            "--record", str(tmp_path / "r"), at_terminal=True,
        ) as program,
    ):  # fmt: skip
        program.until(lambda: "● rec" in program.shown)
        program.type(b"q")
        assert program.wait() == 0


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["talk", "--record"], ["talk", "--record", ""]),
        (["talk", "--record", "--json"], ["talk", "--record", "", "--json"]),
        (["talk", "--record", "place", "--json"], ["talk", "--record", "place", "--json"]),
        (["talk", "--record=place"], ["talk", "--record=place"]),
    ],
)
def test_record_may_stand_without_a_place(given: list[str], meant: list[str]) -> None:
    assert with_empty_values(given) == meant
