"""The screen of a talk at a terminal: picture, keys and what they mean, put together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable

from voicecli.conversation import Conversation
from voicecli.inputs import Input, QuitPressed
from voicecli.reports import Report
from voicecli.ui.controls import Controls, Key, Outcome, UiCommand
from voicecli.ui.keys import Keyboard, open_keyboard
from voicecli.ui.meters import Meters
from voicecli.ui.terminal import Terminal


class AtTerminal:
    """A picture and a keyboard at one terminal, stopped and continued with the process.

    All methods belong to the thread of the event loop. Ctrl-C and SIGTERM are not handled here:
    whoever handles them ends what is shown, and closes.

    Args:
        terminal: where to draw.
        clock: gives the time of the keys, in seconds; the timers of the loop measure the same.
    """

    def __init__(
        self, terminal: Terminal | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._terminal = terminal or Terminal()
        self._clock = clock
        self._keyboard: Keyboard | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def tell(self, report: Report, at: float) -> None:
        self._terminal.tell(report, at)

    def _take_over(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._terminal.start()
        fd = open_keyboard(self._terminal.fd)
        if fd is not None:
            self._keyboard = Keyboard(fd, self._terminal.write, self._clock)
            self._keyboard.start(self._keys_came)
        self._watch_signals()

    def _give_back(self) -> None:
        """Leave the terminal as it was. May be called twice."""
        self._forget_signals()
        if self._keyboard is not None:
            self._keyboard.close()
            self._keyboard = None
        self._terminal.close()

    def _keys_came(self, keys: list[Key], at: float) -> None:
        """Keys of one read; none at all if the terminal is gone."""

    def _redraw(self) -> None:
        """Draw the last picture again."""

    # ---------------------------------------------------------------------------------- the signals

    if sys.platform == "win32":

        def _watch_signals(self) -> None:
            return

        def _forget_signals(self) -> None:
            return

    else:

        def _watch_signals(self) -> None:
            if self._loop is not None:
                self._loop.add_signal_handler(signal.SIGWINCH, self._redraw)
                self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
                self._loop.add_signal_handler(signal.SIGCONT, self._was_stopped)

        def _forget_signals(self) -> None:
            if self._loop is not None:
                self._loop.remove_signal_handler(signal.SIGWINCH)
                self._forget_stops(self._loop)
                self._loop = None

        def _stop(self) -> None:
            """Ctrl-Z: give the terminal back, stop, and take it again when the process goes on."""
            if self._keyboard is not None:
                self._keyboard.suspend()
            self._terminal.suspend()
            if self._loop is None:
                return
            self._forget_stops(self._loop)
            os.kill(os.getpid(), signal.SIGTSTP)
            # Here the process stands still; it goes on with the next line.
            self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
            self._loop.add_signal_handler(signal.SIGCONT, self._was_stopped)
            self._continue()

        def _forget_stops(self, loop: asyncio.AbstractEventLoop) -> None:
            loop.remove_signal_handler(signal.SIGTSTP)
            loop.remove_signal_handler(signal.SIGCONT)

        def _was_stopped(self) -> None:
            """Going on after a SIGSTOP, which nobody is told of beforehand."""
            self._terminal.suspend()
            self._continue()

        def _continue(self) -> None:
            self._terminal.resume()
            if self._keyboard is not None:
                self._keyboard.resume()
            self._redraw()


class TerminalScreen(AtTerminal):
    """Draws when the session says so, and at once after a key or a change of the terminal's size.

    See `AtTerminal` for the arguments.
    """

    wants_drawing = True

    def __init__(
        self, terminal: Terminal | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(terminal, clock)
        self._controls = Controls()
        self._deliver: Callable[[Input], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last: tuple[Conversation, Meters] | None = None

    async def start(self, deliver: Callable[[Input], None]) -> None:
        """Take the terminal over; `deliver` gets what the keys mean."""
        self._deliver = deliver
        self._take_over()

    def draw(self, conversation: Conversation, meters: Meters) -> None:
        self._last = conversation, meters
        phase = conversation.phase
        self._controls.can_talk = conversation.is_manual and phase != "connecting"
        controls = self._controls
        self._terminal.draw(conversation, meters, controls.prompt, show_help=controls.show_help)

    async def close(self) -> None:
        """Give the terminal back as it was. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._give_back()

    # ------------------------------------------------------------------------------------- the keys

    def _keys_came(self, keys: list[Key], at: float) -> None:
        """Keys of one read; none at all if the terminal is gone."""
        if self._keyboard is not None:
            self._controls.talk.knows_releases = self._keyboard.knows_releases
        if not keys:
            self._carry_out([QuitPressed()])
        for key in keys:
            self._carry_out(self._controls.press(key, at))
        self._arm(at)
        self._redraw()

    def _ticked(self) -> None:
        at = self._clock()
        self._carry_out(self._controls.tick(at))
        self._arm(at)
        self._redraw()

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._controls.next_timer()
        if due is not None and self._loop is not None:
            self._timer = self._loop.call_later(max(0.0, due - at), self._ticked)

    def _carry_out(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, UiCommand):
                if outcome is UiCommand.REPAINT:
                    self._terminal.repaint()
            elif self._deliver is not None:
                self._deliver(outcome)

    def _redraw(self) -> None:
        if self._last is not None:
            self.draw(*self._last)
