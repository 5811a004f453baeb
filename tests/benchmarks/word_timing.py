"""How far off the words are that count as heard, at the ends of sentences of the local voice.

    python tests/benchmarks/word_timing.py [--json]

Three to six sentences are spoken one after another; where each of them ends in the audio is known.
Compared there are the share of time, the share of voiced time, and the words laid over the voice
with its pauses (`voicecli.wording`), for answers whose audio is all there.
"""

from __future__ import annotations

import argparse
import random

from common import Figures, show

from voicecli.audio.activity import SpeechActivity
from voicecli.engine.voices.voices import HibariVoice
from voicecli.wording import laid_over

SENTENCES = (
    "The tide comes in twice a day.",
    "Sure!",
    "Because the moon pulls at the sea, the water rises on the side that faces it, and on the far "
    "side as well.",
    "How would you like to continue?",
    "It is about four hundred thousand kilometres away.",
    "No, not really.",
    "In Antwerp there is a harbour in which the difference is more than five metres.",
    "Let me know if you want the times for tomorrow morning.",
    "That is all I know about it.",
    "Well, let me think.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    voice = HibariVoice()
    spoken = {text: b"".join(voice.speak(text)) for text in SENTENCES}
    by_time = Figures("words off, by the share of time", unit="words")
    by_voice = Figures("words off, by the share of voiced time", unit="words")
    by_pauses = Figures("words off, laid over voice and pauses", unit="words")
    random.seed(3)
    for _ in range(200):
        pcm, text, ends = b"", "", []
        for sentence in random.sample(SENTENCES, random.randint(3, 6)):
            pcm += spoken[sentence]
            text = f"{text} {sentence}".strip()
            ends.append((len(pcm) // 48, len(text.split())))
        activity = SpeechActivity()
        activity.push(pcm)
        laid = laid_over(text, activity)
        for at_ms, words in ends[:-1]:
            shares = (at_ms / (len(pcm) // 48), activity.voiced_ms(at_ms) / activity.total_ms)
            for figures, share in zip((by_time, by_voice), shares, strict=True):
                figures.values.append(abs(len(text[: round(len(text) * share)].split()) - words))
            said = text[: laid.chars_at(activity.voiced_ms(at_ms))]
            by_pauses.values.append(abs(len(said.split()) - words))
    show([by_time, by_voice, by_pauses], as_json=arguments.json)
    for one in (by_time, by_voice, by_pauses):
        print(f"{one.name}: mean {sum(one.values) / len(one.values):.2f}")


if __name__ == "__main__":
    main()
