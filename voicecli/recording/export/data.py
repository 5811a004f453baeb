"""JSON: the whole model as one document."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from voicecli.recording.export.talk import Talk

FORMAT: Final = "voicecli-talk"
VERSION: Final = 1

_CONTROLS: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]")
"What JSON leaves as it is and a terminal obeys: U+007F to U+009F in UTF-8."


def json_of(talk: Talk) -> bytes:
    """The talk as one JSON object, indented; `docs/export.md` describes every field."""
    fields = {"format": FORMAT, "version": VERSION, **msgspec.to_builtins(talk)}
    text = msgspec.json.format(msgspec.json.encode(fields), indent=2)
    return _CONTROLS.sub(lambda found: b"\\u00%02x" % found[0][-1], text) + b"\n"
