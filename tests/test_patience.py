import itertools

import pytest

from voicecli.engine.dialogue.patience import PATIENCE, Silence, Step

EAGER = ["high", "medium", "low"]


def end_of(eagerness: str, probability: float | None) -> tuple[int, list[int]]:
    """When a silence ends the turn, and when the judge was asked."""
    silence, asked = Silence(PATIENCE[eagerness]), []
    for ms in range(0, 20_000, 20):
        step = silence.grown(ms)
        if step is Step.ASK:
            asked.append(ms)
            silence.judged(probability)
            step = silence.grown(ms)
        if step is Step.END:
            return ms, asked
    raise AssertionError("the turn never ended")


@pytest.mark.parametrize(
    ("eagerness", "limit_ms"), [("low", 8000), ("medium", 4000), ("high", 2000)]
)
def test_a_judge_who_is_sure_that_it_is_not_over_is_overruled_after_the_limit(eagerness, limit_ms):
    end_ms, asked = end_of(eagerness, 0.0)
    assert end_ms == limit_ms
    least_ms = PATIENCE[eagerness].least_ms
    assert asked == list(itertools.takewhile(lambda ms: ms < limit_ms, doubled(least_ms)))


def doubled(ms: int):
    while True:
        yield ms
        ms *= 2


@pytest.mark.parametrize(("eagerness", "least_ms"), [("low", 600), ("medium", 300), ("high", 200)])
def test_a_judge_who_is_sure_ends_the_turn_at_once(eagerness, least_ms):
    assert end_of(eagerness, 0.99) == (least_ms, [least_ms])


@pytest.mark.parametrize(
    ("eagerness", "silence_ms"), [("low", 1200), ("medium", 600), ("high", 300)]
)
def test_without_a_judge_a_silence_ends_the_turn_and_nobody_is_asked_twice(eagerness, silence_ms):
    end_ms, asked = end_of(eagerness, None)
    assert end_ms == silence_ms
    assert len(asked) == 1


def test_sure_enough_is_enough():
    for patience in PATIENCE.values():
        assert patience.wait_ms(patience.sure) == patience.least_ms
        assert patience.wait_ms(patience.sure - 0.01) > patience.least_ms


def test_the_less_sure_the_judge_the_longer_the_wait():
    for eagerness in EAGER:
        waits = [PATIENCE[eagerness].wait_ms(percent / 100) for percent in range(101)]
        assert waits == sorted(waits, reverse=True)


def test_the_eager_wait_less_than_the_patient():
    for probability in (0.0, 0.3, 0.6, 0.95, None):
        waits = [PATIENCE[eagerness].wait_ms(probability) for eagerness in EAGER]
        assert waits == sorted(waits)


def test_auto_is_medium():
    assert PATIENCE["auto"] == PATIENCE["medium"]


def test_a_judge_who_changes_his_mind_is_listened_to():
    silence = Silence(PATIENCE["medium"])
    assert silence.grown(300) is Step.ASK
    silence.judged(0.1)
    assert silence.grown(580) is Step.WAIT
    assert silence.grown(600) is Step.ASK
    silence.judged(0.9)
    assert silence.grown(600) is Step.END
