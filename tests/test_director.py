"""A scripted user in a whole session, on a clock that flies: every moment is exact."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from helpers_conversation import (
    announced,
    audio,
    audio_done,
    committed,
    created,
    done,
    session_created,
    session_updated,
)
from helpers_loop import clock, run
from helpers_session import HandScreen

from voicecli import inputs
from voicecli.audio.files import NullSpeaker
from voicecli.audio.pcm import packed, unpacked
from voicecli.audio.scripted import ScriptedMicrophone
from voicecli.conversation import Conversation, Options
from voicecli.cues import AfterAnswer, AfterStart, AfterTurn, Anchor, Cue, Do, IntoAnswer, Say
from voicecli.director import Director
from voicecli.errors import ConnectionFailed
from voicecli.protocol import events
from voicecli.protocol.events import ClientEvent, Event
from voicecli.protocol.settings import ServerVad, SessionSettings
from voicecli.recording.rerun.rerun import Tally
from voicecli.session import Session
from voicecli.tools.functions import Functions

SILENCE_S = 0.3
"What ends a turn, for this server."
THINKS_S = 0.2
"From then to its first audio."
LEAD_S = 0.05


@dataclass
class Answer:
    """What the server says to a turn."""

    seconds: float = 2.0
    "Of audio; 0: it never answers."
    thinks_s: float = THINKS_S
    fails: bool = False
    gap_s: float = 0.0
    "The second half of the audio comes so much later."


class Server:
    """Hears what is loud, and answers turn by turn: a connection without a network."""

    def __init__(self, answers: list[Answer], *, is_mute: bool = False) -> None:
        self.opened_at = clock()
        self.voice_at: list[float] = []
        "When each turn's voice began, to the sample, by the times of the frames."
        self.sent: list[ClientEvent] = []
        self.sent_at: list[float] = []
        self._answers = answers
        self._is_mute = is_mute
        self._queue: asyncio.Queue[Event | ConnectionFailed] = asyncio.Queue()
        self.is_manual = False
        self.never_stops = False
        self._silent_frames: int | None = None
        self._turns = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._response: asyncio.Task[None] | None = None
        if not is_mute:
            self.say(session_created(), session_updated(ServerVad().to_wire()))

    def say(self, *server_events: Event | ConnectionFailed) -> None:
        for event in server_events:
            self._queue.put_nowait(event)

    async def send(self, event: ClientEvent) -> None:
        if isinstance(event, events.InputAudioBufferAppend):
            self._hear(event.audio)
            return
        self.sent.append(event)
        self.sent_at.append(clock() - self.opened_at)
        if isinstance(event, events.ResponseCreate):
            self._answer()

    def _hear(self, pcm: bytes) -> None:
        if self.is_manual:
            return
        samples = unpacked(pcm)
        loud = next((place for place, one in enumerate(samples) if abs(one) > 100), None)
        if loud is not None:
            if self._silent_frames is None:
                self.voice_at.append(clock() - self.opened_at - 0.02 + loud / 24_000)
                self._cancel()
                item = f"u{len(self.voice_at)}"
                self.say(events.InputAudioBufferSpeechStarted(item_id=item, audio_start_ms=0))
            self._silent_frames = 0
        elif self._silent_frames is not None:
            self._silent_frames += 1
            if self._silent_frames * 0.02 >= SILENCE_S and not self.never_stops:
                self._silent_frames = None
                item = f"u{len(self.voice_at)}"
                self.say(
                    events.InputAudioBufferSpeechStopped(item_id=item, audio_end_ms=0),
                    committed(item),
                )
                self._answer()

    def _cancel(self) -> None:
        if self._response is not None:
            self._response.cancel()

    def _answer(self) -> None:
        self._turns += 1
        answer = self._answers[min(self._turns, len(self._answers)) - 1]
        if answer.seconds or answer.fails:
            self._response = asyncio.create_task(self._speak(answer, self._turns))
            self._tasks.add(self._response)

    async def _speak(self, answer: Answer, turn: int) -> None:
        response, item = f"R{turn}", f"a{turn}"
        self.say(created(response))
        await asyncio.sleep(answer.thinks_s)
        if answer.fails:
            self.say(done(response, status="failed"))
            return
        self.say(announced(item, response))
        half_ms = round(answer.seconds * 500)
        self.say(audio(item, half_ms, response))
        await asyncio.sleep(answer.gap_s)
        self.say(audio(item, half_ms, response), audio_done(item, response), done(response))

    async def __aiter__(self) -> AsyncIterator[inputs.Received]:
        while True:
            event = await self._queue.get()
            if isinstance(event, ConnectionFailed):
                raise event
            yield inputs.Received(event)


@dataclass
class Outcome:
    """A talk of a scripted user."""

    director: Director
    tally: Tally
    server: Server
    screen: HandScreen
    ended_at: float
    error: ConnectionFailed | None = None

    def heard_before(self, turn: int) -> float:
        """How much of the answer before a turn was heard when its voice began, in seconds."""
        played = self.director.played[turn]
        return self.tally.heard.seconds(played.after_s, self.server.voice_at[turn])


def say(seconds: float = 1.0, lead_s: float = LEAD_S, **more: Any) -> Say:
    voice = packed(array("h", [5000]) * round(seconds * 24_000))
    lead, tail = bytes(round(lead_s * 24_000) * 2), bytes(4800 * 2)
    return Say(lambda: lead + voice + tail, lead_s, lead_s + seconds, **more)


def perform(
    cues: list[Cue],
    *answers: Answer,
    is_mute: bool = False,
    settings: SessionSettings | None = None,
    beside: Callable[[Server], Any] | None = None,
    **more: Any,
) -> Outcome:
    """Hold a talk to its end."""

    async def main() -> Outcome:
        server = Server(list(answers) or [Answer()], is_mute=is_mute)
        wanted = settings or SessionSettings(turn_detection=ServerVad())
        conversation = Conversation(Options(settings=wanted, linger_s=1.0))
        microphone, speaker = ScriptedMicrophone(), NullSpeaker(clock=clock)
        tally, screen = Tally(), HandScreen()
        loop = asyncio.get_running_loop()
        director = Director(
            cues,
            conversation=conversation,
            microphone=microphone,
            heard=speaker.heard,
            deliver_in=lambda s, an_input: loop.call_later(s, session.deliver, an_input),
            opened_at=server.opened_at,
            **more,
        )
        session = Session(
            conversation=conversation, connection=server, microphone=microphone, speaker=speaker,
            screen=screen, tools=Functions(), observers=[tally, director], clock=clock,
        )  # fmt: skip
        if beside is not None:
            beside(server)
        error = None
        try:
            await session.run()
        except ConnectionFailed as exc:
            error = exc
        finally:
            await microphone.close()
            await speaker.close()
        return Outcome(director, tally, server, screen, clock() - server.opened_at, error)

    return run(main)


def test_the_first_turn_begins_after_the_start_to_the_sample():
    outcome = perform([Cue(AfterStart(0.5033), say())])
    assert outcome.server.voice_at == pytest.approx([0.5033], abs=1 / 24_000)
    assert outcome.director.played[0].began_at == pytest.approx(0.5033, abs=1 / 24_000)
    assert outcome.director.is_through


def test_the_next_turn_begins_a_pause_after_the_answer_was_heard():
    cues = [Cue(AfterStart(0.2), say()), Cue(AfterAnswer(0.7), say())]
    outcome = perform(cues, Answer(2.0))
    heard_until = outcome.tally.heard.last_end(outcome.server.voice_at[1])
    assert heard_until is not None
    # The speaker tells of the end of an answer within one of its blocks.
    assert outcome.server.voice_at[1] - heard_until == pytest.approx(0.7, abs=0.041)
    assert [played.was_answered for played in outcome.director.played] == [True, True]


def test_the_talk_ends_in_good_order_after_the_last_answer_was_heard():
    outcome = perform([Cue(AfterStart(0.2), say())], Answer(2.0, thinks_s=1.5))
    assert outcome.screen.summary.reason == "finished"
    heard_until = outcome.tally.heard.last_end(1e9)
    assert heard_until is not None
    assert outcome.tally.heard.seconds(0, 1e9) == pytest.approx(2.0, abs=0.001)
    assert outcome.ended_at - heard_until == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("heard_s", [0.12, 0.35, 0.7413, 1.5])
def test_an_interruption_begins_when_so_much_of_the_answer_was_heard(heard_s: float):
    cues = [Cue(AfterStart(0.2), say()), Cue(IntoAnswer(heard_s), say())]
    for answer in (Answer(4.0), Answer(4.0, thinks_s=2.7)):
        outcome = perform(cues, answer)
        assert outcome.heard_before(1) == pytest.approx(heard_s, abs=0.001)
        assert outcome.screen.summary.interruptions == 1


def test_an_interruption_before_the_room_fits_in_loses_the_room_and_no_more():
    cues = [Cue(AfterStart(0.2), say()), Cue(IntoAnswer(0.05), say(lead_s=0.3))]
    outcome = perform(cues, Answer(4.0))
    assert outcome.heard_before(1) == pytest.approx(0.05, abs=0.001)


def test_silence_inside_of_an_answer_does_not_count_as_heard():
    cues = [Cue(AfterStart(0.2), say()), Cue(IntoAnswer(1.01), say(lead_s=0.0))]
    outcome = perform(cues, Answer(2.0, gap_s=4.0))
    # That it goes on is seen with the next frame.
    assert outcome.heard_before(1) == pytest.approx(1.01, abs=0.021)
    assert outcome.server.voice_at[1] > 5.5


def test_what_is_heard_is_counted_anew_after_each_turn():
    cues = [Cue(AfterStart(0.2), say()), Cue(IntoAnswer(0.9), say()), Cue(IntoAnswer(0.5), say())]
    outcome = perform(cues, Answer(4.0))
    assert outcome.heard_before(1) == pytest.approx(0.9, abs=0.001)
    assert outcome.heard_before(2) == pytest.approx(0.5, abs=0.001)
    assert outcome.screen.summary.interruptions == 2


def test_when_the_new_answer_is_shorter_the_turn_begins_when_it_is_over():
    cues = [Cue(AfterStart(0.2), say()), Cue(IntoAnswer(3.0), say())]
    outcome = perform(cues, Answer(1.0))
    assert outcome.heard_before(1) == pytest.approx(1.0, abs=0.001)
    heard_until = outcome.tally.heard.last_end(outcome.server.voice_at[1])
    assert heard_until is not None
    assert outcome.server.voice_at[1] - heard_until < 0.1
    assert outcome.screen.summary.interruptions == 0


def test_a_turn_that_follows_another_one_waits_for_no_answer():
    cues = [Cue(AfterStart(0.2), say(), expects_answer=False), Cue(AfterTurn(1.1), say())]
    outcome = perform(cues, Answer(4.0, thinks_s=0.1))
    first, second = outcome.director.played
    assert second.began_at - first.ended_at == pytest.approx(1.1, abs=0.001)


def test_without_an_answer_the_user_goes_on_after_his_patience_and_notes_it():
    cues = [Cue(AfterStart(0.2), say()), Cue(AfterAnswer(0.5), say())]
    outcome = perform(cues, Answer(0.0), Answer(1.0), patience_s=10.0)
    first, second = outcome.director.played
    assert second.began_at - first.ended_at == pytest.approx(10.0, abs=0.2)
    assert (first.was_answered, second.was_answered) == (False, True)
    assert (first.came_without_cue, second.came_without_cue) == (False, True)
    assert outcome.director.is_through


def test_an_answer_that_fails_is_not_waited_for_to_the_end_of_patience():
    cues = [Cue(AfterStart(0.2), say()), Cue(AfterAnswer(0.5), say())]
    outcome = perform(cues, Answer(0.0, fails=True), Answer(1.0))
    first, second = outcome.director.played
    assert second.began_at - first.ended_at < 8.0
    assert (first.was_answered, second.was_answered) == (False, True)


def test_where_no_answer_had_come_the_user_waits_as_long_as_he_did_unless_one_comes():
    anchor = AfterAnswer(0.5, patience_s=4.0)
    cues = [Cue(AfterStart(0.2), say(), expects_answer=False), Cue(anchor, say())]
    first, second = perform(cues, Answer(0.0), Answer(1.0)).director.played
    assert second.began_at - first.ended_at == pytest.approx(4.0, abs=0.001)
    outcome = perform(cues, Answer(6.0), Answer(1.0))
    assert outcome.tally.heard.seconds(0, outcome.server.voice_at[1]) == pytest.approx(
        6.0, abs=0.01
    )


def test_a_server_that_never_begins_the_session_is_left():
    outcome = perform([Cue(AfterStart(0.2), say())], is_mute=True, patience_s=5.0)
    assert outcome.ended_at == pytest.approx(5.0, abs=0.1)
    assert outcome.director.failure == "the server did not begin the session"
    assert not outcome.director.is_through
    assert outcome.screen.summary.reason == "quit"


def test_a_lost_connection_leaves_the_rest_unsaid():
    def beside(server: Server) -> None:
        asyncio.get_running_loop().call_later(3.0, server.say, ConnectionFailed("gone"))

    cues = [Cue(AfterStart(0.2), say()), Cue(AfterAnswer(0.5), say())]
    outcome = perform(cues, Answer(9.0), beside=beside)
    assert len(outcome.director.played) == 1
    assert not outcome.director.is_through
    assert outcome.director.played[0].was_answered


def test_a_server_for_which_the_user_never_stops_speaking_is_left_in_the_end():
    def beside(server: Server) -> None:
        server.never_stops = True

    outcome = perform([Cue(AfterStart(0.2), say())], patience_s=5.0, beside=beside)
    assert outcome.screen.summary.reason == "quit"
    assert outcome.ended_at < 12.5
    assert outcome.director.played[0].was_answered is False


def test_messages_and_keys_come_at_their_moment():
    cues = [
        Cue(AfterStart(0.25), Do(inputs.TextTyped("hello"))),
        Cue(IntoAnswer(0.5033), Do(inputs.InterruptPressed()), expects_answer=False),
        Cue(AfterTurn(0.4), Do(inputs.TextTyped("bye"))),
    ]
    outcome = perform(cues, Answer(4.0))
    typed = [
        at for at, event in zip(outcome.server.sent_at, outcome.server.sent, strict=True)
        if isinstance(event, events.ConversationItemCreate)
    ]  # fmt: skip
    assert typed[0] == pytest.approx(0.25, abs=0.001)
    assert outcome.tally.cut_times == pytest.approx([typed[1] - 0.4], abs=0.001)
    first, second, _ = outcome.director.played
    assert outcome.tally.heard.seconds(first.ended_at, second.began_at) == pytest.approx(
        0.5033, abs=0.001
    )
    assert outcome.director.played[0].was_answered


def test_push_to_talk_is_held_from_the_beginning_of_the_voice_to_its_end():
    settings = SessionSettings(turn_detection=None)
    cues = [
        Cue(AfterStart(0.3), say(1.0, lead_s=0.0, is_pushed=True)),
        Cue(IntoAnswer(0.7), say(0.5, lead_s=0.0, is_pushed=True)),
    ]

    def beside(server: Server) -> None:
        server.is_manual = True
        server.say(session_updated(None))

    outcome = perform(cues, Answer(3.0), settings=settings, beside=beside)
    kinds = [type(event) for event in outcome.server.sent]
    assert kinds.count(events.InputAudioBufferCommit) == 2
    assert kinds.count(events.ConversationItemTruncate) == 1
    assert [played.was_answered for played in outcome.director.played] == [True, True]
    first, second = outcome.director.played
    assert outcome.tally.heard.seconds(first.ended_at, second.began_at) == pytest.approx(
        0.7, abs=0.001
    )


@dataclass
class WhenHeard:
    """An anchor of one's own."""

    seconds: float
    asked: list[float] = field(default_factory=list)

    def due_at(self, scene: Any) -> float | None:
        self.asked.append(scene.at)
        return scene.at if scene.heard_s >= self.seconds else None


def test_a_script_may_bring_anchors_of_its_own():
    anchor: Anchor = WhenHeard(0.4)
    outcome = perform([Cue(AfterStart(0.2), say()), Cue(anchor, say())], Answer(3.0))
    assert outcome.heard_before(1) == pytest.approx(0.4, abs=0.1)


def test_progress_is_told_turn_by_turn():
    told: list[int] = []
    cues = [Cue(AfterStart(0.2), say()), Cue(AfterAnswer(), say())]
    perform(cues, Answer(0.5), on_progress=lambda: told.append(1))
    assert len(told) == 2


def test_without_a_script_the_talk_ends_at_once():
    outcome = perform([])
    assert outcome.screen.summary.reason == "finished"
    assert outcome.director.is_through
