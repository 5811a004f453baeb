"""What the name and the rates of a sound device tell about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from voicecli.audio.choosing import DeviceInfo, Kind

TELEPHONE_HZ: Final = 16_000

_BLUETOOTH: Final = re.compile(
    r"bluetooth|bluez|airpods|\bbuds\b|hands.?free|\bag audio\b|\bhfp\b|\bhsp\b|wh-\d|wf-\d"
    r"|quietcomfort|freebuds|jabra (elite|evolve)",
    re.IGNORECASE,
)
_TELEPHONE: Final = re.compile(
    r"hands.?free|headset.head.unit|\bag audio\b|\bhfp\b|\bhsp\b|\bsco\b", re.IGNORECASE
)
_SCREEN: Final = re.compile(
    r"hdmi|display.?port|display audio|\bmonitor\b(?! of)|\btv\b|nvidia high definition"
    r"|intel\(r\) display",
    re.IGNORECASE,
)
_OWN_SOUND: Final = re.compile(
    r"\.monitor\b|monitor of |stereo mix|loopback|blackhole|what u hear|vb-audio|soundflower",
    re.IGNORECASE,
)


def is_bluetooth(name: str) -> bool:
    """Whether this is a Bluetooth device, by its name."""
    return bool(_BLUETOOTH.search(name))


def is_telephone(name: str, rates_hz: Sequence[int] = ()) -> bool:
    """Whether a Bluetooth headset is in its telephone mode.

    Args:
        name: of the device.
        rates_hz: those it takes; empty if that is not known.
    """
    only_low = bool(rates_hz) and max(rates_hz) <= TELEPHONE_HZ
    return bool(_TELEPHONE.search(name)) or (only_low and is_bluetooth(name))


def is_screen(name: str) -> bool:
    """Whether this is the sound output of a screen, which often has no speaker."""
    return bool(_SCREEN.search(name)) and not is_own_sound(name)


def is_own_sound(name: str) -> bool:
    """Whether this input hears what the machine plays, and no microphone."""
    return bool(_OWN_SOUND.search(name))


def better(devices: Sequence[DeviceInfo], chosen: DeviceInfo, kind: Kind) -> DeviceInfo | None:
    """Another device of the same host API that has none of these faults."""
    for device in devices:
        is_other = not device.is_same(chosen) and device.host_api == chosen.host_api
        if not is_other or not device.channels(kind) or is_bluetooth(device.name):
            continue
        if not (is_screen(device.name) or is_own_sound(device.name)):
            return device
    return None
