"""Tokens, counted as the API bills them, so that a client's cost display can be tried locally.

Text is about four characters a token, and a function that may be called is its JSON; audio is a
token for 100 ms of the user's and for 50 ms of the model's. Nothing is cached here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.engine.dialogue.items import Record
from voicecli.engine.dialogue.messages import Tool
from voicecli.protocol.objects import JsonDict

CHARS_PER_TOKEN: Final = 4
INPUT_MS_PER_TOKEN: Final = 100
OUTPUT_MS_PER_TOKEN: Final = 50
TOKEN_BYTES: Final = OUTPUT_MS_PER_TOKEN * WIRE_RATE_HZ * 2 // 1000
"PCM16 24 kHz of one output token."


@dataclass(frozen=True)
class Tokens:
    """A number of text tokens and of audio tokens."""

    text: int = 0
    audio: int = 0

    @property
    def total(self) -> int:
        return self.text + self.audio


def text_tokens(text: str) -> int:
    """Tokens of a text: at least one, unless it is empty."""
    return -(-len(text) // CHARS_PER_TOKEN)


def input_tokens(
    instructions: str, records: Iterable[Record], tools: Iterable[Tool] = ()
) -> Tokens:
    """What a response costs before it says anything: all that the mind is shown."""
    text, audio = text_tokens(instructions) + sum(map(_tool_tokens, tools)), 0
    for record in records:
        if record.clip is not None:
            audio += -(-record.clip_ms // INPUT_MS_PER_TOKEN)
        elif record.spoken is not None:
            audio += -(-record.spoken.duration_ms // OUTPUT_MS_PER_TOKEN)
        else:
            text += text_tokens(record.words())
    return Tokens(text, audio)


def _tool_tokens(tool: Tool) -> int:
    shown = {
        "name": tool.name, "description": tool.description, "parameters": tool.parameters,
    }  # fmt: skip
    return text_tokens(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))


def usage(given: Tokens, made: Tokens) -> JsonDict:
    """The `usage` object of a finished response."""
    nothing = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
    return {
        "total_tokens": given.total + made.total,
        "input_tokens": given.total,
        "output_tokens": made.total,
        "input_token_details": {
            "text_tokens": given.text,
            "audio_tokens": given.audio,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": nothing,
        },
        "output_token_details": {"text_tokens": made.text, "audio_tokens": made.audio},
    }
