"""Who said what: the order of rows, and how much of their words was heard."""

import pytest

from voicecli.transcript import TYPICAL_LETTERS_PER_S, Row, Transcript
from voicecli.wording import weight_of

VOICE = b"\x00\x10\x00\xf0" * 12 * 30_000
"Half a minute without a pause."


def transcript(*item_ids: str) -> Transcript:
    made = Transcript()
    for item_id in item_ids:
        made.row(item_id, "assistant")
    return made


def order(of: Transcript) -> list[str]:
    return [row.item_id for row in of]


def spoken(text: str, received_ms: int, heard_ms: int, *, complete: bool = True) -> Row:
    row = Row(
        "A",
        "assistant",
        text=text,
        received_ms=received_ms,
        heard_ms=heard_ms,
        audio_is_complete=complete,
        interrupted=True,
    )
    row.activity.push(VOICE[: received_ms * 48])
    return row


def test_a_row_is_made_once_and_found_again():
    made = transcript("A")
    assert made.row("A", "user") is made.get("A")
    assert made.row("A", "user").speaker == "assistant"
    assert len(made) == 1


def test_words_that_come_late_stand_before_the_answer_to_them():
    made = transcript("U1", "A1", "U2")
    made.place("U2", "U1")
    assert order(made) == ["U1", "U2", "A1"]


@pytest.mark.parametrize(
    ("item_id", "previous"), [("A", None), ("A", "other"), ("other", "A"), ("B", "A")]
)
def test_a_row_whose_neighbour_is_not_known_or_right_already_stays(item_id, previous):
    made = transcript("A", "B")
    made.place(item_id, previous)
    assert order(made) == ["A", "B"]


def test_an_item_that_is_said_to_follow_itself_stays():
    made = transcript("A", "B")
    made.place("A", "A")
    assert order(made) == ["A", "B"]


def test_a_removed_row_is_gone_and_removing_it_again_changes_nothing():
    made = transcript("A", "B")
    made.remove("A")
    made.remove("A")
    assert order(made) == ["B"]
    assert made.get("A") is None


@pytest.mark.parametrize(
    ("heard_ms", "heard"),
    [(0, ""), (500, "One"), (1000, "One two"), (1900, "One two three four"), (2000, None)],
)
def test_of_an_answer_whose_length_is_known_the_share_that_was_heard_counts(heard_ms, heard):
    text = "One two three four"
    row = spoken(text, received_ms=2000, heard_ms=heard_ms)
    assert Transcript().heard_text(row) == (text if heard is None else heard)


def test_the_words_heard_never_shrink_as_the_answer_plays():
    text = "A man went to mow, went to mow a meadow; extraordinarily."
    rows = [spoken(text, received_ms=3000, heard_ms=ms) for ms in range(0, 3001, 20)]
    counts = [Transcript().heard_chars(row) for row in rows]
    assert counts == sorted(counts)
    assert counts[-1] == len(text)


def test_of_an_answer_cut_off_in_the_making_the_speaking_rate_tells():
    text = "word " * 100
    row = spoken(text, received_ms=9000, heard_ms=2000, complete=False)
    heard = Transcript().heard_chars(row)
    assert abs(weight_of(text[:heard]) - 2 * TYPICAL_LETTERS_PER_S) <= 5
    assert text[:heard].split(" ")[-1] in ("word", "")


def test_the_speaking_rate_is_learnt_from_answers_heard_whole_and_from_no_others():
    made = transcript("A", "B", "C", "U")
    for item_id, text, ms in [
        ("A", "x" * 40, 2000),
        ("B", "x" * 900, 1000),
        ("C", "x" * 900, 1000),
    ]:
        row = made.row(item_id, "assistant")
        row.text, row.received_ms, row.audio_is_complete = text, ms, True
        row.activity.push(VOICE[: ms * 48] + bytes(48 * 500))
    made.row("B", "assistant").interrupted = True
    made.row("C", "assistant").audio_is_complete = False
    for row in made:
        made.settle(row)
    assert made.letters_per_s == 20.0


def test_a_settled_row_was_heard_whole_unless_it_was_interrupted():
    made = Transcript()
    whole = Row("A", "assistant", text="All of it.", received_ms=100)
    made.settle(whole)
    assert made.heard_text(whole) == "All of it."
    cut = Row("B", "assistant", text="All of it.", received_ms=100, interrupted=True)
    made.settle(cut)
    assert made.heard_text(cut) == ""


def test_what_was_typed_or_only_written_is_there_at_once():
    row = Row("A", "user", text="typed", is_spoken=False)
    assert Transcript().heard_text(row) == "typed"
