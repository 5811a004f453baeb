"""G.711 companding: mu-law and A-law bytes <-> PCM16 of the same rate (8 kHz on the wire).

One table look-up a sample. The tables follow the integer algorithm of ITU-T G.191 (which works on
one's complement magnitudes) for each of the 65536 inputs and are built when first needed.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from numpy import int16, int32, uint8
    from numpy.typing import NDArray

_BIAS: Final = 33
"Added to a 14-bit mu-law magnitude so that each segment begins at a power of two."


class Law:
    """One of the two companding laws."""

    def encode(self, pcm: bytes) -> bytes:
        """PCM16 little endian, whole samples -> one byte each."""
        import numpy as np

        return bytes(self._codes[np.frombuffer(pcm, "<u2")].data)

    def decode(self, codes: bytes) -> bytes:
        """One byte a sample -> PCM16 little endian."""
        import numpy as np

        return self._samples[np.frombuffer(codes, np.uint8)].astype("<i2", copy=False).tobytes()

    @cached_property
    def _codes(self) -> "NDArray[uint8]":
        raise NotImplementedError

    @cached_property
    def _samples(self) -> "NDArray[int16]":
        raise NotImplementedError


class _MuLaw(Law):
    @cached_property
    def _codes(self) -> "NDArray[uint8]":
        import numpy as np

        positive, magnitude = _signs_and_magnitudes()
        biased = np.minimum((magnitude >> 2) + _BIAS, 0x1FFF)
        segment = _bit_length(biased >> 5)
        step = (biased >> segment) & 0x0F
        inverted = ((8 - segment) << 4) | (0x0F - step)
        codes: NDArray[uint8] = (inverted | np.where(positive, 0x80, 0)).astype(np.uint8)
        return codes

    @cached_property
    def _samples(self) -> "NDArray[int16]":
        import numpy as np

        code = np.arange(256)
        flipped = 0xFF - code
        segment, step = (flipped >> 4) & 7, flipped & 0x0F
        magnitude = ((2 * step + _BIAS) << (segment + 2)) - (_BIAS << 2)
        samples: NDArray[int16] = np.where(code >= 0x80, magnitude, -magnitude).astype(np.int16)
        return samples


class _ALaw(Law):
    @cached_property
    def _codes(self) -> "NDArray[uint8]":
        import numpy as np

        positive, magnitude = _signs_and_magnitudes()
        steps = magnitude >> 4
        segment = np.maximum(_bit_length(steps) - 4, 0)
        inside = (steps >> np.maximum(segment - 1, 0)) & 0x0F
        plain = (segment << 4) | inside | np.where(positive, 0x80, 0)
        codes: NDArray[uint8] = (plain ^ 0x55).astype(np.uint8)
        return codes

    @cached_property
    def _samples(self) -> "NDArray[int16]":
        import numpy as np

        code = np.arange(256) ^ 0x55  # A-law sends every other bit inverted
        segment, step = (code >> 4) & 7, code & 0x0F
        leading = np.where(segment > 0, 0x10, 0)
        magnitude = ((2 * (step | leading) + 1) << 3) << np.maximum(segment - 1, 0)
        samples: NDArray[int16] = np.where(code >= 0x80, magnitude, -magnitude).astype(np.int16)
        return samples


def _signs_and_magnitudes() -> "tuple[NDArray[int32], NDArray[int32]]":
    """Per 16-bit pattern in unsigned order: is it >= 0, and its one's complement magnitude."""
    import numpy as np

    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    return (sample >= 0).astype(np.int32), np.where(sample < 0, ~sample, sample).astype(np.int32)


def _bit_length(numbers: "NDArray[int32]") -> "NDArray[int32]":
    import numpy as np

    # frexp gives the exponent of the power of two just above: exact, unlike a rounded logarithm
    return np.frexp(numbers.astype(np.float64))[1]


ULAW: Final[Law] = _MuLaw()
ALAW: Final[Law] = _ALaw()
