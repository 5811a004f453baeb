"""Plain functions as tools: described, checked, called, and never a way to break the talk."""

import asyncio
import enum
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from openai_types import check_client_event

from voicecli.errors import ConfigError
from voicecli.protocol.codec import encode
from voicecli.protocol.events import ConversationItemCreate, SessionUpdate
from voicecli.protocol.objects import Item
from voicecli.protocol.settings import SessionSettings
from voicecli.tools.functions import MAX_OUTPUT_CHARS, Function, Functions, load


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclass
class Place:
    city: str
    country: str = "FR"


def weather(
    place: Place,
    unit: Unit = Unit.CELSIUS,
    days: Annotated[int, msgspec.Meta(ge=1, le=7)] = 1,
    kinds: list[Literal["rain", "wind"]] | None = None,
) -> dict[str, Any]:
    """Tell the weather
    of a place.

    Args:
        place: where; a city
            and perhaps a country.
        unit (Unit): of the temperature.
        days: how many.

    Returns:
        What was foretold.

    Raises:
        OSError: no network.
    """
    return {"city": place.city, "unit": unit.value, "days": days, "kinds": kinds}


def run(call: Any, arguments: str = "{}", **more: Any) -> tuple[str, bool]:
    functions = Functions([Function(call)], **more)
    return asyncio.run(functions.run(call.__name__, arguments))


def told(call: Any, arguments: str = "{}", **more: Any) -> str:
    """What the model is told of a failure."""
    output, failed = run(call, arguments, **more)
    assert failed
    return str(json.loads(output)["error"])


# ------------------------------------------------------------------------------- the description


def test_a_function_is_described_by_its_types_and_its_docstring():
    schema = Function(weather).schema
    assert schema["name"] == "weather"
    assert schema["description"] == "Tell the weather of a place."
    parameters = schema["parameters"]
    assert parameters["required"] == ["place"]
    properties = parameters["properties"]
    assert properties["place"]["description"] == "where; a city and perhaps a country."
    assert properties["unit"]["description"] == "of the temperature."
    assert (properties["days"]["minimum"], properties["days"]["default"]) == (1, 1)
    place = parameters["$defs"][properties["place"]["$ref"].removeprefix("#/$defs/")]
    assert place["required"] == ["city"]


def test_the_api_takes_the_description():
    def nothing() -> None:
        """Do nothing."""

    schemas = Functions([Function(weather), Function(nothing)]).schemas
    session = SessionSettings(tools=schemas).to_wire()
    check_client_event(encode(SessionUpdate(session=session)))


def test_what_the_model_cannot_be_told_is_refused_with_the_parameters_name():
    def untyped(x) -> None: ...
    def starred(*numbers: int) -> None: ...
    def positional(x: int, /) -> None: ...
    def no_json(x: threading.Lock) -> None: ...
    def nowhere(x: "Missing") -> None: ...  # noqa: F821

    for call, named in [
        (untyped, "'x'"),
        (starred, r"\*args"),
        (positional, "'x'"),
        (no_json, "no_json"),
        (nowhere, "Missing"),
    ]:
        with pytest.raises(ConfigError, match=named):
            Function(call)


# -------------------------------------------------------------------------------------- the call


def test_arguments_become_what_the_types_say():
    output, failed = run(weather, '{"place": {"city": "Nice"}, "unit": "f", "days": "3"}')
    assert json.loads(output) == {"city": "Nice", "unit": "f", "days": 3, "kinds": None}
    assert not failed


@pytest.mark.parametrize("arguments", ["", "{}"])
def test_a_function_without_parameters_takes_no_arguments(arguments):
    def answer() -> int:
        return 42

    assert run(answer, arguments) == ("42", False)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("{", "truncated"),
        ("[]", "array"),
        ("{}", "missing required field `place`"),
        ('{"place": {"city": 1}}', "$.place.city"),
        ('{"place": {"city": "x"}, "days": 8}', "<= 7"),
        ('{"place": {"city": "x"}, "kinds": ["snow"]}', "snow"),
        ('{"kinds": ' + "[" * 100_000, "do not fit"),
    ],
)
def test_arguments_that_do_not_fit_are_told_to_the_model(arguments, why):
    assert why in told(weather, arguments)


def test_text_is_given_as_it_is_and_everything_else_as_json():
    results: list[Any] = ["plain ü", None, 1.5, {"a": [Unit.CELSIUS]}, Place("x"), Path("/a")]

    def give(index: int) -> Any:
        return results[index]

    outputs = [run(give, json.dumps({"index": index}))[0] for index in range(len(results))]
    assert outputs == [
        "plain ü",
        "null",
        "1.5",
        '{"a":["c"]}',
        '{"city":"x","country":"FR"}',
        '"/a"',
    ]


def test_a_long_output_is_cut():
    def talkative() -> str:
        return "x" * 10**6

    assert len(run(talkative)[0]) == MAX_OUTPUT_CHARS


def test_a_list_as_a_default_is_fresh_for_every_call():
    def collect(seen: list[int] = []) -> int:  # noqa: B006
        seen.append(1)
        return len(seen)

    functions = Functions([Function(collect)])
    assert [asyncio.run(functions.run("collect", "{}"))[0] for _ in range(2)] == ["1", "1"]


def test_a_plain_function_runs_off_the_loop_and_an_async_one_on_it():
    def plain() -> bool:
        return threading.current_thread() is threading.main_thread()

    async def on_loop() -> bool:
        await asyncio.sleep(0)
        return threading.current_thread() is threading.main_thread()

    assert (run(plain)[0], run(on_loop)[0]) == ("false", "true")


# ---------------------------------------------------------------------------------- what goes wrong


def test_an_unknown_function_is_told_with_those_there_are():
    output, failed = asyncio.run(Functions([Function(weather)]).run("wether", "{}"))
    assert failed
    assert "there are: weather" in output
    assert "none" in asyncio.run(Functions().run("x", "{}"))[0]


@pytest.mark.parametrize("error", [ValueError("no such city"), StopIteration("no such city")])
def test_whatever_a_function_raises_is_told_to_the_model(error):
    def failing() -> None:
        raise error

    assert "no such city" in told(failing)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_that_wants_to_end_the_program_only_fails(is_async):
    def leaving() -> None:
        raise SystemExit("bye")

    async def leaving_async() -> None:
        raise SystemExit("bye")

    assert "SystemExit" in told(leaving_async if is_async else leaving, time_limit_s=1.0)


def test_a_function_that_never_ends_is_left_behind_when_its_time_is_up():
    released = threading.Event()

    def stuck() -> None:
        released.wait(30)

    assert "did not finish within 0.05 seconds" in told(stuck, time_limit_s=0.05)
    released.set()


def test_a_function_that_never_ends_does_not_keep_the_program_alive():
    program = (
        "import asyncio, threading\n"
        "from voicecli.tools.functions import Function, Functions\n"
        "def stuck() -> None: threading.Event().wait()\n"
        "functions = Functions([Function(stuck)], time_limit_s=0.01)\n"
        "print(asyncio.run(functions.run('stuck', '{}')))\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, timeout=10, check=True, capture_output=True
    )
    assert b"did not finish" in done.stdout


def test_a_time_limit_of_a_functions_own_is_told_as_its_own():
    def slow_server() -> None:
        raise TimeoutError("the weather service is slow")

    assert "the weather service is slow" in told(slow_server)


def test_what_json_cannot_carry_is_a_failure():
    def cyclic() -> list[Any]:
        loop: list[Any] = []
        loop.append(loop)
        return loop

    assert "RecursionError" in told(cyclic)


@pytest.mark.parametrize("fails", [False, True])
def test_whatever_a_function_says_can_be_sent(fails):
    """A file name that is no UTF-8 is text with half surrogates in Python."""

    def name() -> str:
        if fails:
            raise ValueError("caf\udce9")
        return "caf\udce9"

    output, failed = run(name)
    assert failed is fails
    item = Item({"type": "function_call_output", "call_id": "c", "output": output})
    assert b"caf" in encode(ConversationItemCreate(item=item))


# -------------------------------------------------------------------------------------- the file


@pytest.fixture
def load_text(tmp_path):
    def load_it(text: str) -> Functions:
        path = tmp_path / "my tools.py"
        path.write_text(text, encoding="utf-8")
        return load(path)

    return load_it


def test_a_file_offers_the_public_functions_that_it_defines(load_text):
    functions = load_text(
        "from os.path import join\n"
        "class NotMe: ...\n"
        "def one() -> int: return 1\n"
        "async def two(x: int = 2) -> int: return x\n"
        "def _private(x): ...\n"
        "alias = len\n"
    )
    assert [schema["name"] for schema in functions.schemas] == ["one", "two"]
    assert asyncio.run(functions.run("two", '{"x": 3}')) == ("3", False)


def test_a_file_may_postpone_its_annotations_and_define_its_own_types(load_text):
    functions = load_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Place:\n"
        "    city: str\n"
        "def where(place: Place) -> str: return place.city\n"
    )
    assert asyncio.run(functions.run("where", '{"place": {"city": "Nice"}}')) == ("Nice", False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "defines no functions"),
        ("def f(:", "SyntaxError"),
        ("import not_installed_anywhere", "not_installed_anywhere"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def f(x): ...", "'x' has no type"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(load_text, text, told):
    with pytest.raises(ConfigError, match=told):
        load_text(text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no Python file"):
        load(tmp_path / "none.py")
    with pytest.raises(ConfigError, match="there is no Python file"):
        load(tmp_path)
