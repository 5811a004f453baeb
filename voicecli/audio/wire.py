"""Between the program's PCM and the audio formats of the wire.

`pcm` is what the program uses already; `pcmu` and `pcma` are G.711 at 8 kHz, which costs a rate
conversion (numpy and libsamplerate are imported for these two only).
"""

from typing import Literal

from voicecli.audio.g711 import ALAW, ULAW, Law
from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.audio.resample import Resampler

WireFormat = Literal["pcm", "pcmu", "pcma"]
"The API's `audio/pcm`, `audio/pcmu` (mu-law) and `audio/pcma` (A-law), without the prefix."

G711_RATE_HZ = 8_000


class WireEncoder:
    """PCM16 24 kHz in, bytes of the wire format out; one encoder for one continuous stream."""

    def __init__(self, format: WireFormat) -> None:
        self._law = _law(format)
        self._resampler = _resampler(format, WIRE_RATE_HZ, G711_RATE_HZ)

    def encode(self, pcm: bytes) -> bytes:
        """Encode whole samples; for `pcm` this is `pcm` itself."""
        if self._resampler is None or self._law is None:
            return pcm
        return self._law.encode(self._resampler.process(pcm)) if pcm else b""

    def finish(self) -> bytes:
        """The few samples a rate conversion still held; the encoder is as new after it."""
        if self._resampler is None or self._law is None:
            return b""
        return self._law.encode(self._resampler.finish())


class WireDecoder:
    """Bytes of the wire format in, PCM16 24 kHz out; one decoder for one content part."""

    def __init__(self, format: WireFormat) -> None:
        self._law = _law(format)
        self._resampler = _resampler(format, G711_RATE_HZ, WIRE_RATE_HZ)
        self._odd = b""

    def decode(self, encoded: bytes) -> bytes:
        """Decode; a sample torn between two deltas is joined, `b""` gives `b""`."""
        if self._resampler is None or self._law is None:
            return self._whole_samples(encoded)
        return self._resampler.process(self._law.decode(encoded)) if encoded else b""

    def finish(self) -> bytes:
        """The few samples a rate conversion still held; half a sample is forgotten."""
        self._odd = b""
        return b"" if self._resampler is None else self._resampler.finish()

    def _whole_samples(self, encoded: bytes) -> bytes:
        if self._odd:
            encoded = self._odd + encoded
            self._odd = b""
        if len(encoded) % 2:
            self._odd = encoded[-1:]
            return encoded[:-1]
        return encoded


def _law(format: WireFormat) -> Law | None:
    return {"pcm": None, "pcmu": ULAW, "pcma": ALAW}[format]


def _resampler(format: WireFormat, from_hz: int, to_hz: int) -> Resampler | None:
    return None if format == "pcm" else Resampler(from_hz, to_hz)
