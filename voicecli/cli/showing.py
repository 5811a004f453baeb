"""A demo as a whole: what is shown of it, what it leaves behind, and its exit code."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from voicecli.cli.talks import INTERRUPTED, check_jobs
from voicecli.errors import AudioDeviceError, ConfigError, VoicecliError

if TYPE_CHECKING:
    from voicecli.cli.performing import Piece, Play, Way
    from voicecli.cli.planning import Wanted
    from voicecli.demo.outcome import Outcome
    from voicecli.session import Screen

MOST_RUNS: Final = 10_000


@dataclass(frozen=True)
class Pictures:
    """Files that show the screen; None: not wanted."""

    cast: Path | None
    svg: Path | None
    gif: Path | None

    @property
    def are_wanted(self) -> bool:
        return any((self.cast, self.svg, self.gif))


@dataclass(frozen=True, kw_only=True)
class Show:
    """What the command line asks for."""

    wanted: Wanted
    names: tuple[str, ...]
    repeat: int
    jobs: int
    speaker: str | None
    is_headless: bool
    is_fast: bool
    as_json: bool
    record: str | None
    junit: Path | None
    pictures: Pictures

    @property
    def is_alone(self) -> bool:
        """One script, played once: it can be shown and heard."""
        return len(self.names) == 1 and self.repeat == 1

    @property
    def is_heard(self) -> bool:
        return self.is_alone and not (self.is_headless or self.is_fast)

    def run(self) -> int:
        """Play everything, tell what came of it; gives the exit code.

        Raises:
            VoicecliError: nothing could be played, or a file could not be written.
        """
        from voicecli.cli.signals import end_like_an_interrupt

        end_like_an_interrupt()
        self._check()
        plays = self._plays()
        with ExitStack() as stack:
            folder = None
            if self.pictures.are_wanted and self.record is None:
                folder = stack.enter_context(temporary_folder())
            if self.is_heard and self._uses_device(plays):
                from voicecli.audio.devices import quiet_stderr

                stack.enter_context(quiet_stderr())
            begun_at = time.monotonic()
            outcomes = self._played(plays, self._way(folder))
            seconds = time.monotonic() - begun_at
            return self._tell(outcomes, seconds, len(plays) * self.repeat)

    def _check(self) -> None:
        check_jobs(self.jobs)
        if not 1 <= self.repeat <= MOST_RUNS:
            raise ConfigError(f"--repeat {self.repeat} is out of range", f"it is 1 to {MOST_RUNS}")
        if not self.is_alone:
            if self.speaker not in (None, "none"):
                raise ConfigError("--speaker plays one script once", "leave it out")
            if self.pictures.are_wanted:
                raise ConfigError("a picture shows one script, played once", "name one")
        if self.record is not None:
            from voicecli.cli.recording import directory_for

            directory_for(self.record)
        if self.pictures.gif is not None:
            from voicecli.cli.picture import find_gif_maker

            find_gif_maker()
        for path in (self.junit, self.pictures.cast, self.pictures.svg, self.pictures.gif):
            if path is not None:
                _check_place(path)

    # ------------------------------------------------------------------------------- what is played

    def _plays(self) -> list[Play]:
        from voicecli.cli.planning import plays_of

        heard = self.speaker or (None if self.is_heard else "none")
        flags = {**self.wanted.flags, "audio.speaker": heard}
        plays = plays_of(self.names, replace(self.wanted, flags=flags), as_json=self.as_json)
        if self.is_fast:
            from voicecli.cli.fast import check_fast

            for play in plays:
                for piece in play.pieces:
                    check_fast(piece.plan.target.name, piece.plan.config.audio)
                if len({piece.plan.local for piece in play.pieces}) > 1:
                    raise ConfigError(
                        f"--fast has one engine for {play.name!r}, and its sessions want several",
                        "give all of them the same local.… settings",
                    )
        if self.is_heard and self.speaker is None and self._uses_device(plays):
            plays = _heard_if_possible(plays)
        return [replace(play, pieces=tuple(_with_own_files(play.pieces))) for play in plays]

    def _uses_device(self, plays: Sequence[Play]) -> bool:
        return any(piece.plan.uses_devices for play in plays for piece in play.pieces)

    def _way(self, folder: Path | None) -> Way:
        from voicecli.cli.performing import Way

        shows_talk = self.is_alone and not self.is_headless
        makes_screen = _screens(as_json=self.as_json, is_fast=self.is_fast, speaker=self.speaker)
        way = Way(jobs=self.jobs, repeat=self.repeat, shows_bar=not (shows_talk or self.as_json))
        if shows_talk:
            way = replace(way, screen=makes_screen)
        if self.record is not None:
            return replace(way, place=_places(self.record))
        return way if folder is None else replace(way, place=_places(str(folder)), is_kept=False)

    def _played(self, plays: Sequence[Play], way: Way) -> list[Outcome]:
        from voicecli.cli.performing import play_all

        if not self.is_fast:
            return asyncio.run(play_all(plays, way))
        return _played_fast(plays, way)

    # --------------------------------------------------------------------------- what came of it

    def _tell(self, outcomes: Sequence[Outcome], seconds: float, runs: int) -> int:
        if self.junit is not None:
            from voicecli.demo.junit import junit_xml

            write(self.junit, junit_xml(outcomes, seconds))
        if self.as_json:
            _print_json(outcomes, seconds, with_total=not self.is_alone)
        elif self.is_alone:
            _print_result(outcomes)
        else:
            _print_table(outcomes, seconds)
        if self.pictures.are_wanted and outcomes:
            from voicecli.cli.picture import write_pictures

            write_pictures(self.pictures, outcomes[0])
        if len(outcomes) < runs or any(one.was_stopped for one in outcomes):
            return INTERRUPTED
        errors = [part.error for one in outcomes for part in one.parts if part.error]
        if self.is_alone and errors:
            raise errors[0]
        return int(not all(one.has_passed for one in outcomes))


def _played_fast(plays: Sequence[Play], way: Way) -> list[Outcome]:
    """On a clock that leaps; one engine for all plays that can share it."""
    from voicecli.cli.fast import run_fast
    from voicecli.cli.performing import play_with

    outcomes: list[Outcome] = []
    locals_ = dict.fromkeys(play.pieces[0].plan.local for play in plays)
    for local in locals_:
        if local is None:
            continue
        mine = [play for play in plays if play.pieces[0].plan.local == local]

        async def main(connect: Any, mine: Sequence[Play] = mine) -> list[Outcome]:
            async def to(piece: Piece, stack: Any) -> Any:
                return await connect(stack)

            # One at a time: nothing is waited for that another one could use.
            return await play_with(mine, replace(way, jobs=1), to, is_real_time=False)

        played = run_fast(local, main)
        outcomes += played
        if len(played) < len(mine) * way.repeat or any(one.was_stopped for one in played):
            break
    return outcomes


def _heard_if_possible(plays: Sequence[Play]) -> list[Play]:
    """The same without sound, where there is no speaker."""
    from voicecli.audio.devices import quiet_stderr
    from voicecli.cli.edges import open_audio

    async def try_it() -> None:
        async with open_audio(plays[0].pieces[0].plan.config.audio):
            pass

    try:
        with quiet_stderr():
            asyncio.run(try_it())
    except AudioDeviceError as exc:
        _say_dimly(f"nothing will be heard: {exc.message}")
        return [
            replace(play, pieces=tuple(_with_speaker(one, "none") for one in play.pieces))
            for play in plays
        ]
    return list(plays)


def _with_own_files(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The second session of a demo does not write over the file of the first one."""
    from voicecli.cli.edges import is_wav

    for number, piece in enumerate(pieces, start=1):
        speaker = piece.plan.config.audio.speaker
        if number == 1 or not is_wav(speaker):
            yield piece
            continue
        path = Path(speaker)
        yield _with_speaker(piece, str(path.with_name(f"{path.stem}-{number}{path.suffix}")))


def _with_speaker(piece: Piece, speaker: str) -> Piece:
    import msgspec

    config = piece.plan.config
    audio = msgspec.structs.replace(config.audio, speaker=speaker)
    config = msgspec.structs.replace(config, audio=audio)
    return replace(piece, plan=replace(piece.plan, config=config))


def _screens(*, as_json: bool, is_fast: bool, speaker: str | None) -> Callable[[], Screen]:
    """Makes where each talk is shown; on the streams of now, wherever print goes later."""
    from voicecli.ui.lines import JsonLines, PlainLines, can_be_drawn_on

    stdout, stderr = sys.stdout, sys.stderr
    if as_json and speaker == "-":
        raise ConfigError("--json and --speaker - both want stdout", "leave one of them out")
    if as_json:
        return lambda: JsonLines(stdout.buffer)
    if speaker == "-":
        return lambda: PlainLines(stderr, stderr)
    if is_fast or not can_be_drawn_on(stdout, os.environ):
        return lambda: PlainLines(stdout, stderr)

    def at_terminal() -> Screen:
        from rich.console import Console

        from voicecli.ui.screen import TerminalScreen
        from voicecli.ui.terminal import Terminal

        return TerminalScreen(Terminal(Console(file=stdout, highlight=False)))

    return at_terminal


def _places(wanted: str) -> Callable[[Piece, str], Path]:
    """Where each talk is recorded.

    A new path is for the first one, as in `talk`; all others lie beside or in it.

    Raises:
        ConfigError: the place is a recording itself.
    """
    from voicecli.cli.recording import directory_for, free_place

    place = directory_for(wanted)
    is_folder = not wanted or place.is_dir()

    def place_for(piece: Piece, name: str) -> Path:
        if not is_folder:
            return free_place(place)
        stamp = "" if wanted else datetime.now().strftime("%Y-%m-%d-%H%M%S-")
        return free_place(place / f"{stamp}{name}")

    return place_for


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder, private to the user, that goes away with the block.

    Like `tempfile.TemporaryDirectory`, but an interrupt leaves it behind at no moment: it is to be
    removed before it is there.
    """
    folder = Path(tempfile.gettempdir(), f"voicecli-{secrets.token_hex(8)}")
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -------------------------------------------------------------------------------- telling of it


def _print_json(outcomes: Sequence[Outcome], seconds: float, *, with_total: bool) -> None:
    import msgspec

    from voicecli.demo.outcome import total_of, verdict_to_plain

    lines: list[dict[str, Any]] = []
    for outcome in outcomes:
        lines += [verdict_to_plain(one, outcome.name, outcome.run) for one in outcome.verdicts]
        lines.append(outcome.to_plain())
    if with_total:
        lines.append(total_of(outcomes, seconds))
    for line in lines:
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def _print_result(outcomes: Sequence[Outcome]) -> None:
    from rich.console import Console

    from voicecli.demo.builtin import shown
    from voicecli.ui.results import result_lines

    console = Console(highlight=False, soft_wrap=True)
    # The last column stays free: a line that fills it is broken by some terminals.
    width = max(10, console.width - 1) if sys.stdout.isatty() else 10_000
    for outcome in outcomes:
        for line in result_lines(outcome, width, shown=shown):
            console.print(line)


def _print_table(outcomes: Sequence[Outcome], seconds: float) -> None:
    """A line for each script; on stderr why one failed."""
    from rich.console import Console
    from rich.text import Text

    from voicecli.cli.tables import Column, fitted
    from voicecli.ui.clean import clean

    columns = [
        Column("script", least=8),
        Column("passed", is_right=True),
        Column("expected", goes=4, is_right=True),
        Column("turns", goes=5, is_right=True),
        Column("median ms", goes=1, is_right=True),
        Column("p90", goes=2, is_right=True),
        Column("most", goes=3, is_right=True),
    ]
    names = list(dict.fromkeys(one.name for one in outcomes))
    rows = [_row(name, [one for one in outcomes if one.name == name]) for name in names]
    if len(names) > 1:
        rows.append(_row(f"all, in {seconds:.0f} s", outcomes))
    cells = [[Text(clean(cell, one_line=True), style=style) for cell in row] for style, row in rows]
    console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False)
    width = console.width if sys.stdout.isatty() else 240
    console.print(fitted(columns, cells, width), soft_wrap=True)
    for outcome in outcomes:
        run = f" #{outcome.run}" if outcome.run > 1 else ""
        for failure in outcome.failures:
            message = clean(f"{outcome.name}{run}: {failure}", one_line=True)
            sys.stderr.write(f"voicecli: {message}\n")


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, list[str]]:
    from voicecli.demo.outcome import percentiles

    passed = sum(one.has_passed for one in outcomes)
    judged = [v for one in outcomes for v in one.verdicts if not v.is_skipped]
    met = sum(v.passed for v in judged)
    is_real = all(one.is_real_time for one in outcomes)
    latency = percentiles([ms for one in outcomes for ms in one.latencies_ms]) if is_real else None
    told = ["", "", ""]
    if latency is not None:
        told = [str(latency[key]) for key in ("median", "p90", "most")]
    turns = sum(len(one.turns) for one in outcomes)
    return "" if passed == len(outcomes) else "red", [
        name, f"{passed}/{len(outcomes)}", f"{met}/{len(judged)}", str(turns), *told,
    ]  # fmt: skip


def _say_dimly(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from voicecli.ui.clean import clean

    text = Text(f"voicecli: {clean(message, one_line=True)}", style="dim")
    # In a narrow window it is broken between words; a file gets it on one line.
    Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty()).print(text)


def _check_place(path: Path) -> None:
    """See that a file can be there, before something is played that would be lost.

    Raises:
        ConfigError: it cannot.
    """
    from voicecli.recording.shelf.library import is_part_of_recording

    place = path.expanduser()
    if place.is_dir():
        raise ConfigError(f"cannot write {str(path)!r}: it is a folder", "name a file")
    if is_part_of_recording(place):
        raise ConfigError(
            f"cannot write {str(path)!r}: it is a part of a recording", "name another place"
        )
    if not os.access(place if place.exists() else place.parent, os.W_OK):
        raise ConfigError(
            f"cannot write {str(path)!r}: its folder is not there, or not to be written",
            "check the path",
        )


def write(path: Path, content: bytes) -> None:
    """Write a file that the command line names.

    Raises:
        VoicecliError: it cannot be written.
    """
    try:
        path.expanduser().write_bytes(content)
    except OSError as exc:
        raise VoicecliError(
            f"cannot write {str(path)!r}: {exc.strerror or exc}", "check the path"
        ) from exc
