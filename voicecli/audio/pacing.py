"""Frames at the pace of real time, on the event loop's clock.

The schedule is absolute: what comes late does not make the next late.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from voicecli.audio.pcm import FRAME_MS, SILENT_FRAME

FRAME_S: Final = FRAME_MS / 1000
_MOST_LATE_FRAMES: Final = 50
"After a stall of the loop as many frames are caught up; older ones are dropped and counted."


class PacedMicrophone:
    """Delivers one frame of `_next_frame` every 20 ms; the base of microphones without a device.

    All methods and callbacks run in the thread of the event loop.
    """

    def __init__(self) -> None:
        self.dropped_frames = 0
        self._timer: asyncio.TimerHandle | None = None
        self._begun_at = 0.0
        self._ticks = 0

    @property
    def ended(self) -> bool:
        return False

    @property
    def silent(self) -> bool:
        """Never: a file that holds silence is what somebody wanted to be heard."""
        return False

    async def start(self, deliver: Callable[[bytes], None]) -> None:
        await self._prepare()
        self._begun_at = asyncio.get_running_loop().time()
        self._schedule(deliver)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _prepare(self) -> None:
        """Get ready to give frames; raises `AudioDeviceError`."""

    def _next_frame(self) -> bytes | None:
        """The next 20 ms, or None where a live source has nothing yet."""
        return SILENT_FRAME

    def _schedule(self, deliver: Callable[[bytes], None]) -> None:
        due_at = self._begun_at + (self._ticks + 1) * FRAME_S
        self._timer = asyncio.get_running_loop().call_at(due_at, self._tick, deliver)

    def _tick(self, deliver: Callable[[bytes], None]) -> None:
        elapsed = asyncio.get_running_loop().time() - self._begun_at
        # The loop may fire a hair early: the frame the timer was set for is due all the same.
        due = max(int(elapsed / FRAME_S) - self._ticks, 1)
        frames = [self._next_frame() for _ in range(due)]
        lost = frames[: max(due - _MOST_LATE_FRAMES, 0)]
        self.dropped_frames += len(lost)
        self._ticks += due
        self._schedule(deliver)
        for frame in frames[len(lost) :]:
            if frame is not None and self._timer is not None:
                deliver(frame)
