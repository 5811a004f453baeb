"""Devices that come and go in the middle of a talk, on virtual sound cards that can be broken.

What was heard is judged by recordings of the speaker, before and after the loss.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers_program import Program, clean_environment
from scripted_server import Peer, Script, ScriptedServer

if TYPE_CHECKING:
    from vsound import Recording, VirtualSound

pytest_plugins = ["vsound"]

SAMPLES_PER_MS = 24
PATIENCE_S = 20
ANSWER_MS = 2500
LATENCY_MS = 60
"More than a virtual device holds."


@pytest.fixture
def sound(virtual_sound: VirtualSound) -> Iterator[VirtualSound]:
    """A sound server that nobody else needs."""
    with type(virtual_sound)() as own:
        yield own


def noise(ms: int, seed: int) -> bytes:
    """PCM16 in which no sample is zero and no two seeds are alike."""
    rng = np.random.default_rng(seed)
    samples = rng.integers(2000, 9000, ms * SAMPLES_PER_MS)
    return (samples * rng.choice((-1, 1), len(samples))).astype("<i2").tobytes()


ANSWER = noise(ANSWER_MS, 7)


class Steps:
    """Events that a script on the server and a test wait for."""

    def __init__(self) -> None:
        self.playing = threading.Event()
        self.lost = threading.Event()
        self.peer: Peer | None = None

    async def answered(self, peer: Peer) -> None:
        """An answer that is being heard for 0.6 s when `playing` is set."""
        await self.greeted(peer)
        await peer.answer("R1", "I1", ANSWER, "A long story.")
        await asyncio.sleep(0.6)
        self.playing.set()

    async def greeted(self, peer: Peer) -> None:
        self.peer = peer
        await peer.greet()
        await peer.until_heard(300)


def talking(server: ScriptedServer, *arguments: str, **more: Any) -> Program:
    # A cleaned microphone is not the same to the sample.
    given = ["talk", "--server", server.url, "--echo", "off", *arguments]
    return Program(*given, *([] if more.get("at_terminal") else ["--json"]), **more)


def notes(program: Program) -> list[str]:
    return [str(line["message"]) for line in program.lines_of("note")]


def until_note(program: Program, words: str) -> None:
    program.until(lambda: any(words in note for note in notes(program)))


def until_heard(program: Program) -> dict[str, Any]:
    """The line that tells that the answer is over."""

    def final() -> list[Any]:
        return [line for line in program.lines_of("assistant") if line["final"]]

    program.until(final)
    return dict(final()[0])


def ends_well(program: Program) -> None:
    time.sleep(0.1)  # What the device took yet sounds.
    program.kill(signal.SIGINT)
    assert program.wait() == 0
    assert program.complaint == ""
    assert program.lines[-1]["reason"] == "quit"


async def heard_at(peer: Peer, is_there: Callable[[bytes], bool]) -> None:
    """Wait until the microphone's audio has something in it."""
    while not is_there(bytes(peer.log.audio)):
        await peer.until_heard(len(peer.log.audio) // 48 + 20)


def lost_ms(answer: bytes, recording: Recording) -> float:
    """How much of an answer was not heard."""
    from vsound import times_heard

    return float(np.count_nonzero(times_heard(answer, [recording]) == 0) / SAMPLES_PER_MS)


def played_ms(recordings: list[Recording]) -> float:
    return float(sum(np.count_nonzero(one.samples) for one in recordings) / SAMPLES_PER_MS)


# ------------------------------------------------------------------------------------ in mid-answer


@pytest.mark.parametrize("loss", ["killed", "frozen"])
def test_an_answer_goes_on_where_it_was_when_the_sound_server_is_back(
    sound: VirtualSound, loss: str
) -> None:
    steps = Steps()
    recorder = sound.recorder()
    with ScriptedServer(steps.answered) as server, talking(server) as program:
        assert steps.playing.wait(PATIENCE_S)
        if loss == "killed":
            sound.kill()
            until_note(program, "are gone: the sound device went away; looking for another")
            sound.restart()
        else:
            sound.freeze()
            until_note(program, "are gone: the sound server has stopped answering")
            sound.thaw()
        told = until_heard(program)
        ends_well(program)
        heard = recorder.stop()
        assert "conversation.item.truncate" not in server.log.types
    assert notes(program)[1:] == ["the speaker and the microphone are back"]
    assert (told["heard_ms"], told["interrupted"]) == (ANSWER_MS, False)
    # What was in the old device is played again; a busy machine loses a block.
    assert lost_ms(ANSWER, heard) <= 10
    assert played_ms([heard]) < ANSWER_MS + LATENCY_MS


def test_an_interruption_while_the_speaker_is_gone_tells_what_had_been_heard(
    sound: VirtualSound,
) -> None:
    steps = Steps()

    async def interrupted(peer: Peer) -> None:
        await steps.answered(peer)
        await asyncio.to_thread(steps.lost.wait, PATIENCE_S)
        await peer.speech("U1")
        await peer.until("conversation.item.truncate")
        await peer.speech("U1", ended_ms=2000)
        await peer.answer("R2", "I2", noise(500, 8), "Yes?")

    recorder = sound.recorder()
    with ScriptedServer(interrupted) as server, talking(server) as program:
        assert steps.playing.wait(PATIENCE_S)
        sound.kill()
        until_note(program, "are gone")
        before = recorder.stop()
        steps.lost.set()
        barge_in = program.until_line("barge_in")
        sound.restart()
        program.until(
            lambda: any(
                line["item_id"] == "I2" and line["final"] for line in program.lines_of("assistant")
            )
        )
        ends_well(program)
    heard_ms = played_ms([before])
    assert 300 < heard_ms < 1500
    assert abs(barge_in["heard_ms"] - heard_ms) < LATENCY_MS


def test_a_speaker_that_is_pulled_out_is_replaced_by_the_sound_server_without_a_word(
    sound: VirtualSound,
) -> None:
    steps = Steps()
    sound.add_sink("headset")
    with ScriptedServer(steps.answered) as server, talking(server) as program:
        before, after = sound.recorder(), sound.recorder("headset")
        assert steps.playing.wait(PATIENCE_S)
        sound.make_default("headset")
        sound.remove(sound.module_of("sink_name=speaker"))
        told = until_heard(program)
        ends_well(program)
        recordings = [before.stop(), after.stop()]
    assert told["heard_ms"] == ANSWER_MS
    assert played_ms(recordings[1:]) > 1000
    assert notes(program) == []


def test_another_default_speaker_is_followed(sound: VirtualSound) -> None:
    steps = Steps()
    sound.add_sink("headset")
    with ScriptedServer(steps.answered) as server, talking(server) as program:
        after = sound.recorder("headset")
        assert steps.playing.wait(PATIENCE_S)
        sound.make_default("headset")
        told = until_heard(program)
        ends_well(program)
        heard = after.stop()
    assert told["heard_ms"] == ANSWER_MS
    assert played_ms([heard]) > 1000


# ---------------------------------------------------------------------------------- in mid-question


def test_the_servers_clock_goes_on_while_there_is_no_microphone_and_the_next_question_is_heard(
    sound: VirtualSound,
) -> None:
    steps = Steps()
    hears, was_silent, took_ms = threading.Event(), threading.Event(), []
    said = noise(400, 9)

    async def listening(peer: Peer) -> None:
        await steps.greeted(peer)
        await heard_at(peer, lambda audio: any(audio))
        hears.set()
        await asyncio.to_thread(steps.lost.wait, PATIENCE_S)
        begun, sent = time.monotonic(), len(peer.log.audio)
        await peer.until_heard(sent // 48 + 1500)
        took_ms.append((time.monotonic() - begun) * 1000)
        assert not any(peer.log.audio[sent + 700 * 48 :])  # what was on its way has come
        was_silent.set()
        await heard_at(peer, lambda audio: said[:4800] in audio)
        steps.playing.set()

    with ScriptedServer(listening) as server, talking(server) as program:
        program.until_line("session")
        with sound.feed(noise(5000, 3)):
            assert hears.wait(PATIENCE_S)
            sound.kill()
        until_note(program, "are gone")
        steps.lost.set()
        assert was_silent.wait(PATIENCE_S)
        sound.restart()
        until_note(program, "are back")
        with sound.feed(said):
            assert steps.playing.wait(PATIENCE_S)
        ends_well(program)
        assert server.failures == []
    assert 1000 < took_ms[0] < 5000


# -------------------------------------------------------------------------- the end, and the screen


def test_only_when_the_patience_is_over_does_the_talk_end(sound: VirtualSound) -> None:
    steps = Steps()
    with (
        ScriptedServer(steps.answered) as server,
        talking(server, "--device-patience", "0.6") as program,
    ):
        assert steps.playing.wait(PATIENCE_S)
        sound.kill()
        assert program.wait(8) == 3
        program.until(lambda: server.log.close_code is not None)
    assert len(notes(program)) == 1
    assert program.lines[-1]["reason"] == "audio lost"
    assert "the sound device went away" in program.complaint
    assert "for 0.6 s" in program.complaint
    assert "ALSA" not in program.complaint
    assert "Traceback" not in program.complaint


def test_a_talk_ends_at_once_while_the_sound_server_hangs(sound: VirtualSound) -> None:
    steps = Steps()
    with ScriptedServer(steps.answered) as server, talking(server) as program:
        assert steps.playing.wait(PATIENCE_S)
        sound.freeze()
        until_note(program, "has stopped answering")
        program.kill(signal.SIGINT)
        assert program.wait(6) == 0
        sound.thaw()
    assert program.complaint == ""


def test_the_screen_says_what_is_missing_while_it_is(sound: VirtualSound) -> None:
    steps = Steps()
    with (
        ScriptedServer(steps.answered) as server,
        talking(server, at_terminal=True) as program,
    ):
        assert steps.playing.wait(PATIENCE_S)
        sound.kill()
        program.until(lambda: "no sound" in program.shown)
        program.until(lambda: "looking for another" in program.shown)
        assert "ALSA" not in program.shown
        sound.restart()
        program.until(lambda: "no sound" not in program.shown.rpartition("speaking")[2])
        program.kill(signal.SIGINT)
        assert program.wait() == 0


def test_a_recording_of_a_talk_that_lost_its_devices_comes_out_the_same(
    sound: VirtualSound, tmp_path: Path
) -> None:
    steps = Steps()
    folder = tmp_path / "talk"
    script: Script = steps.answered
    with ScriptedServer(script) as server, talking(server, "--record", str(folder)) as program:
        assert steps.playing.wait(PATIENCE_S)
        sound.kill()
        until_note(program, "are gone")
        sound.restart()
        until_heard(program)
        program.kill(signal.SIGINT)
        assert program.wait() == 0
    checked = subprocess.run(
        [sys.executable, "-m", "voicecli", "replay", str(folder), "--check"],
        capture_output=True, text=True, timeout=30, check=False,
        env=clean_environment(str(tmp_path)),
    )  # fmt: skip
    assert (checked.returncode, checked.stderr) == (0, "")
    from voicecli.recording.files import Recording as Kept
    from voicecli.recording.fold import Fold
    from voicecli.recording.heard import HeardAudio

    heard, pieces = HeardAudio(), []
    with Kept.open(folder) as kept:
        for step in Fold(kept).steps():
            pieces += [one for one in heard.step(step) if one.side == "assistant"]
    sounded = b"".join(piece.pcm for piece in pieces)
    assert ANSWER_MS <= len(sounded) / 2 / SAMPLES_PER_MS < ANSWER_MS + LATENCY_MS
    assert sounded.startswith(ANSWER[:9600])
    assert sounded.endswith(ANSWER[-9600:])
