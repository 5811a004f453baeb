"""Whole talks with the engine inside, in a fraction of their time: each goes the same way again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from engine_fakes import clip

from voicecli.audio.files import NullSpeaker, WavSpeaker
from voicecli.audio.pcm import SAMPLE_BYTES, WIRE_RATE_HZ
from voicecli.audio.scripted import ScriptedMicrophone
from voicecli.conversation import Conversation, Options
from voicecli.cues import Cue, Say
from voicecli.demo.fast import LeapingLoop, LineLink, run
from voicecli.director import Director, Played
from voicecli.engine.ears.ears import RATE_HZ
from voicecli.engine.inprocess import Engine
from voicecli.engine.minds.mind import Mind
from voicecli.engine.minds.rules import RulesMind
from voicecli.engine.stages import Models
from voicecli.inputs import Input
from voicecli.protocol.settings import ServerVad, SessionSettings
from voicecli.reports import AssistantReport, Report, UserReport
from voicecli.session import Observer, Session, Toolbox
from voicecli.tools.functions import Functions

AUTOMATIC = SessionSettings(
    turn_detection=ServerVad(silence_duration_ms=300), transcription_model="whisper-1"
)


class Ears:
    """Know the recordings in `data/speech` by their lengths, and hear in each what they are told.

    Args:
        words: what is heard in a recording, by its name; half a second between any two lengths.
    """

    AROUND_S = 0.5
    "Of silence before and after, in what ears are given."

    def __init__(self, **words: str) -> None:
        self._words = {
            len(clip(name)) / SAMPLE_BYTES / WIRE_RATE_HZ: text for name, text in words.items()
        }

    def transcribe(self, samples: Any, *, language: str = "") -> str:
        seconds = len(samples) / RATE_HZ - self.AROUND_S
        return self._words[min(self._words, key=lambda length: abs(length - seconds))]


class HummingVoice:
    """A tone for each word, without a zero in it; the same words always sound the same."""

    WORD_S = 0.2

    def speak(self, text: str, *, speed: float = 1.0, voice: str = "") -> Iterator[bytes]:
        for word in text.split():
            value = 500 + sum(word.encode()) % 500
            yield value.to_bytes(2, "little") * int(WIRE_RATE_HZ * self.WORD_S)


def no_models(mind: Mind | None = None, **words: str) -> Models:
    """Nothing that needs weights: ears (see `Ears`), `rules` unless told otherwise, and a hum."""
    return Models(Ears(**words), mind or RulesMind(datetime.now), HummingVoice(), captions=False)


@cache
def real_models() -> Models:
    """The engine's own, with `rules`; loaded once."""
    from voicecli.cli.stages import build
    from voicecli.config import Local

    return build(Local(mind="rules"), 2)


def spoken(name: str = "goforward", **more: Any) -> Say:
    """A person's words from the recordings in `data/speech`."""
    pcm = clip(name)
    return Say(lambda: pcm, voice_s=len(pcm) / SAMPLE_BYTES / WIRE_RATE_HZ, **more)


@dataclass
class FastTalk:
    """A talk that was held."""

    conversation: Conversation
    timed: list[tuple[float, Report]]
    "All reports, with their times on the session's clock."
    played: Sequence[Played] = ()
    seconds: float = 0.0
    "On the loop's clock."

    def of(self, kind: type[Any]) -> list[Any]:
        """The reports of a kind."""
        return [one for _, one in self.timed if isinstance(one, kind)]

    def told_at(self, report: Report) -> float:
        """When something was told, on the session's clock."""
        return next(at for at, one in self.timed if one is report)

    def of_final_answers(self) -> list[AssistantReport]:
        """What became of each answer in the end."""
        return [one for one in self.of(AssistantReport) if one.final]

    @property
    def users(self) -> list[str]:
        """The user's words, turn by turn."""
        return [one.text for one in self.of(UserReport) if one.final]


class _Screen:
    """Keeps what it is told, with the times."""

    wants_drawing = False

    def __init__(self) -> None:
        self.timed: list[tuple[float, Report]] = []

    async def start(self, deliver: Callable[[Input], None]) -> None: ...

    def tell(self, report: Report, at: float) -> None:
        self.timed.append((at, report))

    def draw(self, conversation: object, meters: object) -> None: ...

    async def close(self) -> None: ...


async def hold(
    engine: Engine,
    loop: LeapingLoop,
    cues: Sequence[Cue],
    *,
    settings: SessionSettings = AUTOMATIC,
    speaker: Path | None = None,
    tools: Toolbox | None = None,
    observe: Callable[[Conversation], Sequence[Observer]] = lambda _: (),
    ends_after_s: float | None = None,
) -> FastTalk:
    """Let a scripted user talk to the engine until he has left.

    Args:
        engine: on the running loop.
        loop: the running loop.
        cues: what the user does.
        settings: of the session.
        speaker: a WAV file for what is heard.
        tools: functions that the model may call.
        observe: makes more observers, which see each step before the director does.
        ends_after_s: quit then, if the user has not left before.
    """
    async with AsyncExitStack() as stack:
        link = LineLink(await stack.enter_async_context(engine.line()))
        microphone = ScriptedMicrophone()
        stack.push_async_callback(microphone.close)
        ear = (
            NullSpeaker(clock=loop.time)
            if speaker is None
            else WavSpeaker(speaker, clock=loop.time)
        )
        stack.push_async_callback(ear.close)
        conversation = Conversation(Options(settings=settings, server="local", linger_s=0.5))
        screen = _Screen()
        director = Director(
            cues,
            conversation=conversation,
            microphone=microphone,
            heard=ear.heard,
            deliver_in=lambda delay_s, an_input: loop.call_later(
                delay_s, session.deliver, an_input
            ),
            opened_at=link.opened_at,
        )
        session = Session(
            conversation=conversation,
            connection=link,
            microphone=microphone,
            speaker=ear,
            screen=screen,
            tools=tools or Functions(),
            observers=[*observe(conversation), director],
            clock=loop.time,
        )
        if ends_after_s is not None:
            loop.call_later(ends_after_s, session.quit)
        await session.run()
        return FastTalk(conversation, screen.timed, director.played, loop.time() - link.opened_at)


def on_engine(models: Models, main: Callable[[Engine, LeapingLoop], Awaitable[Any]]) -> Any:
    """Run a coroutine function with an engine on a loop whose clock leaps."""

    async def whole(loop: LeapingLoop) -> Any:
        return await main(Engine(models, loop), loop)

    return run(whole)


def fast_talk(models: Models, cues: Sequence[Cue], **more: Any) -> FastTalk:
    """One talk; see `hold`."""
    talk: FastTalk = on_engine(models, lambda engine, loop: hold(engine, loop, cues, **more))
    return talk
