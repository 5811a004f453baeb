"""How loud it was, step by step."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from voicecli.audio.pcm import packed
from voicecli.recording.peaks import STEP_SAMPLES, Peaks


def pcm(*samples: int) -> bytes:
    return packed(array("h", samples))


def test_a_step_is_as_high_as_its_loudest_sample():
    peaks = Peaks()
    peaks.add(0, pcm(*[100] * (STEP_SAMPLES - 1), -32768, 256))
    assert list(peaks.steps) == [255, 2]


def test_what_was_silent_between_two_pieces_is_nothing():
    peaks = Peaks()
    peaks.add(0, pcm(512))
    peaks.add(STEP_SAMPLES * 3 + 5, pcm(1024))
    assert list(peaks.steps) == [4, 0, 0, 8]


def test_what_lies_before_the_session_is_left_out():
    peaks = Peaks()
    peaks.add(-2, pcm(30_000, 30_000, 1280))
    assert list(peaks.steps) == [10]
    peaks.add(-5, pcm(30_000, 30_000))
    peaks.add(-STEP_SAMPLES * 2, pcm(*[30_000] * STEP_SAMPLES * 2))
    assert list(peaks.steps) == [10]


@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=3000),
    st.lists(st.integers(1, 900), max_size=8),
)
def test_it_does_not_matter_how_the_sound_is_cut_into_pieces(samples, sizes):
    whole, cut = Peaks(), Peaks()
    whole.add(0, pcm(*samples))
    start = 0
    for size in [*sizes, len(samples)]:
        cut.add(start, pcm(*samples[start : start + size]))
        start = min(len(samples), start + size)
    assert cut.steps == whole.steps
    expected = [
        min(255, max(max(step), -min(step)) >> 7)
        for at in range(0, len(samples), STEP_SAMPLES)
        if (step := samples[at : at + STEP_SAMPLES])
    ]
    assert list(whole.steps) == expected
