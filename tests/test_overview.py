import json
import os
import time
from pathlib import Path

import pytest
from helpers_recording import Exchange, Maker, make_recording

from voicecli.errors import RecordingError
from voicecli.recording.files import Recording
from voicecli.recording.shelf.overview import Overview, overview_of
from voicecli.recording.shelf.shelf import STILL_WRITTEN_S, shelved, shelved_in

TURNS = [Exchange(1.0, 4000), Exchange(8.0, 4000, 2000), Exchange(12.5, 2000)]
LONG_AGO = 1_000_000_000.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("overview") / "made"
    return Maker(path).talk(20, TURNS)


def copy_of(made: Path, path: Path, events: bytes | None = None) -> Path:
    """The recording without its audio, with other lines if they are given; written long ago."""
    path.mkdir(parents=True)
    content = (made / "events.jsonl").read_bytes() if events is None else events
    (path / "events.jsonl").write_bytes(content)
    os.utime(path / "events.jsonl", (LONG_AGO, LONG_AGO))
    return path


def facts_of(path: Path) -> Overview:
    with Recording.open(path) as recording:
        return overview_of(recording)


def lines_of(made: Path) -> list[bytes]:
    return (made / "events.jsonl").read_bytes().splitlines(keepends=True)


def test_the_numbers_are_those_of_the_summary(made):
    facts = facts_of(made)
    assert (facts.turns, facts.interruptions, facts.reason) == (3, 1, "quit")
    assert facts.seconds == pytest.approx(20, abs=0.1)
    assert facts.is_complete


def test_the_model_is_the_one_that_the_server_confirmed(made):
    assert (facts_of(made).server, facts_of(made).model) == ("made", "m")


def test_the_model_asked_for_is_told_where_the_server_never_confirmed(made, tmp_path):
    header = json.loads(lines_of(made)[0]) | {"model": "asked-for"}
    path = copy_of(made, tmp_path / "one", json.dumps(header).encode() + b'\n[0.5,"woke"]\n')
    assert facts_of(path).model == "asked-for"


def test_a_complete_recording_is_known_by_its_beginning_and_its_last_line(made, tmp_path):
    lines = lines_of(made)
    text = [*lines[:10], b"damaged, and long: " + b"x" * 200_000 + b"\n", lines[-1]]
    assert facts_of(copy_of(made, tmp_path / "one", b"".join(text))) == facts_of(made)


def test_what_ended_suddenly_is_counted_by_its_marks(made, tmp_path):
    facts = facts_of(copy_of(made, tmp_path / "one", b"".join(lines_of(made)[:-1])))
    assert (facts.turns, facts.interruptions, facts.reason) == (3, 1, "")
    assert not facts.is_complete


def test_an_end_without_numbers_is_an_end_all_the_same(made, tmp_path):
    end = b'[20.0,"end",{"reason":"finished","error":null}]\n'
    facts = facts_of(copy_of(made, tmp_path / "one", b"".join(lines_of(made)[:-1]) + end))
    assert (facts.turns, facts.interruptions, facts.reason) == (3, 1, "finished")


def test_an_end_that_says_nothing_is_an_end_all_the_same(made, tmp_path):
    text = b"".join(lines_of(made)[:-1]) + b'[20.0,"end",null]\n'
    assert facts_of(copy_of(made, tmp_path / "one", text)).is_complete


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (b'[20.0,"end",{"reason":"quit","error":null}]\n', "complete"),
        (b'[20.0,"end",{"reason":"lost","error":"the server went away"}]\n', "failed"),
        (b"", "sudden"),
    ],
)
def test_the_state_tells_how_it_ended(made, tmp_path, end, state):
    path = copy_of(made, tmp_path / "one", b"".join(lines_of(made)[:-1]) + end)
    assert shelved(path, time.time()).state == state


def test_what_grew_just_now_and_has_no_end_is_being_recorded(made, tmp_path):
    path = copy_of(made, tmp_path / "one", b"".join(lines_of(made)[:-1]))
    assert shelved(path, LONG_AGO + STILL_WRITTEN_S - 1).state == "running"
    assert shelved(path, LONG_AGO + STILL_WRITTEN_S + 1).state == "sudden"


def test_one_that_cannot_be_read_hides_no_other(made, tmp_path):
    copy_of(made, tmp_path / "good")
    copy_of(made, tmp_path / "empty", b"")
    copy_of(made, tmp_path / "foreign", b'{"events": []}\n')
    copy_of(made, tmp_path / "newer", lines_of(made)[0].replace(b'"version":1', b'"version":99'))
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("no folder at all")
    found = {one.name: one for one in shelved_in(tmp_path, time.time())}
    assert {name: one.state for name, one in found.items()} == {
        "good": "complete", "empty": "broken", "foreign": "broken", "newer": "broken",
    }  # fmt: skip
    assert "empty" in found["empty"].problem
    assert "not a recording" in found["foreign"].problem
    assert "version 99" in found["newer"].problem
    assert found["newer"].made_at == LONG_AGO


def test_the_newest_comes_last_whatever_the_names(made, tmp_path):
    header, *rest = lines_of(made)
    for name, year in (("b", b"2024"), ("a", b"2026"), ("c", b"2025")):
        text = header.replace(b'"created":"2026', b'"created":"' + year)
        copy_of(made, tmp_path / name, b"".join([text, *rest]))
    assert [one.name for one in shelved_in(tmp_path, 0)] == ["b", "c", "a"]


def test_a_date_that_is_none_is_when_the_file_was_written(made, tmp_path):
    header, *rest = lines_of(made)
    text = header.replace(b'"created":"2026-01-01', b'"created":"yesterday')
    path = copy_of(made, tmp_path / "one", b"".join([text, *rest]))
    assert shelved(path, 0).made_at == LONG_AGO


def test_the_size_is_that_of_all_files_and_of_no_link(made, tmp_path):
    path = copy_of(made, tmp_path / "one")
    size = (path / "events.jsonl").stat().st_size
    (path / "user.pcm").write_bytes(bytes(1000))
    (path / "assistant.pcm").symlink_to(made / "assistant.pcm")
    assert shelved(path, 0).size_bytes == size + 1000


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert shelved_in(tmp_path / "none", 0) == []


def test_a_talk_of_ten_minutes_costs_no_more_than_one_of_seconds(tmp_path):
    long = make_recording(tmp_path / "long", 600, audio="none")
    (long / "events.jsonl").chmod(0o600)
    with Recording.open(long) as recording:
        read = Counting(recording)
        overview_of(read)
        assert read.lines < 64


class Counting:
    """A recording that counts the lines read one by one, and has no marks to give."""

    def __init__(self, recording: Recording) -> None:
        self.header = recording.header
        self.last_entry = recording.last_entry
        self._recording = recording
        self.lines = 0

    @property
    def marks(self):
        raise AssertionError("the whole file would be searched")

    def entries(self, position=None):
        for entry in self._recording.entries(position):
            self.lines += 1
            yield entry


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(RecordingError, match="Permission denied"):
        shelved_in(tmp_path, 0)
