"""Half duplex: whoever hears the microphone hears nothing of it while something is played."""

from typing import Final

TAIL_MS: Final = 250
"How long a living room goes on sounding; times that are off by 10 ms are in it."

_AHEAD_S: Final = 0.02
"The times of the two devices may be off by as much."


class HalfDuplexGate:
    """Tells whether a frame of the microphone may hold what is played.

    Args:
        tail_ms: for how long it may after the last sound.
    """

    def __init__(self, tail_ms: float = TAIL_MS) -> None:
        self._tail_s = tail_ms / 1000
        self._sounds: list[tuple[float, float]] = []
        "From when until when something sounds, in order; what lies within a tail is joined."

    def played(self, begins_at: float, ends_at: float) -> None:
        """Something that can be heard leaves the speaker then."""
        if self._sounds and begins_at <= self._sounds[-1][1] + self._tail_s:
            begins_at = self._sounds.pop()[0]
        self._sounds.append((begins_at, ends_at))

    def is_closed(self, begins_at: float, ends_at: float) -> bool:
        """Whether a frame captured then is to be silence; asked in order of time."""
        while self._sounds and self._sounds[0][1] + self._tail_s <= begins_at:
            del self._sounds[0]
        return bool(self._sounds) and self._sounds[0][0] - _AHEAD_S < ends_at
