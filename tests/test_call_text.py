"""Calls that a model writes as text, in all the ways it writes them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.engine.dialogue.messages import (
    Call,
    CallArguments,
    CallStart,
    Message,
    Offer,
    Piece,
    Tool,
)
from voicecli.engine.minds.call_text import CallReader, call_schema, examples, flattened, manual

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"enum": ["Celsius", "Fahrenheit"]},
        "note": {"type": "string"},
    },
    "required": ["city"],
}
OFFER = Offer((Tool("get_weather", "The weather in a city.", PARAMETERS), Tool("roll_dice")))
ROME = '{"name": "get_weather", "arguments": {"city": "Rome"}}'


def read(text: str, size: int = 3, **more: Any) -> tuple[str, str, Any]:
    """The words, and the name and arguments of the call."""
    reader = CallReader(OFFER, **more)
    pieces: list[Piece] = []
    for start in range(0, len(text), size):
        pieces += reader.push(text[start : start + size])
    pieces += reader.finish()
    words = "".join(piece for piece in pieces if isinstance(piece, str))
    names = [piece.name for piece in pieces if isinstance(piece, CallStart)]
    arguments = [json.loads(piece.text) for piece in pieces if isinstance(piece, CallArguments)]
    assert len(names) == len(arguments) <= 1
    assert reader.found or not names
    return words, "".join(names), arguments[0] if arguments else None


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    "text",
    [
        ROME,
        f"```json\n{ROME}\n```",
        f"<tool_call>\n{ROME}\n</tool_call>",
        f"[{ROME}]",
        ROME[:-1],
        ROME[:-3],
        "{'name': 'get_weather', 'arguments': {'city': 'Rome'}}",
        '{name: "get_weather", arguments: {city: "Rome"}}',
        '{"function": "get_weather", "parameters": {"city": "Rome"}}',
        '{"function": {"name": "get_weather", "arguments": {"city": "Rome"}}}',
        '{"name": "get_weather", "arguments": "{\\"city\\": \\"Rome\\"}"}',
        '{"name": "Get Weather", "city": "Rome"}',
        ROME + " And now something else, {}.",
    ],
)
def test_a_call_is_found_however_it_is_written(text: str, size: int) -> None:
    words, name, arguments = read(text, size)
    assert (words.strip("[ \n"), name, arguments) == ("", "get_weather", {"city": "Rome"})


def test_words_before_a_call_are_said() -> None:
    assert read(f"Let me look. {ROME}") == ("Let me look. ", "get_weather", {"city": "Rome"})


@pytest.mark.parametrize(
    "text", ["Hello there.", "A {smile} and a {wink}.", "```python\nprint(1)\n```", "{1, 2}", "{"]
)
def test_what_is_no_call_passes_through(text: str) -> None:
    words, name, _ = read(text)
    assert not name
    assert words == ("" if text == "{" else text)


@pytest.mark.parametrize(
    "text", ['{"name": "fly", "arguments": {}}', '{"name": "get_weather", "ar']
)
def test_a_call_that_cannot_be_read_is_not_said(text: str) -> None:
    assert read(text) == ("", "", None)


def test_values_are_fitted_to_their_types_and_unknown_ones_dropped() -> None:
    arguments = {"city": 5, "days": "3 days", "unit": "celsius", "mood": "good"}
    _, _, found = read(json.dumps({"name": "get_weather", "arguments": arguments}))
    assert found == {"city": "5", "days": 3, "unit": "Celsius"}


def test_optional_words_that_nobody_said_are_dropped() -> None:
    text = '{"name": "get_weather", "arguments": {"city": "Rome", "note": "for the picnic"}}'
    assert read(text, said="Weather in Rome")[2] == {"city": "Rome"}
    assert read(text, said="Weather for my picnic in Rome")[2]["note"] == "for the picnic"


def test_a_call_that_was_made_is_not_made_again() -> None:
    done = [Call("c", "get_weather", '{"city":"Rome"}')]
    assert read(ROME, done=done) == ("", "", None)
    assert read(ROME.replace("Rome", "Oslo"), done=done)[1] == "get_weather"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Hello, my name is Ada.", ""),
        ("Tell me a joke.", ""),
        ("And in Rome?", "get_weather"),
        ("Is the weather good?", "get_weather"),
    ],
)
def test_a_cautious_reader_wants_a_reason_in_what_was_said(said: str, name: str) -> None:
    assert read(ROME, said=said, cautious=True)[1] == name


@given(st.lists(st.sampled_from(['{"name"', ": ", '"roll_dice"', "}", "```", "x", "[", '"', "\\"])))
def test_no_text_is_too_strange(texts: Sequence[str]) -> None:
    read("".join(texts))


def test_the_model_is_shown_every_function_and_calls_of_some() -> None:
    assert "get_weather(city: string, days?: integer" in manual(OFFER)
    assert "- roll_dice()" in manual(OFFER)
    shown = examples(OFFER)
    assert [one.role for one in shown] == ["user", "assistant"] * 4
    names = [json.loads(one.text)["name"] for one in shown if one.text.startswith("{")]
    assert names == ["get_weather", "roll_dice"]


def test_calls_and_results_become_words() -> None:
    flat = flattened(
        [
            Message("system", "Be kind."),
            Message("user", "Weather?"),
            Message("assistant", "I look.", calls=(Call("c", "get_weather", '{"city": "Rome"}'),)),
            Message("tool", "rain", call_id="c"),
        ]
    )
    assert [one.role for one in flat] == ["user", "assistant", "user"]
    assert flat[1].text == f"I look.\n{ROME}"
    assert "get_weather returned: rain" in flat[2].text


def test_a_schema_of_one_call_or_of_several() -> None:
    assert call_schema(Offer(OFFER.tools[:1]))["properties"]["name"] == {"const": "get_weather"}
    assert len(call_schema(OFFER)["anyOf"]) == 2
