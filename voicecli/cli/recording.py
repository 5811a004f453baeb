"""Recording a talk: where it goes, what its header says, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from voicecli import __version__

if TYPE_CHECKING:
    from voicecli.config import Config, Destination
    from voicecli.conversation import Conversation, Options
    from voicecli.recording.files import Writer
    from voicecli.recording.format import Header
    from voicecli.recording.recorder import Recorder


def place_for(wanted: str, now: datetime) -> Path:
    """The folder of a new recording.

    Args:
        wanted: a new folder; a folder that is there gets a recording of this moment's name inside
            of it, and so does the usual place when this is empty.
        now: in local time.
    """
    from voicecli.recording.files import default_directory

    place = Path(wanted).expanduser() if wanted else default_directory()
    if wanted and not place.is_dir():
        return place
    return free_place(place / now.strftime("%Y-%m-%d-%H%M%S"))


def free_place(path: Path) -> Path:
    """`path`, or the first of its kind that is not there."""
    number = 2
    free = path
    while free.exists():
        free = path.with_name(f"{path.name}-{number}")
        number += 1
    return free


def header_of(
    config: Config, target: Destination, options: Options, url: str = "", source: str = ""
) -> Header:
    """What a recording says of the talk it holds."""
    from dataclasses import asdict

    from voicecli.config import public_values
    from voicecli.recording.format import Header, plain_settings
    from voicecli.recording.secrets import without_secret_fields

    return Header(
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        program=f"voicecli {__version__}",
        server=options.server,
        url=url,
        model=target.model,
        audio=config.recording.audio,
        settings=without_secret_fields(plain_settings(options.settings)),
        options={
            "linger_s": options.linger_s,
            "max_minutes": options.max_minutes,
            "talk_at_start": options.talk_at_start,
            "barge_in": asdict(options.barge_in),
        },
        config=public_values(config),
        source=source,
    )


class Recording:
    """A recording being made: the recorder that observes, and the writer behind it."""

    def __init__(
        self,
        path: Path,
        header: Header,
        conversation: Conversation,
        secrets: Iterable[str],
        on_failure: Callable[[str], None],
    ) -> None:
        from voicecli.recording.files import Writer
        from voicecli.recording.recorder import Recorder

        self._writer: Writer = Writer(path, header.assistant_file, on_failure)
        self.recorder: Recorder = Recorder(header, conversation, self._writer, secrets)

    @property
    def is_on(self) -> bool:
        """Whether what happens now is kept."""
        return self._writer.is_recording

    def close(self, *, is_announced: bool = True) -> None:
        """Write the rest, and say where the recording is."""
        was_on = self.is_on
        self._writer.close()
        if was_on and is_announced:
            sys.stderr.write(f"voicecli: recorded to {self._writer.path}\n")
