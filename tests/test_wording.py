"""Words placed in the time of an answer's audio."""

from __future__ import annotations

from itertools import pairwise

import pytest

from voicecli.audio.activity import Pause, SpeechActivity
from voicecli.wording import laid_over, weight_of

TEXT = "Yes. The tide comes in twice a day, as a rule. Shall I go on?"


def sound(*ms: int) -> bytes:
    """Voice, pause, voice, … of so many milliseconds."""
    pieces = [
        (b"\0\x10\0\xf0" if number % 2 == 0 else b"\1\0\1\0") * 12 * length
        for number, length in enumerate(ms)
    ]
    return b"".join(pieces)


def activity(*ms: int) -> SpeechActivity:
    made = SpeechActivity()
    made.push(sound(*ms))
    return made


def test_voice_and_pauses_are_told_apart_however_the_audio_comes() -> None:
    whole = sound(400, 600, 1000, 100, 500, 300)
    at_once, in_pieces = SpeechActivity(), SpeechActivity()
    at_once.push(whole)
    for start in range(0, len(whole), 1234):
        in_pieces.push(whole[start : start + 1234])
    for made in (at_once, in_pieces):
        assert len(made) == 145
        assert made.total_ms == 1900
        assert made.pauses() == [Pause(400, 600)]
        assert [made.voiced_ms(ms) for ms in (0, 210, 400, 900, 1010, 2900, 9999)] == [
            0, 210, 400, 400, 410, 1900, 1900,
        ]  # fmt: skip


def test_of_audio_without_any_voice_every_part_counts() -> None:
    assert activity(0, 1000).total_ms == 1000
    assert activity(0, 1000).voiced_ms(300) == 300
    assert SpeechActivity().total_ms == 0
    assert SpeechActivity().voiced_ms(300) == 0


def test_quiet_noise_between_words_is_a_pause() -> None:
    made = SpeechActivity()
    made.push(b"\0\x20\0\xe0" * 6000 + b"\x20\0\xe0\xff" * 6000 + b"\0\x20\0\xe0" * 6000)
    assert made.pauses() == [Pause(500, 500)]


def said(text: str, made: SpeechActivity, at_ms: float, rate: float | None = None) -> str:
    return text[: laid_over(text, made, rate).chars_at(made.voiced_ms(at_ms))].strip()


def test_a_pause_is_where_the_punctuation_is() -> None:
    # The speaker took much longer for "Yes." than its letters do.
    made = activity(900, 500, 2000, 500, 700)
    assert said(TEXT, made, 910) == "Yes."
    assert said(TEXT, made, 1390) == "Yes."
    assert said(TEXT, made, 3450) == "Yes. The tide comes in twice a day, as a rule."
    assert said(TEXT, made, 9999) == TEXT


def test_without_the_pauses_only_the_letters_tell() -> None:
    made = activity(3600)
    half = said(TEXT, made, 1800)
    assert weight_of(half) == pytest.approx(weight_of(TEXT) / 2, abs=1.1)


def test_a_pause_far_from_any_punctuation_pulls_nothing() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve. End of it"
    made = activity(1000, 500, 3000)
    assert not said(text, made, 1500).endswith("twelve.")


def test_positions_never_go_back_and_end_at_the_end() -> None:
    made = activity(500, 200, 300, 600, 1500, 300, 400, 250, 900)
    laid = laid_over(TEXT, made)
    places = [laid.chars_at(ms) for ms in range(made.total_ms + 1)]
    assert all(one <= other for one, other in pairwise(places))
    assert (places[0], places[-1]) == (0, len(TEXT))


def test_of_an_answer_that_is_not_all_there_the_rate_tells_and_pauses_pull() -> None:
    made = activity(300, 500, 700)
    assert said(TEXT, made, 790, 12.0) == "Yes."
    more = said(TEXT, made, 1500, 12.0)
    assert "Yes. The" in more
    assert len(more) < len(TEXT) / 2


@pytest.mark.parametrize("text", ["", "?", "....", "\n", "a"])
def test_any_text_can_be_laid_over_any_audio(text: str) -> None:
    for made in (SpeechActivity(), activity(300, 300, 300)):
        for rate in (None, 0.0, 15.0):
            laid = laid_over(text, made, rate)
            assert 0 <= laid.chars_at(0) <= laid.chars_at(1e9) <= len(text)
