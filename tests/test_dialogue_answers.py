"""The model's side: responses, barge-in, truncation, items."""

import base64
import json
from typing import Any

import pytest
from engine_fakes import Talk, clip, error, only, silence, types

from voicecli.engine.dialogue.jobs import (
    Answer,
    AnswerAudio,
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    CancelAnswer,
    Transcribe,
)
from voicecli.engine.dialogue.messages import Message
from voicecli.engine.dialogue.recoding import for_ears
from voicecli.protocol.codec import CLIENT_CODEC

TEXT = {"output_modalities": ["text"]}


def test_a_spoken_answer_has_the_whole_order_of_events() -> None:
    talk = Talk()
    told = talk.ask("Hi.")
    assert types(told) == ["conversation.item.added", "conversation.item.done", "response.created"]
    user_id = told[0]["item"]["id"]
    told = talk.answer("Hello", " there.", ms_each=100)
    assert types(told) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert told[1]["previous_item_id"] == user_id
    assert told[2]["part"] == {"type": "audio", "transcript": ""}
    assert told[8]["transcript"] == "Hello there."
    item = told[11]["item"]
    assert item["content"] == [{"type": "output_audio", "transcript": "Hello there."}]
    assert item["status"] == "completed"
    response = told[12]["response"]
    assert (response["status"], response["output"]) == ("completed", [item])
    assert response["usage"]["output_token_details"] == {"text_tokens": 3, "audio_tokens": 4}


def test_a_written_answer_has_the_whole_order_of_events() -> None:
    talk = Talk(TEXT)
    talk.ask()
    assert not talk.job(Answer).spoken
    told = talk.answer("Hel", "lo.")
    assert types(told) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert told[5]["text"] == "Hello."
    assert told[8]["item"]["content"] == [{"type": "output_text", "text": "Hello."}]


def test_a_response_names_every_field_from_the_beginning() -> None:
    created = only(Talk().ask(), "response.created")["response"]
    assert created == {
        "object": "realtime.response",
        "id": "resp_1",
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_1",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
        "usage": None,
        "metadata": None,
    }


def test_audio_is_sent_in_deltas_of_at_most_200_ms_and_nothing_is_lost() -> None:
    talk = Talk()
    talk.ask()
    job = talk.job(Answer).job
    pcm = bytes(range(256)) * 120
    told = talk.give(AnswerAudio(job, pcm))
    deltas = [
        base64.b64decode(one["delta"])
        for one in told
        if one["type"] == "response.output_audio.delta"
    ]
    assert b"".join(deltas) == pcm
    assert max(map(len, deltas)) <= 48 * 200


def test_telephone_answers_are_as_long_as_the_speech() -> None:
    talk = Talk({"audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    talk.ask()
    told = talk.answer("Hello.", ms_each=990)
    encoded = b"".join(
        base64.b64decode(one["delta"])
        for one in told
        if one["type"] == "response.output_audio.delta"
    )
    assert len(encoded) == 990 * 8


def test_usage_counts_what_the_mind_was_shown() -> None:
    talk = Talk({"instructions": "x" * 40, "audio": {"input": {"turn_detection": None}}})
    talk.hear(silence(1000))
    talk.send("input_audio_buffer.commit")
    talk.understand("Eight chars or more, but audio counts.")
    talk.say("y" * 8)
    talk.send("response.create")
    response = only(talk.answer("Done.", ms_each=500), "response.done")["response"]
    assert response["usage"] == {
        "total_tokens": 34,
        "input_tokens": 22,
        "output_tokens": 12,
        "input_token_details": {
            "text_tokens": 12,
            "audio_tokens": 10,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 2, "audio_tokens": 10},
    }


def test_an_answer_too_long_for_its_tokens_is_incomplete() -> None:
    talk = Talk({"max_output_tokens": 12})
    talk.ask()
    told = talk.answer("Eight ch", ms_each=2000, finish=False)
    response = told[-1]["response"]
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response["usage"]["output_tokens"] == 12
    assert response["output"][0]["status"] == "incomplete"
    assert CancelAnswer("resp_1") in talk.jobs
    assert talk.give(AnswerFinished("resp_1")) == []


def test_the_last_token_is_filled_up_before_an_answer_is_incomplete() -> None:
    talk = Talk({"max_output_tokens": 4})
    talk.ask()
    job = talk.job(Answer).job
    assert types(talk.give(AnswerAudio(job, silence(30))))[-1] == "response.output_audio.delta"
    talk.give(AnswerAudio(job, silence(150)))
    response = only(talk.give(AnswerAudio(job, silence(30))), "response.done")["response"]
    assert response["usage"]["output_token_details"]["audio_tokens"] == 4
    item_id = response["output"][0]["id"]
    item = talk.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert len(base64.b64decode(item["content"][0]["audio"])) == 200 * 48


def test_a_written_answer_is_cut_at_its_tokens() -> None:
    talk = Talk(TEXT | {"max_output_tokens": 2})
    talk.ask()
    told = talk.answer("abc", "defghijkl", finish=False)
    assert only(told, "response.output_text.done")["text"] == "abcdefgh"
    assert told[-1]["response"]["status"] == "incomplete"


def test_an_answer_that_just_fits_is_complete() -> None:
    talk = Talk(TEXT | {"max_output_tokens": 2})
    talk.ask()
    assert talk.answer("abcd", "efgh")[-1]["response"]["status"] == "completed"


def test_a_second_response_is_refused_while_one_is_active() -> None:
    talk = Talk()
    talk.ask()
    told = talk.send("response.create")
    assert error(told)["code"] == "conversation_already_has_active_response"
    assert "resp_1" in error(told)["message"]
    talk.answer("Hello.")
    assert types(talk.send("response.create")) == ["response.created"]


def test_a_response_may_override_the_session() -> None:
    talk = Talk()
    talk.say("Hi.")
    response = {"instructions": "Be rude.", "output_modalities": ["text"], "max_output_tokens": 7}
    created = only(talk.send("response.create", response=response), "response.created")["response"]
    assert (created["output_modalities"], created["max_output_tokens"]) == (["text"], 7)
    assert talk.job(Answer).messages == (Message("system", "Be rude."), Message("user", "Hi."))


@pytest.mark.parametrize(
    ("response", "code", "param"),
    [
        ({"temperature": 1}, "unknown_parameter", "response.temperature"),
        ({"conversation": "other"}, "invalid_value", "response.conversation"),
        ({"metadata": {"k": 1}}, "invalid_type", "response.metadata.k"),
        (
            {"input": [{"type": "item_reference", "id": "no"}]},
            "invalid_value",
            "response.input[0].id",
        ),
        ({"input": [{"type": "message"}]}, "missing_required_parameter", "response.input[0].role"),
    ],
)
def test_a_bad_request_for_a_response_is_refused(response: Any, code: str, param: str) -> None:
    told = Talk().send("response.create", response=response)
    assert types(told) == ["error"]
    assert (error(told)["code"], error(told)["param"]) == (code, param)


def test_an_out_of_band_response_runs_beside_the_main_one_and_leaves_no_item() -> None:
    talk = Talk()
    talk.ask("Main.")
    main = talk.job(Answer)
    user_id = only(talk.seen, "conversation.item.added")["item"]["id"]
    response = {
        "conversation": "none",
        "metadata": {"topic": "x"},
        "output_modalities": ["text"],
        "instructions": "Classify.",
        "input": [
            {"type": "item_reference", "id": user_id},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "?"}]},
        ],
    }
    created = talk.send("response.create", response=response)[0]["response"]
    assert (created["conversation_id"], created["metadata"]) == (None, {"topic": "x"})
    assert talk.job(Answer).messages == (
        Message("system", "Classify."),
        Message("user", "Main."),
        Message("user", "?"),
    )
    told = talk.answer("One.")
    assert not [one for one in types(told) if one.startswith("conversation.")]
    assert told[-1]["response"]["metadata"] == {"topic": "x"}
    assert talk.give(AnswerText(main.job, "Two."))
    talk.give(AnswerFinished(main.job))
    talk.ask("More.")
    assert talk.job(Answer).messages[1:] == (
        Message("user", "Main."),
        Message("user", "More."),
    )


def test_audio_in_the_input_of_a_response_is_understood_first() -> None:
    talk = Talk()
    audio = base64.b64encode(silence(500)).decode()
    content = [{"type": "input_audio", "audio": audio}]
    item = {"type": "message", "role": "user", "content": content}
    talk.send("response.create", response={"conversation": "none", "input": [item]})
    assert not [one for one in talk.jobs if isinstance(one, Answer)]
    talk.understand("Hi.")
    assert talk.job(Answer).messages[-1] == Message("user", "Hi.")


def test_a_failed_mind_fails_the_response_with_the_reason() -> None:
    talk = Talk()
    talk.ask()
    talk.answer("Hello", finish=False)
    told = talk.give(AnswerFailed(talk.job(Answer).job, "out of memory"))
    assert types(told)[-3:] == [
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    response = told[-1]["response"]
    assert response["status"] == "failed"
    assert response["status_details"]["error"]["message"] == "out of memory"
    assert types(talk.send("response.create")) == ["response.created"]


def test_cancel_ends_the_answer_at_once_and_what_comes_later_is_ignored() -> None:
    talk = Talk()
    talk.ask()
    talk.answer("Hello.", finish=False)
    job = talk.job(Answer).job
    told = talk.send("response.cancel")
    assert CancelAnswer(job) in talk.jobs
    response = told[-1]["response"]
    assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert only(told, "response.output_item.done")["item"]["status"] == "incomplete"
    for late in (AnswerText(job, "x"), AnswerAudio(job, b"\0\0"), AnswerFailed(job, "x")):
        assert talk.give(late) == []


def test_cancel_by_id_reaches_an_out_of_band_response() -> None:
    talk = Talk()
    talk.send("response.create", response={"conversation": "none"})
    assert error(talk.send("response.cancel"))["code"] == "response_cancel_not_active"
    told = talk.send("response.cancel", response_id="resp_1")
    assert told[-1]["response"]["status"] == "cancelled"
    assert told[-1]["response"]["output"] == []


def test_cancel_without_an_active_response_is_an_error() -> None:
    told = Talk().send("response.cancel", event_id="mine")
    assert error(told)["code"] == "response_cancel_not_active"
    assert error(told)["event_id"] == "mine"


def barge_in(talk: Talk) -> list[dict[str, Any]]:
    told = talk.hear(clip()[: 48 * 600])
    assert types(told)[0] == "input_audio_buffer.speech_started"
    return told


def test_a_barge_in_cancels_the_answer() -> None:
    talk = Talk()
    talk.ask()
    talk.answer("Hello, I was say", finish=False)
    talk.take_jobs()
    told = barge_in(talk)
    assert types(told) == [
        "input_audio_buffer.speech_started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert talk.take_jobs()[0] == CancelAnswer("resp_1")
    response = told[-1]["response"]
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert response["output"][0]["status"] == "incomplete"
    talk.hear(silence(700))
    assert types(talk.understand("Wait."))[-1] == "response.created"
    assert types(talk.answer("Yes?"))[-1] == "response.done"


def test_a_barge_in_leaves_the_answer_alone_when_told_so() -> None:
    detection = {"type": "server_vad", "interrupt_response": False}
    talk = Talk({"audio": {"input": {"turn_detection": detection}}})
    talk.ask()
    assert types(barge_in(talk)) == ["input_audio_buffer.speech_started"]
    talk.hear(silence(700))
    told = talk.understand("Wait.")
    assert error(told)["code"] == "conversation_already_has_active_response"


def test_a_barge_in_does_not_cancel_out_of_band_responses() -> None:
    talk = Talk()
    talk.send("response.create", response={"conversation": "none"})
    assert types(barge_in(talk)) == ["input_audio_buffer.speech_started"]


def answered(*sentences: str, ms_each: int = 1000) -> tuple[Talk, str]:
    talk = Talk()
    talk.ask("Tell me.")
    told = talk.answer(*sentences, ms_each=ms_each)
    return talk, only(told, "response.output_item.done")["item"]["id"]


def remembered(talk: Talk) -> str:
    """What the mind is shown of the newest answer when it is asked again."""
    talk.ask("And?")
    said = [one.text for one in talk.job(Answer).messages if one.role == "assistant"]
    return said[-1] if said else ""


def truncate(talk: Talk, item_id: str, audio_end_ms: int, **more: Any) -> list[dict[str, Any]]:
    fields = {"item_id": item_id, "content_index": 0, "audio_end_ms": audio_end_ms} | more
    return talk.send("conversation.item.truncate", **fields)


@pytest.mark.parametrize(
    ("audio_end_ms", "heard"),
    [
        (0, ""),
        (100, ""),
        (1000, "One two three four."),
        (1500, "One two three four. Five six"),
        (1990, "One two three four. Five six seven"),
        (2000, "One two three four. Five six seven eight."),
    ],
)
def test_the_mind_remembers_what_was_heard_by_whole_words(audio_end_ms: int, heard: str) -> None:
    talk, item_id = answered("One two three four.", " Five six seven eight.")
    told = truncate(talk, item_id, audio_end_ms)
    assert told[0]["type"] == "conversation.item.truncated"
    assert told[0]["audio_end_ms"] == audio_end_ms
    assert remembered(talk) == heard


def test_on_the_wire_a_truncated_item_has_lost_its_transcript_and_its_end() -> None:
    talk, item_id = answered("One two.")
    truncate(talk, item_id, 400)
    item = talk.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert item["content"][0]["transcript"] == ""
    assert len(base64.b64decode(item["content"][0]["audio"])) == 400 * 48


def test_an_answer_cut_off_in_the_making_is_remembered_as_far_as_it_was_made() -> None:
    talk = Talk()
    talk.ask("Tell me.")
    talk.answer("One two.", finish=False)
    # Of what would take about two seconds there is half a second.
    talk.answer(" Three four five six seven eight nine", ms_each=500, finish=False)
    barge_in(talk)
    talk.hear(silence(700))
    talk.understand("Stop.")
    assert talk.job(Answer).messages[-2] == Message("assistant", "One two. Three")
    assert talk.job(Answer).messages[-1] == Message("user", "Stop.")


def test_an_answer_may_be_truncated_while_it_is_made() -> None:
    talk = Talk()
    talk.ask("Tell me.")
    told = talk.answer("One two.", finish=False)
    item_id = only(told, "response.output_item.added")["item"]["id"]
    assert types(truncate(talk, item_id, 500)) == ["conversation.item.truncated"]
    assert types(talk.answer(" Three."))[-1] == "response.done"
    assert remembered(talk) == "One"


@pytest.mark.parametrize("content_index", [1, -1])
def test_only_the_one_content_part_can_be_truncated(content_index: int) -> None:
    talk, item_id = answered("One.")
    told = truncate(talk, item_id, 10, content_index=content_index)
    assert error(told)["param"] == "content_index"


def test_truncation_beyond_the_audio_is_refused_and_changes_nothing() -> None:
    talk, item_id = answered("One two.")
    told = truncate(talk, item_id, 1001)
    assert error(told)["message"] == "Audio content of 1000ms is already shorter than 1001ms"
    assert error(truncate(talk, item_id, -1))["param"] == "audio_end_ms"
    assert remembered(talk) == "One two."


def test_only_audio_of_the_model_can_be_truncated() -> None:
    talk = Talk(TEXT)
    user_id = only(talk.ask(), "conversation.item.done")["item"]["id"]
    told = talk.answer("Hello.")
    text_id = only(told, "response.output_item.done")["item"]["id"]
    for item_id in (user_id, text_id):
        assert error(truncate(talk, item_id, 1))["code"] == "unsupported_content_type"
    assert error(truncate(talk, "no", 1))["code"] == "item_truncate_invalid_item_id"


def create(talk: Talk, item: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return talk.send("conversation.item.create", item=item, **more)


def message(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **more}


def test_items_go_where_the_client_wants_them() -> None:
    talk = Talk()
    create(talk, message("b", id="b"))
    assert create(talk, message("c", id="c"))[0]["previous_item_id"] == "b"
    told = create(talk, message("a", "system", id="a"), previous_item_id="root")
    assert told[0]["previous_item_id"] is None
    told = create(talk, message("B", "assistant", id="bb"), previous_item_id="b")
    assert told[0]["previous_item_id"] == "b"
    talk.send("response.create")
    assert talk.job(Answer).messages[1:] == (
        Message("system", "a"),
        Message("user", "b"),
        Message("assistant", "B"),
        Message("user", "c"),
    )


def test_an_item_is_refused_when_its_id_is_taken_or_its_place_unknown() -> None:
    talk = Talk()
    create(talk, message("a", id="a"))
    assert error(create(talk, message("b", id="a")))["param"] == "item.id"
    told = create(talk, message("b"), previous_item_id="no")
    assert error(told)["param"] == "previous_item_id"
    talk.send("response.create")
    assert talk.job(Answer).messages[1:] == (Message("user", "a"),)


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ({}, "missing_required_parameter", "item.type"),
        ({"type": "message"}, "missing_required_parameter", "item.role"),
        ({"type": "message", "role": "user"}, "missing_required_parameter", "item.content"),
        ({"type": "message", "role": "robot"}, "invalid_value", "item.role"),
        ({"type": "noise"}, "invalid_value", "item.type"),
        (
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_audio", "transcript": "x"}],
            },
            "missing_required_parameter",
            "item.content[0].text",
        ),
        (
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_audio", "audio": "?"}],
            },
            "invalid_value",
            "item.content[0].audio",
        ),
        (
            {"type": "function_call_output", "call_id": "no", "output": ""},
            "invalid_value",
            "item.call_id",
        ),
    ],
)
def test_what_is_no_item_is_refused(item: dict[str, Any], code: str, param: str) -> None:
    told = create(Talk(), item)
    assert types(told) == ["error"]
    assert (error(told)["code"], error(told)["param"]) == (code, param)


def test_a_whole_spoken_message_of_the_user_is_understood() -> None:
    talk = Talk()
    content = [{"type": "input_audio", "audio": base64.b64encode(clip()).decode()}]
    told = create(talk, {"type": "message", "role": "user", "content": content})
    assert "audio" not in told[0]["item"]["content"][0]
    job = talk.job(Transcribe)
    assert (job.encoded, job.format) == (clip(), "pcm")
    assert len(for_ears(job.encoded, job.format)) // 32 == len(clip()) // 48
    assert talk.understand("Go.") == []
    talk.send("response.create")
    assert talk.job(Answer).messages[-1] == Message("user", "Go.")


@pytest.mark.parametrize(("law", "wire_bytes"), [("pcm", 48), ("pcmu", 8), ("pcma", 8)])
def test_a_message_of_several_parts_is_understood_in_its_order(law: str, wire_bytes: int) -> None:
    kind = "audio/pcm" if law == "pcm" else f"audio/{law}"
    wire = {"type": kind, "rate": 24000} if law == "pcm" else {"type": kind}
    talk = Talk({"audio": {"input": {"format": wire}}})
    sounds = [bytes([index + 1] * wire_bytes * ms) for index, ms in enumerate((1000, 500))]
    spoken = [
        {"type": "input_audio", "audio": base64.b64encode(one).decode(), "transcript": None}
        for one in sounds
    ]
    typed = [{"type": "input_text", "text": text} for text in ("Listen:", "And answer.")]
    content = [typed[0], *spoken, typed[1]]
    told = create(talk, {"type": "message", "role": "user", "content": content})
    assert [one["type"] for one in told[0]["item"]["content"]] == [
        *("input_text", "input_audio", "input_audio", "input_text"),
    ]
    talk.understand("Two sounds.")
    item_id = told[0]["item"]["id"]
    item = talk.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    audio = [base64.b64decode(one.get("audio") or "") for one in item["content"]]
    assert audio == [b"", *sounds, b""]
    assert [one.get("transcript") for one in item["content"][1:3]] == ["Two sounds.", None]
    talk.send("response.create")
    assert talk.job(Answer).messages[-1] == Message("user", "Listen: Two sounds. And answer.")


def test_a_part_without_audio_is_understood_by_its_transcript() -> None:
    talk = Talk()
    content = [
        {"type": "input_audio", "transcript": "Go."},
        {"type": "input_audio", "transcript": "Stop."},
    ]
    create(talk, {"type": "message", "role": "user", "content": content})
    talk.send("response.create")
    assert talk.job(Answer).messages[-1] == Message("user", "Go. Stop.")


def test_deleted_items_are_forgotten() -> None:
    talk = Talk()
    create(talk, message("a", id="a"))
    create(talk, message("b", id="b"))
    told = talk.send("conversation.item.delete", item_id="a")
    assert types(told) == ["conversation.item.deleted"]
    told = talk.send("conversation.item.delete", item_id="a")
    assert error(told)["code"] == "item_delete_invalid_item_id"
    told = talk.send("conversation.item.retrieve", item_id="a")
    assert error(told)["code"] == "item_retrieve_invalid_item_id"
    talk.send("response.create")
    assert talk.job(Answer).messages[1:] == (Message("user", "b"),)


def test_an_answer_deleted_while_it_is_made_is_finished_but_not_remembered() -> None:
    talk = Talk()
    talk.ask("Hi.")
    told = talk.answer("One", finish=False)
    item_id = only(told, "response.output_item.added")["item"]["id"]
    talk.send("conversation.item.delete", item_id=item_id)
    told = talk.answer(" two.")
    assert "conversation.item.done" not in types(told)
    assert types(told)[-1] == "response.done"
    assert remembered(talk) == ""


def test_an_unknown_event_is_an_error_and_nothing_else() -> None:
    told = Talk().send("session.destroy", event_id="mine")
    assert (error(told)["code"], error(told)["param"]) == ("invalid_value", "type")
    assert error(told)["event_id"] == "mine"


def test_an_event_for_other_transports_is_an_error() -> None:
    assert error(Talk().send("output_audio_buffer.clear"))["param"] == "type"


def test_what_cannot_be_read_is_an_error() -> None:
    for text, code in (
        ("{", "invalid_event"),
        ("[]", "invalid_event"),
        ('{"type":"conversation.item.delete"}', "missing_required_parameter"),
    ):
        assert error(Talk().give(CLIENT_CODEC.decode(text)))["code"] == code


def test_the_error_about_an_unreadable_event_names_it() -> None:
    for text in (
        '{"type":"conversation.item.delete","event_id":"my-1"}',
        '{"event_id":"my-1"}',
        '{"type":"input_audio_buffer.append","audio":5,"event_id":"my-1"}',
    ):
        assert error(Talk().give(CLIENT_CODEC.decode(text)))["event_id"] == "my-1"
    nameless = '{"type":"conversation.item.delete","event_id":5}'
    assert error(Talk().give(CLIENT_CODEC.decode(nameless)))["event_id"] is None


def test_every_event_has_an_id_of_its_own() -> None:
    talk = Talk()
    talk.ask()
    talk.answer("One.", " Two.")
    ids = [one["event_id"] for one in talk.seen]
    assert len(set(ids)) == len(ids)


def test_usage_counts_the_tools_that_the_mind_was_offered() -> None:
    def input_tokens(offered: list[Any], **response: Any) -> dict[str, int]:
        talk = Talk({"instructions": "", "tools": offered})
        talk.say("y" * 8)
        talk.send("response.create", response=response)
        done = only(talk.answer("Done."), "response.done")["response"]
        counted: dict[str, int] = done["usage"]["input_token_details"]
        return counted

    tool = {
        "type": "function",
        "name": "look",
        "description": "d" * 100,
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    }
    shown = json.dumps(
        {name: tool[name] for name in ("name", "description", "parameters")},
        separators=(",", ":"),
    )
    one = -(-len(shown) // 4)
    assert input_tokens([])["text_tokens"] == 2
    assert input_tokens([tool])["text_tokens"] == 2 + one
    assert input_tokens([tool, {**tool, "name": "seek"}])["text_tokens"] == 2 + 2 * one
    assert input_tokens([], tools=[tool])["text_tokens"] == 2 + one
    assert input_tokens([tool], tools=[])["text_tokens"] == 2


@pytest.mark.parametrize("milliseconds", [10, 200, 1010])
def test_what_the_ears_get_of_an_items_audio_is_as_long_as_it(milliseconds: int) -> None:
    for audio_format, size in (("pcm", 48), ("pcmu", 8), ("pcma", 8)):
        heard = for_ears(bytes(size * milliseconds), audio_format)  # type: ignore[arg-type]
        assert len(heard) == 32 * milliseconds
