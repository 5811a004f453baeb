"""What the lines of a recording look like: whoever reads one can trust what it says.

A recording may be damaged, or made by somebody who wants a reader to fail. A line of a known kind
whose values are not what they have to be is no line at all. Values that are not known are passed
over, and so are kinds of lines.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Raw

LONGEST_S: Final = 31 * 86_400.0
"No talk lasts longer: a time behind it is damage."

DAMAGED_LINES: Final = "there are damaged lines, which were passed over"
"What is said of them, once."

FURTHEST_AHEAD_S: Final = 60.0
"What is told of the speaker sounds so much later at most."

LARGEST_SOUND_BYTES: Final = 64 * 2**20
"Of one line; a message of the wire is far smaller."

_Time: TypeAlias = Annotated[float, Meta(ge=0.0, le=LONGEST_S)]
_SoundsAt: TypeAlias = Annotated[float, Meta(ge=-LONGEST_S, le=LONGEST_S)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
_Size: TypeAlias = Annotated[int, Meta(ge=0, le=LARGEST_SOUND_BYTES)]
_PcmSize: TypeAlias = Annotated[int, Meta(ge=0, le=LARGEST_SOUND_BYTES, multiple_of=2)]
_Factor: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]


class _Line(msgspec.Struct, array_like=True):
    """Any line; more values than are named here are passed over."""

    at: _Time
    code: str


class _Frame(_Line):
    voice: int | bool = 0
    sent: _Size = 0
    crc: _Count = 0
    offset: _Count = 0
    size: _PcmSize = 0


class _Received(_Line):
    event: Raw
    size: _Size = 0
    offset: _Count | None = None


class _ReceivedRaw(_Line):
    text: bytes


class _Part(_Line):
    item_id: str
    content_index: int


class _Started(_Part):
    sounds_at: _SoundsAt


class _Emitted(_Part):
    first_sample: _Count
    samples: _Count
    sounds_at: _SoundsAt
    fade_samples: _Count = 0
    gain_before: _Factor = 1.0
    gain_after: _Factor = 1.0
    ramp_samples: _Count = 0


class _Account(msgspec.Struct, array_like=True):
    item_id: str
    content_index: int
    received_samples: _Count
    emitted_samples: _Count


class _Stopped(_Line):
    heard: list[_Account]


class _Text(_Line):
    text: str


class _Changes(_Line):
    changes: dict[str, Any]


class _Tool(_Line):
    call_id: str
    output: str
    failed: bool


class _Noticed(_Line):
    message: str
    source: str


class _Lost(_Line):
    frames: _Count


class _MarkValues(msgspec.Struct):
    turn: _Count = 0
    number: _Count = 0
    by: str = ""
    began_at: _Time = 0.0
    item_id: str = ""
    heard_ms: _Count = 0
    turns: _Count = 0
    session: list[_Count] = []


class _Mark(_Line):
    kind: str
    values: _MarkValues = msgspec.field(default_factory=_MarkValues)


class _EndValues(msgspec.Struct):
    reason: str | None = None
    error: str | None = None
    turns: _Count = 0
    interruptions: _Count = 0
    dropped_frames: _Count = 0
    underflows: _Count = 0


class _End(_Line):
    values: _EndValues | None = None


_any_line: Final = msgspec.json.Decoder(_Line)
_decoders: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    code: msgspec.json.Decoder(shape)
    for code, shape in {
        "mic": _Frame,
        "recv": _Received,
        "recv_raw": _ReceivedRaw,
        "started": _Started,
        "emitted": _Emitted,
        "played": _Part,
        "stopped": _Stopped,
        "key": _Text,
        "typed": _Text,
        "settings": _Changes,
        "tool": _Tool,
        "noticed": _Noticed,
        "lost": _Lost,
        "mark": _Mark,
        "end": _End,
    }.items()
}


def is_sound(line: bytes, code: str) -> bool:
    """Whether a line has what lines of its kind have, within what can be.

    Args:
        line: JSON.
        code: the kind, as the line itself says.
    """
    try:
        read = _decoders.get(code, _any_line).decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return not isinstance(read, _Started | _Emitted) or read.sounds_at <= read.at + FURTHEST_AHEAD_S
