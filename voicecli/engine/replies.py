"""The responses that are being made: one in the conversation at most, and some out of band.

A response begins when it is created, but its mind is asked only once the ears are through with all
that the mind is to be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from voicecli.engine.answers import Plan, Reason, RunningAnswer, Status
from voicecli.engine.checks import Refusal
from voicecli.engine.items import Items, Record
from voicecli.engine.jobs import (
    Answer,
    AnswerAudio,
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    CancelAnswer,
    Output,
    Said,
)
from voicecli.engine.session_state import SessionState
from voicecli.engine.usage import CHARS_PER_TOKEN, TOKEN_BYTES, input_tokens
from voicecli.protocol import events
from voicecli.protocol.events import ServerEvent
from voicecli.protocol.objects import Item

MAX_ANSWERS: Final = 8
"Responses at the same time, the one in the conversation included."


class Replies:
    """All responses in progress, by id; tells the conversation of what they say."""

    def __init__(self, session: SessionState, items: Items, new_id: Callable[[str], str]) -> None:
        self._session = session
        self._items = items
        self._new_id = new_id
        self._answers: dict[str, RunningAnswer] = {}
        self.playback_ends_at: float | None = None
        "When the last response will have been played, if it was spoken and nothing came after it."

    @property
    def active(self) -> RunningAnswer | None:
        """The response that is writing to the conversation."""
        running = (one for one in self._answers.values() if one.plan.in_conversation)
        return next(running, None)

    def find(self, response_id: str | None) -> RunningAnswer:
        """The response of this id, or the active one.

        Raises:
            Refusal: there is none in progress.
        """
        found = self.active if response_id is None else self._answers.get(response_id)
        if found is None:
            raise Refusal(
                "response_cancel_not_active", "Cancellation failed: no active response found."
            )
        return found

    def check_room(self, *, in_conversation: bool) -> None:
        """Whether another response may begin.

        Raises:
            Refusal: one is active in the conversation, or too many are running.
        """
        active = self.active
        if in_conversation and active is not None:
            raise Refusal(
                "conversation_already_has_active_response",
                f"Conversation already has an active response: {active.plan.id}. Wait until it is "
                "done before you create another one.",
            )
        if len(self._answers) >= MAX_ANSWERS:
            raise Refusal("invalid_value", f"{MAX_ANSWERS} responses are in progress already.")

    def create(self, plan: Plan) -> Iterator[Output]:
        """Begin a response; `check_room` was asked before."""
        answer = RunningAnswer(plan, self._new_id("item"))
        self._answers[plan.id] = answer
        if plan.in_conversation:
            self.playback_ends_at = None
        yield answer.created()

    def ask_minds(self, at: float) -> Iterator[Output]:
        """Ask the mind for each response that has waited for the ears and need wait no longer."""
        for answer in [one for one in self._answers.values() if not one.started]:
            shown = self._context(answer.plan)
            if not any(record.awaits_transcript for record in shown):
                yield from self._ask(answer, shown, at)

    def _context(self, plan: Plan) -> list[Record]:
        return list(self._items if plan.input is None else plan.input)

    def _ask(self, answer: RunningAnswer, shown: list[Record], at: float) -> Iterator[Output]:
        answer.started = True
        plan = answer.plan
        answer.input_tokens = input_tokens(plan.instructions, shown)
        newest = shown[-1] if shown else None
        if newest is not None and newest.failure:
            answer.started = False
            yield from self.end(answer, "failed", at, failure=newest.failure)
        elif newest is not None and newest.is_wordless and not plan.prompt:
            answer.started = False
            yield from self.end(answer, "completed", at)
        else:
            yield Answer(
                plan.id,
                _messages(plan, shown),
                spoken=plan.spoken,
                voice=plan.voice if isinstance(plan.voice, str) else str(plan.voice.get("id")),
                speed=self._session.speed,
            )

    # ---------------------------------------------------------------------------------- results

    def told(
        self, result: AnswerText | AnswerAudio | AnswerFinished | AnswerFailed, at: float
    ) -> Iterator[Output]:
        """Take what the mind or the voice has made; what came too late changes nothing."""
        answer = self._answers.get(result.job)
        if answer is None:
            return
        match result:
            case AnswerText(text=text):
                yield from self._text(answer, text, at)
            case AnswerAudio(pcm=pcm):
                yield from self._audio(answer, pcm, at)
            case AnswerFinished():
                answer.started = False
                yield from self.end(answer, "completed", at)
            case AnswerFailed(message=message):
                answer.started = False
                yield from self.end(answer, "failed", at, failure=message)

    def _text(self, answer: RunningAnswer, text: str, at: float) -> Iterator[Output]:
        budget = answer.budget
        room = None if budget is None else budget * CHARS_PER_TOKEN - len(answer.text) % -4
        fits = text if room is None else text[:room]
        if fits:
            record, opened = self._opened(answer)
            yield from opened
            yield from answer.say(record, fits)
        if len(fits) < len(text):
            yield from self.end(answer, "incomplete", at, "max_output_tokens")

    def _audio(self, answer: RunningAnswer, pcm: bytes, at: float) -> Iterator[Output]:
        budget = answer.budget
        room = None
        if budget is not None:
            room = budget * TOKEN_BYTES - answer.audio_bytes % -TOKEN_BYTES
        fits = pcm[: len(pcm) - len(pcm) % 2] if room is None else pcm[:room]
        if fits and answer.plan.spoken:
            if answer.plan.in_conversation:
                self._session.voice_locked = True
            record, opened = self._opened(answer)
            yield from opened
            yield from answer.sound(record, fits)
        if room is not None and room < len(pcm):
            yield from self.end(answer, "incomplete", at, "max_output_tokens")

    def _opened(self, answer: RunningAnswer) -> tuple[Record, list[ServerEvent]]:
        if answer.record is not None:
            return answer.record, []
        record, told = answer.open()
        if answer.plan.in_conversation:
            previous_id = self._items.add(record)
            told.append(
                events.ConversationItemAdded(
                    item=Item(answer.opening_item()), previous_item_id=previous_id
                )
            )
        return record, [*told, answer.part_added()]

    # ----------------------------------------------------------------------------------- ending

    def end(
        self,
        answer: RunningAnswer,
        status: Status,
        at: float,
        reason: Reason | None = None,
        failure: str = "",
    ) -> Iterator[Output]:
        """End a response, whole or not; its job, if one is running, is cancelled first."""
        del self._answers[answer.plan.id]
        if answer.started:
            yield CancelAnswer(answer.plan.id)
        if answer.record is not None:
            yield from self._close(answer, answer.record, whole=status == "completed")
        if answer.plan.in_conversation and reason != "turn_detected":
            self.playback_ends_at = at + answer.audio_ms / 1000
        error = None
        if failure:
            error = {"type": "server_error", "code": "server_error", "message": failure}
        yield answer.done(status, reason, error)

    def _close(
        self, answer: RunningAnswer, record: Record, *, whole: bool
    ) -> Iterator[ServerEvent]:
        yield from answer.close(record, whole=whole)
        if self._items.get(record.id) is record:
            yield events.ConversationItemDone(
                item=Item(record.to_wire()), previous_item_id=self._items.before(record.id)
            )
            self._items.forget_old_audio()
        yield answer.item_done(record)


def _messages(plan: Plan, shown: list[Record]) -> tuple[Said, ...]:
    said = [one for one in (record.for_mind() for record in shown) if one is not None]
    if plan.instructions:
        said.insert(0, Said("system", plan.instructions))
    if plan.prompt:
        # Minds answer the last thing that a user said, and here that is nothing.
        said += [Said("system", plan.prompt), Said("user", "...")]
    return tuple(said)
