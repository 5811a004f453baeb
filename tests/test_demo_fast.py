"""Talks on a clock that leaps: nothing waits, and the same talk goes the same way each time."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fakes import clip
from helpers_fast import (
    AUTOMATIC,
    HummingVoice,
    fast_talk,
    hold,
    no_models,
    on_engine,
    real_models,
    spoken,
)
from helpers_program import engine_can_run
from helpers_program import spoken as program
from helpers_recording import FolderSink

from voicecli.actions import Action, Finish
from voicecli.audio.wav import decode_wav
from voicecli.cli.fast import check_fast, run_fast
from voicecli.config import Audio, Local
from voicecli.conversation import Conversation
from voicecli.cues import AfterAnswer, AfterStart, Cue, IntoAnswer
from voicecli.demo.fast import LeapingLoop, LineLink, run
from voicecli.engine.dialogue.messages import Message
from voicecli.engine.inprocess import Engine, EngineLine
from voicecli.errors import ConfigError, ConnectionFailed, ModelError
from voicecli.inputs import Input
from voicecli.recording.check import Check
from voicecli.recording.files import Recording
from voicecli.recording.fold import Fold
from voicecli.recording.format import Header, plain_settings
from voicecli.recording.heard import HeardAudio
from voicecli.recording.recorder import Recorder
from voicecli.reports import BargeInReport, ToolReport, TurnReport
from voicecli.tools.functions import Function, Functions

SPEECH = Path(__file__).parent / "data" / "speech"
STORY = {"goforward": "Tell me a story.", "cards_001": "Hello.", "cards_005": "Thank you."}
CUES = [
    Cue(AfterStart(0.5), spoken("goforward")),
    Cue(IntoAnswer(2.0), spoken("cards_001")),
    Cue(AfterAnswer(0.3), spoken("cards_005")),
]
needs_models = pytest.mark.skipif(
    not engine_can_run(), reason="the engine or the weights of its ears are not installed"
)


# ---------------------------------------------------------------------------------------- the loop


def test_an_hour_passes_at_once_and_exactly() -> None:
    async def main(loop: LeapingLoop) -> float:
        await asyncio.sleep(3600)
        return loop.time()

    began = time.monotonic()
    assert run(main) == 3600.0
    assert time.monotonic() - began < 1


def test_timers_come_in_order_and_those_of_the_same_moment_as_they_were_set() -> None:
    async def main(loop: LeapingLoop) -> list[str]:
        came: list[str] = []
        for name, delay_s in [("c", 0.3), *((f"b{n}", 0.2) for n in range(20)), ("a", 0.1)]:
            loop.call_later(delay_s, came.append, name)
        await asyncio.sleep(1)
        return came

    assert run(main) == ["a", *(f"b{n}" for n in range(20)), "c"]


def test_a_timer_that_was_called_off_does_not_come_and_takes_no_time() -> None:
    async def main(loop: LeapingLoop) -> tuple[float, list[str]]:
        came: list[str] = []
        off = loop.call_later(5, came.append, "off")
        loop.call_at(1, lambda: of_the_same_moment.cancel())
        of_the_same_moment = loop.call_at(1, came.append, "of the same moment")
        loop.call_later(0.5, off.cancel)
        await asyncio.sleep(2)
        # Nothing more is to come at any time; what comes from outside comes now.
        outside = asyncio.Event()
        threading.Timer(0.05, loop.call_soon_threadsafe, (outside.set,)).start()
        await outside.wait()
        return loop.time(), came

    assert run(main) == (2.0, [])


def test_a_timer_keeps_the_context_in_which_it_was_set() -> None:
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")

    async def main(loop: LeapingLoop) -> str:
        told: asyncio.Future[str] = loop.create_future()
        whose.set("its own")
        loop.call_later(1, lambda: told.set_result(whose.get()))
        whose.set("another")
        return await told

    assert run(main) == "its own"


def test_time_stands_still_while_a_thread_works() -> None:
    async def main(loop: LeapingLoop) -> tuple[float, list[str], float]:
        came: list[str] = []
        may_end = threading.Event()
        loop.call_later(0.001, came.append, "timer")
        work = asyncio.ensure_future(asyncio.to_thread(may_end.wait, 10))
        for _ in range(100):
            await asyncio.sleep(0)
        may_end.set()
        assert await work
        at_its_end, came_by_then = loop.time(), list(came)
        await asyncio.sleep(1)
        return at_its_end, came_by_then, loop.time()

    assert run(main) == (0.0, [], 1.0)


def test_time_stands_still_while_it_is_held() -> None:
    async def main(loop: LeapingLoop) -> float:
        def let_go() -> None:
            loop.call_soon_threadsafe(loop.release)

        loop.hold()
        loop.hold()
        for _ in range(2):
            threading.Thread(target=let_go).start()
        began = loop.time()
        await asyncio.sleep(1)
        return loop.time() - began

    assert run(main) == 1.0


def test_what_waits_for_quiet_comes_piece_by_piece_after_all_that_follows_from_the_last() -> None:
    async def main(loop: LeapingLoop) -> list[str]:
        came: list[str] = []

        async def follow(name: str, steps: int) -> None:
            for step in range(steps):
                await asyncio.sleep(0)
                came.append(f"{name}{step}")

        async def in_a_thread() -> None:
            came.append(await asyncio.to_thread(lambda: "thread"))

        tasks: list[asyncio.Task[None]] = []

        def happen(name: str) -> None:
            came.append(name)
            tasks.append(asyncio.create_task(follow(name, 3)))
            tasks.append(asyncio.create_task(in_a_thread()))

        loop.call_when_quiet(lambda: happen("a"))
        loop.call_when_quiet(lambda: happen("b"))
        await asyncio.sleep(1)
        return came

    one, other = (["a", "a0", "a1", "a2", "thread"], ["b", "b0", "b1", "b2", "thread"])
    came = run(main)
    assert [sorted(came[:5]), sorted(came[5:])] == [sorted(one), sorted(other)]


# ----------------------------------------------------------------------------------------- talks


class Witness:
    """Keeps all that goes through the door."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def stepped(self, an_input: Input, at: float, actions: Sequence[Action]) -> None:
        self.seen.append(f"{at} {an_input!r} {actions!r}")

    def frames_lost(self, count: int, at: float) -> None:
        self.seen.append(f"{at} lost {count}")

    def ended(self, at: float, finish: Finish, dropped: int, underflows: int) -> None:
        self.seen.append(f"{at} {finish} {dropped} {underflows}")


def test_a_talk_is_held_whole_and_takes_a_fraction_of_its_time() -> None:
    began = time.monotonic()
    talk = fast_talk(no_models(**STORY), CUES)
    took = time.monotonic() - began
    assert [one.heard_text for one in talk.of_final_answers()] == [
        "Once upon a time there was a lighthouse at the end of",
        "Hello! What can I do for you?",
        "You are welcome.",
    ]
    assert talk.seconds > 10
    assert took < talk.seconds / 4


def test_a_user_interrupts_where_he_was_told_to() -> None:
    talk = fast_talk(no_models(**STORY), CUES)
    story = talk.played[1]
    (cut,) = talk.of(BargeInReport)
    # The server hears him a little after he has begun.
    assert 2000 < cut.heard_ms < 2400
    assert abs(story.began_at - story.due_at) < 0.001


def test_answers_come_after_no_time() -> None:
    talk = fast_talk(no_models(**STORY), CUES)
    turns = talk.of(TurnReport)
    silence_ms = 300
    assert [one.first_sound_ms - silence_ms for one in turns] == [20, 20, 20]


def test_the_same_talk_goes_the_same_way_each_time_whatever_runs_beside_it() -> None:
    models = no_models(**STORY)

    async def several(engine: Engine, loop: LeapingLoop) -> list[list[str]]:
        seen: list[list[str]] = []

        async def one_more(after_s: float) -> None:
            await asyncio.sleep(after_s)
            witness = Witness()
            talk = await hold(engine, loop, CUES, observe=lambda _: [witness])
            times = [f"{one.began_at} {one.due_at} {one.ended_at}" for one in talk.played]
            seen.append(witness.seen + times)

        await one_more(0.0)
        await one_more(0.1234567)
        async with asyncio.TaskGroup() as tasks:
            for after_s in (0.0, 0.0, 1.002003, 2.34):
                tasks.create_task(one_more(after_s))
        return seen

    first, *others = on_engine(models, several)
    assert len(first) > 400
    for other in others:
        assert other == first


def sounds_of(place: Path) -> np.ndarray:
    """The assistant's side of a recording, from the opening of the connection."""
    with Recording.open(place) as recording:
        assert list(Check(recording).differences()) == []
        heard = HeardAudio()
        pieces = [
            piece
            for step in Fold(recording).steps()
            for piece in heard.step(step)
            if piece.side == "assistant"
        ]
    track = np.zeros(max(piece.end for piece in pieces), "<i2")
    for piece in pieces:
        track[piece.position : piece.end] = np.frombuffer(piece.pcm, "<i2")
    return track


def test_the_speakers_file_and_the_recording_hold_what_would_have_been_heard_to_the_sample(
    tmp_path: Path,
) -> None:
    wav, place = tmp_path / "heard.wav", tmp_path / "talk"
    header = Header(
        created="2026-01-01T00:00:00Z", program="voicecli test", server="local",
        audio="both", settings=plain_settings(AUTOMATIC), options={"linger_s": 0.5},
    )  # fmt: skip
    sink = FolderSink(place, header)

    def recorders(conversation: Conversation) -> list[Recorder]:
        return [Recorder(header, conversation, sink)]

    talk = fast_talk(no_models(**STORY), CUES, speaker=wav, observe=recorders)
    sink.close()
    played = np.frombuffer(decode_wav(wav.read_bytes()).pcm, "<i2")
    sounds = sounds_of(place)
    assert np.array_equal(played[: len(sounds)], sounds)
    assert not played[len(sounds) :].any()
    assert len(played) == round(talk.seconds * 24_000)


@pytest.mark.parametrize("is_async", [True, False])
def test_functions_of_the_user_take_the_time_that_they_wait_and_not_that_they_work(
    is_async: bool,
) -> None:
    def plain(meters: int) -> str:
        threading.Event().wait(0.05)
        return f"drove {meters} meters"

    async def waiting(meters: int) -> str:
        await asyncio.sleep(2)
        return f"drove {meters} meters"

    plain.__name__ = waiting.__name__ = "go_forward"
    functions = Functions([Function(waiting if is_async else plain)])
    talk = fast_talk(
        no_models(goforward="Go forward ten meters."),
        [Cue(AfterStart(0.5), spoken("goforward"))],
        settings=replace(AUTOMATIC, tools=functions.schemas),
        tools=functions,
    )
    called, done = talk.of(ToolReport)
    assert (called.output, done.output) == (None, "drove 10 meters")
    assert [one.heard_text for one in talk.of_final_answers()] == ["Drove 10 meters."]
    took_s = talk.told_at(done) - talk.told_at(called)
    assert took_s == pytest.approx(2.0 if is_async else 0.0, abs=1e-9)


# ------------------------------------------------------------------------------------ the engine


async def events_until(line: EngineLine, last: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != last:
        text = await line.receive()
        assert text is not None
        events.append(json.loads(text))
    return events


def ask(line: EngineLine) -> None:
    content = [{"type": "input_text", "text": "Tell me a story."}]
    item = {"type": "message", "role": "user", "content": content}
    line.send(json.dumps({"type": "conversation.item.create", "item": item}).encode())
    line.send(b'{"type": "response.create"}')


def test_what_an_answer_still_had_to_say_is_not_said_when_a_client_calls_it_off() -> None:
    async def main(engine: Engine, loop: LeapingLoop) -> tuple[float, str]:
        async with engine.line() as line:
            ask(line)
            told = await events_until(line, "response.output_audio.delta")
            line.send(b'{"type": "response.cancel"}')
            told += await events_until(line, "response.done")
            ask(line)
            await events_until(line, "response.created")
            await events_until(line, "response.done")
            sound = "".join(one["delta"] for one in told if one["type"].endswith("audio.delta"))
            return len(base64.b64decode(sound)) / 48_000, told[-1]["response"]["status"]

    # One word: the next was not handed on before the client had its say.
    assert on_engine(no_models(), main) == (HummingVoice.WORD_S, "cancelled")


def test_an_answer_that_is_called_off_keeps_the_mind_no_longer() -> None:
    class Pondering:
        name = "pondering"

        def reply(
            self, messages: Sequence[Message], *, stopped: Callable[[], bool], **more: Any
        ) -> Iterator[str]:
            yield "Well. "
            yield "I think. "
            while not stopped():
                threading.Event().wait(0.001)

    async def main(engine: Engine, loop: LeapingLoop) -> list[str]:
        async with engine.line() as line:
            said = []
            for _ in range(2):
                ask(line)
                await events_until(line, "response.output_audio.delta")
                line.send(b'{"type": "response.cancel"}')
                said.append((await events_until(line, "response.done"))[-1]["response"]["status"])
            return said

    assert on_engine(no_models(Pondering()), main) == ["cancelled", "cancelled"]


def test_what_is_asked_first_is_told_first_however_long_it_takes() -> None:
    class SlowEars:
        def transcribe(self, samples: Any, *, language: str = "") -> str:
            threading.Event().wait(0.05)
            return "Go forward."

    async def main(engine: Engine, loop: LeapingLoop) -> list[str]:
        async with engine.line() as line:
            hearing = {"turn_detection": None, "transcription": {"model": "whisper-1"}}
            session = {"type": "realtime", "audio": {"input": hearing}}
            line.send(json.dumps({"type": "session.update", "session": session}).encode())
            sound = base64.b64encode(clip("goforward")).decode()
            line.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}).encode())
            line.send(b'{"type": "input_audio_buffer.commit"}')
            content = [{"type": "input_text", "text": "Tell me a story."}]
            item = {"type": "message", "role": "user", "content": content}
            aside = {"conversation": "none", "input": [item], "output_modalities": ["text"]}
            line.send(json.dumps({"type": "response.create", "response": aside}).encode())
            return [one["type"] for one in await events_until(line, "response.done")]

    told = on_engine(replace(no_models(), ears=SlowEars()), main)
    heard = "conversation.item.input_audio_transcription.completed"
    assert told.index(heard) < told.index("response.output_text.delta")


def test_a_fault_of_the_engine_ends_the_session_and_is_not_hidden() -> None:
    told = []

    async def main(engine: Engine, loop: LeapingLoop) -> None:
        async with engine.line() as line:
            await events_until(line, "session.created")
            line.send(None)  # type: ignore[arg-type]
            told.append(await line.receive())

    with pytest.raises(ExceptionGroup, match="unhandled"):
        on_engine(no_models(), main)
    assert told == [None]


def test_ids_count_up_in_every_connection() -> None:
    async def main(engine: Engine, loop: LeapingLoop) -> list[str]:
        ids = []
        for _ in range(2):
            async with engine.line() as line:
                (greeting,) = await events_until(line, "session.created")
                ids.append(greeting["session"]["id"])
        return ids

    assert on_engine(no_models(), main) == ["sess_1", "sess_1"]


def test_the_end_of_the_engine_is_a_connection_lost() -> None:
    async def main(engine: Engine, loop: LeapingLoop) -> None:
        async with engine.line() as line:
            link = LineLink(line)
            received = aiter(link)
            await anext(received)
            line.socket.abort()
            await anext(received)

    with pytest.raises(ConnectionFailed, match="ended"):
        on_engine(no_models(), main)


def test_a_connection_leaves_no_threads() -> None:
    before = set(threading.enumerate())

    async def main(engine: Engine, loop: LeapingLoop) -> None:
        async with engine.line() as line:
            ask(line)
            await events_until(line, "response.done")

    on_engine(no_models(), main)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


# ------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("server", "audio", "said"),
    [
        ("openai", Audio(), "server 'openai'"),
        ("local", Audio(mic="none", speaker="default"), "speaker 'default'"),
        ("local", Audio(mic="none", speaker="-"), "speaker '-'"),
        ("local", Audio(mic="-", speaker="none"), "microphone '-'"),
    ],
)
def test_what_needs_real_time_is_refused(server: str, audio: Audio, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_fast(server, audio)
    check_fast("local", Audio(mic="in.wav", speaker="out.wav"))


def test_models_that_cannot_be_loaded_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICECLI_MODELS", str(tmp_path))

    async def main(_: object) -> None:
        raise AssertionError("the models are not there")

    with pytest.raises(ModelError):
        run_fast(Local(mind="rules"), main)


@needs_models
def test_with_the_real_models_a_talk_goes_as_it_does_in_real_time() -> None:
    speech = SPEECH / "goforward.wav"
    talk = fast_talk(real_models(), [Cue(AfterStart(0.02), spoken("goforward"))])
    with program(
        *("--server", "local", "--mind", "rules", "--mic", str(speech), "--linger", "0.5"), "--json"
    ) as real:
        assert real.wait(30) == 0
        answers = [one for one in real.lines_of("assistant") if one["final"]]
        users = [one["text"] for one in real.lines_of("user") if one["final"]]
    (answer,) = talk.of_final_answers()
    assert [(answer.text, answer.heard_ms)] == [(one["text"], one["heard_ms"]) for one in answers]
    assert talk.users == users
