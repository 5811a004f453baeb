"""The client of the `openai` package, unchanged, on the speech of people."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

from engine_fakes import clip, silence
from helpers_clients import (
    COMMAND,
    INTERRUPTION,
    REPORT,
    errors_in,
    needs_weights,
    served,
    statuses_in,
    went_forward,
)
from openai import AsyncOpenAI

from voicecli.protocol.events import Event

GO_FORWARD: Any = {
    "type": "function",
    "name": "go_forward",
    "description": "Go forward some meters.",
    "parameters": {
        "type": "object",
        "properties": {"meters": {"type": "integer"}},
        "required": ["meters"],
    },
}


def client_of(url: str) -> AsyncOpenAI:
    web = url.replace("ws://", "http://").removesuffix("/realtime")
    return AsyncOpenAI(
        base_url=web, websocket_base_url=url.removesuffix("/realtime"), api_key="none"
    )


async def heard(connection: Any, is_last: Callable[[Any], bool]) -> list[Any]:
    seen: list[Any] = []
    while not seen or not is_last(seen[-1]):
        seen.append(await connection.recv())
    return seen


def only(seen: list[Any], kind: str) -> Any:
    (found,) = [one for one in seen if one.type == kind]
    return found


async def say(connection: Any, pcm: bytes) -> None:
    await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())


@needs_weights
def test_it_hears_calls_answers_and_can_be_interrupted(said: list[Event]) -> None:
    async def run() -> None:
        async with (
            served() as url,
            client_of(url) as client,
            client.realtime.connect(model="gpt-realtime") as connection,
        ):
            session: Any = {
                "type": "realtime",
                "tools": [GO_FORWARD],
                "audio": {"input": {"transcription": {"model": "whisper-1"}}},
            }
            await connection.session.update(session=session)
            await say(connection, COMMAND)
            seen = await heard(connection, lambda one: one.type == "response.done")
            words = only(seen, "conversation.item.input_audio_transcription.completed")
            assert words.transcript == "Go forward ten meters."
            call = only(seen, "response.function_call_arguments.done")
            assert call.name == "go_forward"
            assert went_forward(call.arguments)

            output: Any = {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": REPORT,
            }
            await connection.conversation.item.create(item=output)
            await connection.response.create()
            (*_, delta) = await heard(
                connection, lambda one: one.type == "response.output_audio.delta"
            )
            received_ms = len(base64.b64decode(delta.delta)) // 48
            await say(connection, INTERRUPTION)
            await heard(connection, lambda one: one.type == "input_audio_buffer.speech_started")
            await connection.conversation.item.truncate(
                item_id=delta.item_id, content_index=0, audio_end_ms=received_ms
            )
            await heard(connection, lambda one: one.type == "conversation.item.truncated")
            await connection.conversation.item.retrieve(item_id=delta.item_id)
            seen = await heard(connection, lambda one: one.type == "conversation.item.retrieved")
            kept = seen[-1].item.content[0]
            assert len(base64.b64decode(kept.audio)) // 48 == received_ms
            assert kept.transcript == ""
            if not any(one.type == "response.done" for one in seen):
                seen += await heard(connection, lambda one: one.type == "response.done")
            answer = only(seen, "response.done").response.output[0]
            assert "clubs" in answer.content[0].transcript.lower()

    asyncio.run(asyncio.wait_for(run(), 40))
    assert errors_in(said) == []
    assert statuses_in(said) == ["completed", "cancelled", "completed"]


@needs_weights
def test_it_can_have_speech_transcribed_and_nothing_else(said: list[Event]) -> None:
    async def run() -> None:
        async with served() as url, client_of(url) as client:
            query = {"intent": "transcription"}
            async with client.realtime.connect(extra_query=query) as connection:
                session: Any = {
                    "type": "transcription",
                    "audio": {
                        "input": {
                            "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
                            "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
                        }
                    },
                }
                await connection.session.update(session=session)
                await say(connection, COMMAND + clip("cards_001") + silence(600))
                done = "conversation.item.input_audio_transcription.completed"
                seen = await heard(connection, lambda one: one.type == done)
                seen += await heard(connection, lambda one: one.type == done)
        created, updated = seen[:2]
        assert created.session.type == updated.session.type == "transcription"
        words = [one.transcript for one in seen if one.type == done]
        assert words[0] == "Go forward ten meters."
        assert "clubs" in words[1]
        assert not [one.type for one in seen if one.type.startswith("response.")]

    asyncio.run(asyncio.wait_for(run(), 40))
    assert errors_in(said) == []


@needs_weights
def test_a_secret_for_transcription_begins_a_session_of_that_kind() -> None:
    async def run() -> None:
        async with served() as url, client_of(url) as client:
            wanted: Any = {
                "type": "transcription",
                "audio": {"input": {"transcription": {"model": "whisper-1"}}},
            }
            secret = await client.realtime.client_secrets.create(session=wanted)
            assert secret.session.type == "transcription"
            assert secret.session.object == "realtime.transcription_session"
            browser = client.with_options(api_key=secret.value)
            async with browser.realtime.connect() as connection:
                created: Any = await connection.recv()
                heard_by = created.session.audio.input.transcription
                assert (created.session.type, heard_by.model) == ("transcription", "whisper-1")

    asyncio.run(asyncio.wait_for(run(), 40))
