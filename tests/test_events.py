"""Every event of the API, there and back, judged by the types of the `openai` package."""

import json
from typing import Any, get_args

import pytest
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from openai_types import check_client_event, check_server_event

from voicecli.protocol.codec import CLIENT_CODEC, SERVER_CODEC, encode
from voicecli.protocol.events import CLIENT_EVENTS, SERVER_EVENTS, Event

FORMAT = {"type": "audio/pcm", "rate": 24000}
SESSION = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "instructions": "Be brief.",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "expires_at": 1785460927,
    "audio": {
        "input": {
            "format": FORMAT,
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
        "output": {"format": FORMAT, "voice": "marin", "speed": 1.0},
    },
    "include": None,
}
USER = {
    "id": "item_u",
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_audio", "transcript": None}],
}
ASSISTANT = {
    "id": "item_a",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_audio", "transcript": "Hello."}],
}
CALL = {
    "id": "item_c",
    "type": "function_call",
    "status": "completed",
    "name": "get_time",
    "call_id": "call_1",
    "arguments": '{"city": "Paris"}',
}
USAGE = {
    "total_tokens": 205,
    "input_tokens": 41,
    "output_tokens": 164,
    "input_token_details": {
        "text_tokens": 14,
        "audio_tokens": 27,
        "image_tokens": 0,
        "cached_tokens": 0,
        "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 28, "audio_tokens": 136},
}
RESPONSE = {
    "object": "realtime.response",
    "id": "resp_1",
    "status": "completed",
    "status_details": None,
    "output": [ASSISTANT, CALL],
    "conversation_id": "conv_1",
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "audio": {"output": {"format": FORMAT, "voice": "marin"}},
    "usage": USAGE,
    "metadata": None,
}
CANCELLED = RESPONSE | {
    "status": "cancelled",
    "status_details": {"type": "cancelled", "reason": "turn_detected"},
    "output": [ASSISTANT | {"status": "incomplete"}],
    "usage": None,
}
OF_RESPONSE = {"response_id": "resp_1", "item_id": "item_a", "output_index": 0}
OF_PART = {**OF_RESPONSE, "content_index": 0}
TRANSCRIPTION = "conversation.item.input_audio_transcription"

CLIENT_SAMPLES: list[dict[str, Any]] = [
    {"type": "session.update", "session": {"type": "realtime", "audio": SESSION["audio"]}},
    {"type": "input_audio_buffer.append", "audio": "AQACAP//"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "hello"}],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "call_1", "output": '{"ok":true}'},
    },
    {"type": "conversation.item.retrieve", "item_id": "item_a"},
    {
        "type": "conversation.item.truncate",
        "item_id": "item_a",
        "content_index": 0,
        "audio_end_ms": 2350,
    },
    {"type": "conversation.item.delete", "item_id": "item_a"},
    {"type": "response.create"},
    {
        "type": "response.create",
        "response": {"output_modalities": ["text"], "conversation": "none", "input": []},
    },
    {"type": "response.cancel", "response_id": "resp_1"},
    {"type": "output_audio_buffer.clear"},
]

SERVER_SAMPLES: list[dict[str, Any]] = [
    {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "code": "response_cancel_not_active",
            "message": "Cancellation failed",
            "param": None,
            "event_id": "mine_7",
        },
    },
    {"type": "session.created", "session": SESSION},
    {"type": "session.updated", "session": SESSION},
    {
        "type": "conversation.created",
        "conversation": {"id": "conv_1", "object": "realtime.conversation"},
    },
    {"type": "conversation.item.created", "previous_item_id": None, "item": USER},
    {"type": "conversation.item.added", "previous_item_id": "item_u", "item": ASSISTANT},
    {"type": "conversation.item.done", "previous_item_id": None, "item": CALL},
    {"type": "conversation.item.retrieved", "item": USER},
    {
        "type": "conversation.item.truncated",
        "item_id": "item_a",
        "content_index": 0,
        "audio_end_ms": 2350,
    },
    {"type": "conversation.item.deleted", "item_id": "item_a"},
    {
        "type": f"{TRANSCRIPTION}.delta",
        "item_id": "item_u",
        "content_index": 0,
        "delta": "Hi",
        "logprobs": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}],
    },
    {
        "type": f"{TRANSCRIPTION}.completed",
        "item_id": "item_u",
        "content_index": 0,
        "transcript": "Hi",
        "usage": {"type": "duration", "seconds": 3.0},
        "languages": [{"code": "en"}],
    },
    {
        "type": f"{TRANSCRIPTION}.failed",
        "item_id": "item_u",
        "content_index": 0,
        "error": {"type": "server_error", "code": None, "message": "no", "param": None},
    },
    {
        "type": f"{TRANSCRIPTION}.segment",
        "item_id": "item_u",
        "content_index": 0,
        "id": "seg_1",
        "text": "Hi",
        "speaker": "A",
        "start": 0.5,
        "end": 1.25,
    },
    {"type": "input_audio_buffer.committed", "previous_item_id": None, "item_id": "item_u"},
    {"type": "input_audio_buffer.cleared"},
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 1460, "item_id": "item_u"},
    {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 4256, "item_id": "item_u"},
    {
        "type": "input_audio_buffer.timeout_triggered",
        "audio_start_ms": 1,
        "audio_end_ms": 2,
        "item_id": "item_u",
    },
    {"type": "input_audio_buffer.dtmf_event_received", "event": "9", "received_at": 1763200000},
    {"type": "output_audio_buffer.started", "response_id": "resp_1"},
    {"type": "output_audio_buffer.stopped", "response_id": "resp_1"},
    {"type": "output_audio_buffer.cleared", "response_id": "resp_1"},
    {"type": "response.created", "response": RESPONSE | {"status": "in_progress", "output": []}},
    {"type": "response.done", "response": RESPONSE},
    {"type": "response.done", "response": CANCELLED},
    {
        "type": "response.output_item.added",
        "response_id": "resp_1",
        "output_index": 0,
        "item": ASSISTANT | {"status": "in_progress", "content": []},
    },
    {
        "type": "response.output_item.done",
        "response_id": "resp_1",
        "output_index": 1,
        "item": CALL,
    },
    {
        "type": "response.content_part.added",
        **OF_PART,
        "part": {"type": "audio", "transcript": ""},
    },
    {"type": "response.content_part.done", **OF_PART, "part": {"type": "text", "text": "Hello."}},
    {"type": "response.output_text.delta", **OF_PART, "delta": "Hel"},
    {"type": "response.output_text.done", **OF_PART, "text": "Hello."},
    {"type": "response.output_audio.delta", **OF_PART, "delta": "AQACAP8="},
    {"type": "response.output_audio.done", **OF_PART},
    {"type": "response.output_audio_transcript.delta", **OF_PART, "delta": "Hel"},
    {"type": "response.output_audio_transcript.done", **OF_PART, "transcript": "Hello."},
    {
        "type": "response.function_call_arguments.delta",
        **OF_RESPONSE,
        "call_id": "call_1",
        "delta": '{"ci',
    },
    {
        "type": "response.function_call_arguments.done",
        **OF_RESPONSE,
        "call_id": "call_1",
        "name": "get_time",
        "arguments": '{"city": "Paris"}',
    },
    {
        "type": "response.mcp_call_arguments.delta",
        **OF_RESPONSE,
        "delta": "{",
        "obfuscation": "x1",
    },
    {"type": "response.mcp_call_arguments.done", **OF_RESPONSE, "arguments": "{}"},
    {"type": "response.mcp_call.in_progress", "item_id": "item_m", "output_index": 0},
    {"type": "response.mcp_call.completed", "item_id": "item_m", "output_index": 0},
    {"type": "response.mcp_call.failed", "item_id": "item_m", "output_index": 0},
    {"type": "mcp_list_tools.in_progress", "item_id": "item_m"},
    {"type": "mcp_list_tools.completed", "item_id": "item_m"},
    {"type": "mcp_list_tools.failed", "item_id": "item_m"},
    {
        "type": "rate_limits.updated",
        "rate_limits": [{"name": "tokens", "limit": 10, "remaining": 9, "reset_seconds": 0.5}],
    },
]
for _sample in SERVER_SAMPLES:
    # The one event of the API without an id.
    if _sample["type"] != "input_audio_buffer.dtmf_event_received":
        _sample["event_id"] = "event_1"

ON_THE_WIRE_ONLY = {"obfuscation"}
"Sent with every delta of text, and declared by the package for one of them only."


def type_of(sample: dict[str, Any]) -> str:
    return str(sample["type"])


def tag(event: type[Event]) -> str:
    return str(event.__struct_config__.tag)


def judges(union: Any) -> dict[str, Any]:
    """The package's own type of each event, by the event's name."""
    members = get_args(get_args(union)[0]) if hasattr(union, "__metadata__") else get_args(union)
    return {get_args(one.model_fields["type"].annotation)[0]: one for one in members}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(CLIENT_EVENTS, RealtimeClientEvent), (SERVER_EVENTS, RealtimeServerEvent)],
    ids=["client", "server"],
)
def test_we_know_exactly_the_events_and_fields_that_the_openai_package_knows(ours, theirs):
    assert sorted(map(tag, ours)) == sorted(judges(theirs))
    for event in ours:
        known = set(event.__struct_encode_fields__) - {"*unknown"} - ON_THE_WIRE_ONLY
        declared = set(judges(theirs)[tag(event)].model_fields) - {"type"} - ON_THE_WIRE_ONLY
        assert known == declared, tag(event)


@pytest.mark.parametrize("sample", CLIENT_SAMPLES, ids=type_of)
def test_a_client_event_survives_the_way_there_and_back(sample):
    check_client_event(json.dumps(sample))
    event = CLIENT_CODEC.decode(json.dumps(sample))
    assert type(event) in CLIENT_EVENTS
    assert event.type == sample["type"]
    check_client_event(encode(event))
    assert json.loads(encode(event)) == sample
    assert CLIENT_CODEC.decode(encode(event)) == event


@pytest.mark.parametrize("sample", SERVER_SAMPLES, ids=type_of)
def test_a_server_event_survives_the_way_there_and_back(sample):
    check_server_event(json.dumps(sample))
    event = SERVER_CODEC.decode(json.dumps(sample))
    assert type(event) in SERVER_EVENTS
    assert event.type == sample["type"]
    check_server_event(encode(event))
    assert json.loads(encode(event)) == sample
    assert SERVER_CODEC.decode(encode(event)) == event


def test_every_event_has_a_sample():
    assert {type_of(one) for one in CLIENT_SAMPLES} == set(map(tag, CLIENT_EVENTS))
    assert {type_of(one) for one in SERVER_SAMPLES} == set(map(tag, SERVER_EVENTS))


@pytest.mark.parametrize("sample", SERVER_SAMPLES, ids=type_of)
def test_fields_that_the_package_calls_optional_may_be_absent(sample):
    judge = judges(RealtimeServerEvent)[sample["type"]]
    required = {name for name, field in judge.model_fields.items() if field.is_required()}
    least = {key: value for key, value in sample.items() if key in required}
    event = SERVER_CODEC.decode(json.dumps(least))
    assert event.type == sample["type"]
    check_server_event(encode(event))


def test_the_type_comes_first_on_the_wire():
    event = CLIENT_CODEC.decode('{"audio": "AQA=", "type": "input_audio_buffer.append"}')
    assert encode(event) == b'{"type":"input_audio_buffer.append","audio":"AQA="}'


def test_an_event_cannot_be_changed():
    event = CLIENT_CODEC.decode('{"type": "response.create"}')
    with pytest.raises(AttributeError):
        event.event_id = "other"
