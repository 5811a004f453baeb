"""Whatever happens in a talk: recorded, it comes out the same again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import clip
from helpers_pair import AUTOMATIC, MANUAL, OURS, SAMPLES_PER_MS, Pair, speech
from hypothesis import given, settings
from hypothesis import strategies as st

from voicecli import inputs
from voicecli.actions import Finish, SetGain
from voicecli.bargein import BargeInRules
from voicecli.conversation import Conversation, Options
from voicecli.engine.dialogue import jobs
from voicecli.errors import ConnectionFailed
from voicecli.protocol import events
from voicecli.protocol.codec import SERVER_CODEC
from voicecli.protocol.settings import SessionSettings
from voicecli.recording.check import Check
from voicecli.recording.export.talk import talk_of
from voicecli.recording.files import Recording
from voicecli.recording.fold import Fold
from voicecli.recording.format import Header, Keeps, plain_settings
from voicecli.recording.heard import HeardAudio
from voicecli.recording.recorder import Recorder
from voicecli.reports import BargeInReport, FalseAlarmReport

KEY = "sk-0123456789abcdef"


class Folder:
    """A sink that writes at once."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self._files = [
            (path / name).open("ab", buffering=0)
            for name in ("events.jsonl", "user.pcm", header.assistant_file)
        ]

    def write(self, lines: bytes, user: bytes = b"", assistant: bytes = b"") -> None:
        for file, content in zip(self._files, (lines, user, assistant), strict=True):
            file.write(content)

    def close(self) -> None:
        for file in self._files:
            file.close()


def header_for(wanted: SessionSettings, audio: Keeps = "both", **options: Any) -> Header:
    return Header(
        created="2026-01-01T00:00:00Z",
        program="test",
        server="local",
        audio=audio,
        settings=plain_settings(wanted),
        options=options,
    )


@contextmanager
def recorded(
    wanted: SessionSettings = AUTOMATIC,
    audio: Keeps = "both",
    words: list[str] | None = None,
    rules: BargeInRules | None = None,
) -> Iterator[tuple[Pair, Callable[[], Recording]]]:
    """A pair whose talk is recorded, and what opens the recording."""
    more = {} if rules is None else {"barge_in": asdict(rules)}
    header = header_for(wanted, audio, **more)
    with tempfile.TemporaryDirectory() as directory:
        folder = Folder(Path(directory), header)

        def observe(conversation: Conversation) -> Recorder:
            return Recorder(header, conversation, folder, [KEY])

        try:
            pair = Pair(wanted, words or [], observe, rules)
            yield pair, lambda: Recording.open(folder.path)
        finally:
            folder.close()


def comes_out_the_same(recording: Recording) -> None:
    check = Check(recording)
    assert list(check.differences()) == []
    assert check.checked.inputs > 0
    assert recording.warnings == []


def assistant_side(recording: Recording, samples: int) -> bytes:
    """What was heard of the assistant, on the session's time line."""
    heard, track = HeardAudio(), bytearray(samples * 2)
    for step in Fold(recording).steps():
        for piece in heard.step(step):
            if piece.side == "assistant":
                track[piece.position * 2 : piece.end * 2] = piece.pcm
    return bytes(track)


def interrupted_twice(pair: Pair) -> None:
    pair.pass_ms(200)
    pair.say(clip("goforward"))
    pair.answer(("One. ", speech(900)), ("Two.", speech(900, 1)))
    pair.pass_ms(700)
    pair.give(inputs.InterruptPressed())
    pair.pass_ms(300)
    pair.give(inputs.TextTyped("And now?"))
    pair.answer(("Three.", speech(600, 2)), finish=False)
    pair.pass_ms(1000)
    pair.answer(("Four.", speech(1500, 3)))
    pair.say(clip("cards_001"))
    pair.answer(("Five.", speech(400, 4)))
    pair.pass_ms(1500)


@pytest.mark.parametrize("format_", ["pcm", "pcmu", "pcma"])
def test_a_talk_with_interruptions_comes_out_the_same(format_: Any) -> None:
    wanted = SessionSettings(
        turn_detection=AUTOMATIC.turn_detection,
        transcription_model="w",
        input_format=format_,
        output_format=format_,
    )
    with recorded(wanted) as (pair, opened):
        interrupted_twice(pair)
        with opened() as recording:
            comes_out_the_same(recording)
            assert recording.duration_s == pytest.approx(pair.at)


def test_what_is_heard_again_is_what_left_the_speaker_sample_by_sample() -> None:
    with recorded() as (pair, opened):
        interrupted_twice(pair)
        with opened() as recording:
            again = assistant_side(recording, len(pair.speaker) // 2)
    assert again == bytes(pair.speaker)
    assert any(again)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["speak", "type", "answer", "half", "stop", "mute", "wait", "talk"]),
            st.integers(1, 40),
        ),
        min_size=1,
        max_size=12,
    ),
    manual=st.booleans(),
)
def test_whatever_happens_comes_out_the_same(steps: list[tuple[str, int]], manual: bool) -> None:
    with recorded(MANUAL if manual else AUTOMATIC) as (pair, opened):
        for number, (what, frames) in enumerate(steps):
            match what:
                case "speak":
                    pair.say(clip("cards_001"), then_ms=frames * 20)
                case "type":
                    pair.give(inputs.TextTyped(f"question {number}"))
                case "answer" | "half" if any(isinstance(one, jobs.Answer) for one in pair.jobs):
                    pair.answer((f"{number}. ", speech(frames * 30, number)), finish=what != "half")
                case "stop":
                    pair.give(inputs.InterruptPressed())
                case "mute":
                    pair.give(inputs.MuteToggled())
                case "talk":
                    pair.give(inputs.TalkPressed())
                    pair.pass_ms(frames * 20, clip("goforward"))
                    pair.give(inputs.TalkReleased())
            pair.pass_ms(frames * 20)
        while not pair.playout.is_idle(pair.at):
            pair.pass_ms(100)
        pair.pass_ms(20)
        with opened() as recording:
            comes_out_the_same(recording)
            assert assistant_side(recording, len(pair.speaker) // 2) == bytes(pair.speaker)


@pytest.mark.parametrize("style", ["duck", "hold"])
def test_an_answer_that_was_softened_and_held_sounds_again_as_it_did(style: Any) -> None:
    rules = BargeInRules(mode="local", style=style)
    with recorded(OURS, words=["Mm-hmm.", "Stop."], rules=rules) as (pair, opened):
        pair.give(inputs.TextTyped("Go on."))
        pair.answer(("A long answer. ", speech(9000)))
        pair.pass_ms(600)
        pair.say(clip("cards_001"))
        pair.pass_ms(400)
        pair.say(clip("cards_001"), then_ms=1200)
        with opened() as recording:
            comes_out_the_same(recording)
            assert assistant_side(recording, len(pair.speaker) // 2) == bytes(pair.speaker)
            gains = {
                action.gain
                for step in Fold(recording).steps(audio=False)
                for action in step.actions
                if isinstance(action, SetGain)
            }
    assert gains == ({0.1259, 0.0, 1.0} if style == "duck" else {0.0, 1.0})
    assert len(pair.told(FalseAlarmReport)) == 1
    assert len(pair.told(BargeInReport)) == 1


@cache
def long_answer(seed: int) -> bytes:
    return speech(5000, seed)


@settings(max_examples=15, deadline=None)
@given(
    style=st.sampled_from(["duck", "hold"]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["speak", "speak", "cough", "cough", "type", "stop", "mute", "wait"]),
            st.sampled_from(["Mm-hmm.", "Stop.", ""]),
            st.integers(1, 30),
        ),
        min_size=2,
        max_size=8,
    ),
)
def test_answers_that_are_softened_and_held_come_out_the_same(
    style: Any, steps: list[tuple[str, str, int]]
) -> None:
    words = [said for what, said, _ in steps if what == "speak"]
    rules = BargeInRules(mode="local", style=style)
    with recorded(OURS, words=words, rules=rules) as (pair, opened):
        pair.give(inputs.TextTyped("Go on."))
        for number, (what, _, frames) in enumerate(steps):
            if len(pair.answers) < len([one for one in pair.types() if one == "response.create"]):
                pair.answer((f"{number}. ", long_answer(number % 2)), finish=frames % 3 > 0)
            pair.pass_ms(frames * 20)
            match what:
                case "speak":
                    pair.say(clip("cards_001"), then_ms=frames * 20)
                case "cough":
                    pair.pass_ms(frames * 20, clip("goforward")[48_000:])
                case "type":
                    pair.give(inputs.TextTyped(f"question {number}"))
                case "stop":
                    pair.give(inputs.InterruptPressed())
                case "mute":
                    pair.give(inputs.MuteToggled())
        pair.pass_ms(4000)
        assert pair.conversation.softened == ""
        while not pair.playout.is_idle(pair.at):
            pair.pass_ms(100)
        pair.pass_ms(20)
        with opened() as recording:
            comes_out_the_same(recording)
            assert assistant_side(recording, len(pair.speaker) // 2) == bytes(pair.speaker)
            silent = [step.actions for step in Fold(recording).steps(audio=False)]
        with opened() as recording:
            assert actions_without_sound(silent) == actions_without_sound(
                [step.actions for step in Fold(recording).steps()]
            )


def actions_without_sound(steps: list[Any]) -> list[Any]:
    """All of them but the appends, whose audio a fold may leave out."""
    return [
        [
            one
            for one in actions
            if not isinstance(getattr(one, "event", None), events.InputAudioBufferAppend)
        ]
        for actions in steps
    ]


def test_a_talk_that_lost_its_speaker_comes_out_the_same_and_sounds_as_it_did() -> None:
    with recorded() as (pair, opened):
        pair.pass_ms(200)
        pair.say(clip("goforward"))
        pair.answer(("One.", speech(1500)))
        pair.pass_ms(700)
        pair.playout.rewind(pair.at - 0.015)
        pair.speaker[-15 * SAMPLES_PER_MS * 2 :] = bytes(15 * SAMPLES_PER_MS * 2)
        pair.give(inputs.Noticed("the speaker is gone", "note"))
        pair.pass_ms(400)
        pair.playout.rewind(pair.at)
        pair.give(inputs.InterruptPressed())
        pair.pass_ms(300)
        with opened() as recording:
            comes_out_the_same(recording)
            assert assistant_side(recording, len(pair.speaker) // 2) == bytes(pair.speaker)


@pytest.mark.parametrize("audio", ["none", "assistant"])
def test_without_the_users_audio_it_comes_out_the_same_and_the_voice_is_not_kept(
    audio: Keeps,
) -> None:
    with recorded(audio=audio) as (pair, opened):
        interrupted_twice(pair)
        with opened() as recording:
            comes_out_the_same(recording)
            assert (recording.path / "user.pcm").stat().st_size == 0
            kept = (recording.path / "assistant.pcm").stat().st_size
            assert (kept > 0) == (audio == "assistant")


def test_what_is_said_while_muted_or_between_pushes_is_not_kept() -> None:
    with recorded(MANUAL) as (pair, opened):
        pair.pass_ms(600, clip("goforward"))
        with opened() as recording:
            assert (recording.path / "user.pcm").stat().st_size == 0
            comes_out_the_same(recording)
    with recorded() as (pair, opened):
        pair.give(inputs.MuteToggled())
        pair.pass_ms(600, clip("goforward"))
        with opened() as recording:
            assert not any((recording.path / "user.pcm").read_bytes())
            comes_out_the_same(recording)


def test_a_marker_is_an_input_and_is_found_without_reading_the_rest() -> None:
    with recorded() as (pair, opened):
        pair.pass_ms(400)
        pair.give(inputs.MarkerSet())
        interrupted_twice(pair)
        pair.give(inputs.MarkerSet())
        with opened() as recording:
            comes_out_the_same(recording)
            steps = list(Fold(recording).steps())
            set_at = [one.at for one in steps if one.an_input == inputs.MarkerSet()]
            found = [(one.at, one.values) for one in recording.marks if one.kind == "marker"]
            assert found == [(set_at[0], {"number": 1}), (set_at[1], {"number": 2})]


def test_the_users_audio_is_byte_by_byte_what_was_sent() -> None:
    spoken = clip("cards_001")
    with recorded() as (pair, opened):
        pair.say(spoken, then_ms=0)
        with opened() as recording:
            assert (recording.path / "user.pcm").read_bytes() == spoken[: len(spoken) // 960 * 960]


def test_an_action_that_changed_is_the_difference_that_is_shown() -> None:
    with recorded() as (pair, opened):
        interrupted_twice(pair)
        path = opened().path / "events.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        changed = next(
            n for n, one in enumerate(lines) if b'"audio_end_ms":' in one and b"send" in one
        )
        before = json.loads(lines[changed])[2]["audio_end_ms"]
        lines[changed] = lines[changed].replace(
            b'"audio_end_ms":%d' % before, b'"audio_end_ms":%d' % (before + 1)
        )
        path.write_bytes(b"".join(lines))
        with opened() as recording:
            (found,) = Check(recording).differences()
    assert found.recorded is not None
    assert found.computed is not None
    assert f'"audio_end_ms":{before + 1}' in found.recorded
    assert f'"audio_end_ms":{before}' in found.computed
    assert '"stopped"' in found.cause


@pytest.mark.parametrize("remove", [True, False])
def test_an_action_that_is_missing_or_new_is_a_difference(remove: bool) -> None:
    with recorded() as (pair, opened):
        interrupted_twice(pair)
        path = opened().path / "events.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        at = next(n for n, line in enumerate(lines) if b',"finish_part",' in line)
        lines[at : at + 1] = [] if remove else [lines[at], lines[at]]
        path.write_bytes(b"".join(lines))
        with opened() as recording:
            (found,) = Check(recording).differences()
    assert (found.recorded is None) == remove
    assert (found.computed is None) != remove


def test_without_audio_the_words_that_were_heard_are_what_was_told_then() -> None:
    with recorded(audio="none") as (pair, opened):
        pair.pass_ms(200)
        pair.say(clip("goforward"))
        pair.answer(("One two three four. Five six seven.", speech(400) + bytes(72_000)))
        pair.pass_ms(1000)
        pair.give(inputs.InterruptPressed())
        pair.pass_ms(1000)
        (answer,) = [row for row in pair.conversation.transcript if row.speaker == "assistant"]
        heard = pair.conversation.transcript.heard_text(answer)
        with opened() as recording:
            comes_out_the_same(recording)
            (row,) = [row for row in talk_of(recording).rows if row.speaker == "assistant"]
    assert row.interrupted
    assert row.heard_text == heard


def test_a_recording_that_ends_within_a_step_still_comes_out_the_same() -> None:
    with recorded() as (pair, opened):
        interrupted_twice(pair)
        path = opened().path / "events.jsonl"
        whole = path.read_bytes()
        ends = [n + 1 for n, char in enumerate(whole) if char == 10]
        for number, end in enumerate(ends[1:], 1):
            if b'"mic"' in whole[end : ends[min(number + 1, len(ends) - 1)]]:
                continue
            path.write_bytes(whole[:end])
            with opened() as recording:
                assert list(Check(recording).differences()) == []


def test_a_flipped_bit_of_the_users_audio_is_found() -> None:
    with recorded() as (pair, opened):
        pair.say(clip("goforward"))
        path = opened().path / "user.pcm"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with opened() as recording:
            assert len(list(Check(recording).differences())) == 1


# ---------------------------------------------------------------------------------------- the marks


def test_marks_tell_where_turns_begin_where_an_answer_was_cut_and_where_nothing_goes_on() -> None:
    with recorded() as (pair, opened):
        pair.pass_ms(400)
        pair.say(clip("goforward"))
        pair.answer(("One.", speech(900)))
        pair.pass_ms(500)
        pair.give(inputs.TextTyped("Stop."))
        pair.answer(("Two.", speech(300, 1)))
        pair.pass_ms(2000)
        with opened() as recording:
            marks = recording.marks
    kinds = [mark.kind for mark in marks]
    assert kinds == ["rest", "turn", "turn", "barge_in", "rest"]
    assert [mark.values.get("turn") for mark in marks if mark.kind == "turn"] == [1, 2]
    assert [mark.values.get("by") for mark in marks if mark.kind == "turn"] == ["voice", "text"]
    assert marks[1].values["began_at"] == pytest.approx(0.1, abs=0.03)  # before the voice
    assert marks[3].values["heard_ms"] == 504  # with the fade


def test_a_fold_can_begin_where_nothing_went_on() -> None:
    with recorded() as (pair, opened):
        for number in range(3):
            pair.say(clip("goforward"))
            pair.answer((f"Answer {number}.", speech(500, number)))
            pair.pass_ms(1000)
        with opened() as recording:
            rest = [mark for mark in recording.marks if mark.kind == "rest"][-2]
            fold = Fold(recording)
            fold.start_at_rest(rest.position, rest.values["session"], rest.values["turns"])
            from_there = [step.actions for step in fold.steps()]
            whole = [step.actions for step in Fold(recording).steps()]
    assert 10 < len(from_there) < len(whole) / 2
    assert from_there == whole[-len(from_there) :]
    assert [row.text for row in fold.conversation.transcript] == ["Something.", "Answer 2."]
    assert fold.conversation.counts.turns == 3


# -------------------------------------------------------------------------------------- the secrets


def test_no_key_gets_into_a_recording() -> None:
    tool = {"type": "mcp", "server_label": "x", "authorization": KEY, "headers": {"X": KEY}}
    wanted = SessionSettings(instructions=f"The key is {KEY}.", tools=(tool,))
    with recorded(wanted) as (pair, opened):
        secret = {"type": "error", "error": {"message": f"bad {KEY}", "type": "x", "code": "c"}}
        text = json.dumps(secret).encode()
        pair.give(inputs.Received(SERVER_CODEC.decode(text), text))
        created = b'{"type":"session.created","session":{"client_secret":{"value":"ek_123456"}}}'
        pair.give(inputs.Received(SERVER_CODEC.decode(created), created))
        garbage = f"not json {KEY}".encode()
        pair.give(inputs.Received(SERVER_CODEC.decode(garbage), garbage))
        pair.give(inputs.TextTyped(f"my key is {KEY}"))
        for observer in pair.observers:
            observer.ended(pair.at, Finish("x", ConnectionFailed(f"with {KEY}")), 0, 0)
        path = opened().path / "events.jsonl"
        written = path.read_bytes()
    assert KEY.encode() not in written
    assert b"ek_123456" not in written
    assert written.count(b"[removed]") >= 7
    import base64

    for line in written.splitlines()[1:]:
        entry = json.loads(line)
        if entry[1] == "recv_raw":
            assert KEY.encode() not in base64.b64decode(entry[2])


# ------------------------------------------------------------------------------------- odd messages


def test_messages_are_kept_word_for_word() -> None:
    texts = [
        b'{"type": "rate_limits.updated",\n "event_id": "e", "rate_limits": [] }',
        b'{"type":"something.new","a":[1,2,{"b":null}]}',
        b'{"type":"response.audio.delta","response_id":"r","item_id":"i","delta":"AAAA"}',
        b"\xff\xfe no json at all \x1b[31m",
        b'{"type":"response.output_audio.delta","delta":7}',
    ]
    with recorded() as (pair, opened):
        for text in texts:
            pair.give(inputs.Received(SERVER_CODEC.decode(text), text))
        with opened() as recording:
            steps = [s for s in Fold(recording).steps() if isinstance(s.an_input, inputs.Received)]
            comes_out_the_same(recording)
    kept = [step.an_input for step in steps[-len(texts) :]]
    assert all(isinstance(one, inputs.Received) for one in kept)
    assert [one.event for one in kept] == [SERVER_CODEC.decode(text) for text in texts]  # type: ignore[union-attr]
    assert kept[3].text == texts[3]  # type: ignore[union-attr]
    assert isinstance(kept[2].event, events.ResponseOutputAudioDelta)  # type: ignore[union-attr]
    assert kept[2].event.delta == b"\0\0\0"  # type: ignore[union-attr]


def test_the_end_and_lost_frames_are_kept() -> None:
    header = header_for(AUTOMATIC)
    with tempfile.TemporaryDirectory() as directory:
        folder = Folder(Path(directory), header)
        recorder = Recorder(header, Conversation(Options(settings=AUTOMATIC)), folder)
        recorder.frames_lost(3, 1.5)
        recorder.ended(2.0, Finish("connection lost", ConnectionFailed("gone")), 3, 1)
        folder.close()
        with Recording.open(folder.path) as recording:
            assert recording.is_complete
            lost, end = recording.entries()
    assert (lost.at, lost.code, lost.value(0)) == (1.5, "lost", 3)
    told = end.value(0)
    assert (told["reason"], told["error"]) == ("connection lost", "gone")
    assert (told["dropped_frames"], told["underflows"]) == (3, 1)


def test_a_second_of_speech_costs_little_beside_its_audio() -> None:
    with recorded() as (pair, opened):
        pair.say(clip("goforward"), then_ms=10_000)
        path = opened().path
        per_second = (path / "events.jsonl").stat().st_size / pair.at
    assert per_second < 50 * 60
    assert SAMPLES_PER_MS == 24
