import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.engine.minds.sentences import MarkupFilter, SentenceSplitter


def split(text: str, size: int = 1) -> list[str]:
    splitter = SentenceSplitter()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [chunk for piece in pieces for chunk in splitter.push(piece)] + splitter.finish()


def unmarked(text: str, size: int = 1) -> str:
    markup = MarkupFilter()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return "".join(markup.push(piece) for piece in pieces) + markup.finish()


def test_each_sentence_is_a_chunk() -> None:
    assert split("Hello. How are you? Fine!") == ["Hello.", "How are you?", "Fine!"]


def test_a_sentence_comes_out_as_soon_as_a_space_follows_it() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("It is late.") == []
    assert splitter.push(" ") == ["It is late."]


@pytest.mark.parametrize(
    "text",
    [
        "It is 3.5 degrees.",
        "Mr. Smith is in.",
        "Take some, e.g. two.",
        "Meet at 10:30 then.",
        "Well... maybe.",
        "J. K. Rowling wrote it.",
        "1. Break the egg.",
        "He said ok… then left.",
        "In the U.S. it is so.",
    ],
)
def test_what_only_looks_like_an_end_does_not_split(text: str) -> None:
    assert split(text) == [text]


def test_a_number_at_the_end_of_a_sentence_ends_it() -> None:
    assert split("It is 42. Next.") == ["It is 42.", "Next."]


def test_a_quote_stays_with_its_sentence() -> None:
    assert split('He said "go." Then he went.') == ['He said "go."', "Then he went."]


def test_a_line_break_ends_a_sentence() -> None:
    assert split("One\n\nTwo") == ["One", "Two"]


def test_only_the_first_sentence_is_split_at_a_clause() -> None:
    first = "Since you ask me so nicely today, I will tell you. "
    second = "Since you ask me so nicely again, I will stop."
    assert split(first + second) == [
        "Since you ask me so nicely today,",
        "I will tell you.",
        second,
    ]


def test_a_short_clause_is_not_worth_a_split() -> None:
    assert split("Yes, of course I can.") == ["Yes, of course I can."]


def test_a_number_with_a_comma_is_not_a_clause() -> None:
    assert split("The village had a total of 1,250 people") == [
        "The village had a total of 1,250 people"
    ]


def test_text_without_any_punctuation_is_cut_at_a_space() -> None:
    chunks = split("word " * 100)
    assert len(chunks) > 1
    assert max(map(len, chunks)) <= 300
    assert " ".join(chunks).split() == ["word"] * 100


def test_a_splitter_begins_anew_after_finish() -> None:
    splitter = SentenceSplitter()
    splitter.push("Half a sen")
    assert splitter.finish() == ["Half a sen"]
    assert splitter.finish() == []


@given(st.text(alphabet="ab .,?!\n1:;…\"'", max_size=200), st.integers(1, 9))
def test_no_character_but_white_space_is_lost_whatever_the_pieces(text: str, size: int) -> None:
    chunks = split(text, size)
    assert "".join("".join(chunks).split()) == "".join(text.split())
    assert all(chunk == chunk.strip() != "" for chunk in chunks)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("**Bold** and `code`.", "Bold and code."),
        ("# Title\nText", "Title\nText"),
        ("- one\n- two", "one\ntwo"),
        ("Done.<|im_end|>", "Done."),
        ("5 * 3 is 15", "5 times 3 is 15"),
        ("```python\nx\n```\nSo.", "x\n\nSo."),
        ("3 < 4 and 5 - 2", "3 < 4 and 5 - 2"),
        ("snake_case stays", "snake_case stays"),
        ("the end is 12", "the end is 12"),
    ],
)
def test_markup_goes_and_words_stay(marked: str, plain: str, size: int) -> None:
    assert unmarked(marked, size).strip() == plain


@given(st.text(alphabet="ab *#`<|>_-\n59", max_size=60), st.integers(1, 7))
def test_letters_outside_markup_survive(text: str, size: int) -> None:
    if "<" not in text and "`" not in text:
        kept = [c for c in unmarked(text, size).replace("times", "") if c in "ab59"]
        assert kept == [c for c in text if c in "ab59"]
