"""Times of a sound device, turned into times of our own clock."""

from typing import Final

_OFFSETS_KEPT: Final = 128
"Callbacks whose clock offsets are compared, twice over."
_CLOCK_JUMP_S: Final = 0.5
_FARTHEST_S: Final = 10.0
"No sample leaves a device that much later than it was asked for; such a stamp is none."


class DacClock:
    """Turns PortAudio's time stamps into times of our own clock.

    Our clock is read only when the callback got the interpreter, up to 20 ms after PortAudio took
    its stamp: so the offset between the two is the least one seen lately, never the newest.
    """

    def __init__(self, fallback_latency_s: float = 0.0) -> None:
        self.fallback_latency_s = fallback_latency_s
        "Assumed where the host API gives no stamps."
        self._offset_s: float | None = None
        self._newer_s = 0.0
        self._older_s = 0.0
        self._seen = 0

    def dac_at(self, current_s: float, dac_s: float, now: float) -> float:
        """When the sample PortAudio expects at `dac_s` leaves the device, on the clock of `now`."""
        are_stamps = current_s and dac_s and abs(dac_s - current_s) < _FARTHEST_S  # NaN is not.
        if not are_stamps:
            return now + self.fallback_latency_s
        return dac_s + self._offset(now - current_s)

    def _offset(self, seen_s: float) -> float:
        # PortAudio's clock may be the wall clock, which jumps when the time of day is set.
        if self._offset_s is None or seen_s > self._offset_s + _CLOCK_JUMP_S:
            self._newer_s = self._older_s = seen_s
            self._seen = 0
        self._newer_s = min(self._newer_s, seen_s)
        self._offset_s = min(self._newer_s, self._older_s)
        self._seen += 1
        if self._seen == _OFFSETS_KEPT:
            self._seen, self._older_s, self._newer_s = 0, self._newer_s, seen_s
        return self._offset_s
