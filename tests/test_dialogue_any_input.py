"""Whatever comes in, in whatever order: nothing is raised, and what comes out is of the API."""

import base64
import json
from typing import Any

from engine_fakes import Talk, clip, silence, types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicecli.engine.dialogue.jobs import (
    AnswerArguments,
    AnswerAudio,
    AnswerCall,
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    Input,
    Judged,
    Tick,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.protocol.codec import CLIENT_CODEC
from voicecli.protocol.events import ServerEvent

ITEM_IDS = st.sampled_from([*(f"item_{n}" for n in range(1, 9)), "mine", "root", "", "x" * 600])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.floats(allow_nan=False) | st.text("ab"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=5,
)
AUDIO = st.sampled_from([silence(20), silence(700), clip()[: 48 * 500], clip(), b"\x01", b""])

PARTS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("input_text"), "text": st.text("ab ", max_size=5)}),
        st.fixed_dictionaries({"type": st.just("output_text"), "text": st.just("yes")}),
        st.just({"type": "input_audio", "audio": base64.b64encode(silence(300)).decode()}),
        st.just({"type": "input_image", "image_url": "data:image/png;base64,AA=="}),
        JSON,
    ),
    max_size=2,
)
ITEMS = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("message"),
            "role": st.sampled_from(["user", "assistant", "system", "robot"]),
            "content": PARTS,
        },
        optional={"id": ITEM_IDS},
    ),
    st.just({"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"}),
    st.just({"type": "function_call_output", "call_id": "c", "output": "1"}),
    st.fixed_dictionaries({"type": st.just("item_reference"), "id": ITEM_IDS}),
    JSON,
)
DETECTION = st.one_of(
    st.none(),
    st.just({"type": "semantic_vad", "eagerness": "high"}),
    st.fixed_dictionaries(
        {"type": st.just("server_vad")},
        optional={
            "silence_duration_ms": st.sampled_from([0, 200, 500]),
            "idle_timeout_ms": st.sampled_from([None, 5000]),
            "create_response": st.booleans(),
            "interrupt_response": st.booleans(),
        },
    ),
    JSON,
)
FORMATS = st.sampled_from([{"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcmu"}, {}])
MODALITIES = st.sampled_from([["audio"], ["text"], [], ["text", "audio"]])
TOKENS = st.sampled_from(["inf", 1, 20, 0])
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function"), "name": st.sampled_from(["f", "g", "", "a b"])},
        optional={"description": JSON, "parameters": JSON},
    )
    | JSON,
    max_size=2,
)
CHOICES = st.sampled_from(["auto", "none", "required", {"type": "function", "name": "f"}]) | JSON
SESSIONS = st.fixed_dictionaries(
    {"type": st.just("realtime")},
    optional={
        "audio": st.fixed_dictionaries(
            {},
            optional={
                "input": st.fixed_dictionaries(
                    {},
                    optional={
                        "turn_detection": DETECTION,
                        "format": FORMATS,
                        "transcription": st.sampled_from(
                            [None, {"model": "whisper-1"}, {"model": "gpt-realtime-whisper"}]
                        ),
                    },
                ),
                "output": st.fixed_dictionaries({}, optional={"format": FORMATS}),
            },
        ),
        "output_modalities": MODALITIES,
        "max_output_tokens": TOKENS,
        "tools": TOOLS,
        "tool_choice": CHOICES,
    },
)
RESPONSES = st.fixed_dictionaries(
    {},
    optional={
        "conversation": st.sampled_from(["auto", "none"]),
        "input": st.lists(ITEMS, max_size=2),
        "output_modalities": MODALITIES,
        "max_output_tokens": TOKENS,
        "tools": TOOLS,
        "tool_choice": CHOICES,
        "metadata": st.sampled_from([None, {"k": "v"}]),
        "b": JSON,
    },
)


def event(type: str, **fields: Any) -> st.SearchStrategy[Input]:
    whole = st.fixed_dictionaries({"type": st.just(type), **fields})
    return whole.map(lambda one: CLIENT_CODEC.decode(json.dumps(one)))


JOBS = st.sampled_from(
    [f"{kind}_{number}" for kind in ("resp", "ears", "judge") for number in range(1, 6)]
)
INPUTS: st.SearchStrategy[Input] = st.one_of(
    event("session.update", session=SESSIONS | JSON),
    event("input_audio_buffer.append", audio=AUDIO.map(lambda pcm: base64.b64encode(pcm).decode())),
    event("input_audio_buffer.commit"),
    event("input_audio_buffer.clear"),
    event("conversation.item.create", item=ITEMS),
    event("conversation.item.create", item=ITEMS, previous_item_id=ITEM_IDS),
    event("conversation.item.retrieve", item_id=ITEM_IDS),
    event(
        "conversation.item.truncate",
        item_id=ITEM_IDS,
        content_index=st.integers(-1, 1),
        audio_end_ms=st.integers(-10, 400),
    ),
    event("conversation.item.delete", item_id=ITEM_IDS),
    event("response.create", response=RESPONSES),
    event("response.create"),
    event("response.cancel"),
    event("response.cancel", response_id=JOBS),
    event("output_audio_buffer.clear"),
    event("conversation.party", b=JSON),
    JSON.map(lambda value: CLIENT_CODEC.decode(json.dumps(value))),
    st.builds(Transcribed, JOBS, st.sampled_from(["", "Hello there."])),
    st.builds(TranscriptionFailed, JOBS, st.just("broken")),
    st.builds(Judged, JOBS, st.sampled_from([None, 0.0, 1.0])),
    st.builds(AnswerText, JOBS, st.sampled_from(["", "One two three.", " "])),
    st.builds(AnswerAudio, JOBS, st.sampled_from([silence(300), b"", b"\x01"])),
    st.builds(AnswerCall, JOBS, st.sampled_from(["f", ""])),
    st.builds(AnswerArguments, JOBS, st.sampled_from(["", '{"a": 1}', "{" * 90])),
    st.builds(AnswerFinished, JOBS),
    st.builds(AnswerFailed, JOBS, st.just("broken")),
    st.just(Tick()),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(INPUTS, max_size=25))
def test_any_sequence_of_inputs_gives_only_events_of_the_api(inputs: list[Input]) -> None:
    talk = Talk()
    for input in inputs:
        talk.at += 1.0
        talk.give(input)
        due = talk.dialogue.next_timer()
        assert due is None or due > 0
    created = types(talk.seen).count("response.created")
    done = types(talk.seen).count("response.done")
    assert 0 <= created - done <= 8


def test_deep_nesting_is_refused_and_not_raised() -> None:
    for depth in (50, 300, 600, 900, 5000):
        nested = '{"a":' * depth + "1" + "}" * depth
        for text in (
            '{"type":"session.update","session":{"type":"realtime","prompt":{"id":"p","v":%s}}}',
            '{"type":"session.update","session":{"type":"realtime","tools":[{"type":"function",'
            '"name":"f","parameters":%s}]}}',
        ):
            talk = Talk()
            outputs = talk.dialogue.handle(CLIENT_CODEC.decode(text % nested), 0.0)
            assert len([one for one in outputs if isinstance(one, ServerEvent)]) == 1
