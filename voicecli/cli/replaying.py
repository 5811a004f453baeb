"""A recording gone through: played live at a terminal, or told as fast as possible."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from voicecli.actions import Tell
from voicecli.audio.ports import DevicesReport, Failed, Noted
from voicecli.cli.signals import EndingSignals
from voicecli.errors import AudioDeviceError
from voicecli.recording.playing.ending import STOPPED, Ending, ending_of
from voicecli.recording.playing.outlets import SilentOutlet, SpeakerOutlet
from voicecli.recording.playing.pace import clock_text, faster, slower
from voicecli.recording.playing.places import Places
from voicecli.recording.playing.player import Player, Shown, Wanted
from voicecli.ui.meters import DRAW_BUSY_S, Meters
from voicecli.ui.replay_keys import ReplayCommand

if TYPE_CHECKING:
    from voicecli.conversation import Conversation
    from voicecli.recording.files import Recording
    from voicecli.recording.fold import Step
    from voicecli.reports import Report
    from voicecli.session import Screen
    from voicecli.transcript import Row
    from voicecli.ui.replay_view import Progress

TICK_S: Final = 0.04
SEEK_S: Final = 5.0

SPEAKER_PATIENCE_S: Final = 10.0
"When the speaker goes away: so long the replay waits for another, then it goes on without."

SETTLE_S: Final = 0.2
"The keys that go elsewhere have to rest for so long before it is gone there."

ROWS_KEPT: Final = 4
"So many rows from before are shown again after going elsewhere."

_STEPS_AT_ONCE: Final = 256


@dataclass(frozen=True)
class Sound:
    """What is to be heard."""

    speaker: str = "none"
    "As `talk --speaker` takes it."
    is_asked_for: bool = False
    "Without it there is no replay; a default that is not there is told of, and that is all."


class View(Protocol):
    """Where a replay is shown."""

    async def start(self, deliver: Callable[[ReplayCommand], None]) -> None: ...

    def tell(self, report: Report, at: float) -> None: ...

    def draw(self, conversation: Conversation, meters: Meters, progress: Progress) -> None: ...

    def note(self, message: str) -> None: ...

    def begin_anew(self, printed: Iterable[Row]) -> None: ...

    async def close(self) -> None: ...


class LinesView:
    """A replay as lines: those of a talk, and its notes on stderr."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    async def start(self, deliver: Callable[[ReplayCommand], None]) -> None:
        """Begin; a reader who goes away ends the replay."""
        await self._screen.start(lambda _: deliver(ReplayCommand.QUIT))

    def tell(self, report: Report, at: float) -> None:
        self._screen.tell(report, at)

    def draw(self, conversation: Conversation, meters: Meters, progress: Progress) -> None:
        """Nothing: there is nowhere to draw."""

    def note(self, message: str) -> None:
        warn(message)

    def begin_anew(self, printed: Iterable[Row]) -> None:
        """Nothing: lines are told once."""

    async def close(self) -> None:
        await self._screen.close()


def warn(message: str) -> None:
    """A line on stderr."""
    from voicecli.ui.clean import clean

    sys.stderr.write(f"voicecli: {clean(message, one_line=True)}\n")


# -------------------------------------------------------------------------------- as fast as it can


async def tell_all(recording: Recording, wanted: Wanted, view: View) -> None:
    """Tell what was reported between two times, and the summary, without waiting for anything."""
    asked_to_end = asyncio.Event()
    with EndingSignals() as signals:
        signals.quit = asked_to_end.set
        await view.start(lambda _: asked_to_end.set())
        try:
            place = Places(recording).before(wanted.from_s)
            shown = Shown(recording, place)
            last = recording.duration_s if wanted.to_s is None else wanted.to_s
            for number, step in enumerate(shown.until(last)):
                if step.at >= wanted.from_s:
                    _tell(view, step)
                if number % _STEPS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                    if asked_to_end.is_set():
                        last = step.at
                        break
            ending = _ending(recording, last, shown.lost_frames)
            view.tell(ending.summary(shown.conversation), ending.at)
        finally:
            await view.close()


def _tell(view: View, step: Step) -> None:
    for action in step.actions:
        if isinstance(action, Tell):
            view.tell(action.report, step.at)


def _ending(recording: Recording, reached: float, lost_frames: int) -> Ending:
    """The recording's own ending, or what there is when the replay ends before it."""
    ending = ending_of(recording)
    if reached >= ending.at:
        return ending
    return Ending(reached, STOPPED, dropped_frames=lost_frames)


# --------------------------------------------------------------------------------------------- live


async def play(recording: Recording, wanted: Wanted, sound: Sound, view: View) -> None:
    """Play a recording in its time, on a speaker if there is one, and show it.

    Raises:
        AudioDeviceError: the speaker that was asked for is not there, or cannot be written to.
    """
    with EndingSignals() as signals:
        async with AsyncExitStack() as stack:
            replay = Replay(recording, wanted, view)
            stack.push_async_callback(view.close)
            signals.quit = replay.quit
            await view.start(replay.command)
            replay.show_beginning()
            await _open_speaker(replay, sound, stack)
            await replay.run()


async def _open_speaker(replay: Replay, sound: Sound, stack: AsyncExitStack) -> None:
    from voicecli.cli.edges import is_device, open_audio
    from voicecli.config import Audio

    if sound.speaker == "none":
        return
    on_failure = replay.speaker_failed if is_device(sound.speaker) else replay.sound_lost
    try:
        edges = await stack.enter_async_context(
            open_audio(
                Audio(mic="none", speaker=sound.speaker, device_patience_s=SPEAKER_PATIENCE_S)
            )
        )
        outlet = SpeakerOutlet(edges.speaker, on_failure)
        await edges.speaker.start(outlet.reported)
        if edges.devices is not None:
            await edges.devices.start(replay.devices_reported)
    except AudioDeviceError as exc:
        if sound.is_asked_for:
            raise
        replay.note(f"nothing can be heard: {exc.message}")
        return
    replay.player.replace_outlet(outlet, with_sound=True)


class Replay:
    """One recording being played: the player, what the keys do to it, and the pictures.

    Args:
        recording: open.
        wanted: how to play it.
        view: where it is shown.
        clock: seconds, for the pace without a speaker.
    """

    def __init__(
        self,
        recording: Recording,
        wanted: Wanted,
        view: View,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recording = recording
        self._view = view
        self._clock = clock
        self._outlet = SilentOutlet(clock)
        self.player = Player(recording, wanted, self._outlet, with_sound=False)
        self._wanted = wanted
        self._woken = asyncio.Event()
        self._is_over = False
        self._error: AudioDeviceError | None = None
        self._wants_to_play = True
        self._going_to: float | None = None
        self._goes_at = 0.0
        self._draws_at = 0.0
        self._warned = 0

    # ----------------------------------------------------------------------------------- the keys

    def quit(self) -> None:
        """End as soon as possible, in good order."""
        self._is_over = True
        self._woken.set()

    def command(self, command: ReplayCommand) -> None:
        """Do what a key asks for."""
        player = self.player
        at = player.at if self._going_to is None else self._going_to
        match command:
            case ReplayCommand.QUIT:
                self.quit()
            case ReplayCommand.PAUSE:
                self._toggle()
            case ReplayCommand.BACK:
                self._go_to(at - SEEK_S)
            case ReplayCommand.FORWARD:
                self._go_to(at + SEEK_S)
            case ReplayCommand.START:
                self._go_to(0.0)
            case ReplayCommand.TURN_BACK:
                self._go_to(player.route.before(at))
            case ReplayCommand.TURN_ON:
                self._go_to_if(player.route.following(at))
            case ReplayCommand.MARKER_BACK:
                self._go_to_if(player.route.marker_before(at))
            case ReplayCommand.MARKER_ON:
                self._go_to_if(player.route.following_marker(at))
            case ReplayCommand.FASTER:
                player.set_speed(faster(player.speed))
            case ReplayCommand.SLOWER:
                player.set_speed(slower(player.speed))
        self._draws_at = 0.0
        self._woken.set()

    def speaker_failed(self, message: str) -> None:
        """Go on without sound: the speaker is gone."""
        was_playing = self.player.state == "playing"
        self.player.pause()
        self.player.replace_outlet(SilentOutlet(self._clock), with_sound=False)
        self.note(f"nothing can be heard any more: {message}")
        if was_playing:
            self.player.play()

    def sound_lost(self, message: str) -> None:
        """End: the file or pipe that was to have all of the sound takes no more."""
        self._error = AudioDeviceError(message)
        self.quit()

    def devices_reported(self, report: DevicesReport) -> None:
        """The speaker's device went away, or another one stands in for it."""
        match report:
            case Noted(message):
                self.note(message)
            case Failed(message):
                self.speaker_failed(message)

    def note(self, message: str) -> None:
        """Tell the user something, once and for good."""
        self._view.note(message)

    def _toggle(self) -> None:
        self._wants_to_play = not self._wants_to_play
        if self._going_to is not None:
            return
        if self._wants_to_play:
            self.player.play()
        else:
            self.player.pause()

    def _go_to_if(self, at: float | None) -> None:
        """Go there; stay where it is None."""
        if at is not None:
            self._go_to(at)

    def _go_to(self, at: float) -> None:
        self.player.pause()
        self._going_to = min(max(0.0, at), self.player.ends_at)
        self._goes_at = self._clock() + SETTLE_S

    # ------------------------------------------------------------------------------------ the loop

    def show_beginning(self) -> None:
        """The first picture, before anything is heard."""
        for step in self.player.catch_up():
            if step.at >= self._wanted.from_s:
                _tell(self._view, step)
        if self.player.at > 0:
            self._tell_what_is_left_out()
        self._draw()

    async def run(self) -> None:
        """Play to the end, or until the user has enough.

        Raises:
            AudioDeviceError: the file or pipe that is the speaker cannot be written any more.
        """
        if self._wants_to_play and self._going_to is None:
            self.player.play()
        while not self._is_over and self.player.state != "ended":
            self._tick()
            await self._sleep()
        self._wind_up()
        if self._error is not None:
            raise self._error

    def _tick(self) -> None:
        if self._going_to is not None and self._clock() >= self._goes_at:
            self._arrive(self._going_to)
        was_playing = self.player.state == "playing"
        self.player.tick()
        if was_playing and self.player.state == "paused":
            self._wants_to_play = False
            self._draws_at = 0.0
        if self._going_to is None:
            self._show_steps()
        self._tell_warnings()
        if self._clock() >= self._draws_at:
            self._draw()

    async def _sleep(self) -> None:
        is_still = self.player.state == "paused" and self._going_to is None
        self._woken.clear()
        if self._is_over:
            return
        try:
            async with asyncio.timeout(None if is_still else TICK_S):
                await self._woken.wait()
        except TimeoutError:
            return

    def _arrive(self, at: float) -> None:
        self._going_to = None
        if self.player.seek(at):
            for _ in self.player.catch_up():
                pass
            self._tell_what_is_left_out()
        else:
            self._show_steps()
        if self._wants_to_play:
            self.player.play()
        self._draws_at = 0.0

    def _show_steps(self) -> None:
        for step in self.player.catch_up():
            _tell(self._view, step)

    def _tell_what_is_left_out(self) -> None:
        """Begin the picture anew, with the last rows before and a word about those that are not."""
        place = self.player.shown.place
        transcript = self.player.shown.conversation.transcript
        settled = [row for row in transcript if row.is_settled]
        hidden = settled[: max(0, len(settled) - ROWS_KEPT)]
        self._view.begin_anew(hidden)
        turns = place.turns + sum(row.speaker == "user" for row in hidden)
        stops = self.player.route.stops
        until = stops[turns] if hidden and turns < len(stops) else place.at
        if turns:
            left_out = f"{turns} turn{'s' if turns > 1 else ''} before this"
            self.note(f"{left_out}: 0:00 to {clock_text(until)}")
        else:
            self.note("from the beginning")

    def _tell_warnings(self) -> None:
        for warning in self._recording.warnings[self._warned :]:
            self.note(warning)
        self._warned = len(self._recording.warnings)

    def _draw(self) -> None:
        from voicecli.ui.replay_view import Progress

        player, shown = self.player, self.player.shown
        at = player.at if self._going_to is None else self._going_to
        self._draws_at = self._clock() + DRAW_BUSY_S
        is_still = player.state == "paused" and self._going_to is None
        meters = Meters(
            at=player.at, dropped_frames=shown.lost_frames, heard=shown.heard(player.at)
        )
        if player.state == "playing":
            meters = replace(meters, level_dbfs=shown.level_dbfs)
        is_paused = is_still and not self._wants_to_play
        is_before_turn = is_paused and self._wanted.stops_at_turns
        progress = Progress(
            at=at,
            duration=self._recording.duration_s,
            speed=player.speed,
            is_paused=is_paused,
            route=player.route,
            hint="space goes on to the next turn" if is_before_turn else "",
        )
        self._view.draw(shown.conversation, meters, progress)

    def _wind_up(self) -> None:
        self.player.pause()
        self._show_steps()
        self._tell_warnings()
        shown = self.player.shown
        reached = self.player.at
        if self.player.state == "ended" and self._wanted.to_s is None:
            reached = self._recording.duration_s
        ending = _ending(self._recording, reached, shown.lost_frames)
        self._draw()
        self._view.tell(ending.summary(shown.conversation), ending.at)
