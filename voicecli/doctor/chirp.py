"""A short sound that is found again in what a microphone heard, and what that tells of the way.

Three sweeps of 120 ms, at distances that differ, so that no delay fits two ways of laying them over
what was heard. Each is looked for with a matched filter, a complex one, whose magnitude is largest
where the sweep begins, whatever the way did to its phase; the three agree or it was no echo. Sweeps
gather 28 dB against noise, and a sound of -20 dBFS is enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from voicecli.audio.pcm import FLOOR_DBFS, WIRE_RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray

SWEEP_MS: Final = 120
STARTS_MS: Final = (0, 370, 850)
FROM_HZ: Final = 600.0
TO_HZ: Final = 6000.0
AMPLITUDE: Final = 0.14
"Of full scale: -20 dBFS, softer than a voice."
TOTAL_MS: Final = STARTS_MS[-1] + SWEEP_MS
LONGEST_DELAY_MS: Final = 900

_EDGE_MS: Final = 15
_TAIL_MS: Final = 120
"Of a room, which belongs to the echo."
_AGREE_MS: Final = 4.0
_EARLIER_MS: Final = 12
_LEAST_CONTRAST: Final = 6.0
"How far the sum of the three has to stand out of its surroundings."


@dataclass(frozen=True)
class Echo:
    """What came back of the sound."""

    delay_ms: float
    "From leaving the speaker until it came from the microphone."
    coupling_db: float
    "How much louder it came back than it was sent, both in full scale; usually below zero."
    spread_ms: float
    "How far the three are from agreeing."
    found: int
    "How many of the three."


@dataclass(frozen=True)
class Loop:
    """What a loop from speaker to microphone showed."""

    echo: Echo | None
    "None: the sound was not found."
    noise_dbfs: float
    "Before it was played."
    least_db: float
    "What is below this could not have been found, for the noise."


def sound() -> bytes:
    """What to play, PCM16 at 24 kHz."""
    import numpy as np

    whole = np.zeros(_samples(TOTAL_MS))
    sweep = _sweep().real
    for start in STARTS_MS:
        at = _samples(start)
        whole[at : at + len(sweep)] += sweep
    return bytes(np.rint(whole * 32767).astype("<i2").data)


def analysed(pcm: bytes, left_at_ms: float) -> Loop:
    """Find the sound in what was heard.

    Args:
        pcm: what the microphone gave, PCM16 at 24 kHz, with some of the time before the sound.
        left_at_ms: when its first sample left the speaker, counted from the first of `pcm`.
    """
    import numpy as np

    heard = np.frombuffer(pcm, "<i2").astype(np.float64) / 32768
    before = heard[: max(0, _samples(left_at_ms - 20))]
    noise = float(np.mean(before**2)) if len(before) else 0.0
    left_at = round(left_at_ms * WIRE_RATE_HZ / 1000)
    likeness = [_likeness(heard, left_at + _samples(start)) for start in STARTS_MS]
    least = _in_db(max(noise, 1e-10) / _sweep_power()) - 20
    return Loop(_echo(heard, left_at, likeness, noise), _in_db(noise), least)


def _echo(
    heard: NDArray[Any], left_at: int, likeness: list[NDArray[Any]], noise: float
) -> Echo | None:
    import numpy as np

    together = np.sum(likeness, axis=0)
    best = int(np.argmax(together))
    around = np.median(together)
    if together[best] <= max(_LEAST_CONTRAST * around, 3e-5):
        return None
    near = _samples(_AGREE_MS * 2)
    low = max(0, best - near)
    places = [low + int(np.argmax(one[low : best + near])) for one in likeness]
    middle = int(np.median(places))
    agreeing = [one for one in places if abs(one - middle) <= _samples(_AGREE_MS)]
    if len(agreeing) < 2:
        return None
    # The way straight from the speaker comes before a wall that may be louder.
    first = max(0, middle - _samples(_EARLIER_MS))
    early = np.flatnonzero(together[first:middle] > 0.5 * together[best])
    begins = first + int(early[0]) if len(early) and middle - first - early[0] > 24 else middle
    spread = (max(agreeing) - min(agreeing)) * 1000 / WIRE_RATE_HZ
    direct = [float(one[place]) for one, place in zip(likeness, places, strict=True)]
    coupling = _coupling(heard, left_at + begins, noise, direct)
    return Echo(begins * 1000 / WIRE_RATE_HZ, coupling, spread, len(agreeing))


def _coupling(heard: NDArray[Any], first: int, noise: float, direct: list[float]) -> float:
    """The energy that came back to that of the sound, in dB; the median of the three.

    All of it counts, also what comes late from the walls, less the noise; and never less than what
    the matched filter gathered.
    """
    import numpy as np

    length = _samples(SWEEP_MS + _TAIL_MS)
    sent = _sweep_power() * _samples(SWEEP_MS)
    shares = []
    for start, gain in zip(STARTS_MS, direct, strict=True):
        at = first + _samples(start)
        part = heard[at : at + length]
        got = float(np.sum(part**2)) - noise * len(part)
        shares.append(max(got / sent, gain**2))
    return _in_db(float(np.median(shares)))


def _likeness(heard: NDArray[Any], begin: int) -> NDArray[Any]:
    """By how much the sweep is in `heard` at each delay after `begin`: 1.0 is as it was sent."""
    import numpy as np

    sweep = _sweep()
    length = _samples(LONGEST_DELAY_MS) + len(sweep)
    part = np.zeros(length)
    taken = heard[max(0, begin) : max(0, begin + length)]
    part[max(0, -begin) : max(0, -begin) + len(taken)] = taken
    size = 1 << (length + len(sweep) - 1).bit_length()
    product = np.fft.fft(part, size) * np.conj(np.fft.fft(sweep, size))
    found = np.abs(np.fft.ifft(product))[: _samples(LONGEST_DELAY_MS)]
    scaled: NDArray[Any] = found / float(np.sum(sweep.real**2))
    return scaled


def _sweep() -> NDArray[Any]:
    """The analytic sweep; its real part is what is played."""
    import numpy as np

    count = _samples(SWEEP_MS)
    at = np.arange(count) / WIRE_RATE_HZ
    rate = (TO_HZ - FROM_HZ) / (SWEEP_MS / 1000)
    phase = 2 * np.pi * (FROM_HZ * at + rate * at**2 / 2)
    edge = _samples(_EDGE_MS)
    window = np.ones(count)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(edge) / edge)
    window[:edge], window[-edge:] = ramp, ramp[::-1]
    sweep: NDArray[Any] = AMPLITUDE * window * np.exp(1j * phase)
    return sweep


def _sweep_power() -> float:
    import numpy as np

    return float(np.mean(_sweep().real ** 2))


def _samples(ms: float) -> int:
    return int(ms * WIRE_RATE_HZ / 1000)


def _in_db(power: float) -> float:
    return max(FLOOR_DBFS, 10 * math.log10(power)) if power > 0 else FLOOR_DBFS
