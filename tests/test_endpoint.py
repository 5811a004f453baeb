"""A mind at a URL: its function calls, and the ways in which a server can fail."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from helpers_http import Answerer, HttpServer, events, models, refused, said, silent

from voicecli.engine.dialogue.messages import (
    NO_OFFER,
    Call,
    CallArguments,
    CallStart,
    Message,
    Offer,
    Piece,
    Tool,
)
from voicecli.engine.minds.endpoint import EndpointMind
from voicecli.errors import ConnectionFailed, ModelError, NetworkStalled

QUESTION = [Message("system", "Be kind."), Message("user", "Weather in Rome?")]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
OFFER = Offer((Tool("get_weather", "The weather.", PARAMETERS), Tool("roll_dice")))


def chat(answer: Answerer) -> HttpServer:
    return HttpServer(completions=answer, models=models("first"))


def reply(
    server: HttpServer,
    messages: Sequence[Message] = QUESTION,
    offer: Offer = NO_OFFER,
    timeout_s: float = 10,
) -> list[Piece]:
    mind = EndpointMind(server.url, timeout_s=timeout_s)
    try:
        return list(mind.reply(messages, stopped=lambda: False, offer=offer))
    finally:
        mind.close()


def call_delta(index: int, arguments: Any, **more: Any) -> dict[str, Any]:
    name = {"name": more.pop("name")} if "name" in more else {}
    return {"index": index, **more, "function": {**name, "arguments": arguments}}


def test_functions_are_offered_as_the_protocol_has_them() -> None:
    with chat(events(said("Hi."))) as server:
        reply(server, offer=OFFER)
        reply(server)
    asked, plain = (one.json for one in server.asked if one.path.endswith("completions"))
    assert asked["tool_choice"] == "auto"
    assert asked["tools"][0] == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather.",
            "parameters": PARAMETERS,
        },
    }
    assert asked["tools"][1]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert not {"tools", "tool_choice"} & set(plain)


@pytest.mark.parametrize(
    ("offer", "choice"),
    [
        (Offer(OFFER.tools, "required"), "required"),
        (
            Offer(OFFER.tools[1:], "required"),
            {"type": "function", "function": {"name": "roll_dice"}},
        ),
    ],
)
def test_a_call_may_be_required(offer: Offer, choice: Any) -> None:
    with chat(events(said("Hi."))) as server:
        reply(server, offer=offer)
    assert server.last("completions").json["tool_choice"] == choice


def test_calls_and_results_are_sent_back_as_the_protocol_has_them() -> None:
    messages = [
        *QUESTION,
        Message("assistant", "", calls=(Call("call_1", "get_weather", '{"city":"Rome"}'),)),
        Message("tool", "rain", call_id="call_1"),
    ]
    with chat(events(said("It rains."))) as server:
        assert reply(server, messages, OFFER) == ["It rains."]
    function = {"name": "get_weather", "arguments": '{"city":"Rome"}'}
    assert server.last("completions").json["messages"][2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]


def test_a_streamed_call_is_passed_on_as_it_comes() -> None:
    answer = events(
        said("Let me **look**."),
        said(tool_calls=[call_delta(0, "", id="a", name="get_weather")]),
        said(tool_calls=[call_delta(0, '{"ci')]),
        said(tool_calls=[call_delta(0, 'ty":"Rome"}')]),
        said(tool_calls=[call_delta(1, "{}", id="b", name="roll_dice")]),
        said(finish="tool_calls"),
    )
    with chat(answer) as server:
        pieces = reply(server, offer=OFFER)
    assert "".join(one for one in pieces if isinstance(one, str)) == "Let me look."
    assert [one for one in pieces if not isinstance(one, str)] == [
        CallStart("get_weather"),
        CallArguments('{"ci'),
        CallArguments('ty":"Rome"}'),
        CallStart("roll_dice"),
        CallArguments("{}"),
    ]


@pytest.mark.parametrize(
    "calls",
    [
        # All of them at the index 0, told apart by their ids.
        [call_delta(0, "{}", id="a", name="f"), call_delta(0, "{}", id="b", name="g")],
        # Without ids.
        [call_delta(0, "{}", name="f"), call_delta(1, "{}", name="g")],
        [call_delta(0, "{}", name="f"), call_delta(0, "{}", name="g")],
        # The id and the name again and again.
        [
            call_delta(0, "", id="a", name="f"),
            call_delta(0, "{}", id="a", name="f"),
            call_delta(1, "{}", id="b", name="g"),
        ],
        # Arguments as an object.
        [call_delta(0, {}, id="a", name="f"), call_delta(1, {}, id="b", name="g")],
    ],
)
def test_calls_are_told_apart_whatever_the_server_makes_of_the_protocol(calls: list[Any]) -> None:
    with chat(events(*(said(tool_calls=[one]) for one in calls))) as server:
        pieces = reply(server, offer=OFFER)
    assert pieces == [CallStart("f"), CallArguments("{}"), CallStart("g"), CallArguments("{}")]


def test_an_answer_that_is_not_streamed_may_hold_calls_too() -> None:
    message = {"content": None, "tool_calls": [call_delta(0, "{}", id="a", name="f")]}
    body = json.dumps({"choices": [{"message": message}]}).encode()
    with chat(lambda handler: handler.whole(body)) as server:
        assert reply(server, offer=OFFER) == [CallStart("f"), CallArguments("{}")]


def test_a_stream_that_ends_properly_without_a_last_mark_is_whole() -> None:
    with chat(events(said("Yes."), said(finish="stop"), done=False)) as server:
        assert reply(server) == ["Yes."]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (events(said("It "), said("is"), dies=True, done=False), ConnectionFailed, "broke off"),
        (events(said("It "), said("is"), done=False), ConnectionFailed, "broke off"),
        (events(said("It "), {"error": {"message": "too hot"}}), ModelError, "too hot"),
        (refused(500, "out of memory"), ModelError, "500: out of memory"),
        (refused(400, "x does not support tools"), ModelError, "does not support tools"),
        (lambda handler: handler.whole(b"<html>", "text/html"), ModelError, "does not speak"),
        (lambda handler: handler.whole(b"[1]"), ModelError, "does not speak"),
        (lambda handler: handler.whole(b"{", missing=5), ConnectionFailed, "broke off"),
        (events("hello"), ModelError, "does not speak"),
        (events({"choices": 5}), ModelError, "does not speak"),
        (events(said(tool_calls=[{"index": 0}])), ModelError, "does not speak"),
        (
            lambda handler: handler.chunks([b"data: {"] * 9, "text/event-stream"),
            ModelError,
            "speak",
        ),
    ],
)
def test_a_server_that_fails_is_an_error_with_its_reason(
    answer: Answerer, error: type[Exception], words: str
) -> None:
    with chat(answer) as server, pytest.raises(error, match=words):
        reply(server, offer=OFFER)


def test_words_that_came_before_the_end_were_said() -> None:
    with chat(events(said("It "), said("is"), dies=True, done=False)) as server:
        heard = []
        pieces = EndpointMind(server.url).reply(QUESTION, stopped=lambda: False)
        with pytest.raises(ConnectionFailed):
            heard.extend(iter(pieces.__next__, None))
    assert len([one for one in server.asked if one.path.endswith("completions")]) == 1


def test_a_server_that_says_nothing_has_stalled() -> None:
    with chat(silent) as server, pytest.raises(NetworkStalled):
        reply(server, timeout_s=0.05)
