"""Speech made faster or slower with its pitch kept: WSOLA, as the sound comes.

Theory. The output is a row of windows of 20 ms, each overlapping half of the one before. Where a
window is taken from moves through the input by `speed` times the hop, give or take a search: of all
places within 10 ms that one is taken which is most like what would have followed the window before.
So the periods of the voice fit together, and nothing clicks.

Source: W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA)
for high quality time-scale modification of speech", ICASSP 1993.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from voicecli.audio.pcm import WIRE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HOP: Final = WIRE_RATE_HZ // 100
_WINDOW: Final = 2 * _HOP
_SEARCH: Final = WIRE_RATE_HZ // 100


class Stretcher:
    """A stream of PCM16 at 24 kHz, `speed` times as fast.

    At speed 1 it gives what it gets. Otherwise sample `n` of the output is sound from around sample
    `n * speed` of the input, within 10 ms.
    """

    def __init__(self, speed: float) -> None:
        if speed <= 0:
            raise ValueError(f"a speed of {speed} is none")
        self._speed = speed
        self._input: NDArray[np.float32] | None = None
        self._first = 0
        "Position of what is kept of the input."
        self._windows = 0
        self._following = 0
        "Where in the input the sound after the last window is."
        self._tail: NDArray[np.float32] | None = None
        "The falling half of the last window."
        self._pushed = 0
        self._given = 0

    def push(self, pcm: bytes) -> bytes:
        """Add sound; give what is ready of it."""
        if self._speed == 1.0:
            return pcm
        import numpy as np

        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        self._pushed += len(samples)
        kept = self._input
        self._input = samples if kept is None else np.concatenate((kept, samples))
        return self._windows_up_to(self._first + len(self._input))

    def finish(self) -> bytes:
        """The rest, so that all of the output is as long as all of the input asks for."""
        if self._speed == 1.0 or not self._pushed:
            return b""
        wanted = round(self._pushed / self._speed) - self._given
        silence = bytes(2 * (round((wanted + _WINDOW) * self._speed) + 2 * _WINDOW + 2 * _SEARCH))
        return self.push(silence)[: max(0, 2 * wanted)]

    def _windows_up_to(self, end: int) -> bytes:
        import numpy as np

        pieces = []
        while True:
            target = round(self._windows * _HOP * self._speed)
            if max(target + _SEARCH, self._following) + _WINDOW > end:
                break
            pieces.append(self._window(target))
            self._windows += 1
        self._forget(round(self._windows * _HOP * self._speed) - _SEARCH)
        if not pieces:
            return b""
        sound = np.concatenate(pieces)
        self._given += len(sound)
        return np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes()

    def _window(self, target: int) -> NDArray[np.float32]:
        """The next hop of output, from the place near `target` that fits best."""
        import numpy as np

        assert self._input is not None
        rising = np.sin(np.pi / 2 * (np.arange(_HOP, dtype=np.float32) + 0.5) / _HOP) ** 2
        start = target if self._tail is None else self._best(target)
        taken = self._input[start - self._first :][:_WINDOW]
        fresh = taken[:_HOP]
        if self._tail is not None:
            fresh = self._tail * (1 - rising) + fresh * rising
        self._tail = taken[_HOP:]
        self._following = start + _HOP
        return np.asarray(fresh, np.float32)

    def _best(self, target: int) -> int:
        """Where the input, within the search, is most like what would have followed."""
        import numpy as np

        assert self._input is not None
        wanted = self._input[self._following - self._first :][:_HOP]
        begins = max(self._first, target - _SEARCH)
        room = self._input[begins - self._first : target + _SEARCH + _HOP - self._first]
        likeness = np.correlate(room, wanted, "valid")
        energy = np.cumsum(np.concatenate(([0.0], room.astype(np.float64) ** 2)))
        loudness = np.sqrt(energy[_HOP:] - energy[:-_HOP] + 1.0)
        return begins + int(np.argmax(likeness / loudness))

    def _forget(self, before: int) -> None:
        cut = min(before, self._following) - self._first
        if self._input is not None and cut > 0:
            self._input = self._input[cut:]
            self._first += cut
