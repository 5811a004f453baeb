"""What the speaker plays, placed where the microphone can be held against it.

Capture and playback are two streams. Each counts its samples, and says at which time a block leaves
or came; such a time may be off by 10 ms, the counter never is. So a stream's place on the clock is
its counter and one offset, the median of many times. The offset is moved at once only when the
stream lost something, and then whoever cancels the echo must begin anew: a reference that slips is
worse for it than none. Two devices whose clocks drift apart are followed a sample at a time.
"""

from collections import deque
from statistics import median
from typing import Final

from voicecli.audio.pcm import SAMPLE_BYTES, WIRE_RATE_HZ, samples_in, samples_of_ms

_SETTLING: Final = 25
"Times after which an offset is trusted; until then it is moved to their median freely."
_KEPT: Final = 100
_SLIP_SAMPLES: Final = samples_of_ms(4)
"Whatever moves by more than this is no longer the same line."
_STILL_SAMPLES: Final = samples_of_ms(1)
_SAMPLES_A_STEP: Final = 10_000
"An offset follows a drift by one sample in so many: 100 ppm, more than devices drift."
_SECONDS_KEPT: Final = 4


class TimeLine:
    """The place of a stream's samples on the clock, in samples at 24 kHz.

    Args:
        jump_ms: times off by so much for a while are no jitter: samples were lost.
        told_ms: where a loss was told of, less than this is jitter all the same.
    """

    def __init__(self, jump_ms: float, told_ms: float = 0.0) -> None:
        self._jump_samples = samples_of_ms(jump_ms)
        self._told_samples = samples_of_ms(told_ms)
        self._seen: deque[float] = deque(maxlen=_KEPT)
        self._recent: deque[float] = deque(maxlen=5)
        self._offset: int | None = None
        self._count = 0
        self._stamps = 0
        self._to_next_step = 0
        self._is_lost = True
        self._settles = True
        "Whether the offset is that of a few times only: their median, when there is one, moves it."
        self.has_slipped = False
        "Whether the last block is not where those before it led to; false for the first."

    def restart(self, *, is_another: bool = False) -> None:
        """Something may have been lost: the next times tell whether, and how much.

        Args:
            is_another: whether it is another stream from now on, which begins anywhere.
        """
        if is_another:
            self._offset = None
        self._seen.clear()
        self._recent.clear()
        self._is_lost = True
        self._stamps = 0

    def expected(self, at: float) -> int:
        """About where `place` would put a block of that time."""
        if self._offset is None or self._is_lost:
            return round(at * WIRE_RATE_HZ)
        return self._count + self._offset

    def place(self, at: float, samples: int) -> int:
        """The index of a block's first sample.

        Args:
            at: about when it leaves or came, in seconds.
            samples: its length.
        """
        seen = at * WIRE_RATE_HZ - self._count
        self._seen.append(seen)
        self._recent.append(seen)
        self._stamps += 1
        before, self._offset = self._offset, self._next_offset(samples)
        self.has_slipped = before is not None and abs(self._offset - before) > _SLIP_SAMPLES
        index = self._count + self._offset
        self._count += samples
        return index

    def _next_offset(self, samples: int) -> int:
        offset = self._offset
        if offset is None or self._is_lost:
            self._is_lost = False
            if offset is not None and not self._is_far(self._seen[-1] - offset):
                return offset
            self._settles = True
            return round(self._seen[-1])
        off_by = median(self._recent) - offset
        if len(self._recent) == self._recent.maxlen and abs(off_by) > self._jump_samples:
            newest = list(self._recent)
            self.restart()
            self._is_lost, self._settles = False, True
            self._seen.extend(newest)
            return round(median(newest))
        off_by = median(self._seen) - offset
        if self._stamps <= _SETTLING:
            moves = self._stamps == _SETTLING and (self._settles or self._is_far(off_by))
            self._settles = self._settles and not moves
            return round(offset + off_by) if moves else offset
        self._to_next_step -= samples
        if abs(off_by) <= _STILL_SAMPLES or self._to_next_step > 0:
            return offset
        self._to_next_step = _SAMPLES_A_STEP
        return offset + (1 if off_by > 0 else -1)

    def _is_far(self, off_by: float) -> bool:
        """Whether a loss that was told of is to be seen: moved for nothing it were a slip."""
        return abs(off_by) >= self._told_samples


class FarEnd:
    """The last seconds of what was played, to be read at any place of the clock."""

    def __init__(self) -> None:
        self._size = _SECONDS_KEPT * WIRE_RATE_HZ
        self._ring = bytearray(self._size * SAMPLE_BYTES)
        self._end = 0

    @property
    def end(self) -> int:
        """The index behind the newest sample."""
        return self._end

    def put(self, index: int, pcm: bytes) -> None:
        """Keep a block whose first sample is at `index`; what lies between is silence."""
        gap = min(index - self._end, self._size)
        if gap > 0:
            self._write(index - gap, bytes(gap * SAMPLE_BYTES))
        self._write(index, pcm)
        self._end = index + samples_in(pcm)

    def read(self, index: int, samples: int) -> bytes:
        """So many samples from `index` on; silence where there are none, or not any more."""
        first = max(index, self._end - self._size)
        last = min(index + samples, self._end)
        if first >= last:
            return bytes(samples * SAMPLE_BYTES)
        begin = first % self._size * SAMPLE_BYTES
        wanted = (last - first) * SAMPLE_BYTES
        found = bytes(self._ring[begin : begin + wanted])
        found += bytes(self._ring[: wanted - len(found)])
        before = bytes((first - index) * SAMPLE_BYTES)
        return (before + found).ljust(samples * SAMPLE_BYTES, b"\0")

    def _write(self, index: int, pcm: bytes) -> None:
        begin = index % self._size * SAMPLE_BYTES
        fits = min(len(pcm), len(self._ring) - begin)
        self._ring[begin : begin + fits] = pcm[:fits]
        self._ring[: len(pcm) - fits] = pcm[fits:]
