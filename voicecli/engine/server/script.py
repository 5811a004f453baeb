"""What a scripted server does: the file that says so, checked and made into steps.

Pure: it is given the text of the file. docs/serve-script.md describes the format.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from voicecli.errors import ConfigError
from voicecli.protocol.objects import JsonDict

VERSION: Final = 1
MAX_MS: Final = 600_000
MS_PER_WORD: Final = 300
HEARD: Final = "Hello."

Pace: TypeAlias = Literal["burst", "real"]


@dataclass(frozen=True)
class Say:
    """Words and, in a spoken response, audio with them."""

    text: str
    ms: int
    sound: str
    "`tone`, `silence`, or the path of a WAV file as it was written."
    pace: Pace


@dataclass(frozen=True)
class Wait:
    """Nothing for a while."""

    ms: int


@dataclass(frozen=True)
class NextItem:
    """What is said from here on is another message."""


@dataclass(frozen=True)
class CallFunction:
    """A function call."""

    name: str
    arguments: str
    "JSON text, or what is meant to be taken for it."


@dataclass(frozen=True)
class Fail:
    """The response fails; the rest of the answer is not played."""

    message: str


@dataclass(frozen=True)
class SendEvent:
    """An event of any content."""

    fields: JsonDict


@dataclass(frozen=True)
class SendRaw:
    """A text frame of any content."""

    text: str


@dataclass(frozen=True)
class Close:
    """A goodbye."""

    code: int
    reason: str


@dataclass(frozen=True)
class Cut:
    """The connection is cut without a goodbye."""


Step: TypeAlias = Say | Wait | NextItem | CallFunction | Fail | SendEvent | SendRaw | Close | Cut


@dataclass(frozen=True)
class ScriptedAnswer:
    """One answer, and when it is given."""

    steps: tuple[Step, ...]
    heard: str
    "What the user is taken to have said, when this answer is the next one."
    when: re.Pattern[str] | None
    "Found in the user's last words; None: it is given when it is next."
    repeats: bool


@dataclass(frozen=True)
class Script:
    """All that a scripted server does."""

    answers: tuple[ScriptedAnswer, ...]
    connect: tuple[Step, ...] = ()
    "After `session.created`."


@dataclass(frozen=True)
class _Sounding:
    sound: str = "tone"
    ms_per_word: int = MS_PER_WORD
    pace: Pace = "burst"


class _Wrong(Exception):
    """What is wrong, and where."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)


def read_script(text: str, source: str) -> Script:
    """The script in a file.

    Args:
        text: the contents, TOML.
        source: the file's name, for messages.

    Raises:
        ConfigError: it is no TOML, or a key is unknown, missing or has a wrong value; names the
            file, the key and what is allowed.
    """
    try:
        return _script(tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{source}: not TOML: {exc}") from exc
    except RecursionError as exc:
        raise ConfigError(f"{source}: it is nested too deeply") from exc
    except _Wrong as exc:
        raise ConfigError(f"{source}: {exc}", "docs/serve-script.md describes the format") from exc


def _script(table: Mapping[str, Any]) -> Script:
    _known(table, "", ("version", "audio", "connect", "answer"))
    if table.get("version") != VERSION:
        raise _Wrong("version", f"{table.get('version')!r}, must be {VERSION}")
    sounding = _sounding(_typed(table.get("audio", {}), dict, "audio", "a table"))
    connect = _steps(table.get("connect", []), "connect", sounding, _AT_CONNECT)
    answers = _typed(table.get("answer", []), list, "answer", "tables [[answer]]")
    return Script(
        tuple(_answer(one, f"answer[{index}]", sounding) for index, one in enumerate(answers)),
        connect,
    )


def _sounding(table: Mapping[str, Any]) -> _Sounding:
    _known(table, "audio", ("sound", "ms_per_word", "pace"))
    usual = _Sounding()
    return _Sounding(
        _text(table.get("sound", usual.sound), "audio.sound"),
        _whole(table.get("ms_per_word", usual.ms_per_word), "audio.ms_per_word", 1, 10_000),
        _pace(table.get("pace", usual.pace), "audio.pace"),
    )


def _answer(value: Any, path: str, sounding: _Sounding) -> ScriptedAnswer:
    table = _typed(value, dict, path, "a table")
    _known(table, path, ("step", "heard", "when", "repeat"))
    when = None
    if "when" in table:
        try:
            when = re.compile(_text(table["when"], f"{path}.when"), re.IGNORECASE)
        except re.error as exc:
            raise _Wrong(f"{path}.when", f"not a regular expression: {exc}") from exc
    return ScriptedAnswer(
        steps=_steps(table.get("step", []), f"{path}.step", sounding, _IN_ANSWER),
        heard=_text(table.get("heard", HEARD), f"{path}.heard"),
        when=when,
        repeats=_typed(table.get("repeat", False), bool, f"{path}.repeat", "true or false"),
    )


def _steps(
    value: Any, path: str, sounding: _Sounding, makers: Mapping[str, _Maker]
) -> tuple[Step, ...]:
    listed = _typed(value, list, path, "an array of tables")
    return tuple(
        _step(one, f"{path}[{index}]", sounding, makers) for index, one in enumerate(listed)
    )


def _step(value: Any, path: str, sounding: _Sounding, makers: Mapping[str, _Maker]) -> Step:
    table = _typed(value, dict, path, "a table such as { wait_ms = 100 }")
    named = [name for name in table if name in makers]
    if len(named) != 1:
        what = "does nothing" if not named else f"does {len(named)} things: {', '.join(named)}"
        unknown = [name for name in table if name not in makers]
        shown = f" (it has {', '.join(map(repr, unknown))})" if not named and unknown else ""
        raise _Wrong(path, f"{what}{shown}; each step has one of {', '.join(makers)}")
    make, options = makers[named[0]]
    _known(table, path, (named[0], *options))
    return make(table, path, sounding)


# ------------------------------------------------------------------------------------ kinds of step

_Make: TypeAlias = Callable[[Mapping[str, Any], str, _Sounding], Step]
_Maker: TypeAlias = tuple[_Make, tuple[str, ...]]
"What makes a step, and the keys it may have beside its own."


def _say(table: Mapping[str, Any], path: str, sounding: _Sounding) -> Step:
    text = _text(table["say"], f"{path}.say")
    ms = max(1, len(text.split())) * sounding.ms_per_word
    return Say(
        text,
        _whole(table.get("ms", min(ms, MAX_MS)), f"{path}.ms", 0, MAX_MS),
        _text(table.get("sound", sounding.sound), f"{path}.sound"),
        _pace(table.get("pace", sounding.pace), f"{path}.pace"),
    )


def _wait(table: Mapping[str, Any], path: str, _: _Sounding) -> Step:
    return Wait(_whole(table["wait_ms"], f"{path}.wait_ms", 0, MAX_MS))


def _next_item(table: Mapping[str, Any], path: str, _: _Sounding) -> Step:
    _true(table["next_item"], f"{path}.next_item")
    return NextItem()


def _call(table: Mapping[str, Any], path: str, _: _Sounding) -> Step:
    arguments = table.get("arguments", {})
    if not isinstance(arguments, dict | str):
        raise _Wrong(f"{path}.arguments", f"{arguments!r}, must be a table or a text")
    shown = arguments if isinstance(arguments, str) else _json(arguments, f"{path}.arguments")
    return CallFunction(_text(table["call"], f"{path}.call"), shown)


def _fail(table: Mapping[str, Any], path: str, _: _Sounding) -> Step:
    return Fail(_text(table["fail"], f"{path}.fail"))


def _error(table: Mapping[str, Any], path: str, _: _Sounding) -> Step:
    error: JsonDict = {
        "type": _text(table.get("type", "server_error"), f"{path}.type"),
        "code": _text(table.get("code", "server_error"), f"{path}.code"),
        "message": _text(table["error"], f"{path}.error"),
        "param": None,
        "event_id": None,
    }
    return SendEvent({"type": "error", "error": error})


def _event(table: Mapping[str, Any], path: str, _: _Sounding) -> Step:
    fields = _typed(table["event"], dict, f"{path}.event", "a table")
    _text(fields.get("type"), f"{path}.event.type")
    _json(fields, f"{path}.event")
    return SendEvent(fields)


def _raw(table: Mapping[str, Any], path: str, _: _Sounding) -> Step:
    return SendRaw(_text(table["raw"], f"{path}.raw"))


def _close(table: Mapping[str, Any], path: str, _: _Sounding) -> Step:
    code = _whole(table["close"], f"{path}.close", 1000, 4999)
    if code in {1004, 1005, 1006, 1015} or 1014 < code < 3000:
        raise _Wrong(f"{path}.close", f"{code}, must be a code that may be sent: 1000 to 1003, "
                     "1007 to 1014, or 3000 to 4999")  # fmt: skip
    reason = _text(table.get("reason", ""), f"{path}.reason")
    if len(reason.encode()) > 123:
        raise _Wrong(f"{path}.reason", "longer than 123 bytes")
    return Close(code, reason)


def _cut(table: Mapping[str, Any], path: str, _: _Sounding) -> Step:
    _true(table["cut"], f"{path}.cut")
    return Cut()


_AT_CONNECT: Final[dict[str, _Maker]] = {
    "wait_ms": (_wait, ()),
    "error": (_error, ("code", "type")),
    "event": (_event, ()),
    "raw": (_raw, ()),
    "close": (_close, ("reason",)),
    "cut": (_cut, ()),
}
_IN_ANSWER: Final[dict[str, _Maker]] = {
    "say": (_say, ("ms", "sound", "pace")),
    "next_item": (_next_item, ()),
    "call": (_call, ("arguments",)),
    "fail": (_fail, ()),
    **_AT_CONNECT,
}


# ------------------------------------------------------------------------------------------ values


def _known(table: Mapping[str, Any], path: str, allowed: tuple[str, ...]) -> None:
    for name in table:
        if name not in allowed:
            place = f"{path}.{name}" if path else name
            raise _Wrong(place, f"unknown; allowed are {', '.join(allowed)}")


def _typed(value: Any, kind: type, path: str, allowed: str) -> Any:
    if not isinstance(value, kind):
        raise _Wrong(path, f"{value!r}, must be {allowed}")
    return value


def _text(value: Any, path: str) -> str:
    return str(_typed(value, str, path, "a text"))


def _true(value: Any, path: str) -> None:
    if value is not True:
        raise _Wrong(path, f"{value!r}, must be true")


def _whole(value: Any, path: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _Wrong(path, f"{value!r}, must be a whole number from {low} to {high}")
    return value


def _pace(value: Any, path: str) -> Pace:
    if value == "burst":
        return "burst"
    if value == "real":
        return "real"
    raise _Wrong(path, f"{value!r}, must be 'burst' or 'real'")


def _json(value: Any, path: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise _Wrong(path, f"cannot be JSON: {exc}") from exc
