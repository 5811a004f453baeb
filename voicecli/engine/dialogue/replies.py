"""The responses that are being made: one in the conversation at most, and some out of band.

A response begins when it is created, but its mind is asked only once the ears are through with all
that the mind is to be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from voicecli.engine.dialogue.answer_items import AnswerCallItem, AnswerItem, AnswerMessage
from voicecli.engine.dialogue.answers import Plan, Reason, RunningAnswer, Status
from voicecli.engine.dialogue.checks import Refusal
from voicecli.engine.dialogue.context import context
from voicecli.engine.dialogue.items import Items, Record
from voicecli.engine.dialogue.jobs import (
    Answer,
    AnswerArguments,
    AnswerAudio,
    AnswerCall,
    AnswerFailed,
    AnswerFinished,
    AnswerText,
    CancelAnswer,
    MessageEnd,
    Output,
)
from voicecli.engine.dialogue.session_state import SessionState
from voicecli.engine.dialogue.usage import input_tokens
from voicecli.protocol import events
from voicecli.protocol.events import ServerEvent
from voicecli.protocol.objects import Item

Result: TypeAlias = (
    AnswerText
    | AnswerAudio
    | AnswerCall
    | AnswerArguments
    | MessageEnd
    | AnswerFinished
    | AnswerFailed
)

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
        answer = RunningAnswer(plan, self._new_id)
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
        answer.input_tokens = input_tokens(plan.instructions, shown, plan.offer.tools)
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
                context(plan.instructions, shown, plan.prompt),
                spoken=plan.spoken,
                voice=plan.voice if isinstance(plan.voice, str) else str(plan.voice.get("id")),
                speed=self._session.speed,
                offer=plan.offer,
            )

    # ---------------------------------------------------------------------------------- results

    def told(self, result: Result, at: float) -> Iterator[Output]:
        """Take what the mind or the voice has made; what came too late changes nothing."""
        answer = self._answers.get(result.job)
        if answer is None:
            return
        match result:
            case AnswerText(text=text):
                yield from self._text(answer, text, at)
            case AnswerAudio(pcm=pcm):
                yield from self._audio(answer, pcm, at)
            case AnswerCall(name=name):
                yield from self._call(answer, name, at)
            case AnswerArguments(text=text):
                yield from self._arguments(answer, text, at)
            case MessageEnd():
                yield from self._close(answer, whole=True)
            case AnswerFinished():
                answer.started = False
                yield from self.end(answer, "completed", at)
            case AnswerFailed(message=message):
                answer.started = False
                yield from self.end(answer, "failed", at, failure=message)

    def _text(self, answer: RunningAnswer, text: str, at: float) -> Iterator[Output]:
        fits = text[: answer.text_room]
        if fits:
            message, opened = self._message(answer)
            yield from opened
            yield from answer.say(message, fits)
        if len(fits) < len(text):
            yield from self.end(answer, "incomplete", at, "max_output_tokens")

    def _audio(self, answer: RunningAnswer, pcm: bytes, at: float) -> Iterator[Output]:
        room = answer.audio_room
        fits = pcm[: len(pcm) - len(pcm) % 2] if room is None else pcm[:room]
        if fits and answer.plan.spoken:
            if answer.plan.in_conversation:
                self._session.voice_locked = True
            message, opened = self._message(answer)
            yield from opened
            yield from answer.sound(message, fits)
        if room is not None and room < len(pcm):
            yield from self.end(answer, "incomplete", at, "max_output_tokens")

    def _call(self, answer: RunningAnswer, name: str, at: float) -> Iterator[Output]:
        yield from self._close(answer, whole=True)
        room = answer.text_room
        if room is not None and room < len(name):
            yield from self.end(answer, "incomplete", at, "max_output_tokens")
        else:
            yield from self._announced(answer, answer.open_call(name))

    def _arguments(self, answer: RunningAnswer, text: str, at: float) -> Iterator[Output]:
        if not isinstance(answer.growing, AnswerCallItem):
            return
        fits = text[: answer.text_room]
        yield from answer.argue(answer.growing, fits)
        if len(fits) < len(text):
            yield from self.end(answer, "incomplete", at, "max_output_tokens")

    def _message(self, answer: RunningAnswer) -> tuple[AnswerMessage, list[ServerEvent]]:
        """The message that grows, and what begins it if there was none."""
        if isinstance(answer.growing, AnswerMessage):
            return answer.growing, []
        closed = list(self._close(answer, whole=True))
        message = answer.open_message()
        return message, [*closed, *self._announced(answer, message)]

    def _announced(self, answer: RunningAnswer, item: AnswerItem) -> Iterator[ServerEvent]:
        yield item.added()
        if answer.plan.in_conversation:
            previous_id = self._items.add(item.record)
            yield events.ConversationItemAdded(
                item=Item(item.opening), previous_item_id=previous_id
            )
        yield from item.begun()

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
        yield from self._close(answer, whole=status == "completed")
        if answer.plan.in_conversation and reason != "turn_detected":
            self.playback_ends_at = at + answer.audio_ms / 1000
        error = None
        if failure:
            error = {"type": "server_error", "code": "server_error", "message": failure}
        yield answer.done(status, reason, error)

    def _close(self, answer: RunningAnswer, *, whole: bool) -> Iterator[ServerEvent]:
        """End the item that grows, if there is one."""
        item, answer.growing = answer.growing, None
        if item is None:
            return
        yield from item.ended(whole=whole)
        if self._items.get(item.record.id) is item.record:
            yield events.ConversationItemDone(
                item=Item(item.record.to_wire()),
                previous_item_id=self._items.before(item.record.id),
            )
            self._items.forget_old_audio()
        yield item.done()
