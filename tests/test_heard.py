"""What was heard, on the time line of the session."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from voicecli import inputs
from voicecli.actions import Action, Play
from voicecli.audio.playback import Heard, faded_out
from voicecli.recording.fold import Step
from voicecli.recording.format import Entry, decode_entry, frame_line, line
from voicecli.recording.heard import HeardAudio, Piece


def entry(text: bytes) -> Entry:
    made = decode_entry(text)
    assert made is not None
    return made


def happens(
    heard: HeardAudio, an_input: inputs.Input, at: float = 0.0, actions: Sequence[Action] = ()
) -> list[Piece]:
    return heard.step(Step(at, an_input, actions, entry(line(at, "x"))))


def frame(heard: HeardAudio, at: float, *, sent: bool = True) -> list[Piece]:
    audio = b"\1\1" * 480
    written = frame_line(at, voice=False, sent=audio if sent else None, sound=None)
    return heard.step(Step(at, inputs.MicFrame(audio), (), entry(written)))


def samples(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little", signed=True) for value in values)


def test_runs_lie_where_they_left_the_speaker_whatever_their_order_of_coming() -> None:
    heard = HeardAudio()
    happens(
        heard, inputs.Woke(), actions=[Play("a", 0, samples(1, 2, 3)), Play("b", 0, samples(9))]
    )
    happens(heard, inputs.Woke(), actions=[Play("a", 0, samples(4, 5))])
    assert happens(heard, inputs.PartEmitted("a", 0, 0, 2, 1.0)) == [
        Piece("assistant", 24_000, samples(1, 2))
    ]
    assert happens(heard, inputs.PartEmitted("b", 0, 0, 1, 3.0)) == [
        Piece("assistant", 72_000, samples(9))
    ]
    assert happens(heard, inputs.PartEmitted("a", 0, 2, 3, 2.0)) == [
        Piece("assistant", 48_000, samples(3, 4, 5))
    ]


def test_an_interruption_fades_and_forgets_the_rest() -> None:
    heard = HeardAudio()
    sound = samples(*[1000] * 20)
    happens(heard, inputs.Woke(), actions=[Play("a", 0, sound)])
    (piece,) = happens(heard, inputs.PartEmitted("a", 0, 0, 10, 1.0, 4))
    assert piece.pcm == sound[:12] + faded_out(sound[:8])
    happens(heard, inputs.PlaybackStopped((Heard("a", 0, 20, 10),)))
    assert happens(heard, inputs.PartEmitted("a", 0, 10, 10, 2.0)) == []


def test_a_run_of_something_unknown_is_nothing() -> None:
    assert happens(HeardAudio(), inputs.PartEmitted("a", 0, 0, 10, 1.0)) == []


def test_frames_that_tremble_lie_one_behind_the_other() -> None:
    heard = HeardAudio()
    times = [0.02 * n + (0.013 if n % 3 else 0.0) for n in range(1, 60)]
    pieces = [piece for at in times for piece in frame(heard, at)]
    assert [piece.position for piece in pieces] == [
        pieces[0].position + 480 * n for n in range(len(pieces))
    ]
    assert pieces[0].end == pieces[1].position


def test_frames_that_come_in_a_burst_lie_where_they_were_captured() -> None:
    heard = HeardAudio()
    times = [0.02 * n for n in range(1, 11)] + [0.5] * 15 + [0.02 * n for n in range(26, 40)]
    pieces = [piece for at in times for piece in frame(heard, at)]
    assert [piece.position for piece in pieces] == [480 * n for n in range(39)]


def test_frames_that_were_lost_leave_a_gap() -> None:
    heard = HeardAudio()
    times = [0.02 * n for n in range(1, 11)] + [0.02 * n for n in range(61, 120)]
    pieces = [piece for at in times for piece in frame(heard, at)]
    assert pieces[-1].position == 480 * 118
    assert all(one.end <= other.position for one, other in pairwise(pieces))


def test_frames_that_were_not_sent_are_silence_and_take_their_time() -> None:
    heard = HeardAudio()
    assert frame(heard, 0.02, sent=False) == []
    (piece,) = frame(heard, 0.04)
    assert piece.position == 480


def test_a_device_that_was_lost_is_followed_by_one_that_begins_a_little_before() -> None:
    heard = HeardAudio()
    happens(heard, inputs.Woke(), actions=[Play("a", 0, samples(*range(1, 41)))])
    happens(heard, inputs.PartEmitted("a", 0, 0, 30, 1.0))
    (piece,) = happens(heard, inputs.PartEmitted("a", 0, 25, 15, 3.0))
    assert piece == Piece("assistant", 72_000, samples(*range(26, 41)))
