"""From the program's rate to a device's, block by block, with the time of every sample kept."""

from collections.abc import Callable
from math import ceil
from typing import Final

from voicecli.audio.pcm import (
    SAMPLE_BYTES,
    SILENT_FRAME,
    WIRE_RATE_HZ,
    is_digital_silence,
    samples_in,
    samples_of_ms,
)
from voicecli.audio.resample import Resampler

Source = Callable[[int, float], bytes]
"Gives so many samples at 24 kHz, the first of which leaves the device at a time."

_AT_REST_SAMPLES: Final = samples_of_ms(30)
"Longer than the filter remembers: after so much silence, silence is all that comes out of it."


class Outlet:
    """Gives a device what a source has at 24 kHz.

    A device of 24 kHz gets it as it is. For others it is converted on one continuous time line; the
    source is asked about 1 ms ahead, and told the time at which its samples really leave.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._ready = b""
        self._taken = 0
        "Samples at 24 kHz, since silence ended."
        self._given = 0
        "Samples at the device's rate, likewise."
        self._begin()
        # What the conversion needs is loaded here, and not when a device waits for it.
        self._resampler.process(SILENT_FRAME)
        self._begin()
        self._quiet_samples = _AT_REST_SAMPLES

    def take(self, samples: int, dac_at: float, source: Source) -> bytes:
        """The next block.

        Args:
            samples: its length, at the device's rate.
            dac_at: when its first sample leaves the device.
            source: asked once or more.
        """
        if self.rate_hz == WIRE_RATE_HZ:
            return source(samples, dac_at)
        if self._quiet_samples >= _AT_REST_SAMPLES:
            pcm = source(ceil(samples * WIRE_RATE_HZ / self.rate_hz), dac_at)
            if is_digital_silence(pcm):
                return bytes(samples * SAMPLE_BYTES)
            self._begin()
            self._convert(pcm)
        while samples_in(self._ready) < samples:
            missing = samples - samples_in(self._ready)
            ahead_s = self._taken / WIRE_RATE_HZ - self._given / self.rate_hz
            self._convert(source(ceil(missing * WIRE_RATE_HZ / self.rate_hz), dac_at + ahead_s))
        end = samples * SAMPLE_BYTES
        block, self._ready = self._ready[:end], self._ready[end:]
        self._given += samples
        return block

    def _begin(self) -> None:
        self._resampler = Resampler(WIRE_RATE_HZ, self.rate_hz)
        self._ready = b""
        self._taken = self._given = 0
        self._quiet_samples = 0

    def _convert(self, pcm: bytes) -> None:
        self._taken += samples_in(pcm)
        quiet = is_digital_silence(pcm)
        self._quiet_samples = self._quiet_samples + samples_in(pcm) if quiet else 0
        self._ready += self._resampler.process(pcm)
