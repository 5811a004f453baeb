"""Recordings on disk: an append-only writer that never stops the talk, and a forgiving reader."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NamedTuple, Self

from voicecli.errors import RecordingError
from voicecli.recording.format import (
    EVENTS_FILE,
    USER_FILE,
    Entry,
    Header,
    Sound,
    decode_entry,
    decode_header,
    frame_of,
    sound_of,
)
from voicecli.recording.shapes import DAMAGED_LINES, is_sound

WRITE_EVERY_S: Final = 0.25
"So much is lost at most when the process is killed."

MOST_WAITING_BYTES: Final = 32 * 2**20
"What may wait for a disk that hangs (ten minutes of talk), before the recording is given up."

CHUNK_BYTES: Final = 2**20

LONGEST_LINE_BYTES: Final = 64 * 2**20
"A line without an end is not read into memory as a whole."


def default_directory() -> Path:
    """Where recordings go when no place is named."""
    import platformdirs

    return Path(platformdirs.user_data_dir("voicecli", appauthor=False)) / "recordings"


# ------------------------------------------------------------------------------------- the writer


class Writer:
    """Appends to the files of one recording, from a thread of its own.

    `write` only hands over. Whatever goes wrong ends the recording and nothing else: `on_failure`
    is called once, from the thread, with the reason.

    Args:
        path: the folder to make; its parents are made, too.
        assistant_file: name of the file with the assistant's audio.
        on_failure: gets the reason, in another thread.

    Raises:
        RecordingError: the folder is there already or cannot be made.
    """

    def __init__(
        self, path: Path, assistant_file: str, on_failure: Callable[[str], None] = lambda _: None
    ) -> None:
        self.path = path
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._more = threading.Event()
        self._waiting = (bytearray(), bytearray(), bytearray())
        self._is_closed = False
        self._failure: str | None = None
        make_folder(path)
        try:
            self._files = [
                _private_file(path / name) for name in (EVENTS_FILE, USER_FILE, assistant_file)
            ]
        except OSError as exc:
            raise cannot("write", path, exc) from exc
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    @property
    def is_recording(self) -> bool:
        """False after a failure and after `close`."""
        return self._failure is None and not self._is_closed

    def write(self, lines: bytes, user: bytes = b"", assistant: bytes = b"") -> None:
        """Append to the three files; never waits."""
        if not self.is_recording:
            return
        with self._lock:
            for waiting, more in zip(self._waiting, (lines, user, assistant), strict=True):
                waiting += more
            too_much = sum(map(len, self._waiting)) > MOST_WAITING_BYTES
        if too_much:
            self._fail("the disk does not keep up")

    def place(self) -> Path | None:
        """Where the folder is now: somebody may have renamed it. None: that cannot be found out.

        For as long as it `is_recording`.
        """
        events_fd = self._files[0]
        with suppress(OSError):
            if _is_same(self.path / EVENTS_FILE, events_fd):
                return self.path
        with suppress(OSError):
            # Linux tells the name that an open file has now.
            found = Path(os.readlink(f"/proc/self/fd/{events_fd}"))
            if _is_same(found, events_fd):
                return found.parent
        return None

    def close(self) -> None:
        """Write what waits; takes as long as the disk does, two seconds at most."""
        self._is_closed = True
        self._more.set()
        self._thread.join(2)

    def _run(self) -> None:
        """Append what came, four times a second: the audio before the lines that point to it."""
        while True:
            is_last = self._more.wait(WRITE_EVERY_S)
            with self._lock:
                lines, user, assistant = self._waiting
                self._waiting = (bytearray(), bytearray(), bytearray())
            events_fd, user_fd, assistant_fd = self._files
            try:
                if self._failure is None:
                    write_all(partial(os.write, user_fd), user)
                    write_all(partial(os.write, assistant_fd), assistant)
                    write_all(partial(os.write, events_fd), lines)
                    self._check_place()
            except OSError as exc:
                self._fail(exc.strerror or str(exc))
            if is_last or self._failure is not None:
                for fd in self._files:
                    os.close(fd)
                return

    def _check_place(self) -> None:
        if os.fstat(self._files[0]).st_nlink == 0:
            raise FileNotFoundError(None, "its files have been deleted")

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            self._failure = reason
            self._more.set()
            self._on_failure(reason)


def make_folder(path: Path) -> None:
    """Make the folder of a new recording, private to the user.

    Raises:
        RecordingError: it is there already, or cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise cannot("write", path, exc) from exc
    try:
        path.mkdir(mode=0o700)
    except FileExistsError as exc:
        raise RecordingError(
            f"{str(path)!r} is there already", "name another place for the recording"
        ) from exc
    except OSError as exc:
        raise cannot("write", path, exc) from exc


def _private_file(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, 0o600)


def _is_same(path: Path, fd: int) -> bool:
    return os.path.samestat(path.stat(), os.fstat(fd))


def write_all(write: Callable[[memoryview], int], content: bytes | bytearray) -> None:
    """Write all of it, with what may take only a part at a time and tells how much it took."""
    view = memoryview(content)
    while view:
        view = view[write(view) :]


def cannot(verb: str, path: Path, exc: OSError) -> RecordingError:
    """The error to raise about a file or a folder of a recording."""
    return RecordingError(f"cannot {verb} {str(path)!r}: {exc.strerror or exc}")


# ------------------------------------------------------------------------------------- the reader


class Mark(NamedTuple):
    """A place that a reader finds without reading what is between."""

    at: float
    kind: str
    "`turn`, `barge_in`, `marker`, `rest`, …"
    values: dict[str, Any]
    position: int
    "In the file of events, in bytes: of the line after the mark."


class Recording:
    """A recording that can be read; nothing of it is kept in memory.

    Reads what is there: a line cut short, audio that is missing and lines that nobody understands
    become `warnings`, and the rest is given. Close it, or use it in a `with` block.
    """

    def __init__(self, path: Path, header: Header, first_position: int) -> None:
        self.path = path
        self.header = header
        self.warnings: list[str] = []
        self._user = _Audio(path / USER_FILE, self.warnings)
        self._assistant = _Audio(path / header.assistant_file, self.warnings)
        self._first_position = first_position

    @classmethod
    def open(cls, path: Path) -> Recording:
        """Open the recording at `path`: its folder, or the file of events in it.

        Raises:
            RecordingError: it is not there, is none, is empty, or is of a newer version.
        """
        folder = path.parent if path.name == EVENTS_FILE else path
        try:
            with _opened(folder / EVENTS_FILE) as events:
                return cls(folder, _read_header(events, path), events.tell())
        except FileNotFoundError as exc:
            raise RecordingError(
                f"there is no recording at {str(path)!r}", "`voicecli recordings list` shows yours"
            ) from exc
        except NotADirectoryError as exc:
            raise RecordingError(
                f"{str(path)!r} is a file, and a recording is a folder",
                "`voicecli recordings list` shows yours",
            ) from exc
        except OSError as exc:
            raise cannot("read", path, exc) from exc

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._user.close()
        self._assistant.close()

    def entries(self, position: int | None = None) -> Iterator[Entry]:
        """The entries from a byte position (of a mark; None: all of them) to the end.

        A last line that was cut off is left out, and so are damaged ones; both with a warning.
        """
        with self._events() as events:
            events.seek(self._first_position if position is None else position)
            while text := events.readline(LONGEST_LINE_BYTES):
                entry = _entry_of(text) if text.endswith(b"\n") else None
                if entry is not None:
                    yield entry
                elif not text.endswith(b"\n") and len(text) < LONGEST_LINE_BYTES:
                    self._warn("the last line was cut off: the recording ended suddenly")
                else:
                    self._warn(DAMAGED_LINES)

    def entries_with(self, text: bytes) -> Iterator[tuple[int, Entry]]:
        """The entries whose lines hold a text, with the positions behind them; fast as the disk."""
        with self._events() as events:
            for behind, line in _lines_with(events, self._first_position, text):
                entry = _entry_of(line)
                if entry is not None:
                    yield behind, entry

    def entry_at(self, position: int) -> Entry | None:
        """The entry whose line begins at a byte position."""
        with self._events() as events:
            events.seek(position)
            return _entry_of(events.readline(LONGEST_LINE_BYTES))

    def _events(self) -> BinaryIO:
        try:
            return _opened(self.path / EVENTS_FILE)
        except OSError as exc:
            raise cannot("read", self.path, exc) from exc

    def user_audio(self, entry: Entry) -> bytes:
        """The frame of a `mic` entry, PCM16 at 24 kHz; empty if it was not sent or not kept."""
        sound = frame_of(entry).sound
        return b"" if sound is None else self.user_sound(sound)

    def user_sound(self, sound: Sound) -> bytes:
        """Any stretch of the user's audio, PCM16 at 24 kHz; silence where it is missing."""
        return self._user.read(sound)

    def assistant_audio(self, entry: Entry) -> bytes:
        """The audio of a `recv` entry as it came; silence of the same length if it was not kept."""
        sound = sound_of(entry)
        if sound is None:
            return b""
        if sound.offset is None:
            return silence(self.header.settings.get("output_format", "pcm"), sound.size)
        return self._assistant.read(sound)

    def audio_of(self, entry: Entry) -> bytes:
        """The audio that belongs to an entry of either side; empty for all others."""
        if entry.code == "mic":
            return self.user_audio(entry)
        return self.assistant_audio(entry) if entry.code == "recv" else b""

    @cached_property
    def marks(self) -> list[Mark]:
        """All marks in order; found once, by a search that is as fast as the disk."""
        return list(self._found_marks())

    @cached_property
    def last_entry(self) -> Entry | None:
        """The last whole line, as it was when it was first asked for."""
        with self._events() as events:
            return self._last(events, events.seek(0, os.SEEK_END))

    @property
    def duration_s(self) -> float:
        """Time of the last entry."""
        last = self.last_entry
        return 0.0 if last is None else last.at

    @property
    def is_complete(self) -> bool:
        """Whether the talk ended in good order: the last entry says how."""
        last = self.last_entry
        return last is not None and last.code == "end"

    def _last(self, events: BinaryIO, end: int) -> Entry | None:
        tail = b""
        while end > self._first_position and len(tail) <= LONGEST_LINE_BYTES:
            start = max(self._first_position, end - 2**16)
            events.seek(start)
            tail = events.read(end - start) + tail
            end = start
            lines = tail.split(b"\n")
            # The first may begin before the tail; the last is empty, or was cut off.
            whole = lines[1:-1] if start > self._first_position else lines[:-1]
            for text in reversed(whole):
                entry = _entry_of(text + b"\n")
                if entry is not None:
                    return entry
        return None

    def _found_marks(self) -> Iterator[Mark]:
        """Look for the code of marks, and read the lines where it stands."""
        for behind, entry in self.entries_with(b',"mark","'):
            if entry.code == "mark":
                values = entry.value(1)
                fields = values if isinstance(values, dict) else {}
                yield Mark(entry.at, str(entry.value(0)), fields, behind)

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)


def _entry_of(text: bytes) -> Entry | None:
    """A line as an entry; None for one that is damaged."""
    entry = decode_entry(text)
    return entry if entry is not None and is_sound(text, entry.code) else None


def _opened(path: Path) -> BinaryIO:
    """A file to read; nothing that would make its reader wait, as a pipe does.

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is no file")
    return os.fdopen(descriptor, "rb", buffering=2**17)


def _lines_with(stream: BinaryIO, position: int, needle: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that hold `needle`, with the position behind each; in chunks, so memory is flat."""
    stream.seek(position)
    rest = b""
    while chunk := stream.read(CHUNK_BYTES):
        text = rest + chunk
        end = text.rfind(b"\n") + 1
        found = text.find(needle, 0, end)
        while found >= 0:
            line_start = text.rfind(b"\n", 0, found) + 1
            line_end = text.find(b"\n", found) + 1
            yield position + line_end, text[line_start:line_end]
            found = text.find(needle, line_end, end)
        rest = text[end:]
        position += end
        if len(rest) > LONGEST_LINE_BYTES:
            return


class _Audio:
    """One file of audio, opened when it is first read."""

    def __init__(self, path: Path, warnings: list[str]) -> None:
        self._path = path
        self._warnings = warnings
        self._file: BinaryIO | None = None

    def read(self, sound: Sound) -> bytes:
        """A stretch of it; what is missing is given as zeros, with a warning."""
        content = b""
        try:
            if self._file is None:
                self._file = _opened(self._path)
            self._file.seek(sound.offset or 0)
            content = self._file.read(sound.size)
        except OSError:
            pass
        if len(content) < sound.size:
            message = f"audio is missing in {self._path.name}: silence is played for it"
            if message not in self._warnings:
                self._warnings.append(message)
        return content.ljust(sound.size, b"\0")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


_SILENCE: Final = {"pcm": b"\0", "pcmu": b"\xff", "pcma": b"\xd5"}


def silence(wire_format: str, size: int) -> bytes:
    """`size` bytes of silence in a format of the wire."""
    return _SILENCE.get(wire_format, b"\0") * size


def _read_header(events: BinaryIO, path: Path) -> Header:
    text = events.readline(LONGEST_LINE_BYTES)
    if not text:
        raise RecordingError(
            f"the recording at {str(path)!r} is empty", "it was given up before it began"
        )
    return decode_header(text)
