"""Microphone and speaker on PortAudio: the only audio threads, and the only lock.

PortAudio calls back in a thread of its own, every few milliseconds. The callback copies what the
microphone gave, takes what the speaker needs from the ledger under the one lock, and wakes the loop
at most once until the loop has looked. Everything else, rate conversion included, happens in the
loop's thread.

Capture and playback are two streams on purpose. One full-duplex stream would share a clock, but on
ALSA through PulseAudio an underflow can leave it keeping a whole core busy for good; and capture
would need blocks as short, and as costly, as playback.

Opening and closing may hang inside a sound server that does not answer, so each runs
in a thread that can be abandoned.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from voicecli.audio.pcm import (
    FRAME_MS,
    SAMPLE_BYTES,
    WIRE_RATE_HZ,
    Framer,
    is_digital_silence,
    ms_of_samples,
    samples_in,
    samples_of_ms,
)
from voicecli.audio.playback import Emitted, Heard, Playout
from voicecli.audio.ports import Failed, SpeakerReport
from voicecli.audio.resample import Resampler
from voicecli.errors import AudioDeviceError

Clock = Callable[[], float]
Kind = Literal["input", "output"]
_T = TypeVar("_T")

DEFAULT_BLOCK_MS: Final = 20 / 3
"Of playback, 160 samples at 24 kHz; docs/audio.md says what longer and shorter ones cost."
CAPTURE_BLOCK_MS: Final = 20.0

_WAITING_FRAMES: Final = 50
"Microphone frames that may wait for the loop; then the oldest is dropped and counted."
_SILENT_AFTER_FRAMES: Final = 100
_SWITCH_INTERVAL_S: Final = 0.001
"The callback waits for the interpreter no longer than this; Python's own choice is 5 ms."
_FROZEN_AFTER_S: Final = 0.5
"A callback this late means that the sound server hangs; it says nothing itself."
_OPEN_PATIENCE_S: Final = 5.0
_CLOSE_PATIENCE_S: Final = 1.0
_OFFSETS_KEPT: Final = 128
"Callbacks whose clock offsets are compared, twice over."
_CLOCK_JUMP_S: Final = 0.5
_PARTS_KEPT: Final = 8
_REBUFFER_MS: Final = 60
"After a gap; halves the gaps of a server that sends short deltas at the pace of real time."


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


def list_devices() -> list[DeviceInfo]:
    """All devices, in PortAudio's order; empty on a machine without sound.

    Raises:
        AudioDeviceError: PortAudio is missing or does not work.
    """
    sounddevice = _sounddevice()
    with _mapped_errors("cannot list the sound devices"):
        host_apis = sounddevice.query_hostapis()
        preferred = _preferred_host_api(host_apis)
        default_input = preferred.get("default_input_device", -1)
        default_output = preferred.get("default_output_device", -1)
        return [
            DeviceInfo(
                index=device["index"],
                name=device["name"],
                host_api=host_apis[device["hostapi"]]["name"],
                input_channels=device["max_input_channels"],
                output_channels=device["max_output_channels"],
                default_rate_hz=int(device["default_samplerate"]),
                is_default_input=device["index"] == default_input,
                is_default_output=device["index"] == default_output,
            )
            for device in sounddevice.query_devices()
        ]


def find_device(spec: int | str | None, kind: Kind) -> DeviceInfo:
    """The device a person means: an index, a part of a name in any case, or None for the default.

    Of several that match, one whose whole name it is wins, then the only one of the default
    device's host API (Windows lists each device once per host API).

    Raises:
        AudioDeviceError: no device fits, or several do; names the candidates.
    """
    return choose_device(list_devices(), spec, kind)


async def find_devices(*wanted: tuple[int | str | None, Kind]) -> list[DeviceInfo]:
    """`find_device` for several at once, without waiting for ever for a frozen sound server.

    Raises:
        AudioDeviceError: as `find_device`, or the sound server does not answer within 5 s.
    """

    def find() -> list[DeviceInfo]:
        devices = list_devices()
        return [choose_device(devices, spec, kind) for spec, kind in wanted]

    try:
        return await _in_own_thread(find, _OPEN_PATIENCE_S)
    except TimeoutError:
        raise _no_answer() from None


def _no_answer() -> AudioDeviceError:
    return AudioDeviceError(
        "the sound server does not answer",
        "restart it, or go without: --mic and --speaker take files, - and none",
    )


def choose_device(devices: list[DeviceInfo], spec: int | str | None, kind: Kind) -> DeviceInfo:
    """`find_device` among `devices`."""
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
        raise AudioDeviceError(f"no {kind} {wanted} among {_named(usable)}", _SEE_DEVICES)
    raise AudioDeviceError(
        f"several {kind} devices match {spec!r}: {_named(matching)}", "give more of the name"
    )


@contextlib.contextmanager
def quiet_stderr(log_path: Path | None = None) -> Iterator[None]:
    """Keep what C libraries write on file descriptor 2 off the screen while the block runs.

    PortAudio and ALSA print there when a device goes away, in the middle of whatever is drawn. It
    goes to `log_path` (appended, private) or nowhere. `sys.stderr` still reaches the terminal, but
    a logging handler made earlier keeps the old stream. Does nothing if descriptor 2 is closed.
    """
    try:
        terminal = os.dup(2)
    except OSError:
        yield
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    sink = os.open(log_path or os.devnull, flags, 0o600)
    before = sys.stderr
    with open(terminal, "w", encoding="utf-8", errors="backslashreplace", buffering=1) as ours:
        if before is not None and _descriptor(before) == 2:
            before.flush()
            sys.stderr = ours
        os.dup2(sink, 2)
        os.close(sink)
        try:
            yield
        finally:
            sys.stderr = before
            ours.flush()
            os.dup2(terminal, 2)


class DacClock:
    """Turns PortAudio's time stamps into times of our own clock.

    Our clock is read only when the callback got the interpreter, up to 20 ms after PortAudio took
    its stamp: so the offset between the two is the least one seen lately, never the newest.
    """

    def __init__(self, fallback_latency_s: float = 0.0) -> None:
        self.fallback_latency_s = fallback_latency_s
        "Assumed where the host API gives no stamps."
        self._offset_s: float | None = None
        self._newer_s = 0.0
        self._older_s = 0.0
        self._seen = 0

    def dac_at(self, current_s: float, dac_s: float, now: float) -> float:
        """When the sample PortAudio expects at `dac_s` leaves the device, on the clock of `now`."""
        if not current_s or not dac_s:
            return now + self.fallback_latency_s
        return dac_s + self._offset(now - current_s)

    def _offset(self, seen_s: float) -> float:
        # PortAudio's clock may be the wall clock, which jumps when the time of day is set.
        if self._offset_s is None or seen_s > self._offset_s + _CLOCK_JUMP_S:
            self._newer_s = self._older_s = seen_s
            self._seen = 0
        self._newer_s = min(self._newer_s, seen_s)
        self._offset_s = min(self._newer_s, self._older_s)
        self._seen += 1
        if self._seen == _OFFSETS_KEPT:
            self._seen, self._older_s, self._newer_s = 0, self._newer_s, seen_s
        return self._offset_s


class DeviceMicrophone:
    """The capture side of `AudioDevices`; satisfies `Microphone`.

    Frames captured before `start` and after `close` go nowhere.
    """

    def __init__(self) -> None:
        self.dropped_frames = 0
        self._deliver: Callable[[bytes], None] | None = None
        self._waiting: deque[bytes] = deque()
        self._zero_frames = 0
        self.opened(WIRE_RATE_HZ)

    @property
    def ended(self) -> bool:
        """A device never ends."""
        return False

    @property
    def silent(self) -> bool:
        return self._zero_frames >= _SILENT_AFTER_FRAMES

    async def start(self, deliver: Callable[[bytes], None]) -> None:
        self._waiting.clear()
        self._deliver = deliver

    async def close(self) -> None:
        self._deliver = None

    def opened(self, rate_hz: int) -> None:
        """A stream of this rate begins; for `AudioDevices`."""
        self._blocks = Framer(rate_hz * FRAME_MS // 1000 * SAMPLE_BYTES)
        self._resampler = Resampler(rate_hz, WIRE_RATE_HZ)
        self._frames = Framer()

    def captured(self, block: bytes) -> bool:
        """Keep what was captured; whether 20 ms are complete. For the audio thread only."""
        complete = self._blocks.push(block)
        if self._deliver is None:
            return False
        for frame in complete:
            if len(self._waiting) >= _WAITING_FRAMES:
                self._waiting.popleft()
                self.dropped_frames += 1
            self._waiting.append(frame)
        return bool(complete)

    def hand_over(self) -> None:
        """Deliver the frames that wait; for the loop's thread."""
        while self._waiting and self._deliver is not None:
            captured = self._resampler.process(self._waiting.popleft())
            for frame in self._frames.push(captured):
                self._zero_frames = self._zero_frames + 1 if is_digital_silence(frame) else 0
                self._deliver(frame)


class DeviceSpeaker:
    """The playing side of `AudioDevices`; satisfies `Speaker`.

    `Drained` and `Started` come a few milliseconds before their `at`: as soon as the device took
    the samples. `underflows` counts the device's own gaps, too.
    """

    def __init__(self, clock: Clock, fade_ms: float) -> None:
        self._clock = clock
        self._fade_ms = fade_ms
        self._lock = threading.Lock()
        self._report: Callable[[SpeakerReport], None] | None = None
        self._device_underflows = 0
        self._playout = _playout(WIRE_RATE_HZ)
        self._converter = _PartConverter(WIRE_RATE_HZ)

    @property
    def underflows(self) -> int:
        return self._device_underflows + self._playout.underflows

    @property
    def pending_ms(self) -> int:
        return ms_of_samples(self._playout.pending_samples, self._converter.rate_hz)

    async def start(self, report: Callable[[SpeakerReport], None]) -> None:
        self._report = report

    async def close(self) -> None:
        self.stop()
        self._report = None

    def play(self, item_id: str, content_index: int, pcm: bytes) -> None:
        converted = self._converter.convert(item_id, content_index, pcm)
        with self._lock:
            self._playout.enqueue(item_id, content_index, converted)

    def finish(self, item_id: str, content_index: int) -> None:
        tail = self._converter.finish(item_id, content_index)
        with self._lock:
            if tail:
                self._playout.enqueue(item_id, content_index, tail)
            self._playout.finish(item_id, content_index)

    def stop(self) -> list[Heard]:
        fade_samples = samples_of_ms(self._fade_ms, self._converter.rate_hz)
        with self._lock:
            heard = self._playout.flush(self._clock(), fade_samples)
        self.report_events()
        return self._converter.stopped(heard)

    def heard(self) -> list[Heard]:
        with self._lock:
            heard = self._playout.heard(self._clock())
        return self._converter.on_the_wire(heard)

    def opened(self, rate_hz: int) -> None:
        """A stream of this rate begins, and what was queued is forgotten; for `AudioDevices`."""
        with self._lock:
            self._device_underflows += self._playout.underflows
            self._playout = _playout(rate_hz)
        self._converter = _PartConverter(rate_hz)

    def take(self, samples: int, dac_at: float, underflowed: bool) -> tuple[bytes, bool]:
        """The next block, and whether there is something to report. For the audio thread only."""
        with self._lock:
            self._device_underflows += underflowed
            block = self._playout.take(samples, dac_at)
            return block, self._playout.has_events

    def report_events(self) -> None:
        """Report what happened; for the loop's thread."""
        with self._lock:
            events = self._playout.drain_events()
        for event in events:
            if isinstance(event, Emitted):
                event = self._converter.emitted(event)
            if self._report is not None:
                self._report(event)

    def report_failure(self, message: str) -> None:
        """Say that the device is gone; for the loop's thread."""
        if self._report is not None:
            self._report(Failed(message, _SEE_DEVICES))


def _playout(rate_hz: int) -> Playout:
    return Playout(rate_hz, rebuffer_samples=samples_of_ms(_REBUFFER_MS, rate_hz))


class _PartConverter:
    """From 24 kHz to the device's rate, and its sample counts back; free if the rates are equal."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._is_free = rate_hz == WIRE_RATE_HZ
        self._resamplers: dict[tuple[str, int], Resampler] = {}
        self._received: dict[tuple[str, int], int] = {}

    def convert(self, item_id: str, content_index: int, pcm: bytes) -> bytes:
        if self._is_free:
            return pcm
        part = (item_id, content_index)
        if part not in self._resamplers:
            self._forget_all_but_newest()
            self._resamplers[part] = Resampler(WIRE_RATE_HZ, self.rate_hz)
        self._received[part] = self._received.get(part, 0) + samples_in(pcm)
        return self._resamplers[part].process(pcm)

    def finish(self, item_id: str, content_index: int) -> bytes:
        resampler = self._resamplers.get((item_id, content_index))
        return b"" if resampler is None else resampler.finish()

    def stopped(self, heard: list[Heard]) -> list[Heard]:
        on_the_wire = self.on_the_wire(heard)
        self._resamplers.clear()
        self._received.clear()
        return on_the_wire

    def on_the_wire(self, heard: list[Heard]) -> list[Heard]:
        return heard if self._is_free else [self._at_wire_rate(each) for each in heard]

    def emitted(self, run: Emitted) -> Emitted:
        if self._is_free:
            return run
        first, end, fade = (
            samples * WIRE_RATE_HZ // self.rate_hz
            for samples in (run.first_sample, run.first_sample + run.samples, run.fade_samples)
        )
        return replace(run, first_sample=first, samples=end - first, fade_samples=fade)

    def _at_wire_rate(self, heard: Heard) -> Heard:
        counted = heard.received_samples * WIRE_RATE_HZ // self.rate_hz
        received = self._received.get((heard.item_id, heard.content_index), counted)
        emitted = min(received, heard.emitted_samples * WIRE_RATE_HZ // self.rate_hz)
        return Heard(heard.item_id, heard.content_index, received, emitted)

    def _forget_all_but_newest(self) -> None:
        # more parts than this are never open at once, and one forgotten is still counted
        while len(self._resamplers) >= _PARTS_KEPT:
            oldest = next(iter(self._resamplers))
            del self._resamplers[oldest], self._received[oldest]


class AudioDevices:
    """A microphone, a speaker or both for one talk.

    The rate is 24 kHz, or the device's own with conversion if that is refused.

    Args:
        microphone: The device to capture from; None if there is none to open.
        speaker: The device to play on; None if there is none to open.
        clock: Of all times reported; any monotonic clock in seconds.
        block_ms: How much the speaker takes at a time.
        fade_ms: Length of the fade-out of `DeviceSpeaker.stop`.
    """

    def __init__(
        self,
        microphone: DeviceInfo | None,
        speaker: DeviceInfo | None,
        *,
        clock: Clock = time.monotonic,
        block_ms: float = DEFAULT_BLOCK_MS,
        fade_ms: float = 4.0,
    ) -> None:
        self.microphone = DeviceMicrophone()
        self.speaker = DeviceSpeaker(clock, fade_ms)
        self.is_abandoned = False
        "A stream did not close: leave by `os._exit`, or the interpreter hangs at its end."
        self._input = microphone
        self._output = speaker
        self._clock = clock
        self._block_ms = block_ms
        self._dac = DacClock()
        self._streams: list[Any] = []
        self._called_back_at: dict[Kind, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: asyncio.Future[str] | None = None
        self._is_waking = False
        self._watchdog: asyncio.TimerHandle | None = None
        self._late_checks = 0
        self._switch_interval_s = sys.getswitchinterval()

    async def open(self) -> None:
        """Open and start both; after a failure it may be called again.

        Raises:
            AudioDeviceError: a device is busy, gone, or refuses every rate; or the sound server
                does not answer within 5 s.
        """
        await self.close()
        loop = asyncio.get_running_loop()
        self._loop, self._failure, self._is_waking = loop, loop.create_future(), False
        try:
            self._streams = await _in_own_thread(
                self._started_streams, _OPEN_PATIENCE_S, discard=_end
            )
        except TimeoutError:
            self.is_abandoned = True
            raise _no_answer() from None
        except asyncio.CancelledError:
            # The thread is in the middle of it; what it opens it will close again.
            self.is_abandoned = True
            raise
        self._switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self._watch()

    async def close(self) -> None:
        """End the streams; never takes longer than a second. Closing twice is allowed."""
        self._loop = None
        if self._watchdog is not None:
            self._watchdog.cancel()
        streams, self._streams = self._streams, []
        if not streams:
            return
        sys.setswitchinterval(self._switch_interval_s)
        try:
            await _in_own_thread(lambda: _end(streams), _CLOSE_PATIENCE_S)
        except TimeoutError:
            self.is_abandoned = True

    async def failed(self) -> str:
        """Wait until a device is lost; says how. The speaker reports the same as `Failed`."""
        if self._failure is None:
            raise RuntimeError("the devices are not open")
        return await asyncio.shield(self._failure)

    def _started_streams(self) -> list[Any]:
        streams: list[Any] = []
        try:
            if self._input is not None:
                streams.append(self._started(self._input, "input"))
            if self._output is not None:
                streams.append(self._started(self._output, "output"))
        except AudioDeviceError:
            _end(streams)
            raise
        return streams

    def _started(self, device: DeviceInfo, kind: Kind) -> Any:
        """A running stream, at 24 kHz or else at the device's own rate."""
        if device.default_rate_hz != WIRE_RATE_HZ:
            with contextlib.suppress(AudioDeviceError):
                return self._started_at(WIRE_RATE_HZ, device, kind)
            return self._started_at(device.default_rate_hz, device, kind)
        return self._started_at(WIRE_RATE_HZ, device, kind)

    def _started_at(self, rate_hz: int, device: DeviceInfo, kind: Kind) -> Any:
        sounddevice = _sounddevice()
        make = sounddevice.RawInputStream if kind == "input" else sounddevice.RawOutputStream
        block_ms = CAPTURE_BLOCK_MS if kind == "input" else self._block_ms
        with _mapped_errors(f"cannot open {_named([device])}"):
            stream = make(
                device=device.index,
                samplerate=rate_hz,
                blocksize=samples_of_ms(block_ms, rate_hz),
                channels=1,
                dtype="int16",
                latency="low",
                callback=self._on_capture if kind == "input" else self._on_play,
                finished_callback=self._on_finished,
            )
            if kind == "input":
                self.microphone.opened(rate_hz)
            else:
                self._dac = DacClock(stream.latency)
                self.speaker.opened(rate_hz)
            self._called_back_at[kind] = self._clock()
            stream.start()
        return stream

    # What PortAudio's threads run: copy, count, wake, return.

    def _on_play(self, wanted: Any, samples: int, stamps: Any, flags: Any) -> None:
        now = self._called_back_at["output"] = self._clock()
        dac_at = self._dac.dac_at(stamps.currentTime, stamps.outputBufferDacTime, now)
        underflowed = bool(flags) and flags.output_underflow
        wanted[:], wake = self.speaker.take(samples, dac_at, underflowed)
        if wake:
            self._wake()

    def _on_capture(self, captured: Any, samples: int, stamps: Any, flags: Any) -> None:
        self._called_back_at["input"] = self._clock()
        if self.microphone.captured(bytes(captured)):
            self._wake()

    def _on_finished(self) -> None:
        self._tell_loop(self._fail, "the sound device went away")

    def _wake(self) -> None:
        if not self._is_waking:
            self._is_waking = True
            self._tell_loop(self._woken)

    def _tell_loop(self, call: Callable[..., None], *arguments: str) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call, *arguments)

    def _woken(self) -> None:
        self._is_waking = False
        self.speaker.report_events()
        self.microphone.hand_over()

    def _watch(self) -> None:
        late_s = self._clock() - min(self._called_back_at.values())
        self._late_checks = self._late_checks + 1 if late_s > _FROZEN_AFTER_S else 0
        if self._late_checks > 1:  # twice: after a sleep of the whole machine one is normal
            self._fail("the sound server has stopped answering")
        else:
            loop = asyncio.get_running_loop()
            self._watchdog = loop.call_later(_FROZEN_AFTER_S / 2, self._watch)

    def _fail(self, message: str) -> None:
        if self._loop is None or self._failure is None or self._failure.done():
            return
        self._failure.set_result(message)
        self.speaker.report_failure(message)


_SEE_DEVICES: Final = "`voicecli devices` lists what there is"
_INSTALL_PORTAUDIO: Final = {
    "linux": "sudo apt install libportaudio2 (or: dnf install portaudio, pacman -S portaudio)",
    "darwin": "brew install portaudio",
}
_EXPLAINED: Final = {
    -9999: "the device or its sound server refuses; another program may be using it",
    -9997: "it does not support the sample rate",
    -9998: "it does not support one channel",
    -9996: "there is no such device",
    -9993: "the sound server is away",
    -9985: "it is in use by another program",
}


def _sounddevice() -> Any:
    """The library, loaded when first needed: without PortAudio its import fails."""
    try:
        import sounddevice
    except OSError as exc:
        hint = _INSTALL_PORTAUDIO.get(sys.platform, "reinstall the package `sounddevice`")
        raise AudioDeviceError("PortAudio is not installed", hint) from exc
    return sounddevice


@contextlib.contextmanager
def _mapped_errors(doing: str) -> Iterator[None]:
    """PortAudio's errors as ours; everything called on the library stands inside of this."""
    sounddevice = _sounddevice()
    try:
        yield
    except sounddevice.PortAudioError as exc:
        code = exc.args[1] if len(exc.args) > 1 else 0
        reason = _EXPLAINED.get(code, str(exc.args[0]) if exc.args else "unknown")
        raise AudioDeviceError(f"{doing}: {reason}", _SEE_DEVICES) from exc


def _preferred_host_api(host_apis: Any) -> dict[str, Any]:
    """The host API whose defaults count: PortAudio's own choice, but on Windows WASAPI.

    There it is MME otherwise, which is slow and cuts names.
    """
    apis: list[dict[str, Any]] = list(host_apis)
    for api in apis:
        if "WASAPI" in api["name"]:
            return api
    sounddevice = _sounddevice()
    default = sounddevice.default.hostapi
    return apis[default] if 0 <= default < len(apis) else {}


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


def _named(devices: list[DeviceInfo]) -> str:
    return ", ".join(f"{device.index} {device.name!r}" for device in devices)


def _end(streams: list[Any]) -> None:
    for stream in streams:
        stream.abort(ignore_errors=True)
        stream.close(ignore_errors=True)


async def _in_own_thread(
    call: Callable[[], _T], patience_s: float, discard: Callable[[_T], None] = lambda _: None
) -> _T:
    """Run `call` in a thread that is left behind when it takes longer; raises TimeoutError then.

    Not in an executor, whose threads are waited for at the interpreter's end. `discard` gets a
    result that comes when nobody waits for it any more.
    """
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            result = call()
        except Exception as exc:  # noqa: BLE001
            with contextlib.suppress(InvalidStateError):
                outcome.set_exception(exc)
            return
        try:
            outcome.set_result(result)
        except InvalidStateError:
            discard(result)

    threading.Thread(target=run, name="sound-device", daemon=True).start()
    return await asyncio.wait_for(asyncio.wrap_future(outcome), patience_s)


def _descriptor(stream: Any) -> int | None:
    try:
        number: int = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
    return number
