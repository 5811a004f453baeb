"""The screen of a replay at a terminal: the picture of the talk, a bar below it, and the keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from voicecli.conversation import Conversation
from voicecli.reports import NoteReport
from voicecli.transcript import Row
from voicecli.ui.controls import Key
from voicecli.ui.meters import Meters
from voicecli.ui.replay_keys import ReplayCommand, command_of
from voicecli.ui.replay_view import Progress, footer
from voicecli.ui.screen import AtTerminal
from voicecli.ui.terminal import Terminal


class ReplayScreen(AtTerminal):
    """Draws when the player says so, and at once after a change of the terminal's size.

    See `AtTerminal` for the arguments.
    """

    def __init__(
        self, terminal: Terminal | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(terminal, clock)
        self._deliver: Callable[[ReplayCommand], None] | None = None
        self._shows_help = False
        self._last: tuple[Conversation, Meters, Progress] | None = None

    async def start(self, deliver: Callable[[ReplayCommand], None]) -> None:
        """Take the terminal over; `deliver` gets what the keys mean for the player."""
        self._deliver = deliver
        self._take_over()

    def draw(self, conversation: Conversation, meters: Meters, progress: Progress) -> None:
        self._last = conversation, meters, progress
        shown = footer(replace(progress, shows_help=self._shows_help))
        self._terminal.draw(conversation, meters, footer=shown)

    def note(self, message: str) -> None:
        """Print a dim line above the picture, for good."""
        self._terminal.tell(NoteReport(message=message), 0.0)

    def begin_anew(self, printed: Iterable[Row]) -> None:
        """The conversation is another one from here on; `printed`: its rows that are not shown."""
        self._terminal.begin_anew(printed)
        self._last = None

    async def close(self) -> None:
        """Give the terminal back as it was. May be called twice."""
        self._give_back()

    def _keys_came(self, keys: list[Key], at: float) -> None:
        if self._deliver is None:
            return
        if not keys:
            self._deliver(ReplayCommand.QUIT)
        for key in keys:
            command = command_of(key)
            if command is ReplayCommand.HELP:
                self._shows_help = not self._shows_help
                self._redraw()
            elif command is ReplayCommand.REPAINT:
                self._terminal.repaint()
                self._redraw()
            elif command is not None:
                self._deliver(command)

    def _redraw(self) -> None:
        if self._last is not None:
            self.draw(*self._last)
