"""The picture of a conversation."""

import io

import pytest
from helpers_screen import Talk, heard
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.containers import Lines

from voicecli import inputs
from voicecli.bargein import BargeInRules
from voicecli.timing import Timing
from voicecli.transcript import Row, Transcript
from voicecli.ui.cells import cells, shorten, tail, wrap
from voicecli.ui.clean import clean
from voicecli.ui.controls import Prompt
from voicecli.ui.meters import Meters
from voicecli.ui.view import (
    ASCII,
    WAITING_ROWS,
    Frame,
    Printed,
    live_view,
    note_lines,
    settled_row,
)

QUIET = Meters()
SMALL = Frame(height=12)


def plain(lines: Lines) -> list[str]:
    return [line.plain.rstrip() for line in lines]


def live(talk: Talk, meters: Meters = QUIET, frame: Frame = SMALL) -> list[str]:
    return plain(live_view(talk.conversation, meters, frame))


def styled(lines: Lines, word: str) -> str:
    """The styles that lie on a word."""
    for line in lines:
        start = line.plain.find(word)
        if start >= 0:
            spans = [str(span.style) for span in line.spans if span.start <= start < span.end]
            return " ".join([str(line.style), *spans]).strip()
    raise AssertionError(f"{word!r} is not shown")


def test_a_talk_that_has_just_begun() -> None:
    assert live(Talk(connected=False)) == [
        "● connecting  ········  0:00",
        "m mute · enter type · esc stop · ? help · q quit",
    ]


def test_a_user_who_has_begun_to_speak_is_seen_before_the_words_are_known() -> None:
    talk = Talk()
    talk.user_begins("a")
    assert live(talk)[:2] == ["      you  …", "● hearing  ········  0:00"]


def test_the_users_words_grow() -> None:
    talk = Talk()
    talk.user_begins("a")
    talk.user_says("a", "What is ")
    talk.user_says("a", "the tide?")
    assert live(talk)[0] == "      you  What is the tide?…"


def test_a_user_row_without_words_is_not_shown_once_it_is_settled() -> None:
    talk = Talk()
    talk.user_begins("a")
    talk.user_ends("a", " ")
    assert live(talk)[0].startswith("●")
    row = talk.conversation.transcript.get("a")
    assert row is not None
    assert plain(settled_row(row, talk.conversation.transcript)) == []


def test_the_words_of_an_answer_are_dim_until_they_are_heard() -> None:
    talk = Talk()
    talk.answer("a", "one two three four", 4.0)
    picture = live_view(talk.conversation, Meters(heard=(heard("a", 2.0, 4.0),)), Frame())
    assert plain(picture)[0] == "assistant  one two three four"
    assert styled(picture, "two") == ""
    assert styled(picture, "three") == "dim"


def test_an_answer_that_was_cut_off_keeps_what_was_not_heard_struck_through() -> None:
    talk = Talk()
    talk.answer("a", "one two three four", 4.0)
    talk.cut_off("a", 2.0, 4.0)
    row = talk.conversation.transcript.get("a")
    assert row is not None
    lines = settled_row(row, talk.conversation.transcript)
    assert plain(lines) == ["assistant  one two [cut off] three four"]
    assert styled(lines, "two") == ""
    assert styled(lines, "three") == "dim strike"


def test_a_tool_call_is_one_line_whatever_it_returns() -> None:
    row = Row("a", "tool", text='search({"q": "tide"}) → ' + "x\n" * 500, is_settled=True)
    lines = plain(settled_row(row, Transcript(), Frame(width=60)))
    assert len(lines) == 1
    assert lines[0].startswith('     tool  search({"q": "tide"}) → x x x')
    assert lines[0].endswith("…")


def test_a_tool_call_that_runs_says_so() -> None:
    row = Row("a", "tool", text="search({})", is_spoken=False)
    talk = Talk()
    picture = live_view(talk.conversation, QUIET, Frame(), [row])
    assert plain(picture)[0] == "     tool  search({}) …"


def test_outside_text_is_neither_markup_nor_orders() -> None:
    row = Row("a", "user", text="[bold]x[/bold] \x1b[2Jy\u202e", is_settled=True)
    lines = settled_row(row, Transcript())
    assert plain(lines) == ["      you  [bold]x[/bold] y"]
    assert plain(note_lines("[red]\x1b]0;t\x07n", Frame())) == ["[red]n"]


def test_long_text_is_wrapped_under_itself() -> None:
    row = Row("a", "user", text="The tide comes in twice a day", is_settled=True)
    assert plain(settled_row(row, Transcript(), Frame(width=20))) == [
        "you The tide comes",
        "    in twice a day",
    ]


def test_lines_of_an_answer_stay_lines() -> None:
    row = Row("a", "assistant", text="- one\n- two", is_settled=True, is_spoken=False)
    assert plain(settled_row(row, Transcript())) == ["assistant  - one", "           - two"]


def everything(talk: Talk) -> Meters:
    """A status with all that it can show."""
    talk.put(inputs.MuteToggled())
    talk.conversation.counts.interruptions = 2
    talk.conversation.timing = Timing(first_sounds_ms=[420])
    return Meters(at=3723, level_dbfs=-6, dropped_frames=3, underflows=1)


def test_the_status_shows_numbers_only_when_there_is_something_to_say() -> None:
    talk = Talk()
    assert live(talk, Meters(at=65.9, level_dbfs=-33)) == [
        "● listening  ■■■■····  1:05",
        "m mute · enter type · esc stop · ? help · q quit",
    ]
    assert live(talk, everything(talk))[0] == (
        "● listening  muted  ········  420 ms  2 interruptions  1 gap  3 frames lost"
    )


def test_a_microphone_that_is_closed_while_an_answer_plays_is_said() -> None:
    shown = live(Talk(), Meters(is_half_duplex=True))[0]
    assert shown == "● listening  half duplex  ········  0:00"


def test_a_device_that_is_missing_is_said_for_as_long_as_it_is() -> None:
    talk = Talk()
    assert live(talk, Meters(missing="speaker"))[0] == "● listening  no speaker  ········  0:00"
    narrow = plain(live_view(talk.conversation, Meters(missing="sound"), Frame(width=22)))
    assert "no sound" in narrow[-2]


@pytest.mark.parametrize(("style", "word"), [("duck", "ducked"), ("hold", "held")])
def test_an_answer_that_may_be_interrupted_is_shown_to_be_soft_or_held(style, word) -> None:
    talk = Talk(rules=BargeInRules(mode="local", style=style))
    talk.answer("A1", "Once upon a time", 9.0)
    talk.user_begins("U1")
    assert live(talk)[-2] == f"● hearing  {word}  ········  0:00"


def test_a_manual_talk_is_ready_and_names_its_key() -> None:
    assert live(Talk(manual=True)) == [
        "● ready  ········  0:00",
        "space talk · m mute · enter type · esc stop · ? help · q quit",
    ]


@pytest.mark.parametrize(
    ("width", "status", "keys"),
    [
        (
            120,
            "● ready  muted  ········  420 ms  2 interruptions  1 gap  3 frames lost  1:02:03",
            "space talk · m mute · enter type · esc stop · ? help · q quit",
        ),
        (
            40,
            "● ready  muted  ········  420 ms",
            "space talk · enter type · ? help",
        ),
        (20, "● ready  muted", "space talk · ? help"),
        (6, "● rea", "space"),
    ],
)
def test_what_does_not_fit_is_left_out_the_least_important_first(
    width: int, status: str, keys: str
) -> None:
    talk = Talk(manual=True)
    assert live(talk, everything(talk), Frame(width, 12)) == [status, keys]


def test_a_hint_takes_the_place_of_the_keys() -> None:
    meters = Meters(hint="the microphone is silent")
    assert live(Talk(), meters)[-1] == "the microphone is silent"
    assert live(Talk(), meters, Frame(12, 12))[-1] == "the microp…"


def test_the_message_line_takes_their_place_as_well() -> None:
    assert live(Talk(), frame=Frame(prompt=Prompt("a\nb", 3)))[-1] == "› a⏎b"


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        (Prompt("0123456789abcdefghijklmnop", 26), "› abcdefghijklmnop"),
        (Prompt("0123456789abcdefghijklmnop", 0), "› 0123456789abcdefg"),
        (Prompt("0123456789abcdefghijklmnop", 20), "› 456789abcdefghijk"),
        (Prompt("日" * 20, 20), "› " + "日" * 8),
    ],
)
def test_a_long_message_is_scrolled_to_its_cursor(prompt: Prompt, shown: str) -> None:
    assert live(Talk(), frame=Frame(width=20, prompt=prompt))[-1] == shown


def test_help_lists_the_keys() -> None:
    lines = live(Talk(manual=True), frame=Frame(height=12, show_help=True))
    assert lines[0] == "space talk: hold it, or tap to begin and tap to end"
    assert "    b set a marker: to find this moment again" in lines
    assert "    q end the talk; so does ctrl-c" in lines
    assert lines[-2] == "● ready  ········  0:00"


def test_without_unicode_there_are_other_signs() -> None:
    talk = Talk()
    talk.user_begins("a")
    lines = live(talk, Meters(level_dbfs=0), Frame(height=12, glyphs=ASCII))
    assert lines == [
        "      you  ...",
        "* hearing  ########  0:00",
        "m mute - enter type - esc stop - ? help - q quit",
    ]


def test_of_an_answer_that_is_too_long_for_the_screen_the_part_being_heard_is_shown() -> None:
    talk = Talk()
    talk.answer("a", " ".join(f"word{number:03d}" for number in range(400)), 100.0)
    for share in (0.0, 0.5, 1.0):
        meters = Meters(heard=(heard("a", 100.0 * share, 100.0),))
        lines = live(talk, meters, Frame(40, 12))
        assert len(lines) == 11
        word = f"word{min(399, int(400 * share)):03d}"
        assert any(word in line for line in lines)


def test_rows_are_printed_in_the_order_of_the_conversation() -> None:
    printed = Printed()
    transcript = Transcript()
    first, second = transcript.row("1", "user"), transcript.row("2", "assistant")
    transcript.settle(second)
    assert printed.due(transcript) == []
    assert printed.waiting(transcript) == [first, second]
    transcript.settle(first)
    assert printed.due(transcript) == [first, second]
    assert printed.due(transcript) == []
    assert printed.waiting(transcript) == []


def test_a_row_that_never_settles_does_not_hold_up_the_rest_for_ever() -> None:
    printed = Printed()
    transcript = Transcript()
    stuck = transcript.row("stuck", "user")
    others = [transcript.row(str(number), "assistant") for number in range(WAITING_ROWS)]
    for row in others[:-1]:
        transcript.settle(row)
    assert printed.due(transcript) == []
    transcript.settle(others[-1])
    assert printed.due(transcript) == others
    assert printed.waiting(transcript) == []
    later = transcript.row("later", "user")
    transcript.settle(later)
    assert printed.due(transcript) == [later]
    transcript.settle(stuck)
    assert printed.due(transcript) == [stuck]


def test_at_the_end_all_that_was_not_printed_is() -> None:
    printed = Printed()
    transcript = Transcript()
    row = transcript.row("1", "user")
    assert printed.rest(transcript) == [row]
    assert printed.rest(transcript) == []


words = st.text(alphabet="ab 日本😀\u0301\u200d\ufe0f❤👩\n", max_size=60)


@given(words, st.integers(2, 30))
def test_wrapped_lines_fit_and_lose_nothing_but_spaces(text: str, width: int) -> None:
    spans = wrap(text, width)
    for start, end in spans:
        assert cells(text[start:end]) <= width or end - start == 1
    kept = "".join(text[start:end] for start, end in spans)
    assert kept.replace(" ", "") == text.replace(" ", "").replace("\n", "")
    assert spans == sorted(spans)


@given(words.map(str.split).map(" ".join), st.integers(0, 30))
def test_shortened_text_fits(text: str, width: int) -> None:
    assert cells(shorten(text, width)) <= width
    assert cells(tail(text, width)) <= width
    assert text.endswith(tail(text, width))


def test_an_emoji_is_counted_as_wide_as_any_terminal_makes_it() -> None:
    assert cells("❤") == 1
    assert cells("❤\ufe0f") == 2


def test_a_break_does_not_part_what_is_one_sign() -> None:
    text = "ab👩\u200d👧"
    assert wrap(text, 5) == [(0, 2), (2, 5)]
    assert wrap("abe\u0301", 3) == [(0, 4)]
    assert shorten(text, 5, "") == "ab"


def test_what_a_row_knows_to_be_heard_is_heard_even_when_the_speaker_has_forgotten_it() -> None:
    talk = Talk()
    row = Row("a", "assistant", "one two", heard_ms=1000, received_ms=1000, audio_is_complete=True)
    picture = live_view(talk.conversation, QUIET, SMALL, [row])
    assert styled(picture, "two") == ""


def test_wide_characters_are_counted_as_two_columns() -> None:
    row = Row("a", "user", text="潮は月に引かれて満ちる", is_settled=True)
    lines = plain(settled_row(row, Transcript(), Frame(width=20)))
    assert lines == ["you 潮は月に引かれ", "    て満ちる"]


@given(
    text=st.text(max_size=200),
    width=st.integers(1, 100),
    height=st.integers(1, 30),
    show_help=st.booleans(),
    typed=st.none() | st.text(max_size=60),
    share=st.floats(0, 1),
)
def test_the_picture_always_fits_the_terminal(
    text: str, width: int, height: int, show_help: bool, typed: str | None, share: float
) -> None:
    talk = Talk()
    meters = everything(talk)
    talk.answer("a", text, 4.0)
    talk.user_begins("b")
    prompt = None if typed is None else Prompt(clean(typed), len(clean(typed)) // 2)
    frame = Frame(width, height, prompt, show_help)
    meters = Meters(at=1.0, heard=(heard("a", 4 * share, 4),), hint=meters.hint)
    picture = live_view(talk.conversation, meters, frame)
    assert len(picture) <= max(1, height - 1)
    for line in picture:
        assert cells(line.plain) <= max(width - 1, 6)


def test_rich_prints_the_picture_as_it_is() -> None:
    talk = Talk()
    talk.user_begins("a")
    talk.user_says("a", "[b]Hello 日本")
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=40, color_system=None)
    console.print(live_view(talk.conversation, QUIET, Frame(40, 10)))
    assert stream.getvalue().splitlines() == [
        "you [b]Hello 日本…",
        "● hearing  ········  0:00",
        "m mute · enter type · esc stop · ? help",
    ]
