"""Text to speech."""

import re
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from voicecli.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VOICES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            *("alloy", "ash", "ballad", "cedar", "coral", "echo"),
            *("marin", "sage", "shimmer", "verse", "heart"),
        ),
        "heart",
    )
)
"""The names that clients may ask for, and the voice they get.

There is one voice, "heart", an American woman's. The names of the Realtime API are accepted so that
a client need not know which server it talks to; they all sound the same here.
"""

SLOWEST, FASTEST = 0.5, 2.0


class Voice(Protocol):
    """Speaks a text."""

    def speak(self, text: str, *, speed: float = 1.0) -> Iterator[bytes]:
        """PCM16 mono at 24 kHz, in pieces as soon as each is ready; close it to stop early."""
        ...


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
                "hibari-tts is not installed", "install it: pip install 'voicecli[local]'"
            ) from exc
        try:
            self._hibari = Hibari(voice="heart", threads=1)
            # A word that is in no dictionary, so that the model which guesses is loaded as well.
            self._hibari("Voicecli.")
        # hibari and onnxruntime raise errors without a common base.
        except Exception as exc:
            raise ModelError(f"the voice cannot be loaded: {exc}", "reinstall hibari-tts") from exc
        self._turn = threading.Lock()

    def speak(self, text: str, *, speed: float = 1.0) -> Iterator[bytes]:
        """PCM16 mono at 24 kHz, one piece a sentence; the first after some 30 ms.

        Several texts may be spoken at once from several threads: they take turns by the sentence.
        The same text gives the same bytes. Text without anything pronounceable gives no piece.

        Args:
            text: English; markdown, addresses and symbols are turned into words first.
            speed: 1.0 is normal; beyond 0.5 to 2.0 the nearest of the two is used.
        """
        speed = min(max(speed, SLOWEST), FASTEST)
        for sentence in self._hibari.split_sentences(speakable(text)):
            with self._turn:
                wave = self._hibari(sentence, speed=speed, seed=0)
            if len(wave):
                yield _pcm16(_without_silent_start(wave))


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
