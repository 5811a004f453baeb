"""A talk as lines of JSON or of plain words."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import BinaryIO, TextIO

import msgspec
import pytest

from voicecli import reports
from voicecli.errors import VoicecliError
from voicecli.inputs import Input, QuitPressed
from voicecli.ui.lines import JsonLines, PlainLines, can_be_drawn_on, plain_line, summary_line


def answer(**fields: object) -> reports.AssistantReport:
    plain = {
        "item_id": "a",
        "text": "one two three",
        "final": True,
        "heard_ms": 900,
        "received_ms": 900,
        "interrupted": False,
        "heard_text": "one two three",
    }
    return msgspec.convert({**plain, **fields, "type": "assistant"}, reports.AssistantReport)


def summary(**fields: object) -> reports.SummaryReport:
    numbers = dict.fromkeys(
        (
            "turns",
            "interruptions",
            "seconds",
            "dropped_frames",
            "underflows",
            "input_tokens",
            "output_tokens",
            "total_tokens",
            "cached_tokens",
        ),
        0,
    )
    whole = {"type": "summary", "reason": "quit", "latency_ms": None, **numbers, **fields}
    return msgspec.convert(whole, reports.SummaryReport)


def turn(first_sound_ms: int | None) -> reports.TurnReport:
    return reports.TurnReport(
        item_id="a",
        speech_stopped_ms=1,
        response_created_ms=2,
        first_delta_ms=3,
        first_sound_ms=first_sound_ms,
    )


def test_json_is_one_line_per_report_with_its_time() -> None:
    stream = io.BytesIO()
    lines = JsonLines(stream)
    lines.tell(reports.NoteReport(message="ça\nva"), 1.2344)
    lines.tell(reports.UserReport(item_id="a", text="x", final=True), 2.0)
    assert stream.getvalue().decode() == (
        '{"type":"note","at_ms":1234,"message":"ça\\nva"}\n'
        '{"type":"user","at_ms":2000,"item_id":"a","text":"x","final":true}\n'
    )


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            reports.SessionReport(server="local", session_id="s", model="m", voice=""),
            "session: local, m\n",
        ),
        (reports.UserReport(item_id="a", text="Hello.", final=True), "you: Hello.\n"),
        (reports.UserReport(item_id="a", text="Hel", final=False), ""),
        (reports.UserReport(item_id="a", text=" ", final=True), ""),
        (answer(), "assistant: one two three\n"),
        (answer(final=False), ""),
        (
            answer(interrupted=True, heard_text="one two"),
            "assistant: one two [cut off: three]\n",
        ),
        (answer(interrupted=True, heard_text=""), "assistant: [cut off: one two three]\n"),
        (answer(interrupted=True), "assistant: one two three [cut off]\n"),
        (turn(420), "latency: 420 ms\n"),
        (turn(None), ""),
        (
            reports.ToolReport(call_id="c", name="clock", arguments="{}", output="noon\nsharp"),
            "tool: clock({}) → noon sharp\n",
        ),
        (reports.ToolReport(call_id="c", name="clock", arguments="{}", output=None), ""),
        (reports.BargeInReport(item_id="a", heard_ms=1, received_ms=2, by="voice"), ""),
        (reports.MarkerReport(number=2), "marker: 2\n"),
        (summary(), "end: quit, 0 s\n"),
        (reports.UserReport(item_id="a", text="a\x1b[2Jb", final=True), "you: ab\n"),
    ],
)
def test_a_fact_is_a_line(report: reports.Report, line: str) -> None:
    assert plain_line(report) == line


def test_the_summary_counts_in_words() -> None:
    whole = summary(
        turns=3,
        interruptions=1,
        seconds=61.6,
        latency_ms=420,
        total_tokens=1234,
        dropped_frames=2,
        underflows=1,
    )
    assert summary_line(whole) == (
        "quit, 3 turns, 1 interruption, 62 s, median latency 420 ms, 1234 tokens, "
        "2 frames lost, 1 gap"
    )


def test_errors_and_notes_do_not_mix_with_what_was_said() -> None:
    out, errors = io.StringIO(), io.StringIO()
    lines = PlainLines(out, errors)
    lines.tell(reports.ErrorReport(message="bad\x07", code="c", source="server"), 1.0)
    lines.tell(reports.NoteReport(message="so"), 1.0)
    lines.tell(answer(), 2.0)
    assert out.getvalue() == "assistant: one two three\n"
    assert errors.getvalue() == "error: bad\nnote: so\n"


def test_what_the_locale_cannot_write_is_replaced() -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    PlainLines(stream, io.StringIO()).tell(answer(text="où", heard_text="où"), 0.0)
    assert buffer.getvalue() == b"assistant: o?\n"


async def _delivered_after(screen: JsonLines | PlainLines, act: Callable[[], None]) -> list[Input]:
    delivered: list[Input] = []
    await screen.start(delivered.append)
    act()
    assert delivered == []
    await asyncio.sleep(0)
    await screen.close()
    return delivered


@pytest.mark.parametrize("kind", ["json", "plain"])
def test_a_reader_that_has_gone_ends_the_talk_once_and_without_an_error(kind: str) -> None:
    read, write = os.pipe()
    os.close(read)
    lines: JsonLines | PlainLines
    if kind == "json":
        binary = open(write, "wb")  # noqa: SIM115
        lines = JsonLines(binary)
    else:
        binary = open(write, "w")  # noqa: SIM115
        lines = PlainLines(binary, io.StringIO())

    def tell_twice() -> None:
        lines.tell(answer(), 0.0)
        lines.tell(answer(), 0.0)

    assert asyncio.run(_delivered_after(lines, tell_twice)) == [QuitPressed()]
    binary.close()


class Broken(io.StringIO):
    """A pipe without a reader, and without a descriptor that could be led elsewhere."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_nothing_is_written_after_the_reader_has_gone() -> None:
    lines = PlainLines(Broken(), Broken())

    def tell_twice() -> None:
        lines.tell(answer(), 0.0)
        lines.tell(answer(), 0.0)
        lines.tell(reports.NoteReport(message="so"), 0.0)

    assert asyncio.run(_delivered_after(lines, tell_twice)) == [QuitPressed()]


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "term", "expected"),
    [
        (Tty(), "xterm-256color", True),
        (Tty(), "dumb", os.name == "nt"),
        (Tty(), "", os.name == "nt"),
        (io.StringIO(), "xterm-256color", False),
    ],
)
def test_a_screen_is_drawn_only_where_it_can_be(stream: TextIO, term: str, expected: bool) -> None:
    assert can_be_drawn_on(stream, {"TERM": term}) is expected


def test_lines_need_no_rich() -> None:
    code = "import sys, voicecli.ui.lines; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_ends_the_talk_and_is_an_error_of_its_own():
    async def main(full: BinaryIO) -> list[object]:
        delivered: list[object] = []
        lines = JsonLines(full)
        await lines.start(delivered.append)
        lines.tell(reports.NoteReport(message="hello"), 0.0)
        await asyncio.sleep(0)
        with pytest.raises(VoicecliError, match="No space left"):
            await lines.close()
        return delivered

    with open("/dev/full", "wb", buffering=0) as full:
        assert asyncio.run(main(full)) == [QuitPressed()]


def test_controls_that_json_leaves_alone_are_escaped():
    line = reports.encode_report(reports.NoteReport(message="a\x9b31m\x7fé"), 0)
    assert b"\\u009b31m\\u007f\xc3\xa9" in line
