"""The OpenAI realtime service of `pipecat`, unchanged, on the speech of a person."""

import asyncio
import warnings
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

pytest.importorskip("pipecat", reason="pipecat-ai is not installed (extra `clients`)")

with warnings.catch_warnings():
    # Of its dependencies.
    warnings.simplefilter("ignore")
    from pipecat.frames.frames import InputAudioRawFrame, LLMRunFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker
    from pipecat.processors.aggregators.llm_context import LLMContext
    from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.services.llm_service import FunctionCallParams
    from pipecat.services.openai.realtime import events as realtime
    from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
    from pipecat.workers.runner import WorkerRunner

pytestmark = [needs_weights, pytest.mark.filterwarnings("ignore")]


class Ear(FrameProcessor):
    """Hears when the greeting is over, and when the answer after the call is being spoken."""

    def __init__(self, calls: list[int]) -> None:
        super().__init__()
        self._calls = calls
        self.greeted = asyncio.Event()
        self.answered = asyncio.Event()

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        kind = type(frame).__name__
        if kind == "LLMFullResponseEndFrame":
            self.greeted.set()
        if kind == "TTSAudioRawFrame" and self._calls:
            self.answered.set()
        await self.push_frame(frame, direction)


def is_told_of_clubs(message: Any) -> bool:
    return message["role"] == "assistant" and "clubs" in str(message).lower()


def service(url: str) -> OpenAIRealtimeLLMService:
    heard = realtime.AudioInput(
        transcription=realtime.InputAudioTranscription(model="whisper-1"),
        turn_detection=realtime.TurnDetection(),
    )
    properties = realtime.SessionProperties(
        instructions="You are a robot.", audio=realtime.AudioConfiguration(input=heard)
    )
    settings = OpenAIRealtimeLLMService.Settings(session_properties=properties)
    return OpenAIRealtimeLLMService(api_key="none", base_url=url, settings=settings)


def test_it_hears_calls_answers_and_can_be_interrupted(said: list[Event]) -> None:
    calls: list[int] = []

    async def go_forward(params: FunctionCallParams, meters: int) -> None:
        """Go forward some meters.

        Args:
            params: of the call.
            meters: how many.
        """
        calls.append(meters)
        await params.result_callback(REPORT)

    async def speak(worker: PipelineWorker, pcm: bytes) -> None:
        async for audio in microphone(pcm):
            frame = InputAudioRawFrame(audio=audio, sample_rate=24_000, num_channels=1)
            await worker.queue_frame(frame)

    async def talk(worker: PipelineWorker, ear: Ear, context: LLMContext) -> None:
        await worker.queue_frames([LLMRunFrame()])
        await ear.greeted.wait()
        await speak(worker, COMMAND)
        await ear.answered.wait()
        await speak(worker, INTERRUPTION)
        while not is_told_of_clubs(context.messages[-1]):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)

    async def run() -> list[Any]:
        async with served() as url:
            context = LLMContext([{"role": "user", "content": "Say hello."}], tools=[go_forward])
            pair, ear = LLMContextAggregatorPair(context), Ear(calls)
            rate: Any = {"audio_in_sample_rate": 24_000, "audio_out_sample_rate": 24_000}
            worker = PipelineWorker(
                Pipeline([pair.user(), service(url), ear, pair.assistant()]),
                params=PipelineParams(**rate),
            )
            runner = WorkerRunner(handle_sigint=False)
            await runner.add_workers(worker)
            running = asyncio.create_task(runner.run())
            try:
                async with asyncio.timeout(30):
                    await talk(worker, ear, context)
            finally:
                # Else its tasks would never end.
                await runner.cancel()
                await running
            return list(context.messages)

    messages = asyncio.run(run())
    assert calls == [10]
    assert errors_in(said) == []
    assert cut_at_ms(said)
    assert statuses_in(said)[-1] == "completed"
    spoken = [one["content"] for one in messages if one["role"] == "user"]
    assert spoken[1] == "Go forward ten meters."
    assert is_told_of_clubs(messages[-1])
