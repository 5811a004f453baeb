"""Whether a key looks like one; it is looked at and never told."""

from __future__ import annotations

import re
from typing import Final

from voicecli.doctor.findings import Finding
from voicecli.doctor.platforms import set_key

_VARIABLE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_QUOTES: Final = "\"'`“”‘’"
_LEAST_CHARS: Final = 16
_STAND_INS: Final = ("your", "xxx", "…", "...", "<", "changeme", "replace")


def judged_key(name: str, value: str | None, platform: str) -> Finding:
    """What to say of the key in an environment variable.

    Args:
        name: the variable; empty if the server needs no key.
        value: as it is in the environment; None if it is not there.
        platform: as `sys.platform`.
    """
    if not name:
        return Finding("server", "key", "skipped", "none is sent to this server")
    if not _VARIABLE.fullmatch(name):
        told = "key_env holds no name of a variable"
        advice = (
            "if it is the key itself, put that into a variable, and the variable's name here; "
            "a key that stood in a file for long is better replaced"
        )
        return Finding("server", "key", "problem", told, advice, ("voicecli config",))
    facts = {"variable": name, "is_set": bool(value and value.strip())}
    fixes = (set_key(platform, name),)
    if not value or not value.strip():
        told = f"{name} is {'not set' if value is None else 'empty'}"
        advice = "set it, or talk to the engine inside: --server local"
        both = (*fixes, "voicecli talk --server local")
        return Finding("server", "key", "problem", told, advice, both, facts)
    wrong = _wrong_with(value.strip())
    if wrong:
        told = f"{name} is set, but {wrong}"
        return Finding("server", "key", "problem", told, "copy it anew", fixes, facts)
    odd = _odd_about(value)
    if odd:
        return Finding("server", "key", "warning", f"{name} is set, but {odd}", "", fixes, facts)
    return Finding("server", "key", "ok", f"from {name}; it is never shown", facts=facts)


def _wrong_with(key: str) -> str:
    """What keeps it from being a key at all."""
    if key[0] in _QUOTES or key[-1] in _QUOTES:
        return "has quotes around it"
    if key.lower().startswith("bearer "):
        return 'begins with "Bearer", which is added by itself'
    if any(one.isspace() for one in key):
        return "has a space or a line end inside"
    if not (key.isascii() and key.isprintable()):
        return "holds characters that no key has"
    return ""


def _odd_about(value: str) -> str:
    """What makes one wonder."""
    key = value.strip()
    if any(one in key.lower() for one in _STAND_INS):
        return "looks like a stand-in for a key"
    if len(key) < _LEAST_CHARS:
        return "is very short for a key"
    if key != value:
        return "has a space or a line end around it, which is left out"
    return ""
