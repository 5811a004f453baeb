"""A recording as an asciicast, version 3: what asciinema and its players show.

https://docs.asciinema.org/manual/asciicast/v3: a header, then a line for each event, with the
seconds since the event before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from voicecli.recording.fold import Source
from voicecli.recording.format import Header
from voicecli.ui.clean import clean
from voicecli.ui.filmed import Film, Marked

VERSION: Final = 3
DEFAULT_COLUMNS: Final = 80
DEFAULT_ROWS: Final = 24

_encode = msgspec.json.Encoder().encode


def cast_of(
    recording: Source,
    columns: int = DEFAULT_COLUMNS,
    rows: int = DEFAULT_ROWS,
    *,
    shows_recording: bool = True,
) -> Iterator[bytes]:
    """The lines of the cast, each with its end; memory does not grow with the talk's audio.

    The same recording and size always give the same bytes.

    Args:
        recording: read from its beginning.
        columns: of the screen.
        rows: of the screen.
        shows_recording: show that it is being recorded, as was shown then.

    Raises:
        RecordingError: a line of the recording is damaged beyond use.
    """
    yield _encode(_header(recording.header, columns, rows)) + b"\n"
    film = Film(recording, columns, rows, shows_recording=shows_recording)
    clock = _Clock()
    for event in film.shots():
        interval = clock.since_last(event.at)
        if isinstance(event, Marked):
            yield _encode((interval, "m", clean(event.label, one_line=True))) + b"\n"
        else:
            yield _encode((interval, "o", event.text)) + b"\n"
    yield _encode((clock.since_last(film.at), "x", "1" if film.failed else "0")) + b"\n"


class _Clock:
    """Intervals in whole milliseconds that add up to the time they stand for."""

    def __init__(self) -> None:
        self._last_ms = 0

    def since_last(self, at: float) -> float:
        at_ms = max(self._last_ms, round(at * 1000))
        interval = (at_ms - self._last_ms) / 1000
        self._last_ms = at_ms
        return interval


def _header(header: Header, columns: int, rows: int) -> dict[str, Any]:
    partner = " ".join(part for part in (header.server, header.model) if part)
    fields: dict[str, Any] = {
        "version": VERSION,
        "term": {"cols": columns, "rows": rows, "type": "xterm-256color"},
        "title": clean(f"voicecli talk with {partner}", one_line=True),
    }
    try:
        fields["timestamp"] = int(datetime.fromisoformat(header.created).timestamp())
    except ValueError:
        return fields
    return fields
