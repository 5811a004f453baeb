"""Where a replay goes: to a speaker, or nowhere at the pace of a clock."""

from __future__ import annotations

from collections.abc import Callable

from voicecli.audio.pcm import WIRE_RATE_HZ, samples_in
from voicecli.audio.playback import Finished
from voicecli.audio.ports import Failed, Speaker, SpeakerReport

_ITEM = "replay"


class SilentOutlet:
    """Plays nothing, in the time that it would take.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began_at = clock()
        self._queued_s = 0.0

    def begin(self) -> None:
        self._began_at = self._clock()
        self._queued_s = 0.0

    def put(self, pcm: bytes, seconds: float) -> None:
        """Let `seconds` pass, with `pcm` or without."""
        # A loop that was late has lost its time: what comes next is not hurried.
        late_s = self._clock() - self._began_at - self._queued_s
        self._began_at += max(0.0, late_s)
        self._queued_s += seconds

    def finish(self) -> None:
        """Nothing: what is queued comes to its end."""

    def stop(self) -> float:
        return self.played_s

    @property
    def played_s(self) -> float:
        return min(self._clock() - self._began_at, self._queued_s)


class SpeakerOutlet:
    """Plays on a speaker, which says what has left it, to the sample.

    Args:
        speaker: started with `reported`; the caller closes it.
        on_failure: called once when the speaker is gone, with the reason.
    """

    def __init__(self, speaker: Speaker, on_failure: Callable[[str], None]) -> None:
        self._speaker = speaker
        self._on_failure = on_failure
        self._stretch = 0
        self._samples = 0
        self._is_over = False

    def reported(self, report: SpeakerReport) -> None:
        """What the speaker has to say."""
        match report:
            case Finished(_, stretch) if stretch == self._stretch:
                self._is_over = True
            case Failed(message):
                self._on_failure(message)

    def begin(self) -> None:
        # Each stretch is a part of its own: of one that was stopped nothing may follow.
        self._stretch += 1
        self._samples = 0
        self._is_over = False

    def put(self, pcm: bytes, seconds: float) -> None:
        """Queue `pcm`, which lasts for `seconds`."""
        self._samples += samples_in(pcm)
        self._speaker.play(_ITEM, self._stretch, pcm)

    def finish(self) -> None:
        self._speaker.finish(_ITEM, self._stretch)

    def stop(self) -> float:
        for part in self._speaker.stop():
            if part.content_index == self._stretch:
                return part.emitted_samples / WIRE_RATE_HZ
        return self._samples / WIRE_RATE_HZ if self._is_over else 0.0

    @property
    def played_s(self) -> float:
        for part in self._speaker.heard():
            if part.content_index == self._stretch:
                return part.emitted_samples / WIRE_RATE_HZ
        return self._samples / WIRE_RATE_HZ if self._is_over else 0.0
