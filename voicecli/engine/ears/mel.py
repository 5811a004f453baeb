"""Log-mel spectrograms as Whisper was trained on them: what turn detection and Whisper look at.

80 triangular filters, each of the same area, on the mel scale of Slaney's auditory toolbox (linear
up to 1 kHz, logarithmic above) over the power spectrum of Hann windows of 25 ms, one each 10 ms.

Source: "Robust Speech Recognition via Large-Scale Weak Supervision" (Whisper), section 2.2, and the
defaults of `WhisperFeatureExtractor` in the transformers library, whose values the tests hold.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE_HZ: Final = 16_000
BANDS: Final = 80
HOP: Final = 160

_WINDOW: Final = 400
_POWER_FLOOR: Final = 1e-10
_RANGE: Final = 8.0
"Ten to the power of minus this below the loudest, all is taken for silence."
_HZ_PER_MEL: Final = 200 / 3
_LOG_FROM_HZ: Final = 1000.0
_MELS_PER_FACTOR_6_4: Final = 27.0


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The spectrogram of mono samples at 16 kHz, about within -1..1.

    Args:
        samples: at least 25 ms; the last part of a hop is ignored.

    Returns:
        Shape (80, len(samples) // 160), float32.
    """
    import numpy as np

    edge = _WINDOW // 2
    padded = np.pad(samples.astype(np.float64), edge, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP]
    spectrum = np.fft.rfft(windows[: len(samples) // HOP] * _hann())
    power = spectrum.real**2 + spectrum.imag**2
    levels = np.log10(np.maximum(_filters() @ power.T, _POWER_FLOOR))
    levels = np.maximum(levels, levels.max() - _RANGE)
    shown: NDArray[np.float32] = ((levels + 4.0) / 4.0).astype(np.float32)
    return shown


def normalized(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples with mean 0 and variance 1."""
    import numpy as np

    centred = samples - samples.mean()
    scaled: NDArray[np.float32] = (centred / np.sqrt(samples.var() + 1e-7)).astype(np.float32)
    return scaled


@cache
def _hann() -> NDArray[np.float64]:
    import numpy as np

    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)


@cache
def _filters() -> NDArray[np.float64]:
    """The weight of each of 201 frequencies in each band."""
    import numpy as np

    log_from = _LOG_FROM_HZ / _HZ_PER_MEL
    highest = log_from + _MELS_PER_FACTOR_6_4 * np.log(RATE_HZ / 2 / _LOG_FROM_HZ) / np.log(6.4)
    mels = np.linspace(0.0, highest, BANDS + 2)
    above = np.maximum(mels - log_from, 0.0) / _MELS_PER_FACTOR_6_4
    corners_hz = np.where(mels < log_from, mels * _HZ_PER_MEL, _LOG_FROM_HZ * 6.4**above)
    lower, centre, upper = (corners_hz[at : BANDS + at, None] for at in range(3))
    hz = np.linspace(0.0, RATE_HZ / 2, _WINDOW // 2 + 1)[None]
    triangles = np.minimum((hz - lower) / (centre - lower), (upper - hz) / (upper - centre))
    weights: NDArray[np.float64] = np.maximum(triangles, 0.0) * 2.0 / (upper - lower)
    return weights
