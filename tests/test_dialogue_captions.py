"""Transcription deltas, while the user speaks and after it."""

import pytest
from engine_fakes import Shown, Talk, clip, only, silence, types

from voicecli.engine.dialogue.jobs import (
    Answer,
    CancelTranscription,
    Transcribe,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.dialogue.messages import Message

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"
STOPPED = "input_audio_buffer.speech_stopped"
SPEECH = clip("librivox_sense_0870")


def talk_with(model: str = "gpt-realtime-whisper", **transcription: object) -> Talk:
    return Talk({"audio": {"input": {"transcription": {"model": model, **transcription}}}})


def captions(talk: Talk) -> list[Transcribe]:
    return [job for job in talk.jobs if isinstance(job, Transcribe) and job.is_caption]


def speak(talk: Talk, *texts: str) -> list[Shown]:
    """Speak for some seconds while each caption that is asked for is answered at once."""
    told, left = [], list(texts)
    for start in range(0, len(SPEECH), 960):
        told += talk.hear(SPEECH[start : start + 960])
        for job in captions(talk):
            told += talk.give(Transcribed(job.job, left.pop(0) if left else texts[-1]))
        talk.jobs = [job for job in talk.jobs if job not in captions(talk)]
    return told


def deltas(told: list[Shown]) -> str:
    return "".join(one["delta"] for one in told if one["type"] == DELTA)


def test_words_are_told_while_they_are_spoken_and_make_up_the_transcript() -> None:
    talk = talk_with()
    told = speak(talk, "And Mister", "And Mister John", "And Mister John Dashwood had")
    assert deltas(told) == "And Mister John Dashwood had"
    assert STOPPED not in types(told)
    item_id = only(talk.seen, "input_audio_buffer.speech_started")["item_id"]
    assert {one["item_id"] for one in told if one["type"] == DELTA} == {item_id}
    talk.hear(silence(700))
    talk.understand("And Mr. John Dashwood had leisure.")
    completed = only(talk.seen, COMPLETED)
    assert completed["transcript"] == deltas(talk.seen) == "And Mister John Dashwood had leisure."
    # What was told is not taken back, but the mind reads what was heard in the end.
    assert talk.job(Answer).messages[-1] == Message("user", "And Mr. John Dashwood had leisure.")


def test_the_ears_are_asked_about_once_a_second_and_not_again_before_they_have_answered() -> None:
    talk = talk_with()
    talk.hear(SPEECH)
    (first,) = captions(talk)
    assert 900 <= len(first.pcm16k) // 32 <= 1300
    eager = talk_with()
    asked = 0
    for start in range(0, len(SPEECH), 960):
        eager.hear(SPEECH[start : start + 960])
        for job in captions(eager):
            asked += 1
            eager.give(Transcribed(job.job, ""))
        eager.jobs.clear()
    assert len(SPEECH) // 48_000 - 2 <= asked <= len(SPEECH) // 48_000


def test_a_caption_that_is_not_to_be_had_is_no_event_and_is_asked_for_again() -> None:
    talk = talk_with()
    talk.hear(SPEECH[: 48 * 1500])
    (first,) = captions(talk)
    assert talk.give(TranscriptionFailed(first.job, "busy")) == []
    talk.hear(SPEECH[48 * 1500 : 48 * 3000])
    assert len(captions(talk)) == 2


def test_at_the_end_of_the_turn_a_caption_is_not_waited_for() -> None:
    talk = talk_with()
    talk.hear(SPEECH + silence(700))
    (job,) = captions(talk)
    assert CancelTranscription(job.job) in talk.jobs
    assert talk.give(Transcribed(job.job, "And so")) == []


def test_the_guess_of_a_pause_counts_as_a_caption() -> None:
    talk = talk_with()
    talk.hear(clip("cards_001") + silence(240))
    guess = talk.job(Transcribe)
    assert not guess.is_caption
    talk.give(Transcribed(guess.job, "Ten of clubs."))
    talk.hear(clip("cards_001"))
    talk.hear(silence(240))
    told = talk.understand("Ten of clubs, ten of clubs.")
    assert deltas(told) == "Ten of clubs"


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"])
def test_models_that_speak_up_after_the_commit_do_so_here(model: str) -> None:
    talk = talk_with(model)
    talk.hear(SPEECH)
    assert not captions(talk)
    talk.hear(silence(700))
    told = talk.understand("And Mr. John Dashwood.")
    assert types(told)[:2] == [DELTA, COMPLETED]
    assert told[0]["delta"] == told[1]["transcript"]


def test_nobody_who_wants_no_transcript_gets_one_piece_by_piece() -> None:
    talk = Talk()
    talk.hear(SPEECH)
    assert not captions(talk)
    talk.hear(silence(700))
    assert DELTA not in types(talk.understand("Hello."))


def test_switching_transcription_off_in_the_middle_of_a_turn_silences_it() -> None:
    talk = talk_with()
    told = []
    for until_ms in (2000, 4000):
        talk.hear(SPEECH[48 * (until_ms - 2000) : 48 * until_ms])
        (job,) = captions(talk)
        talk.take_jobs()
        if until_ms == 4000:
            off = {"type": "realtime", "audio": {"input": {"transcription": None}}}
            talk.send("session.update", session=off)
        told += talk.give(Transcribed(job.job, "And Mister"))
    assert told == []
    talk.hear(SPEECH[48 * 4000 :] + silence(700))
    assert not captions(talk)
    assert DELTA not in types(talk.understand("And Mister"))


@pytest.mark.parametrize(
    ("transcription", "language"),
    [
        ({}, ""),
        ({"language": "en"}, "en"),
        ({"language": "EN-us"}, "en"),
        ({"language": "de"}, "de"),
        ({"language": None, "languages": ["fr", "en"]}, "en"),
        ({"languages": ["fr", "de"]}, "fr"),
    ],
)
def test_the_ears_are_told_the_language(transcription: Shown, language: str) -> None:
    talk = talk_with(**transcription)
    talk.hear(clip() + silence(700))
    assert {job.language for job in talk.jobs if isinstance(job, Transcribe)} == {language}


def test_a_language_that_nobody_understands_is_told_once_an_item_and_the_talk_goes_on() -> None:
    talk = talk_with(language="de")
    failed = ("nobody knows 'de'", "language_not_supported", "invalid_request_error")
    for _ in range(2):
        talk.hear(clip())
        for job in captions(talk):
            talk.give(TranscriptionFailed(job.job, *failed))
        talk.hear(silence(700))
        told = talk.give(TranscriptionFailed(talk.job(Transcribe).job, *failed))
        talk.take_jobs()
        assert types(told) == [FAILED, "response.created", "response.done"]
        assert told[0]["error"]["code"] == "language_not_supported"
        assert told[0]["error"]["type"] == "invalid_request_error"
        response = told[-1]["response"]
        assert response["status"] == "failed"
        assert response["status_details"]["error"]["message"] == "nobody knows 'de'"
    english = {"type": "realtime", "audio": {"input": {"transcription": {"language": "en"}}}}
    talk.send("session.update", session=english)
    talk.hear(clip() + silence(700))
    assert types(talk.understand("Go."))[-1] == "response.created"
