"""One examination: which checks are made, in which order, and what each may take."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from voicecli.errors import ConfigError, VoicecliError

if TYPE_CHECKING:
    from voicecli.config import Config
    from voicecli.doctor.findings import Area, Finding
    from voicecli.doctor.limits import Patience


class Screen(Protocol):
    """Where findings are shown as they come."""

    def show(self, finding: Finding) -> None: ...

    def working(self, doing: str, level_dbfs: float | None = None) -> None: ...

    def close(self, findings: Sequence[Finding] = ()) -> None: ...


class NoScreen:
    """All is told at the end."""

    def show(self, finding: Finding) -> None:
        del finding

    def working(self, doing: str, level_dbfs: float | None = None) -> None:
        del doing, level_dbfs

    def close(self, findings: Sequence[Finding] = ()) -> None:
        del findings


@dataclass(frozen=True)
class Wish:
    """What is to be examined."""

    flags: Mapping[str, object]
    "Values from the command line, by key of the configuration."
    file: Path | None
    profile: str | None
    areas: frozenset[Area]
    plays: bool
    asks: bool
    "Somebody sees what is being done."
    is_deep: bool


def areas(only: Sequence[str]) -> frozenset[Area]:
    """The areas meant by `--only`, which may hold commas; all of them if there is none.

    Raises:
        ConfigError: one is unknown.
    """
    from voicecli.doctor.findings import AREAS

    words = [word.strip() for one in only for word in one.split(",") if word.strip()]
    for word in words:
        if word not in AREAS:
            raise ConfigError(f"unknown area {word!r}", f"it is one of {', '.join(AREAS)}")
    return frozenset(area for area in AREAS if not words or area in words)


def run(wish: Wish, *, as_json: bool) -> int:
    """Examine, show, and give the exit code."""
    from voicecli import __version__
    from voicecli.audio.devices import quiet_stderr
    from voicecli.doctor.findings import document, exit_code

    screen = _screen(as_json=as_json)
    with ExitStack() as stack:
        if "audio" in wish.areas:
            stack.enter_context(quiet_stderr())
        findings = asyncio.run(_examined(wish, screen))
    if as_json:
        import json

        told = document(map(_harmless, findings), __version__)
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return exit_code(findings)


def _screen(*, as_json: bool) -> Screen:
    if as_json:
        return NoScreen()
    from rich.console import Console

    from voicecli.ui.checkup import Checkup

    return Checkup(Console(highlight=False))


async def _examined(wish: Wish, screen: Screen) -> list[Finding]:
    from voicecli import cli
    from voicecli.cli.signals import EndingSignals
    from voicecli.doctor.limits import Patience

    patience = Patience()
    examination = _Examination(wish, screen, patience)
    with EndingSignals():
        try:
            await examination.run()
            screen.close(examination.findings)
        except BaseExceptionGroup as group:
            # Of the tasks, which wraps one error only: stdout's, say, that cannot be written.
            raise group.exceptions[0] from None
        finally:
            screen.close()
            if patience.is_hanging:
                cli.leave_without_waiting()
    return examination.findings


class _Examination:
    def __init__(self, wish: Wish, screen: Screen, patience: Patience) -> None:
        self.findings: list[Finding] = []
        self._wish = wish
        self._screen = screen
        self._patience = patience

    async def run(self) -> None:
        from voicecli.cli.examining_models import examine_models
        from voicecli.cli.examining_server import examine_server
        from voicecli.cli.examining_sound import Sound
        from voicecli.config import Config

        wish = self._wish
        problems, config = self._configuration()
        way: list[Finding] = []
        async with asyncio.TaskGroup() as tasks:
            server = None
            if "server" in self._wish.areas:
                asking = examine_server(config or Config(), self._patience, way.append)
                server = tasks.create_task(asking)
            if "system" in self._wish.areas:
                self._system(config or Config(), problems)
            else:
                self._tell(*(one for one in problems if one.state == "problem"))
            if "audio" in self._wish.areas:
                sound = Sound(
                    self._screen, self._tell, self._patience, plays=wish.plays, asks=wish.asks
                )
                await sound.examine(config or Config())
            if server is not None:
                self._screen.working("asking the server")
                await server
                is_broken = any(one.state == "problem" for one in problems)
                self._tell(*(_unnamed(one) if is_broken else one for one in way))
            if "models" in self._wish.areas:
                await examine_models(
                    config or Config(), self._tell, self._screen.working, is_deep=wish.is_deep
                )

    def _tell(self, *findings: Finding) -> None:
        for one in findings:
            self.findings.append(one)
            self._screen.show(one)

    # ---------------------------------------------------------------------- settings and system

    def _configuration(self) -> tuple[list[Finding], Config | None]:
        """What is said of the configuration, and what is in force; None: nothing can be read."""
        from voicecli import config as configuration
        from voicecli.doctor.findings import Finding

        wish = self._wish
        file = configuration.named_file(wish.file) or configuration.default_file()
        facts = {"file": str(file), "exists": file.is_file()}
        try:
            loaded = configuration.load(wish.flags, path=wish.file, profile=wish.profile)
            configuration.destination(loaded.config)
            configuration.session_settings(loaded.config, is_local=False)
        except ConfigError as exc:
            fixes = ("voicecli config",)
            told = Finding("system", "settings", "problem", exc.message, exc.hint, fixes, facts)
            return [told], self._without_file()
        where = f"{file} is valid" if file.is_file() else f"no file at {file}: the defaults hold"
        return [Finding("system", "settings", "ok", where, facts=facts)], loaded.config

    def _without_file(self) -> Config | None:
        """The flags alone, for what can still be examined."""
        from voicecli import config as configuration

        with suppress(VoicecliError):
            return configuration.load(self._wish.flags, path=Path(os.devnull), environ={}).config
        return None

    def _system(self, config: Config, problems: list[Finding]) -> None:
        from voicecli.doctor import machine
        from voicecli.recording.files import default_directory

        self._tell(machine.program(), machine.judged_packages(machine.versions()), *problems)
        wanted = config.recording.path
        self._tell(machine.judged_recordings(wanted or str(default_directory())))
        self._tell(
            machine.judged_terminal(
                is_terminal=sys.stdout.isatty(),
                columns=_columns(),
                encoding=sys.stdout.encoding or "",
                environ=os.environ,
            )
        )


def _unnamed(finding: Finding) -> Finding:
    """That no server was found is no second fault where the settings cannot be used."""
    if finding.check != "server" or finding.state != "problem":
        return finding
    told = "which one it is cannot be told: see the settings"
    return replace(finding, state="skipped", told=told, advice="", fixes=())


def _harmless(finding: Finding) -> Finding:
    """Without what could give a terminal orders: `jq -r` takes the escapes of JSON off."""
    from voicecli.ui.clean import clean

    return replace(
        finding,
        told=clean(finding.told, one_line=True),
        advice=clean(finding.advice, one_line=True),
        fixes=tuple(clean(one, one_line=True) for one in finding.fixes),
    )


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
