"""Where an export goes: files that are never half written, sound that grows, and pipes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final, NamedTuple

from voicecli.errors import RecordingError
from voicecli.recording.check import Check
from voicecli.recording.export.fixture import Fixture, Span, span_of, test_of, word_of
from voicecli.recording.export.flac import flac_encoder, flac_library
from voicecli.recording.export.mixdown import Layout, channels_of, mixdown
from voicecli.recording.export.riff import HEADER_BYTES, wav_header
from voicecli.recording.files import Recording, write_all
from voicecli.recording.format import EVENTS_FILE, USER_FILE, Entry
from voicecli.recording.shelf.library import is_part_of_recording

_COMPRESSION: Final = 0.6
"Of 0 to 1: libFLAC's 5, what its own command line does."


class Followed(Recording):
    """A recording that tells how far it has been read."""

    follow: Callable[[float], None] = staticmethod(lambda _: None)
    "Gets the time of every entry that is read, in seconds."

    def entries(self, position: int | None = None) -> Iterator[Entry]:
        for entry in super().entries(position):
            self.follow(entry.at)
            yield entry


# -------------------------------------------------------------------------------------- whole files


def write_whole(path: Path, chunks: Iterable[bytes], *, force: bool) -> None:
    """Write a file that is there whole or not at all.

    Raises:
        RecordingError: it is there already and `force` is not given, or it cannot be written.
    """
    check_free(path, force=force)
    with _told(path), _beside(path) as (part, stream):
        for chunk in chunks:
            stream.write(chunk)
        stream.close()
        check_free(path, force=force)
        part.replace(path)


def check_free(path: Path, *, force: bool) -> None:
    """Refuse to write over a file, unless that is wanted, and over a recording in any case.

    Raises:
        RecordingError: it is there.
    """
    if path.is_dir():
        raise RecordingError(f"{str(path)!r} is a folder", "name a file for the export")
    if is_part_of_recording(path):
        raise RecordingError(
            f"{str(path)!r} is a part of a recording", "name another place for the export"
        )
    if not force and os.path.lexists(path) and not is_stream(path):
        raise RecordingError(f"{str(path)!r} is there already", "--force writes over it")


def is_stream(path: Path) -> bool:
    """Whether this is a device or a pipe, which takes bytes and is not replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def write_stream(path: Path, chunks: Iterable[bytes]) -> None:
    """Write to a device or a pipe.

    Raises:
        RecordingError: it cannot be written.
    """
    with _told(path), path.open("wb", buffering=0) as stream:
        for chunk in chunks:
            write_all(stream.write, chunk)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there.

    Raises:
        RecordingError: it cannot be made.
    """
    with _told(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def _beside(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A file with another name in the same folder, gone in the end."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            part.chmod(0o666 & ~_umask())
            yield part, stream
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or exc
        raise RecordingError(f"cannot write {str(path)!r}: {reason}") from exc


# -------------------------------------------------------------------------------------------- sound


def wav_chunks(recording: Recording, layout: Layout) -> Iterator[bytes]:
    """A WAV file for a pipe: its header does not know how long it gets."""
    yield wav_header(channels_of(layout), None)
    yield from mixdown(recording, layout)


def write_wav(path: Path, recording: Recording, layout: Layout, *, force: bool) -> None:
    """Write a WAV file that is valid at every moment, also if this is ended in the middle.

    Raises:
        RecordingError: it is there already and `force` is not given, or it cannot be written.
    """
    check_free(path, force=force)
    channels = channels_of(layout)
    with _told(path), path.open("wb" if force else "xb", buffering=0) as stream:
        stream.write(wav_header(channels, 0))
        data_bytes = 0
        for block in mixdown(recording, layout):
            write_all(stream.write, block)
            data_bytes += len(block)
            stream.seek(0)
            stream.write(wav_header(channels, data_bytes))
            stream.seek(HEADER_BYTES + data_bytes)


def write_flac(path: Path, recording: Recording, layout: Layout, *, force: bool) -> None:
    """Write a FLAC file; what there is of it is valid if this is interrupted.

    Raises:
        ConfigError: the library for it is not installed.
        RecordingError: it is there already and `force` is not given, or it cannot be written.
    """
    check_free(path, force=force)
    flac_library()
    with _told(path), path.open("wb" if force else "xb") as stream:
        _encode_flac(stream, recording, layout)


def _encode_flac(stream: IO[bytes], recording: Recording, layout: Layout) -> None:
    date = recording.header.created[:10]
    with flac_encoder(stream, channels_of(layout), _COMPRESSION, recording.name, date) as write:
        for block in mixdown(recording, layout):
            write(block)


def flac_chunks(recording: Recording, layout: Layout) -> Iterator[bytes]:
    """A FLAC file for a pipe: its header is filled in at the end, so it is made elsewhere first.

    Raises:
        ConfigError: the library for it is not installed.
    """
    with tempfile.TemporaryFile() as stream:
        _encode_flac(stream, recording, layout)
        stream.seek(0)
        while chunk := stream.read(2**16):
            yield chunk


# ------------------------------------------------------------------------------------- the fixture


class FixtureMade(NamedTuple):
    """What there is now."""

    folder: Path
    test: Path
    size_bytes: int
    turns: tuple[int, int] | None
    "The first and the last one, as the recording counts; None: there are none."
    actions: int
    "So many are compared by its check."
    is_as_recorded: bool
    "The recording itself comes out as it did; else the fixture holds what is made of it now."


def write_fixture(
    recording: Recording,
    folder: Path,
    *,
    from_turn: int | None = None,
    to_turn: int | None = None,
    keep_audio: bool = False,
    force: bool = False,
) -> FixtureMade:
    """Write a small recording, and a test of it beside it; both are there whole or not at all.

    Raises:
        RecordingError: there are no such turns, one of the two is there already and `force` is not
            given, or they cannot be written.
    """
    if not folder.name:
        raise RecordingError(f"{str(folder)!r} is no name for a fixture", "name a new folder")
    test = folder.with_name(f"test_{word_of(folder.name)}.py")
    _check_fixture_free(folder, test, force=force)
    check_free(test, force=force)
    span = span_of(recording.marks, from_turn, to_turn)
    with _told(folder), tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        part = Path(beside) / folder.name
        fixture, actions = _checked_fixture(recording, span, part, keep_audio=keep_audio)
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
        size_bytes = sum(file.stat().st_size for file in folder.iterdir())
        write_whole(test, [test_of(folder.name).encode()], force=force)
    return FixtureMade(
        folder=folder,
        test=test,
        size_bytes=size_bytes,
        turns=(span.turns_before + 1, span.turns_before + fixture.turns) if fixture.turns else None,
        actions=actions,
        is_as_recorded=next(Check(recording).differences(), None) is None,
    )


def _checked_fixture(
    recording: Recording, span: Span, part: Path, *, keep_audio: bool
) -> tuple[Fixture, int]:
    """Leave out the frames that led to nothing, unless what follows shows that they did."""
    for keep_frames in (False, True):
        fixture = Fixture(recording, span, keep_audio=keep_audio, keep_frames=keep_frames)
        shutil.rmtree(part, ignore_errors=True)
        _write_fixture(fixture, part)
        with Recording.open(part) as made:
            check = Check(made)
            if next(check.differences(), None) is None:
                return fixture, check.checked.actions
    raise RecordingError("the part that was asked for does not come out alike twice")


def _write_fixture(fixture: Fixture, part: Path) -> None:
    part.mkdir()
    names = (EVENTS_FILE, USER_FILE, fixture.header.assistant_file)
    with ExitStack() as stack:
        files = [stack.enter_context((part / name).open("wb")) for name in names]
        for written in fixture.written():
            for file, content in zip(files, written, strict=True):
                file.write(content)
    for name in names[1:]:
        if not (part / name).stat().st_size:
            (part / name).unlink()


def _check_fixture_free(folder: Path, test: Path, *, force: bool) -> None:
    """Write over a fixture only, never over a recording: that has no test beside it."""
    if not os.path.lexists(folder):
        return
    if not force:
        raise RecordingError(f"{str(folder)!r} is there already", "--force writes over it")
    known = {EVENTS_FILE, USER_FILE}
    is_fixture = (
        folder.is_dir()
        and not folder.is_symlink()
        and (folder / EVENTS_FILE).is_file()
        and test.is_file()
        and all(one.name in known or one.name.startswith("assistant.") for one in folder.iterdir())
    )
    if not is_fixture:
        raise RecordingError(
            f"{str(folder)!r} is there already, and is no fixture", "name another folder"
        )
