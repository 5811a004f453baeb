"""The realtime sessions of `pydantic-ai`, unchanged, on the speech of a person."""

import asyncio
from typing import Any

import pytest
from helpers_clients import (
    COMMAND,
    INTERRUPTION,
    REPORT,
    cut_at_ms,
    errors_in,
    microphone,
    needs_weights,
    served,
    statuses_in,
)

from voicecli.protocol.events import Event

pytest.importorskip("pydantic_ai", reason="pydantic-ai-slim is not installed (extra `clients`)")

from pydantic_ai import Agent
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.realtime import openai as realtime

pytestmark = [needs_weights, pytest.mark.filterwarnings("ignore")]


def words_in(messages: list[Any]) -> list[str]:
    parts = [part for one in messages for part in one.parts]
    return [part.transcript or "" for part in parts if hasattr(part, "transcript")]


def test_it_hears_calls_answers_and_can_be_interrupted(said: list[Event]) -> None:
    calls: list[int] = []
    robot = Agent(instructions="You are a robot.")

    @robot.tool_plain
    def go_forward(meters: int) -> str:
        """Go forward some meters."""
        calls.append(meters)
        return REPORT

    async def play(session: Any, is_playing: asyncio.Event) -> None:
        async for pcm in session.stream_audio():
            is_playing.set()
            await asyncio.sleep(len(pcm) / 48_000)

    async def watch(session: Any, turns: asyncio.Semaphore) -> None:
        async for event in session:
            if type(event).__name__ == "RealtimeTurnCompleteEvent":
                turns.release()

    async def run() -> list[str]:
        async with served() as url:
            web = url.replace("ws://", "http://").removesuffix("/realtime")
            provider = OpenAIProvider(base_url=web, api_key="none")
            model = realtime.OpenAIRealtimeModel("gpt-realtime", provider=provider)
            settings: Any = {"input_transcription_model": "whisper-1"}
            bound = robot.realtime(model, model_settings=settings)
            async with bound.session(handle_barge_in=True) as session:
                is_playing, turns = asyncio.Event(), asyncio.Semaphore(0)
                pumps = [
                    asyncio.create_task(play(session, is_playing)),
                    asyncio.create_task(watch(session, turns)),
                ]
                async for pcm in microphone(COMMAND):
                    await session.send_audio(pcm)
                await is_playing.wait()
                async for pcm in microphone(INTERRUPTION):
                    await session.send_audio(pcm)
                while not words_in(session.all_messages())[-1].startswith("You said"):
                    await turns.acquire()
                for pump in pumps:
                    pump.cancel()
                return words_in(session.all_messages())

    words = asyncio.run(asyncio.wait_for(run(), 40))
    assert calls == [10]
    assert errors_in(said) == []
    assert len(cut_at_ms(said)) == 1
    assert statuses_in(said)[-1] == "completed"
    assert words[0] == "Go forward ten meters."
    assert words[-1].startswith("You said")
