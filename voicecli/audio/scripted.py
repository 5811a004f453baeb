"""A microphone that says what it is told, when it is told: the user of a script.

Its sound lies on a time line of its own: frame after frame without a gap, each delivered when it
is over, as a device does. So what is said can be placed to the sample.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from voicecli.audio.pacing import PacedMicrophone
from voicecli.audio.pcm import (
    FRAME_BYTES,
    FRAME_SAMPLES,
    SAMPLE_BYTES,
    SILENT_FRAME,
    WIRE_RATE_HZ,
    packed,
    unpacked,
)

_LOUDEST: Final = 32767
_LOUDEST_BELOW: Final = -32768


class ScriptedMicrophone(PacedMicrophone):
    """Silent, or in a noisy room, until `say`.

    Args:
        on_said: called after the last frame of what was to be said has been delivered.
        noise: PCM16 24 kHz, mixed in over and over from the start; empty: none.
        noise_gain: how loud that is to be: 1.0 as it is.
    """

    def __init__(
        self,
        on_said: Callable[[], None] | None = None,
        *,
        noise: bytes = b"",
        noise_gain: float = 1.0,
    ) -> None:
        super().__init__()
        self._on_said = on_said
        self._speech = bytearray()
        "From the beginning of the next frame on."
        self._position = 0
        "Samples handed out."
        self._is_finished = False
        self._noise = b""
        self._noise_at = 0
        self._once = bytearray()
        "What is mixed in and ends by itself."
        self.make_noise(noise, noise_gain)

    @property
    def is_speaking(self) -> bool:
        """Whether something that was to be said has not gone out yet."""
        return bool(self._speech)

    @property
    def ended(self) -> bool:
        """Whether all has been said and `finish` was called; then only silence follows."""
        return self._is_finished and not self._speech

    @property
    def next_at(self) -> float:
        """When the next frame begins, on the loop's clock: the earliest time for `say`."""
        return self._begun_at + self._position / WIRE_RATE_HZ

    def say(self, pcm: bytes, at: float | None = None) -> float:
        """Speak `pcm`: PCM16 at 24 kHz, any number of whole samples; it is copied.

        Args:
            pcm: what to say.
            at: when its first sample is to lie, on the loop's clock; what was still to be said
                from then on is dropped. None: at once, behind what is being said.

        Returns:
            When its first sample will lie: `at`, or as soon as possible when that is over.
        """
        if at is not None:
            samples = max(0, round((at - self.next_at) * WIRE_RATE_HZ))
            size = samples * SAMPLE_BYTES
            del self._speech[size:]
            self._speech.extend(bytes(size - len(self._speech)))
        begins_at = self.next_at + len(self._speech) / (SAMPLE_BYTES * WIRE_RATE_HZ)
        self._speech += pcm
        return begins_at

    def make_noise(self, noise: bytes, gain: float = 1.0, *, once: bool = False) -> None:
        """Mix PCM16 24 kHz in from now on, in the place of what was mixed in before.

        Args:
            noise: the sound; empty: none.
            gain: how loud it is to be: 1.0 as it is.
            once: over it, one time, and then no more.
        """
        louder = _amplified(noise, gain)
        if once:
            self._once[:] = louder
        else:
            self._noise, self._noise_at = louder, 0

    def finish(self) -> None:
        """Nothing more will be said; `ended` once all is out."""
        self._is_finished = True

    def _next_frame(self) -> bytes:
        self._position += FRAME_SAMPLES
        if not self._speech:
            return self._noise_frame() or SILENT_FRAME
        frame = bytes(self._speech[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
        del self._speech[:FRAME_BYTES]
        if not self._speech and self._on_said is not None:
            # Frames are delivered after they were made, in the same turn of the loop.
            asyncio.get_running_loop().call_soon(self._on_said)
        noise = self._noise_frame()
        return _mixed(frame, noise) if noise else frame

    def _noise_frame(self) -> bytes:
        steady = self._steady_frame()
        once = bytes(self._once[:FRAME_BYTES])
        del self._once[:FRAME_BYTES]
        if not once:
            return steady
        once = once.ljust(FRAME_BYTES, b"\0")
        return _mixed(once, steady) if steady else once

    def _steady_frame(self) -> bytes:
        if not self._noise:
            return b""
        start, size = self._noise_at, len(self._noise)
        self._noise_at = (start + FRAME_BYTES) % size
        taken = self._noise[start : start + FRAME_BYTES]
        while len(taken) < FRAME_BYTES:
            taken += self._noise[: FRAME_BYTES - len(taken)]
        return taken


def _amplified(pcm: bytes, gain: float) -> bytes:
    samples = unpacked(pcm)
    if gain == 1.0 or not samples:
        return pcm
    for position, sample in enumerate(samples):
        samples[position] = _limited(round(sample * gain))
    return packed(samples)


def _mixed(one: bytes, other: bytes) -> bytes:
    samples = unpacked(one)
    for position, sample in enumerate(unpacked(other)):
        samples[position] = _limited(samples[position] + sample)
    return packed(samples)


def _limited(sample: int) -> int:
    return max(_LOUDEST_BELOW, min(_LOUDEST, sample))
