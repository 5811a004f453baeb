"""What a canceller leaves of an echo: recognised by its level, and turned down to the room's noise.

Theory. A canceller takes seconds to learn a room, and even then lets bursts through that a voice
detector takes for somebody. How loud an echo can be is known from what is played and from what the
microphone gave while it was: what is left of it is softer by what the canceller takes away at
present. Whatever is louder than that is somebody, and passes; and so does what follows closely.

As long as the canceller takes nothing away, only what is louder than the echo passes: then it is
half duplex, except for those who raise their voice. Where there is no echo, as with a headset, its
level is that of the room, and everything passes that is a voice.

That costs soft voices over a loud echo. Where a false alarm can be taken back it is not worth that
once the canceller has learned: then the gate only keeps the first seconds.
"""

from collections import deque
from typing import Final

from voicecli.audio.pcm import FLOOR_DBFS

_TAIL_FRAMES: Final = 30
"An echo comes from what was played up to 600 ms ago."
_AUDIBLE_DBFS: Final = -55.0
"Softer playback leaves no echo to speak of."
_AGAIN_FRAMES: Final = 75
"As long as after a gap: 1.5 s."
_UNKNOWN_DB: Final = 6.0
"How much louder than what is played an echo may be, before anything is known."
_KNOWN_FRAMES: Final = 75
_ECHO_FRAMES: Final = 400
_ECHO_SHARE: Final = 0.9
_TAKEN_FRAMES: Final = 100
_TELLING_DB: Final = 12.0
"From nothing but the room's noise nothing is taken."
_SPREAD_DB: Final = 14.0
"The canceller takes so much less at its worst than it does in the median."
_LEAST_DB: Final = -6.0
_MOST_DB: Final = 16.0
_YOUNG_FRAMES: Final = 250
"For so long, of what can be heard, a canceller may look better than it is: 5 s."
_WORKS_DB: Final = 10.0
"A canceller that takes less away in the median has not found the way: it is too long, say."
_SURELY_DB: Final = 12.0
"A single frame passes when it is so much above the line that several have to be above."
_UNHEARD_DB: Final = 6.0
"Above the room's noise."
_WINDOW: Final = 5
_SURE_FRAMES: Final = 4
"So many frames of the window above the echo are somebody, and what follows passes as well."
_HELD_FRAMES: Final = 20
_FIRST_ROOM_DBFS: Final = -62.0
_QUIETEST_ROOM_DBFS: Final = -75.0
_LOUDEST_ROOM_DBFS: Final = -45.0


class ResidualGate:
    """Says of each frame how much it is to be turned down.

    Args:
        lasts: whether it goes on when the canceller has learned the room.
    """

    def __init__(self, *, lasts: bool = True) -> None:
        self._lasts = lasts
        self._room_dbfs = _FIRST_ROOM_DBFS
        self._played: deque[float] = deque([FLOOR_DBFS] * _TAIL_FRAMES, maxlen=_TAIL_FRAMES)
        self.reset()

    def reset(self) -> None:
        """The way from the speaker to the microphone is another one."""
        self._echo: deque[float] = deque(maxlen=_ECHO_FRAMES)
        self._taken: deque[float] = deque(maxlen=_TAKEN_FRAMES)
        self._louder: deque[bool] = deque(maxlen=_WINDOW)
        self._held = 0
        self._age = 0

    def slipped(self) -> None:
        """It is the same way, but the canceller has to find it again: that takes less."""
        self._taken.clear()
        self._age = min(self._age, _YOUNG_FRAMES - _AGAIN_FRAMES)

    @property
    def room_dbfs(self) -> float:
        """How loud the room is when nothing is played and nobody speaks."""
        return self._room_dbfs

    def push(self, far_dbfs: float, near_dbfs: float, cleaned_dbfs: float) -> float:
        """Take the levels of the next frame.

        Args:
            far_dbfs: of what was played, on the microphone's time line.
            near_dbfs: of what was captured.
            cleaned_dbfs: of what the canceller made of it.

        Returns:
            How much the cleaned frame is to be turned down, in decibels.
        """
        self._played.append(far_dbfs)
        loudest = max(self._played)
        if loudest < _AUDIBLE_DBFS:
            self._follow_room(cleaned_dbfs)
            self._held = 0
            return 0.0
        self._age += far_dbfs >= _AUDIBLE_DBFS
        above_db = cleaned_dbfs - loudest - self._echo_db + self._taken_db
        self._louder.append(above_db > 0)
        if above_db > 0 and sum(self._louder) >= _SURE_FRAMES:
            self._held = _HELD_FRAMES
        elif self._held:
            self._held -= 1
        if self._held or above_db > (0.0 if self._is_unheard(loudest) else _SURELY_DB):
            return 0.0
        if far_dbfs >= _AUDIBLE_DBFS:
            self._echo.append(near_dbfs - loudest)
            if near_dbfs > self._room_dbfs + _TELLING_DB:
                self._taken.append(near_dbfs - cleaned_dbfs)
        if self._has_learned and not self._lasts:
            return 0.0
        return max(0.0, cleaned_dbfs - self._room_dbfs)

    def _is_unheard(self, loudest_dbfs: float) -> bool:
        """Whether nobody would know from the microphone that something is played."""
        is_known = len(self._echo) >= _KNOWN_FRAMES
        return is_known and loudest_dbfs + self._echo_db < self._room_dbfs + _UNHEARD_DB

    @property
    def _echo_db(self) -> float:
        """How loud an echo is compared with what is played."""
        if len(self._echo) < _KNOWN_FRAMES:
            return _UNKNOWN_DB
        return sorted(self._echo)[int(_ECHO_SHARE * len(self._echo))]

    @property
    def _taken_db(self) -> float:
        """How much of it is taken away for certain."""
        if self._age < _YOUNG_FRAMES or not self._taken:
            return _LEAST_DB
        return min(max(self._median_taken_db - _SPREAD_DB, _LEAST_DB), _MOST_DB)

    @property
    def _has_learned(self) -> bool:
        """Whether the canceller does what it can, or there is nothing for it to do."""
        is_old = self._age >= _YOUNG_FRAMES
        return is_old and (not self._taken or self._median_taken_db >= _WORKS_DB)

    @property
    def _median_taken_db(self) -> float:
        return sorted(self._taken)[len(self._taken) // 2]

    def _follow_room(self, level_dbfs: float) -> None:
        above_db = level_dbfs - self._room_dbfs
        step = 0.3 * above_db if above_db < 0 else min(0.05, above_db)
        room = self._room_dbfs + step
        self._room_dbfs = min(max(room, _QUIETEST_ROOM_DBFS), _LOUDEST_ROOM_DBFS)
