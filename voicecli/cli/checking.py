"""`voicecli replay --check`: do recordings still come out as they were."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from voicecli.cli.library import Watched, reading_bar
from voicecli.cli.replaying import warn
from voicecli.errors import RecordingError
from voicecli.recording.check import Check, Difference
from voicecli.recording.files import Recording
from voicecli.recording.fold import Source

LONG_S: Final = 300.0
"From this length on a bar shows how far it is."

_WIDTH: Final = 100


@dataclass
class Result:
    """What came of one recording."""

    name: str
    path: Path
    inputs: int = 0
    actions: int = 0
    differences: int = 0
    first: Difference | None = None
    error: RecordingError | None = None

    @property
    def is_good(self) -> bool:
        return not (self.differences or self.error)


def check_all(paths: Sequence[Path], *, as_json: bool) -> int:
    """Check recordings one after the other, print what came of each; gives the exit code.

    Raises:
        RecordingError: the only one cannot be read.
    """
    results: list[Result] = []
    for path in paths:
        result = _checked(path)
        if result.error is not None and len(paths) == 1:
            raise result.error
        results.append(result)
        if not as_json:
            _print(result, is_named=len(paths) > 1)
    bad = sum(not result.is_good for result in results)
    if as_json:
        told = {
            "recordings": [_plain(result) for result in results],
            "checked": len(results),
            "different": bad,
        }
        typer.echo(json.dumps(told, indent=2))
    elif len(results) > 1:
        told_bad = "none differs" if bad == 0 else f"{bad} differ{'s' if bad == 1 else ''}"
        _say(f"{len(results)} recordings: {told_bad}")
    return 1 if bad else 0


def _checked(path: Path) -> Result:
    result = Result(path.name, path)
    try:
        with Recording.open(path) as recording:
            result.name = recording.name
            with _watched(recording) as source:
                check = Check(source)
                for difference in check.differences():
                    result.differences += 1
                    result.first = result.first or difference
            result.inputs, result.actions = check.checked.inputs, check.checked.actions
            for warning in recording.warnings:
                warn(f"{recording.name}: {warning}")
    except RecordingError as exc:
        result.error = exc
    return result


@contextmanager
def _watched(recording: Recording) -> Iterator[Source]:
    """The recording; a bar on stderr while a long one is read."""
    if recording.duration_s < LONG_S or not sys.stderr.isatty():
        yield recording
        return
    with reading_bar(recording.name, recording.duration_s) as show:
        yield Watched(recording, show)


# ------------------------------------------------------------------------------------ what is told


def _print(result: Result, *, is_named: bool) -> None:
    name = f"{result.name}: " if is_named else ""
    first = result.first
    if result.error is not None:
        _say(f"{name}{result.error.message}")
    elif first is None:
        _say(f"{name}no difference: {result.inputs} inputs, {result.actions} actions")
    else:
        _say(f"{name}{_count(result.differences)}, the first at {first.at:.3f} s")
        was, now = readable_pair(first.recorded, first.computed)
        for what, text in (("after", readable(first.cause)), ("was", was), ("is", now)):
            _say(f"  {what:<6}{text}")
        if result.differences > 1:
            _say("  the others may follow from it")


def _plain(result: Result) -> dict[str, Any]:
    first = result.first
    return {
        "name": result.name,
        "path": str(result.path),
        "error": None if result.error is None else result.error.message,
        "inputs": result.inputs,
        "actions": result.actions,
        "differences": result.differences,
        "first": None
        if first is None
        else {"at": first.at, "after": first.cause, "was": first.recorded, "is": first.computed},
    }


def readable(line: str | None) -> str:
    """A line of a recording for a person: what it is, then its values, on one short line."""
    code, values = _parts(line)
    return _short(" ".join([code, *values]))


def readable_pair(was: str | None, now: str | None) -> tuple[str, str]:
    """Two lines for a person; of two of the same kind only what is not the same."""
    one, other = _parts(was), _parts(now)
    if one[0] == other[0] and len(one[1]) == len(other[1]):
        differing = [
            (left, right) for left, right in zip(one[1], other[1], strict=True) if left != right
        ]
        if differing:
            left, right = zip(*differing, strict=True)
            return _short(" ".join([one[0], *left])), _short(" ".join([other[0], *right]))
    return readable(was), readable(now)


def _parts(line: str | None) -> tuple[str, list[str]]:
    """What a line is, and its values as words."""
    if line is None:
        return "nothing", []
    try:
        _, code, *values = json.loads(line)
    except (ValueError, TypeError):
        return line, []
    words: list[str] = []
    name = str(code)
    for value in values:
        if isinstance(value, dict):
            name += f" {value['type']}" if "type" in value else ""
            fields = {key: one for key, one in value.items() if key not in ("type", "at_ms")}
            words += [f"{key}={json.dumps(one, ensure_ascii=False)}" for key, one in fields.items()]
        else:
            words.append(json.dumps(value, ensure_ascii=False))
    return name, words


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _count(differences: int) -> str:
    return f"{differences} difference{'' if differences == 1 else 's'}"


def _say(text: str) -> None:
    from voicecli.ui.clean import clean

    typer.echo(clean(text, one_line=True))
