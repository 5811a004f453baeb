"""How loud it was, in steps: what a waveform is drawn from."""

from __future__ import annotations

from typing import Final

from voicecli.audio.pcm import FRAME_SAMPLES, SAMPLE_BYTES, WIRE_RATE_HZ, unpacked

STEP_SAMPLES: Final = FRAME_SAMPLES
STEP_S: Final = STEP_SAMPLES / WIRE_RATE_HZ


class Peaks:
    """The loudest sample of each 20 ms of one side: a byte for a step, 255 is full scale."""

    def __init__(self) -> None:
        self.steps = bytearray()

    def add(self, position: int, pcm: bytes) -> None:
        """Take a piece of sound.

        Args:
            position: of its first sample, at 24 kHz; what is before 0 is left out.
            pcm: PCM16 at 24 kHz.
        """
        samples = unpacked(pcm[max(0, -position) * SAMPLE_BYTES :])
        position = max(0, position)
        missing = -(-(position + len(samples)) // STEP_SAMPLES) - len(self.steps)
        self.steps += bytes(max(0, missing))
        start = 0
        while start < len(samples):
            step, offset = divmod(position + start, STEP_SAMPLES)
            piece = samples[start : start + STEP_SAMPLES - offset]
            loudest = min(255, max(max(piece), -min(piece)) >> 7)
            self.steps[step] = max(self.steps[step], loudest)
            start += len(piece)
