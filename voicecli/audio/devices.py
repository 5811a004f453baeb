"""Microphone and speaker on PortAudio: the keeper of its streams.

PortAudio calls back in a thread of its own, every few milliseconds. The callback copies what the
microphone gave, takes what the speaker needs from the ledger under the one lock, and wakes the loop
at most once until the loop has looked.

Capture and playback are two streams on purpose. One full-duplex stream would share a clock, but on
ALSA through PulseAudio an underflow can leave it keeping a whole core busy for good; and capture
would need blocks as short, and as costly, as playback.

Opening and closing may hang inside a sound server that does not answer, so each runs
in a thread that can be abandoned.

A stream that ends, or that does not call back any more, is lost. It is taken down, and the best
device there is then is opened instead, again and again until one runs or the patience is over.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import Any, Final, TypeVar

from voicecli.audio.choosing import (
    KIND_NAMES,
    SEE_DEVICES,
    DeviceInfo,
    Kind,
    candidates,
    choose_device,
    named,
)
from voicecli.audio.cleaning import Cleaner
from voicecli.audio.cleaning_thread import CleaningThread
from voicecli.audio.dac import DacClock
from voicecli.audio.device_ends import Clock, DeviceMicrophone, DeviceSpeaker, Intake
from voicecli.audio.echo import INSTALL, EchoMode
from voicecli.audio.outlet import Outlet
from voicecli.audio.pcm import WIRE_RATE_HZ, samples_of_ms
from voicecli.audio.portaudio import (
    load_sounddevice,
    mapped_errors,
    preferred_host_api,
    stream_settings,
    with_com,
)
from voicecli.audio.ports import DevicesReport, Failed, Noted
from voicecli.audio.stdin import take_stdin
from voicecli.audio.watching import ListWatch, encoded
from voicecli.errors import AudioDeviceError

_T = TypeVar("_T")


DEFAULT_BLOCK_MS: Final = 20 / 3
"Of playback, 160 samples at 24 kHz; docs/audio.md says what longer and shorter ones cost."
CAPTURE_BLOCK_MS: Final = 20.0
DEFAULT_PATIENCE_S: Final = 60.0

_SWITCH_INTERVAL_S: Final = 0.001
"The callback waits for the interpreter no longer than this; Python's own choice is 5 ms."
_FROZEN_AFTER_S: Final = 0.5
"A callback this late means that the sound server hangs; it says nothing itself."
_OPEN_PATIENCE_S: Final = 5.0
_CLOSE_PATIENCE_S: Final = 1.0
_RUN_PATIENCE_S: Final = 1.0
"A device that is opened again has to call back within this time."
_GATHER_S: Final = 0.05
"When a sound server dies, its streams end one after the other; it is told as one event."
_UNCERTAIN_S: Final = 0.01
"The times of a device are true to a few milliseconds; rather is something heard twice than never."
_FIRST_DELAY_S: Final = 0.2
_LONGEST_DELAY_S: Final = 5.0
FOLLOWS_DEFAULT: Final = sys.platform != "linux"
"""Whether a change of the default device is ours to follow. On Linux the device that PortAudio
calls the default is the sound server's, which moves its streams by itself. Core Audio and WASAPI
leave a stream on the device it was opened on."""

ECHO_FOUND: Final[dict[EchoMode, str]] = {
    "off": "the microphone hears the speaker: use a headset, turn the volume down, or have the "
    "echo taken out: --echo auto",
    "aec": "the microphone still hears the speaker, more than can be taken out: use a headset, "
    "turn the volume down, or talk in turns: --echo half-duplex",
    "half-duplex": "the microphone hears the speaker for long after it has played: use a headset, "
    "or turn the volume down",
}
NO_CANCELLER: Final = (
    "no echo cancellation is installed: the microphone is silent while an answer plays, so that it "
    f"does not hear it; Esc interrupts. With a headset: --echo off. To install it: {INSTALL}"
)

WENT_AWAY: Final = "the sound device went away"
STOPPED_ANSWERING: Final = "the sound server has stopped answering"


def list_devices() -> list[DeviceInfo]:
    """All devices, in PortAudio's order; empty on a machine without sound.

    Raises:
        AudioDeviceError: PortAudio is missing or does not work.
    """
    sounddevice = load_sounddevice()
    with mapped_errors("cannot list the sound devices"):
        host_apis = sounddevice.query_hostapis()
        preferred = preferred_host_api(host_apis)
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


def refresh_list() -> None:
    """Have PortAudio make its list anew; there must be no stream, not even one that hangs."""
    sounddevice = load_sounddevice()
    with mapped_errors("cannot look for sound devices"):
        sounddevice._terminate()
        sounddevice._initialize()


def tell_lists(every_s: float) -> None:
    """Print the list of devices whenever it is another one, until stdin ends: for `ListWatch`."""
    threading.Thread(target=_leave_with_stdin, args=(take_stdin(),), daemon=True).start()
    before: list[DeviceInfo] | None = None
    while True:
        devices: list[DeviceInfo] = []
        with contextlib.suppress(AudioDeviceError):
            refresh_list()
            devices = list_devices()
        if devices != before:
            sys.stdout.write(encoded(devices) + "\n")
            sys.stdout.flush()
        before = devices
        time.sleep(every_s)


def _leave_with_stdin(stdin: int) -> None:
    while os.read(stdin, 4096):
        pass
    os._exit(0)


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


class _Line:
    """One running stream, and what PortAudio's thread does for it: copy, count, wake, return.

    Args:
        device: the one it is on.
        clock: gives the time of each callback.
        wake: called in PortAudio's thread when the loop has something to look at.
        ended: called in PortAudio's thread when the stream is over.
    """

    kind: Kind

    def __init__(
        self,
        device: DeviceInfo,
        clock: Clock,
        wake: Callable[[], None],
        ended: Callable[["_Line"], None],
    ) -> None:
        self.device = device
        self.stream: Any = None
        self.called_back_at = clock()
        self.late_checks = 0
        self.rate_hz = 0
        "Of the stream; 0 before there is one."
        self.has_run = threading.Event()
        self._clock = clock
        self._wake = wake
        self._ended = ended

    def open(self, block_ms: float, rate_hz: int = 0) -> None:
        """Open and start a stream.

        Args:
            block_ms: how much the device takes or gives at a time.
            rate_hz: 0 for 24 kHz or else the device's own rate.

        Raises:
            AudioDeviceError: the device refuses.
        """
        own_hz = self.device.default_rate_hz
        if not rate_hz and own_hz != WIRE_RATE_HZ:
            with contextlib.suppress(AudioDeviceError):
                self._open_at(WIRE_RATE_HZ, block_ms)
                return
        self._open_at(rate_hz or own_hz, block_ms)

    def called_back(self) -> float:
        """A callback has come; gives its time."""
        now = self.called_back_at = self._clock()
        if not self.has_run.is_set():
            self.has_run.set()
        return now

    def finished(self) -> None:
        """The stream is over, whoever ended it."""
        self._ended(self)

    def _open_at(self, rate_hz: int, block_ms: float) -> None:
        sounddevice = load_sounddevice()
        self._prepare(rate_hz)
        is_input = self.kind == "input"
        make = sounddevice.RawInputStream if is_input else sounddevice.RawOutputStream
        with mapped_errors(f"cannot open {named([self.device])}"):
            self.stream = make(
                device=self.device.index,
                samplerate=rate_hz,
                blocksize=samples_of_ms(block_ms, rate_hz),
                channels=1,
                dtype="int16",
                latency="low",
                callback=self._called_back,
                finished_callback=self.finished,
                extra_settings=stream_settings(sounddevice, self.device.host_api),
            )
            self.rate_hz = rate_hz
            self._opened(self.stream.latency)
            self.called_back_at = self._clock()
            self.stream.start()

    def _prepare(self, rate_hz: int) -> None:
        raise NotImplementedError

    def _opened(self, latency_s: float) -> None:
        """The stream exists, and starts next."""

    def _called_back(self, buffer: Any, samples: int, stamps: Any, flags: Any) -> None:
        raise NotImplementedError


class _CaptureLine(_Line):
    kind = "input"
    intake: Intake

    def __init__(self, microphone: DeviceMicrophone, *line: Any) -> None:
        super().__init__(*line)
        self._microphone = microphone
        self._adc = DacClock()

    def _prepare(self, rate_hz: int) -> None:
        self.intake = Intake(rate_hz)

    def _opened(self, latency_s: float) -> None:
        self._adc = DacClock(-latency_s)

    def _called_back(self, buffer: Any, samples: int, stamps: Any, flags: Any) -> None:
        now = self.called_back()
        adc_at = self._adc.dac_at(stamps.currentTime, stamps.inputBufferAdcTime, now)
        overflowed = bool(flags) and flags.input_overflow
        if self._microphone.captured(self.intake, bytes(buffer), overflowed, adc_at):
            self._wake()


class _PlayLine(_Line):
    kind = "output"
    outlet: Outlet

    def __init__(self, speaker: DeviceSpeaker, *line: Any) -> None:
        super().__init__(*line)
        self._speaker = speaker
        self._dac = DacClock()

    def _prepare(self, rate_hz: int) -> None:
        self.outlet = Outlet(rate_hz)

    def _opened(self, latency_s: float) -> None:
        self._dac = DacClock(latency_s)

    def _called_back(self, buffer: Any, samples: int, stamps: Any, flags: Any) -> None:
        now = self.called_back()
        dac_at = self._dac.dac_at(stamps.currentTime, stamps.outputBufferDacTime, now)
        underflowed = bool(flags) and flags.output_underflow
        buffer[:], wake = self._speaker.take(self.outlet, samples, dac_at, underflowed)
        if wake:
            self._wake()


class AudioDevices:
    """A microphone, a speaker or both for one talk, on whatever devices there are.

    The rate is 24 kHz, or the device's own with conversion if that is refused. A device that goes
    away is replaced by the best one left: meanwhile the microphone gives silence, and the speaker
    keeps what it has not played.

    Args:
        microphone: The device to capture from; None if there is none to open.
        speaker: The device to play on; None if there is none to open.
        named: What the user chose by name: it is not moved when the default changes, and is taken
            again when it is back.
        patience_s: For how long to look for another device before `Failed` is reported; 0: there is
            one attempt.
        follows_default: Whether changes of the default device are to be followed.
        clock: Of all times reported; any monotonic clock in seconds.
        block_ms: How much the speaker takes at a time.
        fade_ms: Length of the fade-out of `DeviceSpeaker.stop`.
        echo: How the microphone is kept from hearing the speaker; needs both to be devices.
        suppresses_noise: Whether steady noise is taken out of the microphone.
        takes_back: Whether an interruption that was none is taken back: then soft voices over a
            loud echo count for more than what an echo canceller lets through.
    """

    def __init__(
        self,
        microphone: DeviceInfo | None,
        speaker: DeviceInfo | None,
        *,
        named: Collection[Kind] = (),
        patience_s: float = DEFAULT_PATIENCE_S,
        follows_default: bool = FOLLOWS_DEFAULT,
        clock: Clock = time.monotonic,
        block_ms: float = DEFAULT_BLOCK_MS,
        fade_ms: float = 4.0,
        echo: EchoMode = "off",
        suppresses_noise: bool = False,
        takes_back: bool = False,
    ) -> None:
        self._takes_back = takes_back
        self.echo = echo if microphone and speaker else "off"
        self._suppresses_noise = suppresses_noise and microphone is not None
        self._hears_itself = microphone is not None and speaker is not None
        self.microphone = DeviceMicrophone()
        self.speaker = DeviceSpeaker(clock, fade_ms)
        self.is_abandoned = False
        "A stream did not close: leave by `os._exit`, or the interpreter hangs at its end."
        chosen: dict[Kind, DeviceInfo | None] = {"output": speaker, "input": microphone}
        self._devices = {kind: one for kind, one in chosen.items() if one is not None}
        "In use, or last in use."
        self._wanted = {kind: one for kind, one in self._devices.items() if kind in named}
        self._patience_s = patience_s
        self._follows_default = follows_default and len(self._wanted) < len(self._devices)
        self._clock = clock
        self._block_ms = block_ms
        self._rates_hz: dict[Kind, int] = {}
        self._lines: dict[Kind, _Line] = {}
        self._lost: dict[Kind, str] = {}
        "Why each side that has no stream lost it; empty if we took it down ourselves."
        self._loop: asyncio.AbstractEventLoop | None = None
        self._report: Callable[[DevicesReport], None] | None = None
        self._untold: list[DevicesReport] = []
        self._is_waking = False
        self._watchdog: asyncio.TimerHandle | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._watch = ListWatch(self._listed)
        self._list_is_old = False
        "Another list was seen than the one that PortAudio has here."
        self._known: list[DeviceInfo] = []
        "What PortAudio's list here was when it was last looked at."
        self._threads: set[threading.Thread] = set()
        "Those that open or close streams, and may hang in it."
        self._switch_interval_s = sys.getswitchinterval()
        self._cleaning: CleaningThread | None = None

    async def open(self) -> None:
        """Open and start both; after a failure it may be called again.

        Raises:
            AudioDeviceError: a device is busy, gone, or refuses every rate; or the sound server
                does not answer within 5 s.
        """
        await self.close()
        self._loop, self._is_waking = asyncio.get_running_loop(), False
        self._begin_to_clean()
        try:
            lines = await _in_own_thread(
                self._opened_lines, _OPEN_PATIENCE_S, discard=_end, threads=self._threads
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
        for line in lines:
            self._connect(line)
        self._look_at_clock()
        self._watch_list_if_needed()

    async def start(self, report: Callable[[DevicesReport], None]) -> None:
        """Have `report` called, in the loop's thread, when a device is lost, found, or given up."""
        self._report = report
        untold, self._untold = self._untold, []
        for one in untold:
            report(one)

    async def close(self) -> None:
        """End the streams; never takes longer than a second. Closing twice is allowed."""
        if self._loop is not None:
            sys.setswitchinterval(self._switch_interval_s)
        self._loop = None
        self._watch.close()
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._recovery is not None:
            self._recovery.cancel()
            self._recovery = None
        self._end_cleaning()
        self._end_soon(list(self._lines.values()))
        self._lines.clear()
        self._lost.clear()
        self.is_abandoned |= not await self._have_ended()

    def _begin_to_clean(self) -> None:
        if not (self._hears_itself or self._suppresses_noise):
            return
        cleaner = Cleaner(
            self.echo,
            suppresses_noise=self._suppresses_noise,
            watches=self._hears_itself,
            gate_lasts=not self._takes_back,
        )
        told = (self._wake, self._echo_found, self._cleaning_failed)
        self._cleaning = CleaningThread(cleaner, *told)
        self.microphone.cleaning = self.speaker.cleaning = self._cleaning
        self._cleaning.start()

    def _end_cleaning(self) -> None:
        self.microphone.cleaning = self.speaker.cleaning = None
        if self._cleaning is not None:
            self._cleaning.close()
            self._cleaning = None

    def _echo_found(self) -> None:
        self._tell_loop(self._tell, Noted(ECHO_FOUND[self.echo]))

    def _cleaning_failed(self, reason: str) -> None:
        message = f"the microphone is sent as it is: what cleans it broke down ({reason})"
        self._tell_loop(self._tell, Noted(message))

    @property
    def is_half_duplex(self) -> bool:
        """Whether the microphone is not heard while the speaker plays."""
        return self.echo == "half-duplex"

    def note(self, message: str) -> None:
        """Have something told as soon as somebody listens; for the loop's thread."""
        self._tell(Noted(message))

    @property
    def missing(self) -> str:
        """What there is no device for at the moment; see `Devices`."""
        lost = [name for kind, name in KIND_NAMES.items() if kind in self._lost]
        return "sound" if len(lost) == len(KIND_NAMES) else "".join(lost)

    # ---------------------------------------------------------------------- opening and connecting

    def _opened_lines(self) -> list[_Line]:
        lines: list[_Line] = []
        self._known = list_devices()
        try:
            for kind, device in self._devices.items():
                lines.append(self._opened_line(kind, device))
        except AudioDeviceError:
            _end(lines)
            raise
        return lines

    def _opened_line(self, kind: Kind, device: DeviceInfo, rate_hz: int = 0) -> _Line:
        rest = (device, self._clock, self._wake, self._line_ended)
        if kind == "input":
            line: _Line = _CaptureLine(self.microphone, *rest)
            line.open(CAPTURE_BLOCK_MS, rate_hz)
        else:
            line = _PlayLine(self.speaker, *rest)
            line.open(self._block_ms, rate_hz)
        return line

    def _connect(self, line: _Line) -> None:
        """Let a running stream be the one that is heard or hears."""
        self._lines[line.kind] = line
        self._devices[line.kind] = line.device
        self._rates_hz[line.kind] = line.rate_hz
        self._lost.pop(line.kind, None)
        if isinstance(line, _PlayLine):
            self.speaker.connect(line.outlet)
        elif isinstance(line, _CaptureLine):
            self.microphone.connect(line.intake)
        if line.stream is not None and not line.stream.active:
            self._line_lost(line, WENT_AWAY)

    def _take_down(self, line: _Line, reason: str) -> None:
        """Do without this stream from now on; what it had not played is kept."""
        del self._lines[line.kind]
        self._lost[line.kind] = reason
        self._end_soon([line])
        if line.kind == "output":
            # What was to leave about the last callback, or later, may have got lost on the way.
            self.speaker.disconnect(line.called_back_at - _UNCERTAIN_S)
        else:
            self.microphone.disconnect(self._clock() - line.called_back_at)

    def _end_soon(self, lines: Sequence[_Line]) -> None:
        """Close streams in a thread of its own, which may hang for as long as the sound server."""
        if lines:
            _started_thread(lambda: _end(lines), self._threads)

    async def _have_ended(self) -> bool:
        """Wait a moment for the threads that open and close; whether none hangs."""

        def wait() -> None:
            for thread in tuple(self._threads):
                thread.join()

        with contextlib.suppress(TimeoutError):
            await _in_own_thread(wait, _CLOSE_PATIENCE_S)
        return not self._is_hanging

    @property
    def _is_hanging(self) -> bool:
        self._threads = {thread for thread in self._threads if thread.is_alive()}
        return bool(self._threads)

    # ------------------------------------------------------------------------- losing and finding

    def _line_lost(self, line: _Line, reason: str) -> None:
        if self._loop is None or self._lines.get(line.kind) is not line:
            return  # It is an older stream, whose end was ours.
        self._take_down(line, reason)
        self._recover_soon()

    def _recover_soon(self) -> None:
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """Look for devices until nothing is missing, or the patience is over."""
        before = dict(self._devices)
        told: dict[Kind, str] = {}
        await asyncio.sleep(_GATHER_S)
        deadline = self._clock() + self._patience_s
        delay_s, is_first = _FIRST_DELAY_S, True
        while self._lost:
            self._tell_lost(told)
            await self._try_to_reopen(may_refresh=not is_first)
            if not self._lost:
                break
            left_s = deadline - self._clock()
            if left_s <= 0:
                self._give_up(told)
                return
            # Whatever is still there need not be cut short for a look at the list.
            self._watch_list_if_needed()
            await asyncio.sleep(min(delay_s, left_s))
            delay_s, is_first = min(2 * delay_s, _LONGEST_DELAY_S), False
        self._tell_found(told, before)
        self._watch_list_if_needed()

    async def _try_to_reopen(self, *, may_refresh: bool) -> None:
        """Open the best device for each side that has none; what cannot be opened stays lost."""
        refresh = self._list_is_old or (may_refresh and not self._lines)
        # A stream that hangs would hang PortAudio's end as well.
        if refresh and not self._is_hanging:
            for line in list(self._lines.values()):
                self._take_down(line, "")
        refresh = refresh and await self._have_ended()
        kinds = list(self._lost)
        try:
            lines = await _in_own_thread(
                lambda: self._found_lines(kinds, refresh=refresh),
                _OPEN_PATIENCE_S,
                discard=_end,
                threads=self._threads,
            )
        except TimeoutError:
            return
        except AudioDeviceError:
            lines = []
        if refresh:
            self._list_is_old = False
        for line in lines:
            self._connect(line)

    def _found_lines(self, kinds: Sequence[Kind], *, refresh: bool) -> list[_Line]:
        """The best line that opens and runs, for each kind that has one; in a thread of its own."""
        if refresh:
            refresh_list()
        self._known = list_devices()
        lines = [self._best_line(self._known, kind) for kind in kinds]
        return [line for line in lines if line is not None]

    def _best_line(self, devices: list[DeviceInfo], kind: Kind) -> _Line | None:
        best = candidates(devices, self._wanted.get(kind), kind)
        for device in best:
            line = self._running_line(kind, device)
            if line is None:
                continue
            # While a sound server starts it may refuse the first that is asked, and take the next.
            better = None if device is best[0] else self._running_line(kind, best[0])
            if better is None:
                return line
            _end([line])
            return better
        return None

    def _running_line(self, kind: Kind, device: DeviceInfo) -> _Line | None:
        """The device opened, once it has called back; at the rate at which it ran before."""
        is_known = device.is_same(self._devices[kind])
        try:
            line = self._opened_line(kind, device, self._rates_hz.get(kind, 0) if is_known else 0)
        except AudioDeviceError:
            return None
        if line.has_run.wait(_RUN_PATIENCE_S):
            return line
        _end([line])
        return None

    # ---------------------------------------------------------------------------- what is told

    def _tell(self, report: DevicesReport) -> None:
        if self._report is None:
            self._untold.append(report)
        else:
            self._report(report)

    def _tell_lost(self, told: dict[Kind, str]) -> None:
        new = {kind: why for kind, why in self._lost.items() if why and kind not in told}
        if new:
            told |= new
            are_gone = f"{_sides(new)} {'is' if len(new) == 1 else 'are'} gone"
            reason = next(iter(new.values()))
            self._tell(Noted(f"{are_gone}: {reason}; looking for another"))

    def _tell_found(self, told: dict[Kind, str], before: dict[Kind, DeviceInfo]) -> None:
        same, moved = [], []
        for kind, device in self._devices.items():
            if not device.is_same(before[kind]):
                moved.append(f"{_sides([kind])} is now {device.name!r}")
            elif kind in told:
                same.append(kind)
        if same:
            moved.insert(0, f"{_sides(same)} {'is' if len(same) == 1 else 'are'} back")
        if moved:
            self._tell(Noted("; ".join(moved)))

    def _give_up(self, told: dict[Kind, str]) -> None:
        reason = next(iter(told.values()), WENT_AWAY)
        message = f"{reason}, and no {self._missing_names()} could be opened"
        if self._patience_s:
            message += f" for {self._patience_s:g} s"
        self._tell(Failed(message, SEE_DEVICES))

    def _missing_names(self) -> str:
        return " and no ".join(name for kind, name in KIND_NAMES.items() if kind in self._lost)

    # ------------------------------------------------------------------------ lists of devices

    def _watch_list_if_needed(self) -> None:
        """Watch the list while another one could give us a better device."""
        is_second_best = any(
            not self._devices[kind].is_same(wanted) for kind, wanted in self._wanted.items()
        )
        if self._follows_default or is_second_best or (self._lost and self._lines):
            self._watch.start()
        else:
            self._watch.close()

    def _listed(self, devices: list[DeviceInfo]) -> None:
        """Another process sees these devices."""
        if self._loop is None or devices == self._known:
            return
        if self._lost:
            self._list_is_old = any(
                candidates(devices, self._wanted.get(kind), kind) for kind in self._lost
            )
        elif any(self._is_better(devices, kind) for kind in self._devices):
            self._list_is_old = True
            for line in list(self._lines.values()):
                self._take_down(line, "")
            self._recover_soon()

    def _is_better(self, devices: list[DeviceInfo], kind: Kind) -> bool:
        wanted, used = self._wanted.get(kind), self._devices[kind]
        if wanted is None and not self._follows_default:
            return False
        best = next(iter(candidates(devices, wanted, kind)), None)
        return best is not None and not best.is_same(used)

    # ------------------------------------------------------------- between PortAudio and the loop

    def _line_ended(self, line: _Line) -> None:
        self._tell_loop(self._line_lost, line, WENT_AWAY)

    def _wake(self) -> None:
        if not self._is_waking:
            self._is_waking = True
            self._tell_loop(self._woken)

    def _tell_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call, *arguments)

    def _woken(self) -> None:
        self._is_waking = False
        self.speaker.report_events()
        self.microphone.hand_over()

    def _look_at_clock(self) -> None:
        """Nobody tells of a sound server that hangs: callbacks just do not come."""
        for line in list(self._lines.values()):
            late_s = self._clock() - line.called_back_at
            line.late_checks = line.late_checks + 1 if late_s > _FROZEN_AFTER_S else 0
            if line.late_checks > 1:  # twice: after a sleep of the whole machine one is normal
                self._line_lost(line, STOPPED_ANSWERING)
        loop = asyncio.get_running_loop()
        self._watchdog = loop.call_later(_FROZEN_AFTER_S / 2, self._look_at_clock)


def _sides(kinds: Collection[Kind]) -> str:
    return " and ".join(f"the {name}" for kind, name in KIND_NAMES.items() if kind in kinds)


def _end(lines: Sequence[_Line]) -> None:
    for line in lines:
        if line.stream is not None:
            line.stream.abort(ignore_errors=True)
            line.stream.close(ignore_errors=True)


async def _in_own_thread(
    call: Callable[[], _T],
    patience_s: float,
    discard: Callable[[_T], None] = lambda _: None,
    threads: set[threading.Thread] | None = None,
) -> _T:
    """Run `call` in a thread that is left behind when it takes longer; raises TimeoutError then.

    Not in an executor, whose threads are waited for at the interpreter's end. `discard` gets a
    result that comes when nobody waits for it any more. The thread is added to `threads`.
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

    _started_thread(run, set() if threads is None else threads)
    return await asyncio.wait_for(asyncio.wrap_future(outcome), patience_s)


def _started_thread(call: Callable[[], None], threads: set[threading.Thread]) -> None:
    thread = threading.Thread(target=with_com, args=(call,), name="sound-device", daemon=True)
    threads.add(thread)
    thread.start()


def _descriptor(stream: Any) -> int | None:
    try:
        number: int = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
    return number
