"""`voicecli talk` on files and pipes: the whole loop on human speech, with no sound device."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from helpers_program import ROOT, Program, clean_environment, engine_can_run, spoken
from helpers_speech import word_errors
from scripted_server import Peer, ScriptedServer, call

SPEECH = Path(__file__).parent / "data" / "speech"
FORWARD = SPEECH / "goforward.wav"
needs_models = pytest.mark.skipif(
    not engine_can_run(), reason="the engine or the weights of its ears are not installed"
)
LOCAL = ("--server", "local", "--mind", "rules")


def ended(program: Program, code: int = 0, timeout_s: float = 30) -> None:
    assert program.wait(timeout_s) == code, program.complaint[-2000:]
    assert "Traceback" not in program.complaint


def sound(path: Path) -> np.ndarray:
    """A file of the program's, which must be mono at 24 kHz."""
    with wave.open(str(path)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (24_000, 1, 2)
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2")


def transcribed(pcm: np.ndarray) -> str:
    """What the engine's own ears make of PCM at 24 kHz."""
    from voicecli.audio.resample import convert
    from voicecli.engine.ears.ears import MoonshineEars
    from voicecli.engine.store import ModelStore

    pcm16k = np.frombuffer(convert(pcm.tobytes(), 24_000, 16_000), "<i2")
    ears = MoonshineEars(ModelStore().path("moonshine-tiny-en"))
    return ears.transcribe(pcm16k.astype(np.float32) / 32768)


def final(program: Program, kind: str) -> list[str]:
    return [line["text"] for line in program.lines_of(kind) if line["final"]]


# ------------------------------------------------------------------------------ with the engine


@needs_models
def test_a_question_in_a_file_is_understood_and_its_answer_can_be_understood_in_either_law(
    tmp_path: Path,
) -> None:
    laws = ("pcmu", "pcma")
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(spoken(
                *LOCAL, "--mic", str(FORWARD), "--speaker", str(tmp_path / f"{law}.wav"),
                "--format", law, "--linger", "0.3", "--json",
            ))
            for law in laws
        ]  # fmt: skip
        for program in programs:
            ended(program)
    for program, law in zip(programs, laws, strict=True):
        (question,), (answer,) = final(program, "user"), final(program, "assistant")
        summary, assistant = program.lines[-1], program.lines_of("assistant")[-1]
        assert word_errors("go forward ten meters", question)[0] == 0
        assert (summary["type"], summary["reason"], summary["turns"]) == ("summary", "finished", 1)
        assert (summary["dropped_frames"], summary["interruptions"]) == (0, 0)
        assert assistant["heard_ms"] == assistant["received_ms"] > 1000
        errors, words = word_errors(answer, transcribed(sound(tmp_path / f"{law}.wav")))
        assert errors <= words // 4, answer


@needs_models
def test_a_talk_through_pipes_is_the_same(tmp_path: Path) -> None:
    from voicecli.audio.resample import convert

    with wave.open(str(FORWARD)) as wav:
        pcm = convert(wav.readframes(wav.getnframes()), wav.getframerate(), 24_000)
    command = [sys.executable, "-m", "voicecli", "talk", *LOCAL, "--linger", "0.5"]
    done = subprocess.run(
        [*command, "--mic", "-", "--speaker", "-"], input=pcm, capture_output=True, timeout=40,
        env=clean_environment(str(tmp_path)), cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout) > 96_000
    told = done.stderr.decode()
    assert "you: Go forward ten meters.\n" in told
    answer = next(line for line in told.splitlines() if line.startswith("assistant: "))
    errors, words = word_errors(answer[11:], transcribed(np.frombuffer(done.stdout, "<i2")))
    assert errors <= words // 4


@needs_models
def test_without_voice_detection_a_file_is_one_turn() -> None:
    arguments = ["--vad", "none", "--mic", str(SPEECH / "cards_005.wav"), "--linger", "0.5"]
    with spoken(*LOCAL, *arguments, "--json") as program:
        program.until_line("turn", timeout_s=40)
        program.kill()
        ended(program)
        (question,) = final(program, "user")
        assert program.lines[-1]["turns"] == 1
    expected = "eight of spades four of clubs seven of hearts"
    assert word_errors(expected, question)[0] <= 3


@needs_models
def test_a_second_question_cuts_the_answer_to_the_first_off(tmp_path: Path) -> None:
    from voicecli.audio.resample import convert

    heard = tmp_path / "heard.wav"
    with wave.open(str(FORWARD)) as wav:
        pcm = convert(wav.readframes(wav.getnframes()), wav.getframerate(), 24_000)
    arguments = ["--mic", "-", "--speaker", str(heard), "--linger", "0.5", "--json"]
    with spoken(*LOCAL, *arguments, stdin=subprocess.PIPE) as program:
        assert program.process.stdin is not None
        program.process.stdin.write(pcm)
        program.process.stdin.flush()
        program.until_line("assistant", timeout_s=30)
        program.process.stdin.write(pcm)
        program.process.stdin.close()
        ended(program)
        (cut,) = program.lines_of("barge_in")
        assert not program.lines_of("error")
        assert len(final(program, "user")) == len(final(program, "assistant")) == 2
        assert (program.lines[-1]["turns"], program.lines[-1]["interruptions"]) == (2, 1)
    assert 0 < cut["heard_ms"] < cut["received_ms"]
    loud = np.flatnonzero(sound(heard))
    pauses = np.flatnonzero(np.diff(loud) > 12_000)
    first_answer_ms = (loud[pauses[0]] - loud[0]) / 24
    # What was heard may have begun and ended with silence of the answer's own.
    assert cut["heard_ms"] - 500 < first_answer_ms < cut["heard_ms"] + 5


# -------------------------------------------------------------------------- with a scripted server


def test_a_tool_of_the_users_runs_and_its_output_goes_back(tmp_path: Path) -> None:
    tools = tmp_path / "mytools.py"
    tools.write_text(
        'def add(a: int, b: int) -> int:\n    """Add two numbers."""\n    print("at work")\n'
        "    return a + b\n\n"
        'def broken() -> str:\n    """Never works."""\n    raise ValueError("\\x1b[2Jno luck")\n'
    )

    async def calling(peer: Peer) -> None:
        await peer.greet()
        await peer.begin("R1")
        calls = [call("c1", "add", '{"a":2,"b":40}'), call("c2", "broken", "{}"),
                 call("c3", "unknown", "{}"), call("c4", "add", '{"a":"x"')]  # fmt: skip
        for item in calls:
            place = {"response_id": "R1", "output_index": 0}
            await peer.send("response.output_item.done", **place, item=item)
        await peer.end("R1", *calls)
        await peer.until("response.create")
        await peer.answer("R2", "I2", bytes(4800), "It is 42.")
        await asyncio.sleep(0.3)
        await peer.close(1000)

    with (
        ScriptedServer(calling) as server,
        spoken("--server", server.url, "--tools", str(tools), "--json") as program,
    ):
        ended(program, 4)
        log = server.log
        outputs = {
            one.event["item"]["call_id"]: one.event["item"]["output"]
            for one in log.of("conversation.item.create")
        }
        offered = log.of("session.update")[0].event["session"]["tools"]
        printed = program.complaint
        told = {line["call_id"]: line["output"] for line in program.lines_of("tool")}
    assert outputs["c1"] == "42"
    assert set(outputs) == {"c1", "c2", "c3", "c4"}
    assert len(log.of("response.create")) == 1
    assert [one["name"] for one in offered] == ["add", "broken"]
    assert "at work" in printed
    assert told == outputs


def test_what_a_file_of_tools_prints_while_it_is_loaded_is_no_line_of_json(tmp_path: Path) -> None:
    tools = tmp_path / "mytools.py"
    tools.write_text('print("loaded")\n\ndef nothing() -> str:\n    """Do nothing."""\n')
    with (
        ScriptedServer() as server,
        spoken("--server", server.url, "--tools", str(tools), "--max-minutes", "0.005",
               "--json") as program,
    ):  # fmt: skip
        ended(program)
        assert program.lines[0]["type"] == "session"
    assert "loaded" in program.complaint


def test_the_talk_lingers_as_long_as_it_was_told() -> None:
    lingers = (0.0, 1.5)
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(spoken(
                "--server", stack.enter_context(ScriptedServer()).url,
                "--mic", str(SPEECH / "cards_001.wav"), "--linger", str(linger), "--json",
            ))
            for linger in lingers
        ]  # fmt: skip
        for program in programs:
            ended(program)
        shorter, longer = (program.lines[-1]["seconds"] for program in programs)
    assert shorter >= 1.09
    assert 1.0 < longer - shorter < 3.0


def test_a_talk_does_not_end_while_an_answer_is_being_heard() -> None:
    async def late(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(1000)
        await peer.answer("R", "I", bytes(48 * 1200), "Slowly does it.")

    with (
        ScriptedServer(late) as server,
        spoken(
            "--server", server.url, "--mic", str(SPEECH / "cards_001.wav"), "--linger", "0.1",
            "--json",
        ) as program,
    ):  # fmt: skip
        ended(program)
        last = program.lines_of("assistant")[-1]
    assert (last["final"], last["heard_ms"], last["interrupted"]) == (True, 1200, False)


def test_a_talk_ends_at_its_time_limit() -> None:
    with (
        ScriptedServer() as server,
        spoken("--server", server.url, "--max-minutes", "0.02", "--json") as program,
    ):
        ended(program)
        assert program.lines[-1]["reason"] == "time limit"
        assert 1.2 <= program.lines[-1]["seconds"] < 3.0


def test_the_microphone_file_arrives_whole_and_in_real_time() -> None:
    with (
        ScriptedServer() as server,
        spoken("--server", server.url, "--mic", str(FORWARD), "--linger", "0.2") as program,
    ):
        ended(program)
        log = server.log
    from voicecli.audio.resample import convert

    with wave.open(str(FORWARD)) as wav:
        pcm = convert(wav.readframes(wav.getnframes()), wav.getframerate(), 24_000)
    assert bytes(log.audio).startswith(pcm)
    pace = (log.appends[-1] - log.appends[0]) / (len(log.appends) - 1)
    assert pace == pytest.approx(0.02, abs=0.003)


def test_the_answer_file_is_what_was_sent_up_to_the_interruption(tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    rng = np.random.default_rng(3)
    pcm = (rng.integers(1000, 9000, 96_000) * rng.choice((-1, 1), 96_000)).astype("<i2")

    async def interrupting(peer: Peer) -> None:
        await peer.greet()
        await peer.answer("R", "I", pcm.tobytes(), "A long story.")
        await asyncio.sleep(1.234)
        await peer.speech("U")
        await asyncio.sleep(0.5)
        await peer.close()

    with (
        ScriptedServer(interrupting) as server,
        spoken("--server", server.url, "--speaker", str(heard), "--json") as program,
    ):
        ended(program, 4)
        (cut,) = server.log.of("conversation.item.truncate")
        (told,) = program.lines_of("barge_in")
    played = np.trim_zeros(sound(heard))
    assert np.array_equal(played[:-96], pcm[: len(played) - 96])
    assert abs(len(played) / 24 - cut.event["audio_end_ms"]) < 1.2
    assert told["heard_ms"] == cut.event["audio_end_ms"]


def test_a_killed_program_leaves_a_valid_answer_file(tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"

    async def talking(peer: Peer) -> None:
        await peer.greet()
        await peer.answer("R", "I", b"\x01\x02" * 240_000, "A long story.")

    with (
        ScriptedServer(talking) as server,
        spoken("--server", server.url, "--speaker", str(heard), "--json") as program,
    ):
        program.until_line("assistant")
        time.sleep(1)
        program.kill(9)
        program.wait()
    assert np.count_nonzero(sound(heard)) > 12_000


def test_pipes_that_stay_open_and_are_not_read_do_not_hold_up_the_end() -> None:
    async def talking(peer: Peer) -> None:
        await peer.greet()
        await peer.answer("R", "I", bytes(48 * 4000), "A long story.")
        await peer.until_heard(2000)  # more than a pipe holds has been played by now
        is_full.set()

    is_full = threading.Event()
    ours, theirs = os.pipe()
    with ScriptedServer(talking) as server, open(ours, "rb"), open(theirs, "wb") as speaker:
        command = [sys.executable, "-m", "voicecli", "talk", "--server", server.url]
        with tempfile.TemporaryDirectory() as home, subprocess.Popen(
            [*command, "--mic", "-", "--speaker", "-"], stdin=subprocess.PIPE, stdout=speaker,
            stderr=subprocess.PIPE, env=clean_environment(home), cwd=ROOT,
        ) as process:  # fmt: skip
            try:
                assert is_full.wait(20)
                process.send_signal(signal.SIGINT)
                assert process.wait(5) == 0
            finally:
                process.kill()
            assert process.stderr is not None
            assert b"Error" not in process.stderr.read()


def test_a_disk_that_is_full_ends_the_talk_with_its_reason() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")

    async def talking(peer: Peer) -> None:
        await peer.greet()
        await peer.answer("R", "I", bytes(96_000), "A long story.")

    with ScriptedServer(talking) as server:
        command = f"ln -s /dev/full full.wav && exec {sys.executable} -m voicecli talk " + (
            f"--server {server.url} --mic none --speaker full.wav --json"
        )
        with Program("-c", f"cd $HOME && {command}", command=("bash",)) as program:
            assert program.wait(10) == 3, program.complaint
            assert "No space left" in program.complaint
            assert "Traceback" not in program.complaint
