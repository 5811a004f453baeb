"""Keys become inputs of the conversation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.inputs import (
    InterruptPressed,
    MarkerSet,
    MuteToggled,
    QuitPressed,
    TalkPressed,
    TalkReleased,
    TextTyped,
)
from voicecli.ui.clean import MAX_CHARS
from voicecli.ui.controls import (
    REPEAT_GAP_S,
    TAP_S,
    Controls,
    Key,
    Prompt,
    UiCommand,
)

SPACE = Key("char", " ")
RELEASE = Key("char", " ", "release")


def run(
    controls: Controls, keys: list[tuple[float, Key]], until: float
) -> list[tuple[float, object]]:
    """Press keys at their times, with every timer in between; what came out, and when."""
    outcomes: list[tuple[float, object]] = []
    for at, key in [*keys, (until, None)]:
        while (due := controls.next_timer()) is not None and due <= at:
            outcomes += [(round(due, 3), outcome) for outcome in controls.tick(due)]
        if key is not None:
            outcomes += [(at, outcome) for outcome in controls.press(key, at)]
    return outcomes


def typed(controls: Controls, text: str) -> None:
    for character in text:
        controls.press(Key("char", character), 0.0)


def talking() -> Controls:
    return Controls(can_talk=True)


def knowing_releases() -> Controls:
    controls = talking()
    controls.talk.knows_releases = True
    return controls


def held(start: float, first_pause: float, seconds: float) -> list[tuple[float, Key]]:
    """What a terminal without releases sends for a key that is held."""
    repeats = int((seconds - first_pause) / 0.03)
    times = [start, *(start + first_pause + number * 0.03 for number in range(repeats))]
    return [(at, SPACE) for at in times]


def test_a_tap_opens_the_turn_and_the_next_one_ends_it() -> None:
    outcomes = run(talking(), [(1.0, SPACE), (4.0, SPACE)], until=9.0)
    assert outcomes == [(1.0, TalkPressed()), (4.0 + REPEAT_GAP_S, TalkReleased())]


@pytest.mark.parametrize("first_pause", [0.25, 0.5, 0.66, 1.5])
def test_a_held_key_is_one_turn_that_ends_when_the_repeats_stop(first_pause: float) -> None:
    keys = held(1.0, first_pause, 3.0)
    outcomes = run(talking(), keys, until=9.0)
    assert [outcome for _, outcome in outcomes] == [TalkPressed(), TalkReleased()]
    assert outcomes[0][0] == 1.0
    assert outcomes[1][0] == pytest.approx(keys[-1][0] + REPEAT_GAP_S, abs=0.01)


def test_a_turn_by_tap_can_be_followed_by_one_by_hold() -> None:
    keys = [(1.0, SPACE), (2.0, SPACE), *held(3.0, 0.5, 2.0)]
    outcomes = [outcome for _, outcome in run(talking(), keys, until=9.0)]
    assert outcomes == [TalkPressed(), TalkReleased(), TalkPressed(), TalkReleased()]


def test_a_third_tap_opens_a_new_turn_even_if_no_timer_came() -> None:
    controls = talking()
    controls.press(SPACE, 1.0)
    controls.press(SPACE, 2.0)
    assert controls.press(SPACE, 3.0) == [TalkReleased(), TalkPressed()]


def test_where_releases_are_known_a_hold_ends_with_its_release() -> None:
    keys = [(1.0, SPACE), (1.5, SPACE), (1.53, SPACE), (2.0, RELEASE)]
    outcomes = run(knowing_releases(), keys, until=9.0)
    assert outcomes == [(1.0, TalkPressed()), (2.0, TalkReleased())]


def test_where_releases_are_known_a_short_press_is_a_tap_all_the_same() -> None:
    released = 1.0 + TAP_S / 2
    keys = [(1.0, SPACE), (released, RELEASE), (3.0, SPACE), (3.1, RELEASE)]
    outcomes = run(knowing_releases(), keys, until=9.0)
    assert outcomes == [(1.0, TalkPressed()), (3.0, TalkReleased())]


def test_a_release_that_was_lost_does_not_block_the_key() -> None:
    outcomes = run(knowing_releases(), [(1.0, SPACE), (9.0, SPACE)], until=10.0)
    assert outcomes == [(1.0, TalkPressed()), (9.0, TalkReleased())]


def test_the_talk_key_does_nothing_where_turns_are_not_made_by_hand() -> None:
    assert Controls().press(SPACE, 1.0) == []


def test_beginning_to_write_ends_a_turn_that_is_open() -> None:
    controls = talking()
    controls.press(SPACE, 1.0)
    assert controls.press(Key("enter"), 2.0) == [TalkReleased(), UiCommand.REDRAW]
    assert controls.next_timer() is None


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from([SPACE, RELEASE])), max_size=30))
def test_presses_and_releases_alternate_whatever_the_fingers_do(
    steps: list[tuple[float, Key]],
) -> None:
    for controls in (talking(), knowing_releases()):
        at = 0.0
        keys = []
        for pause, key in steps:
            at += pause
            keys.append((at, key))
        kinds = [type(outcome) for _, outcome in run(controls, keys, at + 10)]
        expected = [TalkPressed, TalkReleased] * len(kinds)
        assert kinds == expected[: len(kinds)]


@pytest.mark.parametrize(
    ("key", "outcome"),
    [
        (Key("char", "m"), MuteToggled()),
        (Key("char", "b"), MarkerSet()),
        (Key("escape"), InterruptPressed()),
        (Key("char", "q"), QuitPressed()),
        (Key("ctrl-c"), QuitPressed()),
        (Key("ctrl-d"), QuitPressed()),
        (Key("ctrl-l"), UiCommand.REPAINT),
    ],
)
def test_a_key_is_a_command(key: Key, outcome: object) -> None:
    assert Controls().press(key, 0.0) == [outcome]


@pytest.mark.parametrize("key", [Key("char", "x"), Key("left"), Key("alt-m"), Key("ctrl-x")])
def test_other_keys_do_nothing(key: Key) -> None:
    assert Controls().press(key, 0.0) == []


def test_a_command_key_that_is_held_or_released_acts_once() -> None:
    assert Controls().press(Key("char", "m", "repeat"), 0.0) == []
    assert Controls().press(Key("char", "m", "release"), 0.0) == []


def test_help_comes_and_goes() -> None:
    controls = Controls()
    assert controls.press(Key("char", "?"), 0.0) == [UiCommand.REDRAW]
    assert controls.show_help
    assert controls.press(Key("escape"), 0.0) == [UiCommand.REDRAW]
    assert not controls.show_help


def test_a_message_is_written_and_sent() -> None:
    controls = Controls()
    assert controls.press(Key("enter"), 0.0) == [UiCommand.REDRAW]
    typed(controls, "quit? mm ")
    assert controls.prompt == Prompt("quit? mm ", 9)
    assert controls.press(Key("enter"), 0.0) == [UiCommand.REDRAW, TextTyped("quit? mm")]
    assert controls.prompt is None


def test_an_empty_message_is_not_sent() -> None:
    controls = Controls()
    controls.press(Key("enter"), 0.0)
    assert controls.press(Key("enter"), 0.0) == [UiCommand.REDRAW]


def test_a_message_that_was_left_is_still_there() -> None:
    controls = Controls()
    controls.press(Key("enter"), 0.0)
    typed(controls, "not yet")
    assert controls.press(Key("escape"), 0.0) == [UiCommand.REDRAW]
    assert controls.prompt is None
    controls.press(Key("enter"), 0.0)
    assert controls.prompt == Prompt("not yet", 7)


def test_ctrl_c_quits_even_while_writing_and_ctrl_d_on_an_empty_line() -> None:
    controls = Controls()
    controls.press(Key("enter"), 0.0)
    assert controls.press(Key("ctrl-d"), 0.0) == [QuitPressed()]
    typed(controls, "a")
    assert controls.press(Key("ctrl-d"), 0.0) == []
    assert controls.press(Key("ctrl-c"), 0.0) == [QuitPressed()]


def test_a_paste_is_text_wherever_it_comes() -> None:
    controls = Controls()
    assert controls.press(Key("paste", "q\nm\x1b[31m!"), 0.0) == [UiCommand.REDRAW]
    assert controls.prompt == Prompt("q\nm!", 4)
    assert controls.press(Key("enter"), 0.0) == [UiCommand.REDRAW, TextTyped("q\nm!")]


FAMILY = "👩\u200d👧"


@pytest.mark.parametrize(
    ("prompt", "key", "expected"),
    [
        (Prompt("ac", 1), Key("char", "b"), Prompt("abc", 2)),
        (Prompt("ac", 1), Key("char", " "), Prompt("a c", 2)),
        (Prompt("abc", 2), Key("backspace"), Prompt("ac", 1)),
        (Prompt("abc", 0), Key("backspace"), Prompt("abc", 0)),
        (Prompt("abc", 1), Key("delete"), Prompt("ac", 1)),
        (Prompt("abc", 1), Key("ctrl-d"), Prompt("ac", 1)),
        (Prompt("abc", 1), Key("left"), Prompt("abc", 0)),
        (Prompt("abc", 3), Key("right"), Prompt("abc", 3)),
        (Prompt("abc", 2), Key("home"), Prompt("abc", 0)),
        (Prompt("abc", 0), Key("ctrl-e"), Prompt("abc", 3)),
        (Prompt("abc", 2), Key("ctrl-u"), Prompt("c", 0)),
        (Prompt("abc", 2), Key("ctrl-k"), Prompt("ab", 2)),
        (Prompt("one two  x", 9), Key("ctrl-w"), Prompt("one x", 4)),
        (Prompt("one", 3), Key("ctrl-w"), Prompt("", 0)),
        (Prompt(f"a{FAMILY}", 4), Key("backspace"), Prompt("a", 1)),
        (Prompt(f"a{FAMILY}b", 1), Key("right"), Prompt(f"a{FAMILY}b", 4)),
        (Prompt("e\u0301", 2), Key("left"), Prompt("e\u0301", 0)),
        (Prompt("abc", 1), Key("up"), Prompt("abc", 1)),
    ],
)
def test_the_message_line_is_edited(prompt: Prompt, key: Key, expected: Prompt) -> None:
    assert prompt.edited(key) == expected


def test_a_message_has_an_end() -> None:
    assert len(Prompt("a" * MAX_CHARS, 5).insert("bbb").text) == MAX_CHARS


_EDITS = ("backspace", "delete", "left", "right", "home", "end", "ctrl-u", "ctrl-k", "ctrl-w")


@given(st.lists(st.one_of(st.sampled_from(_EDITS), st.text(max_size=3))))
def test_the_cursor_never_leaves_the_line(steps: list[str]) -> None:
    prompt = Prompt()
    for step in steps:
        prompt = prompt.edited(Key(step) if step in _EDITS else Key("paste", step))
        assert 0 <= prompt.cursor <= len(prompt.text)
        assert "".join(prompt.parts) == prompt.text
