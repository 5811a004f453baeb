"""What had left the speaker by a moment, found again in a recording."""

from pathlib import Path

from helpers_recording import Exchange, Maker

from voicecli.recording.files import Recording
from voicecli.recording.format import input_of
from voicecli.recording.heard import LATEST_S
from voicecli.recording.playing.sounding import Sounding


class WatchingMaker(Maker):
    """Writes down what the speaker says at every tick."""

    def play_out(self) -> None:
        super().play_out()
        if not hasattr(self, "seen"):
            self.seen: list[tuple[float, dict[tuple[str, int], int]]] = []
        self.seen.append((self.at, emitted_by(self._playout.heard(self.at))))


def emitted_by(heard) -> dict[tuple[str, int], int]:
    return {
        (one.item_id, one.content_index): one.emitted_samples
        for one in heard
        if one.emitted_samples
    }


def test_at_every_moment_it_says_what_the_speaker_said(tmp_path: Path):
    maker = WatchingMaker(tmp_path / "talk")
    turns = [Exchange(1.0, 3000), Exchange(8.0, 4000), Exchange(11.5, 2000)]
    maker.talk(18.0, turns)
    assert maker.conversation.counts.interruptions == 1
    sounding, found = Sounding(), {}
    with Recording.open(maker.path) as recording:
        for entry in sounding.read_ahead(recording.entries()):
            for at, _ in maker.seen:
                if at not in found and at < entry.at:
                    found[at] = emitted_by(sounding.heard(at))
            an_input = input_of(entry)
            if an_input is not None:
                sounding.stepped(an_input)
    seen = {at: emitted for at, emitted in maker.seen if at in found}
    assert len(seen) > 800
    # One sample may go either way; and a part that is over is forgotten a tick apart.
    different = {at: found[at] for at in found if not is_near(found[at], seen[at])}
    assert len(different) <= 3
    assert not any(different.values())


def is_near(one: dict[tuple[str, int], int], other: dict[tuple[str, int], int]) -> bool:
    return one.keys() == other.keys() and all(abs(one[key] - other[key]) <= 1 for key in one)


def test_entries_come_in_their_order_and_none_is_missing(tmp_path: Path):
    path = Maker(tmp_path / "talk").talk(5.0)
    with Recording.open(path) as recording:
        assert list(Sounding().read_ahead(recording.entries())) == list(recording.entries())


def test_it_reads_no_farther_ahead_than_it_has_to(tmp_path: Path):
    path = Maker(tmp_path / "talk").talk(20.0)
    farthest = 0.0

    def followed(entries):
        nonlocal farthest
        for entry in entries:
            farthest = entry.at
            yield entry

    with Recording.open(path) as recording:
        for entry in Sounding().read_ahead(followed(recording.entries())):
            assert farthest - entry.at < LATEST_S + 0.5
