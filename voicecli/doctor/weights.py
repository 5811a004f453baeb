"""The embedded engine's models, as findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from voicecli.doctor.findings import Finding

_OVERHEAD: Final = 1.25
"What a model takes in memory beside its weights."
_SLOW_LOAD_S: Final = 10.0
_SLOW_AUDIO_S: Final = 2.0


@dataclass(frozen=True)
class Weights:
    """One model."""

    name: str
    purpose: str
    bytes: int
    state: str
    "`present`, `missing`, `partial`, `unchecked` or `damaged`."


def judged_weights(
    models: Sequence[Weights], needed: Sequence[str], memory: int | None, *, is_used: bool
) -> list[Finding]:
    """What is here, what is missing, and whether it fits.

    Args:
        models: all that are known.
        needed: names of those that a talk with the engine loads.
        memory: bytes that are free; None if not known.
        is_used: the engine is what a talk would go to.
    """
    facts = {one.name: {"state": one.state, "bytes": one.bytes} for one in models}
    here = [one for one in models if one.state == "present"]
    told = ", ".join(f"{one.name} {one.bytes / 1e6:,.0f} MB" for one in here) or "none is here"
    broken = [one for one in models if one.state in ("damaged", "partial", "unchecked")]
    missing = [one for one in models if one.name in needed and one.state == "missing"]
    found = []
    if missing and is_used:
        size = sum(one.bytes for one in missing) / 1e6
        names = " ".join(one.name for one in missing)
        told += f"; missing: {names} ({size:,.0f} MB)"
        advice = "it is fetched when a talk begins, or now"
        fixes = (f"voicecli models pull {names}",)
        found.append(Finding("models", "weights", "warning", told, advice, fixes, facts))
    else:
        found.append(Finding("models", "weights", "ok", told, facts=facts))
    found += [_broken(one) for one in broken]
    if is_used and memory is not None:
        found.append(_memory([one for one in models if one.name in needed], memory))
    return found


def _broken(one: Weights) -> Finding:
    what = "verify" if one.state == "unchecked" else "pull"
    told = f"{one.name} is {one.state}"
    fixes = (f"voicecli models {what} {one.name}",)
    return Finding("models", "weights", "warning", told, "", fixes, {"name": one.name})


def _memory(needed: Sequence[Weights], memory: int) -> Finding:
    wanted = sum(one.bytes for one in needed) * _OVERHEAD
    told = f"about {wanted / 1e9:.1f} GB needed, {memory / 1e9:.1f} GB free"
    facts = {"needed_bytes": round(wanted), "free_bytes": memory}
    if wanted > memory:
        advice = "a smaller mind fits, or one on another machine"
        fixes = ("voicecli talk --mind rules", "voicecli talk --mind small")
        return Finding("models", "memory", "problem", told, advice, fixes, facts)
    return Finding("models", "memory", "ok", told, facts=facts)


def judged_engine(load_s: float, audio_s: float | None, mind: str) -> Finding:
    """What to say of an engine that was started and asked something."""
    facts = {
        "mind": mind,
        "load_s": round(load_s, 2),
        "first_audio_s": None if audio_s is None else round(audio_s, 2),
    }
    if audio_s is None:
        told = f"started in {load_s:.1f} s, and then gave no voice"
        return Finding("models", "engine", "problem", told, "voicecli models verify", (), facts)
    told = f"answers {load_s:.1f} s after its start; then within {audio_s * 1000:.0f} ms"
    if mind == "rules":
        told += " (mind: rules; --deep takes yours)"
    if load_s > _SLOW_LOAD_S or audio_s > _SLOW_AUDIO_S:
        is_least = mind == "rules"
        advice = "this machine is slow for it"
        advice += ", or busy" if is_least else ": a smaller mind answers sooner"
        fixes = () if is_least else ("voicecli talk --mind rules",)
        return Finding("models", "engine", "warning", told, advice, fixes, facts)
    return Finding("models", "engine", "ok", told, facts=facts)
