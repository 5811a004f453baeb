"""What is kept of a talk, what expectations make of it, and recordings turned into scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers_conversation import (
    AUTOMATIC,
    announced,
    audio,
    audio_done,
    call,
    committed,
    created,
    done,
    error,
    heard_user,
    message,
    said,
    session_created,
    session_updated,
    speech_started,
    speech_stopped,
)
from helpers_recording import Exchange, Maker, spoken_frames

from voicecli import inputs
from voicecli.actions import Finish, StopPlayback
from voicecli.audio.pcm import SILENT_FRAME
from voicecli.audio.playback import Heard
from voicecli.config import Config, problem_with, public_values
from voicecli.conversation import Conversation, Options
from voicecli.demo.confirmed import confirmed
from voicecli.demo.expect import Verdict, judge
from voicecli.demo.script import Given, read_script
from voicecli.demo.steps import Script
from voicecli.demo.transcribed import script_of, spoken_turns
from voicecli.demo.witness import Acted, Facts, Witness
from voicecli.demo.words import word_errors, words_of
from voicecli.protocol import events
from voicecli.protocol.events import Event
from voicecli.protocol.objects import Item, Session
from voicecli.protocol.settings import ServerVad
from voicecli.recording.files import Recording
from voicecli.recording.rerun.turns import user_of


class Nowhere:
    """No files at all."""

    def read(self, path: str) -> str:
        raise AssertionError(path)

    def beside(self, name: str, source: str) -> str:
        return name

    def exists(self, path: str) -> bool:
        return False


def read(text: str) -> Script:
    return read_script(text, "it.toml", Given(Nowhere(), problem_with))


def script(*steps: str, end: str = "") -> Script:
    text = "".join(f"[[step]]\n{step}\n" for step in steps)
    return read(f"{text}[expect]\n{end}\n" if end else text)


class Stage:
    """A conversation that a witness sees, with server, speaker and clock played by hand."""

    def __init__(self) -> None:
        self.witness = Witness()
        self.at = 0.0
        self._conversation = Conversation(Options(settings=AUTOMATIC))
        self.feed(session_created(), session_updated(ServerVad().to_wire()))

    def feed(self, *given: Event | inputs.Input, at: float | None = None) -> None:
        self.at = self.at if at is None else at
        for one in given:
            an_input = inputs.Received(one) if isinstance(one, Event) else one
            actions = self._conversation.handle(an_input, self.at)
            self.witness.stepped(an_input, self.at, actions)
            self._is_stopping = StopPlayback() in actions

    def ask(self, number: int, text: str, *, at: float) -> None:
        """The user speaks for a second, beginning 0.1 s before the server notices."""
        user = f"U{number}"
        self.feed(speech_started(user), at=at + 0.1)
        self.feed(speech_stopped(user), committed(user), at=at + 1.3)
        self.feed(heard_user(user, text), at=at + 1.4)

    def answer(self, number: int, text: str, ms: int, *, at: float) -> None:
        """An answer that begins to be heard at once; all of it has come by then."""
        item, response = f"A{number}", f"R{number}"
        self.feed(created(response), announced(item, response), at=at)
        self.feed(said(item, text, response), audio(item, ms, response))
        self.feed(audio_done(item, response), done(response, message(item, text=text)))
        self.feed(inputs.PartStarted(item, 0, at))

    def hear(self, number: int, ms: int, *, since: float) -> None:
        """So much of an answer was heard without a gap."""
        self.feed(inputs.PartEmitted(f"A{number}", 0, 0, ms * 24, since), at=since + ms / 1000)

    def hear_all(self, number: int, ms: int, *, since: float) -> None:
        self.hear(number, ms, since=since)
        self.feed(inputs.PartPlayed(f"A{number}", 0))

    def stop(self, number: int, heard_ms: int, of_ms: int, *, since: float) -> None:
        """The speaker falls silent, as it was told to."""
        assert self._is_stopping
        self.feed(inputs.PlaybackStopped((Heard(f"A{number}", 0, of_ms * 24, heard_ms * 24),)))
        self.hear(number, heard_ms, since=since)

    def end(self, reason: str = "finished") -> None:
        self.witness.ended(self.at, Finish(reason), 0, 0)


TIDE = "The tide comes in because the moon pulls at the sea, and so does the sun."


def cut_talk() -> Stage:
    """A question, an answer of 5 s that is cut off after 2 s, and the answer to that."""
    stage = Stage()
    stage.ask(1, "What makes the tide?", at=1.0)
    stage.answer(1, TIDE, 5000, at=2.5)
    stage.feed(speech_started("U2"), at=4.4)
    stage.stop(1, 2000, 5000, since=2.5)
    stage.feed(speech_stopped("U2"), committed("U2"), heard_user("U2", "Stop it!"), at=5.0)
    stage.answer(2, "All right.", 800, at=5.5)
    stage.hear_all(2, 800, since=5.5)
    stage.end()
    return stage


CUT = [
    'say = "What makes the tide?"',
    'interrupt.say = "Stop it."\ninterrupt.heard_ms = 1800',
    'wait = "answer"',
]
CUT_ACTED = [Acted(0, 1.0, 2.0), Acted(2, 4.3, 4.8), Acted(4, 4.8, 6.3)]


def judged_cut(first: str, second: str, end: str = "") -> list[Verdict]:
    """The talk above, with an expectation of each exchange."""
    ask, interrupt, wait = CUT
    played = script(ask, f"expect.{first}", interrupt, f"expect.{second}", wait, end=end)
    return judge(played, cut_talk().witness.facts(played, CUT_ACTED))


def outcome(verdict: Verdict) -> tuple[bool, str, str]:
    return verdict.passed, verdict.wanted, verdict.came


# ------------------------------------------------------------------------------------- the verdicts


@pytest.mark.parametrize(
    ("expectation", "passed", "wanted", "came"),
    [
        ('user = "THE tide"', True, "the user is understood to say 'THE tide'",
         "it understood 'What makes the tide?'"),
        ('user = "moon"', False, "the user is understood to say 'moon'",
         "it understood 'What makes the tide?'"),
        # Whole words only.
        ('assistant = "moo"', False, "the assistant says 'moo'", f"it said {TIDE!r}"),
        ('assistant = "sea and so"', True, "the assistant says 'sea and so'", f"it said {TIDE!r}"),
        ('heard = "the tide"', True, "the user hears 'the tide'",
         "the user heard 'The tide comes in because'"),
        ('heard.absent = "sun"', True, "the user does not hear 'sun'",
         "the user heard 'The tide comes in because'"),
        ('heard.absent = "tide"', False, "the user does not hear 'tide'",
         "the user heard 'The tide comes in because'"),
        ("assistant.regex = 'M..N'", True, "the assistant says what /M..N/ finds",
         f"it said {TIDE!r}"),
        ("heard.regex = 'sun$'", False, "the user hears what /sun$/ finds",
         "the user heard 'The tide comes in because'"),
        ("user.wer_at_most = 0", True,
         "the user is understood to say what is to be said, with 0% word errors at most",
         "0%, 0 of 4 words: it understood 'What makes the tide?'"),
        ('user = { wer_at_most = 0.2, text = "Who makes tides here, sir?" }', False,
         "the user is understood to say what is to be said, with 20% word errors at most",
         "100%, 5 of 5 words: it understood 'What makes the tide?'".replace("100%, 5", "80%, 4")),
        ("answered = true", True, "an answer is heard",
         "the user heard 'The tide comes in because'"),
        ("answered = false", False, "no answer is heard",
         "the user heard 'The tide comes in because'"),
        ("interrupted = false", True, "no answer is cut off", "no answer was cut off"),
        ("interrupted_within_ms = 300", False, "the answer falls silent within 300 ms",
         "no answer was cut off"),
        ("truncated_within_ms = 5", False, "the server is told what was heard within 5 ms",
         "the server was told to cut nothing off"),
        ("turns = 1", True, "the user takes 1 turn", "there were 1: 'What makes the tide?'"),
        ("turns = 2", False, "the user takes 2 turns", "there were 1: 'What makes the tide?'"),
        ("no_errors = true", True, "nothing goes wrong", "nothing went wrong"),
        ("no_tool = true", True, "no function is called", "no function was called"),
        ('tool = "weather"', False, "weather is called", "no function was called"),
    ],
)  # fmt: skip
def test_an_exchange_is_judged_by_what_came_of_its_act(
    expectation: str, passed: bool, wanted: str, came: str
) -> None:
    first, _ = judged_cut(expectation, "turns = 1")
    assert outcome(first) == (passed, wanted, came)


@pytest.mark.parametrize(
    ("expectation", "passed", "came"),
    [
        ('user = "stop it"', True, "it understood 'Stop it!'"),
        ('user.absent = "tide"', True, "it understood 'Stop it!'"),
        ('heard = "all right"', True, "the user heard 'All right.'"),
        ('heard.absent = "tide"', True, "the user heard 'All right.'"),
        ("interrupted = true", True, "an answer was cut off"),
        ("interrupted = false", False, "an answer was cut off"),
        # The voice began at 4.3 s, and the last sound was at 4.5 s.
        ("interrupted_within_ms = 200", True, "it took 200 ms"),
        ("interrupted_within_ms = 199", False, "it took 200 ms"),
        ("truncated_within_ms = 0", True, "heard were 2000 ms, and the server was told 2000"),
    ],
)
def test_an_interruption_belongs_to_the_act_that_interrupts(
    expectation: str, passed: bool, came: str
) -> None:
    _, second = judged_cut("turns = 1", expectation)
    assert (second.passed, second.came) == (passed, came)


def test_the_end_of_the_script_is_about_the_whole_talk() -> None:
    end = 'user = ["tide", "stop"]\nheard = ["moon", "all right"]\nturns = 2\ninterrupted = true\n'
    verdicts = judged_cut("turns = 1", "turns = 1", end)[2:]
    assert [(one.passed, one.step, str(one.place)) for one in verdicts] == [
        (True, None, "it.toml:13"),
        (True, None, "it.toml:13"),
        (False, None, "it.toml:14"),
        (True, None, "it.toml:14"),
        (True, None, "it.toml:15"),
        (True, None, "it.toml:16"),
    ]
    assert verdicts[2].came == "the user heard 'The tide comes in because All right.'"


def test_a_truncation_that_tells_something_else_than_was_heard_is_found() -> None:
    stage = Stage()
    stage.ask(1, "What makes the tide?", at=1.0)
    stage.answer(1, TIDE, 5000, at=2.5)
    stage.feed(speech_started("U2"), at=4.4)
    # The speaker says 2000 ms, and what it gave were 1900.
    stage.feed(inputs.PlaybackStopped((Heard("A1", 0, 120_000, 48_000),)))
    stage.hear(1, 1900, since=2.5)
    stage.end()
    played = script(*CUT[:2], "expect.truncated_within_ms = 20")
    (verdict,) = judge(played, stage.witness.facts(played, [Acted(0, 1.0, 2.0), Acted(1, 4.3, 5)]))
    assert outcome(verdict)[::2] == (False, "heard were 1900 ms, and the server was told 2000")


def test_each_part_of_an_answer_is_truncated_by_itself() -> None:
    stage = cut_talk()
    stage.feed(inputs.PartEmitted("A1", 1, 0, 96_000, 2.0))
    played = script(*CUT[:2], "expect.truncated_within_ms = 0")
    (verdict,) = judge(played, stage.witness.facts(played, [Acted(0, 1.0, 2.0), Acted(1, 4.3, 5)]))
    assert verdict.passed


def test_what_is_seen_a_moment_before_an_act_comes_of_it_and_no_more_than_that() -> None:
    stage = Stage()
    stage.ask(1, "Hello.", at=1.0)
    stage.feed(inputs.TextTyped("First."), at=4.9)
    stage.feed(inputs.TextTyped("Second."), at=4.98)
    played = script(CUT[0], "expect.user = 'first'", 'type = "Second."', "expect.user = 'second'")
    verdicts = judge(played, stage.witness.facts(played, [Acted(0, 1.0, 2.0), Acted(2, 5.0, 5.0)]))
    assert [(one.passed, one.came) for one in verdicts] == [
        (True, "it understood 'Hello. First.'"),
        (True, "it understood 'Second.'"),
    ]


def called(arguments: str) -> Stage:
    stage = Stage()
    stage.ask(1, "What is the weather?", at=1.0)
    item = {"id": "i_c", "type": "function_call", "call_id": "c", "name": "weather"}
    wanted = Item(item | {"arguments": arguments})
    stage.feed(created("R1"), at=2.5)
    stage.feed(events.ResponseOutputItemDone(response_id="R1", item=wanted))
    stage.end()
    return stage


@pytest.mark.parametrize(
    ("arguments", "wanted", "passed"),
    [
        ('{"place": "Rome", "days": 2}', "{ place = 'Rome' }", True),
        ('{"place": "Rome", "days": 2}', "{ days = 2.0 }", True),
        ('{"place": "Rome"}', "{ place = 'rome' }", False),
        ('{"place": "Rome"}', "{ day = 1 }", False),
        ('{"on": true}', "{ on = 1 }", False),
        ('{"at": {"lat": 1, "lon": 2}}', "{ at = { lon = 2 } }", True),
        ('{"at": {"lat": 1}}', "{ at = { lon = 2 } }", False),
        ('{"at": 5}', "{ at = { lon = 2 } }", False),
        ('{"names": ["a", "b"]}', "{ names = ['a', 'b'] }", True),
        ('{"names": ["a", "b"]}', "{ names = ['a'] }", False),
        ('{"names": "a"}', "{ names = ['a'] }", False),
        ('{"place": "Ro', "{ place = 'Rome' }", False),
        ('{"place": "Ro', "{}", False),
        ("", "{}", True),
    ],
)
def test_a_call_is_compared_by_the_arguments_that_matter(
    arguments: str, wanted: str, passed: bool
) -> None:
    played = script(CUT[0], f"expect.tool = {{ name = 'weather', arguments = {wanted} }}")
    (verdict,) = judge(played, called(arguments).witness.facts(played, CUT_ACTED[:1]))
    assert verdict.passed is passed
    assert verdict.came == f"it called weather({arguments})"


def test_calls_are_told_with_what_was_wanted() -> None:
    played = script(
        CUT[0],
        'expect.tool = { name = "time", arguments = { zone = "UTC" } }',
        "expect.no_tool = true",
    )
    facts = called('{"place":"Rome"}').witness.facts(played, CUT_ACTED[:1])
    came = 'it called weather({"place":"Rome"})'
    assert [outcome(one) for one in judge(played, facts)] == [
        (False, 'time is called with {"zone": "UTC"}', came),
        (False, "no function is called", came),
    ]


def test_a_refused_call_was_not_called() -> None:
    stage = Stage()
    stage.ask(1, "Hello.", at=1.0)
    stage.feed(created("R1"), announced("A1", "R1"), audio("A1", 900, "R1"), at=2.5)
    stage.feed(speech_started("U2"), at=3.0)
    stage.feed(call("c", response_id="R1"))
    played = script(CUT[0], "expect.no_tool = true")
    (verdict,) = judge(played, stage.witness.facts(played, CUT_ACTED[:1]))
    assert verdict.passed


def test_errors_are_told_where_they_happened() -> None:
    stage = cut_talk()
    stage = Stage()
    stage.ask(1, "Hello.", at=1.0)
    stage.feed(error("rate_limit", text="too many"), at=2.0)
    stage.feed(inputs.TextTyped("Again."), at=3.0)
    stage.end()
    played = script(
        CUT[0], "expect.no_errors = true", 'type = "Again."', "expect.no_errors = true",
        end="no_errors = true",
    )  # fmt: skip
    facts = stage.witness.facts(played, [Acted(0, 1.0, 2.0), Acted(2, 3.0, 3.0)])
    assert [(one.passed, one.came) for one in judge(played, facts)] == [
        (False, "too many"),
        (True, "nothing went wrong"),
        (False, "too many"),
    ]


def test_an_answer_that_is_only_written_is_heard_by_being_read() -> None:
    stage = Stage()
    stage.feed(inputs.TextTyped("Hello."), at=1.0)
    text = [{"type": "output_text", "text": "Hello to you."}]
    written = {"id": "A1", "type": "message", "role": "assistant", "content": text}
    stage.feed(created("R1"), announced("A1", "R1"), done("R1", written), at=1.5)
    played = script('type = "Hello."', 'expect = { answered = true, heard = "hello", turns = 1 }')
    facts = stage.witness.facts(played, [Acted(0, 1.0, 1.0)])
    assert [one.passed for one in judge(played, facts)] == [True, True, True]


def test_latency_is_that_of_the_slowest_answer_and_means_nothing_where_time_is_not_real() -> None:
    played = script(
        CUT[0], "expect.answered_within_ms = 1199", "expect.answered_within_ms = 1200",
        'type = "And?"', "expect.answered_within_ms = 500",
        'type = "Well?"', "expect.answered_within_ms = 500",
        end="answered_within_ms = 1000",
    )  # fmt: skip
    stage = Stage()
    stage.ask(1, "What makes the tide?", at=1.0)
    # Nothing was heard on the microphone, so that the server's end of speech counts, at 2.3 s.
    stage.answer(1, TIDE, 500, at=3.5)
    stage.hear_all(1, 500, since=3.5)
    stage.feed(inputs.TextTyped("And?"), at=6.0)
    stage.answer(2, "Well.", 500, at=6.3)
    stage.hear_all(2, 500, since=6.3)
    stage.feed(inputs.TextTyped("Well?"), at=8.0)
    acted = [Acted(0, 1.0, 2.0), Acted(3, 6.0, 6.0), Acted(5, 8.0, 8.0)]
    real = judge(played, stage.witness.facts(played, acted))
    assert [(one.passed, one.came, one.is_skipped) for one in real] == [
        (False, "it took 1200 ms", False),
        (True, "it took 1200 ms", False),
        (True, "it took 300 ms", False),
        (False, "no answer was heard", False),
        (False, "it took 1200 ms", False),
    ]
    fast = judge(played, stage.witness.facts(played, acted, is_real_time=False))
    assert [(one.passed, one.is_skipped) for one in fast] == [(True, True)] * 5


def test_settings_are_those_that_were_confirmed_by_the_end_of_the_exchange() -> None:
    stage = Stage()
    stage.feed(inputs.TextTyped("Hello."), at=1.0)
    stage.feed(session_updated(ServerVad(silence_duration_ms=200).to_wire()), at=2.0)
    played = script(
        "expect.session.vad.silence_ms = 500",
        'type = "Hello."',
        "expect.session = { vad = { mode = 'server', silence_ms = 200 }, voice = 'cedar' }",
        "expect.session = { audio.output_format = 'pcmu' }",
    )
    facts = stage.witness.facts(played, [Acted(1, 1.0, 1.0)])
    assert [outcome(one) for one in judge(played, facts)] == [
        (True, "the server confirms vad.silence_ms = 500", "it confirmed 500"),
        (True, "the server confirms vad.mode = 'server'", "it confirmed 'server'"),
        (True, "the server confirms vad.silence_ms = 200", "it confirmed 200"),
        (False, "the server confirms voice = 'cedar'", "it confirmed 'marin'"),
        (False, "the server confirms audio.output_format = 'pcmu'",
         "the server does not tell audio.output_format"),
    ]  # fmt: skip


def test_what_was_never_reached_is_told_with_the_reason() -> None:
    stage = Stage()
    stage.ask(1, "Hello.", at=1.0)
    stage.end("time limit")
    played = script(CUT[0], 'wait = "answer"', 'type = "And?"', "expect.answered = false")
    acted = [Acted(0, 1.0, 2.0), Acted(1, 2.0, 32.0, "no answer was heard within 30 s")]
    verdicts = judge(played, stage.witness.facts(played, acted))
    assert [(one.step, *outcome(one)) for one in verdicts] == [
        (1, False, "wait 'answer'", "no answer was heard within 30 s"),
        (3, False, "no answer is heard", "the talk did not come so far: time limit"),
    ]


def test_no_session_at_all_is_told() -> None:
    played = script("expect.session.voice = 'marin'", CUT[0])
    (verdict,) = judge(played, Witness().facts(played, []))
    assert outcome(verdict)[::2] == (False, "the server has confirmed no settings")


def test_long_texts_are_shortened_in_the_middle() -> None:
    stage = Stage()
    stage.ask(1, " ".join(f"word{number}" for number in range(100)), at=1.0)
    played = script(CUT[0], 'expect.user = "other"')
    (verdict,) = judge(played, stage.witness.facts(played, CUT_ACTED[:1]))
    assert verdict.came.startswith("it understood 'word0 word1 ")
    assert " word11 … word88 " in verdict.came
    assert verdict.came.endswith(" word99'")


# ---------------------------------------------------------------------------- while it is going on


def settled(stage: Stage, played: Script, acted: Sequence[Acted]) -> list[bool]:
    facts = stage.witness.facts(played, acted)
    return [facts.is_settled(step) for step in range(len(played.steps))]


def test_an_exchange_is_settled_when_nothing_of_it_can_come_any_more() -> None:
    played = script(*CUT)
    stage = Stage()
    assert settled(stage, played, []) == [False, False, False]
    stage.ask(1, "What makes the tide?", at=1.0)
    stage.answer(1, TIDE, 5000, at=2.5)
    assert settled(stage, played, CUT_ACTED[:1]) == [False, False, False]
    # The next act has begun, and the answer is still to be heard.
    acted = [Acted(0, 1.0, 2.0), Acted(1, 4.3, 4.8)]
    assert settled(stage, played, acted) == [False, False, False]
    stage.feed(speech_started("U2"), at=4.4)
    stage.stop(1, 2000, 5000, since=2.5)
    assert settled(stage, played, acted) == [True, False, False]
    stage.end()
    assert settled(stage, played, acted) == [True, True, True]


def test_steps_may_be_judged_alone() -> None:
    played = script(CUT[0], "expect.turns = 1", "expect.turns = 7", end="turns = 1")
    stage = Stage()
    stage.ask(1, "What makes the tide?", at=1.0)
    facts = stage.witness.facts(played, CUT_ACTED[:1])
    assert [one.step for one in judge(played, facts, steps=[2])] == [2]
    assert [one.step for one in judge(played, facts)] == [1, 2, None]


# --------------------------------------------------------------------------------------- the words


def test_words_are_compared_as_one_hears_them() -> None:
    assert words_of("Don’t STOP — it’s 5 o'clock!") == ["don't", "stop", "it's", "5", "o'clock"]
    assert words_of("潮は月が") == ["潮", "は", "月", "が"]
    assert words_of("?! _") == []


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [("", "", 0), ("a b", "", 2), ("", "a b", 2), ("a b c", "a x c", 1), ("b c d", "a b c", 2)],
)
def test_word_errors_are_the_fewest_changes(one: str, other: str, count: int) -> None:
    assert word_errors(one.split(), other.split()) == count


# ------------------------------------------------------------------------------------ the settings


def test_settings_are_read_from_both_shapes_of_a_session() -> None:
    ga = Session(
        {
            "model": "m",
            "instructions": "Be brief.",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
                    "noise_reduction": {"type": "near_field"},
                    "transcription": {"model": "whisper-1", "language": "en"},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "ash"},
            },
        }
    )
    values = {
        "model": "m",
        "voice": "ash",
        "instructions": "Be brief.",
        "vad.mode": "semantic",
        "vad.eagerness": "low",
        "audio.input_format": "pcmu",
        "audio.output_format": "pcm",
        "audio.noise_reduction": "near_field",
        "transcription": "whisper-1",
        "language": "en",
    }
    assert confirmed(ga) == values
    beta = Session(
        {
            "model": "m",
            "voice": "ash",
            "instructions": "Be brief.",
            "modalities": ["audio"],
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "pcm16",
            "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
            "input_audio_noise_reduction": {"type": "near_field"},
            "input_audio_transcription": {"model": "whisper-1", "language": "en"},
        }
    )
    assert confirmed(beta) == values
    quiet = {"noise_reduction": None, "transcription": None, "turn_detection": None}
    assert confirmed(Session({"audio": {"input": quiet}})) == {
        "vad.mode": "none",
        "audio.noise_reduction": "off",
        "transcription": "off",
        "language": "",
    }
    waiting = {"type": "server_vad", "idle_timeout_ms": None, "silence_duration_ms": 300}
    assert confirmed(Session({"audio": {"input": {"turn_detection": waiting}}})) == {
        "vad.mode": "server",
        "vad.idle_timeout_ms": 0,
        "vad.silence_ms": 300,
    }


# ------------------------------------------------------------------------------------- recordings


def transcribed(path: Path) -> str:
    with Recording.open(path) as recording:
        return script_of(recording, path.name, public_values(Config()))


def facts_of(path: Path, played: Script) -> Facts:
    """A recording as its own witness."""
    from voicecli.recording.fold import Fold

    witness = Witness()
    with Recording.open(path) as recording:
        turns = user_of(recording).turns
        for step in Fold(recording).steps(audio=False):
            witness.stepped(step.an_input, step.at, step.actions)
    acts = [place for place, step in enumerate(played.steps) if "recording" in step.text]
    acted = [
        Acted(act, turn.begins_at - 0.3, turn.ends_at)
        for act, turn in zip(acts, turns, strict=True)
    ]
    return witness.facts(played, acted)


def test_a_recording_becomes_a_script_whose_expectations_it_meets(tmp_path: Path) -> None:
    path = Maker(tmp_path / "talk").talk(16, [Exchange(1.0, 6000), Exchange(4.0), Exchange(11.0)])
    text = transcribed(path)
    assert (
        text
        == (
            "# Made of the recording talk.\n\n"
            '[demo]\ntitle = "After the recording talk"\n\n'
            '[session]\nserver = "made"\nvad.silence_ms = 500\n\n'
            "[[step]]\nwait.seconds = 0.90\n\n"
            '[[step]]\nsay.recording = "talk"\nsay.turn = 1\n'
            'say.text = "what makes the tide come in number 1"\n\n'
        )
        + text.partition('number 1"\n\n')[2]
    )
    played = read(text)
    interrupt = next(step for step in played.steps if step.text.startswith("interrupt"))
    assert "heard_ms" in interrupt.text
    verdicts = judge(played, facts_of(path, played))
    assert [(one.wanted, one.passed) for one in verdicts] == [
        # Of words before a cut the last one is an estimate.
        ("the user hears 'the tide comes'", True),
        ("the answer is cut off", True),
        ("the user hears 'the tide comes in'", True),
        ("nothing goes wrong", True),
    ]


def manual_talk(path: Path) -> Path:
    """Typed, pressed and muted; what is typed looks like all that TOML and scripts have."""
    maker = Maker(path / "keys")
    maker.open()
    for at, an_input in [
        (1.0, inputs.TextTyped('Is "{place}" a\nvariable, {{x}}, \\d or \x1b\x7f? # no')),
        (3.0, inputs.MuteToggled()),
        (5.0, inputs.MuteToggled()),
        (7.0, inputs.InterruptPressed()),
    ]:
        maker.at = at
        maker.step(an_input)
    maker.step(inputs.Noticed("out of memory", "audio"))
    maker.quit()
    return path / "keys"


def test_keys_and_odd_texts_survive_and_errors_are_not_expected_to_be_absent(
    tmp_path: Path,
) -> None:
    text = transcribed(manual_talk(tmp_path))
    played = read(text)
    assert [step.text for step in played.steps if not step.text.startswith("wait")] == [
        "type 'Is \"{place}\" a variable, {{x}}, \\\\d or \\x1b\\x7f? # no'",
        "mute true",
        "mute false",
        "press 'esc'",
    ]
    assert played.at_end == ()
    assert "no_errors" not in text


def ticks(maker: Maker, seconds: float, frames: Sequence[bytes] = ()) -> None:
    """Let time pass; the microphone gives these frames, and then silence."""
    for number in range(round(seconds / 0.02)):
        maker.at = round(maker.at + 0.02, 6)
        maker.step(inputs.MicFrame(frames[number] if number < len(frames) else SILENT_FRAME))
        maker.play_out()


def answered(maker: Maker, number: int, ms: int) -> None:
    """The server answers, and all of it comes at once."""
    item, response = f"item_{number}", f"resp_{number}"
    for event in (
        created(response), announced(item, response), said(item, "At your service.", response),
        audio(item, ms, response), audio_done(item, response),
        done(response, message(item, text="At your service.")),
    ):  # fmt: skip
        maker.step(inputs.Received(event))


def test_push_to_talk_becomes_push_to_talk(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "talk")
    maker.at = 0.1
    maker.step(inputs.Received(session_created()))
    maker.step(inputs.Received(session_updated(None)))
    ticks(maker, 1.0)
    maker.step(inputs.TalkPressed())
    ticks(maker, 1.5, spoken_frames())
    maker.step(inputs.TalkReleased())
    ticks(maker, 1.0)
    maker.step(inputs.Received(committed("U1")))
    maker.step(inputs.Received(heard_user("U1", "Go forward.")))
    answered(maker, 1, 600)
    ticks(maker, 3.0)
    maker.quit()
    text = transcribed(tmp_path / "talk")
    assert 'vad.mode = "none"\n' in text
    assert (
        '[[step]]\npress.say.recording = "talk"\npress.say.turn = 1\n'
        'press.say.text = "Go forward."\n\n'
        "# Heard: At your service.\n"
        '[[step]]\nexpect.heard.contains = "at your service"\n'
    ) in text
    assert [step.text for step in read(text).steps][1:] == [
        "press say recording 'talk', say turn 1, say text 'Go forward.'",
        "expect heard contains 'at your service'",
    ]


def test_who_is_greeted_first_waits_for_the_greeting(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "talk")
    maker.open()
    answered(maker, 1, 600)
    ticks(maker, 2.0)
    maker.step(inputs.TextTyped("Hello."))
    answered(maker, 2, 2000)
    ticks(maker, 1.0)
    maker.step(inputs.MuteToggled())
    ticks(maker, 3.0)
    maker.quit()
    steps = read(transcribed(tmp_path / "talk")).steps
    assert [step.text for step in steps] == [
        "wait 'speaking'",
        "wait 'listening'",
        "wait seconds 1.49",
        "type 'Hello.'",
        "expect heard contains 'at your service'",
        "wait 'speaking'",
        "mute true",
    ]


def test_nobody_waits_for_an_answer_to_the_key_that_interrupts(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "talk")
    maker.open()
    maker.step(inputs.TextTyped("Hello."))
    answered(maker, 1, 3000)
    ticks(maker, 1.0)
    maker.step(inputs.InterruptPressed())
    ticks(maker, 5.0)
    maker.step(inputs.TextTyped("Well."))
    answered(maker, 2, 1000)
    ticks(maker, 2.0)
    maker.quit()
    steps = read(transcribed(tmp_path / "talk")).steps
    texts = [step.text for step in steps]
    at = next(place for place, text in enumerate(texts) if text.startswith("interrupt press 'esc'"))
    assert "wait 'answer'" not in texts[at:]
    assert "type 'Well.'" in texts[at:]


@pytest.mark.parametrize(
    ("config", "lines"),
    [
        (
            {"vad.mode": "semantic", "vad.eagerness": "low", "vad.silence_ms": 300},
            ['vad.mode = "semantic"', 'vad.eagerness = "low"'],
        ),
        (
            {"vad.mode": "server", "vad.silence_ms": 300, "audio.output_format": "pcmu",
             "local.mind": "rules", "tools": "my\ntools.py"},
            ["vad.silence_ms = 300", 'audio.output_format = "pcmu"',
             "# The model could call the functions in my tools.py:", '# tools = "my\\ntools.py"'],
        ),
        ({"transcription": "off", "unheard.of": 1}, ['transcription = "off"']),
        (
            {"barge_in.mode": "local", "barge_in.hold_ms": 300, "recording.path": "/there"},
            ['barge_in.mode = "local"', "barge_in.hold_ms = 300"],
        ),
        ({"barge_in.hold_ms": 300}, []),
    ],
)  # fmt: skip
def test_settings_that_are_not_as_usual_are_taken_over(
    tmp_path: Path, config: dict[str, object], lines: list[str]
) -> None:
    path = manual_talk(tmp_path)
    events_file = path / "events.jsonl"
    first, _, rest = events_file.read_bytes().partition(b"\n")
    header = json.loads(first) | {"config": config, "model": "m"}
    events_file.write_bytes(json.dumps(header).encode() + b"\n" + rest)
    text = transcribed(path)
    session = text.partition("[session]\n")[2].partition("\n\n")[0]
    assert session.splitlines() == ['server = "made"', 'model = "m"', *lines]
    assert read(text).session


def test_turns_are_counted_as_they_were_spoken(tmp_path: Path) -> None:
    path = Maker(tmp_path / "talk").talk(16, [Exchange(1.0), Exchange(9.0)])
    with Recording.open(path) as recording:
        user = user_of(recording)
    assert spoken_turns(user) == [turn for turn in user.turns if turn.sounds]
    assert len(spoken_turns(user)) == 2
