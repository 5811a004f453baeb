"""Noise for scripts, made the same each time: PCM16 mono at 24 kHz.

`scaled` makes a sound so loud that speech is louder by a wanted number of decibels, by the powers
of both where they sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from voicecli.audio.pcm import WIRE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SECONDS: Final = 8.0
"Of noise, which is repeated; long enough not to be noticed."
AUDIBLE: Final = 66
"Of 32768: softer samples are pauses, and do not count for the loudness."
TYPICAL_RMS: Final = 2500.0
"Of a voice, where nothing is said in a script."
_SEED: Final = 20
_COUGH_S: Final = 0.38
_FADE_S: Final = 0.05

BABBLE: Final = (
    ("ash", "The train to the coast was late again, so we walked to the market and had some tea."),
    ("marin", "She told me that the meeting had been moved to Thursday, and nobody had noticed."),
    ("shimmer", "If you leave the window open at night, the cat from next door comes in."),
    ("cedar", "They are painting the whole house yellow this time, with green doors I believe."),
    ("coral", "Well, I would not have bought it, but the old one was making a terrible noise."),
    ("ballad", "We could go by the lake on Sunday, as long as the weather stays the way it is."),
)
"Who talks in the background, and what about."


def white() -> bytes:
    """Hiss: the same power in each hertz."""
    import numpy as np

    return _packed(np.random.default_rng(_SEED).standard_normal(_samples(SECONDS)))


def pink() -> bytes:
    """Rushing, like a fan or traffic: the same power in each octave."""
    import numpy as np

    count = _samples(SECONDS)
    spectrum = np.fft.rfft(np.random.default_rng(_SEED).standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / WIRE_RATE_HZ)
    return _packed(np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 20.0)), count))


def cough() -> bytes:
    """A burst of breath, and a softer one behind it."""
    import numpy as np

    count = _samples(_COUGH_S)
    at = np.arange(count) / WIRE_RATE_HZ
    breath = np.random.default_rng(_SEED).standard_normal(count)
    # A throat lets the middle pass: a running mean takes the hiss off.
    breath = np.convolve(breath, np.ones(5) / 5, "same")
    first = np.exp(-at / 0.06) * np.minimum(1.0, at / 0.006)
    later = np.maximum(0.0, at - 0.16)
    second = 0.6 * np.exp(-later / 0.07) * np.minimum(1.0, later / 0.02)
    return _packed(breath * (first + second))


def babble(voices: Sequence[bytes]) -> bytes:
    """Several voices at the same time, equally loud; it can be repeated.

    Args:
        voices: PCM16 mono at 24 kHz, each of some seconds.
    """
    import numpy as np

    count = _samples(SECONDS)
    mix = np.zeros(count)
    for number, pcm in enumerate(voices):
        samples = np.frombuffer(pcm, "<i2").astype("f8")
        samples /= _rms(samples)
        # Each begins elsewhere, so that their beginnings do not fall together.
        mix += np.roll(np.resize(samples, count), number * count // max(1, len(voices)))
    return _packed(mix)


def looped(pcm: bytes) -> bytes:
    """A recorded noise whose end runs into its beginning without a click."""
    import numpy as np

    samples = np.frombuffer(pcm, "<i2").astype("f8")
    fade = min(_samples(_FADE_S), len(samples) // 2)
    if not fade:
        return pcm
    ramp = np.linspace(0.0, 1.0, fade)
    body = samples[: len(samples) - fade].copy()
    body[:fade] = body[:fade] * ramp + samples[len(samples) - fade :] * (1 - ramp)
    return body.round().astype("<i2").tobytes()


def scaled(noise: bytes, speech: Sequence[bytes], snr_db: float) -> bytes:
    """The noise so loud that the speech is louder by `snr_db`; what is too loud is clipped."""
    import numpy as np

    samples = np.frombuffer(noise, "<i2").astype("f8")
    powers = [_rms(np.frombuffer(one, "<i2").astype("f8")) for one in speech if one]
    speech_rms = float(np.sqrt(np.mean(np.square(powers)))) if powers else TYPICAL_RMS
    gain = speech_rms / _rms(samples) / 10 ** (snr_db / 20)
    return (samples * gain).round().clip(-32768, 32767).astype("<i2").tobytes()


def _rms(samples: NDArray[np.float64]) -> float:
    """Of those that are no pause; never 0."""
    import numpy as np

    heard = samples[np.abs(samples) > AUDIBLE]
    return float(np.sqrt(np.mean(np.square(heard)))) if len(heard) else 1.0


def _packed(samples: Any) -> bytes:
    import numpy as np

    peak = float(np.abs(samples).max()) or 1.0
    scaled_samples: Any = (samples * (20_000 / peak)).round().astype("<i2")
    return bytes(scaled_samples.tobytes())


def _samples(seconds: float) -> int:
    return round(seconds * WIRE_RATE_HZ)
