"""How often a mind calls the right function: `mind_tools.py [rules|small|standard|URL]`.

Right means: the function that a person would take, with these arguments and no other ones, and none
where none is of use. Then each result is told, which should repeat what matters in it.
"""

import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from voicecli.engine.dialogue.messages import (
    Call,
    CallArguments,
    CallStart,
    Message,
    Offer,
    Piece,
    Tool,
)
from voicecli.engine.minds.mind import Mind, load_mind
from voicecli.engine.store import ModelStore


def tool(name: str, description: str, needed: dict[str, Any], more: dict[str, Any]) -> Tool:
    parameters = {"type": "object", "properties": needed | more, "required": list(needed)}
    return Tool(name, description, parameters)


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
OFFER = Offer(
    (
        tool("get_weather", "The weather in a city now.", {"city": TEXT}, {}),
        tool("set_timer", "Start a countdown.", {"minutes": WHOLE}, {"label": TEXT}),
        tool(
            "switch_light",
            "Switch the light of a room.",
            {"room": TEXT, "state": {"type": "string", "enum": ["on", "off"]}},
            {},
        ),
        tool("search_music", "Find songs and play the first.", {"query": TEXT}, {}),
        tool("roll_dice", "Roll some dice.", {}, {"count": WHOLE}),
    )
)


@dataclass(frozen=True)
class Case:
    said: str
    name: str = ""
    arguments: dict[str, Any] | None = None
    result: str = ""
    repeats: str = ""
    "A word of the result that has to be told."


CASES = (
    Case("What is the weather in Berlin?", "get_weather", {"city": "Berlin"},
         '{"celsius": 7, "sky": "light rain"}', "rain"),
    Case("Will I need an umbrella in Madrid?", "get_weather", {"city": "Madrid"},
         '{"celsius": 21, "sky": "sunny"}', "sunny"),
    Case("Tell me about the weather in New York, please.", "get_weather", {"city": "New York"},
         '{"celsius": -3, "sky": "snow"}', "snow"),
    Case("Set a timer for five minutes.", "set_timer", {"minutes": 5}, '"started"', ""),
    Case("Wake me in twenty minutes.", "set_timer", {"minutes": 20}, '"started"', ""),
    Case("I need a ten minute timer.", "set_timer", {"minutes": 10}, '"started"', ""),
    Case("Turn on the light in the kitchen.", "switch_light", {"room": "kitchen", "state": "on"},
         '"the light is on"', "light"),
    Case("Switch the bedroom light off.", "switch_light", {"room": "bedroom", "state": "off"},
         '"the light is off"', "light"),
    Case("It is too dark in the hall.", "switch_light", {"room": "hall", "state": "on"},
         '"the light is on"', "light"),
    Case("Search music by Mozart.", "search_music", {"query": "Mozart"},
         '"playing Eine kleine Nachtmusik"', "playing"),
    Case("Play some jazz.", "search_music", {"query": "jazz"}, '"playing So What"', "playing"),
    Case("Roll the dice.", "roll_dice", {}, '{"dice": [4]}', "4"),
    Case("Please roll two dice.", "roll_dice", {"count": 2}, '{"dice": [3, 5]}', "5"),
    Case("Roll three dice for me.", "roll_dice", {"count": 3}, '{"dice": [1, 6, 2]}', "6"),
    Case("Hello, my name is Ada."), Case("What is the capital of France?"),
    Case("Tell me a joke."), Case("Thank you very much."), Case("Why is the sky blue?"),
    Case("Who wrote Romeo and Juliet?"), Case("How do I boil an egg?"),
    Case("What can you do?"),
)  # fmt: skip


def main() -> None:
    mind = load_mind(sys.argv[1] if len(sys.argv) > 1 else "small", ModelStore())
    list(mind.reply([Message("user", "Hi")], stopped=lambda: False, offer=OFFER, max_tokens=1))
    called, exact, quiet, told, times = 0, 0, 0, 0, []
    with_call = [case for case in CASES if case.name]
    for case in CASES:
        messages = [Message("user", case.said)]
        began = time.perf_counter()
        pieces = list(mind.reply(messages, stopped=lambda: False, offer=OFFER))
        times.append((time.perf_counter() - began) * 1000)
        name, arguments = _call(pieces)
        right = name == case.name
        same = right and _same(arguments, case.arguments)
        called, exact = called + (right and bool(name)), exact + (same and bool(name))
        quiet += right and not name
        print(f"{times[-1]:6.0f} ms {'ok ' if same else 'BAD'} {case.said!r} -> {_shown(pieces)}")
        if case.name:
            answer = _result_told(mind, case)
            well = answer is not None and case.repeats in answer.lower()
            told += well
            print(f"              {'ok ' if well else 'BAD'} {case.result} -> {answer!r}")
    print(f"{mind.name}: right function {called}/{len(with_call)}, arguments too {exact}")
    print(f"no call where none is of use {quiet}/{len(CASES) - len(with_call)}")
    print(f"result told {told}/{len(with_call)}; median {statistics.median(times):.0f} ms")


def _call(pieces: list[Piece]) -> tuple[str, dict[str, Any] | None]:
    name = next((piece.name for piece in pieces if isinstance(piece, CallStart)), "")
    text = "".join(piece.text for piece in pieces if isinstance(piece, CallArguments))
    return name, json.loads(text) if name else None


def _same(found: dict[str, Any] | None, wanted: dict[str, Any] | None) -> bool:
    return json.dumps(found, sort_keys=True).lower() == json.dumps(wanted, sort_keys=True).lower()


def _shown(pieces: list[Piece]) -> str:
    name, arguments = _call(pieces)
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    return f"{text} {name}({arguments})" if name else text[:70]


def _result_told(mind: Mind, case: Case) -> str | None:
    """What is said of the result; None if another call is made instead."""
    call = Call("c", case.name, json.dumps(case.arguments))
    messages = [
        Message("user", case.said),
        Message("assistant", "", calls=(call,)),
        Message("tool", case.result, call_id="c"),
    ]
    pieces = list(mind.reply(messages, stopped=lambda: False, offer=OFFER))
    if any(isinstance(piece, CallStart) for piece in pieces):
        return None
    return "".join(piece for piece in pieces if isinstance(piece, str)).strip() or None


if __name__ == "__main__":
    main()
