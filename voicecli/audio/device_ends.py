"""The two ends of the sound devices as a talk has them: they last, while streams come and go.

A stream brings a port of its own, an `Intake` or an `Outlet`, which the audio thread fills or
empties. One port is connected at a time; what an older stream does is seen by nobody.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from voicecli.audio.outlet import Outlet
from voicecli.audio.pcm import (
    FRAME_MS,
    SAMPLE_BYTES,
    SILENT_FRAME,
    WIRE_RATE_HZ,
    Framer,
    is_digital_silence,
    ms_of_samples,
    samples_of_ms,
)
from voicecli.audio.playback import Heard, Playout
from voicecli.audio.ports import SpeakerReport
from voicecli.audio.resample import Resampler

if TYPE_CHECKING:
    from voicecli.audio.cleaning_thread import CleaningThread

Clock = Callable[[], float]

_WAITING_FRAMES: Final = 50
"Microphone frames that may wait for the loop; then the oldest is dropped and counted."
_SILENT_AFTER_FRAMES: Final = 100
_REBUFFER_MS: Final = 60
"After a gap; halves the gaps of a server that sends short deltas at the pace of real time."


class Intake:
    """Where one capture stream puts what it captures."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.blocks = Framer(rate_hz * FRAME_MS // 1000 * SAMPLE_BYTES)
        self.waiting: deque[bytes] = deque()
        self.resampler = Resampler(rate_hz, WIRE_RATE_HZ)
        self.frames = Framer()
        self.early_s = 0.0
        "How much of the next frame was there before the block that completes it."
        self.cleaned: deque[tuple[bytes, bool]] = deque()
        "Frames to be delivered, and whether each was captured as digital silence."
        self.lost_frames = 0
        "Of those that were cleaned."

    def give(self, cleaned: bytes, captured: bytes) -> None:
        """Have a frame delivered; for the thread that cleans."""
        if len(self.cleaned) >= _WAITING_FRAMES:
            self.cleaned.popleft()
            self.lost_frames += 1
        self.cleaned.append((cleaned, is_digital_silence(captured)))


class DeviceMicrophone:
    """The capture side of `AudioDevices`; satisfies `Microphone`.

    Frames captured before `start` and after `close` go nowhere. While there is no device, frames of
    silence come in its place, so that the server's clock goes on.
    """

    def __init__(self) -> None:
        self.dropped_frames = 0
        self.cleaning: CleaningThread | None = None
        "What all that is captured goes through, if it is to be cleaned."
        self._deliver: Callable[[bytes], None] | None = None
        self._intake: Intake | None = None
        self._zero_frames = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> bool:
        """A device never ends."""
        return False

    @property
    def silent(self) -> bool:
        return self._zero_frames >= _SILENT_AFTER_FRAMES

    async def start(self, deliver: Callable[[bytes], None]) -> None:
        if self._intake is not None:
            self._intake.waiting.clear()
            self._intake.cleaned.clear()
        self._deliver = deliver

    async def close(self) -> None:
        self._deliver = None
        self._stop_standing_in()

    def connect(self, intake: Intake) -> None:
        """Frames come from this stream now; for the loop's thread."""
        self._stop_standing_in()
        self._zero_frames = 0
        self._intake = intake

    def disconnect(self, silent_for_s: float) -> None:
        """The stream is gone; silence stands in for it until `connect`. For the loop's thread.

        Args:
            silent_for_s: how long ago it gave its last frame.
        """
        self.hand_over()
        self._intake = None
        self._zero_frames = 0
        loop = asyncio.get_running_loop()
        self._stand_in(loop, loop.time() - silent_for_s)

    def captured(
        self, intake: Intake, block: bytes, overflowed: bool = False, adc_at: float = 0.0
    ) -> bool:
        """Keep what was captured; whether there is something to hand over.

        For the audio thread only. `adc_at` is when the block's first sample came to the device.
        """
        adc_at -= intake.blocks.waiting_bytes / SAMPLE_BYTES / intake.rate_hz
        complete = intake.blocks.push(block)
        if self._deliver is None or intake is not self._intake:
            return False
        self.dropped_frames += overflowed  # The device says that it lost some, and not how much.
        cleaning = self.cleaning  # The loop may take it away at any moment.
        if cleaning is not None:
            for frame in complete:
                self.dropped_frames += not cleaning.captured(intake, frame, adc_at, overflowed)
                overflowed, adc_at = False, adc_at + FRAME_MS / 1000
            return False
        for frame in complete:
            if len(intake.waiting) >= _WAITING_FRAMES:
                intake.waiting.popleft()
                self.dropped_frames += 1
            intake.waiting.append(frame)
        return bool(complete)

    def hand_over(self) -> None:
        """Deliver the frames that wait; for the loop's thread."""
        intake = self._intake
        while intake is not None and intake.waiting and self._deliver is not None:
            captured = intake.resampler.process(intake.waiting.popleft())
            for frame in intake.frames.push(captured):
                self._hand_over(frame, is_digital_silence(frame))
        while intake is not None and intake.cleaned and self._deliver is not None:
            self._hand_over(*intake.cleaned.popleft())
        if intake is not None:
            lost, intake.lost_frames = intake.lost_frames, 0
            self.dropped_frames += lost

    def _hand_over(self, frame: bytes, was_zero: bool) -> None:
        self._zero_frames = self._zero_frames + 1 if was_zero else 0
        if self._deliver is not None:
            self._deliver(frame)

    def _stand_in(self, loop: asyncio.AbstractEventLoop, given_until: float) -> None:
        """Deliver the silence that is due, and come again for the next frame."""
        due = int((loop.time() - given_until) * 1000 / FRAME_MS)
        for _ in range(min(due, _WAITING_FRAMES)):
            if self._deliver is not None:
                self._deliver(SILENT_FRAME)
        given_until += due * FRAME_MS / 1000
        self._timer = loop.call_at(given_until + FRAME_MS / 1000, self._stand_in, loop, given_until)

    def _stop_standing_in(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class DeviceSpeaker:
    """The playing side of `AudioDevices`; satisfies `Speaker`.

    `Drained` and `Started` come a few milliseconds before their `at`: as soon as the device took
    the samples. `underflows` counts the device's own gaps, too. While there is no device, what is
    queued waits.
    """

    def __init__(self, clock: Clock, fade_ms: float) -> None:
        self._clock = clock
        self._fade_samples = samples_of_ms(fade_ms)
        self._lock = threading.Lock()
        self._report: Callable[[SpeakerReport], None] | None = None
        self._device_underflows = 0
        self._playout = Playout(rebuffer_samples=samples_of_ms(_REBUFFER_MS))
        self._outlet: Outlet | None = None
        self.cleaning: CleaningThread | None = None
        "What has to know all that is played, if the microphone is to be cleaned of it."

    @property
    def underflows(self) -> int:
        return self._device_underflows + self._playout.underflows

    @property
    def pending_ms(self) -> int:
        return ms_of_samples(self._playout.pending_samples)

    async def start(self, report: Callable[[SpeakerReport], None]) -> None:
        self._report = report

    async def close(self) -> None:
        self.stop()
        self._report = None

    def play(self, item_id: str, content_index: int, pcm: bytes) -> None:
        with self._lock:
            self._playout.enqueue(item_id, content_index, pcm)

    def finish(self, item_id: str, content_index: int) -> None:
        with self._lock:
            self._playout.finish(item_id, content_index)

    def set_gain(self, gain: float) -> None:
        with self._lock:
            self._playout.set_gain(gain)

    def stop(self) -> list[Heard]:
        with self._lock:
            heard = self._playout.flush(self._clock(), self._fade_samples)
        self.report_events()
        return heard

    def heard(self) -> list[Heard]:
        with self._lock:
            return self._playout.heard(self._clock())

    def connect(self, outlet: Outlet) -> None:
        """What is queued goes to this stream from now on; for the loop's thread."""
        with self._lock:
            self._outlet = outlet

    def disconnect(self, left_until: float) -> None:
        """The stream is gone: take back what it had not played. For the loop's thread.

        Args:
            left_until: what was to leave it later than this counts as not heard.
        """
        with self._lock:
            self._outlet = None
            self._playout.rewind(left_until)
        self.report_events()

    def take(
        self, outlet: Outlet, samples: int, dac_at: float, underflowed: bool
    ) -> tuple[bytes, bool]:
        """The next block, and whether there is something to report. For the audio thread only."""
        with self._lock:
            if outlet is not self._outlet:
                return bytes(samples * SAMPLE_BYTES), False
            self._device_underflows += underflowed
            block = outlet.take(samples, dac_at, self._playout.take)
            cleaning = self.cleaning  # The loop may take it away at any moment.
            if cleaning is not None:
                cleaning.played(outlet, outlet.rate_hz, block, dac_at, underflowed)
            return block, self._playout.has_events

    def report_events(self) -> None:
        """Report what happened; for the loop's thread."""
        with self._lock:
            events = self._playout.drain_events()
        for event in events:
            if self._report is not None:
                self._report(event)
