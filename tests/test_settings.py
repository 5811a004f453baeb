"""The session that we ask for, in every combination, judged by the `openai` package."""

import itertools

import pytest
from openai_types import check_client_event

from voicecli.protocol.codec import encode
from voicecli.protocol.dialects import to_beta_session
from voicecli.protocol.events import SessionUpdate
from voicecli.protocol.settings import (
    SemanticVad,
    ServerVad,
    SessionSettings,
    format_name,
    wire_format,
)

TOOL = {
    "type": "function",
    "name": "get_time",
    "description": "The time.",
    "parameters": {"type": "object", "properties": {}},
}
DETECTIONS = [
    None,
    ServerVad(),
    ServerVad(threshold=0.9, prefix_padding_ms=0, silence_duration_ms=200, idle_timeout_ms=5000),
    ServerVad(create_response=False, interrupt_response=False),
    *(SemanticVad(eagerness=eagerness) for eagerness in ("auto", "low", "medium", "high")),
    SemanticVad(create_response=False, interrupt_response=False),
]
FORMATS = ["pcm", "pcmu", "pcma"]
ALL_SET = {
    "instructions": "Be brief.",
    "voice": "marin",
    "speed": 1.25,
    "transcription_model": "gpt-realtime-whisper",
    "language": "en",
    "tools": (TOOL,),
    "max_output_tokens": 500,
}


@pytest.mark.parametrize("detection", DETECTIONS, ids=repr)
def test_every_combination_of_options_is_what_the_api_takes(detection):
    choices = itertools.product(
        FORMATS, FORMATS, ["off", "near_field", "far_field"], [False, True], ALL_SET
    )
    for input_format, output_format, noise_reduction, only_one, name in choices:
        more = (
            {name: ALL_SET[name]} if only_one else ALL_SET | {name: SessionSettings.__dict__[name]}
        )
        wire = SessionSettings(
            turn_detection=detection,
            input_format=input_format,
            output_format=output_format,
            noise_reduction=noise_reduction,
            **more,
        ).to_wire()
        check_client_event(encode(SessionUpdate(session=wire)))


def test_everything_that_a_server_might_default_otherwise_is_said():
    assert SessionSettings().to_wire() == {
        "type": "realtime",
        "output_modalities": ["audio"],
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
            "output": {"format": {"type": "audio/pcm", "rate": 24000}},
        },
        "tools": [],
        "tool_choice": "auto",
    }


def test_manual_turns_are_a_null_not_an_absence():
    assert (
        SessionSettings(turn_detection=None).to_wire()["audio"]["input"]["turn_detection"] is None
    )


def test_a_language_alone_does_not_ask_for_a_transcript():
    assert SessionSettings(language="en").to_wire()["audio"]["input"]["transcription"] is None


def test_empty_instructions_are_said_and_absent_ones_are_not():
    assert SessionSettings(instructions="").to_wire()["instructions"] == ""
    assert "instructions" not in SessionSettings().to_wire()


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_known_again_by_its_object(name):
    assert format_name(wire_format(name)) == name
    wire_format(name)["rate"] = 1
    assert wire_format(name) != {"rate": 1}
    assert wire_format("pcm")["rate"] == 24000


@pytest.mark.parametrize("wire", [None, 7, "pcmu", {}, {"type": None}, {"type": ["audio/pcmu"]}])
def test_what_is_no_format_is_the_default_format(wire):
    assert format_name(wire) == "pcm"


def test_the_old_shape_of_the_settings_is_flat():
    settings = SessionSettings(
        **ALL_SET,
        turn_detection=SemanticVad(eagerness="low"),
        input_format="pcmu",
        output_format="pcma",
        noise_reduction="near_field",
    )
    assert to_beta_session(settings.to_wire()) == {
        "modalities": ["text", "audio"],
        "instructions": "Be brief.",
        "voice": "marin",
        "speed": 1.25,
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_alaw",
        "input_audio_transcription": {"model": "gpt-realtime-whisper", "language": "en"},
        "input_audio_noise_reduction": {"type": "near_field"},
        "turn_detection": {
            "type": "semantic_vad",
            "eagerness": "low",
            "create_response": True,
            "interrupt_response": True,
        },
        "tools": [TOOL],
        "tool_choice": "auto",
        "max_response_output_tokens": 500,
    }
