"""The keyboard of a terminal: raw bytes to key events, and the modes that make it send them.

`KeyDecoder` is pure. `Keyboard` is the edge: it takes the terminal out of line mode, asks for
bracketed paste and, where the terminal says that it knows the kitty keyboard protocol, for release
events, and puts everything back on `close`. Signals stay on: Ctrl-C is a SIGINT as in every
program, and only where a terminal sends it as a key does it come through here.

Sources: ECMA-48 for control sequences, XTerm's control sequences for keys and bracketed paste, and
the specification of the kitty keyboard protocol (progressive enhancement 2, "report event types").
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from voicecli.ui.controls import Key, KeyAction

if TYPE_CHECKING:
    from typing import TypeAlias

    Deliver: TypeAlias = Callable[[list[Key], float], None]

ESCAPE_WAIT_S: Final = 0.05
"An escape byte that stands alone for so long is the key and not the start of a sequence."

PASTE_WAIT_S: Final = 1.0
"A paste whose end does not come for so long is taken as it is."

MAX_SEQUENCE_BYTES: Final = 256
MAX_PASTE_BYTES: Final = 100_000
"What a paste has beyond this is dropped."

_ESC: Final = 0x1B
_PASTE_START: Final = b"\x1b[200~"
_PASTE_END: Final = b"\x1b[201~"
_CSI: Final = re.compile(rb"\x1b\[([0-?]*)([ -/]*)([@-~])")
_CSI_START: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*\Z")
_STRING: Final = re.compile(rb"\x1b[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)")
_STRING_START: Final = re.compile(rb"\x1b[\]P_^X][^\x07\x1b]*\x1b?\Z")

_FINAL_NAMES: Final = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}
_TILDE_NAMES: Final = {
    "1": "home",
    "3": "delete",
    "4": "end",
    "5": "page-up",
    "6": "page-down",
    "7": "home",
    "8": "end",
}
_KEYPAD_ENTER: Final = 57414
_CODE_NAMES: Final = {
    8: "backspace",
    9: "tab",
    10: "enter",
    13: "enter",
    27: "escape",
    127: "backspace",
    _KEYPAD_ENTER: "enter",
}
_ACTIONS: Final[dict[str, KeyAction]] = {"2": "repeat", "3": "release"}

_CTRL: Final = 4
_ALT: Final = 2


@dataclass
class KeyDecoder:
    """Bytes of a terminal in, key events out; what a read has cut in two waits for the rest."""

    knows_releases: bool = False
    "The terminal has answered that it knows the kitty keyboard protocol."
    _pending: bytes = b""
    _paste: bytearray | None = None
    _fed_at: float = 0.0

    def feed(self, data: bytes, at: float) -> list[Key]:
        """Take what was read; give the keys that are complete."""
        self._fed_at = at
        rest, self._pending = self._pending + data, b""
        keys: list[Key] = []
        while rest:
            if self._paste is not None:
                rest = self._take_paste(rest, keys)
                continue
            length, key = self._next(rest)
            if length == 0:
                self._pending = rest
                break
            rest = rest[length:]
            if key is not None:
                keys.append(key)
        return keys

    def next_timer(self) -> float | None:
        """When `flush` is due; None if nothing waits."""
        if self._paste is not None:
            return self._fed_at + PASTE_WAIT_S
        return self._fed_at + ESCAPE_WAIT_S if self._pending else None

    def flush(self, at: float) -> list[Key]:
        """Decide on what has waited enough: a lone escape is a key, a torn sequence is none."""
        due = self.next_timer()
        if due is None or at < due:
            return []
        pending, self._pending = self._pending, b""
        if self._paste is not None:
            text, self._paste = bytes(self._paste) + pending, None
            return [_pasted(text)]
        if pending == b"\x1b":
            return [Key("escape")]
        return []

    def _next(self, rest: bytes) -> tuple[int, Key | None]:
        """The length of the first key's bytes, 0 if they are not all there, and the key."""
        first = rest[0]
        if first == _ESC:
            return self._escape(rest)
        if first < 0x20 or first == 0x7F:
            return 1, _control(first)
        return _character(rest)

    def _escape(self, rest: bytes) -> tuple[int, Key | None]:
        if len(rest) == 1:
            return 0, None
        second = rest[1:2]
        if second == b"[":
            return self._csi(rest)
        if second == b"O":
            if len(rest) == 2:
                return 0, None
            name = _FINAL_NAMES.get(chr(rest[2]))
            return 3, Key(name) if name else None
        if second in b"]P_^X":
            return _string_length(rest), None
        if second == b"\x1b":
            return 1, Key("escape")
        length, key = self._next(rest[1:])
        return (length + 1 if length else 0), _with_alt(key)

    def _csi(self, rest: bytes) -> tuple[int, Key | None]:
        match = _CSI.match(rest)
        if match is None:
            if _CSI_START.match(rest) and len(rest) < MAX_SEQUENCE_BYTES:
                return 0, None
            # Broken: drop the introducer, so that what follows is not lost with it.
            return 2, None
        if match.group() == _PASTE_START:
            self._paste = bytearray()
            return match.end(), None
        parameters, final = match[1].decode("ascii"), match[3].decode("ascii")
        if match[2]:
            return match.end(), None
        if final == "u" and parameters.startswith("?"):
            self.knows_releases = True
            return match.end(), None
        return match.end(), self._csi_key(parameters, final)

    def _csi_key(self, parameters: str, final: str) -> Key | None:
        first, _, rest = parameters.partition(";")
        modifiers, _, event = rest.partition(";")[0].partition(":")
        action = _ACTIONS.get(event, "press")
        held = int(modifiers) - 1 if modifiers.isdigit() else 0
        if final == "u":
            return self._code_key(first.partition(":")[0], held, action)
        name = _TILDE_NAMES.get(first) if final == "~" else _FINAL_NAMES.get(final)
        return Key(name, action=action) if name else None

    def _code_key(self, code: str, held: int, action: KeyAction) -> Key | None:
        """A key of the kitty protocol, by its code point and the modifiers held with it."""
        if not code.isdigit() or not 0 < int(code) <= 0x10FFFF:
            return None
        number = int(code)
        if number in _CODE_NAMES:
            return Key(_CODE_NAMES[number], action=action)
        character = chr(number)
        if not character.isprintable():
            # From 57344 on, in the private use area: modifiers, media keys and the like.
            return None
        if held & _CTRL:
            return Key(f"ctrl-{character}", action=action)
        if held & _ALT:
            return Key(f"alt-{character}", action=action)
        return Key("char", character, action)

    def _take_paste(self, rest: bytes, keys: list[Key]) -> bytes:
        """Collect a paste; gives the bytes after it."""
        paste = self._paste if self._paste is not None else bytearray()
        end = rest.find(_PASTE_END)
        if end >= 0:
            paste += rest[:end]
            keys.append(_pasted(bytes(paste)))
            self._paste = None
            return rest[end + len(_PASTE_END) :]
        # The end mark may be cut in two: what may be its beginning waits.
        keep = next(
            (n for n in range(len(_PASTE_END) - 1, 0, -1) if rest.endswith(_PASTE_END[:n])), 0
        )
        paste += rest[: len(rest) - keep]
        del paste[MAX_PASTE_BYTES:]
        self._pending = rest[len(rest) - keep :]
        return b""


def _pasted(content: bytes) -> Key:
    return Key("paste", content[:MAX_PASTE_BYTES].decode("utf-8", "ignore"))


def _control(byte: int) -> Key:
    names = {0x08: "backspace", 0x09: "tab", 0x0A: "enter", 0x0D: "enter", 0x7F: "backspace"}
    return Key(names.get(byte) or f"ctrl-{chr(byte + 0x60) if byte < 0x1B else chr(byte + 0x40)}")


def _character(rest: bytes) -> tuple[int, Key | None]:
    """One character of UTF-8; a byte that cannot be part of one is dropped."""
    lead = rest[0]
    length = 1 if lead < 0x80 else 2 if lead >= 0xC2 else 0
    if lead >= 0xE0:
        length = 3 if lead < 0xF0 else 4 if lead < 0xF5 else 0
    if length == 0:
        return 1, None
    piece = rest[:length]
    if len(piece) < length and all(0x80 <= byte < 0xC0 for byte in piece[1:]):
        return 0, None
    try:
        character = piece.decode("utf-8")
    except UnicodeDecodeError:
        return 1, None
    return length, Key("char", character) if character.isprintable() else None


def _string_length(rest: bytes) -> int:
    """The length of an answer that no key makes, to be passed over; 0 while it is incomplete."""
    match = _STRING.match(rest)
    if match is not None:
        return match.end()
    return 0 if _STRING_START.match(rest) and len(rest) < MAX_SEQUENCE_BYTES else 2


def _with_alt(key: Key | None) -> Key | None:
    return None if key is None else Key(f"alt-{key.text or key.name}", action=key.action)


# ----------------------------------------------------------------------------------------- the edge

_MODES_ON: Final = "\x1b[?2004h"
_MODES_OFF: Final = "\x1b[?2004l"
_ASK_KITTY: Final = "\x1b[?u"
_KITTY_ON: Final = "\x1b[>2u"
_KITTY_OFF: Final = "\x1b[<u"


def open_keyboard(output_fd: int) -> int | None:
    """A descriptor to read keys from; None if this process has no keyboard.

    Standard input if it is a terminal. Where it is not (audio may come from it), the terminal that
    `output_fd` writes to is opened by its own name: `/dev/tty` cannot be waited for on macOS.
    """
    if sys.platform == "win32":
        return 0 if sys.stdin is not None and sys.stdin.isatty() else None
    if os.isatty(0):
        return 0
    try:
        return os.open(os.ttyname(output_fd), os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None


if sys.platform != "win32":
    import termios

    class Keyboard:
        """The keys of a terminal, delivered in the thread of the event loop.

        Args:
            fd: a terminal, as `open_keyboard` gives it; closed here unless it is standard input.
            write: sends control sequences to the terminal.
            clock: gives the `at` of deliveries, in seconds.
        """

        def __init__(
            self,
            fd: int,
            write: Callable[[str], None],
            clock: Callable[[], float] = time.monotonic,
        ) -> None:
            self._fd = fd
            self._write = write
            self._clock = clock
            self._decoder = KeyDecoder()
            self._deliver: Deliver | None = None
            self._loop: asyncio.AbstractEventLoop | None = None
            self._timer: asyncio.TimerHandle | None = None
            self._saved: list[Any] | None = None
            self._is_kitty_on = False

        @property
        def knows_releases(self) -> bool:
            """Whether the terminal reports when a key comes up."""
            return self._is_kitty_on

        def start(self, deliver: Deliver) -> None:
            """Begin; `deliver` gets keys and when they came, none if the terminal is gone."""
            self._deliver = deliver
            self._loop = asyncio.get_running_loop()
            self.resume()
            self._loop.add_reader(self._fd, self._read)

        def resume(self) -> None:
            """Set the terminal's modes, at the start or after the process was stopped."""
            was_given_back = self._saved is None
            try:
                if self._saved is None:
                    atexit.register(self.suspend)
                    self._saved = termios.tcgetattr(self._fd)
                termios.tcsetattr(self._fd, termios.TCSADRAIN, _key_mode(self._saved))
            except termios.error:
                return
            self._write(_MODES_ON)
            # Kitty's modes are a stack: what is pushed twice would have to be popped twice.
            if was_given_back:
                self._is_kitty_on = self._decoder.knows_releases
                self._write(_KITTY_ON if self._is_kitty_on else _ASK_KITTY)

        def suspend(self) -> None:
            """Give the terminal back as it was. May be called twice."""
            if self._saved is None:
                return
            self._write((_KITTY_OFF if self._is_kitty_on else "") + _MODES_OFF)
            self._is_kitty_on = False
            atexit.unregister(self.suspend)
            saved, self._saved = self._saved, None
            try:
                # Flushed, so that a late answer or a held key is not typed into the shell.
                termios.tcsetattr(self._fd, termios.TCSAFLUSH, saved)
            except termios.error:
                return

        def close(self) -> None:
            """End, with the terminal as it was. May be called twice."""
            self._stop_reading()
            self.suspend()
            if self._fd > 2:
                os.close(self._fd)
                self._fd = -1

        def _stop_reading(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
            if self._loop is not None:
                if not self._loop.is_closed():
                    self._loop.remove_reader(self._fd)
                self._loop = None

        def _read(self) -> None:
            try:
                data = os.read(self._fd, 4096)
            except OSError:
                data = b""
            at = self._clock()
            if not data:
                self._stop_reading()
                self._hand_over([], at, is_end=True)
                return
            keys = self._decoder.feed(data, at)
            if self._decoder.knows_releases and not self._is_kitty_on:
                self._is_kitty_on = True
                self._write(_KITTY_ON)
            self._hand_over(keys, at)
            self._arm(at)

        def _arm(self, at: float) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            due = self._decoder.next_timer()
            if due is not None and self._loop is not None:
                self._timer = self._loop.call_later(max(0.0, due - at), self._flush)

        def _flush(self) -> None:
            at = self._clock()
            self._hand_over(self._decoder.flush(at), at)
            self._arm(at)

        def _hand_over(self, keys: list[Key], at: float, *, is_end: bool = False) -> None:
            if self._deliver is not None and (keys or is_end):
                self._deliver(keys, at)

    def _key_mode(saved: list[Any]) -> list[Any]:
        """The terminal's settings with every key delivered at once and not echoed.

        Signals and the translation of output stay. Ctrl-S must not stop the output: the loop that
        draws would wait for Ctrl-Q, and the talk with it.
        """
        mode = [*saved[:6], list(saved[6])]
        mode[0] &= ~(termios.IXON | termios.IXOFF)
        mode[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        mode[6][termios.VMIN] = 1
        mode[6][termios.VTIME] = 0
        return mode

else:
    import msvcrt

    _WINDOWS_KEYS: Final = {
        "H": b"\x1b[A",
        "P": b"\x1b[B",
        "M": b"\x1b[C",
        "K": b"\x1b[D",
        "G": b"\x1b[H",
        "O": b"\x1b[F",
        "I": b"\x1b[5~",
        "Q": b"\x1b[6~",
        "S": b"\x1b[3~",
    }
    _POLL_S: Final = 0.02

    class Keyboard:
        """The keys of a Windows console, read by a thread and delivered in that of the loop.

        Args:
            fd: not used; there is one console.
            write: not used; the console is asked for nothing.
            clock: gives the `at` of deliveries, in seconds.
        """

        def __init__(
            self,
            fd: int,
            write: Callable[[str], None],
            clock: Callable[[], float] = time.monotonic,
        ) -> None:
            self._clock = clock
            self._decoder = KeyDecoder()
            self._closed = threading.Event()
            self._deliver: Deliver | None = None
            self._loop: asyncio.AbstractEventLoop | None = None

        @property
        def knows_releases(self) -> bool:
            return False

        def start(self, deliver: Deliver) -> None:
            self._deliver = deliver
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._watch, name="keys", daemon=True).start()

        def resume(self) -> None:
            return

        def suspend(self) -> None:
            return

        def close(self) -> None:
            self._closed.set()

        def _watch(self) -> None:
            # The console can be waited for only by a read that cannot be ended from outside.
            while not self._closed.wait(_POLL_S):
                while msvcrt.kbhit() and not self._closed.is_set():
                    data = _console_key()
                    if self._loop is not None and not self._loop.is_closed():
                        self._loop.call_soon_threadsafe(self._feed, data)

        def _feed(self, data: bytes) -> None:
            if self._closed.is_set() or self._deliver is None:
                return
            at = self._clock()
            # A console never sends the start of a sequence alone: an escape is the key.
            keys = [Key("escape")] if data == b"\x1b" else self._decoder.feed(data, at)
            if keys:
                self._deliver(keys, at)

    def _is_special() -> bool:
        """Whether a special key has begun, and no `à` was typed, which comes as the same character.

        The rest of a special key waits where one character can be put back: then none can.
        """
        try:
            msvcrt.ungetwch(" ")
        except OSError:
            return True
        msvcrt.getwch()
        return False

    def _console_key() -> bytes:
        """One key as the bytes that other terminals send for it."""
        character = msvcrt.getwch()
        if character == "\x00" or (character == "\xe0" and _is_special()):
            return _WINDOWS_KEYS.get(msvcrt.getwch(), b"")
        if "\ud800" <= character <= "\udbff":
            character = (
                (character + msvcrt.getwch()).encode("utf-16", "surrogatepass").decode("utf-16")
            )
        return character.encode("utf-8", "ignore")
