"""Bytes of a terminal become keys."""

import asyncio
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.ui.controls import Key
from voicecli.ui.keys import ESCAPE_WAIT_S, PASTE_WAIT_S, Keyboard, KeyDecoder, open_keyboard


def decoded(data: bytes) -> list[Key]:
    return KeyDecoder().feed(data, 0.0)


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"a", [Key("char", "a")]),
        (b" ", [Key("char", " ")]),
        ("é日😀".encode(), [Key("char", "é"), Key("char", "日"), Key("char", "😀")]),
        (b"\r", [Key("enter")]),
        (b"\n", [Key("enter")]),
        (b"\x7f", [Key("backspace")]),
        (b"\x08", [Key("backspace")]),
        (b"\x03", [Key("ctrl-c")]),
        (b"\x04", [Key("ctrl-d")]),
        (b"\x1c", [Key("ctrl-\\")]),
        (b"\x1b[A\x1b[D", [Key("up"), Key("left")]),
        (b"\x1bOC", [Key("right")]),
        (b"\x1b[H\x1b[4~\x1b[3~", [Key("home"), Key("end"), Key("delete")]),
        (b"\x1b[1;5C", [Key("right")]),
        (b"\x1bm", [Key("alt-m")]),
        (b"\x1b\x1b[A", [Key("escape"), Key("up")]),
        (b"\x1b[27u", [Key("escape")]),
        (b"\x1b[99;5u", [Key("ctrl-c")]),
        (b"\x1b[32;1:3u", [Key("char", " ", "release")]),
        (b"\x1b[32;1:2u", [Key("char", " ", "repeat")]),
        (b"\x1b[97:65;2u", [Key("char", "a")]),
        (b"\x1b[57414u", [Key("enter")]),
        (b"\x1b[57441;1:3u", []),
        (b"\x1b[1;1:3A", [Key("up", action="release")]),
        (b"\x1b[?62;4c", []),
        (b"\x1b[99999999999u", []),
        (b"\x1b]11;rgb:0/0/0\x1b\\x", [Key("char", "x")]),
        (b"\x1bP1$r\x1b\\x", [Key("char", "x")]),
        (b"\xff\xc3x", [Key("char", "x")]),
        (b"\xc2\x9b", []),
    ],
)
def test_what_a_terminal_sends_is_understood(data: bytes, keys: list[Key]) -> None:
    assert decoded(data) == keys


@pytest.mark.parametrize(
    "data",
    ["é日😀".encode(), b"\x1b[3~", b"\x1b[32;1:3u", b"\x1bOC", b"\x1b[200~a\x1bb\x1b[201~c"],
)
def test_a_key_that_is_cut_by_reads_is_the_same_key(data: bytes) -> None:
    decoder = KeyDecoder()
    assert [key for byte in data for key in decoder.feed(bytes([byte]), 0.0)] == decoded(data)


def test_an_escape_alone_is_the_key_after_a_moment() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b", 1.0) == []
    assert decoder.next_timer() == 1.0 + ESCAPE_WAIT_S
    assert decoder.flush(1.0 + ESCAPE_WAIT_S / 2) == []
    assert decoder.flush(1.0 + ESCAPE_WAIT_S) == [Key("escape")]
    assert decoder.next_timer() is None


def test_a_torn_sequence_is_forgotten_and_no_key() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b[1;", 1.0) == []
    assert decoder.flush(1.1) == []
    assert decoder.feed(b"x", 1.2) == [Key("char", "x")]


def test_a_paste_is_one_key_and_its_commands_are_text() -> None:
    keys = decoded(b"\x1b[200~quit\nq\x1b[A\x03\x1b[201~m")
    assert keys == [Key("paste", "quit\nq\x1b[A\x03"), Key("char", "m")]


def test_a_paste_without_an_end_is_given_up_waiting_for() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b[200~abc\x1b[20", 1.0) == []
    assert decoder.next_timer() == 1.0 + PASTE_WAIT_S
    assert decoder.flush(1.0 + PASTE_WAIT_S) == [Key("paste", "abc\x1b[20")]
    assert decoder.feed(b"x", 3.0) == [Key("char", "x")]


def test_the_answer_about_the_kitty_protocol_is_no_key() -> None:
    decoder = KeyDecoder()
    assert not decoder.knows_releases
    assert decoder.feed(b"\x1b[?0ua", 0.0) == [Key("char", "a")]
    assert decoder.knows_releases


@given(st.lists(st.binary(max_size=12)))
def test_no_bytes_are_too_strange(reads: list[bytes]) -> None:
    decoder = KeyDecoder()
    for number, data in enumerate(reads):
        decoder.feed(data, number * 10.0)
        decoder.flush(number * 10.0 + 5)
        assert decoder.next_timer() is None


@given(st.lists(st.sampled_from([b"\x1b", b"[", b"200~", b"201~", b"u", b"?", b";", b"3", b"O"])))
def test_pieces_of_sequences_in_any_order_leave_nothing_behind(reads: list[bytes]) -> None:
    decoder = KeyDecoder()
    for data in reads:
        decoder.feed(data, 0.0)
    decoder.flush(9.0)
    assert decoder.feed(b"x", 10.0)[-1:] == [Key("char", "x")]


if sys.platform != "win32":
    import pty
    import termios

    async def _keys_of(typed: bytes, answers: list[str], count: int) -> list[Key]:
        """What a keyboard on a fresh terminal delivers for what is typed there."""
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        keys: list[Key] = []
        complete = asyncio.Event()

        def deliver(some: list[Key], at: float) -> None:
            keys.extend(some)
            if len(keys) >= count or not some:
                complete.set()

        keyboard = Keyboard(os.dup(theirs), answers.append)
        try:
            keyboard.start(deliver)
            during = termios.tcgetattr(theirs)
            os.write(ours, typed)
            async with asyncio.timeout(5):
                await complete.wait()
        finally:
            keyboard.close()
            keyboard.close()
        assert not during[3] & (termios.ICANON | termios.ECHO)
        assert during[3] & termios.ISIG
        assert during[1] == before[1]
        assert termios.tcgetattr(theirs) == before
        os.close(ours)
        os.close(theirs)
        return keys

    def test_a_keyboard_delivers_keys_at_once_and_leaves_the_terminal_as_it_was() -> None:
        written: list[str] = []
        keys = asyncio.run(_keys_of(b"m\x1b", written, 2))
        assert keys == [Key("char", "m"), Key("escape")]
        assert "".join(written) == "\x1b[?2004h\x1b[?u" + "\x1b[?2004l"

    def test_release_events_are_asked_for_where_the_terminal_knows_them_and_no_longer() -> None:
        written: list[str] = []
        keys = asyncio.run(_keys_of(b"\x1b[?0u \x1b[32;1:3u", written, 2))
        assert keys == [Key("char", " "), Key("char", " ", "release")]
        assert "".join(written) == "\x1b[?2004h\x1b[?u" + "\x1b[>2u" + "\x1b[<u\x1b[?2004l"

    def test_a_terminal_that_goes_away_is_told_once_by_no_keys() -> None:
        async def hang_up() -> list[list[Key]]:
            ours, theirs = pty.openpty()
            told: list[list[Key]] = []
            gone = asyncio.Event()

            def deliver(keys: list[Key], at: float) -> None:
                told.append(keys)
                gone.set()

            keyboard = Keyboard(theirs, lambda text: None)
            keyboard.start(deliver)
            os.close(ours)
            async with asyncio.timeout(5):
                await gone.wait()
            keyboard.close()
            return told

        assert asyncio.run(hang_up()) == [[]]

    def test_without_a_terminal_there_is_no_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "isatty", lambda fd: False)
        assert open_keyboard(-1) is None
