"""The scripts that come with the program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

FOLDER: Final = Path(__file__).parent / "scripts"

SECONDS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "tour": 83,
        "barge-in": 18,
        "telephone": 17,
        "push-to-talk": 22,
        "noisy-room": 24,
        "long-talk": 53,
    }
)
"How long each takes with the embedded engine, roughly; in the order in which they are shown."

USUAL: Final = "tour"


def path_of(name: str) -> Path | None:
    """The file of a script; None: there is none of this name."""
    return FOLDER / f"{name}.toml" if name in SECONDS else None


def shown(source: str) -> str:
    """A file's name as people may read it: of one of these without its folder."""
    path = Path(source)
    return path.name if path.parent == FOLDER else source
