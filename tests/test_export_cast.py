"""The cast of a recording: the screen of the talk, for asciinema."""

import json
import re
from pathlib import Path

import pyte
import pytest
from helpers_export import recorded
from helpers_recording import Exchange, Maker
from rich.console import Console

from voicecli import inputs
from voicecli.conversation import Conversation
from voicecli.recording.files import Recording
from voicecli.ui.cast import cast_of
from voicecli.ui.filmed import DrawTimes, StringTerminal
from voicecli.ui.meters import DRAW_BUSY_S, DRAW_IDLE_S, Meters
from voicecli.ui.terminal import Terminal

TURNS = [Exchange(1.0, 3000), Exchange(8.0, 4000), Exchange(11.5, 2000)]
"The third cuts off the answer to the second."
SECONDS = 20.0


class Glass:
    """A terminal that is really there: pyte behind a stream."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)

    def write(self, text: str) -> int:
        self._stream.feed(text)
        return len(text)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        raise OSError

    encoding = "utf-8"

    @property
    def text(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def looks(self) -> list[list[tuple[str, str, bool]]]:
        buffer, columns = self.screen.buffer, range(self.screen.columns)
        return [
            [(buffer[row][x].data, buffer[row][x].fg, buffer[row][x].bold) for x in columns]
            for row in range(self.screen.lines)
        ]


class ShownMaker(Maker):
    """A talk that is drawn on a terminal while it is made."""

    def watch(self, glass: Glass) -> None:
        self.glass = glass
        screen = glass.screen
        console = Console(
            file=glass, width=screen.columns, height=screen.lines, force_terminal=True,
            color_system="256", no_color=False, legacy_windows=False, highlight=False,
        )  # fmt: skip
        self.terminal = Terminal(console)
        self.terminal.start()

    def play_out(self) -> None:
        super().play_out()
        meters = Meters(at=self.at, heard=tuple(self._playout.heard(self.at)))
        self.terminal.draw(self.conversation, meters)

    def quit(self) -> None:
        super().quit()
        self.terminal.tell(self.conversation.summary(self.at, "quit", 0, 0).report, self.at)
        self.terminal.close()


@pytest.fixture(scope="module")
def talk(tmp_path_factory) -> Path:
    return Maker(tmp_path_factory.mktemp("recordings") / "talk").talk(SECONDS, TURNS)


def lines_of(path: Path, columns: int = 80, rows: int = 24) -> list[bytes]:
    with Recording.open(path) as recording:
        return list(cast_of(recording, columns, rows))


def events_of(path: Path, columns: int = 80, rows: int = 24) -> list[tuple[float, str, str]]:
    """Time since the beginning, code and data of each event."""
    at, events = 0.0, []
    for line in lines_of(path, columns, rows)[1:]:
        interval, code, data = json.loads(line)
        at = round(at + interval, 3)
        events.append((at, code, data))
    return events


def shown(path: Path, until: float = 1e9, columns: int = 80, rows: int = 24) -> Glass:
    glass = Glass(columns, rows)
    for at, code, data in events_of(path, columns, rows):
        if code == "o" and at <= until:
            glass.write(data)
    return glass


def test_the_header_says_version_size_and_date(talk: Path):
    header = json.loads(lines_of(talk, 100, 30)[0])
    assert header["version"] == 3
    assert header["term"] == {"cols": 100, "rows": 30, "type": "xterm-256color"}
    assert header["timestamp"] == 1_767_225_600
    assert header["title"] == "voicecli talk with made"


def test_every_line_is_one_event_and_the_intervals_add_up_to_the_talk(talk: Path):
    lines = lines_of(talk)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    for line in lines[1:]:
        interval, code, data = json.loads(line)
        assert interval >= 0
        assert code in ("o", "m", "x")
        assert isinstance(data, str)
    with Recording.open(talk) as recording:
        assert events_of(talk)[-1] == (pytest.approx(recording.duration_s, abs=0.001), "x", "0")


def test_the_last_screen_is_the_one_that_the_talk_left(tmp_path: Path):
    maker = ShownMaker(tmp_path / "talk")
    glass = Glass()
    maker.watch(glass)
    maker.talk(SECONDS, TURNS)
    assert any("[cut off]" in line for line in glass.text)
    found = shown(maker.path)
    assert found.text == glass.text
    assert found.looks == glass.looks
    assert (found.screen.cursor.y, found.screen.cursor.hidden) == (glass.screen.cursor.y, False)


def test_a_small_screen_scrolls_as_it_did(tmp_path: Path):
    maker = ShownMaker(tmp_path / "talk")
    glass = Glass(40, 6)
    maker.watch(glass)
    maker.talk(SECONDS, TURNS)
    assert shown(maker.path, columns=40, rows=6).text == glass.text


def test_in_the_middle_of_an_answer_it_shows_what_was_heard_by_then(talk: Path):
    assert shown(talk, until=5.0).text[1].startswith("assistant  the tide comes in")
    # pyte does not know "dim", in which the words are that were not heard yet: look at the bytes.
    drawn = [data for at, code, data in events_of(talk) if code == "o" and 4.0 < at <= 5.0]
    assert any(re.search(r"the tide comes.*\x1b\[2m", data) for data in drawn)


def test_there_is_a_marker_at_each_turn_and_interruption(talk: Path):
    markers = [(at, data) for at, code, data in events_of(talk) if code == "m"]
    with Recording.open(talk) as recording:
        marks = [mark for mark in recording.marks if mark.kind in ("turn", "barge_in")]
    assert [at for at, _ in markers] == [round(mark.at, 3) for mark in marks]
    names = [label for _, label in markers]
    assert names[:3] == ["turn 1", "turn 2", "turn 3"]
    assert re.fullmatch(r"interruption after \d+ ms", names[3])


def test_a_marker_that_was_set_is_one_here_and_a_line_on_the_screen(tmp_path: Path):
    path = recorded(tmp_path / "made", [(2.5, inputs.MarkerSet())])
    assert (2.5, "m", "marker 1") in events_of(path)
    assert "marker 1 at 0:02" in [line.rstrip() for line in shown(path).screen.display]


def test_what_happens_on_a_quiet_screen_is_shown_at_once(talk: Path):
    events = events_of(talk)
    for turn in ("turn 1", "turn 2"):
        noticed = next(at for at, code, data in events if (code, data) == ("m", turn))
        hearing = next(at for at, _, data in events if at >= noticed and "hearing" in data)
        assert hearing == noticed


def test_it_ends_with_the_terminal_as_it_was_found(talk: Path):
    written = "".join(data for _, code, data in events_of(talk) if code == "o")
    for mode in ("?25", "?7", "?2026"):
        changes = re.findall(rf"\x1b\[\{mode}([hl])", written)
        assert changes[-1] == ("l" if mode == "?2026" else "h")


def test_the_same_recording_always_gives_the_same_bytes(talk: Path, monkeypatch):
    first = lines_of(talk)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "33")
    assert lines_of(talk) == first


def test_a_talk_that_ended_suddenly_says_so_and_gives_the_terminal_back(tmp_path: Path):
    path = Maker(tmp_path / "talk").talk(SECONDS, TURNS)
    events = path / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join(lines[: len(lines) // 2]) + lines[len(lines) // 2][:9])
    glass = shown(path)
    assert any(line.startswith("ended suddenly") for line in glass.text)
    assert not glass.screen.cursor.hidden


def test_a_talk_that_an_error_ended_has_an_exit_code(tmp_path: Path):
    path = Maker(tmp_path / "talk").talk(3.0, [])
    events = path / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b'"error":null', b'"error":"gone"'))
    assert events_of(path)[-1][1:] == ("x", "1")


def test_words_from_outside_give_a_viewers_terminal_no_orders(tmp_path: Path):
    path = Maker(tmp_path / "talk").talk(8.0, TURNS[:1])
    events = path / "events.jsonl"
    hostile = rb"\u001b]0;owned\u0007\u001b[2J\u009b31mwhat makes"
    events.write_bytes(events.read_bytes().replace(b"what makes", hostile))
    written = "".join(data for _, _, data in events_of(path))
    assert "what makes the tide" in written
    assert "\x1b]" not in written
    assert "\x1b[2J" not in written
    assert "\x9b" not in written


def test_lost_frames_are_shown_from_when_they_were_lost(tmp_path: Path):
    path = Maker(tmp_path / "talk").talk(8.0, TURNS[:1])
    events = path / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    late = next(i for i, line in enumerate(lines) if line.startswith(b"[4."))
    lines.insert(late, b'[4.0,"lost",3]\n')
    events.write_bytes(b"".join(lines))
    assert not any("frames lost" in line for line in shown(path, until=3.9).text)
    assert any("3 frames lost" in line for line in shown(path, until=4.5).text)


def test_a_screen_is_drawn_again_soon_while_something_goes_on():
    times = DrawTimes()
    times.drawn(1.0, is_idle=False)
    assert times.due == 1.0 + DRAW_BUSY_S
    times.changed(1.05)
    assert times.due == 1.0 + DRAW_BUSY_S


def test_a_quiet_screen_is_drawn_again_when_something_happens():
    times = DrawTimes()
    times.drawn(1.0, is_idle=True)
    times.changed(1.1)
    assert times.due == 1.0 + DRAW_IDLE_S
    times.changed(1.3)
    assert times.due == 1.3


def test_a_string_terminal_gives_what_it_would_write_and_nothing_twice(talk: Path):
    with Recording.open(talk) as recording:
        from voicecli.recording.fold import options_of

        conversation = Conversation(options_of(recording.header))
    terminal = StringTerminal()
    assert terminal.start() == "\x1b[?25l"
    assert "connecting" in terminal.draw(conversation, Meters())
    assert terminal.draw(conversation, Meters()) == ""
    assert terminal.close().endswith("\x1b[?25h")
    assert terminal.close() == ""
