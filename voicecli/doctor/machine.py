"""The program itself, what it runs on, and what it can write to."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from voicecli import __version__
from voicecli.doctor.devices import ServerDefaults
from voicecli.doctor.findings import Finding

NEEDED: Final = (
    "typer", "rich", "websockets", "sounddevice", "numpy", "webrtcvad-wheels", "msgspec",
    "samplerate", "soxr", "platformdirs",
)  # fmt: skip
EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "aec": ("pywebrtc-audio",),
    "local": ("onnxruntime", "hibari-tts", "xllamacpp"),
    "languages": ("ctranslate2",),
    "flac": ("soundfile",),
}
_BYTES_A_MINUTE: Final = 5_760_000
"Of a recording with both sides' audio."
_LEAST_BYTES: Final = 500_000_000
_PACTL_LIMIT_S: Final = 1.0


def program() -> Finding:
    """Versions of the program, of Python and of the system."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    told = f"{__version__}, Python {platform.python_version()}, {system}"
    facts = {
        "voicecli": __version__, "python": platform.python_version(),
        "system": platform.system(), "release": platform.release(),
        "machine": platform.machine(), "is_wsl": is_wsl(),
    }  # fmt: skip
    return Finding("system", "voicecli", "ok", told, facts=facts)


def is_wsl() -> bool:
    """Whether this is Linux inside of Windows."""
    return sys.platform == "linux" and "microsoft" in platform.release().lower()


def versions() -> dict[str, str | None]:
    """The version of each package that may be used; None if it is not installed."""
    names = [*NEEDED, *(name for names in EXTRAS.values() for name in names)]
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def judged_packages(found: Mapping[str, str | None]) -> Finding:
    """What is missing of the packages; the extras are each one's own choice."""
    facts = {"versions": dict(found)}
    missing = [name for name in NEEDED if not found.get(name)]
    if missing:
        told = f"not installed: {', '.join(missing)}"
        fixes = (f"pip install {' '.join(missing)}",)
        return Finding("system", "packages", "problem", told, "", fixes, facts)
    here = [extra for extra, names in EXTRAS.items() if all(found.get(one) for one in names)]
    absent = [extra for extra in EXTRAS if extra not in here]
    told = f"all here; extras: {', '.join(here) or 'none'}"
    if not absent:
        return Finding("system", "packages", "ok", told, facts=facts)
    told += f"; not here: {', '.join(absent)}"
    fixes = (f'pip install "voicecli[{",".join(absent)}]"',)
    return Finding("system", "packages", "ok", told, "", fixes, facts)


def judged_terminal(
    *, is_terminal: bool, columns: int, encoding: str, environ: Mapping[str, str]
) -> Finding:
    """What the screen of a talk can be."""
    facts = {"is_terminal": is_terminal, "columns": columns, "encoding": encoding}
    if not is_terminal:
        told = "stdout is none: a talk prints plain lines there"
        return Finding("system", "terminal", "ok", told, facts=facts)
    kind = environ.get("TERM", "") or "unknown"
    told = f"{kind}, {columns} columns, {encoding.lower()}"
    if environ.get("NO_COLOR"):
        told += ", no colours (NO_COLOR)"
    if kind in ("dumb", "unknown") and os.name != "nt":
        advice = "it knows no cursor movements: a talk prints plain lines"
        return Finding("system", "terminal", "warning", told, advice, facts=facts)
    if encoding.lower().replace("-", "") != "utf8":
        fixes = ("export LC_ALL=C.UTF-8",)
        advice = "words in other scripts become question marks"
        return Finding("system", "terminal", "warning", told, advice, fixes, facts)
    return Finding("system", "terminal", "ok", told, facts=facts)


def judged_recordings(path: str | Path) -> Finding:
    """Whether recordings can be written, and for how long; `~` is a home."""
    facts: dict[str, object] = {"folder": str(path)}
    folder = there = Path(path)
    try:
        folder = there = folder.expanduser()
        facts["folder"] = str(folder)
        while not there.exists() and there != there.parent:
            there = there.parent
        with tempfile.TemporaryFile(dir=there):
            pass
        free = shutil.disk_usage(there).free
    except (OSError, RuntimeError) as exc:  # The second: `~nobody`.
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        told = f"{str(folder)!r} cannot be written: {reason}"
        fixes = ("voicecli talk --record ./my-talk",)
        return Finding("system", "recordings", "problem", told, "name another", fixes, facts)
    hours = free / _BYTES_A_MINUTE / 60
    facts |= {"free_bytes": free, "room_h": round(hours, 1)}
    told = f"{folder}, {free / 1e9:,.1f} GB free: {hours:,.0f} hours of talk"
    if free < _LEAST_BYTES:
        told = f"{folder}, only {free / 1e6:,.0f} MB free: {free / _BYTES_A_MINUTE:,.0f} minutes"
        fixes = ("voicecli recordings prune --help",)
        return Finding("system", "recordings", "warning", told, "make room", fixes, facts)
    return Finding("system", "recordings", "ok", told, facts=facts)


def available_memory() -> int | None:
    """Bytes of memory that a program can have now; None where that cannot be told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if sys.platform != "win32":
        with contextlib.suppress(OSError, ValueError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def sound_server_defaults() -> ServerDefaults | None:
    """What PulseAudio or PipeWire calls its defaults; None if neither is asked or answers.

    On Linux the device that PortAudio knows is the server, and this is what is behind it.
    """
    if sys.platform != "linux" or shutil.which("pactl") is None:
        return None
    told = _pactl("info")
    if not told:
        return None
    fields = dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)
    return ServerDefaults(
        sink=fields.get("Default Sink", ""),
        source=fields.get("Default Source", ""),
        sink_is_muted="yes" in _pactl("get-sink-mute", "@DEFAULT_SINK@"),
        source_is_muted="yes" in _pactl("get-source-mute", "@DEFAULT_SOURCE@"),
    )


def _pactl(*arguments: str) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["pactl", *arguments], capture_output=True, check=False, text=True, errors="replace",
            timeout=_PACTL_LIMIT_S, stdin=subprocess.DEVNULL, env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else ""
    return ""
