"""A reader is only given lines that say what lines of their kind say; others are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicecli.protocol.settings import SessionSettings
from voicecli.recording.export.talk import talk_of
from voicecli.recording.files import Recording
from voicecli.recording.format import Header, decode_entry, encode_header, line, plain_settings
from voicecli.recording.shapes import FURTHEST_AHEAD_S, LONGEST_S, is_sound

SOUND = [
    line(1.0, "woke"),
    line(1.0, "drained", "something new"),
    line(1.0, "of a newer program", -1, {}),
    line(1.0, "mic", 0),
    line(1.0, "mic", 1, 960),
    line(1.0, "mic", 1, 960, 2**32 - 1, 0, 960, "new"),
    line(1.0, "recv", {"type": "x"}),
    line(1.0, "recv", {"type": "x"}, 960, None),
    line(1.0, "recv_raw", b"\xff"),
    line(1.0, "started", "i", 0, 1.25),
    line(1.0, "emitted", "i", 0, 0, 480, 0.98, 96),
    line(1.0, "emitted", "i", 0, 0, 480, 0.98, 0, 1.0, 0.125, 120),
    line(1.0, "stopped", [["i", 0, 480, 96]]),
    line(1.0, "mark", "of a newer program"),
    line(1.0, "mark", "rest", {"turns": 1, "session": [100, 200], "new": "x"}),
    line(1.0, "end", {"reason": "quit", "error": None, "turns": 1}),
    line(1.0, "end", None),
]

DAMAGED = [
    line(-0.1, "woke"),
    line(LONGEST_S * 2, "woke"),
    line(1e308, "woke"),
    line(1.0, "mic", "x"),
    line(1.0, "mic", 1, -960),
    line(1.0, "mic", 1, 960, 0, -1, 960),
    line(1.0, "mic", 1, 960, 0, 0.5, 960),
    line(1.0, "mic", 1, 960, 0, 0, -1),
    line(1.0, "mic", 1, 960, 0, 0, 959),
    line(1.0, "mic", 1, 960, 0, 0, 2**40),
    line(1.0, "recv"),
    line(1.0, "recv", {"type": "x"}, -1, 0),
    line(1.0, "recv", {"type": "x"}, 960, "0"),
    line(1.0, "recv_raw", "no base64!"),
    line(1.0, "started", "i"),
    line(1.0, "started", ["i"], 0, 1.0),
    line(1.0, "started", "i", 0, 1.0 + FURTHEST_AHEAD_S + 1),
    line(1.0, "emitted", "i", 0, 0, 480, 1e300, 0),
    line(1.0, "emitted", "i", 0, 0, -480, 1.0, 0),
    line(1.0, "emitted", "i", 0, 0, 480, 1.0, 0, 7.0, 1.0, 1),
    line(1.0, "stopped"),
    line(1.0, "stopped", [["i"]]),
    line(1.0, "stopped", 7),
    line(1.0, "key"),
    line(1.0, "typed", None),
    line(1.0, "tool", "c", 5, False),
    line(1.0, "noticed", "message"),
    line(1.0, "lost", "many"),
    line(1.0, "mark", "turn", {"turn": []}),
    line(1.0, "mark", "turn", {"began_at": "soon"}),
    line(1.0, "mark", "rest", {"session": [-1]}),
    line(1.0, "end", {"dropped_frames": {}}),
]  # fmt: skip


def said(text: bytes) -> bool:
    entry = decode_entry(text)
    assert entry is not None
    return is_sound(text, entry.code)


@pytest.mark.parametrize("text", SOUND, ids=bytes.decode)
def test_lines_that_say_what_they_have_to_are_sound(text: bytes) -> None:
    assert said(text)


@pytest.mark.parametrize("text", DAMAGED, ids=bytes.decode)
def test_lines_that_say_what_cannot_be_are_not(text: bytes) -> None:
    assert not said(text)


def test_json_that_is_too_deep_is_no_line() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert decode_entry(b'[1.0,"recv",' + deep + b"]\n") is None


def test_damaged_lines_are_passed_over_by_whoever_reads(tmp_path: Path) -> None:
    header = Header(
        created="c", program="p", server="s", settings=plain_settings(SessionSettings())
    )
    last = line(2.0, "end", {"reason": "quit"})
    (tmp_path / "events.jsonl").write_bytes(encode_header(header) + b"".join(DAMAGED) + last)
    with Recording.open(tmp_path) as recording:
        assert [entry.code for entry in recording.entries()] == ["end"]
        assert recording.warnings == ["there are damaged lines, which were passed over"]
        assert recording.marks == []
        assert talk_of(recording).summary.reason == "quit"
