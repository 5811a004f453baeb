"""Runs the jobs of the dialogues on threads: the ears, and mind and voice hand in hand.

Ears, minds and voices each have a pool of threads in which connections take turns: an answer for
the mind, a sentence for the voice. While the voice speaks a sentence the mind thinks of the next.
Results go back through `deliver`, which is called on these threads. All threads are daemons: none
can keep the program from ending.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from voicecli.engine.dialogue.jobs import (
    Answer,
    AnswerArguments,
    AnswerAudio,
    AnswerCall,
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    CancelAnswer,
    CancelJudgement,
    CancelTranscription,
    Input,
    Job,
    Judged,
    JudgeTurn,
    Prepare,
    Transcribe,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.dialogue.messages import CallArguments, CallStart, Piece
from voicecli.engine.dialogue.recoding import for_ears
from voicecli.engine.ears.ears import ENGLISH, Ears
from voicecli.engine.ears.judge import MODEL as JUDGE_MODEL
from voicecli.engine.ears.judge import Judge
from voicecli.engine.minds.mind import Mind, Preparing
from voicecli.engine.minds.sentences import SentenceSplitter
from voicecli.engine.pool import FairPool, Work
from voicecli.engine.voices.voices import Voice
from voicecli.errors import LanguageNotHeard, ModelError, VoicecliError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Deliver: TypeAlias = Callable[[Input], None]
"Takes a result, on any thread, and returns at once."

Observe: TypeAlias = Callable[[str, float], None]
"Takes the name of a stage and seconds, on any thread, and returns at once."


def _unobserved(stage: str, seconds: float) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Models:
    """What listens, thinks and speaks; used from several threads."""

    ears: Ears
    mind: Mind
    voice: Voice
    judge: Judge | None = None
    "Says whether a turn is over; without one the silence alone says it."
    captions: bool = True
    "Whether the ears may be asked again and again of the same turn: not where each call costs."
    at_once: Mapping[str, int] = field(default_factory=dict)
    "Jobs of `ears`, `mind` or `voice` that gain from running together, where that is more than 1."


class Workshop:
    """The models, loaded once for all connections, and the threads that use them.

    Args:
        make_models: called once, on a thread; blocks for as long as loading takes.
        took: told how long a transcription took (`ears`), and how long the first piece of an
            answer (`mind`) and the first audio of a sentence (`voice`).
        waited: told how long a job had to wait for its turn, by the same names.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        make_models: Callable[[], Models],
        *,
        took: Observe = _unobserved,
        waited: Observe = _unobserved,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models: Future[Models] = Future()
        self.took = took
        self.clock = clock

        def pool(name: str) -> FairPool:
            return FairPool(f"voicecli-{name}", waited=partial(waited, name), clock=clock)

        self.ears, self.minds, self.voices = pool("ears"), pool("mind"), pool("voice")
        self.judges = pool("judge")
        self.pools = {
            "ears": self.ears,
            "judge": self.judges,
            "mind": self.minds,
            "voice": self.voices,
        }
        self._missed_judge = False
        _thread("models", lambda: self._load(make_models))

    @property
    def state(self) -> str:
        """`loading`, `ready` or `failed`."""
        if not self._models.done():
            return "loading"
        return "ready" if self._models.exception() is None else "failed"

    @property
    def failure(self) -> str:
        """Why the models cannot be loaded, if they have failed to."""
        failure = self._models.exception() if self._models.done() else None
        return "" if failure is None else str(failure)

    def models(self) -> Models:
        """The models; waits until they are loaded.

        Raises:
            VoicecliError: they cannot be loaded.
        """
        return self._models.result()

    def has_time_for_caption(self, language: str) -> bool:
        """Whether the ears may do what is only to be shown."""
        may = self.state == "ready" and self.models().captions
        # In other languages one takes long, and the end of the turn would have to wait for it.
        return may and language in ENGLISH and not self.ears.depth

    def judge(self) -> Judge | None:
        """The judge of turns; waits until the models are loaded.

        When there is none, the log says so, once.

        Raises:
            VoicecliError: the models cannot be loaded.
        """
        judge = self.models().judge
        if judge is None and not self._missed_judge:
            self._missed_judge = True
            log.warning(
                "semantic_vad is asked for, but its model is not here: silence alone ends turns; "
                "fetch it with: voicecli models pull %s",
                JUDGE_MODEL,
            )
        return judge

    def close(self) -> None:
        """End the threads; what they are doing goes on to its end."""
        for pool in self.pools.values():
            pool.close()

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
            for name, workers in models.at_once.items():
                self.pools[name].grow(workers)
            self._models.set_result(models)


class Stages:
    """The jobs of one connection.

    Used from one thread, but for `put`; `deliver` is called on others.
    """

    def __init__(self, workshop: Workshop, deliver: Deliver) -> None:
        self._workshop = workshop
        self._deliver = deliver
        self._running: dict[str, threading.Event] = {}
        # An answer that was cut off gives work to the pools from their own threads.
        self._lock = threading.Lock()
        self._is_closed = False

    def put(self, pool: FairPool, work: Work) -> None:
        """Queue work of this connection, from any thread; nothing once it has left."""
        with self._lock:
            if not self._is_closed:
                pool.put(self, work)

    def run(self, job: Job) -> None:
        """Start or cancel; returns at once."""
        match job:
            case Transcribe():
                stopped = self._started(job.job)
                self._workshop.ears.put(self, lambda: self._transcribe(job, stopped), job.job)
            case JudgeTurn():
                stopped = self._started(job.job)
                self._workshop.judges.put(self, lambda: self._judge(job, stopped), job.job)
            case Answer():
                self._workshop.minds.drop(self, Prepare)
                stopped = self._started(job.job)
                _AnswerWork(self._workshop, self, job, stopped, self._deliver).start()
            case Prepare():
                self._workshop.minds.drop(self, Prepare)
                self._workshop.minds.put(self, lambda: self._prepare(job), Prepare)
            case CancelTranscription() | CancelJudgement() | CancelAnswer():
                self._running.pop(job.job, threading.Event()).set()
                for pool in self._workshop.pools.values():
                    pool.drop(self, job.job)

    def ended(self, job: str) -> None:
        """Told by the owner that a result of a job came: nothing of it is left to cancel."""
        self._running.pop(job, None)

    def close(self) -> None:
        """Cancel everything; nothing is delivered any more."""
        for stopped in self._running.values():
            stopped.set()
        self._running.clear()
        with self._lock:
            self._is_closed = True
            for pool in self._workshop.pools.values():
                pool.forget(self)

    @property
    def unfinished(self) -> int:
        """Jobs whose results are still to come."""
        return len(self._running)

    def _prepare(self, job: Prepare) -> None:
        if self._workshop.minds.depth:
            return  # someone waits for an answer
        try:
            mind = self._workshop.models().mind
            if isinstance(mind, Preparing):
                mind.prepare(job.instructions, job.offer)
        # Whatever it is, the answer that comes will tell of it.
        except Exception:
            log.debug("the mind could not be prepared", exc_info=True)

    def _started(self, job: str) -> threading.Event:
        self._running[job] = threading.Event()
        return self._running[job]

    def _transcribe(self, job: Transcribe, stopped: threading.Event) -> None:
        if stopped.is_set():
            return
        result: Input
        if job.is_caption and not self._workshop.has_time_for_caption(job.language):
            # The dialogue will ask again; whoever waits for an answer comes first.
            self._deliver(TranscriptionFailed(job.job, "the ears are busy", "busy"))
            return
        try:
            ears = self._workshop.models().ears
            began = self._workshop.clock()
            result = Transcribed(job.job, ears.transcribe(_samples(job), language=job.language))
            self._workshop.took("ears", self._workshop.clock() - began)
        except LanguageNotHeard as exc:
            kind = "invalid_request_error"
            result = TranscriptionFailed(job.job, _told(exc), "language_not_supported", kind)
        except VoicecliError as exc:
            result = TranscriptionFailed(job.job, _told(exc))
        # The ears' library raises anything; an answer may wait for this result.
        except Exception as exc:
            log.exception("the ears failed")
            result = TranscriptionFailed(job.job, f"the ears failed: {exc}")
        if not stopped.is_set():
            self._deliver(result)

    def _judge(self, job: JudgeTurn, stopped: threading.Event) -> None:
        if stopped.is_set():
            return
        probability = None
        try:
            judge = self._workshop.judge()
            if judge is not None:
                began = self._workshop.clock()
                probability = judge.probability(_samples(job))
                self._workshop.took("judge", self._workshop.clock() - began)
        except VoicecliError:
            pass  # said when the models were loaded, and every answer says it again
        # Its library raises anything; the turn must end all the same.
        except Exception:
            log.exception("the judge of turns failed")
        if not stopped.is_set():
            self._deliver(Judged(job.job, probability))


@dataclass(frozen=True)
class _End:
    """After the last chunk; `failure` says why there are no more, if that was unforeseen."""

    failure: str = ""


@dataclass
class _AnswerWork:
    """One answer: thought in one turn of the mind, spoken in one turn of the voice a sentence."""

    workshop: Workshop
    owner: Stages
    job: Answer
    stopped: threading.Event
    deliver: Deliver
    _lock: threading.Lock = field(default_factory=threading.Lock)
    # Text and calls only, and not more than one answer of them.
    _chunks: deque[Piece | _End] = field(default_factory=deque)
    _at_voice: bool = False
    _space: str = ""

    def start(self) -> None:
        self.owner.put(self.workshop.minds, self._think)

    def _think(self) -> None:
        end = _End()
        try:
            for chunk in self._thought():
                self._pass_on(chunk)
        except VoicecliError as exc:
            end = _End(_told(exc))
        # The mind's library raises anything; the answer must end all the same.
        except Exception as exc:
            log.exception("the mind failed")
            end = _End(f"the mind failed: {exc}")
        self._pass_on(end)

    def _thought(self) -> Iterator[Piece]:
        if self.stopped.is_set():
            return
        job, mind = self.job, self.workshop.models().mind
        began: float | None = self.workshop.clock()
        splitter = SentenceSplitter()
        for piece in mind.reply(job.messages, stopped=self.stopped.is_set, offer=job.offer):
            if began is not None:
                self.workshop.took("mind", self.workshop.clock() - began)
                began = None
            if self.stopped.is_set():
                return
            if not isinstance(piece, str):
                yield from splitter.finish()
                yield piece
            elif job.spoken:
                yield from splitter.push(piece)
            else:
                yield piece
        yield from splitter.finish()

    def _pass_on(self, chunk: Piece | _End) -> None:
        if not self.job.spoken:
            self._write(chunk)
            return
        with self._lock:
            self._chunks.append(chunk)
            if self._at_voice:
                return
            self._at_voice = True
        self.owner.put(self.workshop.voices, self._speak_next)

    def _write(self, chunk: Piece | _End) -> None:
        if isinstance(chunk, _End):
            self._end(chunk)
        elif isinstance(chunk, str):
            self._tell(AnswerText(self.job.job, chunk))
        else:
            self._call(chunk)

    def _call(self, chunk: CallStart | CallArguments) -> None:
        if isinstance(chunk, CallStart):
            self._space = ""  # what is said after a call is a message of its own
            self._tell(AnswerCall(self.job.job, chunk.name))
        else:
            self._tell(AnswerArguments(self.job.job, chunk.text))

    def _speak_next(self) -> None:
        """Speak one chunk, then queue up again behind the other connections if there are more."""
        chunk = self._chunks.popleft()
        try:
            if isinstance(chunk, str):
                self._speak(chunk)
            else:
                self._write(chunk)
        except VoicecliError as exc:
            self._end(_End(_told(exc)))
        # The voice's library raises anything; the answer must end all the same.
        except Exception as exc:
            log.exception("the voice failed")
            self._end(_End(f"the voice failed: {exc}"))
        with self._lock:
            self._at_voice = bool(self._chunks)
            again = self._at_voice
        if again:
            self.owner.put(self.workshop.voices, self._speak_next)

    def _speak(self, chunk: str) -> None:
        if self.stopped.is_set():
            return
        self._tell(AnswerText(self.job.job, self._space + chunk))
        self._space = " "
        voice = self.workshop.models().voice
        began: float | None = self.workshop.clock()
        for pcm in voice.speak(chunk, speed=self.job.speed, voice=self.job.voice):
            if began is not None:
                self.workshop.took("voice", self.workshop.clock() - began)
                began = None
            if self.stopped.is_set():
                return
            self._tell(AnswerAudio(self.job.job, pcm))

    def _end(self, end: _End) -> None:
        job = self.job.job
        self._tell(AnswerFailed(job, end.failure) if end.failure else AnswerFinished(job))
        self.stopped.set()  # when the voice failed, the mind need not go on

    def _tell(self, result: Input) -> None:
        if not self.stopped.is_set():
            self.deliver(result)


def _samples(job: Transcribe | JudgeTurn) -> NDArray[np.float32]:
    import numpy as np

    pcm16k = job.pcm16k
    if isinstance(job, Transcribe) and not pcm16k:
        pcm16k = for_ears(job.encoded, job.format)
    return np.frombuffer(pcm16k, "<i2").astype(np.float32) / np.float32(32768)


def _told(exc: VoicecliError) -> str:
    return f"{exc.message} ({exc.hint})" if exc.hint else exc.message


def _thread(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=f"voicecli-{name}", daemon=True).start()
