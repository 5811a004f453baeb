"""Client and engine joined in memory: what the server remembers is what was heard."""

from __future__ import annotations

import pytest
from engine_fakes import clip, silence
from helpers_pair import (
    AUTOMATIC,
    MANUAL,
    SAMPLES_PER_MS,
    Pair,
    after_a_question,
    heard_of,
    remembers_what_was_heard,
    speech,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from voicecli import inputs
from voicecli.engine.dialogue import jobs
from voicecli.reports import AssistantReport, BargeInReport, ErrorReport, UserReport

# ---------------------------------------------------------------------------------------- turns


def test_a_spoken_turn_is_answered_and_heard_whole() -> None:
    pair = after_a_question()
    pcm = speech(1500)
    pair.answer(("Going forward.", pcm))
    pair.pass_ms(2000)
    assert heard_of(pair, pcm) == len(pcm) // 2
    assert pair.remembered(pair.answers[0]) == pcm
    assert pair.types() == ["session.update"]
    (user,) = [one for one in pair.told(UserReport) if one.final]
    last = pair.told(AssistantReport)[-1]
    assert (user.text, last.text, last.final, last.heard_ms, last.interrupted) == (
        "Go forward ten meters.", "Going forward.", True, 1500, False,
    )  # fmt: skip
    assert pair.conversation.phase == "listening"
    assert not pair.told(ErrorReport)


def test_many_turns_are_each_answered_once() -> None:
    pair = Pair(words=[f"Question {number}." for number in range(4)])
    for number in range(4):
        pair.say(clip("cards_001"))
        pcm = speech(700, number)
        pair.answer((f"Answer {number}.", pcm))
        pair.pass_ms(1000)
        assert pair.remembered(pair.answers[number]) == pcm
    assert pair.types() == ["session.update"]
    said = [(one.role, one.text) for one in pair.asked.messages if one.role != "system"]
    assert said == [
        ("user", "Question 0."), ("assistant", "Answer 0."),
        ("user", "Question 1."), ("assistant", "Answer 1."),
        ("user", "Question 2."), ("assistant", "Answer 2."),
        ("user", "Question 3."),
    ]  # fmt: skip


def test_a_typed_question_is_answered_aloud() -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("What is it?"))
    assert pair.asked.messages[-1].text == "What is it?"
    pcm = speech(400)
    pair.answer(("It is this.", pcm))
    pair.pass_ms(600)
    assert heard_of(pair, pcm) == len(pcm) // 2
    assert pair.types() == ["session.update", "conversation.item.create", "response.create"]


def test_push_to_talk_commits_and_asks() -> None:
    pair = Pair(MANUAL, words=["Go forward."])
    pair.pass_ms(500, clip("goforward"))
    assert "input_audio_buffer.append" not in [one["type"] for one in pair.sent]
    pair.give(inputs.TalkPressed())
    pair.pass_ms(1000, clip("goforward"))
    pair.give(inputs.TalkReleased())
    pair.pass_ms(400)
    assert pair.asked.messages[-1].text == "Go forward."
    assert pair.types() == [
        "session.update", "input_audio_buffer.clear", "input_audio_buffer.commit",
        "response.create",
    ]  # fmt: skip
    pcm = speech(500)
    pair.answer(("Yes.", pcm))
    pair.pass_ms(700)
    assert pair.remembered(pair.answers[0]) == pcm


def test_a_tap_on_push_to_talk_is_no_turn_and_no_error() -> None:
    pair = Pair(MANUAL)
    pair.give(inputs.TalkPressed())
    pair.give(inputs.TalkReleased())
    pair.pass_ms(600)
    assert pair.types() == ["session.update", "input_audio_buffer.clear",
                            "input_audio_buffer.clear"]  # fmt: skip
    assert not pair.told(ErrorReport)


# -------------------------------------------------------------------------------------- barge-in


@pytest.mark.parametrize("is_done", [False, True], ids=["while-generating", "after-done"])
def test_after_a_barge_in_the_server_remembers_what_was_heard(is_done: bool) -> None:
    pair = after_a_question()
    pcm = speech(6000)
    pair.answer(("I will tell you all of it. ", pcm[: len(pcm) // 2]),
                ("And then some more.", pcm[len(pcm) // 2 :]), finish=is_done)  # fmt: skip
    pair.pass_ms(1220)
    pair.say(clip("cards_001"))
    heard = remembers_what_was_heard(pair, pair.answers[0], pcm)
    assert 1200 * SAMPLES_PER_MS < heard < 2000 * SAMPLES_PER_MS
    (cut,) = pair.told(BargeInReport)
    assert cut.heard_ms == heard // SAMPLES_PER_MS
    assert (cut.by, cut.received_ms) == ("voice", 6000)
    assert pair.types() == ["session.update", "conversation.item.truncate"]
    assert not pair.told(ErrorReport)
    pcm = speech(800, 7)
    pair.answer(("The next answer.", pcm))
    pair.pass_ms(1000)
    assert heard_of(pair, pcm) == len(pcm) // 2


def test_audio_that_is_still_made_after_a_barge_in_is_not_heard() -> None:
    pair = after_a_question()
    pcm, late = speech(3000), speech(3000, 1)
    pair.answer(("A long answer. ", pcm), finish=False)
    job = pair.asked.job
    pair.pass_ms(500)
    pair.pass_ms(300, clip("cards_001"))
    assert jobs.CancelAnswer(job) in pair.jobs
    pair.tell_engine(jobs.AnswerText(job, "It goes on."))
    pair.tell_engine(jobs.AnswerAudio(job, late))
    pair.pass_ms(4000)
    assert heard_of(pair, late) == 0
    remembers_what_was_heard(pair, pair.answers[0], pcm)


@pytest.mark.parametrize("how", ["key", "text", "talk"])
def test_other_interruptions_leave_the_same_memory(how: str) -> None:
    pair = Pair(MANUAL if how == "talk" else AUTOMATIC)
    pair.give(inputs.TextTyped("Tell me."))
    pcm = speech(4000)
    pair.answer(("Here is the story.", pcm), finish=how != "key")
    pair.pass_ms(740)
    pair.give(
        {
            "key": inputs.InterruptPressed(),
            "text": inputs.TextTyped("Stop."),
            "talk": inputs.TalkPressed(),
        }[how]
    )
    pair.pass_ms(500)
    heard = remembers_what_was_heard(pair, pair.answers[0], pcm)
    assert 740 * SAMPLES_PER_MS <= heard <= 760 * SAMPLES_PER_MS
    assert not pair.told(ErrorReport)


def test_an_answer_of_which_nothing_was_heard_is_forgotten() -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("Tell me."))
    pair.answer(("Here is the story.", speech(2000)))
    pair.give(inputs.TextTyped("No, something else."))
    assert pair.remembered(pair.answers[0]) is None
    said = [(one.role, one.text) for one in pair.asked.messages if one.role != "system"]
    assert said == [("user", "Tell me."), ("user", "No, something else.")]
    assert not pair.told(ErrorReport)


def test_words_that_were_not_heard_are_not_remembered() -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("Count."))
    pair.answer(("One two three. ", speech(1000)), ("Four five six.", speech(1000, 1)))
    pair.pass_ms(500)
    pair.give(inputs.InterruptPressed())
    assert "Four" not in pair.text_remembered(pair.answers[0])
    last = pair.told(AssistantReport)[-1]
    assert last.interrupted
    assert "Four" not in last.heard_text


def test_a_gap_in_playback_is_not_counted_as_heard() -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("Count."))
    first, second = speech(300), speech(3000, 1)
    pair.answer(("One. ", first), finish=False)
    pair.pass_ms(1000)
    pair.answer(("Two.", second))
    pair.pass_ms(200)
    pair.give(inputs.InterruptPressed())
    pair.pass_ms(100)
    remembered = pair.remembered(pair.answers[0])
    assert remembered is not None
    heard_ms = 300 + heard_of(pair, second) // SAMPLES_PER_MS
    assert abs(len(remembered) // 2 // SAMPLES_PER_MS - heard_ms) <= 1


@settings(max_examples=15, deadline=None)
@given(
    moments=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    ways=st.lists(st.sampled_from(["key", "text", "wait"]), min_size=5, max_size=5),
    finish=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_whenever_and_however_one_interrupts_the_memory_is_true(
    moments: list[int], ways: list[str], finish: list[bool]
) -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("Begin."))
    spoken: dict[str, bytes] = {}
    for number, moment in enumerate(moments):
        pcm = speech(400, number)
        pair.answer((f"Answer {number}.", pcm), finish=finish[number])
        spoken[pair.answers[-1]] = pcm
        pair.pass_ms(20 * moment)
        if ways[number] == "key":
            pair.give(inputs.InterruptPressed())
        if ways[number] == "wait":
            if not finish[number]:
                pair.tell_engine(jobs.AnswerFinished(pair.asked.job))
            pair.pass_ms(600)
        pair.give(inputs.TextTyped("Go on."))
        pair.pass_ms(20)
    for item_id, pcm in spoken.items():
        remembers_what_was_heard(pair, item_id, pcm)
    assert not pair.told(ErrorReport)
    assert len(pair.answers) == len(moments)


def test_quiet_is_not_taken_for_speech() -> None:
    pair = Pair()
    pair.say(silence(1000))
    assert [one["type"] for one in pair.received] == ["session.created", "session.updated"]
