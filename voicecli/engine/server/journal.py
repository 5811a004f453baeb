"""What a server writes down: one JSON object a line, as things happen.

Neither audio nor keys ever get in; words only when they were asked for.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from voicecli.errors import ConfigError


class Journal:
    """Takes entries, from any thread; a write that fails ends the journal and nothing else.

    Args:
        descriptor: of an open file; None: nothing is written.
        words: whether what was said goes in.
        now: the time in seconds since 1970.
    """

    def __init__(
        self,
        descriptor: int | None = None,
        *,
        words: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._descriptor = descriptor
        self._now = now
        self.words = words

    def write(self, event: str, **fields: Any) -> None:
        """Write an entry; fields that are None are left out."""
        if self._descriptor is None:
            return
        at = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        given = {name: value for name, value in fields.items() if value is not None}
        line = json.dumps({"at": at, "event": event, **given}, ensure_ascii=False, default=str)
        try:
            # In one piece, so that lines of several threads do not mix.
            os.write(self._descriptor, f"{line}\n".encode("utf-8", "replace"))
        except OSError as exc:
            self._descriptor = None
            with suppress(OSError, ValueError):
                sys.stderr.write(f"voicecli: the log cannot be written any more: {exc}\n")


def open_journal(path: str, *, words: bool = False) -> Journal:
    """A journal that is added to a file, private to its owner, or written to stderr (`-`).

    Raises:
        ConfigError: the file cannot be written.
    """
    if path == "-":
        return Journal(2, words=words)
    try:
        file = Path(path).expanduser()
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as exc:
        raise ConfigError(f"cannot write the log {path!r}: {exc.strerror or exc}") from exc
    return Journal(descriptor, words=words)


class JournalHandler(logging.Handler):
    """Warnings of the program and its libraries, as entries."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        level, source = record.levelname.lower(), record.name
        self._journal.write("message", level=level, source=source, text=record.getMessage())
