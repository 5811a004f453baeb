"""`voicecli talk` on a virtual sound card: what is said arrives, what is played is what was meant.

What the client tells the server is judged by a recording of the speaker. The machine itself may
lose a block while it is busy, so where every sample counts a scenario may run twice.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers_program import Program
from scripted_server import Log, Peer, Script, ScriptedServer

if TYPE_CHECKING:
    from vsound import Recording, VirtualSound

pytest_plugins = ["vsound"]

SAMPLES_PER_MS = 24
PATIENCE_S = 20
CUTS = 5
MEASURED_WITHIN_MS = 2.0


@pytest.fixture
def mortal_sound(virtual_sound: VirtualSound) -> Iterator[VirtualSound]:
    """A sound server that nobody else needs."""
    with type(virtual_sound)() as sound:
        yield sound


def noise(ms: int, seed: int) -> bytes:
    """PCM16 in which no sample is zero and no two seeds are alike."""
    rng = np.random.default_rng(seed)
    samples = rng.integers(2000, 9000, ms * SAMPLES_PER_MS)
    return (samples * rng.choice((-1, 1), len(samples))).astype("<i2").tobytes()


@dataclass
class Talk:
    """What remains of a talk after its end."""

    log: Log
    lines: list[dict[str, Any]]
    recording: Recording
    code: int
    complaint: str


def talk(
    sound: VirtualSound,
    script: Callable[[Peer, threading.Event], Any],
    *,
    at_terminal: bool = False,
) -> Talk:
    """Run the program until the script sets its event, then end it by Ctrl-C."""
    done = threading.Event()

    async def play(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(200)  # The devices run.
        await script(peer, done)

    recorder = sound.recorder()
    with ScriptedServer(play) as server:
        arguments = ["talk", "--server", server.url, "--echo", "off"]
        arguments += [] if at_terminal else ["--json"]
        with Program(*arguments, at_terminal=at_terminal) as program:
            came = done.wait(PATIENCE_S)
            program.kill(signal.SIGINT)
            code = program.wait()
        recording = recorder.stop()
        assert server.failures == []
        assert came, f"the script did not come to its end: {program.complaint}"
    lines = [] if at_terminal else program.lines
    return Talk(server.log, lines, recording, code, program.complaint)


def runs_in(samples: Any, joined_ms: int = 100) -> list[Any]:
    """The stretches of sound, with no silence of `joined_ms` in them."""
    loud = np.flatnonzero(samples)
    breaks = np.flatnonzero(np.diff(loud) > joined_ms * SAMPLES_PER_MS) + 1
    return [samples[part[0] : part[-1] + 1] for part in np.split(loud, breaks) if len(part)]


def share_within(part: bytes, whole: bytes) -> float:
    """How much of `part` occurs in `whole`, sample by sample; counted in pieces of 5 ms."""
    pieces = [part[start : start + 240] for start in range(0, len(part), 240)]
    return sum(piece in whole for piece in pieces) / len(pieces)


def test_what_is_said_reaches_the_server_and_what_it_answers_is_heard(
    virtual_sound: VirtualSound,
) -> None:
    said, answered = noise(600, 1), noise(1500, 2)

    async def converse(peer: Peer, done: threading.Event) -> None:
        feeder = virtual_sound.feed(said)
        while not any(peer.log.audio):
            await peer.until_heard(len(peer.log.audio) // 48 + 20)
        await peer.speech("U1")
        await peer.until_heard(len(peer.log.audio) // 48 + 900)
        await asyncio.to_thread(feeder.wait)
        await peer.speech("U1", ended_ms=1000)
        await peer.words("U1", "Hello.")
        await peer.answer("R1", "I1", answered, "Good day.")
        await asyncio.sleep(2.0)
        done.set()

    for _ in range(2):
        held = talk(virtual_sound, converse)
        arrived = share_within(said, bytes(held.log.audio))
        heard = share_within(answered, held.recording.samples.tobytes())
        if arrived == heard == 1.0:
            break
    # A busy machine loses a block, or a few; the program loses and changes nothing.
    assert arrived >= 0.9
    assert heard >= 0.9
    assert held.code == 0
    assert held.complaint == ""
    by_type = {line["type"]: line for line in held.lines}
    assert by_type["user"]["text"] == "Hello."
    assert (by_type["assistant"]["heard_ms"], by_type["assistant"]["final"]) == (1500, True)
    assert 0 < by_type["turn"]["first_sound_ms"] - by_type["turn"]["first_delta_ms"] < 150
    assert held.lines[-1]["type"] == "summary"
    assert "conversation.item.truncate" not in held.log.types


@dataclass
class Cuts:
    """A script that cuts five answers off; the server sends on, as servers do."""

    sent_after_the_cut: bool
    items_each: int
    at: list[float] = field(default_factory=list)

    async def __call__(self, peer: Peer, done: threading.Event) -> None:
        for number in range(CUTS):
            await peer.begin(f"R{number}")
            for part in range(self.items_each):
                item = f"I{number}.{part}"
                ms = 2000 if part == self.items_each - 1 else 300
                await peer.item(f"R{number}", item, "So much to say. ")
                await peer.deltas(f"R{number}", item, noise(ms, 10 * number + part))
                if part < self.items_each - 1:
                    await peer.audio_done(f"R{number}", item)
            if not self.sent_after_the_cut:
                await peer.end(f"R{number}", f"I{number}.0")
            await asyncio.sleep(0.5 + 0.037 * number)
            await peer.speech(f"U{number}")
            self.at.append(peer.sent_at["input_audio_buffer.speech_started"])
            await peer.until("conversation.item.truncate", number + 1)
            if self.sent_after_the_cut:
                await peer.deltas(f"R{number}", item, noise(400, 99), ms=20)
                await peer.end(f"R{number}", status="cancelled", reason="turn_detected")
            await asyncio.sleep(0.25)
            await peer.speech(f"U{number}", ended_ms=1000)
        done.set()


@pytest.mark.parametrize(
    ("sent_after_the_cut", "items_each", "at_terminal"),
    [(True, 1, False), (False, 1, True), (False, 2, False)],
    ids=["while-generating", "after-done-at-a-terminal", "two-items"],
)
def test_a_barge_in_is_silent_soon_and_tells_the_server_what_was_heard(
    virtual_sound: VirtualSound, sent_after_the_cut: bool, items_each: int, at_terminal: bool
) -> None:
    for _ in range(2):
        script = Cuts(sent_after_the_cut, items_each)
        held = talk(virtual_sound, script, at_terminal=at_terminal)
        runs = runs_in(held.recording.samples)
        told = [one.event for one in held.log.of("conversation.item.truncate")]
        before_ms = 300 * (items_each - 1)
        errors_ms = [
            one["audio_end_ms"] + before_ms - np.count_nonzero(run) / SAMPLES_PER_MS
            for one, run in zip(told, runs, strict=False)
        ]
        if len(runs) == CUTS and max(map(abs, errors_ms)) <= MEASURED_WITHIN_MS:
            break
    last = items_each - 1
    assert [one["item_id"] for one in told] == [f"I{number}.{last}" for number in range(CUTS)]
    assert len(runs) == CUTS  # Nothing that came after a cut was heard.
    # A block that a busy machine lost was counted: most, not all, have to be true.
    assert sorted(map(abs, errors_ms))[CUTS - 2] <= MEASURED_WITHIN_MS, errors_ms
    silent_ms = sorted(silences_after(held.recording, script.at))
    assert silent_ms[CUTS // 2] < 60, silent_ms
    assert held.code == 0


def silences_after(recording: Recording, cuts: list[float]) -> list[float]:
    """How long there was sound yet after each moment, in ms."""
    lasting = []
    for at in cuts:
        begin = recording.sample_at(at)
        loud = np.flatnonzero(recording.samples[begin : begin + 240 * SAMPLES_PER_MS])
        lasting.append((loud[-1] + 1) / SAMPLES_PER_MS if len(loud) else 0.0)
    return lasting


def test_a_microphone_that_gives_only_zeros_is_told_of_once(virtual_sound: VirtualSound) -> None:
    async def listen(peer: Peer, done: threading.Event) -> None:
        await peer.until_heard(4000)
        done.set()

    held = talk(virtual_sound, listen)
    assert not any(held.log.audio)
    (told,) = [line for line in held.lines if "digital silence" in line.get("message", "")]
    assert told["type"] in ("error", "note")
    assert held.lines[-1]["reason"] == "quit"


def test_a_key_is_a_barge_in_too(virtual_sound: VirtualSound) -> None:
    playing = threading.Event()

    async def speak(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(200)
        await peer.answer("R1", "I1", noise(5000, 3), "A long story.")
        await asyncio.sleep(0.4)
        playing.set()

    recorder = virtual_sound.recorder()
    with (
        ScriptedServer(speak) as server,
        Program("talk", "--server", server.url, at_terminal=True) as program,
    ):
        assert playing.wait(PATIENCE_S)
        program.type(b"\x1b")
        program.until(lambda: server.log.of("conversation.item.truncate"))
        program.kill(signal.SIGINT)
        assert program.wait() == 0
        (told,) = server.log.of("conversation.item.truncate")
    (run,) = runs_in(recorder.stop().samples)
    assert len(run) < 2000 * SAMPLES_PER_MS
    assert abs(told.event["audio_end_ms"] - np.count_nonzero(run) / SAMPLES_PER_MS) < 30


def in_mid_answer(playing: threading.Event) -> Script:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(200)
        await peer.answer("R1", "I1", noise(5000, 3), "A long story.")
        playing.set()

    return speak


def test_without_patience_a_sound_server_that_dies_ends_the_talk_with_a_message(
    mortal_sound: VirtualSound,
) -> None:
    playing = threading.Event()
    with (
        ScriptedServer(in_mid_answer(playing)) as server,
        Program("talk", "--server", server.url, "--json", "--device-patience", "0") as program,
    ):
        assert playing.wait(PATIENCE_S)
        mortal_sound.daemon.kill()
        assert program.wait(5) == 3
    assert "the sound device went away" in program.complaint
    assert "Traceback" not in program.complaint
    assert program.lines[-1]["type"] == "summary"


def test_without_a_sound_server_the_program_says_so_at_once(
    mortal_sound: VirtualSound,
) -> None:
    mortal_sound.daemon.kill()
    mortal_sound.daemon.wait()
    with (
        ScriptedServer() as server,
        Program("talk", "--server", server.url, "--json") as program,
    ):
        assert program.wait(10) == 3
    assert program.complaint.startswith("voicecli: ")
    assert "Traceback" not in program.complaint
