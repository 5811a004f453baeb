"""What a connection is told of its session, and what a `session.update` may do."""

import base64
from typing import Any

import pytest
from engine_fakes import Talk, clip, error, only, silence, types

from voicecli.protocol.settings import SemanticVad, SessionSettings


def update(talk: Talk, **session: Any) -> list[dict[str, Any]]:
    return talk.send("session.update", event_id="my-1", session={"type": "realtime", **session})


def test_a_fresh_connection_is_told_the_complete_default_session() -> None:
    (created,) = Talk().seen
    assert created["type"] == "session.created"
    session = created["session"]
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    assert session["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "voice": "marin",
        "speed": 1.0,
    }
    assert session["object"] == "realtime.session"
    assert session["tools"] == []


def test_an_update_is_merged_deeply_and_echoed_whole() -> None:
    talk = Talk()
    told = update(talk, audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 1}}})
    session = only(told, "session.updated")["session"]
    detection = session["audio"]["input"]["turn_detection"]
    assert (detection["threshold"], detection["prefix_padding_ms"]) == (1.0, 300)
    assert session["audio"]["output"]["voice"] == "marin"
    more = {"type": "server_vad", "prefix_padding_ms": 200}
    told = update(talk, audio={"input": {"turn_detection": more}, "output": {"speed": 1.2}})
    audio = only(told, "session.updated")["session"]["audio"]
    detection = audio["input"]["turn_detection"]
    assert (detection["threshold"], detection["prefix_padding_ms"]) == (1.0, 200)
    assert (audio["output"]["speed"], audio["output"]["voice"]) == (1.2, "marin")


def test_another_kind_of_turn_detection_starts_from_its_own_defaults() -> None:
    told = update(Talk(), audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    session = only(told, "session.updated")["session"]
    assert session["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }


def test_empty_values_clear() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    transcription = {"model": "whisper-1"}
    talk = Talk({"tools": tools, "audio": {"input": {"transcription": transcription}}})
    told = update(
        talk,
        instructions="",
        tools=[],
        audio={"input": {"transcription": None, "turn_detection": None}},
    )
    session = only(told, "session.updated")["session"]
    assert (session["instructions"], session["tools"]) == ("", [])
    assert session["audio"]["input"]["turn_detection"] is None
    assert session["audio"]["input"]["transcription"] is None


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"modalities": ["text"]}, "unknown_parameter", "session.modalities"),
    ({"temperature": 0.8}, "unknown_parameter", "session.temperature"),
    ({"output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]"),
    ({"instructions": 3}, "invalid_type", "session.instructions"),
    ({"max_output_tokens": 0}, "invalid_value", "session.max_output_tokens"),
    ({"audio": {"output": {"speed": 9}}}, "invalid_value", "session.audio.output.speed"),
    ({"audio": {"output": {"voice": "nobody"}}}, "invalid_value", "session.audio.output.voice"),
    (
        {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
        "invalid_value",
        "session.audio.input.format.rate",
    ),
    (
        {"audio": {"input": {"turn_detection": {"threshold": 0.5}}}},
        "missing_required_parameter",
        "session.audio.input.turn_detection.type",
    ),
    ({"tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
]


@pytest.mark.parametrize(("bad", "code", "param"), BAD)
def test_one_bad_field_refuses_the_whole_update(bad: Any, code: str, param: str) -> None:
    talk = Talk()
    told = update(talk, **({"instructions": "Be rude."} | bad))
    assert types(told) == ["error"]
    assert (error(told)["code"], error(told)["param"]) == (code, param)
    assert error(told)["event_id"] == "my-1"
    assert only(update(talk), "session.updated")["session"] == talk.seen[0]["session"]


def test_an_update_without_a_type_is_refused() -> None:
    told = Talk().send("session.update", session={"instructions": "x"})
    assert error(told)["code"] == "missing_required_parameter"
    assert error(told)["param"] == "session.type"


def test_both_modalities_of_old_mean_audio() -> None:
    told = update(Talk(), output_modalities=["text", "audio"])
    assert only(told, "session.updated")["session"]["output_modalities"] == ["audio"]


def test_another_model_is_asked_for_in_vain() -> None:
    told = update(Talk(), model="gpt-realtime")
    assert only(told, "session.updated")["session"]["model"] == "voicecli-local"


def test_the_voice_is_locked_after_the_first_audio() -> None:
    talk = Talk()
    assert types(update(talk, audio={"output": {"voice": "cedar"}})) == ["session.updated"]
    talk.ask()
    talk.answer("Hello.")
    told = update(talk, audio={"output": {"voice": "ash"}})
    assert error(told)["code"] == "cannot_update_voice"
    assert types(update(talk, audio={"output": {"voice": "cedar"}})) == ["session.updated"]
    told = talk.send("response.create", response={"audio": {"output": {"voice": "ash"}}})
    assert error(told)["code"] == "cannot_update_voice"


def test_the_speed_cannot_change_during_a_response() -> None:
    talk = Talk()
    talk.ask()
    assert error(update(talk, audio={"output": {"speed": 1.2}}))["param"].endswith("speed")
    talk.answer("Hello.")
    assert types(update(talk, audio={"output": {"speed": 1.2}})) == ["session.updated"]


def test_the_settings_of_our_own_client_are_accepted() -> None:
    settings = SessionSettings(
        instructions="Be brief.",
        voice="cedar",
        speed=1.1,
        turn_detection=SemanticVad(),
        input_format="pcmu",
        output_format="pcma",
        noise_reduction="near_field",
        transcription_model="whisper-1",
        language="en",
        tools=[{"type": "function", "name": "f", "parameters": {}}],
        max_output_tokens=100,
    )
    assert types(Talk().send("session.update", session=settings.to_wire())) == ["session.updated"]


def test_a_changed_detection_forgets_the_turn_that_was_running() -> None:
    talk = Talk()
    talk.hear(clip()[: 48 * 1500])
    only(talk.seen, "input_audio_buffer.speech_started")
    update(talk, audio={"input": {"turn_detection": None}})
    assert "input_audio_buffer.speech_stopped" not in types(talk.hear(silence(1000)))


@pytest.mark.parametrize(
    ("event", "field", "value"),
    [
        ("session.update", "session", {"type": "realtime", "tools": [[0] * 200] * 101}),
        ("response.create", "response", {"metadata": {str(key): "" for key in range(20_001)}}),
        ("conversation.item.create", "item", {"type": "message", "content": [{}] * 20_001}),
    ],
)
def test_an_event_with_more_values_than_can_be_worked_on_at_once_is_refused(
    event: str, field: str, value: dict[str, Any]
) -> None:
    told = error(Talk().send(event, **{field: value}))
    assert (told["code"], told["param"]) == ("invalid_value", field)
    assert "at most 20000 values" in told["message"]


def test_audio_in_an_item_is_no_longer_than_what_may_be_buffered() -> None:
    talk = Talk({"audio": {"input": {"format": {"type": "audio/pcmu"}}}})
    audio = base64.b64encode(bytes(8 * 600_100)).decode()
    content = [{"type": "input_audio", "audio": audio[: len(audio) // 8 * 4]}] * 2
    item = {"type": "message", "role": "user", "content": content}
    assert error(talk.send("conversation.item.create", item=item))["param"] == "item.content"
