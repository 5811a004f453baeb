"""The whole engine over a socket: functions that are called, and stages that are other servers."""

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from engine_fakes import FakeEars, FakeMind, FakeVoice, clip, silence, types
from helpers_http import Answerer, HttpServer, events, models, refused, said, silent
from openai import AsyncOpenAI
from test_serve import ask, receive, send, serving, talking, until
from websockets.asyncio.client import ClientConnection, connect

from voicecli.engine.dialogue.messages import CallArguments, CallStart, Offer
from voicecli.engine.ears.endpoint_ears import EndpointEars
from voicecli.engine.minds.endpoint import EndpointMind
from voicecli.engine.minds.rules import RulesMind
from voicecli.engine.stages import Models
from voicecli.engine.voices.endpoint_voice import EndpointVoice

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def rules() -> Models:
    return Models(FakeEars("What's the weather in Berlin?"), RulesMind(datetime.now), FakeVoice())


async def use(socket: ClientConnection, **session: Any) -> None:
    await send(socket, "session.update", session={"type": "realtime", **session})


async def give_result(socket: ClientConnection, call: Any, output: str) -> None:
    item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
    await send(socket, "conversation.item.create", item=item)
    await send(socket, "response.create")


async def say(socket: ClientConnection) -> None:
    audio = base64.b64encode(silence(300) + clip() + silence(700)).decode()
    await send(socket, "input_audio_buffer.append", audio=audio)


def text_of(response: Any) -> str:
    (message,) = [one for one in response["output"] if one["type"] == "message"]
    return str(message["content"][0]["transcript"])


def test_spoken_words_call_a_function_and_its_result_is_spoken() -> None:
    async def talk(socket: ClientConnection) -> None:
        await use(socket, tools=[WEATHER])
        await say(socket)
        (call,) = (await until(socket, "response.done"))[-1]["response"]["output"]
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Berlin"})
        await give_result(socket, call, '{"celsius": 7, "sky": "light rain"}')
        told = await until(socket, "response.done")
        assert text_of(told[-1]["response"]) == "Celsius 7, sky light rain."
        assert "response.output_audio.delta" in types(told)

    talking(talk, rules)


def test_what_is_missing_for_a_call_is_asked_for() -> None:
    async def talk(socket: ClientConnection) -> None:
        await use(socket, tools=[WEATHER])
        await ask(socket, "The weather, please.")
        response = (await until(socket, "response.done"))[-1]["response"]
        assert text_of(response) == "To get weather, I need to know the city."

    talking(talk, rules)


def test_a_preamble_is_spoken_before_the_call_and_the_next_words_are_a_message_of_their_own() -> (
    None
):
    mind = FakeMind(
        "One moment. ", CallStart("f"), CallArguments("{"), CallArguments("}"), "Here it is."
    )

    async def talk(socket: ClientConnection) -> None:
        for modality in ("audio", "text"):
            await use(socket, tools=[{"type": "function", "name": "f"}])
            response = {"output_modalities": [modality]}
            await send(socket, "response.create", response=response)
            output = (await until(socket, "response.done"))[-1]["response"]["output"]
            assert [one["type"] for one in output] == ["message", "function_call", "message"]
            texts = [
                one["content"][0].get("transcript") or one["content"][0]["text"]
                for one in output[::2]
            ]
            pause = " " if modality == "text" else ""
            assert texts == [f"One moment.{pause}", "Here it is."]
            assert output[1]["arguments"] == "{}"

    talking(talk, lambda: Models(FakeEars(""), mind, FakeVoice()))


def test_the_client_of_the_openai_package_can_have_a_function_called() -> None:
    async def run() -> None:
        async with serving(rules) as url:
            base_url = url.replace("ws://", "http://").removesuffix("/realtime")
            client = AsyncOpenAI(base_url=base_url, api_key="none")
            async with client.realtime.connect(model="gpt-realtime") as connection:
                tools: Any = [WEATHER]
                await connection.session.update(session={"type": "realtime", "tools": tools})
                audio = base64.b64encode(silence(300) + clip() + silence(700)).decode()
                await connection.input_audio_buffer.append(audio=audio)
                event: Any = await connection.recv()
                while event.type != "response.function_call_arguments.done":
                    event = await connection.recv()
                assert json.loads(event.arguments) == {"city": "Berlin"}
                while event.type != "response.done":
                    event = await connection.recv()
                (call,) = event.response.output
                item: Any = {
                    "type": "function_call_output",
                    "call_id": call.call_id,
                    "output": "sunny",
                }
                await connection.conversation.item.create(item=item)
                await connection.response.create()
                event = await connection.recv()
                while event.type != "response.done":
                    event = await connection.recv()
                assert event.response.output[0].content[0].transcript == "Sunny."
            await client.close()

    asyncio.run(run())


class SlowReader(FakeMind):
    """Wants to read before it answers."""

    def __init__(self) -> None:
        super().__init__("Yes.")
        self.read: list[tuple[str, int]] = []
        self.has_read = threading.Event()

    def prepare(self, instructions: str, offer: Offer) -> None:
        self.read.append((instructions, len(offer.tools)))
        self.has_read.set()
        raise ValueError("not even that")


def test_a_mind_that_wants_to_may_read_before_it_is_asked() -> None:
    mind = SlowReader()

    async def talk(socket: ClientConnection) -> None:
        await use(socket, instructions="Be kind.", tools=[WEATHER])
        assert await asyncio.to_thread(mind.has_read.wait, 10)
        await ask(socket)
        assert (await until(socket, "response.done"))[-1]["response"]["status"] == "completed"

    talking(talk, lambda: Models(FakeEars(""), mind, FakeVoice()))
    assert mind.read == [("Be kind.", 1)]


# ------------------------------------------------------------------------------ other servers


def heard(text: str) -> Answerer:
    return lambda handler: handler.whole(json.dumps({"text": text}).encode())


def spoken(handler: Any) -> None:
    handler.chunks([b"\1\0" * 2400] * 3, "audio/pcm")


GOOD: dict[str, Answerer] = {
    "transcriptions": heard("Go forward."),
    "completions": events(said("Yes, I "), said("go."), said(finish="stop")),
    "speech": spoken,
    "models": models("m"),
}


def remote_stages(**answers: Answerer) -> tuple[HttpServer, Callable[[], Models]]:
    server = HttpServer(**{**GOOD, **answers})
    return server, lambda: Models(
        EndpointEars(server.url, timeout_s=0.3),
        EndpointMind(server.url, timeout_s=0.3),
        EndpointVoice(server.url, timeout_s=0.3),
    )


def test_all_three_stages_may_be_other_servers() -> None:
    server, make = remote_stages()

    async def talk(socket: ClientConnection) -> None:
        await say(socket)
        told = await until(socket, "response.done")
        assert text_of(told[-1]["response"]) == "Yes, I go."
        deltas = [one["delta"] for one in told if one["type"] == "response.output_audio.delta"]
        assert b"".join(map(base64.b64decode, deltas)) == b"\1\0" * 7200

    with server:
        talking(talk, make)
    chat = server.last("completions").json["messages"]
    assert chat[-1] == {"role": "user", "content": "Go forward."}
    assert server.last("speech").json["voice"] == "marin"


def test_an_endpoint_calls_a_function_and_speaks_of_its_result() -> None:
    function = {"name": "get_weather", "arguments": '{"city":"Rome"}'}
    call = said(tool_calls=[{"index": 0, "id": "theirs", "function": function}])
    server, make = remote_stages(completions=events(call, said(finish="tool_calls")))

    async def talk(socket: ClientConnection) -> None:
        await use(socket, tools=[WEATHER])
        await ask(socket, "Weather in Rome?")
        (made,) = (await until(socket, "response.done"))[-1]["response"]["output"]
        assert (made["name"], made["arguments"]) == ("get_weather", '{"city":"Rome"}')
        server.answers["completions"] = events(said("It rains."))
        await give_result(socket, made, "rain")
        assert text_of((await until(socket, "response.done"))[-1]["response"]) == "It rains."
        asked = server.last("completions").json["messages"]
        assert asked[-2]["tool_calls"][0]["id"] == asked[-1]["tool_call_id"] == made["call_id"]

    with server:
        talking(talk, make)


@pytest.mark.parametrize(
    ("stage", "answer", "words"),
    [
        ("completions", events(said("Yes, "), dies=True, done=False), "broke off"),
        ("completions", refused(500, "out of memory"), "out of memory"),
        ("completions", lambda handler: handler.whole(b"<html>"), "does not speak"),
        ("completions", silent, "does not answer"),
        ("speech", lambda h: h.chunks([bytes(9600)], "a/b", dies=True), "broke off"),
        ("speech", refused(500, "out of memory"), "out of memory"),
        ("speech", lambda handler: handler.whole(b"{}"), "no sound"),
        ("speech", silent, "does not answer"),
        ("transcriptions", lambda h: h.whole(b'{"te', missing=3), "broke off"),
        ("transcriptions", refused(500, "out of memory"), "out of memory"),
        ("transcriptions", lambda handler: handler.whole(b"[]"), "does not speak"),
        ("transcriptions", silent, "does not answer"),
    ],
)
def test_a_server_that_fails_fails_the_answer_and_the_session_goes_on(
    stage: str, answer: Answerer, words: str
) -> None:
    server, make = remote_stages(**{stage: answer})

    async def run() -> None:
        async with serving(make) as url, connect(url, compression=None) as socket:
            assert (await receive(socket))["type"] == "session.created"
            await say(socket)
            response = (await until(socket, "response.done"))[-1]["response"]
            assert response["status"] == "failed"
            assert words in response["status_details"]["error"]["message"]
            server.answers |= GOOD
            await say(socket)
            response = (await until(socket, "response.done"))[-1]["response"]
            assert (response["status"], text_of(response)) == ("completed", "Yes, I go.")

    with server:
        asyncio.run(run())


def test_what_was_said_before_a_server_died_stays_said() -> None:
    server, make = remote_stages(
        completions=events(said("The first sentence. "), said("The se"), dies=True, done=False)
    )

    async def talk(socket: ClientConnection) -> None:
        await ask(socket)
        response = (await until(socket, "response.done"))[-1]["response"]
        assert response["status"] == "failed"
        assert response["output"][0]["status"] == "incomplete"
        assert text_of(response) == "The first sentence."
        server.answers["completions"] = events(said("Again."))
        await ask(socket)
        await until(socket, "response.done")

    with server:
        talking(talk, make)
    assert [one["role"] for one in server.last("completions").json["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
