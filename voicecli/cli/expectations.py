"""What is expected of a recording that is run again: the expectations of a demo script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from voicecli.errors import ConfigError

if TYPE_CHECKING:
    from voicecli.cues import Cue
    from voicecli.demo.steps import Script
    from voicecli.demo.witness import Witness
    from voicecli.director import Played

FILE: Final = "expect.toml"
"In a recording's folder: what is expected of it, when nothing else is said."


def expected_of(recording: Path, named: Script | None) -> Script | None:
    """The script whose expectations count for a recording; None: there is none.

    Raises:
        ConfigError: something is wrong with the script in its folder.
    """
    own = recording / FILE
    return named or (load_expectations(own) if own.is_file() else None)


def load_expectations(path: Path) -> Script:
    """The script in a file.

    Raises:
        ConfigError: it cannot be read, something in it is wrong, or it expects nothing.
    """
    from voicecli.config import problem_with
    from voicecli.demo.load import load
    from voicecli.demo.steps import Expect

    scripts = load(path, check=problem_with, needs_steps=False)
    if len(scripts) > 1:
        raise ConfigError(
            f"{path}: scripts that follow each other cannot be expected of one recording",
            "leave out `then`",
        )
    (script,) = scripts
    if not any(isinstance(step.verb, Expect) for step in (*script.steps, *script.at_end)):
        raise ConfigError(
            f"{path}: there is no expectation in it",
            "write an [expect] table, or begin with: voicecli demo --from RECORDING",
        )
    return script


def unmet(
    script: Script, witness: Witness, played: Sequence[Played], *, is_fast: bool
) -> list[str]:
    """What was expected and did not come, a sentence each.

    The acts of the script are the user's turns, in order, as in a script made from the recording.
    """
    from voicecli.demo.exchanges import acts_of
    from voicecli.demo.expect import judge
    from voicecli.demo.witness import Acted

    steps = [place for place, act in enumerate(acts_of(script.steps)) if act == place]
    turns = [one for one in played if _is_turn(one.cue)]
    acted = [
        Acted(step, one.began_at, one.ended_at) for step, one in zip(steps, turns, strict=False)
    ]
    facts = witness.facts(script, acted, is_real_time=not is_fast)
    return [
        f"expected that {one.wanted}: {one.came}"
        for one in judge(script, facts)
        if not (one.passed or one.is_skipped)
    ]


def _is_turn(cue: Cue) -> bool:
    from voicecli.cues import Do, Say
    from voicecli.inputs import InterruptPressed, TextTyped

    if isinstance(cue.act, Do):
        return isinstance(cue.act.an_input, TextTyped | InterruptPressed)
    return isinstance(cue.act, Say)
