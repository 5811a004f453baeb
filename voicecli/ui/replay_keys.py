"""What the keys mean while a recording is played."""

from __future__ import annotations

from enum import Enum
from typing import Final

from voicecli.ui.controls import Key


class ReplayCommand(Enum):
    """What the user wants of the player."""

    PAUSE = "pause"
    "Or go on."
    BACK = "back"
    FORWARD = "forward"
    TURN_BACK = "turn back"
    TURN_ON = "turn on"
    MARKER_BACK = "marker back"
    MARKER_ON = "marker on"
    START = "start"
    FASTER = "faster"
    SLOWER = "slower"
    HELP = "help"
    REPAINT = "repaint"
    QUIT = "quit"


HELP: Final = (
    ("space", "pause, or go on"),
    ("left right", "5 seconds back or on"),
    ("up down", "a turn back or on; so do [ and ]"),
    ("n p", "to the next marker, or the one before"),
    ("home", "to the beginning"),
    ("+ -", "faster, slower"),
    ("?", "show or hide this"),
    ("q", "end; so does ctrl-c"),
)

_NAMED: Final = {
    "left": ReplayCommand.BACK,
    "right": ReplayCommand.FORWARD,
    "up": ReplayCommand.TURN_BACK,
    "down": ReplayCommand.TURN_ON,
    "page-up": ReplayCommand.TURN_BACK,
    "page-down": ReplayCommand.TURN_ON,
    "home": ReplayCommand.START,
    "ctrl-l": ReplayCommand.REPAINT,
    "ctrl-c": ReplayCommand.QUIT,
    "ctrl-d": ReplayCommand.QUIT,
    "ctrl-\\": ReplayCommand.QUIT,
}
_TYPED: Final = {
    " ": ReplayCommand.PAUSE,
    "[": ReplayCommand.TURN_BACK,
    "]": ReplayCommand.TURN_ON,
    "n": ReplayCommand.MARKER_ON,
    "p": ReplayCommand.MARKER_BACK,
    "+": ReplayCommand.FASTER,
    "=": ReplayCommand.FASTER,
    "-": ReplayCommand.SLOWER,
    "_": ReplayCommand.SLOWER,
    "?": ReplayCommand.HELP,
    "q": ReplayCommand.QUIT,
}
_MAY_REPEAT: Final = frozenset({ReplayCommand.BACK, ReplayCommand.FORWARD})


def command_of(key: Key) -> ReplayCommand | None:
    """What a key event asks for; None if it means nothing here."""
    if key.action == "release":
        return None
    command = _TYPED.get(key.text) if key.name == "char" else _NAMED.get(key.name)
    if key.action == "repeat" and command not in _MAY_REPEAT:
        return None
    return command
