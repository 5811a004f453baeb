"""A recording cut down to a test: the same talk, checked, small, and without names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_conversation import (
    MANUAL,
    call_item,
    committed,
    created,
    done,
    error,
    heard_user,
    message,
    said,
    speech_started,
    speech_stopped,
)
from helpers_export import frames, recorded, told
from helpers_program import ROOT
from helpers_recording import Exchange, Maker, make_recording

from voicecli import inputs
from voicecli.errors import RecordingError
from voicecli.protocol import events
from voicecli.protocol.objects import Item
from voicecli.recording.check import Check
from voicecli.recording.export.files import FixtureMade, write_fixture
from voicecli.recording.files import Recording
from voicecli.recording.fold import Fold

LONG_IDS = {
    "item_u1": "item_Rhbsjrtz6Lfv0fd0tPcQi",
    "item_a1": "item_1ay5toOdHWWfpRGLhFGrA",
    "resp_1": "resp_jmMtZcX0RfXJ4vF1ivSWI",
}


def fixture_of(path: Path, folder: Path, **more: object) -> FixtureMade:
    with Recording.open(path) as recording:
        return write_fixture(recording, folder, **more)  # type: ignore[arg-type]


def differences(path: Path) -> int:
    with Recording.open(path) as recording:
        found = list(Check(recording).differences())
        assert recording.warnings == []
        return len(found)


def with_long_ids(path: Path) -> Path:
    """The recording with ids as servers give them."""
    file = path / "events.jsonl"
    text = file.read_text()
    for short, long in LONG_IDS.items():
        text = re.sub(rf'"{short}"', f'"{long}"', text)
    file.write_text(text)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_recording(tmp_path_factory.mktemp("fixture") / "made", 60)


def test_a_fixture_opens_as_a_recording_and_its_check_finds_no_difference(made, tmp_path):
    result = fixture_of(made, tmp_path / "small")
    assert differences(result.folder) == 0
    assert result.turns is not None
    assert result.turns[0] == 1
    assert result.is_as_recorded
    assert result.size_bytes < 0.05 * sum(one.stat().st_size for one in made.iterdir())


@pytest.mark.parametrize("keep_audio", [False, True])
def test_it_tells_the_same_talk(made, tmp_path, keep_audio):
    result = fixture_of(with_long_ids(made), tmp_path / "small", keep_audio=keep_audio)
    was, now = told(made), told(result.folder)
    assert now.summary == was.summary
    assert len(now.rows) == len(was.rows) > 6
    for one, other in zip(was.rows, now.rows, strict=True):
        assert (one.text, one.heard_text, one.begins_at, one.ends_at, one.heard_ms) == (
            other.text, other.heard_text, other.begins_at, other.ends_at, other.heard_ms,
        )  # fmt: skip
        assert one.latency == other.latency


def test_the_audio_is_kept_only_when_it_is_wanted(made, tmp_path):
    without = fixture_of(made, tmp_path / "without").folder
    assert [one.name for one in without.iterdir()] == ["events.jsonl"]
    kept = fixture_of(made, tmp_path / "kept", keep_audio=True).folder
    for name in ("user.pcm", "assistant.pcm"):
        assert (kept / name).read_bytes() == (made / name).read_bytes()


def test_ids_are_short_and_the_same_wherever_they_stand(tmp_path):
    made = with_long_ids(Maker(tmp_path / "made").talk(10.0, [Exchange(1.0, 2000)]))
    folder = fixture_of(made, tmp_path / "small").folder
    text = (folder / "events.jsonl").read_text()
    assert not [long for long in LONG_IDS.values() if long in text]
    assert {"item_1", "item_2", "resp_1"} <= set(re.findall(r"\b(?:item|resp)_\w+", text))
    names = {tuple(json.loads(line)[2:4]) for line in text.splitlines() if '"play"' in line}
    assert names == {("item_2", 0)}


def test_nothing_of_the_configuration_and_of_the_machine_gets_in(tmp_path):
    given = [(1.0, inputs.Noticed("cannot write '/home/anna/x.wav': no space", "recording"))]
    path = recorded(
        tmp_path / "made",
        given,
        url="wss://lab.example.com/v1",
        server="annas-box",
        config={"tools": {"module": "/home/anna/tools.py"}},
    )
    folder = fixture_of(path, tmp_path / "small").folder
    text = (folder / "events.jsonl").read_text()
    assert not re.search("anna|example|tools.py", text)
    assert "no space" in text
    assert differences(folder) == 0


TWO_TYPED = [
    (1.0, inputs.TextTyped("first")),
    (1.2, created("R1")),
    (1.3, done("R1", message("item_A", text="one"))),
    *frames(1.3, 8.0),
    (8.0, inputs.TextTyped("second")),
    (8.1, created("R2")),
    (8.2, error("strange", text="item typed_0002 is odd")),
    (8.3, done("R2", message("item_B", text="two"))),
    *frames(8.3, 16.0),
]


def test_a_part_begins_and_ends_where_nothing_was_going_on(tmp_path):
    path = recorded(tmp_path / "made", TWO_TYPED)
    result = fixture_of(path, tmp_path / "small", from_turn=2, to_turn=2)
    assert result.turns == (2, 2)
    assert differences(result.folder) == 0
    talk = told(result.folder)
    assert [row.text for row in talk.rows] == ["second", "two"]
    assert [row.turn for row in talk.rows] == [1, 1]
    assert talk.rows[0].begins_at == pytest.approx(0.1 + 1.0, abs=0.1)
    assert talk.summary.reason == "quit"
    first = told(fixture_of(path, tmp_path / "first", to_turn=1).folder)
    assert [row.text for row in first.rows] == ["first", "one"]
    assert first.summary.reason == "cut"


def test_markers_count_anew_in_a_part(tmp_path):
    marked = [(0.5, inputs.MarkerSet()), *TWO_TYPED, (16.1, inputs.MarkerSet())]
    result = fixture_of(recorded(tmp_path / "made", marked), tmp_path / "small", from_turn=2)
    assert differences(result.folder) == 0
    assert [one.message for one in told(result.folder).notices if one.kind == "marker"] == ["1"]
    with Recording.open(result.folder) as recording:
        numbers = [mark.values for mark in recording.marks if mark.kind == "marker"]
    assert numbers == [{"number": 1}]


def test_our_own_ids_count_anew_in_a_part_and_the_server_speaks_of_the_same(tmp_path):
    path = recorded(tmp_path / "made", TWO_TYPED)
    text = (path / "events.jsonl").read_text()
    assert "typed_0002" in text
    folder = fixture_of(path, tmp_path / "small", from_turn=2).folder
    text = (folder / "events.jsonl").read_text()
    assert "typed_0002" not in text
    assert "item typed_0001 is odd" in text


def test_a_part_can_be_replayed_from_its_own_rests(tmp_path):
    path = make_recording(tmp_path / "made", 90)
    result = fixture_of(path, tmp_path / "small", from_turn=5, keep_audio=True)
    with Recording.open(result.folder) as recording:
        rests = [mark for mark in recording.marks if mark.kind == "rest"]
        assert len(rests) > 1
        mark = rests[-2]
        fold = Fold(recording)
        fold.start_at_rest(mark.position, mark.values["session"], mark.values["turns"])
        assert fold.conversation.session is not None
        assert len(list(fold.steps())) > 0


def test_a_part_without_a_rest_at_its_ends_is_as_much_longer_as_it_has_to_be(tmp_path):
    turns = [Exchange(1.0, 4000, cut_after_ms=1000), Exchange(5.0, 2000), Exchange(12.0, 2000)]
    path = Maker(tmp_path / "made").talk(20.0, turns)
    assert fixture_of(path, tmp_path / "first", from_turn=2, to_turn=2).turns == (1, 2)
    assert fixture_of(path, tmp_path / "second", to_turn=1).turns == (1, 2)
    assert fixture_of(path, tmp_path / "third", from_turn=3).turns == (3, 3)


def test_the_times_of_the_users_audio_count_from_the_beginning_of_the_part(tmp_path):
    turns = [Exchange(1.0, 2000), Exchange(12.0, 2000)]
    path = Maker(tmp_path / "made").talk(20.0, turns)
    folder = fixture_of(path, tmp_path / "small", from_turn=2, keep_audio=True).folder
    with Recording.open(folder) as recording:
        sent_ms = 0
        for entry in recording.entries():
            sent_ms += 20 if entry.code == "mic" and len(entry.values) > 1 else 0
            if entry.code == "recv" and b"speech_started" in entry.line:
                start_ms = entry.value(0)["audio_start_ms"]
                assert 0 <= sent_ms - start_ms <= 600
        (turn,) = [mark for mark in recording.marks if mark.kind == "turn"]
        assert turn.values["began_at"] == pytest.approx(1.0, abs=0.3)
    assert sent_ms > 0


@pytest.mark.parametrize("wire", ["pcmu", "pcma"])
def test_other_formats_of_the_wire_are_as_small(tmp_path, wire):
    path = Maker(tmp_path / "made", wire=wire).talk(20.0, [Exchange(1.0, 2000)])
    folder = fixture_of(path, tmp_path / "small").folder
    assert differences(folder) == 0
    assert (folder / "events.jsonl").read_text().count('"mic"') < 20


def test_a_turn_that_is_not_there_is_refused(made, tmp_path):
    with pytest.raises(RecordingError, match="no turn 99"):
        fixture_of(made, tmp_path / "small", from_turn=99)
    assert list(tmp_path.iterdir()) == []


def test_push_to_talk_keeps_the_frames_that_it_needs(tmp_path):
    given = [
        *frames(0.2, 2.0),
        (2.0, inputs.TalkPressed()),
        *frames(2.0, 2.6),
        (2.6, inputs.TalkReleased()),
        *frames(2.6, 5.0),
        (5.0, committed("item_k")),
        *frames(5.0, 6.0),
    ]
    path = recorded(tmp_path / "made", given, MANUAL)
    folder = fixture_of(path, tmp_path / "small").folder
    assert differences(folder) == 0
    text = (folder / "events.jsonl").read_text()
    assert '"type":"input_audio_buffer.commit"' in text
    assert 20 < text.count('"mic"') < 60


def test_calls_and_their_outputs_are_named_alike(tmp_path):
    call = events.ResponseOutputItemDone(response_id="R1", item=Item(call_item("call_Xy12Zw")))
    given = [
        (1.0, speech_started("item_U")),
        (2.0, speech_stopped("item_U")),
        (2.0, committed("item_U")),
        (2.1, created("R1")),
        (2.2, call),
        (2.3, inputs.ToolFinished("call_Xy12Zw", "12:00")),
        (2.4, done("R1", call_item("call_Xy12Zw"))),
        (2.5, created("R2")),
        (2.5, said("item_B", "noon", "R2")),
        (2.6, done("R2", message("item_B", text="noon"))),
        (2.7, heard_user("item_U", "when?")),
    ]
    path = recorded(tmp_path / "made", given)
    folder = fixture_of(path, tmp_path / "small").folder
    assert differences(folder) == 0
    tool = next(row for row in told(folder).rows if row.speaker == "tool")
    assert tool.call is not None
    assert (tool.call.call_id, tool.call.output) == ("call_1", "12:00")
    assert "Xy12Zw" not in (folder / "events.jsonl").read_text()


def test_a_recording_that_comes_out_differently_now_is_made_into_what_it_is_now(tmp_path):
    path = Maker(tmp_path / "made").talk(10.0, [Exchange(1.0, 2000)])
    file = path / "events.jsonl"
    file.write_text(file.read_text().replace('"first_sound_ms":', '"first_sound_ms":1'))
    result = fixture_of(path, tmp_path / "small")
    assert not result.is_as_recorded
    assert differences(result.folder) == 0


def test_a_recording_that_was_cut_off_can_be_made_into_one(tmp_path):
    path = Maker(tmp_path / "made").talk(10.0, [Exchange(1.0, 2000)])
    file = path / "events.jsonl"
    file.write_bytes(file.read_bytes()[:-200])
    assert differences(fixture_of(path, tmp_path / "small").folder) == 0


def test_what_is_there_is_written_over_only_if_it_is_a_fixture_and_that_is_wanted(made, tmp_path):
    folder = tmp_path / "small"
    fixture_of(made, folder)
    with pytest.raises(RecordingError, match="there already"):
        fixture_of(made, folder)
    fixture_of(made, folder, force=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "events.jsonl").touch()
    (other / "mine.txt").touch()
    with pytest.raises(RecordingError, match="no fixture"):
        fixture_of(made, other, force=True)
    assert (other / "mine.txt").exists()


def test_no_recording_is_written_over_not_even_the_one_it_is_made_of(made, tmp_path):
    path = tmp_path / "mine"
    shutil.copytree(made, path)
    before = (path / "events.jsonl").read_bytes()
    with pytest.raises(RecordingError, match="no fixture"):
        fixture_of(path, path, force=True)
    with pytest.raises(RecordingError, match="no fixture"):
        fixture_of(made, path, force=True)
    assert (path / "events.jsonl").read_bytes() == before
    with pytest.raises(RecordingError, match="is no name"):
        fixture_of(made, Path(tmp_path.anchor), force=True)


def test_turns_in_the_wrong_order_are_refused(made, tmp_path):
    with pytest.raises(RecordingError, match="turn 2 comes after turn 1"):
        fixture_of(made, tmp_path / "small", from_turn=2, to_turn=1)


def test_the_test_beside_it_is_one_and_finds_the_recording(made, tmp_path):
    result = fixture_of(made, tmp_path / "barge in")
    assert result.test == tmp_path / "test_barge_in.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(result.test)],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout
    events_file = result.folder / "events.jsonl"
    events_file.write_text(events_file.read_text().replace('"heard_ms":', '"heard_ms":1', 1))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(result.test)],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "1 failed" in done.stdout, done.stdout
