"""The examination of the sound: which checks, in which order, and what each may take."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from voicecli.errors import AudioDeviceError, VoicecliError

if TYPE_CHECKING:
    from voicecli.audio.choosing import DeviceInfo, Kind
    from voicecli.audio.devices import AudioDevices
    from voicecli.audio.probing import Probe
    from voicecli.config import Config
    from voicecli.doctor.devices import Run
    from voicecli.doctor.findings import Finding
    from voicecli.doctor.limits import Patience
    from voicecli.doctor.loop import Caught

_LIST_LIMIT_S: Final = 4.0
_PROBE_LIMIT_S: Final = 4.0
"Beyond the time for which a device is run."
_SERVER_LIMIT_S: Final = 3.0
_SPEAKER_S: Final = 0.4
_METER_S: Final = 2.0
_OWN_RATE_S: Final = 0.4
_BEFORE_S: Final = 0.4
_LOOP_LIMIT_S: Final = 8.0
_REDRAW_S: Final = 0.08
_START_S: Final = 0.1
_GRACE_S: Final = 1.0
"For a process to be ended that took too long."


class Working(Protocol):
    """Shows what is being done."""

    def working(self, doing: str, level_dbfs: float | None = None) -> None: ...


class Sound:
    """Looks at the devices that a talk would use, one after the other.

    Args:
        screen: shows what is being done.
        tell: gets each finding.
        patience: for all that may hang.
        plays: a sound may be played.
        asks: somebody sees that he is asked to speak.
    """

    def __init__(
        self,
        screen: Working,
        tell: Callable[[Finding], None],
        patience: Patience,
        *,
        plays: bool,
        asks: bool,
    ) -> None:
        self._screen = screen
        self._tell_one = tell
        self._patience = patience
        self._plays = plays
        self._asks = asks

    def _tell(self, *findings: Finding) -> None:
        for one in findings:
            self._tell_one(one)

    async def examine(self, config: Config) -> None:
        """All of it."""
        from voicecli.cli.edges import check_cleaning, check_files, is_device
        from voicecli.doctor.findings import Finding

        self._try("files", lambda: check_files(config.audio))
        self._try("cleaning", lambda: check_cleaning(config.audio))
        specs: dict[Kind, str] = {"input": config.audio.mic, "output": config.audio.speaker}
        used = {kind: spec for kind, spec in specs.items() if is_device(spec)}
        if not used:
            told = "neither microphone nor speaker is a device: nothing to examine"
            self._tell(Finding("audio", "devices", "skipped", told))
            return
        devices = await self._devices()
        if not devices:
            return
        chosen = self._chosen(devices, used)
        await self._behind(chosen)
        ran: dict[Kind, bool] = {}
        if "output" in chosen:
            ran["output"] = await self._speaker(chosen["output"], devices)
        if "input" in chosen:
            ran["input"] = await self._microphone(chosen["input"], devices)
        await self._loop(chosen, ran)

    def _try(self, check: str, call: Callable[[], None]) -> None:
        """What a talk tries before it begins; told only if it fails."""
        from voicecli.doctor.findings import Finding

        try:
            call()
        except VoicecliError as exc:
            self._tell(Finding("audio", check, "problem", exc.message, exc.hint))

    async def _devices(self) -> list[DeviceInfo]:
        """All there are; what is wrong when there are none is told."""
        from voicecli.audio.devices import list_devices
        from voicecli.audio.probing import crash_of_library, library_version
        from voicecli.doctor import devices as judging
        from voicecli.doctor.findings import Finding
        from voicecli.doctor.machine import is_wsl

        self._screen.working("looking for sound devices")
        try:
            crash = await self._patience.run(
                lambda: crash_of_library(_LIST_LIMIT_S), _LIST_LIMIT_S + _GRACE_S
            )
            if crash:
                self._tell(judging.crashing_library(crash))
                return []
            version = await self._patience.run(library_version, _LIST_LIMIT_S)
            found = await self._patience.run(list_devices, _LIST_LIMIT_S)
        except AudioDeviceError as exc:
            self._tell(judging.no_library(exc.message, sys.platform))
            return []
        except TimeoutError:
            self._tell(judging.no_answer("sound server", _LIST_LIMIT_S, sys.platform))
            return []
        facts = {"version": version, "devices": len(found)}
        self._tell(Finding("audio", "sound library", "ok", version, facts=facts))
        if not found:
            self._tell(judging.no_devices(is_wsl=is_wsl()))
        return found

    def _chosen(
        self, devices: list[DeviceInfo], used: Mapping[Kind, str]
    ) -> dict[Kind, DeviceInfo]:
        from voicecli.audio.choosing import KIND_NAMES, choose_device
        from voicecli.doctor.findings import Finding

        chosen: dict[Kind, DeviceInfo] = {}
        for kind, spec in used.items():
            try:
                chosen[kind] = choose_device(devices, _name(spec), kind)
            except AudioDeviceError as exc:
                fixes = ("voicecli devices",)
                check = KIND_NAMES[kind]
                told = Finding("audio", check, "problem", exc.message, exc.hint, fixes)
                self._tell(told)
        return chosen

    async def _behind(self, chosen: Mapping[Kind, DeviceInfo]) -> None:
        """What the sound server says of its defaults, where they are what is used."""
        from voicecli.doctor.devices import judged_defaults
        from voicecli.doctor.machine import sound_server_defaults

        uses = [kind for kind, device in chosen.items() if device.is_default(kind)]
        with suppress(TimeoutError):
            defaults = await self._patience.run(sound_server_defaults, _SERVER_LIMIT_S)
            if defaults is not None:
                self._tell(*judged_defaults(defaults, uses))

    async def _speaker(self, device: DeviceInfo, devices: list[DeviceInfo]) -> bool:
        from voicecli.audio import probing

        self._screen.working("opening the speaker")
        probe = await self._probed(
            "output", device, lambda: probing.probe(device, "output", _SPEAKER_S), _SPEAKER_S
        )
        return self._judge(device, "output", probe, devices)

    async def _microphone(self, device: DeviceInfo, devices: list[DeviceInfo]) -> bool:
        """Whether it gives something that is not silence."""
        from voicecli.audio import probing
        from voicecli.doctor.levels import Meter, judged

        meter = Meter()
        drawing = asyncio.create_task(self._draw(meter))
        try:
            probe = await self._probed(
                "input",
                device,
                lambda: probing.probe(device, "input", _METER_S, took=meter.add),
                _METER_S,
            )
        finally:
            drawing.cancel()
            self._screen.working("looking at the microphone")
        if not self._judge(device, "input", probe, devices) or probe is None:
            return False
        reading = meter.reading()
        if reading.is_zero and probe.rate_hz != device.default_rate_hz:
            await self._at_its_own_rate(device, probe.rate_hz)
        self._tell(*judged(reading, sys.platform, was_asked=self._asks))
        return not reading.is_zero

    async def _draw(self, meter: object) -> None:
        from voicecli.doctor.levels import Meter

        assert isinstance(meter, Meter)
        while True:
            self._screen.working("say something", meter.last_dbfs)
            await asyncio.sleep(_REDRAW_S)

    async def _at_its_own_rate(self, device: DeviceInfo, rate_hz: int) -> None:
        """There are devices that give zeros at a rate which is not theirs, without a word."""
        from voicecli.audio import probing
        from voicecli.doctor.findings import Finding
        from voicecli.doctor.levels import Meter

        meter = Meter()
        own_hz = device.default_rate_hz
        await self._probed(
            "input",
            device,
            lambda: probing.probe(device, "input", _OWN_RATE_S, rates_hz=(own_hz,), took=meter.add),
            _OWN_RATE_S,
        )
        if meter.reading().samples and not meter.reading().is_zero:
            told = f"zeros at {rate_hz / 1000:g} kHz, and sound at its own {own_hz / 1000:g} kHz"
            advice = "take the sound server's device, which converts, instead of the card itself"
            fixes = ("voicecli devices",)
            self._tell(Finding("audio", "rate", "problem", told, advice, fixes))

    async def _probed(
        self, kind: Kind, device: DeviceInfo, call: Callable[[], Probe], duration_s: float
    ) -> Probe | None:
        """How it ran; None if it could not be opened, which is told."""
        from voicecli.audio.choosing import KIND_NAMES
        from voicecli.doctor.devices import no_answer
        from voicecli.doctor.findings import Finding

        limit_s = duration_s + _PROBE_LIMIT_S
        try:
            return await self._patience.run(call, limit_s)
        except AudioDeviceError as exc:
            check, fixes = KIND_NAMES[kind], ("voicecli devices",)
            advice = "choose another, or end the program that holds it"
            self._tell(Finding("audio", check, "problem", exc.message, advice, fixes))
        except TimeoutError:
            self._tell(no_answer(KIND_NAMES[kind], limit_s, sys.platform))
        del device
        return None

    def _judge(
        self, device: DeviceInfo, kind: Kind, probe: Probe | None, devices: list[DeviceInfo]
    ) -> bool:
        from voicecli.doctor.devices import judged_device

        if probe is None:
            return False
        self._tell(judged_device(device, kind, _run_of(probe), devices))
        return bool(probe.called_at) and not probe.has_stopped

    async def _loop(self, chosen: Mapping[Kind, DeviceInfo], ran: Mapping[Kind, bool]) -> None:
        """How much of the speaker the microphone hears, and how late."""
        from voicecli.doctor.findings import Finding

        reason = ""
        if not self._plays:
            reason = "nothing was to be played (--no-sound)"
        elif len(chosen) < 2:
            reason = "it takes a microphone and a speaker"
        elif not all(ran.values()):
            reason = "the microphone or the speaker gives nothing"
        if reason:
            self._tell(Finding("audio", "echo", "skipped", reason))
            return
        from voicecli.audio.devices import AudioDevices
        from voicecli.audio.echo import has_canceller
        from voicecli.doctor.advice import judged_loop, recommended
        from voicecli.doctor.chirp import analysed

        self._screen.working("playing a soft sound (--no-sound leaves it out)")
        devices = AudioDevices(
            chosen["input"], chosen["output"], patience_s=0, follows_default=False
        )
        try:
            caught = await self._caught(devices)
        except AudioDeviceError as exc:
            self._tell(Finding("audio", "echo", "problem", exc.message, exc.hint))
            return
        except TimeoutError:
            caught = None
        if caught is None:
            told = "the sound never left the speaker"
            self._tell(Finding("audio", "echo", "problem", told, "the sound server hangs"))
            return
        loop = await asyncio.to_thread(analysed, caught.pcm, caught.left_at_ms)
        self._tell(judged_loop(loop, caught.handed_over_ms, gaps=caught.gaps))
        self._tell(recommended(loop, can_cancel=has_canceller()))

    async def _caught(self, devices: AudioDevices) -> Caught | None:
        from voicecli import cli
        from voicecli.doctor.chirp import LONGEST_DELAY_MS, sound
        from voicecli.doctor.loop import play_and_listen

        pcm = await asyncio.to_thread(sound)
        try:
            async with asyncio.timeout(_LOOP_LIMIT_S):
                await devices.open()
                return await play_and_listen(
                    devices.microphone,
                    devices.speaker,
                    pcm,
                    before_s=_BEFORE_S,
                    after_s=LONGEST_DELAY_MS / 1000,
                )
        finally:
            await devices.close()
            if devices.is_abandoned:
                cli.leave_without_waiting()


def _name(spec: str) -> int | str | None:
    if spec in ("", "default"):
        return None
    return int(spec) if spec.isdecimal() else spec


def _run_of(probe: Probe) -> Run | None:
    from statistics import median

    from voicecli.doctor.devices import Run

    times = probe.called_at
    if not times:
        return None
    # At its start a device asks for several blocks at once.
    steady = [at for at in times if at - times[0] > _START_S]
    times = steady if len(steady) > 1 else times
    gaps_ms = [(after - before) * 1000 for before, after in itertools.pairwise(times)]
    return Run(
        rate_hz=probe.rate_hz,
        accepted_hz=probe.accepted_hz,
        latency_ms=probe.latency_s * 1000,
        block_ms=probe.block_samples * 1000 / probe.rate_hz,
        blocks=len(times),
        median_ms=median(gaps_ms) if gaps_ms else 0.0,
        worst_ms=max(gaps_ms, default=0.0),
        troubles=probe.troubles,
        has_stopped=probe.has_stopped,
    )
