"""`voicecli replay --against`: the users of recordings talk to another server or model."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from voicecli.cli.expectations import expected_of, load_expectations, unmet
from voicecli.cli.talks import INTERRUPTED, LINGER_S, Stage, check_jobs, delivery
from voicecli.errors import ConfigError, VoicecliError
from voicecli.ui.lines import NoScreen

if TYPE_CHECKING:
    from rich.text import Text

    from voicecli.cli.wiring import Connect, Plan
    from voicecli.config import BargeIn, Config, Destination, Effective, Local
    from voicecli.demo.steps import Script
    from voicecli.protocol.settings import SessionSettings
    from voicecli.recording.files import Recording
    from voicecli.recording.format import Header
    from voicecli.recording.rerun.rerun import Rerun, Tally
    from voicecli.recording.rerun.turns import User
    from voicecli.session import Screen

_PIPE_WIDTH: Final = 200


def run_against(
    recordings: list[Path],
    *,
    server: str,
    model: str | None,
    timing: str,
    jobs: int,
    record: str | None,
    speaker: str | None,
    as_json: bool,
    is_fast: bool = False,
    expect: Path | None = None,
    profile: str | None,
    config: Path | None,
) -> int:
    """Let the user of each recording talk to `server`; gives the exit code.

    Args:
        recordings: their folders.
        server: as in `talk --server`.
        model: the server's model; None: as configured.
        timing: `turns` (anchored in what is heard) or `original` (the recorded clock).
        jobs: how many talks at a time.
        record: a folder for the results; None or empty: among the user's recordings.
        speaker: as in `talk --speaker`; None: nobody listens.
        as_json: print one JSON object for each recording, and one for all.
        is_fast: do not wait for the time to pass; with the embedded engine only.
        expect: a demo script whose expectations count for each of them; None: the one in the
            recording's folder, if there is one.
        profile: a part of the configuration; what it sets goes before what was recorded.
        config: the configuration file; None: the usual one.

    Raises:
        VoicecliError: nothing could be begun.
    """
    from voicecli import config as configuration
    from voicecli.cli.fast import check_fast, run_fast

    _check(recordings, timing, jobs, speaker)
    flags = {
        "server": server,
        "model": model,
        "audio.mic": "none",
        "audio.speaker": speaker or "none",
    }
    effective = configuration.load(flags, path=config, profile=profile)
    expected = None if expect is None else load_expectations(expect)
    for path in recordings:
        expected_of(path, expected)  # a mistake in it shows before anything is begun
    company = _company(effective, timing=timing, folder=record or "")
    company = replace(company, expected=expected, is_fast=is_fast)
    if is_fast:
        check_fast(company.target.name, company.config.audio)
    is_alone = len(recordings) == 1 and not as_json and not is_fast and _is_drawable()
    with ExitStack() as stack:
        if is_alone and company.uses_device:
            from voicecli.audio.devices import quiet_stderr

            stack.enter_context(quiet_stderr())

        def talks(
            connect: Connect | None = None,
        ) -> Coroutine[Any, Any, tuple[list[Rerun], float]]:
            return _run_all(company, recordings, jobs, connect, shows_talk=is_alone)

        if is_fast and company.local is not None:
            runs, seconds = run_fast(company.local, talks)
        else:
            runs, seconds = asyncio.run(talks())
    _tell(runs, seconds, as_json=as_json)
    if any(run.was_stopped for run in runs) or len(runs) < len(recordings):
        return INTERRUPTED
    return int(any(run.failures for run in runs))


def _check(recordings: Sequence[Path], timing: str, jobs: int, speaker: str | None) -> None:
    if timing not in ("turns", "original"):
        raise ConfigError(f"--timing {timing!r} is not known", "it is turns or original")
    check_jobs(jobs)
    if speaker not in (None, "none") and len(recordings) > 1:
        raise ConfigError(
            "--speaker plays one recording, and there are several", "name one, or leave it out"
        )


@dataclass(frozen=True)
class Company:
    """Whom the recorded users talk to, and what is kept of it."""

    effective: Effective
    target: Destination
    local: Local | None
    folder: Path
    "Where the results go."
    names_server: bool
    "Results lie among other recordings, so that their names say who answered."
    at_recorded_times: bool
    expected: Script | None = None
    "Whose expectations count; None: those in each recording's folder."
    is_fast: bool = False

    @property
    def config(self) -> Config:
        return self.effective.config

    @property
    def uses_device(self) -> bool:
        from voicecli.cli.edges import is_device

        return is_device(self.config.audio.speaker)


def _company(effective: Effective, *, timing: str, folder: str) -> Company:
    """Decide what can be decided before anything is opened."""
    import os

    from voicecli import config as configuration
    from voicecli.cli.recording import directory_for
    from voicecli.connection import url_with_model

    target = configuration.destination(effective.config)
    target.headers(os.environ)
    local = None
    if target.name == "local":
        from voicecli.cli.local import prepare_models

        local = prepare_models(effective.config.local)
    else:
        url_with_model(target.url, target.model)
    kept = folder or effective.config.recording.path
    return Company(
        effective=effective,
        target=target,
        local=local,
        folder=directory_for(kept),
        names_server=not folder,
        at_recorded_times=timing == "original",
    )


# --------------------------------------------------------------------------------- all of the talks


async def _run_all(
    company: Company,
    recordings: Sequence[Path],
    jobs: int,
    connect: Connect | None,
    *,
    shows_talk: bool,
) -> tuple[list[Rerun], float]:
    """Every recording, `jobs` of them at a time; those that were begun, in order."""
    from voicecli.cli.signals import EndingSignals
    from voicecli.cli.wiring import connector

    runs: dict[Path, Rerun] = {}
    waiting = iter(recordings)
    stage = Stage()
    begun_at = time.monotonic()

    async def work(connect: Connect, bar: _Bar) -> None:
        for path in waiting:
            if stage.is_stopped:
                return
            runs[path] = await _run_one(company, path, connect, stage, bar, shows_talk=shows_talk)
            bar.recording_ended()

    with EndingSignals() as signals:
        async with AsyncExitStack() as stack:
            if connect is None:
                connect = await connector(company.target, company.local, stack)
            signals.quit = stage.stop
            with _bar(len(recordings), is_shown=not shows_talk) as bar:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(min(jobs, len(recordings))):
                        tasks.create_task(work(connect, bar))
    return [runs[path] for path in recordings if path in runs], time.monotonic() - begun_at


async def _run_one(
    company: Company,
    path: Path,
    connect: Connect,
    stage: Stage,
    bar: _Bar,
    *,
    shows_talk: bool,
) -> Rerun:
    """One recording; whatever goes wrong with it is in what is given back."""
    from voicecli.recording.files import Recording
    from voicecli.recording.rerun.rerun import Rerun, Tally
    from voicecli.recording.rerun.turns import User, user_of

    user, tally = User((), 0.0, (), ()), Tally()
    rerun = Rerun(path.name, str(path), "", user, (), tally, is_through=False)
    try:
        with Recording.open(path) as recording:
            user = await asyncio.to_thread(user_of, recording)
            bar.turns_known(len(user.turns))
            talk = _Talk(company, recording, user, tally)
            screen = _screen(shows_talk=shows_talk)
            try:
                await talk.hold(connect, screen, stage, bar.turn_began)
                failure = ""
            except VoicecliError as exc:
                failure = exc.message
            return talk.rerun(failure, was_stopped=stage.is_stopped)
    except (VoicecliError, OSError) as exc:
        message = exc.message if isinstance(exc, VoicecliError) else str(exc)
        return replace(rerun, failure=message)


# ------------------------------------------------------------------------------- one of the talks


class _Talk:
    """One recorded user with the new server."""

    def __init__(self, company: Company, recording: Recording, user: User, tally: Tally) -> None:
        from voicecli.cli.recording import free_place
        from voicecli.demo.witness import Witness
        from voicecli.ui.clean import clean

        self._company = company
        self._recording = recording
        self._user = user
        self._tally = tally
        server = company.target.name if "://" not in company.target.name else "server"
        name = f"{recording.name}-{server}" if company.names_server else recording.name
        self._place = free_place(company.folder / clean(name, one_line=True))
        self._plan = self._planned()
        self._script = expected_of(recording.path, company.expected)
        self._witness = Witness()
        self._played: Sequence[Any] = ()
        self._is_through = False
        self._failure = ""

    def _planned(self) -> Plan:
        import msgspec

        from voicecli.cli.wiring import Plan
        from voicecli.config import Recording as Kept
        from voicecli.config import Talk
        from voicecli.recording.rerun.recorded_tools import RecordedTools

        config = msgspec.structs.replace(
            self._company.config,
            recording=Kept(enabled=True, path=str(self._place), audio="both"),
            talk=Talk(linger_s=LINGER_S, max_minutes=0),
            barge_in=barge_in_for(self._recording.header, self._company.effective),
        )
        return Plan(
            config=config,
            target=self._company.target,
            local=self._company.local,
            functions=RecordedTools(self._user.calls),
            settings=settings_for(self._recording.header, self._company.effective),
            as_json=False,
            source=self._recording.name,
        )

    async def hold(
        self, connect: Connect, screen: Screen, stage: Stage, on_progress: Callable[[], None]
    ) -> None:
        """Talk until all was said and heard.

        Raises:
            VoicecliError: the talk could not begin or go on.
        """
        from voicecli.audio.scripted import ScriptedMicrophone
        from voicecli.cli.edges import open_audio
        from voicecli.cli.wiring import new_conversation, new_session
        from voicecli.director import Director
        from voicecli.recording.rerun.turns import cues_of

        plan = self._plan
        async with AsyncExitStack() as stack:
            microphone = ScriptedMicrophone()
            audio = await stack.enter_async_context(open_audio(plan.config.audio, microphone))
            connection = await connect(stack)
            stack.push_async_callback(screen.close)
            conversation = new_conversation(plan)
            director = Director(
                cues_of(
                    self._user,
                    self._recording.user_sound,
                    at_recorded_times=self._company.at_recorded_times,
                ),
                conversation=conversation,
                microphone=microphone,
                heard=audio.speaker.heard,
                deliver_in=lambda delay_s, an_input: deliver_in(delay_s, an_input),
                opened_at=connection.opened_at,
                on_progress=on_progress,
            )
            observers = (self._tally, self._witness, director)
            session = new_session(plan, conversation, connection, audio, screen, stack, observers)
            deliver_in = delivery(session)
            self._played = director.played
            stage.sessions.add(session)
            try:
                if stage.is_stopped:
                    return
                await session.run()
            finally:
                stage.sessions.discard(session)
                self._is_through = director.is_through
                self._failure = director.failure

    def rerun(self, failure: str, *, was_stopped: bool) -> Rerun:
        """What came of it."""
        from voicecli.recording.rerun.rerun import Rerun

        script, is_fast = self._script, self._company.is_fast
        return Rerun(
            name=self._recording.name,
            source=str(self._recording.path),
            result=str(self._place) if self._place.exists() else "",
            user=self._user,
            played=self._played,
            tally=self._tally,
            is_through=self._is_through,
            failure=failure or self._failure,
            was_stopped=was_stopped and not self._is_through,
            unmet=()
            if script is None
            else tuple(unmet(script, self._witness, self._played, is_fast=is_fast)),
        )


def settings_for(header: Header, effective: Effective) -> SessionSettings:
    """The recorded settings, and over them what a profile sets.

    Raises:
        RecordingError: the recorded ones are damaged.
        ConfigError: those of the profile do not go together.
    """
    from voicecli.config import session_settings
    from voicecli.recording.format import settings_of

    recorded = settings_of(header.settings)
    given = {key for key, origin in effective.origins.items() if "[profiles." in origin}
    names = {_SETTINGS[key] for key in given if key in _SETTINGS}
    names |= {"turn_detection" for key in given if key.startswith(_OF_TURNS)}
    if not names:
        return recorded
    configured = session_settings(effective.config, is_local=effective.config.server == "local")
    changes: dict[str, Any] = {name: getattr(configured, name) for name in names}
    return replace(recorded, **changes)


def barge_in_for(header: Header, effective: Effective) -> BargeIn:
    """Who decides on interruptions: it goes with how turns are found.

    Raises:
        RecordingError: what was recorded is damaged.
    """
    import msgspec

    from voicecli.config import BargeIn
    from voicecli.errors import RecordingError

    origins = effective.origins.items()
    if any("[profiles." in origin and key.startswith(_OF_TURNS) for key, origin in origins):
        return effective.config.barge_in
    kept = header.options.get("barge_in") or {}
    try:
        known = {key: kept[key] for key in BargeIn.__struct_fields__ if key in kept}
        return msgspec.convert(known, BargeIn)
    except (msgspec.ValidationError, TypeError) as exc:
        raise RecordingError(f"the recording's options are damaged: {exc}") from exc


_OF_TURNS: Final = ("vad.", "barge_in.")

_SETTINGS: Final[Mapping[str, str]] = {
    "voice": "voice",
    "instructions": "instructions",
    "language": "language",
    "transcription": "transcription_model",
    "audio.input_format": "input_format",
    "audio.output_format": "output_format",
    "audio.noise_reduction": "noise_reduction",
}
"Settings of the server by the key of the configuration that sets them."


# ----------------------------------------------------------------------------- what is to be seen


def _is_drawable() -> bool:
    import os

    from voicecli.ui.lines import can_be_drawn_on

    return can_be_drawn_on(sys.stdout, os.environ)


def _screen(*, shows_talk: bool) -> Screen:
    if not shows_talk:
        return NoScreen()
    from voicecli.ui.screen import TerminalScreen

    return TerminalScreen()


class _Bar:
    """How far all of the talks are; this one shows nothing."""

    def turns_known(self, count: int) -> None: ...

    def turn_began(self) -> None: ...

    def recording_ended(self) -> None: ...


class _RichBar(_Bar):
    """A bar of turns, with the count of recordings."""

    def __init__(self, recordings: int, update: Callable[..., None]) -> None:
        self._recordings = recordings
        self._update = update
        self._ended = self._turns = self._begun = self._known = 0

    def turns_known(self, count: int) -> None:
        self._turns += count
        self._known += 1
        self._show()

    def turn_began(self) -> None:
        self._begun += 1
        self._show()

    def recording_ended(self) -> None:
        self._ended += 1
        self._show()

    def _show(self) -> None:
        # What is not open yet is taken to be as long as what is.
        unknown = self._recordings - self._known
        total = self._turns + unknown * (self._turns / self._known if self._known else 1)
        self._update(
            completed=self._begun,
            total=max(total, self._begun, 1),
            description=f"{self._ended} of {self._recordings} recordings",
        )


@contextmanager
def _bar(recordings: int, *, is_shown: bool) -> Iterator[_Bar]:
    if not (is_shown and sys.stderr.isatty()):
        yield _Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"0 of {recordings} recordings", total=None)
        yield _RichBar(recordings, lambda **fields: progress.update(task, **fields))


def _tell(runs: Sequence[Rerun], seconds: float, *, as_json: bool) -> None:
    """The outcome on stdout, and on stderr why a recording failed."""
    from voicecli.recording.rerun.rerun import total_of

    total = total_of(runs, seconds)
    if as_json:
        import msgspec

        for one in [*(run.to_plain() for run in runs), total]:
            sys.stdout.write(msgspec.json.encode(one).decode() + "\n")
        sys.stdout.flush()
        return
    if runs:
        _print_table(runs, total)
    from voicecli.ui.clean import clean

    for run in runs:
        for failure in run.failures:
            sys.stderr.write(f"voicecli: {clean(f'{run.name}: {failure}', one_line=True)}\n")


def _print_table(runs: Sequence[Rerun], total: Mapping[str, Any]) -> None:
    from rich.console import Console

    from voicecli.cli.tables import Column, fitted

    columns = [
        Column("recording", least=8),
        Column("turns", goes=3, is_right=True),
        Column("answered", is_right=True),
        Column("interrupted", is_right=True),
        Column("off by", is_right=True),
        Column("latency", is_right=True),
        Column("errors", goes=2, is_right=True),
        Column("result", goes=1, least=8),
    ]
    rows = [_row(run) for run in runs]
    if len(runs) > 1:
        rows.append(_total_row(total))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print(fitted(columns, rows, console.width))


def _row(run: Rerun) -> list[Text]:
    from voicecli.recording.rerun.rerun import median_of, offsets_of

    plain = run.to_plain()
    off_ms = offsets_of(run.interruptions)
    has_failed = bool(plain["failures"])
    return [
        _text(plain["name"], "red" if has_failed else ""),
        _text(str(plain["turns"])),
        _text(_share(plain, "answered", "expected")),
        _text(_share(plain, "reproduced", "interruptions")),
        _text(_off(median_of(off_ms), max(off_ms, default=None))),
        _text(_latency(plain["recorded_latency_ms"], plain["latency_ms"])),
        _text(str(len(plain["errors"]) or "")),
        _text(Path(plain["result"]).name if plain["result"] else "", "dim"),
    ]


def _total_row(total: Mapping[str, Any]) -> list[Text]:
    failed = f", {total['failed']} failed" if total["failed"] else ""
    return [
        _text(f"{total['recordings']} in {total['seconds']:.0f} s{failed}", "bold"),
        _text(str(total["turns"])),
        _text(_share(total, "answered", "expected")),
        _text(_share(total, "reproduced", "interruptions")),
        _text(_off(total["median_off_ms"], total["worst_off_ms"])),
        _text(_latency(total["recorded_latency_ms"], total["latency_ms"])),
        _text(""),
        _text(""),
    ]


def _share(plain: Mapping[str, Any], part: str, whole: str) -> str:
    return f"{plain[part]}/{plain[whole]}" if plain[whole] else "-"


def _off(middle_ms: int | None, worst_ms: int | None) -> str:
    if middle_ms is None:
        return "-"
    return f"{middle_ms} ms" if middle_ms == worst_ms else f"{middle_ms}, worst {worst_ms} ms"


def _latency(recorded_ms: int | None, now_ms: int | None) -> str:
    if recorded_ms is None and now_ms is None:
        return "-"
    before, now = ("-" if ms is None else str(ms) for ms in (recorded_ms, now_ms))
    return f"{before} → {now} ms"


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    from voicecli.ui.clean import clean

    return Text(clean(text, one_line=True), style=style)
