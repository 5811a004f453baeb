"""Runs the jobs of the dialogues on threads: the ears, and mind and voice hand in hand.

One pair of ears serves all connections, one job at a time. Each answer has two threads: while the
voice speaks a sentence the mind thinks of the next. Results go back through `deliver`, which is
called on these threads. All threads are daemons: none can keep the program from ending.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from voicecli.engine.ears import Ears
from voicecli.engine.jobs import (
    Answer,
    AnswerAudio,
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    CancelAnswer,
    CancelTranscription,
    Input,
    Job,
    Transcribe,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.mind import Message, Mind
from voicecli.engine.sentences import SentenceSplitter
from voicecli.engine.voices import Voice
from voicecli.errors import ModelError, VoicecliError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Deliver: TypeAlias = Callable[[Input], None]
"Takes a result, on any thread, and returns at once."


@dataclass(frozen=True)
class Models:
    """What listens, thinks and speaks; used from several threads."""

    ears: Ears
    mind: Mind
    voice: Voice


class Workshop:
    """The models, loaded once for all connections, and the one thread of the ears.

    Args:
        make_models: called once, on a thread; blocks for as long as loading takes.
    """

    def __init__(self, make_models: Callable[[], Models]) -> None:
        self._models: Future[Models] = Future()
        # Bounded by what the dialogues ask for: one job for each item and one guess a connection.
        self._to_ears: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        _thread("models", lambda: self._load(make_models))
        _thread("ears", self._listen)

    @property
    def state(self) -> str:
        """`loading`, `ready`, or `failed: ` and the reason."""
        if not self._models.done():
            return "loading"
        failure = self._models.exception()
        return "ready" if failure is None else f"failed: {failure}"

    def models(self) -> Models:
        """The models; waits until they are loaded.

        Raises:
            VoicecliError: they cannot be loaded.
        """
        return self._models.result()

    def hear(self, work: Callable[[], None]) -> None:
        """Let the thread of the ears do this when it is through with what came before."""
        self._to_ears.put(work)

    def _load(self, make_models: Callable[[], Models]) -> None:
        try:
            models = make_models()
        except VoicecliError as exc:
            log.error("%s; %s", exc.message, exc.hint)  # noqa: TRY400 - a fact, not a bug
            self._models.set_exception(exc)
        # The models' libraries raise anything; whoever waits must be told.
        except Exception as exc:
            log.exception("the models cannot be loaded")
            self._models.set_exception(ModelError(f"the models cannot be loaded: {exc}"))
        else:
            self._models.set_result(models)

    def _listen(self) -> None:
        while True:
            self._to_ears.get()()


class Stages:
    """The jobs of one connection.

    Used from one thread; `deliver` is called on others.
    """

    def __init__(self, workshop: Workshop, deliver: Deliver) -> None:
        self._workshop = workshop
        self._deliver = deliver
        self._running: dict[str, threading.Event] = {}

    def run(self, job: Job) -> None:
        """Start or cancel; returns at once."""
        match job:
            case Transcribe():
                stopped = self._started(job.job)
                self._workshop.hear(lambda: self._transcribe(job, stopped))
            case Answer():
                _AnswerWork(self._workshop, job, self._started(job.job), self._deliver).start()
            case CancelTranscription() | CancelAnswer():
                self._running.pop(job.job, threading.Event()).set()

    def ended(self, job: str) -> None:
        """Told by the owner that a result of a job came: nothing of it is left to cancel."""
        self._running.pop(job, None)

    def close(self) -> None:
        """Cancel everything; nothing is delivered any more."""
        for stopped in self._running.values():
            stopped.set()
        self._running.clear()

    def _started(self, job: str) -> threading.Event:
        self._running[job] = threading.Event()
        return self._running[job]

    def _transcribe(self, job: Transcribe, stopped: threading.Event) -> None:
        if stopped.is_set():
            return
        result: Input
        try:
            result = Transcribed(job.job, self._workshop.models().ears.transcribe(_samples(job)))
        except VoicecliError as exc:
            result = TranscriptionFailed(job.job, _told(exc))
        # The ears' library raises anything; an answer may wait for this result.
        except Exception as exc:
            log.exception("the ears failed")
            result = TranscriptionFailed(job.job, f"the ears failed: {exc}")
        if not stopped.is_set():
            self._deliver(result)


@dataclass(frozen=True)
class _End:
    """After the last chunk; `failure` says why there are no more, if that was unforeseen."""

    failure: str = ""


@dataclass
class _AnswerWork:
    """One answer: the mind's thread and, if it is spoken, the voice's."""

    workshop: Workshop
    job: Answer
    stopped: threading.Event
    deliver: Deliver
    # Text only, and not more than one answer of it.
    chunks: queue.SimpleQueue[str | _End] = field(default_factory=queue.SimpleQueue)

    def start(self) -> None:
        _thread("mind", self._think)
        _thread("voice", self._speak if self.job.spoken else self._write)

    def _think(self) -> None:
        end = _End()
        try:
            for chunk in self._thought():
                self.chunks.put(chunk)
        except VoicecliError as exc:
            end = _End(_told(exc))
        # The mind's library raises anything; the answer must end all the same.
        except Exception as exc:
            log.exception("the mind failed")
            end = _End(f"the mind failed: {exc}")
        self.chunks.put(end)

    def _thought(self) -> Iterator[str]:
        messages = [Message(one.role, one.text) for one in self.job.messages]
        reply = self.workshop.models().mind.reply(messages, stopped=self.stopped.is_set)
        splitter = SentenceSplitter()
        for piece in reply:
            if self.stopped.is_set():
                return
            if self.job.spoken:
                yield from splitter.push(piece)
            else:
                yield piece
        yield from splitter.finish()

    def _write(self) -> None:
        while not isinstance(chunk := self.chunks.get(), _End):
            self._tell(AnswerText(self.job.job, chunk))
        self._end(chunk)

    def _speak(self) -> None:
        try:
            end = self._speak_all()
        except VoicecliError as exc:
            end = _End(_told(exc))
        # The voice's library raises anything; the answer must end all the same.
        except Exception as exc:
            log.exception("the voice failed")
            end = _End(f"the voice failed: {exc}")
        self._end(end)

    def _speak_all(self) -> _End:
        space = ""
        while not isinstance(chunk := self.chunks.get(), _End):
            if self.stopped.is_set():
                continue  # up to the end, so that the mind's thread is known to be through
            self._tell(AnswerText(self.job.job, space + chunk))
            space = " "
            for pcm in self.workshop.models().voice.speak(chunk, speed=self.job.speed):
                if self.stopped.is_set():
                    break
                self._tell(AnswerAudio(self.job.job, pcm))
        return chunk

    def _end(self, end: _End) -> None:
        job = self.job.job
        self._tell(AnswerFailed(job, end.failure) if end.failure else AnswerFinished(job))
        self.stopped.set()  # when the voice failed, the mind need not go on

    def _tell(self, result: Input) -> None:
        if not self.stopped.is_set():
            self.deliver(result)


def _samples(job: Transcribe) -> NDArray[np.float32]:
    import numpy as np

    return np.frombuffer(job.pcm16k, "<i2").astype(np.float32) / np.float32(32768)


def _told(exc: VoicecliError) -> str:
    return f"{exc.message} ({exc.hint})" if exc.hint else exc.message


def _thread(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=f"voicecli-{name}", daemon=True).start()
