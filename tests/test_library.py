"""Recordings are found by what people type."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voicecli.errors import RecordingError
from voicecli.recording.shelf.library import find, find_all, recordings_in


def make(directory: Path, *names: str) -> None:
    for age, name in enumerate(names):
        (directory / name).mkdir(parents=True)
        (directory / name / "events.jsonl").write_bytes(b"{}\n")
        os.utime(directory / name / "events.jsonl", (1000 + age, 1000 + age))


def test_a_name_the_start_of_one_a_path_and_the_last_one(tmp_path: Path) -> None:
    make(tmp_path, "2026-01-02-bar", "2026-01-01-foo")
    (tmp_path / "no recording").mkdir()
    assert [path.name for path in recordings_in(tmp_path)] == ["2026-01-01-foo", "2026-01-02-bar"]
    assert find("2026-01-01-foo", tmp_path).name == "2026-01-01-foo"
    assert find("2026-01-02", tmp_path).name == "2026-01-02-bar"
    assert find("last", tmp_path).name == "2026-01-01-foo"
    assert find(str(tmp_path / "2026-01-02-bar"), Path("/nowhere")) == tmp_path / "2026-01-02-bar"


def test_what_is_not_there_or_not_clear_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recordings in"):
        find("last", tmp_path / "none")
    make(tmp_path, "morning", "mornings")
    with pytest.raises(RecordingError, match="'morn' could be morning, mornings"):
        find("morn", tmp_path)
    with pytest.raises(RecordingError, match="no recording 'mroning'") as refused:
        find("mroning", tmp_path)
    assert refused.value.hint == "did you mean 'morning'?"


def test_a_recording_is_no_folder_of_recordings(tmp_path: Path) -> None:
    make(tmp_path, "a")
    assert recordings_in(tmp_path / "a") == []


def test_the_whole_name_wins_over_the_start_of_another(tmp_path: Path) -> None:
    make(tmp_path, "morning", "mornings")
    assert find("morning", tmp_path).name == "morning"


def test_a_folder_of_recordings_stands_for_all_of_them_once(tmp_path: Path) -> None:
    make(tmp_path, "a", "b")
    (tmp_path / "empty").mkdir()
    assert find_all(["b", str(tmp_path)], tmp_path) == [tmp_path / "b", tmp_path / "a"]
    with pytest.raises(RecordingError, match="no recordings in"):
        find_all([str(tmp_path / "empty")], tmp_path)
