"""The HTML page of a recording: its sound is encoded into a file that has no name, then told."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from voicecli.audio.pcm import packed, unpacked
from voicecli.recording.export.flac import flac_encoder, has_flac
from voicecli.recording.export.html import SOUND_CHUNK_BYTES, Sound, page_of
from voicecli.recording.export.mixdown import mixdown
from voicecli.recording.export.riff import wav_header
from voicecli.recording.export.talk import talk_of
from voicecli.recording.files import Recording
from voicecli.recording.heard import Side
from voicecli.recording.peaks import Peaks

_CHANNELS: Final = 2
_SIDES: Final[tuple[Side, Side]] = ("user", "assistant")
_COMPRESSION: Final = 1.0
"The smallest: the page is made once. Less would gain little time."

FLAC_NOTE: Final = "The sound in it is FLAC, without loss, exactly as it was heard."
WAV_NOTE: Final = "The sound in it is PCM, exactly as it was heard."


def html_chunks(recording: Recording) -> Iterator[bytes]:
    """The page in pieces; memory stays flat, the sound goes through a temporary file.

    The sound is FLAC where the library for it is installed, else WAV, which takes three times as
    much.

    Raises:
        RecordingError: a line is damaged beyond use.
    """
    talk = talk_of(recording)
    peaks = {side: Peaks() for side in _SIDES}
    with tempfile.TemporaryFile() as file:
        with _encoder(file) as (encoder, sound):
            for block in mixdown(recording, "stereo"):
                _measure(block, peaks, encoder.position)
                encoder.write(block)
        kept = sound if recording.header.audio != "none" else None
        yield from page_of(talk, {side: bytes(one.steps) for side, one in peaks.items()}, kept)


def _measure(block: bytes, peaks: dict[Side, Peaks], position: int) -> None:
    samples = unpacked(block)
    for channel, side in enumerate(_SIDES):
        one: array[int] = samples[channel::_CHANNELS]
        peaks[side].add(position, packed(one))


class _Encoder:
    """Writes blocks; knows how many samples it was given."""

    def __init__(self, write: Any) -> None:
        self._write = write
        self.position = 0

    def write(self, block: bytes) -> None:
        self._write(block)
        self.position += len(block) // 2 // _CHANNELS


@contextmanager
def _encoder(file: IO[bytes]) -> Iterator[tuple[_Encoder, Sound]]:
    """An encoder, and the sound that can be read when the block is left."""
    if not has_flac():
        encoder = _Encoder(file.write)
        file.write(wav_header(_CHANNELS, 0))
        yield encoder, Sound("audio/wav", WAV_NOTE, _chunks(file))
        file.seek(0)
        file.write(wav_header(_CHANNELS, encoder.position * 2 * _CHANNELS))
        return
    with flac_encoder(file, _CHANNELS, _COMPRESSION) as write:
        yield _Encoder(write), Sound("audio/flac", FLAC_NOTE, _chunks(file))


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(SOUND_CHUNK_BYTES):
        yield chunk
