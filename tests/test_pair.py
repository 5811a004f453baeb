"""Client and engine joined in memory: what the server remembers is what was heard.

No network, no clock and no models: events are encoded and decoded on the way, speech is a recording
of a person, and the speaker is the real ledger, moved on by hand.
"""

from __future__ import annotations

import base64
import json
import random
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from engine_fakes import clip, counted_ids, silence
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_types import check_client_event, check_server_event

from voicecli import actions, inputs
from voicecli.audio.pcm import FRAME_BYTES, FRAME_SAMPLES, packed
from voicecli.audio.playback import (
    FADE_SAMPLES,
    Drained,
    Emitted,
    Finished,
    Playout,
    PlayoutEvent,
    Started,
)
from voicecli.conversation import Conversation, Options
from voicecli.engine import jobs
from voicecli.engine.dialogue import Dialogue
from voicecli.protocol.codec import CLIENT_CODEC, SERVER_CODEC, encode
from voicecli.protocol.events import InputAudioBufferSpeechStarted, ServerEvent
from voicecli.protocol.settings import ServerVad, SessionSettings
from voicecli.reports import AssistantReport, BargeInReport, ErrorReport, Report, UserReport

SAMPLES_PER_MS = 24
FRAME_S = 0.02
AUTOMATIC = SessionSettings(
    turn_detection=ServerVad(silence_duration_ms=300), transcription_model="whisper-1"
)
MANUAL = SessionSettings(turn_detection=None, transcription_model="whisper-1")


def speech(ms: int, seed: int = 0) -> bytes:
    """An answer's audio: no sample is zero and no two answers are alike."""
    values = random.Random(seed)
    samples = (
        values.choice((-1, 1)) * values.randrange(1000, 9000) for _ in range(ms * SAMPLES_PER_MS)
    )
    return packed(array("h", samples))


class Pair:
    """A conversation and a dialogue with a listener between them; time moves by `pass_ms`."""

    def __init__(self, wanted: SessionSettings = AUTOMATIC, words: Sequence[str] = ()) -> None:
        self.at = 0.0
        self.conversation = Conversation(Options(settings=wanted))
        self.dialogue = Dialogue(counted_ids())
        self.playout = Playout()
        self.speaker = bytearray()
        self.reports: list[Report] = []
        self.sent: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.jobs: list[jobs.Output] = []
        self._words, self._turns = tuple(words), 0
        self._to_server: deque[bytes | jobs.Input] = deque()
        self._to_client: deque[bytes] = deque()
        self._emit(self.dialogue.begin())
        self._settle()

    # -------------------------------------------------------------------------------- the wires

    def give(self, an_input: inputs.Input) -> None:
        """Let something happen to the client, and all that follows from it."""
        self._happen(an_input)
        self._settle()

    def tell_engine(self, result: jobs.Input) -> None:
        """Let a model of the engine say something."""
        self._to_server.append(result)
        self._settle()

    def _happen(self, an_input: inputs.Input) -> None:
        for action in self.conversation.handle(an_input, self.at):
            match action:
                case actions.Send(event):
                    self._to_server.append(encode(event))
                case actions.Play(item_id, content_index, pcm):
                    self.playout.enqueue(item_id, content_index, pcm)
                case actions.FinishPart(item_id, content_index):
                    self.playout.finish(item_id, content_index)
                case actions.StopPlayback():
                    self._happen(inputs.PlaybackStopped(tuple(self.playout.flush(self.at))))
                case actions.Tell(report):
                    self.reports.append(report)
                case _:
                    raise AssertionError(action)

    def _settle(self) -> None:
        while self._to_server or self._to_client or self.playout.has_events:
            while self._to_server:
                self._reach_server(self._to_server.popleft())
            while self._to_client:
                self._reach_client(self._to_client.popleft())
            for event in self.playout.drain_events():
                self._happen(_as_input(event))

    def _reach_server(self, what: bytes | jobs.Input) -> None:
        if isinstance(what, bytes):
            check_client_event(what)
            self.sent.append(json.loads(what))
            self._emit(self.dialogue.handle(CLIENT_CODEC.decode(what), self.at))
        else:
            self._emit(self.dialogue.handle(what, self.at))

    def _reach_client(self, text: bytes) -> None:
        check_server_event(text)
        self.received.append(json.loads(text))
        self._happen(inputs.Received(SERVER_CODEC.decode(text)))

    def _emit(self, outputs: Iterable[jobs.Output]) -> None:
        for output in outputs:
            if isinstance(output, ServerEvent):
                self._turns += isinstance(output, InputAudioBufferSpeechStarted)
                self._to_client.append(encode(output))
            elif isinstance(output, jobs.Transcribe):
                self._to_server.append(jobs.Transcribed(output.job, self._words_of_this_turn()))
            else:
                self.jobs.append(output)

    def _words_of_this_turn(self) -> str:
        # The ears are asked at every pause, so they are asked more than once in some turns.
        turn = max(0, self._turns - 1)
        return self._words[turn] if turn < len(self._words) else "Something."

    # ----------------------------------------------------------------------------- what happens

    def pass_ms(self, ms: int, mic: bytes = b"") -> None:
        """Let time pass: the microphone gives `mic` and then silence, the speaker plays."""
        mic = mic.ljust(ms * SAMPLES_PER_MS * 2, b"\0")
        for start in range(0, ms * SAMPLES_PER_MS * 2 - FRAME_BYTES + 1, FRAME_BYTES):
            self.speaker += self.playout.take(FRAME_SAMPLES, self.at)
            self.at += FRAME_S
            self._settle()
            self.give(inputs.MicFrame(mic[start : start + FRAME_BYTES]))

    def say(self, pcm: bytes, then_ms: int = 800) -> None:
        """The user speaks and is silent for long enough."""
        self.pass_ms(len(pcm) // FRAME_BYTES * 20 + then_ms, pcm)

    @property
    def asked(self) -> jobs.Answer:
        """What the mind was asked last."""
        return [one for one in self.jobs if isinstance(one, jobs.Answer)][-1]

    def answer(self, *pieces: tuple[str, bytes], finish: bool = True) -> None:
        """The engine generates, faster than real time."""
        job = self.asked.job
        for text, pcm in pieces:
            self.tell_engine(jobs.AnswerText(job, text))
            self.tell_engine(jobs.AnswerAudio(job, pcm))
        if finish:
            self.tell_engine(jobs.AnswerFinished(job))

    # ----------------------------------------------------------------------------- what is known

    def remembered(self, item_id: str) -> bytes | None:
        """The server's audio of an item; None if it knows of none."""
        ask = json.dumps({"type": "conversation.item.retrieve", "item_id": item_id})
        (told,) = self.dialogue.handle(CLIENT_CODEC.decode(ask), self.at)
        assert isinstance(told, ServerEvent)
        item = json.loads(encode(told)).get("item")
        if item is None:
            return None
        return base64.b64decode(item["content"][0].get("audio") or "")

    def text_remembered(self, item_id: str) -> str:
        """The server's words of an item."""
        ask = json.dumps({"type": "conversation.item.retrieve", "item_id": item_id})
        (told,) = self.dialogue.handle(CLIENT_CODEC.decode(ask), self.at)
        content = json.loads(encode(told))["item"]["content"][0]  # type: ignore[arg-type]
        return str(content.get("transcript") or content.get("text") or "")

    @property
    def answers(self) -> list[str]:
        """The ids of the assistant's messages, oldest first."""
        return [
            one["item"]["id"]
            for one in self.received
            if one["type"] == "response.output_item.added"
        ]

    def told(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.reports if isinstance(one, kind)]

    def types(self) -> list[str]:
        """Client events, microphone audio left out."""
        return [one["type"] for one in self.sent if one["type"] != "input_audio_buffer.append"]


def _as_input(event: PlayoutEvent) -> inputs.Input:
    match event:
        case Started(item_id, content_index, at):
            return inputs.PartStarted(item_id, content_index, at)
        case Finished(item_id, content_index):
            return inputs.PartPlayed(item_id, content_index)
        case Emitted(item_id, content_index, first, samples, at, fade):
            return inputs.PartEmitted(item_id, content_index, first, samples, at, fade)
        case Drained():
            return inputs.PlaybackDrained()


def heard_of(pair: Pair, pcm: bytes) -> int:
    """Samples of `pcm` that left the speaker, and nothing but what is in it."""
    start = bytes(pair.speaker).find(pcm[:64])
    if start < 0:
        return 0
    played = bytes(pair.speaker[start : start + len(pcm)])
    whole = next((i for i in range(0, len(played), 2) if played[i : i + 2] != pcm[i : i + 2]), None)
    if whole is None:
        return len(pcm) // 2
    # The last few milliseconds are faded and so not equal, but they are heard.
    return whole // 2 + sum(
        any(played[i : i + 2]) for i in range(whole, whole + 2 * FADE_SAMPLES, 2)
    )


def remembers_what_was_heard(pair: Pair, item_id: str, pcm: bytes) -> int:
    """To the millisecond; gives the samples."""
    heard = heard_of(pair, pcm)
    remembered = pair.remembered(item_id)
    if heard < SAMPLES_PER_MS:
        assert not remembered
        return heard
    assert remembered is not None
    assert pcm.startswith(remembered)
    # The quietest samples of a fade-out round to nothing.
    assert 0 <= heard + 4 - len(remembered) // 2 < SAMPLES_PER_MS + 4
    return heard


def after_a_question(**more: Any) -> Pair:
    pair = Pair(words=["Go forward ten meters."], **more)
    pair.pass_ms(200)
    pair.say(clip("goforward"))
    assert pair.asked.messages[-1].text == "Go forward ten meters."
    return pair


# ---------------------------------------------------------------------------------------- turns


def test_a_spoken_turn_is_answered_and_heard_whole() -> None:
    pair = after_a_question()
    pcm = speech(1500)
    pair.answer(("Going forward.", pcm))
    pair.pass_ms(2000)
    assert heard_of(pair, pcm) == len(pcm) // 2
    assert pair.remembered(pair.answers[0]) == pcm
    assert pair.types() == ["session.update"]
    (user,) = [one for one in pair.told(UserReport) if one.final]
    last = pair.told(AssistantReport)[-1]
    assert (user.text, last.text, last.final, last.heard_ms, last.interrupted) == (
        "Go forward ten meters.", "Going forward.", True, 1500, False,
    )  # fmt: skip
    assert pair.conversation.phase == "listening"
    assert not pair.told(ErrorReport)


def test_many_turns_are_each_answered_once() -> None:
    pair = Pair(words=[f"Question {number}." for number in range(4)])
    for number in range(4):
        pair.say(clip("cards_001"))
        pcm = speech(700, number)
        pair.answer((f"Answer {number}.", pcm))
        pair.pass_ms(1000)
        assert pair.remembered(pair.answers[number]) == pcm
    assert pair.types() == ["session.update"]
    said = [(one.role, one.text) for one in pair.asked.messages if one.role != "system"]
    assert said == [
        ("user", "Question 0."), ("assistant", "Answer 0."),
        ("user", "Question 1."), ("assistant", "Answer 1."),
        ("user", "Question 2."), ("assistant", "Answer 2."),
        ("user", "Question 3."),
    ]  # fmt: skip


def test_a_typed_question_is_answered_aloud() -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("What is it?"))
    assert pair.asked.messages[-1].text == "What is it?"
    pcm = speech(400)
    pair.answer(("It is this.", pcm))
    pair.pass_ms(600)
    assert heard_of(pair, pcm) == len(pcm) // 2
    assert pair.types() == ["session.update", "conversation.item.create", "response.create"]


def test_push_to_talk_commits_and_asks() -> None:
    pair = Pair(MANUAL, words=["Go forward."])
    pair.pass_ms(500, clip("goforward"))
    assert "input_audio_buffer.append" not in [one["type"] for one in pair.sent]
    pair.give(inputs.TalkPressed())
    pair.pass_ms(1000, clip("goforward"))
    pair.give(inputs.TalkReleased())
    pair.pass_ms(400)
    assert pair.asked.messages[-1].text == "Go forward."
    assert pair.types() == [
        "session.update", "input_audio_buffer.clear", "input_audio_buffer.commit",
        "response.create",
    ]  # fmt: skip
    pcm = speech(500)
    pair.answer(("Yes.", pcm))
    pair.pass_ms(700)
    assert pair.remembered(pair.answers[0]) == pcm


def test_a_tap_on_push_to_talk_is_no_turn_and_no_error() -> None:
    pair = Pair(MANUAL)
    pair.give(inputs.TalkPressed())
    pair.give(inputs.TalkReleased())
    pair.pass_ms(600)
    assert pair.types() == ["session.update", "input_audio_buffer.clear",
                            "input_audio_buffer.clear"]  # fmt: skip
    assert not pair.told(ErrorReport)


# -------------------------------------------------------------------------------------- barge-in


@pytest.mark.parametrize("is_done", [False, True], ids=["while-generating", "after-done"])
def test_after_a_barge_in_the_server_remembers_what_was_heard(is_done: bool) -> None:
    pair = after_a_question()
    pcm = speech(6000)
    pair.answer(("I will tell you all of it. ", pcm[: len(pcm) // 2]),
                ("And then some more.", pcm[len(pcm) // 2 :]), finish=is_done)  # fmt: skip
    pair.pass_ms(1220)
    pair.say(clip("cards_001"))
    heard = remembers_what_was_heard(pair, pair.answers[0], pcm)
    assert 1200 * SAMPLES_PER_MS < heard < 2000 * SAMPLES_PER_MS
    (cut,) = pair.told(BargeInReport)
    assert cut.heard_ms == heard // SAMPLES_PER_MS
    assert (cut.by, cut.received_ms) == ("voice", 6000)
    assert pair.types() == ["session.update", "conversation.item.truncate"]
    assert not pair.told(ErrorReport)
    pcm = speech(800, 7)
    pair.answer(("The next answer.", pcm))
    pair.pass_ms(1000)
    assert heard_of(pair, pcm) == len(pcm) // 2


def test_audio_that_is_still_made_after_a_barge_in_is_not_heard() -> None:
    pair = after_a_question()
    pcm, late = speech(3000), speech(3000, 1)
    pair.answer(("A long answer. ", pcm), finish=False)
    job = pair.asked.job
    pair.pass_ms(500)
    pair.pass_ms(300, clip("cards_001"))
    assert jobs.CancelAnswer(job) in pair.jobs
    pair.tell_engine(jobs.AnswerText(job, "It goes on."))
    pair.tell_engine(jobs.AnswerAudio(job, late))
    pair.pass_ms(4000)
    assert heard_of(pair, late) == 0
    remembers_what_was_heard(pair, pair.answers[0], pcm)


@pytest.mark.parametrize("how", ["key", "text", "talk"])
def test_other_interruptions_leave_the_same_memory(how: str) -> None:
    pair = Pair(MANUAL if how == "talk" else AUTOMATIC)
    pair.give(inputs.TextTyped("Tell me."))
    pcm = speech(4000)
    pair.answer(("Here is the story.", pcm), finish=how != "key")
    pair.pass_ms(740)
    pair.give(
        {
            "key": inputs.InterruptPressed(),
            "text": inputs.TextTyped("Stop."),
            "talk": inputs.TalkPressed(),
        }[how]
    )
    pair.pass_ms(500)
    heard = remembers_what_was_heard(pair, pair.answers[0], pcm)
    assert 740 * SAMPLES_PER_MS <= heard <= 760 * SAMPLES_PER_MS
    assert not pair.told(ErrorReport)


def test_an_answer_of_which_nothing_was_heard_is_forgotten() -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("Tell me."))
    pair.answer(("Here is the story.", speech(2000)))
    pair.give(inputs.TextTyped("No, something else."))
    assert pair.remembered(pair.answers[0]) is None
    said = [(one.role, one.text) for one in pair.asked.messages if one.role != "system"]
    assert said == [("user", "Tell me."), ("user", "No, something else.")]
    assert not pair.told(ErrorReport)


def test_words_that_were_not_heard_are_not_remembered() -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("Count."))
    pair.answer(("One two three. ", speech(1000)), ("Four five six.", speech(1000, 1)))
    pair.pass_ms(500)
    pair.give(inputs.InterruptPressed())
    assert "Four" not in pair.text_remembered(pair.answers[0])
    last = pair.told(AssistantReport)[-1]
    assert last.interrupted
    assert "Four" not in last.heard_text


def test_a_gap_in_playback_is_not_counted_as_heard() -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("Count."))
    first, second = speech(300), speech(3000, 1)
    pair.answer(("One. ", first), finish=False)
    pair.pass_ms(1000)
    pair.answer(("Two.", second))
    pair.pass_ms(200)
    pair.give(inputs.InterruptPressed())
    pair.pass_ms(100)
    remembered = pair.remembered(pair.answers[0])
    assert remembered is not None
    heard_ms = 300 + heard_of(pair, second) // SAMPLES_PER_MS
    assert abs(len(remembered) // 2 // SAMPLES_PER_MS - heard_ms) <= 1


@settings(max_examples=15, deadline=None)
@given(
    moments=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    ways=st.lists(st.sampled_from(["key", "text", "wait"]), min_size=5, max_size=5),
    finish=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_whenever_and_however_one_interrupts_the_memory_is_true(
    moments: list[int], ways: list[str], finish: list[bool]
) -> None:
    pair = Pair()
    pair.give(inputs.TextTyped("Begin."))
    spoken: dict[str, bytes] = {}
    for number, moment in enumerate(moments):
        pcm = speech(400, number)
        pair.answer((f"Answer {number}.", pcm), finish=finish[number])
        spoken[pair.answers[-1]] = pcm
        pair.pass_ms(20 * moment)
        if ways[number] == "key":
            pair.give(inputs.InterruptPressed())
        if ways[number] == "wait":
            if not finish[number]:
                pair.tell_engine(jobs.AnswerFinished(pair.asked.job))
            pair.pass_ms(600)
        pair.give(inputs.TextTyped("Go on."))
        pair.pass_ms(20)
    for item_id, pcm in spoken.items():
        remembers_what_was_heard(pair, item_id, pcm)
    assert not pair.told(ErrorReport)
    assert len(pair.answers) == len(moments)


def test_quiet_is_not_taken_for_speech() -> None:
    pair = Pair()
    pair.say(silence(1000))
    assert [one["type"] for one in pair.received] == ["session.created", "session.updated"]
