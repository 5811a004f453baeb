"""The user's side: audio, turns, transcription, commits."""

import base64
import tracemalloc

import pytest
from engine_fakes import Talk, clip, error, only, silence, types

from voicecli.audio.wire import WireEncoder
from voicecli.engine.dialogue.jobs import (
    Answer,
    CancelAnswer,
    CancelTranscription,
    Tick,
    Transcribe,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.dialogue.listening import MAX_TURN_MS
from voicecli.engine.dialogue.messages import Message

TRANSCRIBED = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
MANUAL = {"audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}}
DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"


def test_a_spoken_turn_is_announced_committed_understood_and_answered_in_order() -> None:
    talk = Talk(TRANSCRIBED)
    talk.hear(silence(500) + clip() + silence(300))
    talk.understand(" Go forward ten meters. ")
    talk.hear(silence(400))
    assert types(talk.seen[2:]) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        DELTA,
        COMPLETED,
        "response.created",
    ]
    started, stopped, committed, added, _, delta, completed, _ = talk.seen[2:]
    assert 180 <= started["audio_start_ms"] <= 300
    assert stopped["audio_end_ms"] <= 500 + len(clip()) // 48 + 560
    assert {one["item_id"] for one in (started, stopped, committed, completed)} == {
        added["item"]["id"]
    }
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert completed["transcript"] == delta["delta"] == "Go forward ten meters."
    seconds = (stopped["audio_end_ms"] - started["audio_start_ms"]) / 1000
    assert completed["usage"] == {"type": "duration", "seconds": pytest.approx(seconds, abs=0.002)}
    assert talk.job(Answer).messages[1:] == (Message("user", "Go forward ten meters."),)


def test_a_file_sent_at_once_has_the_same_turns_as_a_microphone() -> None:
    paced, at_once = Talk(), Talk()
    audio = silence(400) + clip() + silence(900)
    paced.hear(audio, chunk_ms=20)
    at_once.hear(audio, chunk_ms=100_000)
    for kind, key in (("started", "audio_start_ms"), ("stopped", "audio_end_ms")):
        name = f"input_audio_buffer.speech_{kind}"
        first, second = only(paced.seen, name)[key], only(at_once.seen, name)[key]
        assert abs(first - second) <= 20


def test_transcription_is_told_only_to_those_who_want_it() -> None:
    talk = Talk()
    talk.hear(clip() + silence(700))
    told = talk.understand("Go.")
    assert types(told) == ["response.created"]


def test_the_ears_begin_before_the_turn_is_over_and_are_asked_once() -> None:
    talk = Talk()
    talk.hear(clip())
    talk.take_jobs()
    talk.hear(silence(300))
    guess = talk.job(Transcribe)
    assert "input_audio_buffer.speech_stopped" not in types(talk.seen)
    assert talk.understand("Go.") == []
    told = talk.hear(silence(400))
    assert types(told)[-1] == "response.created"
    assert [one for one in talk.jobs if isinstance(one, Transcribe)] == [guess]


def test_a_guess_that_speech_overtook_is_dropped() -> None:
    talk = Talk()
    talk.hear(clip() + silence(240))
    guess = talk.job(Transcribe)
    talk.hear(clip())
    assert CancelTranscription(guess.job) in talk.jobs
    assert talk.give(Transcribed(guess.job, "Go.")) == []
    talk.hear(silence(700))
    talk.understand("Go, go.")
    assert talk.job(Answer).messages[-1] == Message("user", "Go, go.")
    assert len(talk.job(Transcribe).pcm16k) > 1.9 * len(guess.pcm16k)


def test_a_guess_not_ready_at_the_end_of_the_turn_is_waited_for() -> None:
    talk = Talk()
    talk.hear(clip() + silence(700))
    assert types(talk.seen)[-1] == "conversation.item.done"
    assert types(talk.understand("Go.")) == ["response.created"]


def test_a_failed_guess_is_tried_again_at_the_end_of_the_turn() -> None:
    talk = Talk()
    talk.hear(clip() + silence(240))
    first = talk.job(Transcribe)
    talk.give(TranscriptionFailed(first.job, "no"))
    talk.hear(silence(500))
    assert talk.job(Transcribe).job != first.job


def test_a_turn_without_words_is_committed_but_not_answered() -> None:
    talk = Talk(TRANSCRIBED)
    talk.hear(clip() + silence(700))
    told = talk.understand("")
    assert types(told) == [COMPLETED]
    assert told[0]["transcript"] == ""
    assert not [one for one in talk.jobs if isinstance(one, Answer)]


def test_when_the_ears_fail_the_answer_fails_with_the_reason() -> None:
    talk = Talk(TRANSCRIBED)
    talk.hear(clip() + silence(700))
    told = talk.give(TranscriptionFailed(talk.job(Transcribe).job, "no weights"))
    assert types(told) == [
        "conversation.item.input_audio_transcription.failed",
        "response.created",
        "response.done",
    ]
    assert told[-1]["response"]["status"] == "failed"
    assert told[-1]["response"]["status_details"]["error"]["message"] == "no weights"


def test_the_mind_sees_an_unanswered_turn_and_the_next_one() -> None:
    talk = Talk()
    talk.hear(clip() + silence(700))
    first = talk.job(Transcribe)
    talk.hear(clip() + silence(700))
    assert talk.give(Transcribed(first.job, "One.")) == []
    told = talk.understand("Two.")
    assert types(told) == ["response.created"]
    assert talk.job(Answer).messages[1:] == (Message("user", "One."), Message("user", "Two."))


def test_without_automatic_answers_only_the_item_is_made() -> None:
    detection = {"type": "server_vad", "create_response": False}
    talk = Talk({"audio": {"input": {"turn_detection": detection}}})
    talk.hear(clip() + silence(700))
    assert talk.understand("Go.") == []
    told = talk.send("response.create")
    assert types(told) == ["response.created"]
    assert talk.job(Answer).messages[-1] == Message("user", "Go.")


def test_an_explicit_answer_waits_for_the_words_it_is_to_answer() -> None:
    talk = Talk(MANUAL)
    talk.hear(clip())
    talk.send("input_audio_buffer.commit")
    told = talk.send("response.create")
    assert types(told) == ["response.created"]
    assert not [one for one in talk.jobs if isinstance(one, Answer)]
    assert types(talk.understand("Go.")) == [DELTA, COMPLETED]
    assert talk.job(Answer).messages[-1] == Message("user", "Go.")


def test_an_explicit_answer_to_a_recording_without_words_is_empty() -> None:
    talk = Talk(MANUAL)
    talk.hear(silence(1000))
    talk.send("input_audio_buffer.commit")
    talk.send("response.create")
    told = talk.understand("")
    response = only(told, "response.done")["response"]
    assert (response["status"], response["output"]) == ("completed", [])


def test_a_manual_commit_makes_an_item_of_what_was_appended() -> None:
    talk = Talk(MANUAL)
    talk.hear(silence(250))
    told = talk.send("input_audio_buffer.commit")
    assert types(told) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert abs(len(talk.job(Transcribe).pcm16k) / 32 - 250) < 10
    item = talk.send("conversation.item.retrieve", item_id=told[0]["item_id"])[0]["item"]
    assert base64.b64decode(item["content"][0]["audio"]) == silence(250)
    talk.hear(silence(120))
    committed = talk.send("input_audio_buffer.commit")[0]
    assert committed["previous_item_id"] == told[0]["item_id"]


def test_a_commit_needs_a_tenth_of_a_second() -> None:
    talk = Talk(MANUAL)
    assert (
        error(talk.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
    )
    talk.hear(silence(80))
    told = talk.send("input_audio_buffer.commit")
    assert error(told)["code"] == "input_audio_buffer_commit_empty"
    assert "80ms" in error(told)["message"]


def test_cleared_audio_is_not_committed() -> None:
    talk = Talk(MANUAL)
    talk.hear(silence(500))
    assert types(talk.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    told = talk.send("input_audio_buffer.commit")
    assert error(told)["code"] == "input_audio_buffer_commit_empty"


def test_clear_under_voice_detection_drops_the_turn_that_is_running() -> None:
    talk = Talk()
    talk.hear(clip()[: 48 * 1800])
    talk.send("input_audio_buffer.clear")
    assert types(talk.hear(silence(1500))) == []


def test_a_commit_under_voice_detection_ends_the_running_turn_without_an_answer() -> None:
    talk = Talk()
    talk.hear(clip()[: 48 * 1800])
    started = only(talk.seen, "input_audio_buffer.speech_started")
    told = talk.send("input_audio_buffer.commit")
    assert told[0]["item_id"] == started["item_id"]
    assert talk.understand("Go.") == []


def test_a_commit_between_turns_is_refused() -> None:
    talk = Talk()
    talk.hear(silence(2000))
    told = talk.send("input_audio_buffer.commit")
    assert error(told)["code"] == "input_audio_buffer_commit_empty"


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_telephone_audio_is_understood(law: str) -> None:
    talk = Talk({"audio": {"input": {"format": {"type": f"audio/{law}"}}}})
    encoded = WireEncoder(law).encode(silence(400) + clip() + silence(900))  # type: ignore[arg-type]
    for start in range(0, len(encoded), 160):
        audio = base64.b64encode(encoded[start : start + 160]).decode()
        talk.send("input_audio_buffer.append", audio=audio)
    stopped = only(talk.seen, "input_audio_buffer.speech_stopped")
    assert abs(stopped["audio_end_ms"] - (400 + len(clip()) // 48 + 400)) < 400


def test_samples_torn_between_appends_are_joined() -> None:
    talk = Talk(MANUAL)
    audio = clip()[: 48 * 400]
    for part in (audio[:4801], audio[4801:]):
        talk.send("input_audio_buffer.append", audio=base64.b64encode(part).decode())
    item_id = talk.send("input_audio_buffer.commit")[0]["item_id"]
    item = talk.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert base64.b64decode(item["content"][0]["audio"]) == audio


def test_an_endless_turn_is_ended() -> None:
    talk = Talk()
    talk.hear(clip("jfk") * (MAX_TURN_MS // 11_000 + 1), chunk_ms=1000)
    stopped = [one for one in talk.seen if one["type"] == "input_audio_buffer.speech_stopped"]
    assert stopped
    started = only(talk.seen[: talk.seen.index(stopped[0])], "input_audio_buffer.speech_started")
    assert stopped[0]["audio_end_ms"] - started["audio_start_ms"] <= MAX_TURN_MS


def test_the_memory_of_silence_is_bounded() -> None:
    talk = Talk()
    talk.hear(silence(2000), chunk_ms=100)
    tracemalloc.start()
    try:
        talk.hear(silence(60_000), chunk_ms=100)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 500_000


def test_speaking_on_before_the_words_are_known_puts_the_answer_off() -> None:
    talk = Talk()
    talk.hear(clip() + silence(700))
    first = talk.job(Transcribe)
    talk.hear(clip())
    assert talk.give(Transcribed(first.job, "One.")) == []


def test_too_large_an_append_is_refused() -> None:
    audio = base64.b64encode(bytes(15 * 1024 * 1024 + 2)).decode()
    assert error(Talk().send("input_audio_buffer.append", audio=audio))["param"] == "audio"


def test_the_idle_timeout_makes_the_model_speak_unasked() -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    talk = Talk({"audio": {"input": {"turn_detection": detection}}})
    assert talk.dialogue.next_timer() is None
    talk.hear(clip() + silence(700))
    talk.at = 10.0
    talk.understand("Go.")
    assert talk.dialogue.next_timer() is None
    talk.answer("Where to?", ms_each=2000)
    assert talk.dialogue.next_timer() == 17.0
    talk.at = 16.9
    assert talk.give(Tick()) == []
    talk.at = 17.0
    assert types(talk.give(Tick())) == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    instructions, nothing = talk.job(Answer).messages[-2:]
    assert (instructions.role, nothing) == ("system", Message("user", "..."))
    assert talk.dialogue.next_timer() is None
    talk.answer("Still there?")
    assert talk.dialogue.next_timer() == 23.0
    talk.hear(clip())
    assert talk.dialogue.next_timer() is None


def test_speech_cancels_nothing_when_no_answer_is_running() -> None:
    talk = Talk()
    talk.hear(clip())
    assert not [one for one in talk.jobs if isinstance(one, CancelAnswer)]


def test_an_append_with_no_room_left_for_all_of_it_has_no_effect() -> None:
    talk = Talk({"audio": {"input": {"turn_detection": None}}})
    minute = base64.b64encode(silence(60_000)).decode()
    for _ in range(9):
        assert talk.send("input_audio_buffer.append", audio=minute) == []
    longer = base64.b64encode(silence(60_020)).decode()
    told = talk.send("input_audio_buffer.append", audio=longer, event_id="too-much")
    assert (error(told)["code"], error(told)["event_id"]) == ("invalid_value", "too-much")
    assert talk.send("input_audio_buffer.append", audio=minute) == []
