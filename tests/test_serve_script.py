"""A server that plays a file: what it says and when, and what is wrong with a file."""

import asyncio
import base64
import contextlib
import json
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import clip, silence, types
from test_serve import ask, models, receive, send, serving, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from voicecli.engine.server.acting import Actor, load_stage
from voicecli.engine.server.house import new_id
from voicecli.engine.server.script import read_script
from voicecli.errors import ConfigError

HEAD = "version = 1\n"


@contextlib.asynccontextmanager
async def playing(folder: Path, script: str) -> AsyncIterator[ClientConnection]:
    file = folder / "script.toml"
    file.write_text(HEAD + script, "utf-8")
    stage = load_stage(file, new_id)
    async with (
        serving(models, make_worker=lambda connection: Actor(stage, connection)) as url,
        connect(url, compression=None) as socket,
    ):
        assert (await receive(socket))["type"] == "session.created"
        yield socket


def audio_in(told: list[dict[str, Any]]) -> bytes:
    deltas = [one["delta"] for one in told if one["type"] == "response.output_audio.delta"]
    return b"".join(map(base64.b64decode, deltas))


def test_an_answer_has_the_items_the_script_gives_it(tmp_path: Path) -> None:
    script = """
    [[answer]]
    step = [
        { say = "Let me look.", ms = 400 },
        { next_item = true },
        { say = "One moment.", ms = 200 },
        { call = "weather", arguments = { place = "Berlin" } },
    ]
    """

    async def run() -> None:
        async with playing(tmp_path, script) as socket:
            await ask(socket)
            told = await until(socket, "response.done")
            response = told[-1]["response"]
            first, second, call = response["output"]
            assert response["status"] == "completed"
            assert first["content"][0]["transcript"] == "Let me look."
            assert second["content"][0]["transcript"] == "One moment."
            assert (call["name"], json.loads(call["arguments"])) == ("weather", {"place": "Berlin"})
            assert len(audio_in(told)) == 600 * 48

    asyncio.run(run())


def test_the_user_is_heard_as_the_script_says_in_every_kind_of_turn(tmp_path: Path) -> None:
    script = """
    [[answer]]
    heard = "What time is it?"
    step = [{ say = "Noon." }]
    [[answer]]
    heard = "And now?"
    step = [{ say = "One." }]
    """

    async def run() -> None:
        async with playing(tmp_path, script) as socket:
            transcription = {"input": {"transcription": {"model": "whisper-1"}}}
            await send(
                socket, "session.update", session={"type": "realtime", "audio": transcription}
            )
            heard = []
            for _ in range(2):
                audio = base64.b64encode(clip() + silence(900)).decode()
                await send(socket, "input_audio_buffer.append", audio=audio)
                told = await until(socket, "response.done")
                heard += [one["transcript"] for one in told if one["type"].endswith("n.completed")]
            assert heard == ["What time is it?", "And now?"]

    asyncio.run(run())


def test_answers_may_be_chosen_by_the_words_and_be_repeated(tmp_path: Path) -> None:
    script = """
    [[answer]]
    when = "weather|rain"
    repeat = true
    step = [{ say = "Rain." }]
    [[answer]]
    step = [{ say = "First." }]
    """

    async def run() -> None:
        async with playing(tmp_path, script) as socket:
            said = []
            for text in ("Hi.", "Will it RAIN?", "The weather?", "Hi again."):
                await ask(socket, text)
                response = (await until(socket, "response.done"))[-1]["response"]
                said.append([one["content"][0]["transcript"] for one in response["output"]])
            assert said == [["First."], ["Rain."], ["Rain."], []]
            assert response["status"] == "failed"
            assert "no answer left" in response["status_details"]["error"]["message"]

    asyncio.run(run())


def test_real_pace_takes_as_long_as_it_sounds_and_a_burst_does_not(tmp_path: Path) -> None:
    script = """
    [[answer]]
    step = [{ wait_ms = 200 }, { say = "Slow.", ms = 400, pace = "real" }]
    [[answer]]
    step = [{ say = "Quick.", ms = 60000 }]
    """

    async def run() -> None:
        async with playing(tmp_path, script) as socket:
            took = []
            for _ in range(2):
                began = time.monotonic()
                await ask(socket)
                told = await until(socket, "response.done")
                took.append(time.monotonic() - began)
            assert len(audio_in(told)) == 60_000 * 48
            assert 0.6 <= took[0] < 3
            assert took[1] < 5

    asyncio.run(run())


def test_barge_in_ends_a_scripted_answer(tmp_path: Path) -> None:
    script = """
    [[answer]]
    step = [{ say = "A long story.", ms = 20000, pace = "real" }]
    """

    async def run() -> None:
        async with playing(tmp_path, script) as socket:
            await ask(socket)
            await until(socket, "response.output_audio.delta")
            await send(socket, "response.cancel")
            told = await until(socket, "response.done")
            assert told[-1]["response"]["status"] == "cancelled"

    asyncio.run(run())


def test_errors_events_and_raw_frames_are_sent_as_they_stand(tmp_path: Path) -> None:
    script = """
    [[answer]]
    step = [
        { error = "Too many.", code = "rate_limit_exceeded", type = "tokens" },
        { event = { type = "rate_limits.updated", rate_limits = [], of = "$response" } },
        { raw = "{ no JSON" },
        { fail = "The model is gone." },
    ]
    """

    async def run() -> None:
        async with playing(tmp_path, script) as socket:
            await ask(socket)
            created = (await until(socket, "response.created"))[-1]["response"]
            error = await receive(socket)
            assert error["error"]["code"] == "rate_limit_exceeded"
            event = json.loads(await socket.recv())
            assert (event["type"], event["of"]) == ("rate_limits.updated", created["id"])
            assert await socket.recv() == "{ no JSON"
            response = (await until(socket, "response.done"))[-1]["response"]
            assert response["status_details"]["error"]["message"] == "The model is gone."

    asyncio.run(run())


@pytest.mark.parametrize(
    ("step", "code"),
    [('{ close = 1012, reason = "Restart." }', 1012), ("{ cut = true }", None)],
)
def test_a_script_can_end_the_connection_in_the_middle(
    tmp_path: Path, step: str, code: int | None
) -> None:
    script = f'[[answer]]\nstep = [{{ say = "Wait.", ms = 100 }}, {step}]'

    async def run() -> None:
        async with playing(tmp_path, script) as socket:
            await ask(socket)
            await until(socket, "response.output_audio.delta")
            with pytest.raises(ConnectionClosed) as closed:
                await until(socket, "response.done")
            assert (closed.value.rcvd.code if closed.value.rcvd else None) == code

    asyncio.run(run())


def test_steps_may_follow_the_greeting(tmp_path: Path) -> None:
    script = 'connect = [{ wait_ms = 10 }, { error = "Full." }, { close = 4000 }]'

    async def run() -> None:
        async with playing(tmp_path, script) as socket:
            assert types([await receive(socket)]) == ["error"]
            with pytest.raises(ConnectionClosed) as closed:
                await receive(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4000

    asyncio.run(run())


def test_a_sound_may_be_a_file_beside_the_script(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "hello.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(b"\1\2" * 4800)

    async def run() -> None:
        script = '[[answer]]\nstep = [{ say = "Hello.", sound = "hello.wav" }]'
        async with playing(tmp_path, script) as socket:
            await ask(socket)
            assert audio_in(await until(socket, "response.done")) == b"\1\2" * 4800

    asyncio.run(run())


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("version = 2", ["version", "must be 1"]),
        ("version = 1\nanswers = []", ["answers", "allowed are version, audio, connect, answer"]),
        ("version =", ["not TOML"]),
        pytest.param(f"a = {'[' * 3000}{']' * 3000}", ["nested too deeply"], id="deep"),
        ("version = 1\n[audio]\npace = 'fast'", ["audio.pace", "'fast'", "'burst' or 'real'"]),
        ("version = 1\nanswer = [{step = [{}]}]", ["answer[0].step[0]", "does nothing", "wait_ms"]),
        (
            "version = 1\nanswer = [{step = [{sai = 'x'}]}]",
            ["answer[0].step[0]", "'sai'", "say"],
        ),
        (
            "version = 1\nanswer = [{step = [{say = 'x', wait_ms = 1}]}]",
            ["does 2 things: say, wait_ms"],
        ),
        (
            "version = 1\nanswer = [{step = [{wait_ms = -1}]}]",
            ["answer[0].step[0].wait_ms", "-1", "from 0 to 600000"],
        ),
        ("version = 1\nanswer = [{step = [{close = 1006}]}]", ["close", "1006", "3000 to 4999"]),
        ("version = 1\nanswer = [{when = '('}]", ["answer[0].when", "regular expression"]),
        ("version = 1\nanswer = [{step = [{say = 'x', loud = 1}]}]", ["loud", "ms, sound, pace"]),
        ("version = 1\nconnect = [{say = 'x'}]", ["connect[0]", "'say'", "wait_ms, error"]),
        ("version = 1\nanswer = 3", ["answer", "3", "[[answer]]"]),
    ],
)
def test_what_is_wrong_with_a_script_is_told_with_its_place_and_what_is_allowed(
    script: str, names: list[str]
) -> None:
    with pytest.raises(ConfigError) as wrong:
        read_script(script, "talk.toml")
    for name in ("talk.toml", *names):
        assert name in wrong.value.message


def test_a_sound_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "script.toml"
    file.write_text(HEAD + '[[answer]]\nstep = [{ say = "x", sound = "no.wav" }]')
    with pytest.raises(ConfigError, match=r"no\.wav") as caught:
        load_stage(file, new_id)
    assert "Errno" not in caught.value.message


def test_a_script_that_is_not_there_is_told_without_a_number(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^there is no file '.*nofile\.toml'$"):
        load_stage(tmp_path / "nofile.toml", new_id)
