"""Scripts of a demo, from their names to plays: read and decided before anything opens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicecli.errors import ConfigError

if TYPE_CHECKING:
    from voicecli.cli.performing import Piece, Play
    from voicecli.cli.wiring import Plan
    from voicecli.config import Config, Local
    from voicecli.demo.steps import Script
    from voicecli.protocol.objects import JsonDict
    from voicecli.protocol.settings import SessionSettings
    from voicecli.session import Toolbox


@dataclass(frozen=True)
class Wanted:
    """What the command line says of the sessions."""

    flags: Mapping[str, object]
    "By key of the configuration; None: not given."
    sets: Mapping[str, str]
    config: Path | None = None
    profile: str | None = None


def plays_of(names: Sequence[str], wanted: Wanted, *, as_json: bool) -> list[Play]:
    """Read the scripts and make ready what each needs: functions, models, all that is said.

    Raises:
        VoicecliError: something about a script or its session is wrong or missing.
    """
    from voicecli.cli.performing import Piece, Play
    from voicecli.cli.speaking import prepare
    from voicecli.demo.variables import check_sets

    chains = [read(name, wanted.sets) for name in names]
    check_sets(wanted.sets, [script.variables for chain in chains for script in chain])
    planner = _Planner(wanted, as_json=as_json)
    plans = [[planner.plan(script) for script in chain] for chain in chains]
    scripts = [script for chain in chains for script in chain]
    voices = [plan.config.voice for chain in plans for plan in chain]
    sounds = iter(prepare(scripts, voices))
    plays = []
    for name, chain, chain_plans in zip(names, chains, plans, strict=True):
        pieces: list[Piece] = []
        for script, plan in zip(chain, chain_plans, strict=True):
            changes = planner.changes(script, plan)
            pieces.append(Piece(script, plan, next(sounds), changes))
        plays.append(Play(Path(name).stem, tuple(pieces)))
    return plays


def read(name: str, sets: Mapping[str, str]) -> list[Script]:
    """The script of a name or a path, and those that follow it.

    Raises:
        ConfigError: there is none, or something in it is wrong.
    """
    from voicecli.cli.speaking import local_voices
    from voicecli.config import problem_with
    from voicecli.demo.load import load

    return load(file_of(name), check=problem_with, sets=sets, voices=local_voices())


def file_of(name: str) -> Path:
    """The file that a name means: a path, or a script that comes with the program.

    Raises:
        ConfigError: there is none.
    """
    from voicecli.demo.builtin import SECONDS, path_of

    path = Path(name).expanduser()
    built_in = path_of(name)
    if built_in is not None and not path.is_file():
        return built_in
    if path.exists() or path.suffix == ".toml" or path.name != name:
        return path
    import difflib

    near = difflib.get_close_matches(name, SECONDS, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"there is no script {name!r}",
        f"{meant}`voicecli demo --list` names those that come with it; others are files",
    )


class _Planner:
    """Decides sessions; models and functions are made ready once for all that share them."""

    def __init__(self, wanted: Wanted, *, as_json: bool) -> None:
        self._wanted = wanted
        self._as_json = as_json
        self._locals: dict[Local, Local] = {}
        self._tools: dict[str, Any] = {}

    def plan(self, script: Script) -> Plan:
        """The session of a script.

        Raises:
            VoicecliError: it cannot be held.
        """
        from voicecli import config as configuration
        from voicecli.cli.edges import check_files
        from voicecli.cli.wiring import Plan
        from voicecli.connection import url_with_model

        config = self._config(script, {})
        check_files(config.audio)
        with self._told_of(script, "server"):
            target = configuration.destination(config)
        # A missing key and a wrong URL show now, before a device is opened.
        target.headers(os.environ)
        local = None
        if target.name == "local":
            with self._told_of(script, "local.mind"):
                local = self._prepared(config.local)
        else:
            url_with_model(target.url, target.model)
        offered = self._functions(config.tools)
        settings = configuration.session_settings(
            config, is_local=local is not None, tools=offered.schemas
        )
        toolbox: Toolbox = offered
        return Plan(config, target, local, toolbox, settings, self._as_json)

    def changes(
        self, script: Script, plan: Plan
    ) -> Callable[[], Callable[[Mapping[str, object]], JsonDict]]:
        """Makes, afresh for each talk, what a `set` changes of the session."""
        from voicecli import config as configuration

        def settings_with(values: Mapping[str, object]) -> SessionSettings:
            config = self._config(script, values)
            made = configuration.session_settings(config, is_local=plan.local is not None)
            return replace(made, tools=plan.settings.tools)

        def afresh() -> Callable[[Mapping[str, object]], JsonDict]:
            values: dict[str, object] = {}

            def change(more: Mapping[str, object]) -> JsonDict:
                before = settings_with(values).to_wire()
                values.update(more)
                return _difference(before, settings_with(values).to_wire())

            return change

        return afresh

    def _config(self, script: Script, changed: Mapping[str, object]) -> Config:
        from voicecli import config as configuration
        from voicecli.demo.builtin import shown

        flags = {key: value for key, value in self._wanted.flags.items() if key not in changed}
        return configuration.load(
            flags,
            path=self._wanted.config,
            profile=self._wanted.profile,
            script=(shown(script.source), {**script.session, **changed}),
        ).config

    @contextmanager
    def _told_of(self, script: Script, key: str) -> Iterator[None]:
        """What is wrong with a setting of the script names the script."""
        try:
            yield
        except ConfigError as exc:
            value = script.session.get(key)
            if value is not None and repr(value) in exc.message and not self._wanted.flags.get(key):
                exc.message = f"{script.source}: session.{key}: {exc.message}"
            raise

    def _prepared(self, local: Local) -> Local:
        from voicecli.cli.local import prepare_models

        if local not in self._locals:
            self._locals[local] = prepare_models(local)
        return self._locals[local]

    def _functions(self, file: str) -> Any:
        from contextlib import redirect_stdout
        from sys import stderr

        from voicecli.tools import functions

        if file not in self._tools:
            with redirect_stdout(stderr):
                loaded = functions.load(Path(file).expanduser()) if file else functions.Functions()
            self._tools[file] = loaded
        return self._tools[file]


def _difference(before: JsonDict, after: JsonDict) -> JsonDict:
    """What of one `session` object is other than in another: whole settings, not parts of them."""
    changes: JsonDict = {}
    for key, value in after.items():
        if value == before.get(key):
            continue
        if key == "audio":
            sides = {side: _difference(before[key][side], value[side]) for side in value}
            changes[key] = {side: one for side, one in sides.items() if one}
        else:
            changes[key] = value
    return changes
