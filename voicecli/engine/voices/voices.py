"""Text to speech."""

import re
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from voicecli.audio.resample import convert
from voicecli.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VOICES: Mapping[str, float] = MappingProxyType(
    {
        "alloy": 0.94,
        "ash": 0.79,
        "ballad": 0.88,
        "cedar": 0.75,
        "coral": 1.06,
        "echo": 0.83,
        "marin": 1.0,
        "sage": 0.97,
        "shimmer": 1.12,
        "verse": 0.91,
        "heart": 1.0,
    }
)
"""The names that clients may ask for, and how high the voice is that they get.

There is one voice, "heart", an American woman's. For the names of the Realtime API it is made
higher or lower, timbre included, so that two speakers can be told apart and a name always sounds
the same; none of them sounds like the API's own voice of that name.
"""

SLOWEST, FASTEST = 0.5, 2.0


class Voice(Protocol):
    """Speaks a text."""

    def speak(self, text: str, *, speed: float = 1.0, voice: str = "") -> Iterator[bytes]:
        """PCM16 mono at 24 kHz, in pieces as soon as each is ready; close it to stop early.

        Args:
            text: a sentence or some.
            speed: 1.0 is normal.
            voice: the name that the client asked for; "" leaves it to the voice.
        """
        ...


RATE_HZ = 24_000
AUDIBLE = 0.002
"Of full scale: -54 dBFS."
LEAD_SAMPLES = 480
"20 ms at 24 kHz, so that a soft beginning stays whole."


class HibariVoice:
    """The voice "heart" of hibari, on one thread; some hundred times faster than speech.

    Warm after construction, which takes about half a second. Fetches nothing.

    Raises:
        ModelError: hibari-tts is not installed or cannot load.
    """

    def __init__(self) -> None:
        try:
            from hibari import Hibari
        except ImportError as exc:
            raise ModelError(
                "hibari-tts is not installed", 'install it: pip install "voicecli[local]"'
            ) from exc
        try:
            self._hibari = Hibari(voice="heart", threads=1)
            # A word that is in no dictionary, so that the model which guesses is loaded as well.
            self._hibari("Voicecli.")
        # hibari and onnxruntime raise errors without a common base.
        except Exception as exc:
            raise ModelError(f"the voice cannot be loaded: {exc}", "reinstall hibari-tts") from exc
        self._turn = threading.Lock()

    def speak(self, text: str, *, speed: float = 1.0, voice: str = "") -> Iterator[bytes]:
        """PCM16 mono at 24 kHz, one piece a sentence; the first after some 30 ms.

        Several texts may be spoken at once from several threads: they take turns by the sentence.
        The same text gives the same bytes. Text without anything pronounceable gives no piece.

        Args:
            text: English; markdown, addresses and symbols are turned into words first.
            speed: 1.0 is normal; beyond 0.5 to 2.0 the nearest of the two is used.
            voice: one of `VOICES`; any other name is spoken by "heart".
        """
        speed = min(max(speed, SLOWEST), FASTEST)
        pitch = VOICES.get(voice, 1.0)
        for sentence in self._hibari.split_sentences(speakable(text)):
            with self._turn:
                wave = self._hibari(sentence, speed=speed / pitch, seed=0)
            if len(wave):
                pcm = _pcm16(_without_silent_start(wave))
                # What was spoken faster or slower and is played at its own pace is lower or higher.
                yield convert(pcm, round(RATE_HZ * pitch), RATE_HZ)


def _without_silent_start(wave: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """The wave from shortly before its first audible sample: before it is 0.3 s of nothing.

    The listener would wait for it, and the pause at a sentence's end is long enough.
    """
    import numpy as np

    audible = np.flatnonzero(np.abs(wave) > AUDIBLE)
    return wave[max(0, int(audible[0]) - LEAD_SAMPLES) :] if len(audible) else wave


def _pcm16(wave: "NDArray[np.float32]") -> bytes:
    import numpy as np

    return (np.clip(wave, -1.0, 1.0) * 32767).astype("<i2").tobytes()


_HERTZ = {"k": "kilohertz", "M": "megahertz", "G": "gigahertz"}
_REPLACEMENTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        # Markup.
        (r"^\s*```.*$", ""),
        (r"^\s*(?:#{1,6}|[*+>-])\s+", ""),
        (r"!?\[([^\]]+)\]\([^)]*\)", r"\1"),
        (r"</?[A-Za-z][^<>]*>|<\|[^>]*>", ""),
        (r"^\s*\|\s*|\s*\|\s*$", ""),
        (r"\s*\|\s*", ", "),
        # An address is spoken as its host.
        (r"https?://(?:www\.)?([^\s/?#:]+)[^\s]*?(?=[.,;!?)]*(?:\s|$))", r"\1"),
        (r"(?<=\w)@(?=\w)", " at "),
        (r"(?<=\w)\.(?=[a-z]{2,})", " dot "),
        # Signs between and before numbers.
        (r"(?<=\d)\s*\*\s*(?=\d)", " times "),
        (r"(?<=\d)\s+[-–−]\s+(?=\d)", " minus "),
        (r"[~≈]\s*(?=\d)", "about "),
        (r"\s*(?:->|=>|→|⇒)\s*", " to "),
        (r"[*`]+", ""),
        (r"_+", " "),
        # Emoji and what joins them.
        ("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d]+", " "),
        (r"[ \t]{2,}", " "),
    )
)


def speakable(text: str) -> str:
    """Put into words what the voice would drop or spell: addresses, markup, some signs and units.

    Numbers, money, percentages, dates and times of day are left alone: the voice reads them well.
    """
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return re.sub(r"\b([kMG])Hz\b", lambda unit: _HERTZ[unit[1]], text).strip()
