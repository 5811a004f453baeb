"""Objects inside events: typed access that no server can make fail."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_events import ASSISTANT, CALL, CANCELLED, RESPONSE, SESSION, USER

from voicecli.protocol.objects import (
    ErrorDetails,
    Item,
    JsonObject,
    Part,
    Response,
    Session,
    Usage,
    usage_from,
)

KINDS: list[type[JsonObject]] = [Part, Item, Response, Session, ErrorDetails]


def names(kind: type) -> list[str]:
    return [name for name in dir(kind) if isinstance(getattr(kind, name), property)]


def read(value: JsonObject) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names(type(value))}


def test_an_item_is_read_as_the_wire_has_it():
    item = Item(ASSISTANT)
    assert (item.id, item.type, item.role, item.status) == (
        "item_a",
        "message",
        "assistant",
        "completed",
    )
    assert item.content == [Part({"type": "output_audio", "transcript": "Hello."})]
    assert item.text == "Hello."
    assert Item(USER).text == ""
    call = Item(CALL)
    assert (call.name, call.call_id, call.arguments) == ("get_time", "call_1", '{"city": "Paris"}')


def test_the_text_of_an_item_is_that_of_all_its_parts():
    parts = [{"type": "text", "text": "One"}, {"type": "image"}, {"transcript": "two."}]
    assert Item({"content": parts}).text == "One two."


def test_a_response_is_read_as_the_wire_has_it():
    response = Response(RESPONSE)
    assert (response.id, response.status, response.reason) == ("resp_1", "completed", "")
    assert response.output == [Item(ASSISTANT), Item(CALL)]
    assert response.usage == Usage(
        total_tokens=205,
        input_tokens=41,
        output_tokens=164,
        input_text_tokens=14,
        input_audio_tokens=27,
        output_text_tokens=28,
        output_audio_tokens=136,
    )
    assert Response(CANCELLED).reason == "turn_detected"
    assert Response(CANCELLED).usage == Usage()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ({"code": "insufficient_quota", "message": "pay"}, "insufficient_quota: pay"),
        ({"code": None, "message": "pay"}, "pay"),
        ({"type": "server_error"}, "server_error"),
        ({}, ""),
        (None, ""),
    ],
)
def test_why_a_response_failed_is_one_line(error, told):
    details = {"type": "failed", "error": error}
    assert Response({"status_details": details}).error_message == told


def test_a_session_is_read_in_both_shapes():
    session = Session(SESSION)
    assert (session.id, session.model, session.voice) == ("sess_1", "gpt-realtime-2.1", "marin")
    assert session.expires_at == 1785460927.0
    assert session.turn_detection == SESSION["audio"]["input"]["turn_detection"]
    assert not session.is_beta
    old = {"modalities": ["text"], "voice": "alloy", "turn_detection": {"type": "server_vad"}}
    assert Session(old).is_beta
    assert Session(old).voice == "alloy"
    assert Session(old).turn_detection == {"type": "server_vad"}


@pytest.mark.parametrize("nothing", [None, {}, {"type": None}])
def test_manual_turns_are_manual_however_a_server_says_it(nothing):
    assert Session({"audio": {"input": {"turn_detection": nothing}}}).turn_detection is None
    assert Session({"modalities": [], "turn_detection": nothing}).turn_detection is None


def test_a_session_without_a_time_to_end_has_none():
    assert [Session({"expires_at": at}).expires_at for at in (None, 0, "soon")] == [None] * 3


def test_tokens_of_several_responses_add_up():
    assert usage_from({"total_tokens": 3}) + usage_from({"total_tokens": 4}) == Usage(
        total_tokens=7
    )


def test_cached_tokens_are_read_by_kind():
    details = {
        "cached_tokens": 192,
        "cached_tokens_details": {"text_tokens": 128, "audio_tokens": 64},
    }
    usage = usage_from({"input_token_details": details})
    assert (usage.cached_tokens, usage.cached_text_tokens, usage.cached_audio_tokens) == (
        192,
        128,
        64,
    )


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "id",
            "type",
            "role",
            "status",
            "content",
            "output",
            "usage",
            "audio",
            "status_details",
            "expires_at",
            "voice",
            "code",
            "message",
            "turn_detection",
            "modalities",
            "event_id",
        ]
    ),
    ODD
    | st.dictionaries(
        st.sampled_from(["reason", "error", "input", "output", "voice", "code", "message", "type"]),
        ODD | st.dictionaries(st.sampled_from(["code", "message", "type", "voice"]), ODD),
    ),
)


@pytest.mark.parametrize("kind", KINDS)
@given(fields=FIELDS)
@example(fields={"status_details": {"error": {"code": 500, "message": "x"}}})
@example(fields={"status_details": {"error": {"type": {"a": 1}}}})
@settings(max_examples=40, deadline=None)
def test_fields_of_the_wrong_shape_read_as_empty_and_of_the_right_type(kind, fields):
    normal = read(kind({}))
    for name, value in read(kind(fields)).items():
        if normal[name] is not None:
            assert type(value) is type(normal[name]), name


def test_objects_are_equal_by_kind_and_content_and_can_be_in_a_set():
    assert Item({"id": "a"}) == Item({"id": "a"})
    assert Item({"id": "a"}) != Part({"id": "a"})
    assert Item({"id": "a"}) != {"id": "a"}
    assert len({Item({"id": "a"}), Item({"id": "a"}), Part({"id": "a"})}) == 2
    assert repr(Item({"id": "a"})) == "Item({'id': 'a'})"
