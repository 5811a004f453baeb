"""`voicecli talk` in a room: what the virtual speaker plays comes to the virtual microphone.

The server hears as servers do, with the engine's voice detection at its usual settings.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers_acoustics import Air, with_patience
from helpers_program import Program
from helpers_room import SAID, answer, at_level, from_onset, levels, pcm, voices
from scripted_server import Peer, ScriptedServer

from voicecli.audio.echo import has_canceller
from voicecli.audio.resample import Resampler
from voicecli.audio.vad import SpeechDetector, SpeechStarted

if TYPE_CHECKING:
    from vsound import VirtualSound

pytest_plugins = ["vsound"]

needs_canceller = pytest.mark.skipif(
    not has_canceller(), reason="pywebrtc-audio is not installed (the extra `aec`)"
)
PATIENCE_S = 30
ANSWER_S, SAID_AT_S = 14.0, 9.0


class Hearing:
    """A server that answers once, for long, and is interrupted by whatever it takes for speech."""

    def __init__(self, sound: VirtualSound | None = None, *, interrupts: bool = True) -> None:
        self._sound = sound
        self._interrupts = interrupts
        self.answering_since_ms = 0
        self.heard_at_s: list[float] = []
        "In the answer, by the audio that was sent."
        self.done = threading.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.greet()
        await peer.until_heard(800)
        detector, to_ears, ready, taken = SpeechDetector(16_000), Resampler(24_000, 16_000), b"", 0
        self.answering_since_ms = len(peer.log.audio) // 48
        await peer.answer("R1", "I1", pcm(answer(ANSWER_S)))
        feeder = None
        while (at_s := self._answered_s(peer)) < ANSWER_S:
            await asyncio.sleep(0.05)
            if self._sound is not None and at_s > SAID_AT_S and feeder is None:
                feeder = self._sound.feed(pcm(from_onset(at_level(voices()[SAID[4]], -18.0))))
            ready += to_ears.process(bytes(peer.log.audio[taken:]))
            taken = len(peer.log.audio)
            while len(ready) >= 640:
                frame, ready = ready[:640], ready[640:]
                if isinstance(detector.push(frame), SpeechStarted):
                    self.heard_at_s.append(self._answered_s(peer))
                    if self._interrupts:
                        await peer.speech(f"U{len(self.heard_at_s)}")
        if feeder is not None:
            await asyncio.to_thread(feeder.wait)
        await asyncio.sleep(0.2)
        self.done.set()

    def _answered_s(self, peer: Peer) -> float:
        return len(peer.log.audio) / 48_000 - self.answering_since_ms / 1000


def held(
    hearing: Hearing, *arguments: str, gain_db: float = -6.0, **more: Any
) -> tuple[list[dict[str, Any]], bytes]:
    """Run the program in a room; gives the lines it printed and the audio it sent."""
    with (
        Air(delay_ms=40, gain_db=gain_db, noise_dbfs=-62.0),
        ScriptedServer(hearing) as server,
        Program("talk", "--server", server.url, "--json", *arguments, **more) as program,
    ):
        came = hearing.done.wait(PATIENCE_S)
        program.kill(signal.SIGINT)
        assert program.wait() == 0, program.complaint
    assert server.failures == []
    assert came
    return program.lines, bytes(server.log.audio)


def notes(lines: list[dict[str, Any]]) -> list[str]:
    return [line["message"] for line in lines if line["type"] == "note"]


@needs_canceller
@with_patience
def test_an_answer_does_not_interrupt_itself_and_the_user_interrupts_it(
    virtual_sound: VirtualSound,
) -> None:
    for _ in range(2):  # A machine that loses a block makes the canceller begin anew.
        hearing = Hearing(virtual_sound)
        lines, _ = held(hearing, gain_db=-12.0)
        if hearing.heard_at_s and min(hearing.heard_at_s) > SAID_AT_S:
            break
    assert SAID_AT_S < hearing.heard_at_s[0] < SAID_AT_S + 2.5
    (barge_in,) = [line for line in lines if line["type"] == "barge_in"]
    assert barge_in["heard_ms"] > SAID_AT_S * 1000 - 500
    assert notes(lines) == []


@with_patience
def test_without_any_of_it_the_answer_interrupts_itself_and_the_reason_is_told(
    virtual_sound: VirtualSound,
) -> None:
    for _ in range(2):
        hearing = Hearing(interrupts=False)
        lines, _ = held(hearing, "--echo", "off")
        if notes(lines):
            break
    assert hearing.heard_at_s
    assert hearing.heard_at_s[0] < 2.0
    (note,) = notes(lines)
    assert note.startswith("the microphone hears the speaker: use a headset")


@pytest.fixture
def without_canceller(tmp_path: Path) -> dict[str, str]:
    """An environment in which there is an empty package, as pip finds it on some machines."""
    (tmp_path / "pywebrtc_audio.py").write_text("")
    return {"PYTHONPATH": str(tmp_path)}


@with_patience
def test_where_nothing_cancels_the_microphone_is_silent_while_an_answer_plays(
    virtual_sound: VirtualSound, without_canceller: dict[str, str]
) -> None:
    hearing = Hearing()
    lines, audio = held(hearing, environment=without_canceller)
    assert hearing.heard_at_s == []
    (note,) = notes(lines)
    assert "no echo cancellation is installed" in note
    assert 'pip install "voicecli[aec]"' in note
    samples = np.frombuffer(audio, "<i2")
    begin = hearing.answering_since_ms * 24
    assert np.any(samples[: begin - 2400])
    over = samples[begin + 24_000 : begin + 9 * 24_000].astype(float)
    # It is open in the longer pauses of an answer, and hears the room then.
    assert 20 * np.log10(levels(over) / 32768 + 1e-9).max() < -55
    assert np.count_nonzero(over) < 0.15 * len(over)


@pytest.mark.parametrize("flag", ["--echo=aec", "--noise-suppression"])
@with_patience
def test_what_is_not_installed_and_was_asked_for_is_an_error_with_the_way_to_install_it(
    flag: str, without_canceller: dict[str, str]
) -> None:
    arguments = ("talk", "--server", "ws://127.0.0.1:9/", flag)
    with Program(*arguments, environment=without_canceller) as program:
        assert program.wait(10) == 2
    assert "is not installed" in program.complaint
    assert 'pip install "voicecli[aec]"' in program.complaint


@with_patience
def test_files_hear_nothing_and_need_no_canceller(
    tmp_path: Path, without_canceller: dict[str, str]
) -> None:
    with (
        ScriptedServer() as server,
        Program(
            "talk", "--server", server.url, "--mic", "none", "--speaker", "none", "--json",
            "--echo", "aec", "--noise-suppression", "--max-minutes", "0.01",
            environment=without_canceller,
        ) as program,
    ):  # fmt: skip
        assert program.wait(10) == 0, program.complaint
    assert notes(program.lines) == []
