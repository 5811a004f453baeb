import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.audio.pcm import SAMPLE_BYTES, samples_in, unpacked
from voicecli.audio.playback import (
    Drained,
    Emitted,
    Finished,
    Gain,
    Heard,
    Playout,
    Started,
    faded_out,
)

RATE_HZ = 1000
"One sample a millisecond: positions read like times."


def playout(**holds):
    return Playout(RATE_HZ, **holds)


def loud(samples, value=1000):
    return value.to_bytes(2, "little", signed=True) * samples


class Device:
    """Takes blocks in time, like a device whose latency is `latency_s`."""

    def __init__(self, playout, latency_s=0.0):
        self.playout = playout
        self.now = 0.0
        self.latency_s = latency_s
        self.emitted = b""

    def run(self, *blocks):
        for samples in blocks:
            block = self.playout.take(samples, self.now + self.latency_s)
            assert samples_in(block) == samples
            self.emitted += block
            self.now = round(self.now + samples / RATE_HZ, 6)
        return self.emitted


def test_an_empty_queue_gives_silence_and_counts_nothing():
    queue = playout()
    assert queue.take(10, 0.0) == bytes(20)
    assert queue.heard(1.0) == []
    assert queue.drain_events() == []
    assert queue.underflows == 0


def test_a_block_within_one_delta_and_one_across_deltas():
    queue = playout()
    queue.enqueue("a", 0, loud(3, 1))
    queue.enqueue("a", 0, loud(3, 2))
    assert list(unpacked(queue.take(2, 0.0))) == [1, 1]
    assert list(unpacked(queue.take(3, 0.0))) == [1, 2, 2]
    assert list(unpacked(queue.take(3, 0.0))) == [2, 0, 0]


def test_pending_counts_what_was_not_handed_out():
    queue = playout()
    queue.enqueue("a", 0, loud(5))
    queue.take(3, 0.0)
    assert queue.pending_samples == 2


def test_torn_samples_are_refused_and_nothing_is_ignored():
    queue = playout()
    with pytest.raises(ValueError, match="whole samples"):
        queue.enqueue("a", 0, b"\1")
    queue.enqueue("a", 0, b"")
    assert queue.heard(0.0) == []


def test_heard_follows_the_dac_and_not_what_was_handed_out():
    queue = playout()
    queue.enqueue("a", 0, loud(100))
    Device(queue, latency_s=0.02).run(10, 10, 10)
    assert [queue.heard(at)[0].emitted_samples for at in (0.0, 0.02, 0.025, 0.035, 0.05, 1)] == [
        0, 0, 5, 15, 30, 30,
    ]  # fmt: skip


def test_silence_of_an_underflow_is_not_heard():
    queue = playout()
    device = Device(queue)
    queue.enqueue("a", 0, loud(10))
    device.run(10, 10, 10)
    queue.enqueue("a", 0, loud(10))
    device.run(5)
    assert queue.heard(device.now) == [Heard("a", 0, 20, 15)]
    assert queue.underflows == 1


def test_milliseconds_heard_are_rounded_down():
    assert Heard("a", 0, 24_023, 47).heard_ms == 1
    assert Heard("a", 0, 24_023, 47).received_ms == 1000


def test_a_part_is_open_until_it_is_finished_and_heard():
    queue = playout()
    device = Device(queue, latency_s=0.01)
    queue.enqueue("a", 0, loud(10))
    device.run(10)
    assert queue.heard(0.5) == [Heard("a", 0, 10, 10)]
    queue.finish("a", 0)
    assert queue.heard(0.019) == [Heard("a", 0, 10, 9)]
    assert queue.heard(0.02) == []


def test_the_next_part_closes_the_one_before():
    queue = playout()
    queue.enqueue("a", 0, loud(10))
    queue.enqueue("a", 1, loud(10))
    Device(queue).run(15)
    assert queue.heard(0.012) == [Heard("a", 1, 10, 2)]


def test_finishing_what_is_not_known_changes_nothing():
    queue = playout()
    queue.finish("a", 0)
    assert queue.heard(0.0) == []
    assert queue.drain_events() == []


def test_parts_that_are_over_are_forgotten():
    queue = playout()
    device = Device(queue)
    for number in range(5):
        queue.enqueue(f"item_{number}", 0, loud(1000))
        queue.finish(f"item_{number}", 0)
    device.run(*[100] * 90)
    assert queue.heard(0.0) == []
    queue.enqueue("new", 0, loud(10))
    assert queue.flush(device.now) == [Heard("new", 0, 10, 0)]


def test_events_say_when_parts_start_and_finish_and_the_queue_drains():
    queue = playout()
    queue.enqueue("a", 0, loud(5))
    queue.enqueue("b", 0, loud(4))
    Device(queue, latency_s=1.0).run(6, 6, 6)
    assert queue.has_events
    assert queue.drain_events() == [
        Started("a", 0, pytest.approx(1.0)),
        Finished("a", 0, pytest.approx(1.005)),
        Emitted("a", 0, 0, 5, pytest.approx(1.0)),
        Started("b", 0, pytest.approx(1.005)),
        Emitted("b", 0, 0, 4, pytest.approx(1.005)),
        Drained(pytest.approx(1.009)),
    ]
    queue.finish("b", 0)
    assert queue.drain_events() == [Finished("b", 0, pytest.approx(1.009))]
    assert not queue.has_events


def test_draining_exactly_at_the_end_of_a_block_is_told_with_the_next():
    queue = playout()
    queue.enqueue("a", 0, loud(5))
    device = Device(queue)
    device.run(5)
    assert queue.drain_events() == [Started("a", 0, 0.0)]
    device.run(5, 5)
    assert queue.drain_events() == [Emitted("a", 0, 0, 5, 0.0), Drained(pytest.approx(0.005))]


def test_idle_means_nothing_queued_and_nothing_in_the_device():
    queue = playout()
    assert queue.is_idle(0.0)
    queue.enqueue("a", 0, loud(5))
    assert not queue.is_idle(0.0)
    queue.take(5, 0.1)
    assert not queue.is_idle(0.104)
    assert queue.is_idle(0.106)


def test_a_flush_fades_what_is_playing_and_counts_the_fade_as_heard():
    queue = playout()
    device = Device(queue)
    queue.enqueue("a", 0, loud(100))
    device.run(10)
    assert queue.flush(device.now, fade_samples=20) == [Heard("a", 0, 100, 30)]
    assert queue.pending_samples == 20
    tail = list(unpacked(device.run(8, 8, 8, 8)))[10:]
    assert all(a > b for a, b in pairwise(tail[:21]))
    assert 950 < tail[0] < 1000
    assert 0 < tail[19] < 50
    assert tail[20:] == [0] * 12
    assert queue.drain_events() == [
        Started("a", 0, 0.0),
        Emitted("a", 0, 0, 30, 0.0, fade_samples=20),
        Drained(pytest.approx(0.03)),
    ]


def test_what_is_heard_for_long_is_told_every_second_on_one_time_line():
    queue = Playout(hold_samples=0)
    queue.enqueue("a", 0, loud(60_000))
    trembling = [0.001, -0.002, 0.003]
    for block in range(125):
        queue.take(480, block * 0.02 + trembling[block % 3])
    queue.take(480, 125 * 0.02)
    runs = [event for event in queue.drain_events() if isinstance(event, Emitted)]
    assert runs == [
        Emitted("a", 0, 0, 24_000, 0.001),
        Emitted("a", 0, 24_000, 24_000, pytest.approx(1.001)),
        Emitted("a", 0, 48_000, 12_000, pytest.approx(2.001)),
    ]


def test_a_gap_ends_what_is_told_as_heard_in_one_piece():
    queue = playout()
    queue.enqueue("a", 0, loud(10))
    device = Device(queue)
    device.run(20)
    queue.enqueue("a", 0, loud(7))
    device.run(20)
    runs = [event for event in queue.drain_events() if isinstance(event, Emitted)]
    assert runs == [Emitted("a", 0, 0, 10, 0.0), Emitted("a", 0, 10, 7, pytest.approx(0.02))]


def test_a_flush_names_the_parts_in_the_device_playing_and_queued():
    queue = playout()
    device = Device(queue, latency_s=0.05)
    for item in ("over", "in_device", "playing", "queued"):
        queue.enqueue(item, 0, loud(10))
    device.run(10, 10, 5)
    assert queue.flush(at=0.065, fade_samples=2) == [
        Heard("in_device", 0, 10, 10),
        Heard("playing", 0, 10, 7),
        Heard("queued", 0, 10, 0),
    ]
    assert queue.heard(0.065) == []


def test_a_flush_does_not_fade_into_the_next_part():
    queue = playout()
    queue.enqueue("a", 0, loud(10))
    queue.enqueue("b", 0, loud(10))
    Device(queue).run(8)
    assert queue.flush(0.008, fade_samples=5) == [Heard("a", 0, 10, 10), Heard("b", 0, 10, 0)]


def test_a_flush_in_an_underflow_has_nothing_to_fade():
    queue = playout()
    device = Device(queue)
    queue.enqueue("a", 0, loud(5))
    device.run(10)
    queue.enqueue("a", 0, loud(50))
    assert queue.flush(device.now) == [Heard("a", 0, 55, 5)]
    assert queue.pending_samples == 0


def test_a_second_flush_lets_the_fade_go_on():
    queue = playout()
    device = Device(queue)
    queue.enqueue("a", 0, loud(50))
    device.run(10)
    queue.flush(device.now, fade_samples=10)
    queue.enqueue("b", 0, loud(50))
    assert queue.flush(device.now, fade_samples=10) == [Heard("b", 0, 50, 0)]
    assert queue.pending_samples == 10


def test_the_reply_after_a_flush_is_played_behind_the_fade():
    queue = playout()
    device = Device(queue)
    queue.enqueue("a", 0, loud(50))
    device.run(10)
    queue.flush(device.now, fade_samples=4)
    queue.enqueue("b", 0, loud(10, 7))
    device.run(20)
    assert list(unpacked(device.emitted))[14:] == [7] * 10 + [0] * 6
    assert queue.heard(device.now) == [Heard("b", 0, 10, 10)]


def test_a_part_waits_for_its_hold_unless_it_is_closed():
    queue = playout(hold_samples=10)
    device = Device(queue)
    queue.enqueue("a", 0, loud(9))
    device.run(5)
    queue.enqueue("a", 0, loud(1))
    device.run(5)
    assert list(unpacked(device.emitted)) == [0] * 5 + [1000] * 5
    queue.enqueue("b", 0, loud(3))
    queue.finish("b", 0)
    device.run(8)
    assert queue.pending_samples == 0


def test_after_running_dry_a_part_waits_until_enough_is_queued_again():
    queue = playout(rebuffer_samples=6)
    device = Device(queue)
    queue.enqueue("a", 0, loud(2))
    device.run(4)
    queue.enqueue("a", 0, loud(3))
    device.run(2)
    queue.enqueue("a", 0, loud(3))
    device.run(6)
    assert list(unpacked(device.emitted)) == [1000] * 2 + [0] * 4 + [1000] * 6
    assert queue.underflows == 1


def test_audio_is_never_held_back_longer_than_the_hold():
    queue = playout(rebuffer_samples=6)
    device = Device(queue)
    queue.enqueue("a", 0, loud(2))
    device.run(20)
    queue.enqueue("a", 0, loud(1))
    device.run(*[1] * 8)
    assert list(unpacked(device.emitted))[20:] == [0] * 5 + [1000] + [0] * 2


def test_each_gap_is_held_anew():
    queue = playout(rebuffer_samples=6)
    device = Device(queue)
    for _ in range(3):
        queue.enqueue("a", 0, loud(1))
        device.run(*[1] * 7)
    assert list(unpacked(device.emitted)) == [1000] + [0] * 6 + ([0] * 5 + [1000] + [0]) * 2
    assert queue.underflows == 2


def test_a_rebuffering_part_goes_on_when_it_is_finished():
    queue = playout(rebuffer_samples=60)
    device = Device(queue)
    queue.enqueue("a", 0, loud(2))
    device.run(4)
    queue.enqueue("a", 0, loud(3))
    queue.finish("a", 0)
    device.run(4)
    assert queue.pending_samples == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), st.integers(1, 60)),
        st.tuples(st.just("next part"), st.just(0)),
        st.tuples(st.just("finish"), st.just(0)),
        st.tuples(st.just("take"), st.integers(1, 40)),
        st.tuples(st.just("flush"), st.integers(0, 12)),
    ),
    max_size=60,
)
HOLDS = st.fixed_dictionaries(
    {"hold_samples": st.integers(0, 30), "rebuffer_samples": st.integers(0, 30)}
)


class Account:
    """Each sample is worth its number, so that what comes out can be told apart."""

    def __init__(self):
        self.sent = {}
        self.final = {}
        self.count = 0

    def next_pcm(self, item, samples):
        values = [1000 + self.count + k for k in range(samples)]
        self.count += samples
        self.sent.setdefault(item, []).extend(values)
        return b"".join(value.to_bytes(2, "little") for value in values)

    def conclude(self, heard):
        assert heard.item_id not in self.final, "reported twice"
        self.final[heard.item_id] = heard.emitted_samples

    def check(self, heard):
        assert 0 <= heard.emitted_samples <= heard.received_samples
        assert heard.received_samples == len(self.sent[heard.item_id])

    def expected(self):
        heard_whole = {item: len(values) for item, values in self.sent.items()}
        return [
            value
            for item, values in self.sent.items()
            for value in values[: self.final.get(item, heard_whole[item])]
        ]


@given(STEPS, HOLDS, st.integers(0, 30))
def test_no_sample_is_lost_doubled_or_out_of_order(steps, holds, latency_ms):
    queue, account, part = playout(**holds), Account(), 0
    device = Device(queue, latency_s=latency_ms / 1000)
    for step, amount in steps:
        match step:
            case "enqueue":
                part += f"item_{part}" in account.final  # a flushed part gets no more audio
                pcm = account.next_pcm(f"item_{part}", amount)
                queue.enqueue(f"item_{part}", 0, pcm)
            case "next part":
                part += 1
            case "finish":
                queue.finish(f"item_{part}", 0)
            case "take":
                before = queue.pending_samples
                device.run(amount)
                assert before - amount <= queue.pending_samples <= before
            case "flush":
                for heard in queue.flush(device.now, fade_samples=amount):
                    account.check(heard)
                    account.conclude(heard)
        for heard in queue.heard(device.now):
            account.check(heard)
    for item in account.sent:
        queue.finish(item, 0)
    device.run(*[40] * 100)
    expected = account.expected()
    sounding = [sample for sample in unpacked(device.emitted) if sample]
    assert len(sounding) == len(expected)
    assert all(got <= wanted for got, wanted in zip(sounding, expected, strict=True))
    if not any(step == "flush" and fade for step, fade in steps):
        assert sounding == expected


# ------------------------------------------------------------------------------------ soft and held


def wire_playout():
    return Playout(24_000)


def test_a_ducked_answer_goes_down_over_five_milliseconds_and_counts_as_heard():
    queue = wire_playout()
    queue.enqueue("a", 0, loud(2400))
    queue.take(480, 0.0)
    queue.set_gain(0.25)
    soft = list(unpacked(queue.take(480, 0.02)))
    assert soft[0] == 993
    assert soft[59] == 625
    assert soft[119:] == [250] * 361
    assert soft[:120] == sorted(soft[:120], reverse=True)
    assert queue.heard(1.0)[0].emitted_samples == 960
    queue.set_gain(1.0)
    back = list(unpacked(queue.take(480, 0.04)))
    assert back[119:] == [1000] * 361


def test_a_held_answer_goes_on_with_the_next_sample_and_what_waited_is_not_heard():
    queue = wire_playout()
    sound = b"".join(n.to_bytes(2, "little") for n in range(1, 4801))
    queue.enqueue("a", 0, sound)
    queue.take(480, 0.0)
    queue.set_gain(0.0)
    down = list(unpacked(queue.take(480, 0.02)))
    assert down[120:] == [0] * 360
    assert queue.take(48_000, 0.04) == bytes(96_000)
    assert queue.is_paused
    assert queue.heard(5.0) == [Heard("a", 0, 4800, 600)]
    queue.set_gain(1.0)
    up = list(unpacked(queue.take(480, 2.04)))
    assert up[0] == 601 // 120
    assert up[119:] == list(range(720, 1081))
    assert queue.underflows == 0
    runs = [one for one in queue.drain_events() if isinstance(one, Emitted)]
    assert [(one.first_sample, one.samples, one.gain) for one in runs] == [
        (0, 480, Gain(1.0, 1.0, 0)),
        (480, 120, Gain(1.0, 0.0, 120)),
    ]


def test_holding_what_has_not_begun_keeps_it_whole():
    queue = wire_playout()
    queue.set_gain(0.0)
    queue.enqueue("a", 0, loud(480))
    assert queue.take(480, 0.0) == bytes(960)
    assert queue.flush(0.1) == [Heard("a", 0, 480, 0)]
    queue.enqueue("b", 0, loud(480))
    assert queue.take(480, 0.2) == loud(480)


def test_a_stop_of_what_was_held_and_turned_up_again_has_nothing_to_fade():
    queue = wire_playout()
    queue.enqueue("a", 0, loud(2400))
    queue.take(480, 0.0)
    queue.set_gain(0.0)
    queue.take(480, 0.02)
    queue.set_gain(0.0)
    assert queue.is_paused
    queue.set_gain(1.0)
    assert queue.flush(0.04) == [Heard("a", 0, 2400, 600)]
    assert queue.take(480, 0.04) == bytes(960)


def test_a_stop_while_soft_fades_from_there_and_the_next_answer_is_at_full_level():
    queue = wire_playout()
    queue.enqueue("a", 0, loud(2400))
    queue.set_gain(0.5)
    assert queue.take(480, 0.0) == loud(480, 500)
    assert queue.flush(0.02)[0].emitted_samples == 480 + 96
    queue.enqueue("b", 0, loud(480))
    rest = queue.take(480, 0.02)
    assert rest[:192] == faded_out(loud(96, 500))
    assert rest[192:] == loud(384)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["take", "take", "enqueue", "gain", "flush", "finish"]),
            st.integers(1, 700),
            st.sampled_from([0.0, 0.1259, 0.5, 1.0]),
        ),
        max_size=40,
    )
)
def test_the_runs_give_again_what_the_device_got_however_it_was_turned_down(steps):
    queue = wire_playout()
    given_pcm: dict[str, bytes] = {}
    part, device = 0, b""
    seed = 1
    for what, amount, gain in steps:
        match what:
            case "take":
                device += queue.take(amount, samples_in(device) / 24_000)
            case "enqueue":
                values = [(seed * 7919 + k * 104_729) % 60_000 - 30_000 for k in range(amount * 3)]
                seed += 1
                pcm = b"".join(one.to_bytes(2, "little", signed=True) for one in values)
                given_pcm[f"{part}"] = given_pcm.get(f"{part}", b"") + pcm
                queue.enqueue(f"{part}", 0, pcm)
            case "gain":
                queue.set_gain(gain)
            case "finish":
                queue.finish(f"{part}", 0)
                part += 1
            case "flush":
                queue.flush(samples_in(device) / 24_000)
                part += 1
    queue.set_gain(1.0)
    while queue.pending_samples:
        device += queue.take(480, samples_in(device) / 24_000)
    device += queue.take(480, samples_in(device) / 24_000)
    again = bytearray(len(device))
    for run in queue.drain_events():
        if isinstance(run, Emitted):
            first = run.first_sample * SAMPLE_BYTES
            pcm = given_pcm[run.item_id][first : first + run.samples * SAMPLE_BYTES]
            pcm = run.gain.applied(pcm)
            cut = (run.samples - run.fade_samples) * SAMPLE_BYTES
            pcm = pcm[:cut] + faded_out(pcm[cut:])
            start = round(run.at * 24_000) * SAMPLE_BYTES
            again[start : start + len(pcm)] = pcm
    assert bytes(again) == device


# --- a device that is gone ----------------------------------------------------------------------


def test_what_had_not_left_a_lost_device_is_handed_out_again():
    queue = playout()
    queue.enqueue("a", 0, loud(30, 1))
    queue.enqueue("b", 0, loud(20, 2))
    device = Device(queue, latency_s=0.010)
    device.run(10, 10, 10, 10)
    queue.rewind(0.035)  # 10 ms in the device: 25 samples have left it
    assert queue.pending_samples == 25
    assert queue.heard(0.035) == [Heard("a", 0, 30, 25), Heard("b", 0, 20, 0)]
    assert queue.take(25, 5.0) == loud(5, 1) + loud(20, 2)
    assert queue.heard(9.0) == [Heard("b", 0, 20, 20)]


def test_a_lost_device_is_an_interruption_that_nothing_was_lost_in():
    queue = playout()
    queue.enqueue("a", 0, loud(30, 1))
    Device(queue).run(20)
    queue.rewind(0.012)
    assert queue.flush(0.5, 0) == [Heard("a", 0, 30, 12)]
    assert queue.take(10, 1.0) == bytes(20)


def test_the_runs_of_a_lost_device_end_with_what_had_left_it():
    queue = playout()
    queue.enqueue("a", 0, loud(30, 1))
    Device(queue).run(20)
    queue.rewind(0.012)
    queue.take(30, 4.0)
    runs = [one for one in queue.drain_events() if isinstance(one, Emitted)]
    assert [(run.first_sample, run.samples, run.at) for run in runs] == [(0, 12, 0), (12, 18, 4)]


def test_what_was_told_to_be_heard_whole_is_played_again_and_told_no_second_time():
    queue = playout()
    queue.enqueue("a", 0, loud(10, 1))
    queue.finish("a", 0)
    Device(queue, latency_s=0.020).run(10)
    queue.rewind(0.021)
    assert queue.take(20, 1.0) == loud(9, 1) + bytes(22)
    told = [one for one in queue.drain_events() if isinstance(one, Finished)]
    assert len(told) == 1


def test_the_fade_of_an_interruption_is_not_played_on_the_next_device():
    queue = playout()
    queue.enqueue("a", 0, loud(30, 1000))
    queue.take(10, 0.0)
    queue.flush(0.0, 8)
    queue.rewind(0.0)
    assert queue.take(10, 1.0) == bytes(20)


def test_an_answer_that_is_held_stays_so_on_the_next_device():
    queue = wire_playout()
    queue.enqueue("a", 0, loud(2400))
    queue.take(480, 0.0)
    queue.set_gain(0.0)
    queue.take(480, 0.02)
    queue.rewind(0.015)
    assert queue.take(480, 1.0)[240:] == bytes(720)
    queue.set_gain(1.0)
    rest = b"".join(queue.take(480, 2.0 + 0.02 * block) for block in range(6))
    assert rest.endswith(loud(100) + bytes(len(rest) - len(rest.rstrip(b"\0"))))


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["take", "lose", "enqueue"]), st.integers(1, 60)), max_size=30
    )
)
def test_however_often_devices_are_lost_every_sample_leaves_one_of_them(steps):
    queue, wanted, now = playout(), b"", 0.0
    left = b""
    latest: list[tuple[float, bytes]] = []
    for number, (what, amount) in enumerate(steps):
        if what == "enqueue":
            pcm = b"".join((number * 100 + k + 1).to_bytes(2, "little") for k in range(amount))
            wanted += pcm
            queue.enqueue("a", 0, pcm)
        elif what == "take":
            latest.append((now + 0.03, queue.take(amount, now + 0.03)))
            now += amount / RATE_HZ
        else:
            queue.rewind(now)
            left += played_by(latest, now)
            latest, now = [], now + 1.0
    latest += [(now + 0.03, queue.take(len(wanted) + 1, now + 0.03))]
    left += played_by(latest, now + 99.0)
    assert left == wanted


def played_by(blocks, at):
    """The samples that are no silence and had left the device."""
    played = b""
    for begins_at, block in blocks:
        samples = min(samples_in(block), max(0, math.floor((at - begins_at) * RATE_HZ + 1e-6)))
        pieces = (block[2 * k : 2 * k + 2] for k in range(samples))
        played += b"".join(piece for piece in pieces if any(piece))
    return played
