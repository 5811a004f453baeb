"""Functions named in plain speech, and results told in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.engine.dialogue.messages import Offer, Tool
from voicecli.engine.minds.tool_words import spoken_result, wanted

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


def tool(name: str, needed: dict[str, Any], more: dict[str, Any] | None = None) -> Tool:
    properties = needed | (more or {})
    return Tool(name, "", {"type": "object", "properties": properties, "required": list(needed)})


TOOLS = (
    tool("get_weather", {"city": TEXT}),
    tool("set_timer", {"minutes": WHOLE}, {"label": TEXT}),
    tool("roll_dice", {}, {"sides": WHOLE, "count": WHOLE}),
    tool("turn_on_light", {"room": TEXT}),
    tool("turn_off_light", {"room": TEXT}),
    tool("book_train", {"origin": TEXT, "destination": TEXT}, {"day": TEXT}),
    tool("send_message", {"recipient": TEXT, "text": TEXT}),
    tool("set_mode", {"mode": {"enum": ["heat", "cool"]}}, {"fan": {"type": "boolean"}}),
    Tool("getTime"),
    tool("convert_currency", {"amount": {"type": "number"}, "source": TEXT, "target": TEXT}),
)


@pytest.mark.parametrize(
    ("said", "name", "arguments"),
    [
        ("What's the weather in Berlin?", "get_weather", {"city": "Berlin"}),
        ("Get weather for New York, please.", "get_weather", {"city": "New York"}),
        ("Tell me what the weather is like in Rome today", "get_weather", {"city": "Rome"}),
        ("Set a timer for twenty-five minutes.", "set_timer", {"minutes": 25}),
        ("A 5 minute timer called pasta", "set_timer", {"minutes": 5, "label": "pasta"}),
        ("Roll the dice.", "roll_dice", {}),
        ("Roll two dice with six sides.", "roll_dice", {"sides": 6, "count": 2}),
        ("Turn on the light in the kitchen.", "turn_on_light", {"room": "kitchen"}),
        ("Turn the lights off in the living room!", "turn_off_light", {"room": "living room"}),
        ("Book a train from Berlin to Paris tomorrow.", "book_train",
         {"origin": "Berlin", "destination": "Paris", "day": "tomorrow"}),
        ("Send a message to Ada saying I will be late for dinner.", "send_message",
         {"recipient": "Ada", "text": "I will be late for dinner"}),
        ("Set the mode to cool with the fan.", "set_mode", {"mode": "cool", "fan": True}),
        ("What time is it?", "getTime", {}),
        ("Convert currency, 3.5 from dollars to euros.", "convert_currency",
         {"amount": 3.5, "source": "dollars", "target": "euros"}),
    ],
)  # fmt: skip
def test_a_function_is_called_by_its_name_or_what_tells_it_from_others(
    said: str, name: str, arguments: dict[str, Any]
) -> None:
    found = wanted(said, Offer(TOOLS))
    assert found is not None
    assert (found.tool.name, found.arguments, found.missing) == (name, arguments, ())
    assert json.loads(found.json) == arguments


@pytest.mark.parametrize("said", ["Hello there.", "Get it.", "", "Turn around.", "Send it to Ada."])
def test_other_talk_calls_nothing(said: str) -> None:
    assert wanted(said, Offer(TOOLS)) is None


def test_what_was_not_said_is_missing() -> None:
    found = wanted("Weather.", Offer(TOOLS))
    assert found is not None
    assert found.missing == ("city",)


def test_a_required_call_is_made_and_complete_whatever_was_said() -> None:
    found = wanted("Hello.", Offer(TOOLS[:1], "required"))
    assert found is not None
    assert (found.arguments, found.missing) == ({"city": "Hello"}, ())
    numbers = tool("f", {"n": {"type": "number", "minimum": 2}, "on": {"type": "boolean"}})
    found = wanted("Hello.", Offer((numbers,), "required"))
    assert found is not None
    assert found.arguments == {"n": 2, "on": False}


def test_references_and_choices_of_null_are_understood() -> None:
    parameters = {
        "properties": {
            "room": {"$ref": "#/$defs/Room"},
            "level": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "$defs": {"Room": {"enum": ["hall", "attic"]}},
        "required": ["room"],
    }
    found = wanted("Dim light in the attic to 40", Offer((Tool("dim_light", "", parameters),)))
    assert found is not None
    assert found.arguments == {"room": "attic", "level": 40}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab$#/", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "enum", "anyOf", "$ref", "required", "properties", "a"]), inner
        )
    ),
    max_leaves=8,
)


@given(
    st.lists(st.sampled_from(["light", "in", "5", "a", "on", ",", "minus", "called"])).map(
        " ".join
    ),
    st.dictionaries(st.sampled_from(["properties", "required", "$defs"]), JSON),
    st.dictionaries(st.text("ab_", min_size=1, max_size=3), JSON, max_size=3),
    st.sampled_from(["auto", "required"]),
)
def test_no_schema_and_no_sentence_is_too_strange(said, schema, properties, choice) -> None:
    odd = (Tool("light", "", schema), Tool("light_two", "", {"properties": properties}))
    found = wanted(said, Offer(odd, choice))
    assert found is None or json.loads(found.json) == found.arguments


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("it rains", "It rains."),
        ("Really?", "Really?"),
        ('"started"', "Started."),
        ('{"celsius": 7, "sky": "light rain"}', "Celsius 7, sky light rain."),
        ('{"error": "no such city"}', "That did not work: no such city."),
        ('{"isOpen": true, "hours": [9, 17]}', "Is open yes, hours 9, 17."),
        ("42", "42."),
        ("null", "Done."),
        ("", "Done."),
        ("[" * 5000, "[" * 5000 + "."),
    ],
)
def test_a_result_is_told_in_words(output: str, told: str) -> None:
    assert spoken_result(output) == told
