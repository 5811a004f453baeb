"""Sessions of type "transcription": the user is understood, and nobody answers."""

from typing import Any

import pytest
from engine_fakes import Shown, Talk, clip, counted_ids, error, only, silence, types

from voicecli.engine.dialogue.dialogue import Dialogue
from voicecli.engine.dialogue.jobs import Answer, Tick

COMPLETED = "conversation.item.input_audio_transcription.completed"


def transcribing(**heard: Any) -> Talk:
    talk = Talk()
    talk.seen.clear()
    talk.dialogue = Dialogue(counted_ids(), kind="transcription")
    talk.take(talk.dialogue.begin())
    if heard:
        update(talk, audio={"input": heard})
    return talk


def update(talk: Talk, kind: str = "transcription", **session: Any) -> list[Shown]:
    return talk.send("session.update", session={"type": kind, **session})


def test_a_fresh_transcription_session_has_the_fields_of_one_and_no_others() -> None:
    (created,) = transcribing().seen
    session = created["session"]
    assert session == {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "id": "sess_1",
        "expires_at": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "voicecli-local", "language": None, "prompt": None},
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                },
            }
        },
        "include": None,
    }


def test_a_turn_is_transcribed_and_not_answered() -> None:
    talk = transcribing()
    talk.hear(silence(500) + clip() + silence(300))
    talk.understand("Go forward ten meters.")
    talk.hear(silence(400))
    told = types(talk.seen[1:])
    assert [one for one in told if "transcription.delta" not in one] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        COMPLETED,
    ]
    assert only(talk.seen, COMPLETED)["transcript"] == "Go forward ten meters."
    assert not [one for one in talk.jobs if isinstance(one, Answer)]


def test_turns_are_told_apart_by_the_item_before_them() -> None:
    talk = transcribing()
    for _ in range(2):
        talk.hear(silence(500) + clip() + silence(900))
    first, second = (one for one in talk.seen if one["type"] == "input_audio_buffer.committed")
    assert (first["previous_item_id"], second["previous_item_id"]) == (None, first["item_id"])


def test_without_detection_the_client_commits() -> None:
    talk = transcribing(turn_detection=None, transcription={"model": "gpt-realtime-whisper"})
    assert talk.seen[-1]["session"]["audio"]["input"]["turn_detection"] is None
    talk.hear(clip())
    told = talk.send("input_audio_buffer.commit")
    assert types(told)[0] == "input_audio_buffer.committed"
    assert only(talk.understand("Go forward."), COMPLETED)["transcript"] == "Go forward."


def test_what_concerns_answers_has_no_effect_and_is_not_echoed() -> None:
    detection = {"type": "server_vad", "create_response": True, "interrupt_response": True}
    talk = transcribing(turn_detection={**detection, "idle_timeout_ms": 5000})
    echoed = talk.seen[-1]["session"]["audio"]["input"]["turn_detection"]
    assert set(echoed) == {"type", "threshold", "prefix_padding_ms", "silence_duration_ms"}
    talk.hear(clip() + silence(900))
    talk.understand("Go.")
    talk.at = 60.0
    assert talk.give(Tick()) == []
    assert "response.created" not in types(talk.seen)


@pytest.mark.parametrize(
    "session", [{"instructions": "x"}, {"audio": {"output": {"voice": "ash"}}}, {"tools": []}]
)
def test_settings_of_a_conversation_are_unknown_to_it(session: Shown) -> None:
    talk = transcribing()
    before = talk.seen[0]["session"]
    assert error(update(talk, **session))["code"] == "unknown_parameter"
    assert only(update(talk), "session.updated")["session"] == before


def test_the_kind_of_a_session_cannot_be_changed() -> None:
    refused = error(update(transcribing(), "realtime"))
    assert (refused["code"], refused["param"]) == ("invalid_parameter", "session.type")
    refused = error(update(Talk(), "transcription"))
    assert refused["code"] == "invalid_parameter"
    assert "transcription session update event to a realtime session" in refused["message"]


def test_no_response_can_be_asked_for() -> None:
    talk = transcribing()
    assert error(talk.send("response.create"))["code"] == "invalid_parameter"
    assert error(talk.send("response.cancel"))["code"] == "response_cancel_not_active"


def test_semantic_detection_works_as_in_a_conversation() -> None:
    talk = transcribing(turn_detection={"type": "semantic_vad", "eagerness": "high"})
    echoed = talk.seen[-1]["session"]["audio"]["input"]["turn_detection"]
    assert echoed == {"type": "semantic_vad", "eagerness": "high"}
