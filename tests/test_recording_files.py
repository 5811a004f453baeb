"""Recordings on disk: written so that nothing stops the talk, read so that nothing is lost."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from voicecli.errors import RecordingError
from voicecli.recording import files
from voicecli.recording.files import Recording, Writer, silence
from voicecli.recording.format import Header, encode_header, frame_line, line

HEADER = Header(created="2026-01-01T00:00:00Z", program="t", server="local", settings={})


def a_recording(folder: Path, *lines: bytes, header: Header = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.jsonl").write_bytes(encode_header(header) + b"".join(lines))
    return folder


# --------------------------------------------------------------------------------------- the writer


def written(folder: Path) -> tuple[bytes, bytes, bytes]:
    names = ("events.jsonl", "user.pcm", "assistant.pcm")
    events, user, assistant = ((folder / name).read_bytes() for name in names)
    return events, user, assistant


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps files that are open")
def test_a_folder_that_was_renamed_is_found_or_not_named(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "old", "assistant.pcm")
    assert writer.place() == tmp_path / "old"
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "events.jsonl").touch()
    named = tmp_path / "new" if sys.platform == "linux" else None
    assert writer.place() == named
    writer.close()


def test_what_is_written_is_there_after_close(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a" / "r", "assistant.pcm")
    assert writer.is_recording
    writer.write(b"one\n", b"u", b"a")
    writer.write(b"two\n", assistant=b"b")
    writer.close()
    assert not writer.is_recording
    assert written(tmp_path / "a" / "r") == (b"one\ntwo\n", b"u", b"ab")
    writer.write(b"three\n")
    assert written(tmp_path / "a" / "r")[0] == b"one\ntwo\n"


def test_what_is_written_is_there_soon_without_close(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r", "assistant.pcm")
    writer.write(b"one\n")
    limit = time.monotonic() + 5
    while not written(tmp_path / "r")[0]:
        assert time.monotonic() < limit
        time.sleep(0.01)
    writer.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_files_are_private_to_the_user(tmp_path: Path) -> None:
    Writer(tmp_path / "new" / "r", "assistant.pcm").close()
    modes = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
        for path in sorted(tmp_path.rglob("*"))
    }
    assert modes == {
        "new": 0o700, "new/r": 0o700, "new/r/events.jsonl": 0o600,
        "new/r/user.pcm": 0o600, "new/r/assistant.pcm": 0o600,
    }  # fmt: skip


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    with pytest.raises(RecordingError, match="is there already"):
        Writer(tmp_path / "r", "assistant.pcm")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecordingError, match="cannot write"):
        Writer(tmp_path / "file" / "r", "assistant.pcm")


class Failures:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.came = threading.Event()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        self.came.set()


def test_a_disk_that_fails_ends_the_recording_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = Failures()
    writer = Writer(tmp_path / "r", "assistant.pcm", failures)

    def full(fd: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    writer.write(b"one\n")
    assert failures.came.wait(5)
    assert not writer.is_recording
    writer.write(b"two\n")
    writer.close()
    assert failures.reasons == ["No space left on device"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps files that are open")
def test_a_folder_that_is_deleted_ends_the_recording_once(tmp_path: Path) -> None:
    import shutil

    failures = Failures()
    writer = Writer(tmp_path / "r", "assistant.pcm", failures)
    shutil.rmtree(tmp_path / "r")
    writer.write(b"one\n")
    assert failures.came.wait(5)
    writer.close()
    assert failures.reasons == ["its files have been deleted"]


def test_a_disk_that_hangs_ends_the_recording_and_bounds_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures, let_go = Failures(), threading.Event()
    writer = Writer(tmp_path / "r", "assistant.pcm", failures)
    really = os.write

    def hanging(fd: int, content: bytes) -> int:
        let_go.wait(20)
        return really(fd, content)

    monkeypatch.setattr(os, "write", hanging)
    monkeypatch.setattr(files, "MOST_WAITING_BYTES", 1_000_000)
    began = time.monotonic()
    for _ in range(30):
        writer.write(b"x" * 100_000)
    assert time.monotonic() - began < 5
    assert failures.reasons == ["the disk does not keep up"]
    let_go.set()
    writer.close()


# --------------------------------------------------------------------------------------- the reader


def test_entries_are_read_in_order_with_their_values(tmp_path: Path) -> None:
    folder = a_recording(
        tmp_path / "r", line(0.5, "typed", "ü\n"), line(1.25, "new.code", {"a": 1})
    )
    with Recording.open(folder) as recording:
        typed, new = recording.entries()
        assert (typed.at, typed.code, typed.value(0), typed.value(1)) == (0.5, "typed", "ü\n", None)
        assert (new.code, new.all_values) == ("new.code", [{"a": 1}])
        assert (recording.duration_s, recording.name, recording.warnings) == (1.25, "r", [])
        assert not recording.is_complete


def test_the_file_of_events_stands_for_its_folder(tmp_path: Path) -> None:
    folder = a_recording(tmp_path / "r")
    with Recording.open(folder / "events.jsonl") as recording:
        assert recording.path == folder


def test_a_last_line_that_was_cut_off_is_left_out_with_a_warning(tmp_path: Path) -> None:
    whole, cut = line(1.0, "typed", "whole"), line(2.0, "typed", "cut")
    for length in range(1, len(cut)):
        folder = a_recording(tmp_path / f"{length}", whole, cut[:length])
        with Recording.open(folder) as recording:
            (entry,) = recording.entries()
            assert entry.value(0) == "whole"
            assert recording.last_entry == entry
            assert recording.warnings == ["the last line was cut off: the recording ended suddenly"]


def test_damaged_lines_in_the_middle_are_passed_over_with_one_warning(tmp_path: Path) -> None:
    folder = a_recording(
        tmp_path / "r",
        line(1.0, "woke"), b"garbage \xff\n", b"{}\n", b'["a","b"]\n', b"\n", b"[1]\n",
        line(2.0, "woke"), b"\0" * 5000 + b"\n",
    )  # fmt: skip
    with Recording.open(folder) as recording:
        assert [entry.at for entry in recording.entries()] == [1.0, 2.0]
        assert recording.warnings == ["there are damaged lines, which were passed over"]
        assert recording.duration_s == 2.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"RIFF....WAVE", "not a recording"),
        (b'{"format":"other","version":1}\n', "not a recording"),
        (b"[1,2]\n", "not a recording"),
        (b'{"format":"voicecli-recording","version":2}\n', "version 2 of the format"),
        (b'{"format":"voicecli-recording","version":1}\n', "header is damaged"),
        (b"\xff\xff\n", "not a recording"),
        (b'{"format":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "not a recording"),
        (b'{"format":"voicecli-recording","ver', "not a recording"),
    ],
)
def test_what_is_no_recording_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "events.jsonl").write_bytes(content)
    with pytest.raises(RecordingError, match=reason):
        Recording.open(tmp_path)


def test_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is no recording"):
        Recording.open(tmp_path / "none")
    with pytest.raises(RecordingError, match="there is no recording"):
        Recording.open(tmp_path)
    (tmp_path / "sound.wav").write_bytes(b"RIFF")
    with pytest.raises(RecordingError, match="is a file"):
        Recording.open(tmp_path / "sound.wav")


def test_audio_that_is_missing_is_silent_with_one_warning(tmp_path: Path) -> None:
    frame, sent = b"\1\2" * 480, b"\1\2" * 480
    lines = [
        frame_line(n * 0.02, voice=True, sent=sent, sound=files.Sound(n * 960, 960))
        for n in range(3)
    ]
    folder = a_recording(tmp_path / "r", *lines)
    (folder / "user.pcm").write_bytes(frame + frame[:500])
    with Recording.open(folder) as recording:
        got = [recording.audio_of(entry) for entry in recording.entries()]
        assert got == [frame, frame[:500].ljust(960, b"\0"), bytes(960)]
        assert recording.warnings == ["audio is missing in user.pcm: silence is played for it"]
    (folder / "user.pcm").unlink()
    with Recording.open(folder) as recording:
        assert [recording.audio_of(entry) for entry in recording.entries()] == [bytes(960)] * 3
        assert len(recording.warnings) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_nobody_waits_for_a_pipe_in_place_of_a_file(tmp_path: Path) -> None:
    frame = frame_line(0.02, voice=True, sent=bytes(960), sound=files.Sound(0, 960))
    folder = a_recording(tmp_path / "r", frame)
    os.mkfifo(folder / "user.pcm")
    with Recording.open(folder) as recording:
        assert [recording.audio_of(entry) for entry in recording.entries()] == [bytes(960)]
        assert recording.warnings == ["audio is missing in user.pcm: silence is played for it"]
    (folder / "events.jsonl").unlink()
    os.mkfifo(folder / "events.jsonl")
    with pytest.raises(RecordingError, match="it is no file"):
        Recording.open(folder)


def test_silence_is_what_each_format_calls_it() -> None:
    assert silence("pcm", 4) == b"\0\0\0\0"
    assert silence("pcmu", 2) == b"\xff\xff"
    assert silence("pcma", 2) == b"\xd5\xd5"


def test_marks_are_found_between_anything_that_looks_like_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 64)
    mark = line(2.0, "mark", "turn", {"turn": 1})
    before = [
        line(0.5, "recv", {"x": ["a", "mark", "turn"]}),
        line(1.0, "typed", 'a,"mark","turn"'),
        line(1.5, "typed", "x" * 500),
    ]
    folder = a_recording(
        tmp_path / "r", *before, mark, line(3.0, "woke"), line(4.0, "mark", "rest")
    )
    with Recording.open(folder) as recording:
        turn, rest = recording.marks
        assert (turn.at, turn.kind, turn.values) == (2.0, "turn", {"turn": 1})
        assert (rest.at, rest.kind, rest.values) == (4.0, "rest", {})
        assert [entry.at for entry in recording.entries(turn.position)] == [3.0, 4.0]
        assert list(recording.entries(rest.position)) == []


def test_a_line_without_an_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE_BYTES", 1000)
    folder = a_recording(tmp_path / "r", line(1.0, "woke"), b'[2.0,"typed","' + b"x" * 5000)
    with Recording.open(folder) as recording:
        assert [entry.at for entry in recording.entries()] == [1.0]
        assert recording.warnings
        assert recording.marks == []
