"""Which device is meant, and which is the next best one when it is gone."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from voicecli.errors import AudioDeviceError

Kind = Literal["input", "output"]

KIND_NAMES: Final[dict[Kind, str]] = {"output": "speaker", "input": "microphone"}

SEE_DEVICES: Final = "`voicecli devices` lists what there is"

_NEVER_UNASKED: Final = re.compile(
    r"hw:|hdmi|displayport|spdif|iec958|monitor|loopback|surround|front|dmix|dsnoop|\bnull\b",
    re.IGNORECASE,
)
"""Devices that nobody may be listening to, that hear ourselves, or that a sound server which starts
again would find taken."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device as PortAudio lists it."""

    index: int
    name: str
    host_api: str
    input_channels: int
    output_channels: int
    default_rate_hz: int
    is_default_input: bool
    is_default_output: bool

    def channels(self, kind: Kind) -> int:
        """Channels in the direction asked for; 0 if the device cannot do that."""
        return self.input_channels if kind == "input" else self.output_channels

    def is_default(self, kind: Kind) -> bool:
        """Whether the system uses this device when nobody chose one."""
        return self.is_default_input if kind == "input" else self.is_default_output

    def is_same(self, other: "DeviceInfo") -> bool:
        """Whether it is the device of another list: indices change when the list does."""
        return (self.name, self.host_api) == (other.name, other.host_api)


def choose_device(devices: list[DeviceInfo], spec: int | str | None, kind: Kind) -> DeviceInfo:
    """The device of `devices` that a person means.

    Args:
        devices: all there are.
        spec: an index, a part of a name in any case, or None for the default. Of several that
            match, one whose whole name it is wins, then the only one of the default device's host
            API (Windows lists each device once per host API).
        kind: what it is to do.

    Raises:
        AudioDeviceError: no device fits, or several do; names the candidates.
    """
    usable = [device for device in devices if device.channels(kind) > 0]
    if not usable:
        option = "--mic" if kind == "input" else "--speaker"
        raise AudioDeviceError(
            f"this machine has no {kind} device",
            f"it works without one, on files and pipes: {option} FILE.wav, {option} - or "
            f"{option} none",
        )
    matching = _matching(usable, spec, kind)
    if len(matching) == 1:
        return matching[0]
    if not matching:
        wanted = "default device" if spec is None else f"device {spec!r}"
        raise AudioDeviceError(f"no {kind} {wanted} among {named(usable)}", SEE_DEVICES)
    raise AudioDeviceError(
        f"several {kind} devices match {spec!r}: {named(matching)}", "give more of the name"
    )


def candidates(
    devices: Iterable[DeviceInfo], wanted: DeviceInfo | None, kind: Kind
) -> list[DeviceInfo]:
    """What may stand in, the best first: the device wanted, the default, then others like it.

    Args:
        devices: all there are now.
        wanted: the one that the user named; None: whatever is the default.
        kind: what it is to do.
    """
    usable = [device for device in devices if device.channels(kind) > 0]
    best: list[DeviceInfo] = []
    for device in _by_preference(usable, wanted, kind):
        if device not in best:
            best.append(device)
    return best


def _by_preference(
    usable: list[DeviceInfo], wanted: DeviceInfo | None, kind: Kind
) -> Iterator[DeviceInfo]:
    if wanted is not None:
        yield from (device for device in usable if device.is_same(wanted))
    defaults = [device for device in usable if device.is_default(kind)]
    yield from defaults
    apis = {device.host_api for device in defaults} or {device.host_api for device in usable}
    yield from (
        device
        for device in usable
        if device.host_api in apis and not _NEVER_UNASKED.search(device.name)
    )


def named(devices: Iterable[DeviceInfo]) -> str:
    """Devices as an error names them."""
    return ", ".join(f"{device.index} {device.name!r}" for device in devices)


def _matching(usable: list[DeviceInfo], spec: int | str | None, kind: Kind) -> list[DeviceInfo]:
    if spec is None:
        return [device for device in usable if device.is_default(kind)]
    if isinstance(spec, int) or spec.isdecimal():
        return [device for device in usable if device.index == int(spec)]
    wanted = spec.casefold()
    matching = [device for device in usable if wanted in device.name.casefold()]
    for narrower in (
        [device for device in matching if device.name.casefold() == wanted],
        _of_default_host_api(matching, usable, kind),
    ):
        if len(narrower) == 1:
            return narrower
    return matching


def _of_default_host_api(
    matching: list[DeviceInfo], usable: list[DeviceInfo], kind: Kind
) -> list[DeviceInfo]:
    default_apis = {device.host_api for device in usable if device.is_default(kind)}
    return [device for device in matching if device.host_api in default_apis]
