"""Recording a talk: where it goes, what its header says, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from voicecli import __version__
from voicecli.errors import ConfigError

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

    Raises:
        ConfigError: the folder is a recording itself.
    """
    place = directory_for(wanted)
    if wanted and not place.is_dir():
        return place
    return free_place(place / now.strftime("%Y-%m-%d-%H%M%S"))


def directory_for(wanted: str) -> Path:
    """The place that is named for recordings, or the usual one when this is empty.

    Raises:
        ConfigError: it is a recording itself, which would get another one inside of it.
    """
    from voicecli.recording.files import default_directory
    from voicecli.recording.shelf.library import is_recording

    if not wanted:
        return default_directory()
    place = Path(wanted).expanduser()
    if is_recording(place):
        raise ConfigError(
            f"{wanted!r} is a recording already",
            f"name a new one, as {str(free_place(place))!r}, or a folder to record into",
        )
    return place


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
        place = self._writer.place() if was_on else None
        self._writer.close()
        if was_on and is_announced:
            told = f"recorded to {place}" if place else "recorded; its folder was moved meanwhile"
            sys.stderr.write(f"voicecli: {told}\n")
