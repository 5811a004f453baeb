"""What is played when: times as they are typed, speeds, cuts of idle stretches, turns to go to."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.errors import ConfigError
from voicecli.recording.playing.pace import (
    SPEEDS,
    Idle,
    Route,
    Timeline,
    clock_text,
    faster,
    seconds_of,
    slower,
)


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("0", 0), ("90", 90), ("7.25", 7.25), ("1:30", 90), ("01:05.5", 65.5), ("1:02:03", 3723)],
)
def test_a_time_is_typed_as_seconds_or_with_colons(typed: str, seconds: float) -> None:
    assert seconds_of(typed, "--from") == seconds


@pytest.mark.parametrize("typed", ["", "soon", "-3", "1:", ":30", "1:2:3:4", "1e3", "nan", "1:300"])
def test_what_is_no_time_is_refused_with_the_option(typed: str) -> None:
    with pytest.raises(ConfigError, match="--to"):
        seconds_of(typed, "--to")


def test_a_time_is_written_as_a_clock_shows_it() -> None:
    assert [clock_text(at) for at in (0, 7.9, 754, 3723.4)] == ["0:00", "0:07", "12:34", "1:02:03"]


def test_speeds_go_up_and_down_and_stop_at_the_ends() -> None:
    assert faster(1.0) == 1.25
    assert slower(1.0) == 0.75
    assert (faster(8.0), slower(0.5)) == (8.0, 0.5)
    assert (faster(1.1), slower(1.1)) == (1.25, 1.0)
    speed, all_of_them = 0.5, [0.5]
    while speed != faster(speed):
        speed = faster(speed)
        all_of_them.append(speed)
    assert tuple(all_of_them) == SPEEDS


# ---------------------------------------------------------------------------------- the time line


def test_at_twice_the_speed_recorded_time_goes_twice_as_fast() -> None:
    timeline = Timeline(10.0, 2.0)
    timeline.lay(6.0)
    assert [timeline.recorded(played) for played in (0.0, 1.0, 2.5)] == [10.0, 12.0, 15.0]


def test_nothing_is_heard_that_has_not_been_laid_out() -> None:
    timeline = Timeline(0.0)
    timeline.lay(1.0)
    assert timeline.recorded(5.0) == 1.0


def test_a_cut_is_jumped_over_when_it_is_heard_and_not_when_it_is_laid_out() -> None:
    timeline = Timeline(0.0)
    timeline.lay(1.0)
    timeline.cut_to(8.0)
    timeline.lay(1.0)
    assert timeline.laid_s == 9.0
    assert [timeline.recorded(played) for played in (0.5, 1.0, 1.5, 2.0)] == [0.5, 8.0, 8.5, 9.0]


@given(
    st.lists(st.tuples(st.floats(0.02, 3), st.floats(0, 100)), max_size=20),
    st.sampled_from(SPEEDS),
)
def test_recorded_time_never_goes_back(pieces: list[tuple[float, float]], speed: float) -> None:
    timeline = Timeline(0.0, speed)
    for laid, cut in pieces:
        timeline.lay(laid)
        timeline.cut_to(timeline.laid_s + cut)
    length = timeline.kept_s / speed
    heard = [timeline.recorded(length * share / 50) for share in range(51)]
    assert heard == sorted(heard)


# --------------------------------------------------------------------------------- idle stretches


def kept(idle: Idle, until: float, known: float = math.inf) -> list[tuple[int, int]]:
    """What is played of a recording, as stretches in ms, block by block."""
    stretches: list[tuple[int, int]] = []
    at = 0.0
    while at < until - 1e-9:
        following = idle.next_kept(at, 0.0, min(known, until))
        begin = round(following * 1000)
        if begin >= until * 1000:
            break
        if stretches and stretches[-1][1] == begin:
            stretches[-1] = (stretches[-1][0], begin + 20)
        else:
            stretches.append((begin, begin + 20))
        at = round(following + 0.02, 6)
    return stretches


def test_without_a_limit_all_is_played() -> None:
    idle = Idle()
    idle.active(1.0, 2.0)
    assert kept(idle, 10.0) == [(0, 10_000)]


def test_of_each_idle_stretch_as_much_as_the_limit_is_played() -> None:
    idle = Idle(1.0)
    idle.active(3.0, 4.0)
    idle.active(8.0, 9.0)
    assert kept(idle, 12.0) == [(0, 1000), (3000, 5000), (8000, 10_000)]


def test_sound_of_both_sides_counts_in_whatever_order_it_is_found() -> None:
    idle = Idle(0.5)
    for begins, ends in ((5.0, 6.0), (1.0, 2.0), (1.5, 3.0), (5.5, 5.7), (2.9, 3.1)):
        idle.active(begins, ends)
    assert kept(idle, 8.0) == [(0, 500), (1000, 3600), (5000, 6500)]


def test_nothing_is_cut_that_is_not_known_to_be_idle() -> None:
    idle = Idle(1.0)
    assert idle.next_kept(1.0, 0.0, 4.5) == 4.5
    assert idle.next_kept(4.5, 0.0, 4.5) == 4.5
    idle.active(4.6, 5.0)
    assert idle.next_kept(4.5, 0.0, 9.0) == 4.6


def test_after_going_somewhere_the_limit_counts_from_there() -> None:
    idle = Idle(1.0)
    idle.active(0.0, 1.0)
    idle.active(20.0, 21.0)
    assert idle.next_kept(10.5, 10.0, 30.0) == 10.5
    assert idle.next_kept(11.0, 10.0, 30.0) == 20.0


def test_what_was_is_forgotten_and_changes_nothing() -> None:
    idle = Idle(1.0)
    for second in range(0, 1000, 2):
        idle.active(second, second + 1)
        idle.forget(second)
    assert len(idle._begins) < 5
    assert idle.next_kept(999.5, 0.0, 2000.0) == 999.5


# --------------------------------------------------------------------------------------- the turns

ROUTE = Route.of([30.0, 1.0, 10.0], [9.0])


def test_a_turn_begins_a_little_before_the_user_speaks() -> None:
    assert ROUTE.turn(2) == pytest.approx(9.7)
    assert Route.of([0.1], []).turn(1) == 0.0


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_turn_that_is_not_there_is_refused_and_told_how_many_there_are(number: int) -> None:
    with pytest.raises(ConfigError) as refused:
        ROUTE.turn(number)
    assert "3 turns" in refused.value.hint


def test_going_along_the_turns_ends_at_the_first_and_the_last() -> None:
    assert ROUTE.following(0.0) == pytest.approx(0.7)
    assert ROUTE.following(9.7) == pytest.approx(29.7)
    assert ROUTE.following(29.7) is None
    assert ROUTE.before(20.0) == pytest.approx(9.7)
    assert ROUTE.before(10.2) == pytest.approx(0.7)
    assert ROUTE.before(0.9) == 0.0


def test_markers_are_gone_along_from_a_little_before_each() -> None:
    route = Route.of([5.0], [], [40.0, 1.0, 20.0])
    assert route.markers == (1.0, 20.0, 40.0)
    assert route.following_marker(0.0) == pytest.approx(18.0)
    assert route.following_marker(18.0) == pytest.approx(38.0)
    assert route.following_marker(38.0) is None
    assert route.marker_before(30.0) == pytest.approx(18.0)
    assert route.marker_before(18.5) == 0.0
    assert route.marker_before(0.5) is None
    assert Route.of([5.0], []).following_marker(0.0) is None


def test_the_turn_that_is_played_is_the_one_that_began_last() -> None:
    assert [ROUTE.number_at(at) for at in (0.0, 0.7, 9.9, 100.0)] == [0, 1, 2, 3]
