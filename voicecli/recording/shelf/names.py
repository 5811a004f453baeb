"""Names that a recording may be given: those that every system takes as the name of a folder."""

from __future__ import annotations

from typing import Final

from voicecli.errors import ConfigError
from voicecli.recording.format import EVENTS_FILE

_FORBIDDEN: Final = frozenset('<>:"/\\|?*')
_DEVICES: Final = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{device}{number}" for device in ("COM", "LPT") for number in "0123456789¹²³"}
)
"""What Windows takes for a device, with any ending:
https://learn.microsoft.com/windows/win32/fileio/naming-a-file"""

_TAKEN: Final = frozenset({"last", EVENTS_FILE})
"Words that mean something else where a recording is named."

LONGEST_BYTES: Final = 200
"Less than any file system's limit, so that a number or an ending still fits."


def check_name(name: str) -> None:
    """Refuse what cannot be a recording's name on every system.

    Raises:
        ConfigError: it is none; the message says why.
    """
    reason = _reason_against(name)
    if reason:
        raise ConfigError(
            f"a recording cannot be called {name!r}: {reason}",
            "letters, digits, spaces, `-`, `_` and `.` are safe",
        )


def _reason_against(name: str) -> str:
    bad = sorted({char for char in name if char in _FORBIDDEN or not char.isprintable()})
    reasons = {
        "the name is empty": not name.strip(". "),
        f"it contains {', '.join(map(repr, bad))}": bool(bad),
        "it begins with a space": name.startswith(" "),
        "it begins with `-`, as an option does": name.startswith("-"),
        "it ends with a space or a dot": name.endswith((" ", ".")),
        "Windows keeps this name for a device": _stem(name) in _DEVICES,
        "this word means something else": name.casefold() in _TAKEN,
        f"it is longer than {LONGEST_BYTES} bytes": len(name.encode("utf-8", "replace"))
        > LONGEST_BYTES,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _stem(name: str) -> str:
    return name.partition(".")[0].rstrip(" ").upper()
