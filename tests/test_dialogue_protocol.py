"""Single rules of the protocol that no other file is about."""

import base64

import pytest
from engine_fakes import Shown, Talk, clip, error, only, silence, types

from voicecli.audio.wire import WireEncoder
from voicecli.engine.dialogue.jobs import Answer, Transcribe
from voicecli.protocol.codec import CLIENT_CODEC

MANUAL = {"audio": {"input": {"turn_detection": None}}}


def test_every_default_is_in_the_greeting() -> None:
    session = Talk().seen[0]["session"]
    assert session.pop("instructions")
    assert session == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "voicecli-local",
        "output_modalities": ["audio"],
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": None,
        "include": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "voice": "marin",
                "speed": 1.0,
            },
        },
    }


def test_transcription_that_is_switched_on_is_echoed_with_its_defaults() -> None:
    talk = Talk({"audio": {"input": {"transcription": {"model": "whisper-1"}}}})
    heard = talk.seen[-1]["session"]["audio"]["input"]["transcription"]
    assert heard == {"model": "whisper-1", "language": None, "prompt": None}


def test_an_answer_is_spoken_at_the_speed_of_the_session() -> None:
    talk = Talk({"audio": {"output": {"speed": 1.25}}})
    talk.ask()
    assert talk.job(Answer).speed == 1.25


def test_audio_after_a_commit_is_of_the_next_item() -> None:
    talk = Talk(MANUAL)
    talk.hear(silence(300))
    talk.send("input_audio_buffer.commit")
    talk.hear(silence(200))
    talk.send("input_audio_buffer.commit")
    committed = [one for one in talk.seen if one["type"] == "input_audio_buffer.committed"]
    assert committed[1]["previous_item_id"] == committed[0]["item_id"]
    lengths = []
    for one in committed:
        told = talk.send("conversation.item.retrieve", item_id=one["item_id"])
        lengths.append(len(base64.b64decode(told[0]["item"]["content"][0]["audio"])) // 48)
    assert lengths == [300, 200]


def test_a_response_cancelled_before_it_said_anything_has_no_output() -> None:
    talk = Talk()
    talk.ask()
    done = only(talk.send("response.cancel"), "response.done")["response"]
    assert (done["status"], done["output"]) == ("cancelled", [])
    assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}


@pytest.mark.parametrize("act", ["retrieve", "truncate", "delete"])
def test_an_unknown_item_is_refused_with_the_code_of_what_was_asked(act: str) -> None:
    more = {"content_index": 0, "audio_end_ms": 0} if act == "truncate" else {}
    told = Talk().send(f"conversation.item.{act}", item_id="nobody", event_id="my-1", **more)
    assert error(told)["code"] == f"item_{act}_invalid_item_id"
    assert (error(told)["param"], error(told)["event_id"]) == ("item_id", "my-1")


def test_nothing_of_an_answer_may_have_been_heard() -> None:
    talk = Talk()
    talk.ask()
    item_id = only(talk.answer("Hello there."), "response.output_item.added")["item"]["id"]
    cut = {"item_id": item_id, "content_index": 0, "audio_end_ms": 0}
    assert types(talk.send("conversation.item.truncate", **cut)) == ["conversation.item.truncated"]
    item = talk.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert item["content"][0] == {"type": "output_audio", "transcript": "", "audio": ""}


def test_requests_may_be_sent_without_waiting_and_are_taken_in_order() -> None:
    talk = Talk()
    told = talk.say("One.") + talk.say("Two.") + talk.send("response.create")
    assert types(told) == [
        *("conversation.item.added", "conversation.item.done") * 2,
        "response.created",
    ]
    assert [one.text for one in talk.job(Answer).messages[1:]] == ["One.", "Two."]


@pytest.mark.parametrize(("kind", "bytes_per_ms"), [("audio/pcm", 48), ("audio/pcmu", 8)])
def test_tokens_of_audio_are_of_its_length_whatever_it_is_encoded_in(
    kind: str, bytes_per_ms: int
) -> None:
    wire = {"type": kind, "rate": 24000} if kind == "audio/pcm" else {"type": kind}
    formats = {"input": {"format": wire, "turn_detection": None}, "output": {"format": wire}}
    talk = Talk({"instructions": "", "audio": formats})
    sound = clip()[: 48 * 1000] if kind == "audio/pcm" else b"\x55" * 1000 * bytes_per_ms
    audio = base64.b64encode(sound).decode()
    talk.send("input_audio_buffer.append", audio=audio)
    talk.send("input_audio_buffer.commit")
    talk.send("response.create")
    talk.understand("Hi.")
    talk.answer("Yes.", ms_each=500)
    usage = talk.seen[-1]["response"]["usage"]
    assert usage["input_token_details"]["audio_tokens"] == pytest.approx(10, abs=1)
    assert usage["output_token_details"]["audio_tokens"] == 10


def test_out_of_band_input_may_hold_items_of_its_own_beside_those_of_the_conversation() -> None:
    talk = Talk()
    talk.say("The first.")
    first = talk.seen[-1]["item"]["id"]
    talk.say("The second.")
    typed = {"type": "message", "role": "user"}
    typed["content"] = [{"type": "input_text", "text": "Which one?"}]  # type: ignore[assignment]
    response = {
        "conversation": "none",
        "metadata": {"topic": "which"},
        "output_modalities": ["text"],
        "input": [{"type": "item_reference", "id": first}, typed],
    }
    talk.send("response.create", response=response)
    assert [one.text for one in talk.job(Answer).messages[1:]] == ["The first.", "Which one?"]
    done = only(talk.answer("The first."), "response.done")["response"]
    assert (done["metadata"], done["conversation_id"]) == ({"topic": "which"}, None)
    assert not [job for job in talk.jobs if isinstance(job, Transcribe)]


FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"tools": [{**FUNCTION, "strict": True}]}, "session.tools[0].strict"),
        ({"prompt": {"id": "p", "v": 1}}, "session.prompt.v"),
        ({"tracing": {"name": "t"}}, "session.tracing.name"),
        ({"tools": [{"type": "mcp", "server_label": "s", "url": ""}]}, "session.tools[0].url"),
    ],
)
def test_fields_that_the_api_does_not_have_are_refused_at_any_depth(
    session: Shown, param: str
) -> None:
    told = Talk().send("session.update", session={"type": "realtime", **session})
    assert (error(told)["code"], error(told)["param"]) == ("unknown_parameter", param)


def test_what_is_nested_too_deeply_to_be_echoed_is_refused() -> None:
    nested: object = 1
    for _ in range(70):
        nested = {"a": nested}
    told = Talk().send(
        "session.update",
        session={"type": "realtime", "tools": [{**FUNCTION, "parameters": nested}]},
    )
    assert error(told)["param"] == "session.tools[0].parameters"


def test_remote_tools_are_accepted_and_echoed_as_they_are() -> None:
    remote = {
        "type": "mcp",
        "server_label": "docs",
        "server_url": "https://mcp.example/sse",
        "headers": {"X-Key": "k"},
        "allowed_tools": {"tool_names": ["search"], "read_only": True},
        "require_approval": {"never": {"tool_names": ["search"]}},
        "allowed_callers": ["direct"],
        "defer_loading": False,
    }
    talk = Talk({"tools": [remote, {**remote, "allowed_tools": ["search"]}]})
    assert talk.seen[-1]["session"]["tools"][0] == remote


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_text", "text": "x", "audio": "AAAA"}, "audio"),
        ({"type": "input_text", "text": "x", "annotations": []}, "annotations"),
        ({"type": "input_image", "image_url": "data:,", "detail": "huge"}, "detail"),
        ({"type": "input_image"}, "image_url"),
    ],
)
def test_a_part_has_the_fields_of_its_type_only(part: Shown, param: str) -> None:
    item = {"type": "message", "role": "user", "content": [part]}
    told = Talk().send("conversation.item.create", item=item)
    assert error(told)["param"] == f"item.content[0].{param}"


def test_an_item_as_a_library_writes_it_with_nulls_is_accepted() -> None:
    part = {"type": "input_text", "text": "x", "audio": None, "transcript": None, "detail": None}
    item = {"type": "message", "role": "user", "status": None, "id": None, "content": [part]}
    assert types(Talk().send("conversation.item.create", item=item))[-1] == "conversation.item.done"


FORMATS = {
    "pcm": {"type": "audio/pcm", "rate": 24000},
    "pcmu": {"type": "audio/pcmu"},
    "pcma": {"type": "audio/pcma"},
}
BYTES_PER_MS = {"pcm": 48, "pcmu": 8, "pcma": 8}


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("input", FORMATS)
def test_retrieved_audio_is_in_the_format_of_the_session(input: str, output: str) -> None:
    heard = {"format": FORMATS[input], "turn_detection": None}
    talk = Talk({"audio": {"input": heard, "output": {"format": FORMATS[output]}}})
    encoded = WireEncoder(input).encode(clip()[: 48 * 1000])
    talk.send("input_audio_buffer.append", audio=base64.b64encode(encoded).decode())
    talk.send("input_audio_buffer.commit")
    talk.understand("Go.")
    talk.send("response.create")
    talk.answer("Yes.", ms_each=500)
    for item, name, length_ms in ((0, input, 1000), (1, output, 500)):
        item_id = [one for one in talk.seen if one["type"] == "conversation.item.done"][item]
        told = talk.send("conversation.item.retrieve", item_id=item_id["item"]["id"])
        audio = base64.b64decode(told[0]["item"]["content"][0]["audio"])
        assert len(audio) / BYTES_PER_MS[name] == pytest.approx(length_ms, abs=5)
        if item == 1:
            assert set(audio) == ({0} if name == "pcm" else {0xFF} if name == "pcmu" else {0xD5})


def test_audio_given_in_another_format_is_retrieved_in_that_of_now() -> None:
    talk = Talk({"audio": {"input": {"format": FORMATS["pcm"]}}})
    content = [{"type": "input_audio", "audio": base64.b64encode(clip()).decode()}]
    item = {"id": "mine", "type": "message", "role": "user", "content": content}
    talk.send("conversation.item.create", item=item)

    def retrieved() -> bytes:
        (told,) = talk.send("conversation.item.retrieve", item_id="mine")
        return base64.b64decode(told["item"]["content"][0]["audio"])

    assert retrieved() == clip()
    heard = {"format": FORMATS["pcma"]}
    talk.send("session.update", session={"type": "realtime", "audio": {"input": heard}})
    assert abs(len(retrieved()) - len(clip()) / 6) <= 1


def test_long_audio_is_retrieved_in_steps_between_which_others_may_act() -> None:
    talk = Talk({"audio": {"input": {"format": FORMATS["pcmu"]}}})
    content = [{"type": "input_audio", "audio": base64.b64encode(bytes(8 * 60_000)).decode()}]
    item = {"id": "mine", "type": "message", "role": "user", "content": content}
    talk.send("conversation.item.create", item=item)
    heard = {"format": FORMATS["pcm"]}
    talk.send("session.update", session={"type": "realtime", "audio": {"input": heard}})
    wanted = CLIENT_CODEC.decode('{"type": "conversation.item.retrieve", "item_id": "mine"}')
    steps = talk.dialogue.steps(wanted, 0.0)
    assert [next(steps) for _ in range(300)] == [[]] * 300
    assert types(talk.understand("Nothing.")) == []
    (retrieved,) = [one for step in steps for one in step]
    (shown,) = talk.take([retrieved])
    assert len(base64.b64decode(shown["item"]["content"][0]["audio"])) == 48 * 60_000


def test_items_typed_while_audio_is_buffered_come_before_the_item_of_that_audio() -> None:
    talk = Talk({"audio": {"input": {"turn_detection": None}}})
    talk.hear(silence(300))
    typed = only(talk.say("Typed."), "conversation.item.added")["item"]["id"]
    committed = only(talk.send("input_audio_buffer.commit"), "input_audio_buffer.committed")
    assert committed["previous_item_id"] == typed


def test_a_running_response_keeps_the_settings_that_it_began_with() -> None:
    talk = Talk({"instructions": "Old.", "max_output_tokens": 100})
    talk.ask()
    changed = {"instructions": "New.", "max_output_tokens": 1, "output_modalities": ["text"]}
    talk.send("session.update", session={"type": "realtime", **changed})
    first = only(talk.answer("All of it is said."), "response.done")["response"]
    assert (first["status"], first["max_output_tokens"]) == ("completed", 100)
    assert first["output"][0]["content"][0]["type"] == "output_audio"
    talk.send("response.create")
    assert talk.job(Answer).messages[0].text == "New."
    assert not talk.job(Answer).spoken


def test_an_empty_input_shows_the_mind_nothing_but_the_instructions() -> None:
    talk = Talk({"instructions": "Be brief."})
    talk.say("Not to be seen.")
    talk.send("response.create", response={"input": []})
    assert [one.text for one in talk.job(Answer).messages] == ["Be brief."]


@pytest.mark.parametrize(
    "metadata",
    [
        {str(number): "" for number in range(17)},
        {"k" * 65: "v"},
        {"k": "v" * 513},
    ],
)
def test_metadata_beyond_the_limits_of_the_api_is_refused(metadata: dict[str, str]) -> None:
    talk = Talk()
    told = talk.send("response.create", response={"metadata": metadata})
    assert error(told)["code"] == "invalid_value"
    assert error(told)["param"].startswith("response.metadata")
    most = {str(number).ljust(64, "k"): "v" * 512 for number in range(16)}
    created = talk.send("response.create", response={"metadata": most})
    assert only(created, "response.created")["response"]["metadata"] == most


def test_an_image_is_kept_as_it_was_given() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "high"}
    item = {"type": "message", "role": "user", "content": [image]}
    told = Talk().send("conversation.item.create", item=item)
    assert types(told) == ["conversation.item.added", "conversation.item.done"]
    assert told[0]["item"]["content"] == [image]
