"""What is the same for every client of others: the server it meets, and what the user says."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
from collections.abc import AsyncIterator, Sequence

import pytest
from engine_fakes import clip, silence
from test_serve import serving

from voicecli.engine.ears.ears import MoonshineEars
from voicecli.engine.minds.mind import load_mind
from voicecli.engine.stages import Models
from voicecli.engine.store import ModelStore
from voicecli.engine.voices.voices import HibariVoice
from voicecli.protocol.events import ConversationItemTruncated, ErrorEvent, Event, ResponseDone

CHUNK_BYTES = 4800
COMMAND = silence(300) + clip() + silence(900)
"A person says: Go forward ten meters."
INTERRUPTION = silence(100) + clip("cards_001") + silence(900)

REPORT = (
    "You are now ten meters further than you were before. There is a wall on your left, and a door "
    "on your right. Behind the door somebody is playing the piano. In front of you there is a long "
    "and narrow corridor with many windows, and at its end you can see a garden."
)
"What the function gives back: long enough to be interrupted."


def _is_whole() -> bool:
    installed = all(importlib.util.find_spec(one) for one in ("onnxruntime", "hibari"))
    return installed and ModelStore().is_present("moonshine-tiny-en")


needs_weights = pytest.mark.skipif(not _is_whole(), reason="the weights of the models are not here")


@functools.cache
def real_models() -> Models:
    """Real ears and a real voice, and the mind that needs no weights; loaded once."""
    store = ModelStore()
    ears = MoonshineEars(store.path("moonshine-tiny-en"))
    return Models(ears, load_mind("rules", store), HibariVoice())


def served() -> contextlib.AbstractAsyncContextManager[str]:
    """A server with the real models, which are loaded by then; gives its URL."""
    models = real_models()
    return serving(lambda: models)


async def microphone(pcm: bytes, *, speed: float = 4.0) -> AsyncIterator[bytes]:
    """PCM16 24 kHz in pieces of 100 ms, some times faster than it was spoken."""
    for start in range(0, len(pcm), CHUNK_BYTES):
        yield pcm[start : start + CHUNK_BYTES]
        await asyncio.sleep(0.1 / speed)


def went_forward(arguments: str) -> bool:
    """Whether the call is that of the command."""
    return arguments.replace(" ", "") == '{"meters":10}'


def cut_at_ms(said: Sequence[Event]) -> list[int]:
    """Where answers were truncated."""
    return [one.audio_end_ms for one in said if isinstance(one, ConversationItemTruncated)]


def errors_in(said: Sequence[Event]) -> list[object]:
    """What the server refused."""
    return [one.error.fields for one in said if isinstance(one, ErrorEvent)]


def statuses_in(said: Sequence[Event]) -> list[object]:
    """How the responses ended."""
    return [one.response.fields["status"] for one in said if isinstance(one, ResponseDone)]
