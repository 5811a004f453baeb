"""What is on the terminal after it was drawn on."""

import asyncio
import contextlib
import io
import os
import signal
import sys
import time
from typing import Any

import pytest
from helpers_screen import Emulator, Talk, heard
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from voicecli import inputs, reports
from voicecli.ui.block import Block, DrawnLine
from voicecli.ui.controls import Prompt
from voicecli.ui.meters import Meters
from voicecli.ui.screen import TerminalScreen
from voicecli.ui.terminal import Terminal

SUMMARY = reports.SummaryReport(
    reason="quit",
    turns=1,
    interruptions=0,
    seconds=12.4,
    dropped_frames=0,
    underflows=0,
    latency_ms=420,
    input_tokens=1,
    output_tokens=2,
    total_tokens=3,
    cached_tokens=0,
)
KEYS = "m mute · enter type · esc stop · ? help · q quit"


class Paper(io.StringIO):
    """Keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


def terminal_on(stream: Any, **options: Any) -> Terminal:
    settings: dict[str, Any] = {"color_system": "truecolor", "width": 80, "height": 12}
    console = Console(file=stream, force_terminal=True, **{**settings, **options})
    terminal = Terminal(console)
    terminal.start()
    return terminal


def started(**options: Any) -> tuple[Terminal, Emulator]:
    emulator = Emulator(height=12)
    return terminal_on(emulator, **options), emulator


def test_what_is_settled_scrolls_and_what_changes_stays_below() -> None:
    terminal, emulator = started()
    talk = Talk()
    talk.user_begins("a")
    talk.user_says("a", "What is")
    terminal.draw(talk.conversation, Meters(at=1.0))
    assert emulator.text == ["      you  What is…", "● hearing  ········  0:01", KEYS]
    talk.user_ends("a", "What is the tide?")
    talk.answer("b", "The sea breathing.", 2.0)
    terminal.draw(talk.conversation, Meters(at=2.0))
    assert emulator.text == [
        "      you  What is the tide?",
        "assistant  The sea breathing.",
        "● speaking  ········  0:02",
        KEYS,
    ]
    talk.played("b")
    terminal.draw(talk.conversation, Meters(at=4.0))
    assert emulator.text[1:] == [
        "assistant  The sea breathing.",
        "● listening  ········  0:04",
        KEYS,
    ]


def test_nothing_is_written_when_nothing_has_changed() -> None:
    paper = Paper()
    terminal = terminal_on(paper)
    talk = Talk()
    terminal.draw(talk.conversation, Meters(at=1.0))
    count = len(paper.writes)
    terminal.draw(talk.conversation, Meters(at=1.5))
    assert len(paper.writes) == count


def test_a_redraw_is_one_write_of_the_lines_that_have_changed() -> None:
    paper = Paper()
    terminal = terminal_on(paper, color_system=None)
    talk = Talk()
    terminal.draw(talk.conversation, Meters(at=1.0))
    del paper.writes[:]
    terminal.draw(talk.conversation, Meters(at=2.0))
    (written,) = paper.writes
    assert "0:02" in written
    assert "mute" not in written


def test_errors_and_notes_are_printed_above_and_cannot_give_orders() -> None:
    terminal, emulator = started()
    talk = Talk()
    terminal.draw(talk.conversation, Meters(at=1.0))
    terminal.tell(reports.ErrorReport(message="[b]bad\x1b[2J", code="", source="server"), 1.0)
    terminal.tell(reports.NoteReport(message="a note"), 1.0)
    expected = ["[b]bad", "a note", "● listening  ········  0:01", KEYS]
    assert emulator.text == expected
    terminal.draw(talk.conversation, Meters(at=1.0))
    assert emulator.text == expected


def test_a_marker_is_a_short_line_with_its_number_and_time() -> None:
    terminal, emulator = started()
    talk = Talk()
    terminal.draw(talk.conversation, Meters(at=61.0))
    terminal.tell(reports.MarkerReport(number=3), 61.7)
    assert emulator.text == ["marker 3 at 1:01", "● listening  ········  1:01", KEYS]


def test_what_was_settled_comes_before_a_note_that_is_told_later() -> None:
    terminal, emulator = started()
    talk = Talk()
    talk.user_begins("a")
    talk.user_ends("a", "What is the tide?")
    talk.answer("b", "The sea breathing.", 2.0)
    terminal.draw(talk.conversation, Meters(at=2.0))
    talk.played("b")
    terminal.tell(reports.NoteReport(message="a note"), 4.0)
    assert emulator.text[:3] == [
        "      you  What is the tide?",
        "assistant  The sea breathing.",
        "a note",
    ]


def test_at_the_end_the_talk_and_the_summary_are_left_and_the_cursor_is_back() -> None:
    terminal, emulator = started()
    talk = Talk()
    talk.answer("b", "The sea breathing.", 2.0)
    terminal.draw(talk.conversation, Meters(at=1.0))
    assert not emulator.modes["25"]
    terminal.tell(SUMMARY, 12.4)
    terminal.close()
    expected = [
        "assistant  The sea breathing.",
        "quit, 1 turn, 12 s, median latency 420 ms, 3 tokens",
    ]
    assert emulator.text == expected
    assert emulator.modes["25"]
    assert emulator.modes["7"]
    terminal.close()
    terminal.draw(talk.conversation, Meters(at=2.0))
    assert emulator.text == expected


def test_a_terminal_that_is_gone_stops_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = open(write, "w", encoding="utf-8")  # noqa: SIM115
    terminal = terminal_on(stream)
    terminal.draw(Talk().conversation, Meters())
    terminal.close()
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_terminal_that_takes_nothing_is_not_waited_for() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    stream = open(write, "w", encoding="utf-8")  # noqa: SIM115
    terminal = terminal_on(stream)
    while True:
        try:
            os.write(write, b"x" * 1000)
        except BlockingIOError:
            break
    os.set_blocking(write, True)
    terminal.draw(Talk().conversation, Meters())
    os.close(read)
    terminal.close()
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize(
    ("options", "has_color", "has_strike"),
    [
        ({}, True, True),
        ({"no_color": True}, False, True),
        ({"color_system": None}, False, False),
    ],
)
def test_colours_are_used_as_far_as_they_are_wanted(
    options: dict[str, Any], has_color: bool, has_strike: bool
) -> None:
    paper = Paper()
    terminal = terminal_on(paper, **options)
    talk = Talk()
    talk.answer("a", "one two three four", 4.0)
    talk.cut_off("a", 2.0, 4.0)
    terminal.draw(talk.conversation, Meters())
    written = "".join(paper.writes)
    assert ("\x1b[32m" in written) is has_color
    assert ("\x1b[2;9mthree four" in written) is has_strike
    assert "[cut off]" in written


def test_a_terminal_without_unicode_gets_what_it_can_show() -> None:
    buffer = io.BytesIO()
    terminal = terminal_on(io.TextIOWrapper(buffer, encoding="latin-1"), color_system=None)
    talk = Talk()
    talk.user_begins("a")
    talk.user_says("a", "ça 日本")
    terminal.draw(talk.conversation, Meters())
    assert "you  ça ??..." in buffer.getvalue().decode("latin-1")
    assert "* hearing" in buffer.getvalue().decode("latin-1")


def test_a_terminal_that_has_become_narrower_is_wiped_where_the_old_lines_wrapped() -> None:
    talk = Talk()
    emulator = Emulator(height=12)
    console = Console(file=emulator, force_terminal=True, width=60, height=12, color_system=None)  # type: ignore[arg-type]
    terminal = Terminal(console)
    terminal.start()
    terminal.tell(reports.NoteReport(message="above"), 0.0)
    terminal.draw(talk.conversation, Meters(at=1.0))
    # As terminals do: what is too long goes on in the next row, the cursor stays at its character.
    keys = emulator.rows.pop()
    assert keys == KEYS
    emulator.rows += [keys[:30], keys[30:]]
    emulator.width = 30
    console.width = 30
    terminal.draw(talk.conversation, Meters(at=1.0))
    assert emulator.text == [
        "above",
        "● listening  ········  0:01",
        "enter type · ? help",
    ]


lines = st.lists(st.text(alphabet="abc", max_size=6), max_size=8)


@given(st.lists(st.tuples(lines, st.lists(st.text(alphabet="xyz", max_size=4), max_size=3))))
def test_the_block_is_drawn_right_whatever_was_there_before(
    steps: list[tuple[list[str], list[str]]],
) -> None:
    emulator = Emulator(width=8, height=9)
    block = Block()
    above: list[str] = []
    for texts, printed in steps:
        emulator.write(block.redraw([DrawnLine(text, len(text)) for text in texts], printed))
        above += printed
        expected = "\n".join([*above, *texts]).rstrip("\n").split("\n")
        assert emulator.text == expected


def test_only_changed_lines_are_written() -> None:
    block = Block()
    drawn = [DrawnLine(f"line {number}", 6) for number in range(3)]
    block.redraw(drawn)
    assert block.redraw(drawn) == ""
    drawn[1] = DrawnLine("other", 5)
    assert block.redraw(drawn) == "\x1b[1Aother\x1b[K\r\r\n"


def test_the_picture_is_left_when_the_process_stops_and_drawn_anew_when_it_goes_on() -> None:
    terminal, emulator = started()
    talk = Talk()
    terminal.draw(talk.conversation, Meters(at=1.0))
    picture = list(emulator.text)
    terminal.suspend()
    assert emulator.modes["25"]
    terminal.draw(talk.conversation, Meters(at=2.0))
    emulator.write("$ fg\r\n")
    assert emulator.text == [*picture, "$ fg"]
    terminal.resume()
    assert not emulator.modes["25"]
    terminal.draw(talk.conversation, Meters(at=1.0))
    assert emulator.text == [*picture, "$ fg", *picture]


if sys.platform != "win32":
    import fcntl
    import pty
    import struct
    import termios

    class Talker:
        """A screen on a fresh terminal, typed at from its other side."""

        def __init__(self, *, manual: bool = False) -> None:
            self.talk = Talk(manual=manual)
            self.ours, self.theirs = pty.openpty()
            fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
            self.stream = open(self.theirs, "w", encoding="utf-8")  # noqa: SIM115
            self.console = Console(file=self.stream, force_terminal=True, width=60, height=12)
            self.ahead_s = 0.0
            self.screen = TerminalScreen(
                Terminal(self.console), clock=lambda: time.monotonic() + self.ahead_s
            )
            self.delivered: asyncio.Queue[inputs.Input] = asyncio.Queue()

        async def __aenter__(self) -> "Talker":
            self.before = termios.tcgetattr(self.theirs)
            await self.screen.start(self.delivered.put_nowait)
            self.screen.draw(self.talk.conversation, Meters())
            return self

        async def __aexit__(self, *exc: object) -> None:
            await self.screen.close()
            await self.screen.close()
            with contextlib.suppress(termios.error):
                self.after = termios.tcgetattr(self.theirs)
            with contextlib.suppress(OSError):
                self.stream.close()
            os.close(self.ours)

        async def type(self, typed: bytes) -> inputs.Input:
            os.write(self.ours, typed)
            async with asyncio.timeout(5):
                return await self.delivered.get()

        async def shown(self, words: str) -> None:
            """Wait until something is on the terminal."""
            loop = asyncio.get_running_loop()
            text = ""
            async with asyncio.timeout(5):
                while words not in text:
                    readable = loop.create_future()
                    loop.add_reader(self.ours, readable.set_result, None)
                    await readable
                    loop.remove_reader(self.ours)
                    text += os.read(self.ours, 100_000).decode()

    @pytest.fixture(autouse=True)
    def _no_terminal_of_the_test_run(monkeypatch: pytest.MonkeyPatch) -> None:
        """The keyboard under test is that of the test's own terminal."""
        is_terminal = os.isatty
        monkeypatch.setattr(os, "isatty", lambda fd: fd != 0 and is_terminal(fd))

    def test_keys_become_inputs_and_the_terminal_is_given_back() -> None:
        async def talk() -> Talker:
            async with Talker() as talker:
                assert await talker.type(b"m") == inputs.MuteToggled()
                assert await talker.type(b"\x1b") == inputs.InterruptPressed()
                assert await talker.type(b"\rhi\x1b[D!\r") == inputs.TextTyped("h!i")
                assert await talker.type(b"q") == inputs.QuitPressed()
            return talker

        talker = asyncio.run(talk())
        assert talker.before == talker.after

    def test_a_message_is_seen_while_it_is_written() -> None:
        async def talk() -> None:
            async with Talker() as talker:
                os.write(talker.ours, b"\rhello")
                await talker.shown("hello")

        asyncio.run(talk())

    def test_a_change_of_size_is_drawn_at_once() -> None:
        async def talk() -> None:
            async with Talker() as talker:
                await talker.shown("mute")
                talker.console.width = 20
                os.kill(os.getpid(), signal.SIGWINCH)
                await talker.shown("\x1b[J")

        asyncio.run(talk())

    def test_the_talk_key_ends_a_hold_by_its_timer() -> None:
        async def talk() -> list[inputs.Input]:
            async with Talker(manual=True) as talker:
                pressed = await talker.type(b" ")
                released = await talker.type(b"  ")
                return [pressed, released]

        assert asyncio.run(talk()) == [inputs.TalkPressed(), inputs.TalkReleased()]

    def test_the_talk_key_ends_with_its_release_where_the_terminal_tells() -> None:
        async def talk() -> list[inputs.Input]:
            async with Talker(manual=True) as talker:
                pressed = await talker.type(b"\x1b[?0u ")
                talker.ahead_s = 1.0
                return [pressed, await talker.type(b"\x1b[32;1:3u")]

        assert asyncio.run(talk()) == [inputs.TalkPressed(), inputs.TalkReleased()]

    def test_a_terminal_that_hangs_up_ends_the_talk() -> None:
        async def talk() -> inputs.Input:
            talker = Talker()
            async with talker:
                os.close(talker.ours)
                talker.ours = os.open(os.devnull, os.O_RDONLY)
                async with asyncio.timeout(5):
                    return await talker.delivered.get()

        assert asyncio.run(talk()) == inputs.QuitPressed()

    def test_the_terminal_is_given_back_after_an_error() -> None:
        async def talk(talker: Talker) -> None:
            async with talker:
                raise LookupError

        talker: list[Talker] = []

        async def main() -> None:
            talker.append(Talker())
            await talk(talker[0])

        with pytest.raises(LookupError):
            asyncio.run(main())
        assert talker[0].before == talker[0].after


def test_the_message_line_is_drawn_at_the_bottom() -> None:
    terminal, emulator = started()
    terminal.draw(Talk().conversation, Meters(), Prompt("hello", 5))
    assert emulator.text[-1] == "› hello"
    terminal.draw(Talk().conversation, Meters(), show_help=True)
    assert len(emulator.text) == 8
    terminal.draw(Talk().conversation, Meters())
    assert len(emulator.text) == 2


def test_what_is_heard_becomes_bright_word_by_word() -> None:
    paper = Paper()
    terminal = terminal_on(paper)
    talk = Talk()
    talk.answer("a", "one two three four", 4.0)
    for second in range(4):
        terminal.draw(talk.conversation, Meters(heard=(heard("a", float(second), 4.0),)))
    written = "".join(paper.writes)
    for unheard in ("one two three four", " two three four", " three four", " four"):
        assert f"\x1b[2m{unheard}\x1b[0m" in written
