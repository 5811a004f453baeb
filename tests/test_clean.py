"""Text from outside cannot give orders to a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.ui.clean import MAX_CHARS, clean

VISIBLE_FORMATS = "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
VISIBLE_FORMATS += "\U000110bd\U000110cd"

anything = st.text(alphabet=st.characters(exclude_categories=()))
hostile = st.lists(
    st.one_of(
        st.sampled_from(
            ["\x1b", "[", "]", "\x9b", "\x9d", "P", "31m", "\x07", "\x1b\\", "\n", "\r", "\u202e"]
        ),
        anything,
    )
).map("".join)


@given(st.one_of(anything, hostile))
def test_no_control_character_and_nothing_that_hides_text_is_left(text: str) -> None:
    for character in clean(text):
        if character != "\n":
            assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
            assert unicodedata.category(character) != "Cf" or character in VISIBLE_FORMATS


@given(st.one_of(anything, hostile), st.booleans())
def test_cleaning_twice_is_cleaning_once(text: str, one_line: bool) -> None:
    once = clean(text, one_line=one_line)
    assert clean(once, one_line=one_line) == once


@given(st.one_of(anything, hostile))
def test_one_line_has_no_line_end(text: str) -> None:
    assert "\n" not in clean(text, one_line=True)


def test_every_format_character_of_unicode_is_removed_unless_it_is_needed_or_visible() -> None:
    formats = [chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) == "Cf"]
    assert clean("".join(formats)) == "".join(sorted(VISIBLE_FORMATS))


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[31m",
        "\x1b[?1049h",
        "\x1b[2 q",
        "\x9b5A",
        "\x1b]0;a title\x07",
        "\x1b]52;c;aGk=\x1b\\",
        "\x9d8;;http://a\x9c",
        "\x1bPq#0\x1b\\",
        "\x90q\x9c",
        "\x1b_G\x1b\\",
        "\x1b^pm\x1b\\",
        "\x1bXsos\x1b\\",
        "\x1bc",
        "\x1b(0",
        "\x1b\x1b[m",
        "\x07",
        "\x7f",
        "\x00",
        "\u202e",
        "\u2066",
        "\u200b",
        "\U000e0041",
        "\ud800",
    ],
)
def test_a_sequence_goes_and_the_words_around_it_stay(sequence: str) -> None:
    assert clean(f"before{sequence} after") == "before after"


@pytest.mark.parametrize("start", ["\x1b]0;title", "\x9dtitle", "\x1bPdata", "\x1b[31"])
def test_a_sequence_that_never_ends_takes_no_more_than_its_line(start: str) -> None:
    assert clean(f"one{start}\ntwo") == "one\ntwo"


def test_line_ends_and_tabs_become_plain() -> None:
    assert clean("a\r\nb\rc\u2028d\te") == "a\nb\nc\nd e"
    assert clean("a\r\nb\tc", one_line=True) == "a b c"


def test_emoji_that_are_joined_stay_joined() -> None:
    assert clean("👩\u200d💻 ❤\ufe0f") == "👩\u200d💻 ❤\ufe0f"


def test_markup_is_only_text() -> None:
    assert clean("[bold]x[/bold]") == "[bold]x[/bold]"


def test_endless_text_is_cut() -> None:
    text = clean("a" * (MAX_CHARS + 1))
    assert len(text) == MAX_CHARS
    assert text.endswith("a…")
    assert clean("a" * MAX_CHARS) == "a" * MAX_CHARS
