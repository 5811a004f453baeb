"""The user of a recording, taken out of it."""

from __future__ import annotations

import asyncio
from array import array
from pathlib import Path

import pytest
from helpers_conversation import session_created, session_updated
from helpers_recording import Exchange, Maker, spoken_frames

from voicecli import inputs
from voicecli.audio.pcm import SILENT_FRAME, level_dbfs, packed, unpacked
from voicecli.cues import AfterAnswer, AfterStart, AfterTurn, Cue, Do, IntoAnswer, Say
from voicecli.errors import RecordingError
from voicecli.recording.files import Recording
from voicecli.recording.format import Sound
from voicecli.recording.rerun.recorded_tools import RecordedTools
from voicecli.recording.rerun.turns import (
    LONGEST_PAUSE_S,
    RecordedCall,
    Turn,
    User,
    cues_of,
    user_of,
)

VOICE_S = len(spoken_frames()) * 0.02


def user(path: Path) -> User:
    with Recording.open(path) as recording:
        return user_of(recording)


def cues(path: Path, **how: bool) -> list[Cue]:
    with Recording.open(path) as recording:
        made = cues_of(user_of(recording), recording.user_sound, **how)
        for cue in made:
            if isinstance(cue.act, Say):
                cue.act.pcm()
        return made


def talk(path: Path, seconds: float, *exchanges: Exchange) -> tuple[Turn, ...]:
    return user(Maker(path / "talk").talk(seconds, list(exchanges))).turns


def test_a_turn_begins_a_pause_after_the_answer_before_it_was_heard(tmp_path: Path) -> None:
    first, second = talk(tmp_path, 14, Exchange(1.0, 2000), Exchange(6.0, 2000))
    assert isinstance(first.anchor, AfterStart)
    assert first.anchor.seconds == pytest.approx(first.begins_at - 0.1, abs=0.001)
    assert isinstance(second.anchor, AfterAnswer)
    # The answer begins half a second after the voice ended, and lasts two seconds.
    heard_until = 1.0 + VOICE_S + 0.3 + 0.2 + 2.0
    assert second.anchor.pause_s == pytest.approx(second.begins_at - heard_until, abs=0.05)
    assert (first.was_answered, second.was_answered) == (True, True)
    assert (first.cut_heard_s, second.cut_heard_s) == (None, None)


def test_a_long_pause_of_the_user_is_not_imitated(tmp_path: Path) -> None:
    _, second = talk(tmp_path, 20, Exchange(5.0, 1000), Exchange(14.0, 1000))
    assert second.anchor == AfterAnswer(LONGEST_PAUSE_S)


def test_an_interruption_is_anchored_in_what_was_heard_when_the_voice_began(tmp_path: Path) -> None:
    answer_at = 1.0 + VOICE_S + 0.5
    _, second = talk(tmp_path, 14, Exchange(1.0, 6000), Exchange(answer_at + 1.5, 1000))
    assert isinstance(second.anchor, IntoAnswer)
    assert second.cut_heard_s == second.anchor.heard_s
    assert second.anchor.heard_s == pytest.approx(second.begins_at - answer_at, abs=0.06)
    assert second.begins_at == pytest.approx(answer_at + 1.5, abs=0.25)


def test_speech_that_the_server_split_without_an_answer_in_between_is_one_turn(
    tmp_path: Path,
) -> None:
    maker = Maker(tmp_path / "talk")
    maker.open()
    frames = [*spoken_frames(), *[SILENT_FRAME] * 40, *spoken_frames(), *[SILENT_FRAME] * 40]
    for frame in frames:
        maker.at = round(maker.at + 0.02, 6)
        maker.step(inputs.MicFrame(frame))
    maker.quit()
    (turn,) = user(maker.path).turns
    assert turn.ends_at - turn.begins_at > VOICE_S + 0.8
    assert len(turn.sounds) == 1


def test_speech_after_a_long_silence_without_an_answer_is_a_turn_that_waits_as_long(
    tmp_path: Path,
) -> None:
    maker = Maker(tmp_path / "talk")
    maker.open()
    for frame in [*spoken_frames(), *[SILENT_FRAME] * 150, *spoken_frames()]:
        maker.at = round(maker.at + 0.02, 6)
        maker.step(inputs.MicFrame(frame))
    maker.quit()
    first, second = user(maker.path).turns
    assert isinstance(second.anchor, AfterAnswer)
    assert second.anchor.patience_s == pytest.approx(second.begins_at - first.ends_at, abs=0.001)
    assert not first.was_answered


def test_the_sound_of_a_turn_holds_its_voice_and_a_little_of_the_room(tmp_path: Path) -> None:
    path = Maker(tmp_path / "talk").talk(12, [Exchange(1.0, 2000)])
    with Recording.open(path) as recording:
        (turn,) = user_of(recording).turns
        pcm = b"".join(recording.user_sound(sound) for sound in turn.sounds)
        everything = b"".join(spoken_frames())
    assert 0 < turn.lead_s <= 0.081
    assert turn.lead_s < turn.voice_s < len(pcm) / 48_000
    # What is loud in the user's audio is in it.
    loud = max(range(0, len(everything), 960), key=lambda at: level_dbfs(everything[at : at + 960]))
    assert everything[loud : loud + 960] in pcm


def test_the_room_before_the_voice_is_faded_in() -> None:
    turn = Turn("spoken", AfterStart(0.0), 1.0, 2.0, (Sound(0, 9600),), lead_s=0.05, voice_s=0.2)
    loud = packed(array("h", [1000]) * 4800)
    (cue,) = cues_of(User((turn,), 0.0, (), ()), lambda sound: loud)
    assert isinstance(cue.act, Say)
    samples = unpacked(cue.act.pcm())
    assert list(samples[:1200]) == [1000 * place // 1200 for place in range(1200)]
    assert list(samples[1200:]) == [1000] * 3600


def test_typed_messages_and_keys_are_turns_of_their_own(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "talk")
    maker.open()
    for tick in range(100):
        maker.at = round(maker.at + 0.02, 6)
        maker.step(inputs.MicFrame(SILENT_FRAME))
        if tick == 50:
            maker.step(inputs.TextTyped("hello"))
        if tick == 75:
            maker.step(inputs.MuteToggled())
    maker.quit()
    typed, muted = user(maker.path).turns
    assert (typed.kind, typed.an_input) == ("typed", inputs.TextTyped("hello"))
    assert typed.anchor == AfterStart(pytest.approx(1.02, abs=0.001))
    assert (muted.kind, muted.an_input) == ("key", inputs.MuteToggled())
    assert muted.anchor == AfterTurn(pytest.approx(0.5, abs=0.001))
    assert [cue.act for cue in cues(maker.path)] == [
        Do(inputs.TextTyped("hello")), Do(inputs.MuteToggled()),
    ]  # fmt: skip


def test_an_answer_that_was_only_written_was_read(tmp_path: Path) -> None:
    from helpers_conversation import created, done, message

    maker = Maker(tmp_path / "talk")
    maker.open()
    written = {
        **message("item_1"), "content": [{"type": "output_text", "text": "good morning"}],
    }  # fmt: skip
    script = {
        10: inputs.TextTyped("hello"),
        20: inputs.Received(created("R1")),
        30: inputs.Received(done("R1", written)),
        90: inputs.TextTyped("bye"),
    }
    for tick in range(120):
        maker.at = round(maker.at + 0.02, 6)
        maker.step(inputs.MicFrame(SILENT_FRAME))
        if tick in script:
            maker.step(script[tick])
    maker.quit()
    first, second = user(maker.path).turns
    assert (first.was_answered, second.was_answered) == (True, False)
    assert second.anchor == AfterAnswer(pytest.approx(1.2, abs=0.001))


def test_by_the_recorded_clock_every_turn_has_its_time(tmp_path: Path) -> None:
    path = Maker(tmp_path / "talk").talk(14, [Exchange(1.0, 2000), Exchange(6.0, 2000)])
    turns = user(path).turns
    made = cues(path, at_recorded_times=True)
    assert [cue.anchor for cue in made] == [AfterStart(turn.begins_at - 0.1) for turn in turns]


def test_a_recording_without_the_users_audio_cannot_be_run_again(tmp_path: Path) -> None:
    path = Maker(tmp_path / "talk", audio="assistant").talk(12, [Exchange(1.0, 2000)])
    with pytest.raises(RecordingError, match="audio was not kept") as raised:
        user(path)
    assert "--record-audio both" in raised.value.hint


def test_a_recording_in_which_nobody_said_anything_has_no_turns(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "talk")
    maker.open()
    maker.quit()
    found = user(maker.path)
    assert (found.turns, found.ready_at) == ((), 0.1)


def test_the_session_counts_from_when_it_took_what_was_said(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "talk")
    maker.at = 0.4
    maker.step(inputs.Received(session_created()))
    maker.at = 0.7
    maker.step(inputs.Received(session_updated()))
    maker.quit()
    assert user(maker.path).ready_at == 0.4


# ------------------------------------------------------------------------------ recorded functions


def answers(tools: RecordedTools, *calls: tuple[str, str]) -> list[tuple[str, bool]]:
    async def main() -> list[tuple[str, bool]]:
        return [await tools.run(name, arguments) for name, arguments in calls]

    return asyncio.run(main())


def test_a_recorded_output_answers_the_same_call_whatever_the_order() -> None:
    tools = RecordedTools(
        [
            RecordedCall("weather", '{"city": "Bern", "days": 1}', "snow", False),
            RecordedCall("weather", '{"city":"Rome"}', "sun", False),
        ]
    )
    calls = [("weather", '{"city":"Rome"}'), ("weather", '{"days":1,"city":"Bern"}')]
    assert answers(tools, *calls) == [("sun", False), ("snow", False)]
    assert tools.missed == 0


def test_a_call_with_other_arguments_gets_the_next_output_of_that_name() -> None:
    tools = RecordedTools(
        [RecordedCall("weather", "{}", "snow", False), RecordedCall("weather", "{}", "sun", True)]
    )
    calls = [("weather", '{"city":"Oslo"}'), ("weather", "not json")]
    assert answers(tools, *calls) == [("snow", False), ("sun", True)]


def test_a_call_that_was_not_recorded_is_told_so() -> None:
    tools = RecordedTools([RecordedCall("weather", "{}", "snow", False)])
    (unknown, again, over) = answers(tools, ("pay", "{}"), ("weather", "{}"), ("weather", "{}"))
    assert unknown == ("""{"error":"the recording has no call of 'pay'"}""", True)
    assert again == ("snow", False)
    assert over == ("""{"error":"the recording has no more calls of 'weather'"}""", True)
    assert tools.missed == 2
