"""FLAC, by a library that need not be installed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any, Final

from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.errors import ConfigError

NO_FLAC: Final = "FLAC needs the package soundfile, which is not installed"
FLAC_HINT: Final = 'pip install "voicecli[flac]", or export WAV'


def has_flac() -> bool:
    """Whether the library for FLAC is installed."""
    try:
        flac_library()
    except ConfigError:
        return False
    return True


def flac_library() -> Any:
    """The module soundfile.

    Raises:
        ConfigError: it is not installed, or what it needs is not.
    """
    try:
        import soundfile
    except (ImportError, OSError) as exc:
        raise ConfigError(NO_FLAC, FLAC_HINT) from exc
    return soundfile


@contextmanager
def flac_encoder(
    stream: IO[bytes], channels: int, compression: float, title: str = "", date: str = ""
) -> Iterator[Callable[[bytes], None]]:
    """What takes PCM16 at 24 kHz; `stream` is a FLAC file when the block is left, however it is.

    Args:
        stream: open for writing, can be sought in.
        channels: interleaved.
        compression: 0 to 1.
        title: a tag of the file.
        date: likewise.

    Raises:
        ConfigError: the library for it is not installed.
        OSError: the stream takes no more.
    """
    library = flac_library()
    guarded = _Guarded(stream)
    with _HeldInterrupts() as interrupts:
        try:
            with library.SoundFile(
                guarded, "w", samplerate=WIRE_RATE_HZ, channels=channels, format="FLAC",
                subtype="PCM_16", compression_level=compression,
            ) as sound:  # fmt: skip
                if title:
                    # A name on disk may be bytes that are no text.
                    sound.title = title.encode("utf-8", "replace").decode()
                if date:
                    sound.date = date

                def write(block: bytes) -> None:
                    sound.buffer_write(block, dtype="int16")
                    interrupts.let_through()

                yield write
        except (AssertionError, library.SoundFileError) as exc:
            raise guarded.failure or OSError(None, str(exc)) from exc
    if guarded.failure is not None:
        raise guarded.failure


class _Guarded:
    """A stream for a library in C, out of which nothing can be raised: it keeps what went wrong."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.failure: OSError | None = None
        self.seek = stream.seek
        self.tell = stream.tell
        self._stream = stream

    def write(self, content: bytes) -> int:
        """Write as much as can be; less than all is an error to the library."""
        if self.failure is None:
            try:
                return self._stream.write(content)
            except OSError as exc:
                self.failure = exc
        return 0


class _HeldInterrupts:
    """Ctrl-C waits here until the library has returned, which would lose it in its callbacks."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self._has_come = False

    def __enter__(self) -> _HeldInterrupts:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number and signal.getsignal(number) is signal.default_int_handler:
                    signal.signal(number, self._came)
                    self._held.append(number)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number in self._held:
            signal.signal(number, signal.default_int_handler)
        if kind is None:
            self.let_through()

    def let_through(self) -> None:
        """Interrupt now what was to be interrupted meanwhile."""
        if self._has_come:
            self._has_come = False
            raise KeyboardInterrupt

    def _came(self, number: int, frame: FrameType | None) -> None:
        self._has_come = True
