"""Speech to text."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from voicecli.engine.ears.onnx import open_models
from voicecli.errors import LanguageNotHeard, ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from voicecli.engine.store import ModelStore

MODEL = "moonshine-tiny-en"
RATE_HZ = 16_000
ENGLISH = ("", "en")
"Languages for the quick ears; where none is named, theirs is meant."

_START, _END = 1, 2
_FIRST_TEXT_TOKEN = 3
_TOKENS_PER_S = 6.5
_SPARE_TOKENS = 6
# The attention of the encoder grows with the square of the length: 44 s take half a gigabyte.
_LONGEST_S = 24
_CUT_WITHIN_S = 8
_CUT_WINDOW = RATE_HZ // 10
_SHORTEST = RATE_HZ // 4


class Ears(Protocol):
    """Turns one stretch of speech into text."""

    def transcribe(self, samples: "NDArray[np.float32]", *, language: str = "") -> str:
        """The words in mono samples at 16 kHz within -1..1; "" where there are none.

        Args:
            samples: not kept.
            language: what is spoken, as ISO 639-1; "" leaves that to the ears.

        Raises:
            LanguageNotHeard: these ears do not understand it.
        """
        ...


class EarsByLanguage:
    """English for one pair of ears, which is quick, and all else for another one.

    Args:
        english: hears what is English, or of no known language.
        make_others: loads what hears all else, when it is first needed.
    """

    def __init__(self, english: Ears, make_others: Callable[[], Ears]) -> None:
        self._english = english
        self._make_others = make_others
        self._others: Ears | None = None
        self._loading = threading.Lock()

    def transcribe(self, samples: "NDArray[np.float32]", *, language: str = "") -> str:
        """See `Ears`; may be called from any thread if both pairs may."""
        if language in ENGLISH:
            return self._english.transcribe(samples, language=language)
        return self._load_others().transcribe(samples, language=language)

    def _load_others(self) -> Ears:
        with self._loading:
            if self._others is None:
                try:
                    self._others = self._make_others()
                except ModelError as exc:
                    raise LanguageNotHeard(exc.message, exc.hint) from exc
            return self._others


def load_ears(store: "ModelStore", threads: int = 2) -> Ears:
    """Moonshine for English and, if its weights are here, Whisper for other languages.

    Raises:
        ModelError: the weights for English are missing or cannot be loaded.
    """
    from voicecli.engine.ears import whisper

    english = MoonshineEars(store.path(MODEL), threads)
    if not store.is_present(whisper.MODEL):
        return english
    return EarsByLanguage(english, lambda: whisper.WhisperEars(store.path(whisper.MODEL), threads))


class MoonshineEars:
    """Moonshine tiny for English, on onnxruntime; writes case, punctuation, and numbers as words.

    On silence, noise or a click the model says a lone "You", and on music it writes notes; both
    become "". It has no other idea of silence: gate it with a voice activity detector.

    Args:
        folder: holds `encoder_model.ort`, `decoder_model_merged.ort` and `tokenizer.bin`.
        threads: for one call; more than two gain nothing.

    Raises:
        ModelError: onnxruntime is not installed, or the files cannot be loaded.
    """

    def __init__(self, folder: Path, threads: int = 2) -> None:
        names = ("encoder_model.ort", "decoder_model_merged.ort")
        self._encoder, self._decoder = open_models(folder, names, threads)
        try:
            self._pieces = _read_pieces((folder / "tokenizer.bin").read_bytes())
        except (OSError, IndexError) as exc:
            raise ModelError(
                f"cannot load the ears from {str(folder)!r}: {exc}",
                f"check the files: voicecli models verify {folder.name}",
            ) from exc
        self._past = [
            (node.name, node.shape)
            for node in self._decoder.get_inputs()
            if node.name.startswith("past_key_values")
        ]
        self._outputs = [node.name for node in self._decoder.get_outputs()]
        # One at a time: two at once would each be slower than both in turn.
        self._turn = threading.Lock()

    def transcribe(self, samples: "NDArray[np.float32]", *, language: str = "") -> str:
        """The words in mono samples at 16 kHz within -1..1; "" where there are none.

        May be called from any thread. Speech longer than 24 s is heard in stretches, cut where it
        is quietest.

        Raises:
            LanguageNotHeard: the language is not English.
        """
        if language not in ENGLISH:
            raise LanguageNotHeard(
                f"these ears do not understand the language {language!r}, only English",
                "more languages need the server's: voicecli models pull whisper-base",
            )
        with self._turn:
            texts = [self._hear(stretch) for stretch in _stretches(samples)]
        return " ".join(text for text in texts if text)

    def _hear(self, samples: "NDArray[np.float32]") -> str:
        import numpy as np

        if len(samples) == 0:
            return ""
        if len(samples) < _SHORTEST:
            samples = np.pad(samples, (0, _SHORTEST - len(samples)))
        audio = np.ascontiguousarray(samples, np.float32)[None]
        mask = np.ones(audio.shape, np.int64)
        hidden = self._encoder.run(None, {"input_values": audio, "attention_mask": mask})[0]
        limit = int(len(samples) / RATE_HZ * _TOKENS_PER_S) + _SPARE_TOKENS
        return _words(self._text(self._decode(hidden, mask, limit)))

    def _decode(
        self, hidden: "NDArray[np.float32]", mask: "NDArray[np.int64]", limit: int
    ) -> list[int]:
        """Token ids, the most likely one each time.

        The mask is as long as the audio, not as the encoder's output: the graph shortens it itself.
        """
        import numpy as np

        past = {
            name: np.zeros(
                (1, shape[1], 0 if ".decoder." in name else hidden.shape[1], shape[3]), np.float32
            )
            for name, shape in self._past
        }
        tokens = [_START]
        while len(tokens) <= limit:
            first = len(tokens) == 1
            outputs = self._decoder.run(
                None,
                {
                    "input_ids": np.array([tokens[-1:]], np.int64),
                    "encoder_hidden_states": hidden,
                    "encoder_attention_mask": mask,
                    "use_cache_branch": np.array([not first]),
                    **past,
                },
            )
            token = int(outputs[0][0, -1].argmax())
            if token == _END:
                break
            tokens.append(token)
            for output, value in zip(self._outputs[1:], outputs[1:], strict=True):
                name = output.replace("present", "past_key_values")
                # What the decoder takes from the encoder is computed in the first step only.
                if first or ".decoder." in name:
                    past[name] = value
        return tokens[1:]

    def _text(self, tokens: list[int]) -> str:
        joined = b"".join(self._pieces[token] for token in tokens if token >= _FIRST_TEXT_TOKEN)
        return joined.decode("utf-8", "ignore").replace("\u2581", " ").strip()


def _words(text: str) -> str:
    """Without what the model writes when nobody speaks."""
    text = text.replace("♪", "").replace("♫", "").strip()
    return "" if text.lower().strip(" .!?,") in ("", "you") else text


def _stretches(samples: "NDArray[np.float32]") -> list["NDArray[np.float32]"]:
    """The samples in pieces of at most 24 s, each but the last cut at its quietest 100 ms."""
    pieces = []
    longest = _LONGEST_S * RATE_HZ
    while len(samples) > longest:
        earliest = longest - _CUT_WITHIN_S * RATE_HZ
        windows = samples[earliest:longest].reshape(-1, _CUT_WINDOW)
        quietest = int((windows**2).sum(axis=1).argmin())
        cut = earliest + quietest * _CUT_WINDOW + _CUT_WINDOW // 2
        pieces.append(samples[:cut])
        samples = samples[cut:]
    pieces.append(samples)
    return pieces


def _read_pieces(table: bytes) -> list[bytes]:
    """The tokenizer's pieces: each after its length, in one byte or, from 128 on, in two."""
    pieces = []
    at = 0
    while at < len(table):
        length = table[at]
        at += 1
        if length >= 128:
            length += (table[at] - 1) * 128
            at += 1
        pieces.append(table[at : at + length])
        at += length
    return pieces
