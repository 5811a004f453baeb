"""The thread in which the microphone is cleaned: not the audio threads, and not the loop's.

The callbacks of both streams put their blocks here, with their times, and go. Captured blocks wake
the thread; played ones wait until then.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Final, NamedTuple

from voicecli.audio.cleaning import Cleaner
from voicecli.audio.device_ends import Intake
from voicecli.audio.pcm import SAMPLE_BYTES

_WAITING_BLOCKS: Final = 50
"Captured blocks that may wait; then the newest is dropped and counted."
_PLAYED_BLOCKS: Final = 1200
"While nothing is captured the oldest of these are forgotten."
_END_PATIENCE_S: Final = 1.0
_LOOK_S: Final = 0.002
_LOOKS: Final = 20
"So often it is looked whether what a frame needs has been played: for two frames at the least."
_FRAMES_BEHIND: Final = 2
"While so many wait, none is held back for what is not played: there may be no speaker."


class _Played(NamedTuple):
    stream: object
    "Another one is another device, or the same opened again."
    rate_hz: int
    block: bytes
    dac_at: float
    underflowed: bool


class _Captured(NamedTuple):
    intake: Intake
    block: bytes
    adc_at: float
    broke: bool


class CleaningThread:
    """Cleans what was captured, and gives it to the intake that it came by.

    Args:
        cleaner: used by this thread only.
        wake: called in this thread when there is something to deliver.
        found_echo: called in this thread, once, when what is sent resembles what was played.
        failed: called in this thread, once, when cleaning broke down; from then on the microphone
            is sent as it is.
    """

    def __init__(
        self,
        cleaner: Cleaner,
        wake: Callable[[], None],
        found_echo: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        self._cleaner: Cleaner | None = cleaner
        self._wake = wake
        self._found_echo = found_echo
        self._failed = failed
        self._has_told = False
        self._played: deque[_Played] = deque(maxlen=_PLAYED_BLOCKS)
        self._captured: SimpleQueue[_Captured | None] = SimpleQueue()
        self._lost_one = False
        self._stream: object = None
        self._intake: Intake | None = None
        self._thread = threading.Thread(target=self._run, name="cleaning", daemon=True)

    def start(self) -> None:
        """Begin; at most once."""
        self._thread.start()

    def close(self) -> None:
        """End; what waits is not cleaned any more."""
        self._captured.put(None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_END_PATIENCE_S)

    def played(
        self, stream: object, rate_hz: int, block: bytes, dac_at: float, underflowed: bool
    ) -> None:
        """A block was given to the speaker; for its audio thread."""
        self._played.append(_Played(stream, rate_hz, block, dac_at, underflowed))

    def captured(self, intake: Intake, block: bytes, adc_at: float, overflowed: bool) -> bool:
        """A block came from the microphone; for its audio thread. Whether there was room for it."""
        if self._captured.qsize() >= _WAITING_BLOCKS:
            self._lost_one = True
            return False
        broke, self._lost_one = overflowed or self._lost_one, False
        self._captured.put(_Captured(intake, block, adc_at, broke))
        return True

    def _run(self) -> None:
        while (captured := self._captured.get()) is not None:
            self._take_played()
            if self._take_captured(captured):
                self._wake()
            if self._cleaner is not None and self._cleaner.has_found_echo and not self._has_told:
                self._has_told = True
                self._found_echo()

    def _take_played(self) -> None:
        while self._played:
            one = self._played.popleft()
            if self._cleaner is not None:
                with self._giving_up():
                    self._take_one_played(self._cleaner, one)

    def _take_one_played(self, cleaner: Cleaner, one: _Played) -> None:
        if one.stream is not self._stream:
            self._stream = one.stream
            cleaner.speaker_changed(one.rate_hz)
        elif one.underflowed:
            cleaner.playback_broke()
        cleaner.played(one.block, one.dac_at)

    def _take_captured(self, one: _Captured) -> bool:
        """Whether a frame is complete."""
        intake = one.intake
        if self._cleaner is not None:
            with self._giving_up():
                if intake is not self._intake:
                    self._cleaner.microphone_changed()
                elif one.broke:
                    self._cleaner.capture_broke()
        self._intake = intake
        frames = intake.frames.push(intake.resampler.process(one.block))
        # Of a frame that began in the block before, the time is a little earlier.
        adc_at = one.adc_at - intake.early_s
        intake.early_s = intake.frames.waiting_bytes / SAMPLE_BYTES / intake.resampler.to_hz
        for frame in frames:
            intake.give(self._cleaned(frame, adc_at), frame)
            adc_at += len(frame) / SAMPLE_BYTES / intake.resampler.to_hz
        return bool(frames)

    def _cleaned(self, frame: bytes, adc_at: float) -> bytes:
        if self._cleaner is not None:
            with self._giving_up():
                self._wait_for_played(self._cleaner, adc_at)
            if self._cleaner is not None:
                with self._giving_up():
                    return self._cleaner.cleaned(frame, adc_at)
        return frame

    def _wait_for_played(self, cleaner: Cleaner, adc_at: float) -> None:
        """Half of what was played would be worse for cancelling than a frame that comes late."""
        for _ in range(_LOOKS):
            if self._captured.qsize() >= _FRAMES_BEHIND or not cleaner.lacks_played(adc_at):
                return
            time.sleep(_LOOK_S)
            self._take_played()

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """What fails in the block is the end of the cleaning."""
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - a talk without cleaning is better than none
            self._cleaner = None
            self._failed(f"{type(exc).__name__}: {exc}")
