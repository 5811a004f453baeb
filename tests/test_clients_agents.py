"""The realtime runner of `openai-agents`, unchanged, on the speech of a person."""

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

pytest.importorskip("agents", reason="openai-agents is not installed (extra `clients`)")

from agents import function_tool, set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimeRunner

pytestmark = [needs_weights, pytest.mark.filterwarnings("ignore")]


def words_in(history: list[Any]) -> list[str]:
    messages = [one for one in history if one.type == "message"]
    return [part.transcript or "" for one in messages for part in one.content]


def test_it_hears_calls_answers_and_can_be_interrupted(said: list[Event]) -> None:
    set_tracing_disabled(True)
    calls: list[int] = []

    @function_tool
    def go_forward(meters: int) -> str:
        """Go forward some meters."""
        calls.append(meters)
        return REPORT

    robot: Any = RealtimeAgent(name="Robot", instructions="You are a robot.", tools=[go_forward])
    detection = {"type": "server_vad", "interrupt_response": True}
    settings: Any = {
        "input_audio_transcription": {"model": "whisper-1"},
        "turn_detection": detection,
    }
    runner = RealtimeRunner(robot, config={"model_settings": settings})
    seen: list[Any] = []

    async def until(session: Any, kind: str) -> Any:
        async for event in session:
            seen.append(event)
            if event.type == kind:
                return event
        raise AssertionError(f"it ended before {kind}")

    async def run() -> list[str]:
        async with served() as url:
            where: Any = {"url": f"{url}?model=gpt-realtime", "api_key": "none"}
            async with await runner.run(model_config=where) as session:
                async for pcm in microphone(COMMAND):
                    await session.send_audio(pcm)
                await until(session, "tool_end")
                await until(session, "audio")
                async for pcm in microphone(INTERRUPTION):
                    await session.send_audio(pcm)
                await until(session, "audio_interrupted")
                while not words_in(session._history)[-1].startswith("You said"):
                    await until(session, "agent_end")
                return words_in(session._history)

    words = asyncio.run(asyncio.wait_for(run(), 40))
    assert calls == [10]
    assert [one for one in seen if one.type == "error"] == []
    assert errors_in(said) == []
    assert len(cut_at_ms(said)) == 1
    assert statuses_in(said)[-1] == "completed"
    assert words[0] == "Go forward ten meters."
    assert words[-1].startswith("You said")
