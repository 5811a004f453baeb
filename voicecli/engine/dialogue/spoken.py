"""What the model said, and how much of it was heard.

The words of an answer lie in its audio sentence by sentence. When the client says where playback
stopped, the sentence that was being spoken is cut there by whole words, in proportion to its
length: speech is even enough for that, and a word too few is better than one that was not heard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from voicecli.audio.pcm import WIRE_RATE_HZ

MS_PER_CHAR: Final = 60
"How long a character takes to be spoken, for sentences whose audio is not complete."


@dataclass
class Sentence:
    """A piece of text and the place of its audio in the item's."""

    text: str
    start_samples: int
    samples: int = 0
    complete: bool = False
    "Whether all of its audio was made."

    @property
    def length_samples(self) -> int:
        """How long it is, or would have become."""
        if self.complete:
            return self.samples
        return max(self.samples, len(self.text.strip()) * MS_PER_CHAR * WIRE_RATE_HZ // 1000)

    def heard(self, end_samples: int) -> str:
        """The words spoken before `end_samples` of the item's audio."""
        spoken = min(end_samples, self.start_samples + self.samples) - self.start_samples
        if spoken <= 0:
            return ""
        if self.complete and spoken >= self.samples:
            return self.text
        return _whole_words(self.text, spoken / self.length_samples)


def _whole_words(text: str, share: float) -> str:
    limit = share * len(text)
    ends = [word.end() for word in re.finditer(r"\S+", text)]
    return text[: max((end for end in ends if end <= limit), default=0)]


@dataclass
class Spoken:
    """The audio part of an assistant item, as it grows and after it was cut."""

    sentences: list[Sentence] = field(default_factory=list)
    samples: int = 0
    "Length of the audio made, at 24 kHz."
    cut_samples: int | None = None
    "Where the client said that playback stopped."

    def say(self, text: str) -> None:
        """Begin the next piece of text; its audio follows."""
        self._complete_last()
        self.sentences.append(Sentence(text, self.samples))

    def sound(self, samples: int) -> None:
        """Add to the audio of the piece begun last."""
        if not self.sentences:
            self.sentences.append(Sentence("", 0))
        self.sentences[-1].samples += samples
        self.samples += samples

    def finish(self) -> None:
        """All audio of all pieces was made."""
        self._complete_last()

    def cut(self, end_ms: int) -> None:
        """Forget what lies after `end_ms`; a later cut can only take more away."""
        end = end_ms * WIRE_RATE_HZ // 1000
        self.cut_samples = end if self.cut_samples is None else min(end, self.cut_samples)

    @property
    def duration_ms(self) -> int:
        """Length of the audio the client has, rounded up: no rounding of its own exceeds it."""
        return -(-self._end_samples * 1000 // WIRE_RATE_HZ)

    @property
    def text(self) -> str:
        """All that was told to the client as transcript."""
        return "".join(sentence.text for sentence in self.sentences)

    @property
    def heard(self) -> str:
        """The words that were heard, as far as anyone can know."""
        return "".join(sentence.heard(self._end_samples) for sentence in self.sentences)

    @property
    def _end_samples(self) -> int:
        return self.samples if self.cut_samples is None else min(self.samples, self.cut_samples)

    def _complete_last(self) -> None:
        if self.sentences:
            self.sentences[-1].complete = True
