"""What was found of the sound devices, as findings."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from voicecli.audio.choosing import KIND_NAMES, DeviceInfo, Kind
from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.doctor.findings import Finding
from voicecli.doctor.naming import better, is_bluetooth, is_own_sound, is_screen, is_telephone
from voicecli.doctor.platforms import WSL_SOUND, install_portaudio, restart_sound

WITHOUT_DEVICES: Final = (
    "voicecli talk --mic question.wav --speaker answer.wav",
    "voicecli demo",
)
OPTIONS: Final[dict[Kind, str]] = {"input": "--mic", "output": "--speaker"}
_LATE_MS: Final = 100.0


@dataclass(frozen=True)
class Run:
    """How a device ran for a moment."""

    rate_hz: int
    accepted_hz: tuple[int, ...]
    latency_ms: float
    "As the device reports it."
    block_ms: float
    blocks: int
    median_ms: float
    "Between two callbacks."
    worst_ms: float
    troubles: int
    "Overflows or underflows that the device told of."
    has_stopped: bool = False
    "It went away, or froze, in the middle."


@dataclass(frozen=True)
class ServerDefaults:
    """What a sound server says of itself; names are empty where it says nothing."""

    sink: str = ""
    source: str = ""
    sink_is_muted: bool = False
    source_is_muted: bool = False

    def name(self, kind: Kind) -> str:
        """Of the default device of a kind."""
        return self.source if kind == "input" else self.sink


def no_library(message: str, platform: str) -> Finding:
    """PortAudio is not there."""
    advice = "until then files, pipes and demos work, and need no sound library"
    fixes = (*install_portaudio(platform), *WITHOUT_DEVICES)
    return Finding("audio", "sound library", "problem", message, advice, fixes)


def crashing_library(signal: str) -> Finding:
    """PortAudio ends the process that loads it, so nothing with sound can be started."""
    told = f"PortAudio ends the whole program ({signal}): the configuration of ALSA is broken"
    advice = "look at what these name and hold; files, pipes and demos work all the same"
    fixes = ("env | grep ALSA; ls -l /usr/share/alsa/alsa.conf /etc/asound.conf ~/.asoundrc",)
    facts = {"signal": signal}
    return Finding(
        "audio", "sound library", "problem", told, advice, (*fixes, *WITHOUT_DEVICES), facts
    )


def no_devices(*, is_wsl: bool) -> Finding:
    """The sound library works and lists nothing."""
    told = "there is no sound device on this machine"
    advice = "files, pipes (- is PCM16 at 24 kHz) and demos work without one"
    fixes = (WSL_SOUND, *WITHOUT_DEVICES) if is_wsl else WITHOUT_DEVICES
    return Finding("audio", "devices", "problem", told, advice, fixes, {"count": 0})


def no_answer(check: str, limit_s: float, platform: str) -> Finding:
    """The sound server hangs."""
    told = f"the sound server does not answer within {limit_s:g} s"
    return Finding(
        "audio", check, "problem", told, "start it anew; files, pipes and demos go without",
        (*restart_sound(platform)[:1], *WITHOUT_DEVICES),
    )  # fmt: skip


def judged_device(
    device: DeviceInfo, kind: Kind, run: Run | None, devices: Sequence[DeviceInfo]
) -> Finding:
    """What to say of a device that was opened.

    Args:
        device: the one.
        kind: what it was opened for.
        run: how it ran; None if it opened and then gave no sign.
        devices: all there are, to name a better one.
    """
    name = KIND_NAMES[kind]
    shown = f"{device.name!r} ({device.host_api})"
    if run is None or not run.blocks:
        told = f"{shown} opens and then does nothing"
        advice = "its sound server hangs, or another program holds it"
        return Finding("audio", name, "problem", told, advice, ("voicecli devices",))
    if run.has_stopped:
        told = f"{shown} runs for a moment and then stops"
        advice = "it went away, or its sound server hangs"
        return Finding("audio", name, "problem", told, advice, ("voicecli devices",))
    facts = {
        "name": device.name, "host_api": device.host_api, "index": device.index,
        "default_rate_hz": device.default_rate_hz, "rate_hz": run.rate_hz,
        "accepted_hz": list(run.accepted_hz), "latency_ms": round(run.latency_ms, 1),
        "block_ms": round(run.block_ms, 2), "callback_median_ms": round(run.median_ms, 2),
        "callback_worst_ms": round(run.worst_ms, 2), "troubles": run.troubles,
    }  # fmt: skip
    told = f"{shown} at {_rate(device, run)}; latency {run.latency_ms:.0f} ms reported, "
    told += f"a block of {run.block_ms:.0f} ms every {run.median_ms:.1f} (worst {run.worst_ms:.0f})"
    faulty = judged_name(device.name, kind, run.accepted_hz, better(devices, device, kind))
    if faulty is not None:
        fault, advice, fixes = faulty
        return Finding("audio", name, "warning", f"{fault}; {told}", advice, fixes, facts)
    if run.troubles or run.worst_ms > run.block_ms + _LATE_MS:
        advice = "the machine was busy: sound may have gaps"
        return Finding("audio", name, "warning", told, advice, facts=facts)
    return Finding("audio", name, "ok", told, facts=facts)


def _rate(device: DeviceInfo, run: Run) -> str:
    if run.rate_hz == WIRE_RATE_HZ:
        is_own = device.default_rate_hz == WIRE_RATE_HZ
        return "24 kHz" if is_own else f"24 kHz (its own: {device.default_rate_hz / 1000:g})"
    return f"{run.rate_hz / 1000:g} kHz, converted: it refuses 24 kHz"


def judged_name(
    name: str, kind: Kind, rates_hz: Sequence[int], other: DeviceInfo | None
) -> tuple[str, str, tuple[str, ...]] | None:
    """A fault that the name of a device tells of, with advice and what to paste, or None.

    Args:
        name: as the system or its sound server calls the device.
        kind: what it is for.
        rates_hz: those it takes; empty if not known.
        other: a device to propose instead.
    """
    instead = () if other is None else (f"voicecli talk {OPTIONS[kind]} {_quoted(other.name)}",)
    if is_telephone(name, rates_hz):
        advice = "as soon as its microphone is in use it sounds like a telephone, both ways: take "
        return "a Bluetooth headset in telephone mode", f"{advice}another microphone", instead
    if kind == "input" and is_own_sound(name):
        told = "hears what this machine plays, and no microphone"
        return told, "choose a microphone", (*instead, "voicecli devices")
    if kind == "output" and is_screen(name):
        told = "a screen is the speaker, which often has none"
        return told, "if you hear nothing, choose another", (*instead, "voicecli devices")
    if kind == "input" and is_bluetooth(name):
        advice = "Bluetooth adds 100 to 300 ms, and its microphone lowers the quality both ways"
        return "a Bluetooth microphone", advice, instead
    return None


def judged_defaults(defaults: ServerDefaults, uses: Sequence[Kind]) -> list[Finding]:
    """What a sound server says of its defaults, where the talk uses them: faults only."""
    found = []
    for kind in uses:
        name = defaults.name(kind)
        faulty = judged_name(name, kind, (), None) if name else None
        if faulty is not None:
            told, advice, _ = faulty
            noun = "source" if kind == "input" else "sink"
            check = f"default {KIND_NAMES[kind]}"
            fixes = (f"pactl list short {noun}s", f"pactl set-default-{noun} NAME")
            found.append(Finding("audio", check, "warning", f"{name!r}: {told}", advice, fixes))
    if "output" in uses and defaults.sink_is_muted:
        unmute = ("pactl set-sink-mute @DEFAULT_SINK@ 0",)
        found.append(Finding("audio", "mute", "problem", "the speaker is muted", "", unmute))
    if "input" in uses and defaults.source_is_muted:
        unmute = ("pactl set-source-mute @DEFAULT_SOURCE@ 0",)
        found.append(Finding("audio", "mute", "problem", "the microphone is muted", "", unmute))
    return found


def _quoted(name: str) -> str:
    printable = "".join(one for one in name if one.isprintable())
    return shlex.quote(printable)
