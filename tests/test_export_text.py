"""A talk to be read: plain text, Markdown, and JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from helpers_export import row, talk_with, told
from helpers_recording import make_recording
from hypothesis import given
from hypothesis import strategies as st

from voicecli.recording.export.data import FORMAT, VERSION, json_of
from voicecli.recording.export.talk import Call, Facts, Latency, Notice, Said, Talk
from voicecli.recording.export.text import clock, markdown_of, plain_text_of

CUT = row(
    "assistant", "One two three four", 2.04, 3.0,
    heard_text="One two", unheard_text="three four", interrupted=True, interrupted_by="voice",
    heard_ms=960, received_ms=4000,
    latency=Latency(
        speech_stopped_ms=300, response_created_ms=310, first_delta_ms=None, first_sound_ms=420
    ),
)  # fmt: skip
TOOL = row(
    "tool", 'clock({"zone":"UTC"})', 3.5, 4.0, is_spoken=False,
    call=Call(call_id="c", name="clock", arguments='{"zone":"UTC"}', output="12:00", failed=False),
)  # fmt: skip
TALK = talk_with(
    row("user", "Count.", 1.0, 1.75),
    CUT,
    TOOL,
    notices=[Notice(at=3.2, kind="error", message="no luck", code="", source="tool")],
)


def test_plain_text_tells_line_by_line_who_said_what_and_when():
    _, _, conversation = plain_text_of(TALK).partition("\n\n")
    assert conversation.splitlines() == [
        "[0:01.0] User: Count.",
        "[0:02.0] Assistant: One two [cut off by voice after 1.0 s of 4.0 s: three four]",
        "[0:03.2] error: no luck",
        '[0:03.5] Tool: clock({"zone":"UTC"}) -> 12:00',
    ]


def test_markdown_strikes_out_what_was_not_heard_and_has_a_row_for_each_turn():
    text = markdown_of(TALK)
    assert (
        "**0:02.0 Assistant:** One two ~~three four~~ *(cut off by voice after 1.0 s of 4.0 s)*"
    ) in text.splitlines()
    assert '**0:03.5 Tool:** `clock({"zone":"UTC"})` → `12:00`' in text.splitlines()
    last_row = [line for line in text.splitlines() if line.startswith("|")][-1]
    cells = [cell.strip() for cell in last_row.strip("|").split("|")]
    assert cells == ["1", "0:01.0", "0.8 s", "300", "310", "", "420", "1.0 s of 4.0 s", "voice"]


def test_a_turn_of_which_nothing_was_understood_says_so():
    talk = talk_with(row("user", "", 1.0, 2.0))
    assert "[0:01.0] User: (nothing was understood)" in plain_text_of(talk)
    assert "**0:01.0 User:** *(nothing was understood)*" in markdown_of(talk)


def test_what_the_reader_warned_of_is_told():
    talk = talk_with(warnings=["audio is missing in user.pcm: silence is played for it"])
    assert "warning: audio is missing in user.pcm" in plain_text_of(talk)
    assert "> audio is missing in user.pcm" in markdown_of(talk)


def test_times_have_hours_only_where_there_are_any():
    assert [clock(at) for at in (0.0, 59.96, 61.25, 3723.4)] == [
        "0:00.0", "1:00.0", "1:01.2", "1:02:03.4",
    ]  # fmt: skip


HOSTILE = st.text(alphabet="|`*_~<>[]()#!&\\$\x1b\x9b\x07\n\r\u202e ab1.", max_size=80)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_hostile_words_bring_neither_orders_for_a_terminal_nor_lines_or_cells_of_their_own(a, b, c):
    call = Call(call_id="c", name="f", arguments=a, output=b, failed=True)
    talk = talk_with(
        row("user", a, 1.0, 2.0),
        row("assistant", f"{b} {c}", 2.0, 3.0, heard_text=b, unheard_text=c),
        row("tool", f"f({a})", 3.0, 3.0, call=call),
        name=a or "x",
        model=b,
        notices=[Notice(at=1.0, kind="note", message=c, code="", source="")],
    )
    plain, marked = plain_text_of(talk), markdown_of(talk)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", plain + marked)
    _, _, conversation = plain.partition("\n\n")
    assert [line[0] for line in conversation.splitlines()] == ["["] * 4
    conversation = marked.partition("## Conversation")[2].partition("## Turns")[0]
    assert [line[0] for line in conversation.split("\n") if line] == ["*"] * 4
    rows = [line for line in marked.splitlines() if line.startswith("| ")]
    cells = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in rows}
    assert cells <= {3, 10}


def test_the_json_document_holds_all_of_the_model(tmp_path):
    talk = told(make_recording(tmp_path / "made", 30))
    document = json.loads(json_of(talk))
    assert (document.pop("format"), document.pop("version")) == (FORMAT, VERSION)
    assert msgspec.convert(document, Talk) == talk


def test_json_holds_nothing_that_a_terminal_obeys():
    text = "\x1b[31m \x9b31m \x7f"
    written = json_of(talk_with(row("user", text, 0.0, 1.0)))
    assert json.loads(written)["rows"][0]["text"] == text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", written.decode())


def described_in(section: str) -> set[str]:
    """The names in the first column of a table in the document."""
    document = (Path(__file__).parent.parent / "docs" / "export.md").read_text(encoding="utf-8")
    table = document.partition(f"\n{section}")[2].partition("|---|---|\n")[2].partition("\n\n")[0]
    return {
        name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        ("One object:", {"format", "version", *Talk.__struct_fields__}),
        ("`facts`:", set(Facts.__struct_fields__)),
        ("`rows`;", set(Said.__struct_fields__)),
    ],
)
def test_the_document_describes_every_field_of_the_json(section, fields):
    assert described_in(section) == fields
