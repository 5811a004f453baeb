"""Human speech for tests: the clips with their transcripts, and the word error rate."""

import re
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEECH = Path(__file__).parent / "data" / "speech"

_SPELLED = {
    "0": "zero",
    "1": "one",
    "2": "two",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "7": "seven",
    "8": "eight",
    "9": "nine",
    "10": "ten",
    "mr": "mister",
    "meter": "meters",
    "metres": "meters",
}


@dataclass(frozen=True)
class Clip:
    """One recording of a person, mono at 16 kHz."""

    name: str
    seconds: float
    transcript: str

    @property
    def path(self) -> Path:
        return SPEECH / self.name

    def samples(self) -> "NDArray[np.float32]":
        """The sound within -1..1."""
        import numpy as np

        with wave.open(str(self.path), "rb") as wav:
            assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (16_000, 1, 2)
            pcm = wav.readframes(wav.getnframes())
        return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768


def clips() -> list[Clip]:
    """Every clip of the manifest."""
    rows = (SPEECH / "manifest.tsv").read_text("utf-8").splitlines()[1:]
    fields = (row.split("\t") for row in rows)
    return [Clip(name, float(seconds), text) for name, seconds, _, text, *_ in fields]


def words(text: str) -> list[str]:
    """Lower case words without punctuation; single digits and short forms spelled out."""
    # A number is read digit by digit where it is not ten, as in telephone numbers.
    text = re.sub(r"\d(?=\d)(?!0\b)", r"\g<0> ", text.lower().replace("-", " "))
    found = re.findall(r"[a-z0-9']+", text)
    return [_SPELLED.get(word, word) for word in found]


def word_errors(expected: str, heard: str) -> tuple[int, int]:
    """(substitutions, insertions and deletions; words expected)."""
    want, have = words(expected), words(heard)
    row = list(range(len(have) + 1))
    for i, word in enumerate(want, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(have, start=1):
            diagonal, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other)),
            )
    return row[-1], len(want)
