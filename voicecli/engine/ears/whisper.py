"""Speech to text in many languages: Whisper, slower than the ears for English."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from voicecli.engine.ears.mel import RATE_HZ, log_mel
from voicecli.errors import LanguageNotHeard, ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL: Final = "whisper-base"

_WINDOW: Final = 30 * RATE_HZ
"It hears exactly so much at a time."
_SHORTEST: Final = RATE_HZ // 4
_UNSPOKEN: Final = 0.6
"From this probability on it takes what it hears for no speech at all."


class WhisperEars:
    """Whisper on CTranslate2 with 8-bit weights; writes case, punctuation and digits.

    Each call costs about as much as 30 s of speech would, however short the speech is.

    Args:
        folder: holds `model.bin`, `config.json` and `vocabulary.txt`.
        threads: for one call.

    Raises:
        ModelError: ctranslate2 is not installed, or the files cannot be loaded.
    """

    def __init__(self, folder: Path, threads: int = 2) -> None:
        # Threads of OpenMP that wait must not take the cores from others.
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
        try:
            import ctranslate2
        except ImportError as exc:
            raise ModelError(
                "ctranslate2 is not installed", 'install it: pip install "voicecli[languages]"'
            ) from exc
        try:
            self._model = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="int8", intra_threads=threads
            )
            self._pieces = (folder / "vocabulary.txt").read_text("utf-8").split("\n")
        except (OSError, RuntimeError, ValueError) as exc:
            raise ModelError(
                f"cannot load {folder.name!r} from {str(folder)!r}: {exc}",
                f"check the files: voicecli models verify {folder.name}",
            ) from exc
        self._view = ctranslate2.StorageView.from_array
        self._bytes = {char: byte for byte, char in _printed().items()}
        self._first_special = self._pieces.index("<|endoftext|>")
        # One at a time: two at once would each be slower than both in turn.
        self._turn = threading.Lock()

    def transcribe(self, samples: NDArray[np.float32], *, language: str = "") -> str:
        """The words in mono samples at 16 kHz within -1..1; "" where there are none.

        May be called from any thread. Speech is heard in stretches of 30 s.

        Raises:
            LanguageNotHeard: Whisper does not know the language.
        """
        if language and f"<|{language}|>" not in self._pieces[self._first_special :]:
            raise LanguageNotHeard(f"these ears know no language {language!r}")
        starts = range(0, len(samples), _WINDOW)
        with self._turn:
            texts = [self._hear(samples[at : at + _WINDOW], language) for at in starts]
        return " ".join(text for text in texts if text)

    def _hear(self, samples: NDArray[np.float32], language: str) -> str:
        import numpy as np

        if len(samples) < _SHORTEST:
            return ""
        window = np.pad(samples, (0, _WINDOW - len(samples)))
        features = self._view(np.ascontiguousarray(log_mel(window)[None]))
        spoken = f"<|{language}|>" if language else self._model.detect_language(features)[0][0][0]
        prompt = ["<|startoftranscript|>", spoken, "<|transcribe|>", "<|notimestamps|>"]
        found = self._model.generate(
            features,
            [prompt],
            beam_size=1,
            max_length=len(prompt) + 224,
            return_no_speech_prob=True,
        )[0]
        return "" if found.no_speech_prob > _UNSPOKEN else self._text(found.sequences_ids[0])

    def _text(self, tokens: list[int]) -> str:
        printed = "".join(self._pieces[one] for one in tokens if one < self._first_special)
        raw = bytes(self._bytes[char] for char in printed if char in self._bytes)
        return raw.decode("utf-8", "ignore").strip()


def _printed() -> dict[int, str]:
    """How the vocabulary writes each byte: as its character if that shows, else as one from 256 on.

    Source: the byte-level byte pair encoding of GPT-2, which Whisper uses.
    """
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {
        byte: chr(0x100 + place) for place, byte in enumerate(hidden)
    }
