"""Rate conversion of PCM16: streaming with little lag, or a whole file in one go.

libsamplerate's fastest sinc filter gives its output frame by frame with about 2 ms of lag (soxr's
streaming mode comes in bursts of up to 70 ms); for whole files soxr is faster and as good.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy import floating
    from numpy.typing import NDArray

_FLUSH_S: Final = 0.02
"Silence pushed after the end to get the filter's tail out; its lag is far shorter."


class Resampler:
    """Converts one continuous stream from `from_hz` to `to_hz`.

    Equal rates pass through untouched. After `finish` exactly round(samples in * to / from) samples
    have come out, and the resampler is as new.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._begin()

    def process(self, pcm: bytes) -> bytes:
        """Convert whole samples; what comes out lags a few milliseconds behind."""
        if self._converter is None:
            return pcm
        self._taken += len(pcm) // 2
        return self._convert(pcm)

    def finish(self) -> bytes:
        """The rest of the stream."""
        if self._converter is None:
            return b""
        wanted = (2 * self._taken * self.to_hz + self.from_hz) // (2 * self.from_hz)
        missing = 2 * (wanted - self._given)
        rest = self._convert(bytes(2 * int(self.from_hz * _FLUSH_S))) if missing > 0 else b""
        self._begin()
        return rest[:missing].ljust(max(missing, 0), b"\0")

    def _begin(self) -> None:
        self._taken = 0
        self._given = 0
        self._converter: Any = None
        if self.from_hz != self.to_hz:
            import samplerate

            self._converter = samplerate.Resampler("sinc_fastest", channels=1)

    def _convert(self, pcm: bytes) -> bytes:
        import numpy as np

        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        converted = _pcm(self._converter.process(samples, self.to_hz / self.from_hz))
        self._given += len(converted) // 2
        return converted


def convert(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """Convert a whole recording: round(samples * to / from) samples, no lag; not for streams."""
    if from_hz == to_hz or not pcm:
        return pcm
    import numpy as np
    import soxr

    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    wanted = (2 * len(samples) * to_hz + from_hz) // (2 * from_hz)
    converted = _pcm(soxr.resample(samples, from_hz, to_hz))
    return converted[: 2 * wanted].ljust(2 * wanted, b"\0")


def _pcm(samples: "NDArray[floating]") -> bytes:
    import numpy as np

    return bytes(np.clip(np.rint(samples), -32768, 32767).astype("<i2").data)
