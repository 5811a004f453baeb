"""Text from outside made safe to show.

What a server, a model or a tool says ends up on a terminal, which takes orders in the same stream
as text. `clean` leaves nothing in it that a terminal could obey and nothing that hides or reorders
what the user reads.
"""

from __future__ import annotations

import re
from typing import Final

MAX_CHARS: Final = 20_000

_C1_STRINGS = "\x90\x98\x9d\x9e\x9f"

# ECMA-48: control strings (8.3.27 DCS, 8.3.89 OSC, ...) run to their terminator. One that never
# ends takes the rest of its line and no more: in badly decoded text such an introducer is often a
# quote mark.
_SEQUENCES: Final = re.compile(
    rf"(?:\x1b[PX^_\]]|[{_C1_STRINGS}])[^\n]*?(?:\x1b\\|\x9c|\x07|(?=\n)|\Z)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)

# All of category Cf except the joiners (emoji, Persian and Indic scripts need them) and the Arabic,
# Syriac and Kaithi number signs, which are visible. Added: fillers that look like nothing at all.
_INVISIBLE = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
    "\u3164\uffa0"
)
_UNWANTED: Final = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_INVISIBLE}]")
_LINE_ENDS: Final = re.compile(r"\r\n?|[\u2028\u2029]")


def clean(text: str, *, one_line: bool = False) -> str:
    """Give `text` without anything a terminal would act on.

    Control sequences, control characters, lone surrogates, bidirectional overrides and characters
    that only hide text are removed; a tab becomes a space. What is longer than `MAX_CHARS` is cut
    and ends in "…".

    Args:
        text: anything.
        one_line: make line ends into spaces, too.
    """
    if not (text.isascii() and text.isprintable()):
        text = _LINE_ENDS.sub("\n", text)
        text = _SEQUENCES.sub("", text).replace("\t", " ")
        text = _UNWANTED.sub("", text)
        if one_line:
            text = text.replace("\n", " ")
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"
