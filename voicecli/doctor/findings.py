"""What a check found: one line, and under it what can be pasted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

State: TypeAlias = Literal["ok", "warning", "problem", "skipped"]
Area: TypeAlias = Literal["system", "audio", "server", "models"]

STATES: Final[tuple[State, ...]] = ("ok", "warning", "problem", "skipped")
AREAS: Final[tuple[Area, ...]] = ("system", "audio", "server", "models")

Facts: TypeAlias = Mapping[str, Any]
"Figures for programs; units end the names, and each is plain JSON."


@dataclass(frozen=True)
class Finding:
    """One check, done or not."""

    area: Area
    check: str
    "A word or two, the same in every run."
    state: State
    told: str
    "What was found, or why nothing was looked for; text from outside is not made harmless yet."
    advice: str = ""
    "What to do, in words."
    fixes: tuple[str, ...] = ()
    "What to paste, each a command of its own."
    facts: Facts = field(default_factory=dict)


def verdict(findings: Iterable[Finding]) -> State:
    """The worst of them; `ok` if there are none, and what was skipped does not count."""
    states = {one.state for one in findings}
    return "problem" if "problem" in states else "warning" if "warning" in states else "ok"


def exit_code(findings: Iterable[Finding]) -> int:
    """What a shell sees: 1 for a problem, 0 for anything less."""
    return int(verdict(findings) == "problem")


def document(findings: Iterable[Finding], version: str) -> dict[str, Any]:
    """All of them for a program; docs/json.md describes it."""
    done = list(findings)
    return {
        "voicecli": version,
        "verdict": verdict(done),
        "checks": [
            {
                "area": one.area,
                "check": one.check,
                "state": one.state,
                "told": one.told,
                "advice": one.advice,
                "fixes": list(one.fixes),
                "facts": dict(one.facts),
            }
            for one in done
        ],
    }
