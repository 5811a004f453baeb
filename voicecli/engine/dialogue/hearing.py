"""What is asked of the ears and of the judge of turns, and what their answers are worth.

Three kinds of recognition. A *guess* is made at the first short silence of a turn and is its
transcript if the turn ends there. A *caption* is made in the middle of speech, so that the client
can be told words while they are spoken; each guess serves as one as well. All else is of items that
are in the conversation already.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Final

from voicecli.engine.dialogue.captions import Captions, Pace
from voicecli.engine.dialogue.items import Items, Record
from voicecli.engine.dialogue.jobs import (
    CancelJudgement,
    CancelTranscription,
    JudgeTurn,
    Output,
    Transcribe,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.dialogue.listening import Clip
from voicecli.engine.dialogue.session_state import SessionState
from voicecli.protocol import events
from voicecli.protocol.objects import ErrorDetails

JUDGE_LIMIT_S: Final = 0.5
"A judge who takes longer is not waited for: the silence alone ends the turn."


@dataclass
class Guess:
    """A transcription begun before the turn was over."""

    job: str
    text: str | None = None
    "The result, when it was there before the end of the turn."


@dataclass
class Turn:
    """The turn that the user is speaking."""

    item_id: str
    "The item that it will become."
    captions: Captions | None
    "None: the client does not want words, or not before the turn is over."
    guess: Guess | None = None
    caption_job: str | None = None
    pace: Pace = field(default_factory=Pace)
    judge_job: str | None = None
    judge_by: float = 0.0
    "When the judge is not waited for any longer."


@dataclass(frozen=True)
class _Work:
    """What a transcription is of, and what was told of it before."""

    record: Record
    captions: Captions


class Hearing:
    """The jobs of the ears and of the judge, of one connection."""

    def __init__(self, session: SessionState, items: Items, new_id: Callable[[str], str]) -> None:
        self._session = session
        self._items = items
        self._new_id = new_id
        self._turn: Turn | None = None
        self._jobs: dict[str, _Work] = {}

    # ---------------------------------------------------------------------------- the running turn

    @property
    def turn_id(self) -> str | None:
        """The item that the speech being heard will become."""
        return None if self._turn is None else self._turn.item_id

    @property
    def judge_by(self) -> float | None:
        """When `give_up_judge` is due; None while no judge is asked."""
        return None if self._turn is None or self._turn.judge_job is None else self._turn.judge_by

    def begin_turn(self) -> str:
        """Somebody began to speak; gives the id of the item to be."""
        captions = Captions() if self._session.captions else None
        self._turn = Turn(self._new_id("item"), captions)
        return self._turn.item_id

    def pause(self, clip: Clip) -> Iterator[Output]:
        """The turn may be over soon: let the ears begin."""
        if self._turn is not None:
            self._turn.guess = Guess(self._new_id("ears"))
            yield self._transcribe(self._turn.guess.job, clip.pcm16k)

    def resume(self) -> Iterator[Output]:
        """It was not over."""
        if self._turn is None:
            return
        guess, self._turn.guess = self._turn.guess, None
        if guess is not None and guess.text is None:
            yield CancelTranscription(guess.job)

    def drop_turn(self) -> Iterator[Output]:
        """The turn will not become an item."""
        yield from self.resume()
        yield from self._end_asking()
        self._turn = None

    def caption(self, turn_ms: int, so_far: Callable[[], bytes], at: float) -> Iterator[Output]:
        """The turn has grown: let the ears hear it when that is worth its while.

        Args:
            turn_ms: how long it is by now.
            so_far: gives it as PCM16 at 16 kHz.
            at: the time, in seconds.
        """
        turn = self._turn
        if turn is None or turn.captions is None or not self._session.transcribes:
            return
        if turn.guess is None and turn.pace.due(turn_ms):
            turn.pace.asked(turn_ms, at)
            turn.caption_job = self._new_id("ears")
            yield self._transcribe(turn.caption_job, so_far(), is_caption=True)

    # ----------------------------------------------------------------------------------- the judge

    def ask_judge(self, pcm16k: bytes, at: float) -> Iterator[Output]:
        """Somebody was silent for a while: is the turn over?"""
        if self._turn is not None:
            self._turn.judge_job = self._new_id("judge")
            self._turn.judge_by = at + JUDGE_LIMIT_S
            yield JudgeTurn(self._turn.judge_job, pcm16k)

    def is_verdict(self, job: str) -> bool:
        """Whether this is the verdict that is waited for; it is not from now on."""
        if self._turn is None or self._turn.judge_job != job:
            return False
        self._turn.judge_job = None
        return True

    def give_up_judge(self) -> Iterator[Output]:
        """Do not wait for the judge any longer."""
        if self._turn is not None and self._turn.judge_job is not None:
            yield CancelJudgement(self._turn.judge_job)
            self._turn.judge_job = None

    def _end_asking(self) -> Iterator[Output]:
        yield from self.give_up_judge()
        if self._turn is not None and self._turn.caption_job is not None:
            yield CancelTranscription(self._turn.caption_job)
            self._turn.caption_job = None

    # --------------------------------------------------------------------------- items and results

    def hear(self, record: Record) -> Iterator[Output]:
        """Let the ears hear an item."""
        if not any(work.record is record for work in self._jobs.values()):
            yield from self._hear(_Work(record, Captions()))

    def _hear(self, work: _Work) -> Iterator[Output]:
        job, clip = self._new_id("ears"), work.record.clip or Clip()
        self._jobs[job] = work
        if clip.pcm16k:
            yield self._transcribe(job, clip.pcm16k)
        else:
            language = self._session.language
            yield Transcribe(job, b"", language, encoded=clip.audio, format=clip.format)

    def end_turn(self, record: Record) -> Generator[Output, None, bool]:
        """The running turn, if there is one, has become this item.

        Returns:
            Whether its words are known already.
        """
        yield from self._end_asking()
        turn, self._turn = self._turn, None
        work = _Work(record, Captions() if turn is None or not turn.captions else turn.captions)
        guess = None if turn is None else turn.guess
        if guess is None:
            yield from self._hear(work)
        elif guess.text is None:
            self._jobs[guess.job] = work
        else:
            yield from self._understood(work, guess.text)
            return True
        return False

    def told(
        self, result: Transcribed | TranscriptionFailed, at: float
    ) -> Generator[Output, None, Record | None]:
        """Take what the ears say.

        Returns:
            The item about which there is nothing more to wait for.
        """
        turn = self._turn
        if turn is not None and turn.caption_job == result.job:
            turn.caption_job = None
            turn.pace.answered(at)
            yield from self._caption_told(turn, result)
            return None
        if turn is not None and turn.guess is not None and turn.guess.job == result.job:
            if isinstance(result, Transcribed):
                turn.guess.text = result.text
            else:
                turn.guess = None  # tried again at the end of the turn
            yield from self._caption_told(turn, result)
            return None
        work = self._jobs.pop(result.job, None)
        if work is None:
            return None
        if isinstance(result, Transcribed):
            yield from self._understood(work, result.text)
        else:
            yield from self._not_understood(work.record, result)
        return work.record

    def _caption_told(
        self, turn: Turn, result: Transcribed | TranscriptionFailed
    ) -> Iterator[Output]:
        if turn.captions is None or not self._session.transcribes:
            return
        if isinstance(result, Transcribed) and (piece := turn.captions.heard(result.text)):
            yield events.InputAudioTranscriptionDelta(item_id=turn.item_id, delta=piece)

    def _understood(self, work: _Work, text: str) -> Iterator[Output]:
        record = work.record
        rest = work.captions.finish(text)
        # What was told cannot be put right, but the mind need not believe it.
        record.understood(text.strip() or work.captions.told)
        if not self._tells_words_of(record):
            return
        if rest:
            yield events.InputAudioTranscriptionDelta(item_id=record.id, delta=rest)
        yield events.InputAudioTranscriptionCompleted(
            item_id=record.id,
            content_index=0,
            transcript=work.captions.told,
            usage={"type": "duration", "seconds": record.clip_ms / 1000},
        )

    def _not_understood(self, record: Record, failed: TranscriptionFailed) -> Iterator[Output]:
        record.failure = failed.message
        if self._tells_words_of(record):
            error = {"type": failed.kind, "code": failed.code, "message": failed.message}
            yield events.InputAudioTranscriptionFailed(
                item_id=record.id, content_index=0, error=ErrorDetails(error)
            )

    def _tells_words_of(self, record: Record) -> bool:
        in_conversation = self._items.get(record.id) is record
        return in_conversation and record.buffered and self._session.transcribes

    def _transcribe(self, job: str, pcm16k: bytes, *, is_caption: bool = False) -> Transcribe:
        return Transcribe(job, pcm16k, language=self._session.language, is_caption=is_caption)
