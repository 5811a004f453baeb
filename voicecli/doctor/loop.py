"""Plays a sound on a speaker and keeps what the microphone hears of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from voicecli.audio.pcm import SAMPLE_BYTES, WIRE_RATE_HZ, samples_in
from voicecli.audio.playback import Emitted, Started
from voicecli.audio.ports import Microphone, Speaker, SpeakerReport

_PART = "sound"
_GAP_MS = 0.5


@dataclass(frozen=True)
class Caught:
    """What was heard, and when what was played left the speaker."""

    pcm: bytes
    "PCM16 at 24 kHz, from before the sound on."
    left_at_ms: float
    "Of the first sample played, counted from the first of `pcm`."
    handed_over_ms: float
    "From handing the sound over until it left."
    gaps: int
    "Gaps in what was played, and frames of what was heard that got lost."


class _Capture:
    """Frames as they come, and the time line they are on.

    A frame may be late and never early: so the earliest arrival, counted in samples, is the truth.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.pcm = bytearray()
        self.begun_at = float("inf")
        self._clock = clock

    def deliver(self, frame: bytes) -> None:
        self.pcm += frame
        samples = len(self.pcm) // SAMPLE_BYTES
        self.begun_at = min(self.begun_at, self._clock() - samples / WIRE_RATE_HZ)


async def play_and_listen(
    microphone: Microphone,
    speaker: Speaker,
    pcm: bytes,
    *,
    before_s: float,
    after_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Caught | None:
    """Play `pcm` and listen from before until after it; None if it never left the speaker.

    Both ends are open and not started, and run on `clock`.

    Args:
        microphone: where it is to be heard.
        speaker: where it is played.
        pcm: the sound, PCM16 at 24 kHz.
        before_s: of listening before it is handed over.
        after_s: of listening after its end.
        clock: of the speaker's reports.
    """
    capture = _Capture(clock)
    reports: list[SpeakerReport] = []
    await microphone.start(capture.deliver)
    await speaker.start(reports.append)
    await asyncio.sleep(before_s)
    # While a device starts, frames come when they like: only from here on is the line a line.
    capture.begun_at = float("inf")
    handed_at = clock()
    speaker.play(_PART, 0, pcm)
    speaker.finish(_PART, 0)
    await asyncio.sleep(samples_in(pcm) / WIRE_RATE_HZ + after_s)
    left_at = next((one.at for one in reports if isinstance(one, Started)), None)
    if left_at is None or not capture.pcm:
        return None
    begun_at = capture.begun_at
    return Caught(
        pcm=bytes(capture.pcm),
        left_at_ms=(left_at - begun_at) * 1000,
        handed_over_ms=(left_at - handed_at) * 1000,
        gaps=_gaps(reports) + microphone.dropped_frames,
    )


def _gaps(reports: list[SpeakerReport]) -> int:
    runs = [one for one in reports if isinstance(one, Emitted)]
    gaps = 0
    for one, following in itertools.pairwise(runs):
        ends_at = one.at + one.samples / WIRE_RATE_HZ
        gaps += following.at - ends_at > _GAP_MS / 1000
    return gaps
