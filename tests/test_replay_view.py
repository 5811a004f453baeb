"""The bar below a replayed talk, and its keys."""

from __future__ import annotations

import pytest
from helpers_screen import Emulator, Talk
from rich.console import Console

from voicecli.recording.playing.pace import Route
from voicecli.ui.cells import cells
from voicecli.ui.controls import Key
from voicecli.ui.meters import Meters
from voicecli.ui.replay_keys import ReplayCommand, command_of
from voicecli.ui.replay_view import Progress, footer, progress_line
from voicecli.ui.terminal import Terminal
from voicecli.ui.view import ASCII, Frame

ROUTE = Route.of([10.0, 50.0, 70.0], [72.0])


def bar(width: int = 61, **more: object) -> str:
    values = {"at": 40.0, "duration": 100.0, "route": ROUTE} | more
    return progress_line(Progress(**values), Frame(width=width)).plain  # type: ignore[arg-type]


def test_the_bar_shows_how_far_it_is_with_turns_and_interruptions() -> None:
    assert bar() == "0:40 ━━━━┿━━━━━━━━━━━●───┼───────╳─────────── 1:40  turn 1/3"
    assert len(bar()) == len(bar(at=0.0)) == 60


def test_the_bar_shows_markers_above_all_else() -> None:
    route = Route.of([10.0, 50.0, 70.0], [72.0], [10.0, 90.0])
    assert bar(route=route) == "0:40 ━━━━◆━━━━━━━━━━━●───┼───────╳───────◆─── 1:40  turn 1/3"


def test_what_is_unusual_is_told_behind_it() -> None:
    shown = bar(80, speed=1.5, is_paused=True)
    assert shown.endswith("1:40  turn 1/3  1.5x  paused")


def test_the_bar_is_full_at_the_end_and_empty_at_the_beginning() -> None:
    assert "●───" in bar(at=0.0, route=Route())
    assert "━━━●" in bar(at=100.0, route=Route())
    assert "●" in bar(at=0.0, duration=0.0)


def test_marks_that_would_cover_the_bar_are_left_out() -> None:
    crowded = Route.of([float(at) for at in range(100)], [50.5])
    assert "┼" not in bar(route=crowded)
    assert "╳" in bar(route=crowded)


@pytest.mark.parametrize("width", range(2, 100))
def test_it_fits_at_every_width(width: int) -> None:
    for more in ({}, {"speed": 1.25, "is_paused": True, "at": 36_000.0, "duration": 40_000.0}):
        frame = Frame(width=width, height=24)
        values = {"at": 40.0, "duration": 100.0, "route": ROUTE} | more
        for shows_help in (False, True):
            progress = Progress(**values, shows_help=shows_help)  # type: ignore[arg-type]
            lines = footer(progress)(frame)
            assert max(cells(line.plain) for line in lines) <= frame.columns


def test_a_terminal_that_knows_ascii_only_gets_that() -> None:
    route = Route.of(ROUTE.turns, ROUTE.interruptions, [90.0])
    lines = footer(Progress(at=40.0, duration=100.0, route=route))(Frame(glyphs=ASCII))
    assert all(line.plain.isascii() for line in lines)


def test_a_low_terminal_keeps_the_bar() -> None:
    progress = Progress(at=1.0, duration=2.0)
    assert len(footer(progress)(Frame(height=4))) == 1
    assert len(footer(progress)(Frame(height=5))) == 2


def test_it_stands_where_the_keys_of_the_talk_were() -> None:
    emulator = Emulator(height=12)
    terminal = Terminal(Console(file=emulator, force_terminal=True, width=60, height=12))
    terminal.start()
    talk = Talk()
    talk.user_ends("a", "Hello.")
    hint = footer(Progress(at=1.0, duration=10.0, hint="space goes on"))
    terminal.draw(talk.conversation, Meters(at=1.0), footer=hint)
    assert emulator.text[0] == "      you  Hello."
    assert emulator.text[-2].startswith("0:01 ━━")
    assert emulator.text[-1] == "space goes on"
    other = Talk()
    for item_id, text in (("z", "Before."), ("a", "Hello."), ("b", "Again.")):
        other.user_ends(item_id, text)
    terminal.begin_anew([row for row in other.conversation.transcript if row.item_id == "z"])
    terminal.draw(other.conversation, Meters(at=0.0), footer=hint)
    said = [line for line in emulator.text if "you" in line]
    assert said == ["      you  Hello.", "      you  Hello.", "      you  Again."]
    terminal.close()


@pytest.mark.parametrize(
    ("key", "command"),
    [
        (Key("char", " "), ReplayCommand.PAUSE),
        (Key("left"), ReplayCommand.BACK),
        (Key("right", action="repeat"), ReplayCommand.FORWARD),
        (Key("page-down"), ReplayCommand.TURN_ON),
        (Key("char", "["), ReplayCommand.TURN_BACK),
        (Key("char", "n"), ReplayCommand.MARKER_ON),
        (Key("char", "p"), ReplayCommand.MARKER_BACK),
        (Key("char", "b"), None),
        (Key("char", "="), ReplayCommand.FASTER),
        (Key("ctrl-c"), ReplayCommand.QUIT),
        (Key("char", " ", "repeat"), None),
        (Key("char", "q", "release"), None),
        (Key("char", "x"), None),
        (Key("paste", "q"), None),
    ],
)
def test_what_a_key_means(key: Key, command: ReplayCommand | None) -> None:
    assert command_of(key) is command
