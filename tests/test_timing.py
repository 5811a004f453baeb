"""Latencies, from the end of the user's voice to the first sound of the answer."""

import wave
from pathlib import Path

import pytest
from helpers_conversation import (
    AUTOMATIC,
    audio,
    created,
    session_created,
    session_updated,
    speech_started,
    speech_stopped,
)

from voicecli import inputs
from voicecli.actions import Tell
from voicecli.audio.pcm import FRAME_BYTES, SILENT_FRAME, Framer
from voicecli.audio.resample import convert
from voicecli.conversation import Conversation, Options
from voicecli.protocol.settings import ServerVad
from voicecli.reports import TurnReport
from voicecli.timing import Timing, VoiceEnd

SPEECH = Path(__file__).parent / "data" / "speech" / "goforward.wav"


def answered(timing: Timing, *, at: float, item_id: str = "A") -> TurnReport | None:
    timing.response_created(at + 0.1)
    timing.delta_received(item_id, at + 0.3)
    return timing.sound_started(item_id, at + 0.35)


def test_a_turn_is_measured_from_the_end_of_the_voice():
    timing = Timing()
    timing.turn_ended(10.5, speech_end=10.0)
    assert answered(timing, at=10.5) == TurnReport(
        item_id="A",
        speech_stopped_ms=500,
        response_created_ms=600,
        first_delta_ms=800,
        first_sound_ms=850,
    )
    assert timing.last_ms == 850


def test_a_typed_turn_is_measured_from_when_it_was_sent():
    timing = Timing()
    timing.turn_ended(10.0)
    assert answered(timing, at=10.0).first_sound_ms == 350


def test_only_the_first_of_each_point_counts():
    timing = Timing()
    timing.turn_ended(1.0)
    first = answered(timing, at=1.0)
    assert first.response_created_ms == 100
    timing.response_created(5.0)
    timing.delta_received("B", 5.0)
    assert timing.sound_started("A", 6.0) is None
    assert timing.sound_started("B", 6.0) is None
    assert timing.first_sounds_ms == [350]


def test_the_sound_of_an_earlier_answer_is_not_the_answer_to_this_turn():
    timing = Timing()
    timing.turn_ended(1.0)
    timing.delta_received("A", 1.1)
    timing.turn_ended(2.0)
    assert timing.sound_started("A", 2.1) is None
    assert answered(timing, at=2.0, item_id="B").first_sound_ms == 350


def test_what_the_assistant_says_unasked_is_no_turn():
    assert answered(Timing(), at=0.0) is None


def test_points_that_were_never_reached_are_null():
    timing = Timing()
    timing.turn_ended(1.0)
    timing.delta_received("A", 1.2)
    assert timing.sound_started("A", 1.3).response_created_ms is None


@pytest.mark.parametrize(
    ("sounds", "median"), [([], None), ([5], 5), ([9, 1, 5], 5), ([100, 1, 3, 2], 2)]
)
def test_the_median_is_that_of_all_turns(sounds, median):
    assert Timing(first_sounds_ms=sounds).median_ms == median


# ------------------------------------------------------------------------- the end of the voice


def speech_frames() -> list[bytes]:
    with wave.open(str(SPEECH)) as wav:
        pcm = convert(wav.readframes(wav.getnframes()), wav.getframerate(), 24_000)
    return Framer(FRAME_BYTES).push(pcm)


def test_the_voice_ends_where_it_ends_and_not_where_the_silence_after_it_was_long_enough():
    voice_end = VoiceEnd()
    frames = speech_frames()
    for number, frame in enumerate([*frames, *[SILENT_FRAME] * 100], start=1):
        voice_end.push(frame, number * 0.02)
    # The last word of the recording ends some 0.4 s before the file does.
    assert len(frames) * 0.02 - 0.8 < voice_end.at <= len(frames) * 0.02


def test_silence_has_no_voice():
    voice_end = VoiceEnd()
    for number in range(200):
        voice_end.push(SILENT_FRAME, number * 0.02)
    assert voice_end.at is None


class Heard(VoiceEnd):
    """A voice that was last heard at a given time."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at


def test_a_turn_in_which_we_heard_no_voice_is_not_measured_from_the_voice_of_an_earlier_turn():
    conversation = Conversation(Options(settings=AUTOMATIC), Heard(at=1.0))
    told = []
    for at, event in [
        (0.0, session_created()),
        (0.0, session_updated(ServerVad().to_wire())),
        (9.5, speech_started("U2")),
        (10.0, speech_stopped("U2")),
        (10.1, created()),
        (10.2, audio("A", 100)),
    ]:
        conversation.handle(inputs.Received(event), at)
    told = conversation.handle(inputs.PartStarted("A", 0, 10.25), 10.25)
    (report,) = [one.report for one in told if isinstance(one, Tell)]
    assert report.first_sound_ms == 250
