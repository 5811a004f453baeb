"""Pictures of a demo: an asciinema cast, an SVG, a GIF; all of them of its recordings."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from voicecli.errors import ConfigError, VoicecliError

if TYPE_CHECKING:
    from rich.text import Text

    from voicecli.cli.showing import Pictures
    from voicecli.demo.outcome import Outcome
    from voicecli.recording.files import Recording

GIF_MAKER: Final = "agg"
_BETWEEN_S: Final = 0.4
"From the end of one session to the beginning of the next."
_LAST_S: Final = 4.0
"How long the results are shown at the end of a film."


def find_gif_maker() -> str:
    """Where `agg` is, which makes GIFs of casts.

    Raises:
        ConfigError: it is not installed.
    """
    found = shutil.which(GIF_MAKER)
    if found is None:
        raise ConfigError(
            f"--gif needs {GIF_MAKER}, which is not installed",
            "see https://docs.asciinema.org/manual/agg, or write a cast: --cast FILE",
        )
    return found


def write_pictures(pictures: Pictures, outcome: Outcome) -> None:
    """Write the files that are wanted.

    Raises:
        VoicecliError: one cannot be written, or a recording cannot be read.
    """
    from voicecli.cli.showing import write
    from voicecli.demo.builtin import shown
    from voicecli.recording.files import Recording
    from voicecli.ui.cast import DEFAULT_COLUMNS
    from voicecli.ui.results import result_lines
    from voicecli.ui.still import lines_of, svg_of

    with ExitStack() as stack:
        recordings = [
            stack.enter_context(Recording.open(Path(part.recording)))
            for part in outcome.parts
            if part.recording
        ]
        results = result_lines(outcome, DEFAULT_COLUMNS - 1, shown=shown)
        title = f"voicecli demo {outcome.name}"
        if pictures.svg is not None:
            lines = [*lines_of(recordings, DEFAULT_COLUMNS), *results]
            write(pictures.svg, svg_of(lines, title, DEFAULT_COLUMNS).encode())
        if pictures.cast is not None or pictures.gif is not None:
            film = b"".join(_film(recordings, results, title))
            if pictures.cast is not None:
                write(pictures.cast, film)
            if pictures.gif is not None:
                _make_gif(film, pictures.gif)


def _film(recordings: Sequence[Recording], results: Sequence[Text], title: str) -> Iterator[bytes]:
    """One cast of all sessions in a row, with the results behind them."""
    from voicecli.ui.cast import cast_of

    for number, recording in enumerate(recordings):
        is_first_event = number > 0
        for place, line in enumerate(cast_of(recording, shows_recording=False)):
            if place == 0:
                if number == 0:
                    yield _line({**json.loads(line), "title": title})
                continue
            event = json.loads(line)
            if event[1] == "x":
                continue
            if is_first_event:
                event[0] += _BETWEEN_S
                is_first_event = False
            yield _line(event)
    yield _line([_BETWEEN_S, "o", _drawn(results)])
    yield _line([_LAST_S, "x", "0"])


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _drawn(lines: Sequence[Text]) -> str:
    """Lines as a terminal gets them."""
    import io

    from rich.console import Console

    written = io.StringIO()
    console = Console(
        file=written, force_terminal=True, color_system="256", width=200, highlight=False
    )
    for line in lines:
        console.print(line, soft_wrap=True)
    return written.getvalue().replace("\n", "\r\n")


def _make_gif(film: bytes, path: Path) -> None:
    """Let agg draw the film.

    Raises:
        VoicecliError: it could not.
    """
    from voicecli.cli.showing import temporary_folder

    with temporary_folder() as folder:
        cast = folder / "demo.cast"
        cast.write_bytes(film)
        command = [find_gif_maker(), "--quiet", str(cast), str(path.expanduser())]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        told = (lines or ["it did not say why"])[-1]
        raise VoicecliError(f"agg could not make {str(path)!r}: {told}")
