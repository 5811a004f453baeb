"""The lines of a recording: every input and action there and back."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest

from voicecli import actions, inputs
from voicecli.audio.playback import Gain, Heard
from voicecli.bargein import Near
from voicecli.errors import ConnectionFailed, RecordingError
from voicecli.protocol import events
from voicecli.protocol.settings import SemanticVad, ServerVad, SessionSettings
from voicecli.recording.format import (
    ACTION_CODES,
    INPUT_CODES,
    Frame,
    Header,
    Sound,
    action_lines,
    decode_entry,
    decode_header,
    encode_header,
    frame_line,
    frame_of,
    input_line,
    input_of,
    line,
    plain_settings,
    received_line,
    settings_of,
    sound_of,
)
from voicecli.reports import NoteReport

INPUTS: list[Any] = [
    inputs.MicEnded(),
    inputs.PartStarted("i", 0, 1.2345678901),
    inputs.PartEmitted("i", 1, 24_000, 480, 2.5, 96),
    inputs.PartEmitted("i", 1, 24_000, 480, 2.5, 0, Gain(0.1 + 0.2, 1.0, 77)),
    inputs.PartPlayed("i", 0),
    inputs.PlaybackDrained(),
    inputs.PlaybackStopped((Heard("i", 0, 100, 50), Heard("j", 1, 7, 0))),
    inputs.PlaybackStopped(()),
    inputs.TalkPressed(),
    inputs.TalkReleased(),
    inputs.MuteToggled(),
    inputs.MarkerSet(),
    inputs.InterruptPressed(),
    inputs.TextTyped('"quoted"\n\x1b[31m'),
    inputs.SettingsChanged({"audio": {"input": {"turn_detection": None}}}),
    inputs.ToolFinished("c", '{"a":1}', True),
    inputs.Noticed("no sound", "audio"),
    inputs.Woke(),
    inputs.QuitPressed(),
]


def test_every_kind_of_input_is_tried_here() -> None:
    kinds = set(inputs.Input.__args__) - {inputs.MicFrame, inputs.Received}  # type: ignore[attr-defined]
    assert {type(one) for one in INPUTS} == kinds


@pytest.mark.parametrize("an_input", INPUTS, ids=lambda one: type(one).__name__)
def test_every_input_comes_back_as_it_was(an_input: inputs.Input) -> None:
    text = input_line(3.25, an_input)
    assert text.count(b"\n") == 1
    entry = decode_entry(text)
    assert entry is not None
    assert entry.at == 3.25
    assert entry.code in INPUT_CODES
    assert input_of(entry) == an_input


def test_frames_say_what_was_sent_and_where_it_lies() -> None:
    def back(text: bytes) -> Frame:
        entry = decode_entry(text)
        assert entry is not None
        return frame_of(entry)

    sound = Sound(960, 960)
    nowhere = (None, None)
    for voice, near in [(voice, near) for voice in (True, False) for near in Near]:
        for sent, where in (nowhere, (b"xy", None), (b"xy", sound)):
            text = frame_line(0, voice=voice, near=near, sent=sent, sound=where)
            assert back(text) == (voice, near, sent is not None, where)


def received(text: bytes, sound: Sound | None = None, audio: bytes = b"") -> Any:
    from voicecli.protocol.codec import SERVER_CODEC

    entry = decode_entry(
        received_line(1.0, inputs.Received(SERVER_CODEC.decode(text), text), sound)
    )
    assert entry is not None
    return entry, input_of(entry, audio)


def test_a_message_is_kept_word_for_word_without_its_audio() -> None:
    text = b'{"type":"response.output_audio.delta","response_id":"r","item_id":"i","x":1,'
    text += b'"delta":"AQI="}'
    entry, back = received(text, Sound(10, 2), b"\1\2")
    assert bytes(entry.values[0]) == text.replace(b"AQI=", b"")
    assert sound_of(entry) == Sound(10, 2)
    assert back.event.delta == b"\1\2"
    assert back.event.unknown == {"x": 1}


def test_audio_that_cannot_be_cut_out_word_for_word_is_still_kept_apart() -> None:
    text = (
        b'{"type":"response.output_audio.delta","response_id":"r","item_id":"AQI=","delta":"AQI="}'
    )
    entry, back = received(text, Sound(None, 2), b"\1\2")
    assert (back.event.item_id, back.event.delta) == ("AQI=", b"\1\2")
    assert sound_of(entry) == Sound(None, 2)


def test_a_message_over_several_lines_becomes_one() -> None:
    entry, back = received(b'{\r\n "type":\n"session.created", "session":\n{}}')
    assert b"\n" not in entry.line[:-1]
    assert back.event.type == "session.created"


def test_actions_are_lines_with_known_codes() -> None:
    done = [
        actions.Send(events.InputAudioBufferCommit()),
        actions.Send(events.InputAudioBufferAppend(audio=b"secret sound")),
        actions.Play("i", 0, b"\0\0\1\1"),
        actions.FinishPart("i", 0),
        actions.SetGain(0.126),
        actions.StopPlayback(),
        actions.CallTool("c", "f", "{}"),
        actions.Tell(NoteReport(message="x")),
        actions.Finish("quit"),
        actions.Finish("lost", ConnectionFailed("gone")),
    ]
    lines = [msgspec.json.decode(one) for one in action_lines(1.0, done, with_audio=True)]
    assert {one[1] for one in lines} == ACTION_CODES
    assert [one[2:] for one in lines] == [
        [{"type": "input_audio_buffer.commit"}],
        [{"type": "input_audio_buffer.append", "audio": ""}],
        ["i", 0, 2, zlib.crc32(b"\0\0\1\1")],
        ["i", 0],
        [0.126],
        [],
        ["c", "f", "{}"],
        [{"type": "note", "at_ms": 1000, "message": "x"}],
        ["quit", None],
        ["lost", "gone"],
    ]
    (play,) = action_lines(1.0, [done[2]], with_audio=False)
    assert msgspec.json.decode(play)[2:] == ["i", 0, 2]


@pytest.mark.parametrize(
    "settings",
    [
        SessionSettings(),
        SessionSettings(turn_detection=None, voice="marin", tools=({"type": "function"},)),
        SessionSettings(turn_detection=SemanticVad(eagerness="low"), speed=1.5, language="de"),
        SessionSettings(turn_detection=ServerVad(threshold=0.7, idle_timeout_ms=6000)),
    ],
)
def test_settings_come_back_as_they_were(settings: SessionSettings) -> None:
    plain = msgspec.json.decode(msgspec.json.encode(plain_settings(settings)))
    assert settings_of(plain) == settings


@pytest.mark.parametrize(
    "plain",
    [
        {"speed": "fast"},
        {"output_format": ["pcm"]},
        {"tools": 1},
        {"turn_detection": 7},
        {"turn_detection": {"threshold": "x"}},
        {"turn_detection": {"type": "semantic_vad", "eagerness": "very"}},
    ],
)
def test_damaged_settings_say_so(plain: dict[str, Any]) -> None:
    with pytest.raises(RecordingError, match="settings are damaged"):
        settings_of(plain)


def test_settings_of_a_newer_program_are_passed_over() -> None:
    plain = plain_settings(SessionSettings())
    plain["turn_detection"]["mood"] = 1
    assert settings_of(plain | {"future": [1]}) == SessionSettings()


def test_a_header_comes_back_as_it_was_and_passes_over_what_it_does_not_know() -> None:
    header = Header(created="c", program="p", server="s", settings={"output_format": "pcmu"})
    assert decode_header(encode_header(header)) == header
    assert header.assistant_file == "assistant.pcmu"
    more = msgspec.json.decode(encode_header(header)) | {"future": [1]}
    assert decode_header(msgspec.json.encode(more)) == header


@pytest.mark.parametrize(
    "damaged",
    [
        line(1.0, "started", "i"),
        line(1.0, "stopped"),
        line(1.0, "stopped", [["i"]]),
        line(1.0, "stopped", 7),
        line(1.0, "key"),
        line(1.0, "typed"),
        line(1.0, "recv_raw", "not base64!"),
    ],
)
def test_a_known_line_with_wrong_values_is_an_error_and_no_crash(damaged: bytes) -> None:
    entry = decode_entry(damaged)
    assert entry is not None
    with pytest.raises(RecordingError, match=r"damaged line at 1\.000 s"):
        input_of(entry)


def test_a_key_of_a_newer_program_is_passed_over() -> None:
    entry = decode_entry(line(1.0, "key", "dance"))
    assert entry is not None
    assert input_of(entry) is None
    entry = decode_entry(line(1.0, "mark", "turn", {}))
    assert entry is not None
    assert input_of(entry) is None
