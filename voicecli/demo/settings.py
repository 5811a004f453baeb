"""The session's settings in a script: keys of the configuration, with dots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from voicecli.demo.tables import Node, listed

SettingsCheck: TypeAlias = Callable[[str, object], tuple[str, str] | None]
"What is wrong with a key of the configuration and its value, and what is allowed; None: nothing."

CHANGEABLE: Final = (
    "instructions",
    "voice",
    "language",
    "transcription",
    "audio.noise_reduction",
    "vad.mode",
    "vad.eagerness",
    "vad.threshold",
    "vad.prefix_ms",
    "vad.silence_ms",
    "vad.idle_timeout_ms",
)
"What a server lets one change while a session goes on."

CONFIRMED: Final = ("model", *CHANGEABLE, "audio.input_format", "audio.output_format")
"What a server tells of a session."

_NOT_OURS: Final = ("audio.mic", "audio.speaker", "audio.block_ms", "audio.device_patience_s")


def is_ours(key: str) -> bool:
    """Whether a setting is for a script to decide, and not for whoever plays it."""
    return key not in _NOT_OURS and not key.startswith("recording.")


def flat(node: Node) -> Iterator[Node]:
    """The values in a table of tables, each with its whole path."""
    for one in node:
        if one.is_table:
            yield from flat(one)
        else:
            yield one


def read_session(node: Node, check: SettingsCheck) -> dict[str, object]:
    """`[session]`: by key with dots.

    Raises:
        ConfigError: a key is unknown, has a wrong value, or is not for a script to decide.
    """
    values = {}
    for one in flat(node.table()):
        key = _key(one, node)
        if not is_ours(key):
            raise one.wrong("is for whoever plays the script to decide", "leave it out")
        _check(one, key, check)
        values[key] = one.value
    return values


def read_changes(node: Node, check: SettingsCheck) -> dict[str, object]:
    """The table of `set`.

    Raises:
        ConfigError: a key is unknown, has a wrong value, or cannot be changed any more.
    """
    values = {}
    for one in flat(node.table()):
        key = _key(one, node)
        _check(one, key, check)
        if key not in CHANGEABLE:
            raise one.wrong(
                "cannot be changed while a session goes on: it belongs into [session]",
                f"set takes {listed(CHANGEABLE, 'and')}; [demo] then = … goes on in a new session",
            )
        values[key] = one.value
    if not values:
        raise node.wrong("changes nothing", f"it takes {listed(CHANGEABLE, 'and')}")
    return values


def _key(node: Node, table: Node) -> str:
    return ".".join(str(part) for part in node.path[len(table.path) :])


def _check(node: Node, key: str, check: SettingsCheck) -> None:
    found = check(key, node.value)
    if found is not None:
        message, hint = found
        raise node.wrong(message, hint or "`voicecli config` lists every key")
