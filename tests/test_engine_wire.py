"""The engine as the `openai` package's own client meets it."""

import asyncio
import base64
from typing import Any

from engine_fakes import FakeMind, clip, silence
from openai import AsyncOpenAI
from test_serve import models, serving


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
