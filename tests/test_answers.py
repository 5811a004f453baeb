"""The audio of answers between the wire and the ear, counted per part."""

from hypothesis import given
from hypothesis import strategies as st

from voicecli.answers import Answers, ItemHeard
from voicecli.audio.wire import WireDecoder

MS = 48
"Bytes of a millisecond of PCM16 at 24 kHz."
SAMPLES = 24
"Samples of it."


def answers(wire: str = "pcm") -> Answers:
    return Answers(lambda: WireDecoder(wire))


def receive(to: Answers, item_id: str, ms: int, part: int = 0, response: str = "R") -> None:
    to.receive(item_id, part, response, bytes(ms * MS))


def heard(item_id: str, heard_ms: int, received_ms: int, **more: object) -> ItemHeard:
    fields = {"content_index": 0, "heard_ms": heard_ms, "is_complete": False} | more
    return ItemHeard(
        item_id=item_id, item_heard_ms=heard_ms, item_received_ms=received_ms, **fields
    )


def test_nothing_is_open_before_audio_comes_and_after_all_of_it_was_played():
    some = answers()
    assert not some.are_open
    receive(some, "A", 100)
    assert some.are_open
    assert not some.is_played("A")
    some.complete("A", 0)
    some.played("A", 0)
    assert not some.are_open
    assert some.is_complete("A")
    assert some.is_played("A")


def test_a_sample_torn_between_two_deltas_is_joined_and_counted_once():
    some = answers()
    assert some.receive("A", 0, "R", b"\x01\x02\x03") == b"\x01\x02"
    assert some.receive("A", 0, "R", b"\x04") == b"\x03\x04"
    assert some.receive("A", 0, "R", b"") == b""
    assert some.complete("A", 0) == b""


def test_torn_samples_of_two_parts_do_not_mix():
    some = answers()
    assert some.receive("A", 0, "R", b"\x01") == b""
    assert some.receive("A", 1, "R", b"\x02\x03") == b"\x02\x03"


def test_a_part_is_completed_once_and_only_if_it_is_known():
    some = answers()
    assert some.complete("A", 0) is None
    receive(some, "A", 20)
    assert some.complete("A", 0) == b""
    assert some.complete("A", 0) is None


def test_g711_gives_back_all_of_its_time():
    some = answers("pcmu")
    pcm = b"".join(some.receive("A", 0, "R", b"\xff" * 160) for _ in range(50))
    pcm += some.complete("A", 0)
    assert abs(len(pcm) / MS - 1000) <= 1
    assert abs(some.received_ms("A") - 1000) <= 1


def test_the_parts_of_a_response_that_are_open_are_known_by_its_id():
    some = answers()
    receive(some, "A", 20, response="R1")
    receive(some, "B", 20, response="R2")
    receive(some, "C", 20, response="R1")
    some.complete("A", 0)
    assert [part.item_id for part in some.open_parts_of("R1")] == ["C"]


def test_what_was_heard_of_an_item_adds_up_over_its_parts():
    some = answers()
    receive(some, "A", 100)
    receive(some, "A", 300, part=1)
    some.complete("A", 0)
    some.played("A", 0)
    assert some.heard_ms("A", {1: 50 * SAMPLES}) == 150
    assert some.heard_ms("A", {}) == 100


def test_an_interruption_reports_the_item_that_sounded_and_those_behind_it():
    some = answers()
    receive(some, "A", 1000)
    receive(some, "B", 500)
    cut, whole = some.interrupted({("A", 0): 400 * SAMPLES, ("B", 0): 0})
    assert cut == [heard("A", 400, 1000), heard("B", 0, 500)]
    assert whole == []
    assert not some.are_open


def test_an_item_whose_last_sample_was_leaving_the_device_was_heard_whole():
    some = answers()
    receive(some, "A", 100)
    some.complete("A", 0)
    receive(some, "B", 500)
    cut, whole = some.interrupted({("A", 0): 100 * SAMPLES})
    assert whole == ["A"]
    assert [item.item_id for item in cut] == ["B"]


def test_an_item_of_which_more_was_to_come_was_not_heard_whole():
    some = answers()
    receive(some, "A", 100)
    cut, whole = some.interrupted({("A", 0): 100 * SAMPLES})
    assert (cut, whole) == ([heard("A", 100, 100)], [])


def test_the_position_is_that_in_the_part_where_the_sound_stopped():
    some = answers()
    receive(some, "A", 100)
    some.complete("A", 0)
    some.played("A", 0)
    receive(some, "A", 300, part=1)
    (cut,), _ = some.interrupted({("A", 1): 50 * SAMPLES})
    assert cut == ItemHeard("A", 1, 50, 150, 400, False)


def test_an_item_played_to_its_end_is_no_part_of_an_interruption():
    some = answers()
    receive(some, "A", 100)
    some.complete("A", 0)
    some.played("A", 0)
    assert some.interrupted({}) == ([], [])


def test_no_more_is_heard_than_was_received_whatever_the_speaker_says():
    some = answers()
    receive(some, "A", 100)
    assert some.heard_ms("A", {0: 10**9}) == 100
    (cut,), _ = some.interrupted({("A", 0): 10**9})
    assert cut.heard_ms == 100


def test_a_forgotten_item_begins_anew():
    some = answers()
    receive(some, "A", 100)
    some.forget("A")
    assert not some.has_audio("A")
    receive(some, "A", 20)
    assert some.received_ms("A") == 20


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 2), st.binary(max_size=9))),
    st.dictionaries(st.tuples(st.sampled_from("AB"), st.integers(0, 2)), st.integers(0, 99)),
)
def test_whatever_comes_an_interruption_never_claims_more_than_was_received(deltas, emitted):
    some = answers()
    for item_id, part, encoded in deltas:
        some.receive(item_id, part, "R", encoded)
    cut, whole = some.interrupted(emitted)
    assert all(0 <= one.heard_ms <= one.item_heard_ms <= one.item_received_ms for one in cut)
    assert whole == []
    assert not some.are_open
