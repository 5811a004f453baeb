"""Plays a script in place of the models: what the user said, and the answers, in word and time."""

from __future__ import annotations

import asyncio
import json
import math
import time
from array import array
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.engine.dialogue.jobs import (
    Answer,
    AnswerArguments,
    AnswerAudio,
    AnswerCall,
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    Job,
    Judged,
    JudgeTurn,
    MessageEnd,
    Prepare,
    Transcribe,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.server.connection import Connection
from voicecli.engine.server.script import (
    HEARD,
    CallFunction,
    Close,
    Cut,
    Fail,
    NextItem,
    Say,
    Script,
    ScriptedAnswer,
    SendEvent,
    SendRaw,
    Step,
    Wait,
    read_script,
)
from voicecli.errors import ConfigError

PIECE_MS: Final = 100
BYTES_PER_MS: Final = WIRE_RATE_HZ * 2 // 1000
TONE_HZ: Final = 440
CONNECT: Final = "connect"
EXHAUSTED: Final = "the script has no answer left"


class Stage:
    """A script and the sounds in it, for any number of connections.

    Args:
        script: what is played.
        sounds: PCM16 mono 24 kHz by the names that the script uses, `tone` and `silence` aside.
        new_id: makes a unique id from a prefix.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        script: Script,
        sounds: Mapping[str, bytes],
        new_id: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.script = script
        self.new_id = new_id
        self.clock = clock
        self._sounds = sounds

    def audio(self, say: Say) -> bytes:
        """As much of the sound as was asked for; a file is as long as it is."""
        if say.sound == "silence":
            return bytes(say.ms * BYTES_PER_MS)
        if say.sound == "tone":
            return _tone(say.ms)
        return self._sounds[say.sound]


def load_stage(path: Path, new_id: Callable[[str], str]) -> Stage:
    """Read a script and the WAV files that it names, which lie beside it.

    Raises:
        ConfigError: one of the files cannot be read, or is not what it should be.
    """
    try:
        script = read_script(path.read_text("utf-8-sig"), path.name)
    except FileNotFoundError as exc:
        raise ConfigError(f"there is no file {str(path)!r}", "check the path") from exc
    except OSError as exc:
        raise ConfigError(f"cannot read the script {str(path)!r}: {exc.strerror or exc}") from exc
    except UnicodeError as exc:
        raise ConfigError(f"{str(path)!r} is no text in UTF-8") from exc
    named = {
        step.sound for answer in script.answers for step in answer.steps if isinstance(step, Say)
    }
    files = named - {"tone", "silence"}
    return Stage(script, {name: _sound(path.parent / name, name) for name in files}, new_id)


def _sound(path: Path, name: str) -> bytes:
    from voicecli.audio.resample import convert
    from voicecli.audio.wav import decode_wav

    try:
        sound = decode_wav(path.read_bytes())
    except (OSError, ValueError) as exc:
        allowed = "a sound is 'tone', 'silence' or a WAV file beside the script"
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise ConfigError(f"cannot use the sound {name!r}: {reason}", allowed) from exc
    return convert(sound.pcm, sound.rate_hz, WIRE_RATE_HZ)


@cache
def _tone_piece() -> bytes:
    # A tenth of a second holds whole waves, so that pieces join without a click.
    step = 2 * math.pi * TONE_HZ / WIRE_RATE_HZ
    samples = (round(6000 * math.sin(step * n)) for n in range(WIRE_RATE_HZ // 10))
    return array("h", samples).tobytes()


def _tone(ms: int) -> bytes:
    size = ms * BYTES_PER_MS
    piece = _tone_piece()
    return (piece * (size // len(piece) + 1))[:size]


class Actor:
    """The jobs of one connection, done by the script; used on the thread of the loop."""

    def __init__(self, stage: Stage, connection: Connection) -> None:
        self._stage = stage
        self._connection = connection
        self._left = list(stage.script.answers)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        if stage.script.connect:
            self._start(CONNECT, self._connect())

    @property
    def unfinished(self) -> int:
        """Answers that are being played."""
        return len(self._tasks)

    def run(self, job: Job) -> None:
        """Start or cancel; returns at once."""
        match job:
            case Transcribe(is_caption=True):
                self._later(TranscriptionFailed(job.job, "the script tells whole turns", "busy"))
            case Transcribe():
                self._later(Transcribed(job.job, self._heard()))
            case JudgeTurn():
                self._later(Judged(job.job, None))
            case Answer():
                self._start(job.job, self._answer(job))
            case Prepare():
                pass
            case _:
                self.ended(job.job)

    def ended(self, job: str) -> None:
        """Nothing more of this job is wanted."""
        task = self._tasks.pop(job, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def close(self) -> None:
        """Cancel everything."""
        for job in list(self._tasks):
            self.ended(job)

    def _later(self, result: Transcribed | TranscriptionFailed | Judged) -> None:
        # Not at once: whoever gave the job is in the middle of a step.
        self._connection.deliver(result)

    def _start(self, job: str, playing: Any) -> None:
        self._tasks[job] = asyncio.create_task(playing)

    # -------------------------------------------------------------------------------- answers

    def _heard(self) -> str:
        return next((one.heard for one in self._left if one.when is None), HEARD)

    def _chosen(self, said: str) -> ScriptedAnswer | None:
        def fits(one: ScriptedAnswer) -> bool:
            return one.when is not None and one.when.search(said) is not None

        plain = (one for one in self._left if one.when is None)
        found = next(filter(fits, self._left), None) or next(plain, None)
        if found is not None and not found.repeats:
            self._left.remove(found)
        return found

    async def _connect(self) -> None:
        await self._play_all(CONNECT, self._stage.script.connect, spoken=False)
        self._tasks.pop(CONNECT, None)

    async def _answer(self, job: Answer) -> None:
        said = [one.text for one in job.messages if one.role in {"user", "tool"}]
        chosen = self._chosen(said[-1] if said else "")
        if chosen is None:
            self._connection.take(AnswerFailed(job.job, EXHAUSTED))
        elif await self._play_all(job.job, chosen.steps, spoken=job.spoken):
            self._connection.take(AnswerFinished(job.job))

    async def _play_all(self, job: str, steps: tuple[Step, ...], *, spoken: bool) -> bool:
        """Whether it came to its end."""
        for step in steps:
            if job not in self._tasks:
                return False  # the last step was one too many: it may have hit a limit
            if isinstance(step, Fail):
                self._connection.take(AnswerFailed(job, step.message))
                return False
            await self._play(job, step, spoken=spoken)
        return True

    async def _play(self, job: str, step: Step, *, spoken: bool) -> None:
        connection = self._connection
        match step:
            case Say():
                connection.take(AnswerText(job, step.text))
                if spoken:
                    await self._speak(job, step)
            case Wait(ms=ms):
                await asyncio.sleep(ms / 1000)
            case NextItem():
                connection.take(MessageEnd(job))
            case CallFunction():
                connection.take(AnswerCall(job, step.name))
                connection.take(AnswerArguments(job, step.arguments))
            case SendEvent(fields=fields):
                event = {"event_id": self._stage.new_id("event"), **_filled(fields, job)}
                connection.send_raw(json.dumps(event, ensure_ascii=False).encode())
            case SendRaw(text=text):
                connection.send_raw(text.encode())
            case Close(code=code, reason=reason):
                connection.close(code, reason)
            case Cut():
                connection.cut()

    async def _speak(self, job: str, say: Say) -> None:
        pcm = self._stage.audio(say)
        size = PIECE_MS * BYTES_PER_MS
        began = self._stage.clock()
        for start in range(0, len(pcm), size):
            self._connection.take(AnswerAudio(job, pcm[start : start + size]))
            if say.pace == "real":
                due = began + (start + size) / BYTES_PER_MS / 1000
                await asyncio.sleep(max(0.0, due - self._stage.clock()))


def _filled(value: Any, response_id: str) -> Any:
    """The value with the id of the response in place of `$response`."""
    if isinstance(value, dict):
        return {name: _filled(one, response_id) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, response_id) for one in value]
    return response_id if value == "$response" else value
