"""Whether JSON values of a client are what the API allows.

A check takes a value and the path to it (`session.audio.output.speed`) and gives the value back, or
raises `Refusal`, which becomes the `error` event. Checks change nothing: what is refused has had no
effect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

from voicecli.protocol.objects import JsonDict

Check: TypeAlias = Callable[[Any, str], Any]


class Refusal(Exception):
    """A client event that has no effect: what its `error` event will say.

    Codes are those of the API's error catalogue. `code` and `param` may be None.
    """

    def __init__(self, code: str | None, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


def missing(param: str) -> Refusal:
    """The refusal of an object that lacks `param`."""
    return Refusal("missing_required_parameter", f"Missing required parameter: '{param}'.", param)


def wrong_value(value: object, param: str, allowed: str) -> Refusal:
    """The refusal of a value; `allowed` says what would have been right."""
    shown = repr(value)[:100]
    return Refusal("invalid_value", f"Invalid value: {shown}. Expected {allowed}.", param)


def wrong_type(value: object, param: str, allowed: str) -> Refusal:
    """The refusal of a value of another JSON type than `allowed`."""
    kind = type(value).__name__
    return Refusal("invalid_type", f"Invalid type for '{param}': {kind}, not {allowed}.", param)


def unknown_parameter(param: str) -> Refusal:
    """The refusal of a field that the API does not have."""
    return Refusal("unknown_parameter", f"Unknown parameter: '{param}'.", param)


def anything(value: Any, param: str) -> Any:
    """Accepts every value."""
    return value


MAX_DEPTH: Final = 64
MAX_VALUES: Final = 20_000
"In the objects of one event, nested ones included: all of them are copied and checked many times."


def free_form(value: Any, param: str) -> Any:
    """Accepts every value that is nested at most 64 deep: it is echoed, and has to be readable."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return value
    raise wrong_value("deeper nesting", param, f"at most {MAX_DEPTH} levels")


def few_values(value: Any, param: str) -> None:
    """Whether there is little enough in a value to work on it while others wait.

    Raises:
        Refusal: there are more than 20 000 values in it.
    """
    waiting, count = [value], 0
    while waiting:
        inner = _inside(waiting.pop())
        count += len(inner)
        if count > MAX_VALUES:
            raise wrong_value("more values", param, f"at most {MAX_VALUES} values in an event")
        waiting += inner


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def free_object(value: Any, param: str) -> JsonDict:
    """Accepts an object with anything in it, nested at most 64 deep."""
    if not isinstance(value, dict):
        raise wrong_type(value, param, "an object")
    checked: JsonDict = free_form(value, param)
    return checked


def string(value: Any, param: str) -> str:
    """Accepts a string."""
    if not isinstance(value, str):
        raise wrong_type(value, param, "a string")
    return value


def boolean(value: Any, param: str) -> bool:
    """Accepts true and false."""
    if not isinstance(value, bool):
        raise wrong_type(value, param, "a boolean")
    return value


def integer(low: int, high: int) -> Check:
    """Accepts whole numbers from `low` to `high`."""

    def check(value: Any, param: str) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong_type(value, param, "an integer")
        if not low <= value <= high or value != int(value):
            raise wrong_value(value, param, f"an integer from {low} to {high}")
        return int(value)

    return check


def number(low: float, high: float) -> Check:
    """Accepts numbers from `low` to `high`."""

    def check(value: Any, param: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong_type(value, param, "a number")
        if not low <= value <= high:
            raise wrong_value(value, param, f"a number from {low} to {high}")
        return float(value)

    return check


def one_of(*allowed: str) -> Check:
    """Accepts these strings."""

    def check(value: Any, param: str) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise wrong_value(value, param, "one of " + ", ".join(map(repr, allowed)))
        return value

    return check


def nullable(check: Check) -> Check:
    """Accepts null, and what `check` accepts."""
    return lambda value, param: None if value is None else check(value, param)


def or_text(word: str, check: Check) -> Check:
    """Accepts the string `word`, and what `check` accepts."""
    return lambda value, param: word if value == word else check(value, param)


def list_of(check: Check, longest: int) -> Check:
    """Accepts an array of at most `longest` values, each of which `check` accepts."""

    def check_all(value: Any, param: str) -> list[Any]:
        if not isinstance(value, list):
            raise wrong_type(value, param, "an array")
        if len(value) > longest:
            raise wrong_value(f"{len(value)} values", param, f"at most {longest}")
        return [check(one, f"{param}[{index}]") for index, one in enumerate(value)]

    return check_all


def fields(known: Mapping[str, Check], needed: Collection[str] = ()) -> Check:
    """Accepts an object with these fields and no other ones."""

    def check(value: Any, param: str) -> JsonDict:
        if not isinstance(value, dict):
            raise wrong_type(value, param, "an object")
        for name in needed:
            if name not in value:
                raise missing(f"{param}.{name}")
        taken = {}
        for name, one in value.items():
            if name not in known:
                raise unknown_parameter(f"{param}.{name}"[:200])
            taken[name] = known[name](one, f"{param}.{name}")
        return taken

    return check


def by_type(kinds: Mapping[str, Check]) -> Check:
    """Accepts an object whose `type` is a key of `kinds` and which that key's check accepts."""

    def check(value: Any, param: str) -> JsonDict:
        if not isinstance(value, dict):
            raise wrong_type(value, param, "an object")
        if "type" not in value:
            raise missing(f"{param}.type")
        kind = one_of(*kinds)(value["type"], f"{param}.type")
        checked: JsonDict = kinds[kind](value, param)
        return checked

    return check


def strings(value: Any, param: str) -> dict[str, str]:
    """Accepts an object whose values are all strings."""
    checked = free_object(value, param)
    return {name: string(one, f"{param}.{name}"[:200]) for name, one in checked.items()}


METADATA_PAIRS: Final = 16


def metadata(value: Any, param: str) -> JsonDict:
    """Accepts at most 16 pairs of strings: keys up to 64, values up to 512 characters."""
    if not isinstance(value, dict):
        raise wrong_type(value, param, "an object")
    if len(value) > METADATA_PAIRS:
        raise wrong_value(f"{len(value)} pairs", param, f"at most {METADATA_PAIRS}")
    for key, one in value.items():
        if len(key) > 64 or len(string(one, f"{param}.{key[:64]}")) > 512:
            raise wrong_value(key, param, "keys up to 64 and values up to 512 characters")
    return dict(value)
