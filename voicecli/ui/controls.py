"""What the keys mean: key events in, inputs of the conversation out.

Theory of the talk key. A terminal tells when a key goes down, and most of them nothing about when
it comes up: a key that is held looks like one that is typed over and over, after a first pause of
250 to 700 ms that is set in the system. So a press opens the turn, and what follows decides what
it was:

- nothing: a tap. The turn stays open until the next tap.
- another press that is followed by a third within `REPEAT_GAP_S`: no finger is that fast, the key
  is held. The turn ends when the presses stop coming.
- another press and then none: a second tap. The turn ends.

Where the terminal reports releases, a press that lasts `TAP_S` or longer is a hold and ends with
its release, exactly; a shorter one is a tap all the same.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Literal, TypeAlias

from voicecli.inputs import (
    Input,
    InterruptPressed,
    MarkerSet,
    MuteToggled,
    QuitPressed,
    TalkPressed,
    TalkReleased,
    TextTyped,
)
from voicecli.ui.clean import MAX_CHARS, clean

KeyAction: TypeAlias = Literal["press", "repeat", "release"]

REPEAT_GAP_S: Final = 0.15
"The longest pause between two presses of a key that is held: terminals send one every 15 to 50 ms."

TAP_S: Final = 0.25
"A press that is shorter is a tap, where releases are known."

LOST_RELEASE_S: Final = 1.5
"A press so long after the last sign of a held key is a new one: its release was lost."


@dataclass(frozen=True, slots=True)
class Key:
    """One key event."""

    name: str
    "`char`, `paste`, `enter`, `escape`, `backspace`, `delete`, `left`, …, `ctrl-c`, `alt-x`."
    text: str = ""
    "What a `char` or a `paste` writes."
    action: KeyAction = "press"


class UiCommand(Enum):
    """What only the screen has to do."""

    REDRAW = "redraw"
    "The message line or the help has changed."
    REPAINT = "repaint"
    "Draw everything anew: something else has written on the terminal."


Outcome: TypeAlias = Input | UiCommand


@dataclass(frozen=True, slots=True)
class Prompt:
    """The message line: its text and where in it the cursor stands."""

    text: str = ""
    cursor: int = 0

    @property
    def parts(self) -> tuple[str, str, str]:
        """What stands before the cursor, the sign under it (empty at the end), and what follows."""
        end = _after(self.text, self.cursor)
        return self.text[: self.cursor], self.text[self.cursor : end], self.text[end:]

    def insert(self, text: str) -> Prompt:
        text = clean(text)[: max(0, MAX_CHARS - len(self.text))]
        joined = self.text[: self.cursor] + text + self.text[self.cursor :]
        return Prompt(joined, self.cursor + len(text))

    def moved(self, cursor: int) -> Prompt:
        return replace(self, cursor=min(len(self.text), max(0, cursor)))

    def without(self, start: int, end: int) -> Prompt:
        return Prompt(self.text[:start] + self.text[end:], start)

    def edited(self, key: Key) -> Prompt:
        """The line after one key; unchanged where the key means nothing here."""
        text, cursor = self.text, self.cursor
        match key.name:
            case "char" | "paste":
                return self.insert(key.text)
            case "backspace":
                return self.without(_before(text, cursor), cursor)
            case "delete" | "ctrl-d":
                return self.without(cursor, _after(text, cursor))
            case "left" | "ctrl-b":
                return self.moved(_before(text, cursor))
            case "right" | "ctrl-f":
                return self.moved(_after(text, cursor))
            case "home" | "ctrl-a":
                return self.moved(0)
            case "end" | "ctrl-e":
                return self.moved(len(text))
            case "ctrl-u":
                return self.without(0, cursor)
            case "ctrl-k":
                return replace(self, text=text[:cursor])
            case "ctrl-w":
                return self.without(_word_start(text, cursor), cursor)
        return self


@dataclass
class TalkKey:
    """The talk key of one turn; see the module's theory."""

    knows_releases: bool = False
    is_open: bool = False
    "A turn has been begun and not ended."
    _pressed_at: float = 0.0
    _seen_at: float = 0.0
    _is_down: bool = False
    "Only where releases are known."
    _presses: int = 0
    "Since the turn was opened, counting from a tap that opened it."

    def pressed(self, at: float, *, is_repeat: bool) -> list[Input]:
        since, self._seen_at = at - self._seen_at, at
        if self.knows_releases:
            if self._is_down and (is_repeat or since < LOST_RELEASE_S):
                return []
            self._is_down = True
            self._pressed_at = at
            return self._close() if self.is_open else self._open()
        if not self.is_open:
            return self._open()
        if self._presses > 1 and since >= REPEAT_GAP_S:
            # The end was due and nobody has asked for it yet.
            return [*self._close(), *self._open()]
        self._presses += 1
        return []

    def released(self, at: float) -> list[Input]:
        """The key came up, says a terminal that knows."""
        was_down, self._is_down = self._is_down, False
        if not self.knows_releases or not was_down or not self.is_open:
            return []
        return self._close() if at - self._pressed_at >= TAP_S else []

    def next_timer(self) -> float | None:
        """When a decision is due that no key will bring."""
        if self.knows_releases or not self.is_open or self._presses < 2:
            return None
        return self._seen_at + REPEAT_GAP_S

    def tick(self, at: float) -> list[Input]:
        due = self.next_timer()
        return self._close() if due is not None and at >= due else []

    def end(self) -> list[Input]:
        """Something else ends the turn."""
        return self._close() if self.is_open else []

    def _open(self) -> list[Input]:
        self.is_open = True
        self._presses = 1
        return [TalkPressed()]

    def _close(self) -> list[Input]:
        self.is_open = False
        self._presses = 0
        return [TalkReleased()]


@dataclass
class Controls:
    """The keyboard of a talk: the talk key, the message line, the rest.

    `at` is in seconds on the clock of the keys, never decreasing.
    """

    can_talk: bool = False
    "Whether a turn can be begun by key now; follows the session."
    prompt: Prompt | None = None
    "The message being written; None while keys are commands."
    show_help: bool = False
    talk: TalkKey = field(default_factory=TalkKey)
    _draft: Prompt = Prompt()
    "What was left unsent."

    def press(self, key: Key, at: float) -> list[Outcome]:
        """Take a key event."""
        if key.action == "release":
            return [*self.talk.released(at)] if key.text == " " else []
        if key.name in ("ctrl-c", "ctrl-\\"):
            return [QuitPressed()]
        if key.name == "ctrl-l":
            return [UiCommand.REPAINT]
        if self.prompt is not None:
            return self._write(self.prompt, key)
        return self._command(key, at)

    def next_timer(self) -> float | None:
        """When `tick` should be called; None for never."""
        return self.talk.next_timer()

    def tick(self, at: float) -> list[Outcome]:
        return [*self.talk.tick(at)]

    def _write(self, prompt: Prompt, key: Key) -> list[Outcome]:
        match key.name:
            case "enter":
                return self._send(prompt)
            case "escape":
                self.prompt, self._draft = None, prompt
                return [UiCommand.REDRAW]
            case "ctrl-d" if not prompt.text:
                return [QuitPressed()]
        edited = prompt.edited(key)
        if edited == prompt:
            return []
        self.prompt = edited
        return [UiCommand.REDRAW]

    def _send(self, prompt: Prompt) -> list[Outcome]:
        self.prompt, self._draft = None, Prompt()
        text = prompt.text.strip()
        return [UiCommand.REDRAW, *([TextTyped(text)] if text else [])]

    def _command(self, key: Key, at: float) -> list[Outcome]:
        if key.text == " " and key.name == "char":
            is_repeat = key.action == "repeat"
            return [*self.talk.pressed(at, is_repeat=is_repeat)] if self._may_talk else []
        if key.action == "repeat":
            return []
        match key.name, key.text:
            case "enter", _:
                return self._open_line(self._draft)
            case "paste", _:
                # Pasted text is never a row of commands.
                return self._open_line(self._draft.insert(key.text))
            case "escape", _:
                was_help, self.show_help = self.show_help, False
                return [UiCommand.REDRAW] if was_help else [InterruptPressed()]
            case "char", "m":
                return [MuteToggled()]
            case "char", "b":
                return [MarkerSet()]
            case "char", "?":
                self.show_help = not self.show_help
                return [UiCommand.REDRAW]
            case ("char", "q") | ("ctrl-d", _):
                return [QuitPressed()]
        return []

    @property
    def _may_talk(self) -> bool:
        return self.can_talk or self.talk.is_open

    def _open_line(self, prompt: Prompt) -> list[Outcome]:
        """Begin to write. The space bar writes from here on, so a turn that it holds open ends."""
        self.prompt = prompt
        return [*self.talk.end(), UiCommand.REDRAW]


def _is_attached(text: str, index: int) -> bool:
    """Whether the character at `index` is one sign with the one before it."""
    character, before = text[index], text[index - 1]
    return (
        "\u200d" in (character, before)
        or unicodedata.category(character) in ("Mn", "Me")
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _before(text: str, cursor: int) -> int:
    """Where the sign before the cursor begins."""
    start = max(0, cursor - 1)
    while 0 < start < len(text) and _is_attached(text, start):
        start -= 1
    return start


def _after(text: str, cursor: int) -> int:
    """Where the sign under the cursor ends."""
    end = min(len(text), cursor + 1)
    while 0 < end < len(text) and _is_attached(text, end):
        end += 1
    return end


def _word_start(text: str, cursor: int) -> int:
    before = text[:cursor].rstrip()
    return max(before.rfind(" "), before.rfind("\n")) + 1
