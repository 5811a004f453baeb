"""Words that are told while they are spoken: which, and when the ears are asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.engine.dialogue.captions import EVERY_MS, LONGEST_MS, SHARE, Captions, Pace


def told(*texts: str) -> list[str]:
    """What is told of these recognitions, the last one being that of the whole turn."""
    captions = Captions()
    *partial, whole = texts
    pieces = [captions.heard(text) for text in partial] + [captions.finish(whole)]
    assert "".join(pieces) == captions.told
    return pieces


def test_only_what_two_in_a_row_agree_on_is_told():
    assert told("And so my", "And so my fell", "And so my fellow Americans.") == [
        "",
        "And so my",
        " fellow Americans.",
    ]


def test_a_word_that_changes_is_not_told_until_it_is_stable():
    assert told("go four", "go forward tan", "go forward ten", "go forward ten meters") == [
        "",
        "go",
        " forward",
        " ten meters",
    ]


def test_punctuation_and_case_do_not_count_and_punctuation_waits():
    assert told("Ask not.", "ask not, what", "Ask not, what your", "Ask not, what your.") == [
        "",
        "ask not",
        ", what",
        " your.",
    ]


def test_what_was_told_is_never_taken_back():
    assert told("ten of clubs", "ten of clubs", "Tan of clubs, and more.") == [
        "",
        "ten of clubs",
        ", and more.",
    ]


def test_a_word_that_the_last_recognition_adds_or_misses_shifts_nothing():
    assert told("we go to", "we go to", "we go on to the sea")[-1] == " the sea"
    assert told("we go on to", "we go on to", "we go to the sea")[-1] == " the sea"


def test_without_partial_recognitions_all_is_told_at_the_end():
    assert told("Go forward.") == ["Go forward."]
    assert told("") == [""]


def test_when_nothing_is_heard_in_the_end_what_was_told_stays():
    assert told("hello", "hello", "") == ["", "hello", ""]


def test_an_end_mark_is_told_once():
    assert told("Hello there.", "Hello there.", "Hello there.") == ["", "Hello there", "."]


TEXTS = st.lists(st.sampled_from(["go", "Go,", "on", "on.", "two", "-", "…", "isn't"]), max_size=6)


@given(st.lists(TEXTS.map(" ".join), min_size=1, max_size=6))
def test_the_pieces_make_up_the_transcript_whatever_is_heard(texts):
    pieces = told(*texts)
    assert "  " not in "".join(pieces)
    if not any(pieces[:-1]):
        assert pieces[-1] == texts[-1]


def test_the_ears_are_asked_once_a_second_at_most():
    pace = Pace()
    assert not pace.due(EVERY_MS - 20)
    assert pace.due(EVERY_MS)
    pace.asked(EVERY_MS, at=5.0)
    assert not pace.due(9 * EVERY_MS)
    pace.answered(at=5.01)
    assert not pace.due(2 * EVERY_MS - 20)
    assert pace.due(2 * EVERY_MS)


@pytest.mark.parametrize("took_s", [0.2, 0.5, 2.0])
def test_slow_ears_are_asked_less_often(took_s):
    pace = Pace()
    pace.asked(EVERY_MS, at=5.0)
    pace.answered(at=5.0 + took_s)
    assert pace.next_ms == EVERY_MS + max(EVERY_MS, round(took_s * 1000 * SHARE))


def test_a_very_long_turn_is_not_recognised_again_and_again():
    assert not Pace().due(LONGEST_MS + 20)
