"""What comes in by the wire is a value in the end, whatever it was; and what we know not, stays."""

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_events import CLIENT_SAMPLES, SERVER_SAMPLES, type_of

from voicecli.protocol import dialects
from voicecli.protocol.codec import CLIENT_CODEC, EXCERPT_CHARS, SERVER_CODEC, encode
from voicecli.protocol.events import (
    Event,
    MalformedEvent,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    UnknownEvent,
)

AUDIO_DELTA = next(s for s in SERVER_SAMPLES if s["type"] == "response.output_audio.delta")
SEGMENT = next(s for s in SERVER_SAMPLES if s["type"].endswith("transcription.segment"))

NO_EVENTS = {
    "empty": b"",
    "nul": b"\0",
    "binary": bytes(range(256)),
    "byte order mark": b'\xef\xbb\xbf{"type":"x"}',
    "cut off": b'{"type":"response.done","respon',
    "trailing": b'{"type":"x"} {"type":"y"}',
    "number": b"7",
    "null": b"null",
    "list": b'[{"type":"error"}]',
    "no type": b'{"event_id":"e"}',
    "type is a number": b'{"type":7}',
    "type is null": b'{"type":null}',
    "type is an object": b'{"type":{"type":"error"}}',
    "not a number": b'{"type":"x","a":NaN}',
    "infinity": b'{"type":"x","a":-Infinity}',
    "a number out of range": b'{"type":"x","a":1e999}',
    "a number of many digits": b'{"type":"x","a":' + b"7" * 5000 + b"}",
    "half a surrogate pair": b'{"type":"x","a":"\\ud800"}',
    "bytes that are no text": b'{"type":"x","a":"\xff\xfe"}',
    "deep": b'{"type":"x","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep in an item": b'{"type":"error","error":{"a":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_002,
    "deep and open": b"[" * 1_000_000,
    "huge": b'{"type":' + b"x" * 5_000_000 + b"}",
    "wrong type of a field": b'{"type":"conversation.item.deleted","item_id":[1]}',
    "missing field": b'{"type":"conversation.item.deleted"}',
    "item is a list": b'{"type":"conversation.item.added","item":[]}',
    "not a number, as text": json.dumps(SEGMENT | {"start": "nan"}).encode(),
    "no base64": json.dumps(AUDIO_DELTA | {"delta": "@@@"}).encode(),
}


@pytest.mark.parametrize("text", NO_EVENTS.values(), ids=NO_EVENTS)
def test_what_is_no_event_becomes_a_value_with_a_short_excerpt(text):
    event = SERVER_CODEC.decode(text)
    assert isinstance(event, MalformedEvent)
    assert event.reason
    assert len(event.reason) <= EXCERPT_CHARS
    assert event.excerpt == text[:EXCERPT_CHARS].decode("utf-8", "replace")


def test_text_with_half_a_surrogate_pair_is_malformed_too():
    assert isinstance(SERVER_CODEC.decode('{"type":"x","a":"\ud800"}'), MalformedEvent)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
@settings(max_examples=300, deadline=None)
def test_no_text_and_no_bytes_raise(text):
    event = SERVER_CODEC.decode(text)
    assert isinstance(event, (Event, UnknownEvent, MalformedEvent))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a nested value."""
    pairs = list(value.items()) if isinstance(value, dict) else []
    pairs += list(enumerate(value)) if isinstance(value, list) else []
    return [(value, key) for key, _ in pairs] + [place for _, one in pairs for place in places(one)]


@st.composite
def damaged_events(draw: st.DrawFn) -> bytes:
    """A good event with one value, at any depth, replaced or removed, or its text cut."""
    sample = copy.deepcopy(draw(st.sampled_from(SERVER_SAMPLES)))
    container, key = draw(st.sampled_from(places(sample)))
    if draw(st.booleans()):
        container[key] = draw(JSON)
    else:
        del container[key]
    text = json.dumps(sample).encode()
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 9)) == 0 else text


@given(damaged_events())
@example(json.dumps(AUDIO_DELTA | {"content_index": 10**30}).encode())
@settings(max_examples=500, deadline=None)
def test_a_damaged_event_never_raises_and_what_is_left_of_it_can_be_written_again(text):
    event = SERVER_CODEC.decode(text)
    if not isinstance(event, MalformedEvent):
        assert SERVER_CODEC.decode(encode(event)) == event


# ------------------------------------------------------------------------------- what we know not


def test_an_unknown_event_survives_whole():
    fields = {"type": "response.hologram.delta", "event_id": "e", "points": [{"x": 1.5}, None]}
    event = SERVER_CODEC.decode(json.dumps(fields))
    assert event == UnknownEvent("response.hologram.delta", fields)
    assert json.loads(encode(event)) == fields


@pytest.mark.parametrize("sample", SERVER_SAMPLES + CLIENT_SAMPLES, ids=type_of)
def test_unknown_fields_survive_at_the_top_and_deep_inside(sample):
    codec = CLIENT_CODEC if sample in CLIENT_SAMPLES else SERVER_CODEC
    grown = copy.deepcopy(sample)
    for inner in [grown, *(c[k] for c, k in places(grown) if isinstance(c[k], dict))]:
        inner["from_the_future"] = {"a": [1, "ü", None]}
    event = codec.decode(json.dumps(grown))
    assert isinstance(event, Event)
    assert event.unknown == {"from_the_future": {"a": [1, "ü", None]}}
    assert json.loads(encode(event)) == grown
    assert codec.decode(encode(event)) == event


def test_an_unknown_field_survives_whatever_its_name_is():
    fields = {"type": "input_audio_buffer.cleared", "event_id": "e", "*unknown": {"type": "error"}}
    event = SERVER_CODEC.decode(json.dumps(fields))
    assert json.loads(encode(event)) == fields


def test_null_in_an_optional_field_is_as_if_the_field_were_absent():
    """Servers built on the package's own types write every optional field, with null."""
    text = {"type": "response.output_text.delta", "response_id": "r", "item_id": "i", "delta": "Hi"}
    nulls = {"event_id": None, "obfuscation": None, "content_index": None}
    event = SERVER_CODEC.decode(json.dumps(text | nulls))
    assert event == ResponseOutputTextDelta(response_id="r", item_id="i", delta="Hi")


def test_audio_is_bytes_of_any_length_and_base64_on_the_wire_only():
    for pcm in (b"", b"\x01", b"\x01\x02\x03", bytes(range(256)) * 100):
        event = ResponseOutputAudioDelta(response_id="r", item_id="i", delta=pcm)
        assert SERVER_CODEC.decode(encode(event)) == event


# --------------------------------------------------------------------------------- the old shape


@pytest.mark.parametrize(("old", "new"), dialects.BETA_EVENT_NAMES.items())
def test_an_event_of_the_old_name_is_the_event_of_the_new_name(old, new):
    sample = next(one for one in SERVER_SAMPLES if one["type"] == new)
    assert SERVER_CODEC.decode(json.dumps(sample | {"type": old})) == SERVER_CODEC.decode(
        json.dumps(sample)
    )


def test_an_event_of_the_other_direction_is_unknown_not_misread():
    assert isinstance(SERVER_CODEC.decode('{"type":"response.create"}'), UnknownEvent)
    assert isinstance(CLIENT_CODEC.decode('{"type":"rate_limits.updated"}'), UnknownEvent)
