"""Reads a demo script: the text of a TOML file, checked, made into steps.

The values that come of it are in `steps` and `clauses`. Pure: other files are given by whoever
calls, as is the check of the session's settings, whose keys are those of the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from voicecli.demo.clauses import Confirmed, WordErrors
from voicecli.demo.exchanges import acts_of, is_held_after, spoken_at_all, spoken_in
from voicecli.demo.expecting import expected_by
from voicecli.demo.settings import SettingsCheck, read_session
from voicecli.demo.steps import (
    Expect,
    Interrupt,
    Press,
    Release,
    Say,
    Script,
    Set,
    Step,
    UntilAnswered,
    Wait,
)
from voicecli.demo.tables import Node, parsed
from voicecli.demo.variables import Variables
from voicecli.demo.verbs import Files, World, read_voice, step_of
from voicecli.errors import ConfigError

_ROOT: Final = ("include", "demo", "session", "variables", "step", "expect")
_DEMO: Final = ("title", "description", "user_voice", "then")
_FILE_KEYS: Final = {"instructions": "@", "tools": ""}
"Settings that name a file, and what stands before its name."


class Library(Files, Protocol):
    """The files that scripts name, and the scripts themselves."""

    def read(self, path: str) -> str:
        """The text of a script.

        Raises:
            ConfigError: it cannot be read.
        """


@dataclass(frozen=True)
class Given:
    """What a script may use of the world."""

    library: Library
    check: SettingsCheck
    sets: Mapping[str, str] = field(default_factory=dict)
    "Variables from the command line."
    environ: Mapping[str, str] = field(default_factory=dict)
    voices: tuple[str, ...] = ()
    "Names of the local voices; empty: not known, any will do."
    needs_steps: bool = True
    "False: expectations alone are a script, too."


def read_script(text: str, source: str, given: Given) -> Script:
    """The script in a file, with all that it includes.

    Args:
        text: the contents, TOML.
        source: the file's name, for messages and as the place that relative names start from.
        given: the other files, the check of settings, and the variables.

    Raises:
        ConfigError: it is no TOML, or something in it is unknown, missing or wrong; names the
            file, the line, the key, and what is allowed.
    """
    return _Reading(given).script(_root(text, source))


def _root(text: str, source: str) -> Node:
    file = parsed(text, source)
    root = Node(file.root, (), file)
    for one in root.table(*_ROOT):
        if one.is_table and one.name != "step" and "include" in one:
            raise one["include"].wrong("stands above the first table", 'include = ["…"]')
    if "step" in root and not root["step"].is_list:
        raise root["step"].wrong("is one table, and steps are a list", "write [[step]]")
    return root


def _filled(root: Node, variables: Variables) -> Node:
    """All but the variables themselves, of which some may not be used."""
    used = {one.name: variables.filled(one).value for one in root if one.name != "variables"}
    return Node(used, (), root.file)


@dataclass(frozen=True)
class _Reading:
    """One script with its variables."""

    given: Given

    def script(self, root: Node) -> Script:
        roots = [*self._included(root, (root.file.source,)), root]
        variables = Variables(self.given.sets, self.given.environ)
        # What includes goes before what is included, and later before earlier.
        for one in reversed(roots):
            if "variables" in one:
                variables.declare(one["variables"])
        roots = [_filled(one, variables) for one in roots]
        session: dict[str, object] = {}
        for one in roots:
            session |= self._session(one)
        steps = tuple(self._steps(roots))
        at_end = tuple(self._at_end(roots))
        if self.given.needs_steps or not at_end:
            _check_not_empty(roots[-1], steps)
        _check(steps, session)
        _check_references(steps, at_end)
        _check_confirmed([*steps, *at_end], self.given.check)
        demo = self._demo(roots)
        return Script(
            source=root.file.source,
            session=session,
            steps=steps,
            at_end=at_end,
            variables=variables.names,
            **demo,
        )

    def _included(self, root: Node, within: tuple[str, ...]) -> Iterator[Node]:
        """The files that a file includes, each behind those that it includes itself."""
        if "include" not in root:
            return
        for name in root["include"].texts():
            path = self._path(name)
            if path in within:
                chain = " → ".join([*within[within.index(path) :], path])
                raise name.wrong(f"a script cannot include itself: {chain}")
            included = _root(self.given.library.read(path), path)
            yield from self._included(included, (*within, path))
            yield included

    def _path(self, name: Node) -> str:
        """The script that a text names."""
        path = self.given.library.beside(name.text(), name.file.source)
        if not self.given.library.exists(path):
            raise name.wrong(f"there is no file {name.value!r}", "it is looked for beside this one")
        return path

    def _demo(self, roots: Sequence[Node]) -> dict[str, str]:
        """What the script tells of itself; that of included ones is checked, and no more."""
        values: dict[str, str] = {}
        for root in roots:
            values = {}
            if "demo" in root:
                for one in root["demo"].table(*_DEMO):
                    values[one.name] = one.text()
                    if one.name == "then":
                        values["then"] = self._path(one)
                    elif one.name == "user_voice":
                        read_voice(one, self._world)
        return values

    def _session(self, root: Node) -> dict[str, object]:
        if "session" not in root:
            return {}
        values = read_session(root["session"], self.given.check)
        for key, mark in _FILE_KEYS.items():
            name = values.get(key)
            if isinstance(name, str) and name and name.startswith(mark):
                path = self.given.library.beside(name.removeprefix(mark), root.file.source)
                if not self.given.library.exists(path):
                    missing = root["session"][key]
                    raise missing.wrong(f"there is no file {name.removeprefix(mark)!r}")
                values[key] = f"{mark}{path}"
        return values

    def _steps(self, roots: Sequence[Node]) -> Iterator[Step]:
        for root in roots:
            if "step" in root:
                for node in root["step"]:
                    yield step_of(node, self._world)

    def _at_end(self, roots: Sequence[Node]) -> Iterator[Step]:
        for root in roots:
            if "expect" in root:
                node = root["expect"]
                yield Step(node.place, expected_by(node), "expect at the end")

    @property
    def _world(self) -> World:
        return World(self.given.library, self.given.check, self.given.voices)


# ------------------------------------------------------------------------ what must fit together


def _check_not_empty(root: Node, steps: Sequence[Step]) -> None:
    if not steps:
        raise ConfigError(
            f"{root.file.source}:1: the script has no steps", "each is a table [[step]]"
        )


def _check(steps: Sequence[Step], session: Mapping[str, object]) -> None:
    """See that the steps make sense one after the other."""
    mode = session.get("vad.mode")
    is_held = False
    for step, act in zip(steps, [None, *acts_of(steps)], strict=False):
        before = None if act is None else steps[act].verb
        is_stopped = isinstance(before, Interrupt) and before.act == Press("esc")
        problem = _problem(step, mode, is_held=is_held, is_first=act is None, is_stopped=is_stopped)
        if problem is not None:
            message, hint = problem
            raise ConfigError(f"{step.place}: {message}", hint)
        if isinstance(step.verb, Set):
            mode = step.verb.values.get("vad.mode", mode)
        is_held = is_held_after(step.verb, was_held=is_held)
    if is_held:
        last = next(step for step in reversed(steps) if step.verb == Press("space"))
        raise ConfigError(f"{last.place}: press: is never released", 'a step: release = "space"')


def _problem(
    step: Step, mode: object, *, is_held: bool, is_first: bool, is_stopped: bool
) -> tuple[str, str] | None:
    verb = step.verb
    acts = verb.act if isinstance(verb, Interrupt) else verb
    match verb:
        case Interrupt() if is_first:
            return "interrupt: nothing was said before that could be answered", "say something"
        case Wait(UntilAnswered()) if is_first:
            return "wait: nothing was said before that could be answered", "say something"
        case Wait(UntilAnswered()) if is_stopped:
            return "wait: the key that interrupts is not answered", _STOPPED
        case Release() if not is_held:
            return "release: nothing is pressed", 'a step before it: press = "space"'
    match acts:
        case Press("space") if is_held:
            return "press: it is held already", 'a step between them: release = "space"'
        case Press("space") if mode != "none":
            return "press: there is no push to talk in this session", _MANUAL
        case Say() if mode == "none" and not is_held:
            return "say: nobody hears it, for push to talk is not held", 'write press.say = "…"'
    return None


_STOPPED: Final = 'wait = "listening", or for a time: wait.seconds = 1'
_MANUAL: Final = 'turn it on: [session] vad.mode = "none"'


def _check_confirmed(steps: Sequence[Step], check: SettingsCheck) -> None:
    """See that what a server is to confirm can be confirmed."""
    for step in steps:
        placed = step.verb.placed(step.place) if isinstance(step.verb, Expect) else ()
        for clause, place in placed:
            problem = check(clause.key, clause.value) if isinstance(clause, Confirmed) else None
            if isinstance(clause, Confirmed) and problem is not None:
                message, hint = problem
                raise ConfigError(f"{place}: expect.session.{clause.key}: {message}", hint)


def _check_references(steps: Sequence[Step], at_end: Sequence[Step]) -> None:
    """See that word errors have something to be counted against."""
    acts = acts_of(steps)
    references = [spoken_in(steps, act) for act in acts]
    whole = spoken_at_all(steps)
    for step, reference in [
        *zip(steps, references, strict=True),
        *((one, whole) for one in at_end),
    ]:
        if not isinstance(step.verb, Expect):
            continue
        for clause, place in step.verb.placed(step.place):
            if isinstance(clause, WordErrors) and not clause.text and not reference:
                raise ConfigError(
                    f"{place}: expect.user.wer_at_most: the script does not tell what is said here",
                    "give it beside the wav or the recording, or beside wer_at_most: text = …",
                )
