"""One live conversation: the pumps, and the step where they meet.

The pumps wait: for the server, for the outbox, for the time. `_step` never waits: it hands one
input to the conversation and carries out what comes back. All of it runs in the loop's thread, so
nothing is locked.

The edges (microphone, speaker, connection, screen, tools) are arguments; what is needed of each is
named here or in `audio.ports`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Final, Protocol

from voicecli import actions, inputs
from voicecli.audio.pcm import level_dbfs
from voicecli.audio.playback import Drained, Emitted, Finished, Started
from voicecli.audio.ports import (
    Devices,
    DevicesReport,
    Failed,
    Microphone,
    Noted,
    Speaker,
    SpeakerReport,
)
from voicecli.conversation import Conversation
from voicecli.errors import AudioDeviceError, VoicecliError
from voicecli.inputs import Input
from voicecli.outbox import Outbox
from voicecli.protocol.events import ClientEvent
from voicecli.reports import Report
from voicecli.ui.meters import DRAW_BUSY_S, DRAW_IDLE_S, SILENCE_DBFS, Meters


class Link(Protocol):
    """What a session needs of a connection."""

    opened_at: float

    async def send(self, event: ClientEvent) -> None: ...

    def __aiter__(self) -> AsyncIterator[inputs.Received]: ...


class Toolbox(Protocol):
    """What a session needs of the functions that the model may call."""

    async def run(self, name: str, arguments: str) -> tuple[str, bool]:
        """The output for the model, and whether it tells of a failure."""


class Screen(Protocol):
    """Where a talk is shown, and where keys come from."""

    wants_drawing: bool

    async def start(self, deliver: Callable[[Input], None]) -> None: ...

    def tell(self, report: Report, at: float) -> None: ...

    def draw(self, conversation: Conversation, meters: Meters) -> None: ...

    async def close(self) -> None: ...


class Observer(Protocol):
    """Sees all that happens, and must not wait: a recorder, or the director of a script."""

    def stepped(self, an_input: Input, at: float, actions: Sequence[actions.Action]) -> None:
        """An input went through the door; its actions are carried out next."""

    def frames_lost(self, count: int, at: float) -> None:
        """The network was too slow: so many of the oldest frames were not sent."""

    def ended(
        self, at: float, finish: actions.Finish, dropped_frames: int, underflows: int
    ) -> None:
        """The talk is over; nothing follows."""


class Session:
    """Runs one conversation to its end.

    Args:
        conversation: fresh; the session is its only caller from now on.
        connection: open; the caller closes it.
        microphone: not started; the caller closes it.
        speaker: not started; the caller closes it.
        screen: not started; the caller closes it.
        tools: the functions the model was offered.
        observers: see every step, in this order.
        devices: what the microphone or the speaker runs on, if that may go away.
        is_recording: tells whether the talk is being recorded, for the screen to show.
        clock: seconds, the one that the speaker's times are on.
    """

    def __init__(
        self,
        *,
        conversation: Conversation,
        connection: Link,
        microphone: Microphone,
        speaker: Speaker,
        screen: Screen,
        tools: Toolbox,
        observers: Sequence[Observer] = (),
        devices: Devices | None = None,
        is_recording: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conversation = conversation
        self._connection = connection
        self._microphone = microphone
        self._speaker = speaker
        self._screen = screen
        self._tools = tools
        self._observers = observers
        self._devices = devices
        self._is_recording = is_recording
        self._clock = clock
        self._outbox = Outbox()
        self._began_at = connection.opened_at
        self._end: asyncio.Future[actions.Finish] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._task_group: asyncio.TaskGroup | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._level_dbfs = SILENCE_DBFS
        self._mic_was_silent = False
        self._mic_had_ended = False

    async def run(self) -> None:
        """Talk until the conversation is over; the summary is the last report.

        Raises:
            VoicecliError: the talk could not go on.
        """
        await self._screen.start(self._step)
        # The microphone first: a file that cannot be read must not cost one that would be written.
        await self._microphone.start(self._frame_came)
        await self._speaker.start(self._speaker_reported)
        if self._devices is not None:
            await self._devices.start(self._devices_reported)
        async with asyncio.TaskGroup() as tasks:
            self._task_group = tasks
            for pump in (self._receive(), self._send(), self._draw()):
                self._run_beside(pump)
            finish = await self._end
            # Whatever takes its time to close, nothing is to be heard after the end.
            self._speaker.stop()
            for task in list(self._tasks):
                task.cancel()
        self._wind_up(finish)
        if finish.error is not None:
            raise finish.error

    def deliver(self, an_input: Input) -> None:
        """Take an input from elsewhere; in the loop's thread, and not from inside of a step."""
        self._step(an_input)

    def quit(self) -> None:
        """End the talk in good order, as the user asked for."""
        self._step(inputs.QuitPressed())

    @property
    def dropped_frames(self) -> int:
        """Microphone frames that never reached the server."""
        return self._microphone.dropped_frames + self._outbox.dropped_frames

    # ---------------------------------------------------------------------------------- the step

    def _step(self, an_input: Input) -> None:
        at = self._now()
        wanted = self._conversation.handle(an_input, at)
        for observer in self._observers:
            observer.stepped(an_input, at, wanted)
        for action in wanted:
            self._carry_out(action, at)
        if not isinstance(an_input, inputs.MicFrame):
            self._changed.set()
        self._set_alarm()

    def _carry_out(self, action: actions.Action, at: float) -> None:
        match action:
            case actions.Send(event):
                self._send_soon(event, at)
            case actions.Play(item_id, content_index, pcm):
                self._speaker.play(item_id, content_index, pcm)
            case actions.FinishPart(item_id, content_index):
                self._speaker.finish(item_id, content_index)
            case actions.SetGain(gain):
                self._speaker.set_gain(gain)
            case actions.StopPlayback():
                self._step(inputs.PlaybackStopped(tuple(self._speaker.stop())))
            case actions.CallTool(call_id, name, arguments):
                self._run_beside(self._call_tool(call_id, name, arguments))
            case actions.Tell(report):
                self._screen.tell(report, at)
            case actions.Finish():
                if not self._end.done():
                    self._end.set_result(action)

    def _send_soon(self, event: ClientEvent, at: float) -> None:
        lost = self._outbox.put(event)
        if lost:
            for observer in self._observers:
                observer.frames_lost(lost, at)

    def _run_beside(self, work: Coroutine[None, None, None]) -> None:
        """Run a pump or a function until it, or the talk, is over."""
        if self._task_group is None or self._end.done():
            work.close()
            return
        task = self._task_group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _now(self) -> float:
        """The time of a step, in whole microseconds: what is written down is what was acted on."""
        return self._on_clock(self._clock())

    def _on_clock(self, at: float) -> float:
        return round(at - self._began_at, 6)

    def _set_alarm(self) -> None:
        """Have `Woke` come at the conversation's next time."""
        due = self._conversation.next_timer()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if due is not None and not self._end.done():
            # Not a hair too early: steps are in whole microseconds, and would not be due.
            delay = max(0.0, math.ceil((due - self._now()) * 1e6) / 1e6)
            self._alarm = asyncio.get_running_loop().call_later(delay, self._step, inputs.Woke())

    def _wind_up(self, finish: actions.Finish) -> None:
        at = self._now()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._screen.wants_drawing:
            self._screen.draw(self._conversation, self._meters(at))
        summary = self._conversation.summary(
            at, finish.reason, self.dropped_frames, self._speaker.underflows
        )
        self._screen.tell(summary.report, at)
        for observer in self._observers:
            observer.ended(at, finish, self.dropped_frames, self._speaker.underflows)

    # --------------------------------------------------------------------------------- the pumps

    async def _receive(self) -> None:
        try:
            async for received in self._connection:
                self._step(received)
        except VoicecliError as exc:
            self._carry_out(actions.Finish("connection lost", exc), self._now())

    async def _send(self) -> None:
        while True:
            await self._connection.send(await self._outbox.get())

    async def _draw(self) -> None:
        while self._screen.wants_drawing:
            self._screen.draw(self._conversation, self._meters(self._now()))
            is_idle = self._conversation.phase in ("connecting", "listening")
            await asyncio.sleep(DRAW_BUSY_S)
            if is_idle:
                await self._wait_for_change(DRAW_IDLE_S - DRAW_BUSY_S)

    async def _wait_for_change(self, at_most_s: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(at_most_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _call_tool(self, call_id: str, name: str, arguments: str) -> None:
        output, failed = await self._tools.run(name, arguments)
        self._step(inputs.ToolFinished(call_id, output, failed))

    # ------------------------------------------------------------------- what the edges deliver

    def _frame_came(self, pcm: bytes) -> None:
        if self._screen.wants_drawing:
            self._level_dbfs = level_dbfs(pcm)
        if self._microphone.ended and not self._mic_had_ended:
            self._mic_had_ended = True
            self._step(inputs.MicEnded())
        elif self._microphone.silent != self._mic_was_silent:
            self._mic_was_silent = self._microphone.silent
            if self._mic_was_silent and not self._microphone.ended:
                self._step(inputs.Noticed(SILENT_MICROPHONE, "audio"))
        self._step(inputs.MicFrame(pcm))

    def _speaker_reported(self, report: SpeakerReport) -> None:
        match report:
            case Started(item_id, content_index, at):
                sounds_at = self._on_clock(at)
                self._step(inputs.PartStarted(item_id, content_index, sounds_at))
            case Emitted(item_id, content_index, first, samples, at, fade, gain):
                sounds_at = self._on_clock(at)
                place = (item_id, content_index, first, samples, sounds_at)
                self._step(inputs.PartEmitted(*place, fade, gain))
            case Finished(item_id, content_index):
                self._step(inputs.PartPlayed(item_id, content_index))
            case Drained():
                self._step(inputs.PlaybackDrained())
            case Failed():
                self._audio_lost(report)

    def _devices_reported(self, report: DevicesReport) -> None:
        match report:
            case Noted(message):
                self._step(inputs.Noticed(message, "note"))
            case Failed():
                self._audio_lost(report)

    def _audio_lost(self, failed: Failed) -> None:
        error = AudioDeviceError(failed.message, failed.hint)
        self._carry_out(actions.Finish("audio lost", error), self._now())

    def _meters(self, at: float) -> Meters:
        return Meters(
            at=at,
            level_dbfs=self._level_dbfs,
            dropped_frames=self.dropped_frames,
            underflows=self._speaker.underflows,
            heard=tuple(self._speaker.heard()),
            is_recording=self._is_recording(),
            missing="" if self._devices is None else self._devices.missing,
            is_half_duplex=self._devices is not None and self._devices.is_half_duplex,
        )


SILENT_MICROPHONE: Final = (
    "the microphone gives nothing but digital silence: it may be muted, blocked by the system's "
    "privacy settings, or open at a rate it cannot do (try another one: voicecli devices)"
)
