"""SubRip and WebVTT, read again by a parser that is not ours."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import pytest
import webvtt
from helpers_export import row, talk_with, told
from helpers_recording import make_recording
from hypothesis import given
from hypothesis import strategies as st

from voicecli.recording.export.subtitles import (
    CUE_CHARS,
    LINE_CHARS,
    WRITTEN_S,
    cues_of,
    srt_of,
    vtt_of,
)
from voicecli.recording.export.talk import Notice, Run, Talk

SENTENCES = (
    "It began in the morning. The rain had stopped, and the streets were still wet! "
    "Nobody knew, when the old bus turned round the corner by the market place at half past nine, "
    "that it was carrying anything but its usual passengers. Why should they?"
)


def captions(talk: Talk, kind: str) -> list[tuple[int, int, str]]:
    """Beginning, end in milliseconds, and text on one line, as the parser reads them."""
    text = srt_of(talk) if kind == "srt" else vtt_of(talk)
    read = webvtt.from_buffer(io.StringIO(text), format=kind)
    return [
        (
            one.start_time.in_milliseconds(),
            one.end_time.in_milliseconds(),
            " ".join(one.text.split()),
        )
        for one in read.captions
    ]


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_a_parser_reads_the_cues_of_a_real_talk_as_we_meant_them(tmp_path, kind):
    talk = told(make_recording(tmp_path / "made", 60))
    name = "{}: " if kind == "srt" else ""
    expected = [
        (cue.begins_ms, cue.ends_ms, name.format(cue.speaker) + cue.text) for cue in cues_of(talk)
    ]
    assert len(expected) > 10
    assert captions(talk, kind) == expected


def test_a_marker_is_a_note_between_the_cues_and_nothing_in_subrip():
    notices = [
        Notice(at=1.5, kind="marker", message="1", code="", source=""),
        Notice(at=2.0, kind="note", message="quiet", code="", source=""),
        Notice(at=9.0, kind="marker", message="2", code="", source=""),
    ]
    talk = talk_with(row("user", "Hi.", 0, 1), row("assistant", "Hello.", 2, 3), notices=notices)
    first, note, second, last = vtt_of(talk).split("\n\n")[2:]
    assert (note, last) == ("NOTE marker 1 at 00:00:01.500", "NOTE marker 2 at 00:00:09.000\n")
    assert "Hi." in first
    assert "Hello." in second
    for kind in ("srt", "vtt"):
        assert len(captions(talk, kind)) == 2
    assert "marker" not in srt_of(talk)


def test_the_voice_of_a_cue_is_its_speaker():
    talk = talk_with(row("user", "Hi.", 0, 1), row("assistant", "Hello.", 2, 3))
    read = webvtt.from_buffer(io.StringIO(vtt_of(talk)))
    assert [one.voice for one in read.captions] == ["User", "Assistant"]


def test_a_long_answer_is_split_at_the_ends_of_sentences_and_between_words():
    cues = cues_of(talk_with(row("assistant", SENTENCES, 10, 30)))
    assert " ".join(cue.text for cue in cues) == SENTENCES
    assert [cue.text[-1] for cue in cues[:2]] == [".", "!"]
    assert all(len(cue.text) <= CUE_CHARS for cue in cues)
    assert (cues[0].begins_ms, cues[-1].ends_ms) == (10_000, 30_000)


def test_each_cue_stands_as_long_as_its_share_of_the_characters_is_of_the_sound():
    cues = cues_of(talk_with(row("assistant", SENTENCES, 10, 30)))
    for cue in cues:
        share = SENTENCES.index(cue.text) / len(SENTENCES)
        assert cue.begins_ms == pytest.approx(10_000 + 20_000 * share, abs=1)


def test_words_after_a_gap_in_the_sound_stand_after_it():
    runs = [Run(begins_at=0.0, ends_at=2.0), Run(begins_at=5.0, ends_at=7.0)]
    first, second = (
        "This is the first half of what was said here.",
        "And that is its other half, no more.",
    )
    text = f"{first} {second}"
    cues = cues_of(talk_with(row("assistant", text, 0, 7, runs=runs)))
    half = len(first) / len(text)
    assert [cue.text for cue in cues] == [first, second]
    assert cues[0].ends_ms == pytest.approx(5000 + (half - 0.5) * 4000, abs=60)
    assert cues[1].ends_ms == 7000


def test_an_answer_that_was_cut_off_shows_what_was_heard_and_an_ellipsis():
    cut = row(
        "assistant", "One two three four", 1, 2,
        heard_text="One two", unheard_text="three four", interrupted=True,
    )  # fmt: skip
    assert [cue.text for cue in cues_of(talk_with(cut))] == ["One two…"]
    unheard = row("assistant", "One two", None, None, heard_text="", unheard_text="One two")
    assert cues_of(talk_with(unheard)) == []


def test_what_was_typed_is_shown_for_a_moment_but_not_over_what_follows():
    typed = row("user", "hello", 1, 1, is_spoken=False, by="text")
    (alone,) = cues_of(talk_with(typed))
    assert alone.ends_ms - alone.begins_ms == WRITTEN_S * 1000
    cues = cues_of(talk_with(typed, row("user", "again", 1.5, 3)))
    assert [(cue.begins_ms, cue.ends_ms) for cue in cues] == [(1000, 1500), (1500, 3000)]


def test_lines_are_as_long_as_subtitles_are():
    text = srt_of(talk_with(row("assistant", SENTENCES, 10, 30)))
    assert all(len(line) <= LINE_CHARS for line in text.splitlines())


def test_a_cue_whose_words_end_with_the_sound_does_not_last_through_the_gap():
    runs = [Run(begins_at=0.0, ends_at=2.0), Run(begins_at=5.0, ends_at=7.0)]
    first = "x" * (CUE_CHARS - 1) + "."
    second = "y" * (CUE_CHARS - 2) + "."
    cues = cues_of(talk_with(row("assistant", f"{first} {second}", 0, 7, runs=runs)))
    assert cues[0].ends_ms == 2000
    assert cues[1].begins_ms > 5000


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_hostile_words_stay_words(kind):
    text = (
        "a --> b <v Assistant>x</v> &amp; \x1b[31mred 00:00:01.000 --> 00:00:02.000\n\n2\nNOTE no"
    )
    talk = talk_with(row("user", text, 0, 1), name="x --> y\n\nSTYLE")
    written = srt_of(talk) if kind == "srt" else vtt_of(talk)
    cues = cues_of(talk)
    assert len(captions(talk, kind)) == len(cues) > 0
    assert written.count("-->") == len(cues)
    assert set(re.findall("<[^>]*>", written)) == (set() if kind == "srt" else {"<v User>"})
    assert "&amp;amp;" in written or kind == "srt"
    assert "\x1b" not in written
    blocks = len(cues) if kind == "srt" else len(cues) + 2
    assert len(written.strip().split("\n\n")) == blocks


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["user", "assistant"]),
            st.text(max_size=300),
            st.floats(0, 100),
            st.floats(0, 20),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_whatever_is_said_cues_have_a_length_and_those_of_a_speaker_do_not_overlap(said):
    rows = [
        row(speaker, text, begins, begins + length, unheard_text="x" if cut else "")
        for speaker, text, begins, length, cut in said
    ]
    talk = talk_with(*rows)
    cues = cues_of(talk)
    assert all(cue.ends_ms > cue.begins_ms >= 0 and cue.text.strip() for cue in cues)
    for speaker in ("User", "Assistant"):
        own = [cue for cue in cues if cue.speaker == speaker]
        assert all(one.ends_ms <= other.begins_ms for one, other in pairwise(own))
    assert cues == sorted(cues)
    for kind in ("srt", "vtt") if cues else ():
        times = [(begins, ends) for begins, ends, _ in captions(talk, kind)]
        assert times == [(cue.begins_ms, cue.ends_ms) for cue in cues]
