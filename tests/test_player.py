"""A recording played: what is heard, what is shown, and going to other times."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_conversation import created, done, message
from helpers_export import frames, recorded
from helpers_recording import Exchange, Maker, make_recording, spoken_frames
from hypothesis import given, settings
from hypothesis import strategies as st

from voicecli import inputs, reports
from voicecli.actions import Tell
from voicecli.audio.pcm import WIRE_RATE_HZ, samples_in
from voicecli.audio.playback import Drained, Finished, Heard, Playout
from voicecli.audio.ports import Failed, SpeakerReport
from voicecli.recording.files import Recording
from voicecli.recording.format import EVENTS_FILE
from voicecli.recording.heard import LATEST_S, Piece
from voicecli.recording.playing.ending import SUDDENLY, ending_of
from voicecli.recording.playing.outlets import SilentOutlet, SpeakerOutlet
from voicecli.recording.playing.pace import Idle
from voicecli.recording.playing.places import BEGINNING
from voicecli.recording.playing.player import Ahead, Player, Shown, Wanted
from voicecli.recording.playing.room import Room
from voicecli.recording.shapes import DAMAGED_LINES

TURNS = [Exchange(1.0, 4000), Exchange(8.0, 6000), Exchange(12.0, 2000), Exchange(30.0, 2000)]
"The second answer is cut off by the third turn; a long silence before the fourth."
SECONDS = 36.0


@dataclass
class Taped:
    """A recording that was made once, and what its speaker gave."""

    path: Path
    played: bytes
    turns: list[Exchange] = field(default_factory=lambda: TURNS)


@pytest.fixture(scope="module")
def taped(tmp_path_factory: pytest.TempPathFactory) -> Taped:
    maker = Maker(tmp_path_factory.mktemp("made") / "talk", keeps_played=True)
    return Taped(maker.talk(SECONDS, TURNS), bytes(maker.played))


OPENED: list[Recording] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Recordings are open files."""
    yield
    while OPENED:
        OPENED.pop().close()


class HandClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TapeSpeaker:
    """The ledger of a real speaker, on a clock that is turned by hand; keeps what is heard."""

    def __init__(self, clock: HandClock) -> None:
        self.tape = bytearray()
        self.report: Callable[[SpeakerReport], None] = lambda report: None
        self._clock = clock
        self._playout = Playout()
        self._taken = 0
        self.underflows = 0
        self.pending_ms = 0

    async def start(self, report: Callable[[SpeakerReport], None]) -> None:
        self.report = report

    def play(self, item_id: str, content_index: int, pcm: bytes) -> None:
        self._playout.enqueue(item_id, content_index, pcm)

    def finish(self, item_id: str, content_index: int) -> None:
        self._playout.finish(item_id, content_index)

    def set_gain(self, gain: float) -> None:
        self.run()
        self._playout.set_gain(gain)

    def stop(self) -> list[Heard]:
        self.run()
        return self._playout.flush(self._clock())

    def heard(self) -> list[Heard]:
        self.run()
        return self._playout.heard(self._clock())

    async def close(self) -> None: ...

    def run(self) -> None:
        due = round(self._clock() * WIRE_RATE_HZ)
        if due > self._taken:
            self.tape += self._playout.take(due - self._taken, self._taken / WIRE_RATE_HZ)
            self._taken = due
        for event in self._playout.drain_events():
            if not isinstance(event, Drained):
                self.report(event)


class Table:
    """A player, and the hand that lets its time pass."""

    def __init__(self, path: Path, *, with_sound: bool = False, **wanted: Any) -> None:
        self.clock = HandClock()
        self.recording = Recording.open(path)
        OPENED.append(self.recording)
        self.speaker = TapeSpeaker(self.clock)
        self.failures: list[str] = []
        self.told: list[reports.Report] = []
        outlet: Any = SilentOutlet(self.clock)
        if with_sound:
            outlet = SpeakerOutlet(self.speaker, self.failures.append)
            self.speaker.report = outlet.reported
        self.player = Player(self.recording, Wanted(**wanted), outlet, with_sound=with_sound)

    def run(self, seconds: float = 1000.0, step_s: float = 0.04) -> float:
        """Let time pass until the player stops; gives how long that took."""
        began = self.clock.now
        while self.player.state == "playing" and self.clock.now - began < seconds:
            self.clock.now += step_s
            self.player.tick()
            self.look()
        return self.clock.now - began

    def play(self, seconds: float = 1000.0) -> float:
        self.player.play()
        self.player.tick()
        return self.run(seconds)

    def look(self) -> None:
        for step in self.player.catch_up():
            self.told += [one.report for one in step.actions if isinstance(one, Tell)]

    @property
    def heard(self) -> np.ndarray:
        return np.frombuffer(bytes(self.speaker.tape), "<i2")

    @property
    def words(self) -> list[str]:
        return [row.text.strip() for row in self.player.shown.conversation.transcript]


# -------------------------------------------------------------------------------- what is heard


def test_the_assistant_is_heard_sample_by_sample_as_the_speaker_gave_it(taped: Taped) -> None:
    table = Table(taped.path, with_sound=True, only="assistant")
    table.play()
    assert table.player.state == "ended"
    original = np.frombuffer(taped.played, "<i2")
    assert np.count_nonzero(original) > 5 * WIRE_RATE_HZ
    # The speaker of the talk was 10 ms behind its own queue.
    late = round(0.01 * WIRE_RATE_HZ)
    length = len(original) - late
    assert np.array_equal(table.heard[late:][:length], original[:length])


def test_the_user_is_heard_where_the_user_spoke(taped: Taped) -> None:
    table = Table(taped.path, with_sound=True, only="user")
    table.play()
    said = np.frombuffer(b"".join(spoken_frames()), "<i2")
    for turn in TURNS:
        begin = round(turn.begins_at * WIRE_RATE_HZ)
        assert np.array_equal(table.heard[begin : begin + len(said)], said)
    quiet = table.heard[round(20 * WIRE_RATE_HZ) : round(29 * WIRE_RATE_HZ)]
    assert not quiet.any()


def test_both_together_are_the_sum_of_each(taped: Taped) -> None:
    sides = {}
    for only in (None, "user", "assistant"):
        table = Table(taped.path, with_sound=True, only=only)
        table.play()
        sides[only] = table.heard.astype(int)
    length = min(map(len, sides.values()))
    both, user, assistant = (sides[only][:length] for only in (None, "user", "assistant"))
    assert np.array_equal(both, np.clip(user + assistant, -32768, 32767))


def test_pausing_and_going_on_loses_nothing_but_the_fade(taped: Taped) -> None:
    whole, paused = (Table(taped.path, with_sound=True) for _ in range(2))
    whole.play()
    pieces = []
    while paused.player.state != "ended":
        begin = len(paused.speaker.tape)
        at = paused.player.at
        paused.play(1.5)
        paused.player.pause()
        pieces.append((at, paused.player.at, begin // 2))
        paused.clock.now += 0.5
        paused.speaker.run()
    for (_, end, _), (at, _, _) in pairwise(pieces):
        assert at == end
    for at, end, begin in pieces:
        samples = round((end - at) * WIRE_RATE_HZ)
        first = round(at * WIRE_RATE_HZ)
        heard = paused.heard[begin : begin + samples - 96]
        assert np.array_equal(heard, whole.heard[first : first + samples - 96])


@pytest.mark.parametrize("speed", [0.5, 2.0, 8.0])
def test_with_a_speed_it_takes_as_much_less_time(taped: Taped, speed: float) -> None:
    for with_sound in (False, True):
        table = Table(taped.path, with_sound=with_sound, speed=speed)
        assert table.play() == pytest.approx(SECONDS / speed, abs=0.2)
        assert table.player.state == "ended"


def test_at_any_speed_what_is_seen_is_what_is_heard(taped: Taped) -> None:
    table = Table(taped.path, with_sound=True, speed=2.0, only="user")
    table.play(16.0)
    table.speaker.run()
    loud = np.flatnonzero(np.abs(table.heard[: 2 * WIRE_RATE_HZ].astype(int)) > 500)
    assert loud[0] / WIRE_RATE_HZ == pytest.approx(0.5, abs=0.15)
    assert table.player.at == pytest.approx(32.0, abs=0.1)


# ------------------------------------------------------------------------------------------ idle


def test_idle_stretches_are_cut_short_and_all_that_is_said_is_heard(taped: Taped) -> None:
    whole = Table(taped.path, with_sound=True)
    whole.play()
    table = Table(taped.path, with_sound=True, idle_limit_s=0.5)
    took = table.play()
    assert took < SECONDS - 12
    assert np.count_nonzero(table.heard) == np.count_nonzero(whole.heard)
    assert table.words == whole.words


def test_without_sound_the_same_is_cut(taped: Taped) -> None:
    tables = [Table(taped.path, with_sound=one, idle_limit_s=0.5) for one in (False, True)]
    times = [table.play() for table in tables]
    assert times[0] == pytest.approx(times[1], abs=0.1)


def test_a_silence_of_ten_minutes_is_passed_in_a_moment(tmp_path: Path) -> None:
    turns = [Exchange(1.0, 2000), Exchange(590.0, 2000)]
    path = Maker(tmp_path / "long", audio="none").talk(600, turns)
    assert Table(path, idle_limit_s=1.0).play() < 14


# ---------------------------------------------------------------------------------- what is shown


def test_what_was_told_is_told_again_and_nothing_else(taped: Taped) -> None:
    table = Table(taped.path)
    table.play()
    recorded = [
        entry.value(0)["type"] for entry in table.recording.entries() if entry.code == "tell"
    ]
    assert [report.type for report in table.told] == recorded
    assert recorded.count("barge_in") == 1


def test_a_word_lights_up_when_it_is_heard(taped: Taped) -> None:
    table = Table(taped.path)
    table.play(5.0)
    at = table.player.at
    (heard,) = table.player.shown.heard(at)
    (sounded,) = [
        entry.all_values for entry in table.recording.entries() if entry.code == "started"
    ][:1]
    assert heard.item_id == "item_a1"
    assert heard.emitted_samples / WIRE_RATE_HZ == pytest.approx(at - sounded[2], abs=0.001)
    table.run(2.5)
    assert table.player.shown.heard(table.player.at) == ()


def test_the_summary_is_that_of_the_talk(taped: Taped) -> None:
    table = Table(taped.path)
    table.play()
    summary = ending_of(table.recording).summary(table.player.shown.conversation)
    assert isinstance(summary, reports.SummaryReport)
    assert (summary.reason, summary.turns, summary.interruptions) == ("quit", 4, 1)
    assert (summary.total_tokens, round(summary.seconds)) == (120, 36)


def test_it_ends_where_it_is_told_to(taped: Taped) -> None:
    table = Table(taped.path, with_sound=True, from_s=2.0, to_s=5.0)
    assert table.play() == pytest.approx(3.0, abs=0.1)
    assert (table.player.state, table.player.at) == ("ended", 5.0)


def test_it_stops_before_each_turn_and_goes_on(taped: Taped) -> None:
    table = Table(taped.path, with_sound=True, stops_at_turns=True)
    stops = []
    while table.player.state != "ended":
        table.play()
        stops.append(round(table.player.at, 2))
    assert stops[:-1] == pytest.approx(
        [stop for stop in table.player.route.stops if stop > 0.05], abs=0.011
    )
    assert len(stops) == 5


# ------------------------------------------------------------------------------- going elsewhere


def texts_before(path: Path, at: float) -> list[str]:
    """The rows as they stand at a time, when all is played from the beginning."""
    with Recording.open(path) as recording:
        shown = Shown(recording)
        for _ in shown.until(at):
            pass
        return [row.text for row in shown.conversation.transcript]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, SECONDS), min_size=1, max_size=6))
def test_wherever_one_goes_it_is_as_if_one_had_come_there(
    taped: Taped, targets: list[float]
) -> None:
    table = Table(taped.path)
    for at in targets:
        table.player.seek(at)
        for _ in table.player.catch_up():
            pass
    shown, expected = table.player.shown.conversation, texts_before(taped.path, targets[-1])
    texts = [row.text for row in shown.transcript]
    assert texts == expected[len(expected) - len(texts) :]
    with Recording.open(taped.path) as recording:
        straight = Shown(recording)
        for _ in straight.until(table.player.at):
            pass
        assert shown.counts == straight.conversation.counts
        assert shown.phase == straight.conversation.phase
        assert shown.timing.median_ms == straight.conversation.timing.median_ms


@pytest.mark.parametrize("at", [0.0, 4.0, 9.5, 12.5, 31.0])
def test_what_is_heard_after_going_somewhere_is_what_is_heard_there(
    taped: Taped, at: float
) -> None:
    whole, there = (Table(taped.path, with_sound=True) for _ in range(2))
    whole.play()
    there.player.seek(20.0)
    there.play(0.5)
    there.player.seek(at)
    there.speaker.run()
    begin = len(there.heard) + 96
    there.play(3.0)
    first = round(at * WIRE_RATE_HZ)
    heard = there.heard[begin : begin + 2 * WIRE_RATE_HZ]
    assert np.array_equal(heard, whole.heard[first : first + 2 * WIRE_RATE_HZ])


def test_going_a_little_forward_leaves_nothing_out(taped: Taped) -> None:
    table = Table(taped.path)
    table.play(3.0)
    assert not table.player.seek(31.0)
    table.look()
    assert len(table.words) == 7


def test_going_back_begins_the_transcript_anew(taped: Taped) -> None:
    table = Table(taped.path)
    table.play(33.0)
    assert table.player.seek(29.0)
    table.look()
    assert table.player.shown.place.turns == 3
    assert table.words == []


def test_a_marker_has_its_number_wherever_one_comes_from(tmp_path: Path) -> None:
    given = [
        (0.5, inputs.MarkerSet()),
        (1.0, inputs.TextTyped("first")),
        (1.2, created("R1")),
        (1.3, done("R1", message("A", text="one"))),
        (1.5, inputs.MarkerSet()),
        *frames(1.5, 8.0),
        (8.0, inputs.MarkerSet()),
    ]
    table = Table(recorded(tmp_path / "made", given), from_s=7.5)
    assert table.player.route.markers == (0.5, 1.5, 8.0)
    assert table.player.shown.place.markers == 1
    table.play()
    numbers = [one.number for one in table.told if isinstance(one, reports.MarkerReport)]
    assert numbers == [2, 3]


def test_the_end_and_the_beginning_are_as_far_as_one_can_go(taped: Taped) -> None:
    table = Table(taped.path)
    table.player.seek(1e9)
    assert table.player.at == pytest.approx(SECONDS, abs=0.03)
    table.player.play()
    assert table.player.state == "ended"
    table.player.seek(-5.0)
    assert table.player.at == 0.0
    assert table.play(1.0) == pytest.approx(1.0, abs=0.1)


def test_another_speed_goes_on_at_the_same_place(taped: Taped) -> None:
    table = Table(taped.path, with_sound=True)
    table.play(3.0)
    at = table.player.at
    table.player.set_speed(2.0)
    assert table.player.at == pytest.approx(at, abs=0.005)
    table.run(1.0)
    assert table.player.at == pytest.approx(at + 2.0, abs=0.1)


# ------------------------------------------------------------------------------------ the outlets


def test_without_a_speaker_a_loop_that_is_late_loses_no_recorded_time(taped: Taped) -> None:
    table = Table(taped.path)
    table.play(1.0)
    table.clock.now += 30.0
    table.player.tick()
    assert table.player.at < 1.6
    table.run(1.0)
    assert table.player.at == pytest.approx(2.3, abs=0.4)


def test_the_loss_of_a_speaker_is_told_to_whoever_wants_to_know() -> None:
    failures: list[str] = []
    outlet = SpeakerOutlet(TapeSpeaker(HandClock()), failures.append)
    outlet.reported(Failed("the device went away"))
    assert failures == ["the device went away"]


def test_what_is_over_has_been_played_whole() -> None:
    clock = HandClock()
    speaker = TapeSpeaker(clock)
    outlet = SpeakerOutlet(speaker, lambda _: None)
    speaker.report = outlet.reported
    outlet.begin()
    outlet.put(b"\1\0" * 2400, 0.1)
    outlet.finish()
    clock.now = 1.0
    assert outlet.played_s == outlet.stop() == 0.1
    outlet.reported(Finished("replay", 0, 0.0))
    outlet.begin()
    assert outlet.played_s == 0.0


# --------------------------------------------------------------------------------------- the room


def test_loud_sounds_of_both_sides_are_clipped_and_do_not_wrap() -> None:
    room = Room()
    loud = np.array([30_000, -30_000, 1], "<i2").tobytes()
    room.put(Piece("user", 0, loud))
    room.put(Piece("assistant", 1, loud))
    mixed = np.frombuffer(room.mixed(-1, 6), "<i2")
    assert mixed.tolist() == [0, 30_000, 0, -29_999, 1, 0]
    room.put(Piece("user", 0, loud))
    assert np.frombuffer(room.mixed(0, 2), "<i2").tolist() == [32_767, -30_000]


def test_the_room_forgets_what_ended() -> None:
    room = Room()
    for position in range(0, 10_000, 480):
        room.put(Piece("user", position, b"\1\0" * 480))
        room.forget(position)
    assert len(room._pieces) <= 2
    assert samples_in(room.mixed(9_600, 100)) == 100


# ------------------------------------------------------------------------- damaged recordings


def damaged(path: Path, to: Path, change: Callable[[bytes], bytes]) -> Path:
    """A copy whose events were changed."""
    to.mkdir()
    for file in path.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    (to / EVENTS_FILE).write_bytes(change((path / EVENTS_FILE).read_bytes()))
    return to


def test_a_recording_that_ended_suddenly_is_played_to_its_last_line(
    taped: Taped, tmp_path: Path
) -> None:
    path = damaged(taped.path, tmp_path / "torn", lambda text: text[: len(text) // 2])
    table = Table(path, with_sound=True)
    table.play()
    assert table.player.state == "ended"
    assert table.words[:2] == [*texts_before(taped.path, 7.0)[:1], table.words[1]]
    assert ending_of(table.recording).reason == SUDDENLY
    assert len(table.recording.warnings) == 1


def test_lines_that_make_no_sense_are_passed_over_with_one_warning(
    taped: Taped, tmp_path: Path
) -> None:
    def spoil(text: bytes) -> bytes:
        lines = text.split(b"\n")
        for position, line in enumerate(lines[1:], 1):
            if b'"emitted"' in line or position % 50 == 0:
                lines[position] = line[:5] + b',"emitted"]' if position % 3 else b"\xff{nonsense"
        return b"\n".join(lines)

    path = damaged(taped.path, tmp_path / "spoilt", spoil)
    table = Table(path, with_sound=True, idle_limit_s=1.0)
    table.play()
    assert table.player.state == "ended"
    assert DAMAGED_LINES in table.recording.warnings
    assert len(table.recording.warnings) <= 2


def test_without_its_audio_silence_is_played(taped: Taped, tmp_path: Path) -> None:
    path = damaged(taped.path, tmp_path / "mute", lambda text: text)
    for name in ("user.pcm", "assistant.pcm"):
        (path / name).unlink()
    table = Table(path, with_sound=True)
    assert table.play() == pytest.approx(SECONDS, abs=0.2)
    assert not table.heard.any()
    assert len(table.recording.warnings) == 2


def test_g711_recordings_are_heard_as_the_speaker_gave_them(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "law", wire="pcmu", keeps_played=True)
    path = maker.talk(12.0, [Exchange(1.0, 3000)])
    table = Table(path, with_sound=True, only="assistant")
    table.play()
    original = np.frombuffer(bytes(maker.played), "<i2")
    assert np.count_nonzero(original) > 2 * WIRE_RATE_HZ
    assert np.array_equal(table.heard[240 : len(original)], original[: len(original) - 240])


# ----------------------------------------------------------------------------------- long ones


@pytest.fixture(scope="module")
def ten_minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recording(tmp_path_factory.mktemp("long") / "talk", 600.0, audio="assistant")


def test_memory_does_not_grow_with_what_has_been_played(ten_minutes: Path) -> None:
    table = Table(ten_minutes, with_sound=True)
    table.player.play()
    table.player.tick()
    sizes = []
    tracemalloc.start()
    for _ in range(4):
        table.run(20.0)
        del table.speaker.tape[:]
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[-1] < sizes[0] + 300_000, sizes


def test_going_anywhere_reads_only_what_is_near(ten_minutes: Path) -> None:
    with Recording.open(ten_minutes) as recording:
        read = []
        real = recording.entries

        def counted(position: int | None = None) -> Any:
            for entry in real(position):
                read.append(entry.at)
                yield entry

        recording.entries = counted  # type: ignore[method-assign]
        player = Player(recording, Wanted(), SilentOutlet(HandClock()), with_sound=True)
        for at in (580.0, 100.0, 300.0):
            read.clear()
            player.seek(at)
            list(player.catch_up())
            player.play()
            player.tick()
            assert min(read) > at - 40
            assert len(read) < 7000


def test_what_the_reader_ahead_says_it_knows_is_what_will_be_heard(taped: Taped) -> None:
    def reader() -> Ahead:
        recording = Recording.open(taped.path)
        OPENED.append(recording)
        return Ahead(recording, BEGINNING, 0.0, Idle(), with_sound=True, only=None)

    def sound(ahead: Ahead, until_s: float) -> bytes:
        step = WIRE_RATE_HZ // 10
        return b"".join(
            ahead.room.mixed(at, step) for at in range(0, round(until_s * WIRE_RATE_HZ), step)
        )

    whole = reader()
    whole.read_until(float("inf"))
    assert whole.known_s == float("inf")
    everything = sound(whole, 12)
    for at in (3.1, 6.0, 11.0):
        ahead = reader()
        ahead.read_until(at)
        # As late as a report of the speaker may come, and no later: else playing waits for nothing.
        assert ahead.known_s == pytest.approx(at - LATEST_S, abs=0.03)
        known = sound(ahead, ahead.known_s - 0.1)
        assert known == everything[: len(known)]
