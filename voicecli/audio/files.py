"""A WAV file, a pipe or nothing at all, as a microphone or a speaker.

They keep real time on the event loop's clock by an absolute schedule: what comes late does not make
the next late. The speakers run the same ledger as a device, on a virtual DAC without latency.
"""

import asyncio
import contextlib
import os
import struct
import threading
import time
import wave
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Full, Queue
from typing import BinaryIO, Final

from voicecli.audio.pacing import PacedMicrophone
from voicecli.audio.pcm import (
    FRAME_BYTES,
    SAMPLE_BYTES,
    SILENT_FRAME,
    WIRE_RATE_HZ,
    Framer,
    ms_of_samples,
)
from voicecli.audio.playback import Heard, Playout
from voicecli.audio.ports import Failed, SpeakerReport
from voicecli.audio.resample import convert
from voicecli.audio.wav import decode_wav
from voicecli.errors import AudioDeviceError

Clock = Callable[[], float]

_PIPE_FRAMES: Final = 50
"Read ahead from a pipe; then its writer has to wait."
_PIPE_DRY_FRAMES: Final = 5
"A pipe that gives nothing for 100 ms counts as silence until it goes on."
_BLOCK_S: Final = 0.02
"Pace of a virtual DAC while it plays."
_IDLE_BLOCK_S: Final = 0.1
_MOST_SAMPLES: Final = WIRE_RATE_HZ
"Longest block taken at once, to bound what a stall allocates."
_PIPE_BLOCKS: Final = 100
"Blocks (2 s of speech) that may wait for the reader of a pipe, before it counts as lost."
_LAST_WRITE_S: Final = 1.0


class SilentMicrophone(PacedMicrophone):
    """Gives digital silence for ever: a server still sees time pass."""


class WavMicrophone(PacedMicrophone):
    """Speaks a WAV file (any rate, width and channels) once, then is silent."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._frames: deque[bytes] = deque()

    @property
    def ended(self) -> bool:
        """Whether the whole file was delivered; false before `start`."""
        return self._ticks > 0 and not self._frames

    async def _prepare(self) -> None:
        self._frames = await asyncio.to_thread(_frames_of, self._path)

    def _next_frame(self) -> bytes:
        return self._frames.popleft() if self._frames else SILENT_FRAME


class PipeMicrophone(PacedMicrophone):
    """Reads PCM16 24 kHz mono from a blocking stream such as `sys.stdin.buffer`.

    A writer faster than real time has to wait (1 s is read ahead); one that gives nothing for
    100 ms counts as silent until it goes on. The stream is left open: its owner closes it.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._frames: Queue[bytes | None] = Queue(_PIPE_FRAMES)
        self._through = False
        self._closed = threading.Event()
        self._dry_ticks = 0

    @property
    def ended(self) -> bool:
        """Whether the writer closed the pipe and all it wrote was delivered."""
        return self._through

    async def close(self) -> None:
        await super().close()
        self._closed.set()
        with contextlib.suppress(Empty):
            self._frames.get_nowait()  # a reader waiting for room sees that it is over

    async def _prepare(self) -> None:
        # Not an executor's: the read of a terminal cannot be cancelled, and would be waited for.
        threading.Thread(target=self._read, name="pipe-microphone", daemon=True).start()

    def _read(self) -> None:
        framer = Framer()
        with contextlib.suppress(OSError, ValueError):  # torn down under us: the end, too
            while pcm := _read_some(self._stream):
                self._put(framer.push(pcm))
                if self._closed.is_set():
                    return
        self._put([*framer.finish(), None])

    def _put(self, frames: list[bytes] | list[bytes | None]) -> None:
        for frame in frames:
            if self._closed.is_set():
                return
            self._frames.put(frame)

    def _next_frame(self) -> bytes | None:
        if self._through:
            return SILENT_FRAME
        try:
            frame = self._frames.get_nowait()
        except Empty:
            self._dry_ticks += 1
            return SILENT_FRAME if self._dry_ticks > _PIPE_DRY_FRAMES else None
        self._dry_ticks = 0
        self._through = frame is None
        return SILENT_FRAME if frame is None else frame


class _VirtualSpeaker:
    """Runs a `Playout` against the loop's clock and gives what is played to `_write`."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._playout = Playout()
        self._report: Callable[[SpeakerReport], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun_at = 0.0
        self._position = 0
        "Samples that have left the virtual DAC."
        self._failed = False

    @property
    def underflows(self) -> int:
        return self._playout.underflows

    @property
    def pending_ms(self) -> int:
        return ms_of_samples(self._playout.pending_samples)

    async def start(self, report: Callable[[SpeakerReport], None]) -> None:
        self._open()
        self._report = report
        self._begun_at = self._clock()
        self._schedule()

    def play(self, item_id: str, content_index: int, pcm: bytes) -> None:
        was_idle = self._playout.is_idle(self._advance())
        self._playout.enqueue(item_id, content_index, pcm)
        if was_idle:
            self._schedule()

    def finish(self, item_id: str, content_index: int) -> None:
        self._playout.finish(item_id, content_index)
        if self._playout.has_events:
            self._schedule()

    def set_gain(self, gain: float) -> None:
        self._advance()
        self._playout.set_gain(gain)
        if self._playout.has_events:
            self._schedule()

    def stop(self) -> list[Heard]:
        heard = self._playout.flush(self._advance())
        self._pass_on_events()
        return heard

    def heard(self) -> list[Heard]:
        return self._playout.heard(self._advance())

    async def close(self) -> None:
        if self._report is not None:
            self._advance()
            self._report = None
            await self._close()
        self._cancel()

    def _open(self) -> None:
        """Open the sink; raises `AudioDeviceError`."""

    def _write(self, pcm: bytes) -> None:
        """Take what was just heard; OSError is reported once, and ends the writing."""

    async def _close(self) -> None:
        """Close the sink."""

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._cancel()
        if self._report is not None:
            pending_s = self._playout.pending_samples / WIRE_RATE_HZ
            pause_s = min(pending_s + 0.001, _BLOCK_S) if pending_s else _IDLE_BLOCK_S
            if self._playout.has_events:
                pause_s = 0.0
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._tick)

    def _tick(self) -> None:
        self._advance()
        self._pass_on_events()
        self._schedule()

    def _advance(self) -> float:
        """Let everything up to now leave the DAC; gives the time of its next sample."""
        if self._report is None:
            return self._clock()
        # A sample whose moment has come all but a float's error is due.
        due = int((self._clock() - self._begun_at) * WIRE_RATE_HZ + 1e-3)
        while self._position < due:
            samples = min(due - self._position, _MOST_SAMPLES)
            pcm = self._playout.take(samples, self._now_at(self._position))
            self._position += samples
            self._guarded(self._write, pcm)
        return self._now_at(self._position)

    def _now_at(self, position: int) -> float:
        return self._begun_at + position / WIRE_RATE_HZ

    def _guarded(self, write: Callable[[bytes], None], pcm: bytes) -> None:
        if self._failed:
            return
        try:
            write(pcm)
        except (OSError, ValueError, wave.Error, struct.error) as exc:
            self._fail(f"cannot write the speaker's audio: {exc}")

    def _fail(self, message: str) -> None:
        if self._report is not None:
            self._failed = True
            # Not from inside `play` or `stop`: their caller is in the middle of a step.
            asyncio.get_running_loop().call_soon(self._report, Failed(message))

    def _pass_on_events(self) -> None:
        for event in self._playout.drain_events():
            if self._report is not None:
                self._report(event)


class NullSpeaker(_VirtualSpeaker):
    """Plays to nobody at the pace of real time."""


class WavSpeaker(_VirtualSpeaker):
    """Writes what a listener would have heard, pauses included, to a WAV file of 24 kHz mono.

    The header is right after every block, so a killed process leaves a valid file.
    """

    def __init__(self, path: Path, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._path = path
        self._file: BinaryIO | None = None
        self._wave: wave.Wave_write | None = None

    def _open(self) -> None:
        try:
            self._file = self._path.open("wb")
        except OSError as exc:
            raise _cannot("write", self._path, exc) from exc
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115
        self._wave.setnchannels(1)
        self._wave.setsampwidth(SAMPLE_BYTES)
        self._wave.setframerate(WIRE_RATE_HZ)

    def _write(self, pcm: bytes) -> None:
        if self._wave is not None:
            self._wave.writeframes(pcm)

    async def _close(self) -> None:
        if self._wave is not None and self._file is not None:
            with contextlib.suppress(OSError, struct.error):  # reported when it happened
                self._wave.close()
            with contextlib.suppress(OSError):
                self._file.close()


class PipeSpeaker(_VirtualSpeaker):
    """Writes PCM16 24 kHz mono to a blocking stream such as `sys.stdout.buffer`, pauses included.

    A thread writes, so a slow reader stops nobody; 2 s behind counts as gone. The stream is left
    open: its owner closes it.
    """

    def __init__(self, stream: BinaryIO, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._stream = stream
        self._blocks: Queue[bytes | None] = Queue(_PIPE_BLOCKS)
        self._error: OSError | ValueError | None = None
        self._writer = threading.Thread(target=self._drain, name="pipe-speaker", daemon=True)

    def _open(self) -> None:
        self._writer.start()

    def _write(self, pcm: bytes) -> None:
        if self._error is not None:
            raise self._error
        try:
            self._blocks.put_nowait(pcm)
        except Full:
            raise OSError("the reader of the pipe does not keep up") from None

    async def _close(self) -> None:
        with contextlib.suppress(Full):
            self._blocks.put_nowait(None)
            await asyncio.to_thread(self._writer.join, _LAST_WRITE_S)

    def _drain(self) -> None:
        try:
            while (pcm := self._blocks.get()) is not None:
                _write_all(self._stream, pcm)
        except (OSError, ValueError) as exc:
            self._error = exc


def _read_some(stream: BinaryIO) -> bytes:
    """What is there, at least one byte; `b""` at the end.

    Past the stream's buffer where there is a descriptor: a thread that waits inside of a buffered
    reader holds its lock, and the interpreter cannot end.
    """
    try:
        descriptor = stream.fileno()
    except OSError:
        read1: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        return read1(FRAME_BYTES)
    return os.read(descriptor, FRAME_BYTES)


def _write_all(stream: BinaryIO, pcm: bytes) -> None:
    """Write past the stream's buffer where there is a descriptor, for the same reason."""
    try:
        descriptor = stream.fileno()
    except OSError:
        stream.write(pcm)
        stream.flush()
        return
    view = memoryview(pcm)
    while view:
        view = view[os.write(descriptor, view) :]


def _frames_of(path: Path) -> deque[bytes]:
    try:
        sound = decode_wav(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise _cannot("read", path, exc) from exc
    framer = Framer()
    frames = framer.push(convert(sound.pcm, sound.rate_hz, WIRE_RATE_HZ))
    return deque(frames + framer.finish())


def _cannot(verb: str, path: Path, exc: Exception) -> AudioDeviceError:
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return AudioDeviceError(f"cannot {verb} {str(path)!r}: {reason}", "check the path")
