"""Events on their way out: ordered, bounded where it matters, counted where it drops.

Microphone audio is worth something only while it is fresh. When the network stalls, the oldest
frames go and are counted, instead of reaching the server seconds late and pushing everything else
back. All other events are few, and none of them is ever dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from voicecli.protocol.events import ClientEvent, InputAudioBufferAppend

MAX_WAITING_FRAMES: Final = 100
"2 s of microphone audio."


class Outbox:
    """A queue from the step to the send pump; used in the loop's thread only."""

    def __init__(self, max_frames: int = MAX_WAITING_FRAMES) -> None:
        self._events: deque[ClientEvent] = deque()
        self._frames = 0
        self._max_frames = max_frames
        self._filled = asyncio.Event()
        self.dropped_frames = 0

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: ClientEvent) -> int:
        """Queue an event; never waits. Gives the number of frames that had to go for it."""
        lost = 0
        if isinstance(event, InputAudioBufferAppend):
            if self._frames == self._max_frames:
                self._drop_oldest_frame()
                lost = 1
            self._frames += 1
        self._events.append(event)
        self._filled.set()
        return lost

    async def get(self) -> ClientEvent:
        """The oldest event; waits until there is one."""
        while not self._events:
            self._filled.clear()
            await self._filled.wait()
        event = self._events.popleft()
        if isinstance(event, InputAudioBufferAppend):
            self._frames -= 1
        return event

    def _drop_oldest_frame(self) -> None:
        position = next(
            index
            for index, event in enumerate(self._events)
            if isinstance(event, InputAudioBufferAppend)
        )
        del self._events[position]
        self._frames -= 1
        self.dropped_frames += 1
