"""Audio of items from one format into another, in steps that hold up nobody."""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterator
from typing import Final

from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.audio.resample import Resampler
from voicecli.audio.wire import WireDecoder, WireEncoder
from voicecli.engine.dialogue.jobs import BREATH, Breath
from voicecli.protocol.settings import AudioFormat

STEP_MS: Final = 200
EARS_RATE_HZ: Final = 16_000
BYTES_PER_MS: Final[dict[AudioFormat, int]] = {"pcm": 48, "pcmu": 8, "pcma": 8}
"Of the formats of the wire."

_BASE64_STEP: Final = 3 * 128 * 1024
"A multiple of three, so that pieces join."


def recoded(
    audio: bytes, before: AudioFormat, after: AudioFormat
) -> Generator[Breath, None, bytes]:
    """The same audio in another format; takes a breath after each 200 ms of it."""
    if before == after or not audio:
        return audio
    decoder, encoder = WireDecoder(before), WireEncoder(after)
    made = bytearray()
    for piece in _pieces(audio, before):
        made += encoder.encode(decoder.decode(piece))
        yield BREATH
    made += encoder.encode(decoder.finish()) + encoder.finish()
    return bytes(made)


def in_base64(audio: bytes) -> Generator[Breath, None, str]:
    """The audio as JSON carries it; takes a breath now and then."""
    made: list[bytes] = []
    for start in range(0, len(audio), _BASE64_STEP):
        made.append(base64.b64encode(audio[start : start + _BASE64_STEP]))
        yield BREATH
    return b"".join(made).decode("ascii")


def for_ears(audio: bytes, audio_format: AudioFormat) -> bytes:
    """PCM16 at 16 kHz; takes its time, so not on the thread of a loop."""
    if not audio:
        return b""
    decoder, to_ears = WireDecoder(audio_format), Resampler(WIRE_RATE_HZ, EARS_RATE_HZ)
    made = bytearray()
    # Piece by piece, as Python's lock is not given away within one.
    for piece in _pieces(audio, audio_format):
        if pcm24k := decoder.decode(piece):
            made += to_ears.process(pcm24k)
    if rest := decoder.finish():
        made += to_ears.process(rest)
    return bytes(made) + to_ears.finish()


def _pieces(audio: bytes, audio_format: AudioFormat) -> Iterator[bytes]:
    step = STEP_MS * BYTES_PER_MS[audio_format]
    return (audio[start : start + step] for start in range(0, len(audio), step))
