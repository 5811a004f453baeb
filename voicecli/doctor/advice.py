"""What a loop from speaker to microphone means for a talk."""

from __future__ import annotations

from typing import Final

from voicecli.doctor.chirp import Loop
from voicecli.doctor.findings import Facts, Finding

LONGEST_CANCELLED_MS: Final = 350
"Echo that comes later than this is not cancelled (docs/audio.md)."
_NO_ECHO_DB: Final = -50.0
"So soft an echo is below what counts as a voice, even while the answer is loud."
_LOUD_DB: Final = 0.0
_SLOW_MS: Final = 250.0
_SPREAD_MS: Final = 3.0


def judged_loop(loop: Loop, handed_over_ms: float, *, gaps: int = 0) -> Finding:
    """What was measured.

    Args:
        loop: as it was analysed.
        handed_over_ms: from handing a sound over until its first sample left the speaker.
        gaps: how often the sound was interrupted, or a part of what was heard was lost.
    """
    facts: dict[str, object] = {"noise_dbfs": round(loop.noise_dbfs, 1), "gaps": gaps}
    echo = loop.echo
    if echo is None:
        told = f"the sound was not heard: less than {loop.least_db:.0f} dB of it comes back"
        facts |= {"echo_delay_ms": None, "round_trip_ms": None, "coupling_db": None}
        return Finding(
            "audio", "echo", "ok", told, facts=facts | {"least_db": round(loop.least_db)}
        )
    whole = echo.delay_ms + handed_over_ms
    facts |= {
        "echo_delay_ms": round(echo.delay_ms, 1),
        "round_trip_ms": round(whole, 1),
        "coupling_db": round(echo.coupling_db, 1),
        "spread_ms": round(echo.spread_ms, 2),
        "found": echo.found,
    }
    told = (
        f"round trip {whole:.0f} ms, {echo.delay_ms:.0f} of them after leaving the speaker; "
        f"{echo.coupling_db:+.0f} dB come back; noise {loop.noise_dbfs:.0f} dBFS"
    )
    if gaps or echo.spread_ms > _SPREAD_MS:
        return Finding("audio", "echo", "warning", f"{told}; not steady", _BUSY, facts=facts)
    if whole > _SLOW_MS:
        advice = "Bluetooth and TVs add such delays; a cable does not"
        return Finding("audio", "echo", "warning", told, advice, facts=facts)
    return Finding("audio", "echo", "ok", told, facts=facts)


_BUSY: Final = "the machine or its sound server was too busy; the figures may be off: run it again"


def recommended(loop: Loop, *, can_cancel: bool) -> Finding:
    """How to talk on these devices, as a flag to paste.

    Args:
        loop: as it was analysed.
        can_cancel: echo cancellation is installed.
    """
    echo = loop.echo
    if echo is None or echo.coupling_db < _NO_ECHO_DB:
        told = "no echo to speak of, as with a headset: interrupt as you like"
        return _talk("ok", told, "off")
    if echo.delay_ms > LONGEST_CANCELLED_MS:
        told = f"half-duplex: an echo after {echo.delay_ms:.0f} ms is too late to be cancelled"
        advice = "you are not heard while it speaks; Esc interrupts, and a cable would help"
        return _talk("warning", told, "half-duplex", advice)
    if not can_cancel:
        told = "half-duplex: there is an echo, and what would cancel it is not installed"
        advice = "you are not heard while it speaks; install it, and you can interrupt"
        found = _talk("warning", told, "half-duplex", advice)
        return _with_fixes(found, ('pip install "voicecli[aec]"', *found.fixes))
    if echo.coupling_db > _LOUD_DB:
        told = "echo cancellation, with the speaker turned down: the echo is louder than a voice"
        advice = "or push to talk, where nothing can go wrong"
        found = _talk("warning", told, "aec", advice)
        return _with_fixes(found, (*found.fixes, "voicecli talk --vad none"))
    return _talk("ok", "echo cancellation: interrupt as you like", "aec")


def _talk(state: str, told: str, mode: str, advice: str = "") -> Finding:
    facts: Facts = {"echo": mode}
    fixes = (f"voicecli talk --echo {mode}",)
    is_fine = state == "ok"
    return Finding("audio", "advice", "ok" if is_fine else "warning", told, advice, fixes, facts)


def _with_fixes(finding: Finding, fixes: tuple[str, ...]) -> Finding:
    from dataclasses import replace

    return replace(finding, fixes=fixes)
