"""The engine as the `openai` package's own client meets it."""

import asyncio
import base64
import importlib.util
from typing import Any

import pytest
from engine_fakes import FakeMind, clip, silence
from openai import AsyncOpenAI
from test_serve import models, send, serving, until
from websockets.asyncio.client import connect

from voicecli.engine.ears.ears import MoonshineEars
from voicecli.engine.minds.mind import load_mind
from voicecli.engine.stages import Models
from voicecli.engine.store import ModelStore
from voicecli.engine.voices.voices import HibariVoice


def test_the_client_of_the_openai_package_can_talk_to_the_engine() -> None:
    mind = FakeMind("Hello there. ", "Bye.")

    async def run() -> None:
        async with serving(lambda: models(mind)) as url:
            base_url = url.replace("ws://", "http://").removesuffix("/realtime")
            client = AsyncOpenAI(base_url=base_url, api_key="none")
            async with client.realtime.connect(model="gpt-realtime") as connection:
                transcription = {"model": "whisper-1"}
                session: Any = {
                    "type": "realtime",
                    "instructions": "Be brief.",
                    "audio": {"input": {"transcription": transcription}},
                }
                await connection.session.update(session=session)
                audio = base64.b64encode(silence(300) + clip() + silence(700)).decode()
                await connection.input_audio_buffer.append(audio=audio)
                seen: list[Any] = []
                while not seen or seen[-1].type != "response.done":
                    seen.append(await connection.recv())
                item_id = seen[-1].response.output[0].id
                await connection.conversation.item.truncate(
                    item_id=item_id, content_index=0, audio_end_ms=100
                )
                assert (await connection.recv()).type == "conversation.item.truncated"
            await client.close()
        types = [one.type for one in seen]
        deltas = [one.delta for one in seen if one.type == "response.output_audio.delta"]
        assert types[:2] == ["session.created", "session.updated"]
        assert "conversation.item.input_audio_transcription.completed" in types
        assert len(b"".join(map(base64.b64decode, deltas))) == 3 * 2400

    asyncio.run(run())
    assert [said.text for said in mind.asked[0]] == ["Be brief.", "Go forward."]


def _weights_are_present() -> bool:
    installed = all(importlib.util.find_spec(one) for one in ("onnxruntime", "hibari"))
    return installed and ModelStore().is_present("moonshine-tiny-en")


@pytest.mark.skipif(not _weights_are_present(), reason="the weights of the models are not here")
def test_the_real_ears_and_voice_hold_a_conversation() -> None:
    def real() -> Models:
        store = ModelStore()
        ears = MoonshineEars(store.path("moonshine-tiny-en"))
        return Models(ears, load_mind("rules", store), HibariVoice())

    async def run() -> None:
        async with serving(real) as url, connect(url, compression=None) as socket:
            transcription = {"model": "whisper-1"}
            session = {"type": "realtime", "audio": {"input": {"transcription": transcription}}}
            await send(socket, "session.update", session=session)
            audio = base64.b64encode(silence(300) + clip() + silence(700)).decode()
            await send(socket, "input_audio_buffer.append", audio=audio)
            told = await until(socket, "response.done")
        (heard,) = [one for one in told if one["type"].endswith("transcription.completed")]
        assert "forward ten meters" in heard["transcript"].lower()
        said = told[-1]["response"]["output"][0]["content"][0]["transcript"]
        assert "forward ten meters" in said.lower()
        deltas = [one["delta"] for one in told if one["type"] == "response.output_audio.delta"]
        assert len(b"".join(map(base64.b64decode, deltas))) > 48_000

    asyncio.run(run())
