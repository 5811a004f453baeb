"""`voicecli recordings export`: a recording in other forms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from voicecli.cli.library import RecordingName, library
from voicecli.errors import ConfigError, RecordingError

if TYPE_CHECKING:
    from voicecli.recording.export.files import FixtureMade, Followed
    from voicecli.recording.export.mixdown import Layout


class Form(StrEnum):
    """What a recording can be made into; the value is also the ending of the file's name."""

    MARKDOWN = "md"
    TEXT = "txt"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    WAV = "wav"
    FLAC = "flac"
    HTML = "html"
    CAST = "cast"


class Side(StrEnum):
    """Whose voice alone."""

    USER = "user"
    ASSISTANT = "assistant"


_TO_STDOUT: Final = {Form.MARKDOWN, Form.TEXT, Form.JSON, Form.SRT, Form.VTT}
"Goes to stdout when no place is named; the others go to a file."

_SOUND: Final = {Form.WAV, Form.FLAC}

_LONG_S: Final = 120.0
"A talk that takes a noticeable time to read."

_FORMS: Final = ", ".join(form.value for form in Form)


class Looks(NamedTuple):
    """How it is to be, apart from its form."""

    layout: Layout
    columns: int
    rows: int


class Job(NamedTuple):
    """One form, and where it goes."""

    form: Form
    path: Path | None
    "None: stdout."


def export_command(
    recording: RecordingName,
    forms: Annotated[
        list[Form] | None,
        typer.Option("--format", "-f", help="What to make; may be given several times."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="FILE", help="Where to, or - for stdout; its ending says what to make."
        ),
    ] = None,
    all_to: Annotated[
        Path | None,
        typer.Option("--all", metavar="DIR", help="Make everything, into this folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files.")] = False,
    only: Annotated[
        Side | None, typer.Option("--only", help="Sound: one side alone.", show_default=False)
    ] = None,
    mono: Annotated[bool, typer.Option("--mono", help="Sound: both sides mixed.")] = False,
    columns: Annotated[
        int, typer.Option("--cols", min=20, max=500, help="Cast: width of the terminal.")
    ] = 80,
    rows: Annotated[
        int, typer.Option("--rows", min=5, max=200, help="Cast: height of the terminal.")
    ] = 24,
    fixture: Annotated[
        Path | None,
        typer.Option(
            "--fixture", metavar="DIR", help="A small recording for a test suite, and its test."
        ),
    ] = None,
    keep_audio: Annotated[
        bool, typer.Option("--keep-audio", help="Fixture: with the audio.")
    ] = False,
    from_turn: Annotated[
        int | None, typer.Option("--from-turn", min=1, metavar="N", help="Fixture: from here.")
    ] = None,
    to_turn: Annotated[
        int | None, typer.Option("--to-turn", min=1, metavar="N", help="Fixture: up to here.")
    ] = None,
) -> None:
    """Make text, subtitles, sound, a page, a cast or a test of it.

    Text and subtitles (md, txt, json, srt, vtt) go to stdout, the rest to files named after the
    recording, in the current folder.

      voicecli recordings export last --format md

      voicecli recordings export last --to talk.html

      voicecli recordings export last --fixture suite/barge_in
    """
    from voicecli.cli.signals import end_like_an_interrupt
    from voicecli.recording.export.files import Followed, make_folder
    from voicecli.recording.shelf.library import find

    _check_options(only=only, mono=mono, fixture=fixture, others=(keep_audio, from_turn, to_turn))
    path = find(recording, library()).absolute()
    end_like_an_interrupt()
    with Followed.open(path) as opened:
        assert isinstance(opened, Followed)
        looks = Looks(_layout(only, mono=mono), columns, rows)
        jobs = _jobs(opened.name, forms or [], to, all_to, wants_other=bool(fixture))
        if looks.layout != "stereo" and not any(job.form in _SOUND for job in jobs):
            raise ConfigError("--only and --mono are for sound", "--format wav, or flac")
        if all_to is not None:
            make_folder(all_to)
        _check_free(jobs, force=force)
        for job in jobs:
            with _progress(opened, None if job.path is None else job.path.name):
                _carry_out(job, opened, looks, force=force)
        if fixture is not None:
            with _progress(opened, fixture.name):
                made = _make_fixture(opened, fixture, keep_audio, from_turn, to_turn, force=force)
            _tell_fixture(made, opened)
        for warning in opened.warnings:
            _tell(warning)


# ----------------------------------------------------------------------------------- what is wanted


def _check_options(
    *, only: Side | None, mono: bool, fixture: Path | None, others: tuple[object, ...]
) -> None:
    if only is not None and mono:
        raise ConfigError("--only and --mono cannot go together", "one side is mono by itself")
    if fixture is None and any(others):
        raise ConfigError(
            "--keep-audio, --from-turn and --to-turn are for a fixture", "name it: --fixture DIR"
        )


def _layout(only: Side | None, *, mono: bool) -> Layout:
    if only is not None:
        return "user" if only is Side.USER else "assistant"
    return "mono" if mono else "stereo"


def _jobs(
    name: str, forms: list[Form], to: str | None, all_to: Path | None, *, wants_other: bool
) -> list[Job]:
    """What to make, and where it goes.

    Raises:
        ConfigError: that is not clear.
    """
    if all_to is not None:
        if forms or to is not None:
            raise ConfigError("--all makes everything: it takes no --format and no --to", "")
        return [Job(form, all_to / f"{name}.{form.value}") for form in Form]
    if to is not None:
        return [_job_of(name, forms, to)]
    if not forms and not wants_other:
        raise ConfigError(
            "what should the recording be made into?",
            f"--format {_FORMS.replace(', ', '|')}, --to FILE, --all DIR, or --fixture DIR",
        )
    return [
        Job(form, None if form in _TO_STDOUT else Path(f"{name}.{form.value}"))
        for form in dict.fromkeys(forms)
    ]


def _job_of(name: str, forms: list[Form], to: str) -> Job:
    """The one thing that goes to a named place."""
    if len(set(forms)) > 1:
        raise ConfigError("--to names one file, and there are several --format", "--all DIR")
    form = forms[0] if forms else None
    if to == "-":
        if form is None:
            raise ConfigError("what should go to stdout?", f"name it: --format {_FORMS}")
        return Job(form, None)
    path = Path(to).expanduser()
    if path.is_dir() and form is not None:
        return Job(form, path / f"{name}.{form.value}")
    ending = path.suffix.lower().lstrip(".")
    if form is None:
        known = {one.value: one for one in Form} | {"markdown": Form.MARKDOWN, "htm": Form.HTML}
        if ending not in known:
            raise ConfigError(
                f"the ending of {to!r} does not say what to make",
                f"use one of {_FORMS}, or add --format",
            )
        form = known[ending]
    return Job(form, path)


def _check_free(jobs: list[Job], *, force: bool) -> None:
    """Before anything is made: whether all of it can be."""
    from voicecli.recording.export.files import check_free
    from voicecli.recording.export.flac import flac_library

    for job in jobs:
        if job.path is None and job.form not in _TO_STDOUT - {Form.CAST} and sys.stdout.isatty():
            raise ConfigError(f"{job.form.value} is not for a terminal", "--to FILE, or a pipe")
        if job.path is not None:
            check_free(job.path, force=force)
    if len(jobs) < len(Form) and any(job.form is Form.FLAC for job in jobs):
        flac_library()


# --------------------------------------------------------------------------------------- the making


def _carry_out(job: Job, recording: Followed, looks: Looks, *, force: bool) -> None:
    from voicecli.recording.export import files, flac

    if job.form is Form.FLAC and not flac.has_flac():
        # Only where everything is wanted: that much can be had without it.
        _tell(f"left out {job.form.value}: {flac.NO_FLAC} ({flac.FLAC_HINT})")
        return
    if job.path is None:
        try:
            for chunk in _chunks(job.form, recording, looks):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise RecordingError(f"cannot write the output: {exc.strerror or exc}") from exc
        return
    if files.is_stream(job.path):
        files.write_stream(job.path, _chunks(job.form, recording, looks))
        return
    if job.form is Form.WAV:
        files.write_wav(job.path, recording, looks.layout, force=force)
    elif job.form is Form.FLAC:
        files.write_flac(job.path, recording, looks.layout, force=force)
    else:
        files.write_whole(job.path, _chunks(job.form, recording, looks), force=force)
    _tell(f"wrote {job.path} ({_size(job.path.stat().st_size)})")


def _chunks(form: Form, recording: Followed, looks: Looks) -> Iterator[bytes]:
    """The bytes of one form, as they are made."""
    from voicecli.recording.export import files

    match form:
        case Form.WAV:
            yield from files.wav_chunks(recording, looks.layout)
        case Form.FLAC:
            yield from files.flac_chunks(recording, looks.layout)
        case Form.HTML:
            from voicecli.recording.export.pages import html_chunks

            yield from html_chunks(recording)
        case Form.CAST:
            from voicecli.ui.cast import cast_of

            yield from cast_of(recording, looks.columns, looks.rows)
        case _:
            yield _text(form, recording)


def _text(form: Form, recording: Followed) -> bytes:
    from voicecli.recording.export.data import json_of
    from voicecli.recording.export.subtitles import srt_of, vtt_of
    from voicecli.recording.export.talk import Talk, talk_of
    from voicecli.recording.export.text import markdown_of, plain_text_of

    talk = talk_of(recording)
    if form is Form.JSON:
        return json_of(talk)
    makers: dict[Form, Callable[[Talk], str]] = {
        Form.MARKDOWN: markdown_of,
        Form.TEXT: plain_text_of,
        Form.SRT: srt_of,
        Form.VTT: vtt_of,
    }
    return makers[form](talk).encode("utf-8", "replace")


def _make_fixture(
    recording: Followed,
    folder: Path,
    keep_audio: bool,
    from_turn: int | None,
    to_turn: int | None,
    *,
    force: bool,
) -> FixtureMade:
    from voicecli.recording.export.files import make_folder, write_fixture

    folder = folder.expanduser().absolute()
    make_folder(folder.parent)
    return write_fixture(
        recording,
        folder,
        from_turn=from_turn,
        to_turn=to_turn,
        keep_audio=keep_audio,
        force=force,
    )


# ------------------------------------------------------------------------------------- what is told


def _tell_fixture(made: FixtureMade, recording: Followed) -> None:
    size, original = made.size_bytes, recording.size_bytes
    share = f"{_size(size)}, {100 * size / original:.1f} % of {_size(original)}"
    turns = "no turns" if made.turns is None else "turns {} to {}".format(*made.turns)
    _tell(f"wrote {made.folder} ({share}): {turns}, {made.actions} actions to compare")
    _tell(f"wrote {made.test}")
    if not made.is_as_recorded:
        _tell(
            "this version of voicecli makes something else of the recording than was recorded; "
            "the fixture holds what it makes of it now (see: voicecli replay --check)"
        )


def _tell(message: str) -> None:
    from voicecli.ui.clean import clean

    sys.stderr.write(f"voicecli: {clean(message, one_line=True)}\n")


def _size(size_bytes: int) -> str:
    from voicecli.ui.amounts import size

    return size(size_bytes)


@contextmanager
def _progress(recording: Followed, label: str | None) -> Iterator[None]:
    """A bar on stderr, where that is a terminal, for as long as the recording is being read.

    Args:
        recording: a long one; for others there is no bar.
        label: what is being made; None if it goes to stdout, where a terminal has no room for both.
    """
    total = recording.duration_s
    has_room = sys.stderr.isatty() and not (label is None and sys.stdout.isatty())
    if not has_room or total < _LONG_S:
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.text import Text

    from voicecli.ui.clean import clean

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(Text(clean(label or "stdout", one_line=True)).plain, total=total)
        told_at = 0.0

        def follow(at: float) -> None:
            nonlocal told_at
            if abs(at - told_at) >= total / 200:
                told_at = at
                progress.update(task, completed=at)

        recording.follow = follow
        try:
            yield
        finally:
            recording.follow = _nothing


def _nothing(_: float) -> None:
    pass
