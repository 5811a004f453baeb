"""Scripts played with an engine whose models are fakes, on a clock that leaps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import pytest
from engine_fakes import clip
from helpers_fast import AUTOMATIC, no_models, on_engine
from hypothesis import given
from hypothesis import strategies as st

from voicecli import inputs
from voicecli.actions import Send
from voicecli.audio.files import NullSpeaker
from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.audio.scripted import ScriptedMicrophone
from voicecli.config import problem_with
from voicecli.conversation import Conversation, Options
from voicecli.cues import ends_of
from voicecli.demo import noises
from voicecli.demo.expect import Verdict
from voicecli.demo.fast import LeapingLoop, LineLink
from voicecli.demo.junit import junit_xml
from voicecli.demo.outcome import Log, Outcome, Part, percentile, percentiles, total_of
from voicecli.demo.run import Hands, Performance, Sound, sound_of
from voicecli.demo.script import Given, read_script
from voicecli.demo.steps import Noise, Place, Speech, Words
from voicecli.engine.inprocess import Engine
from voicecli.protocol.events import SessionUpdate
from voicecli.protocol.settings import SessionSettings
from voicecli.session import Session
from voicecli.tools.functions import Functions
from voicecli.ui.lines import NoScreen

HEARD = {"goforward": "Tell me a story.", "cards_001": "Hello.", "cards_005": "Thank you."}
CLIPS = {"story": "goforward", "hello": "cards_001", "thanks": "cards_005"}
MANUAL = SessionSettings(turn_detection=None, transcription_model="whisper-1")


class _Library:
    """No files."""

    def read(self, path: str) -> str:
        raise AssertionError(path)

    def beside(self, name: str, source: str) -> str:
        return name

    def exists(self, path: str) -> bool:
        return True


class _Clips:
    """Says each word of a script by a recording of a person."""

    def speech(self, speech: Speech) -> Sound:
        assert isinstance(speech, Words)
        return sound_of(clip(CLIPS[speech.text]))

    def noise(self, noise: Noise) -> bytes:
        return b"" if noise.kind == "off" else b"\x10\x00" * 480


@dataclass
class Steps:
    """What happened, step by step."""

    all: list[tuple[float, Any, Any]] = field(default_factory=list)

    def stepped(self, an_input: Any, at: float, actions: Any) -> None:
        self.all.append((at, an_input, actions))

    def frames_lost(self, count: int, at: float) -> None: ...

    def ended(self, at: float, finish: Any, dropped_frames: int, underflows: int) -> None: ...

    def times_of(self, kind: type[Any]) -> list[float]:
        return [at for at, one, _ in self.all if isinstance(one, kind)]


@dataclass
class Played:
    performance: Performance
    log: Log
    steps: Steps

    @property
    def verdicts(self) -> list[Verdict]:
        return self.performance.verdicts(is_real_time=False)

    @property
    def problems(self) -> dict[int, str]:
        return {one.step: one.problem for one in self.performance.acted if one.problem}

    def at(self, step: int) -> float:
        return next(one.began_at for one in self.performance.acted if one.step == step)

    def ended_at(self, step: int) -> float:
        return next(one.ended_at for one in self.performance.acted if one.step == step)


def play(text: str, settings: SessionSettings = AUTOMATIC) -> Played:
    """Play a script whose `say` texts are names of clips."""
    mode = 'vad.mode = "none"\n' if settings.turn_detection is None else ""
    text = f"[session]\n{mode}{text}"
    script = read_script(text, "t.toml", Given(_Library(), problem_with))

    async def main(engine: Engine, loop: LeapingLoop) -> Played:
        async with AsyncExitStack() as stack:
            link = LineLink(await stack.enter_async_context(engine.line()))
            microphone, speaker = ScriptedMicrophone(), NullSpeaker(clock=loop.time)
            stack.push_async_callback(microphone.close)
            stack.push_async_callback(speaker.close)
            conversation = Conversation(Options(settings=settings, linger_s=0.5))
            log, steps = Log(conversation), Steps()
            hands = Hands(
                conversation=conversation,
                microphone=microphone,
                heard=speaker.heard,
                deliver_in=lambda s, an_input: loop.call_later(s, session.deliver, an_input),
                opened_at=link.opened_at,
                changes=_changes,
            )
            performance = Performance(script, _Clips(), hands)
            session = Session(
                conversation=conversation, connection=link, microphone=microphone,
                speaker=speaker, screen=NoScreen(), tools=Functions(),
                observers=[log, steps, performance], clock=loop.time,
            )  # fmt: skip
            await session.run()
            return Played(performance, log, steps)

    played: Played = on_engine(no_models(**HEARD), main)
    return played


def _changes(values: Mapping[str, object]) -> dict[str, Any]:
    assert values == {"vad.mode": "none"}
    return {"audio": {"input": {"turn_detection": None}}}


def step(text: str) -> str:
    return f"[[step]]\n{text}\n"


STORY = step('say = "story"')


# -------------------------------------------------------------------------------------- the acts


def test_an_interruption_begins_to_the_sample_when_so_much_was_heard():
    played = play(STORY + step('interrupt.say = "thanks"\ninterrupt.heard_ms = 1234'))
    runs = [one for _, one, _ in played.steps.all if isinstance(one, inputs.PartEmitted)]
    began_at = played.at(1)
    heard = sum(
        max(0.0, min(began_at - run.sounds_at, run.samples / WIRE_RATE_HZ))
        for run in runs
        if run.sounds_at < began_at
    )
    assert heard == pytest.approx(1.234, abs=0.001)
    assert [line.text for line in played.log.said if line.by == "user"] == [
        "Tell me a story.", "Thank you.",
    ]  # fmt: skip
    assert played.performance.is_through


def test_an_interruption_at_a_word_begins_when_that_word_was_heard():
    played = play(
        STORY
        + step("expect.heard.contains = 'stone pier'\nexpect.heard.absent = 'Ada'")
        + step('interrupt.say = "thanks"\ninterrupt.at_word = "PIER."')
    )
    assert [one.came for one in played.verdicts if not one.passed] == []
    assert played.problems == {}


def test_a_word_that_is_not_in_the_answer_is_a_problem_and_the_act_is_done_all_the_same():
    played = play(step('say = "hello"') + step('interrupt = { say = "thanks", at_word = "tide" }'))
    assert "'tide' was not in it" in played.problems[1]
    assert [one.text for one in played.log.said][-1] == "You are welcome."
    assert [one.passed for one in played.verdicts] == [False]


def test_an_answer_that_is_too_short_to_be_interrupted_is_a_problem():
    played = play(step('say = "hello"') + step('interrupt = { say = "thanks", heard_ms = 60000 }'))
    assert played.problems[1].startswith("the answer was over after ")


def test_an_interruption_so_long_after_the_answer_began():
    played = play(STORY + step('interrupt.press = "esc"\ninterrupt.after_ms = 700'))
    began_at = next(
        one.sounds_at for _, one, _ in played.steps.all if isinstance(one, inputs.PartStarted)
    )
    assert played.at(1) - began_at == pytest.approx(0.7, abs=0.001)
    assert played.log.said[-1].is_cut


def test_acts_follow_each_other_at_once_and_wait_holds_the_next_one_back():
    played = play(step('say = "hello"') + step('wait = "answer"') + step('say = "thanks"'))
    assert played.at(1) == pytest.approx(played.ended_at(0), abs=0.021)
    assert played.at(2) == pytest.approx(played.ended_at(1), abs=0.051)
    assert [one.text for one in played.log.said] == [
        "Hello.", "Hello! What can I do for you?", "Thank you.", "You are welcome.",
    ]  # fmt: skip


def test_what_is_said_at_once_begins_with_a_frame_however_late_the_clock_is():
    played = play(step("wait.seconds = 0.5") + step('say = "hello"'))
    lead = sound_of(clip(CLIPS["hello"])).lead_s
    frames = (played.at(1) - lead) / 0.02
    assert frames == pytest.approx(round(frames), abs=1e-4)


def test_push_to_talk_is_held_while_something_is_said():
    played = play(step('press.say = "hello"'), MANUAL)
    (pressed_at,) = played.steps.times_of(inputs.TalkPressed)
    (released_at,) = played.steps.times_of(inputs.TalkReleased)
    assert (pressed_at, released_at) == pytest.approx((played.at(0), played.ended_at(0)), abs=1e-3)
    assert played.log.said[0].text == "Hello."


def test_a_press_holds_until_it_is_released():
    played = play(
        step('press = "space"') + step('say = "hello"') + step("wait.seconds = 1")
        + step('release = "space"') + step("expect.turns = 1"),
        MANUAL,
    )  # fmt: skip
    (pressed_at,) = played.steps.times_of(inputs.TalkPressed)
    (released_at,) = played.steps.times_of(inputs.TalkReleased)
    said = sound_of(clip(CLIPS["hello"])).voice_s
    assert released_at - pressed_at == pytest.approx(1.0 + said, abs=0.1)
    assert [one.passed for one in played.verdicts] == [True]


def test_a_text_is_typed_and_answered():
    played = play(step('type = "What is 2 + 2?"'))
    assert [one.text for one in played.log.said] == ["What is 2 + 2?", "2 plus 2 is 4."]


# ------------------------------------------------------------------------------- all other steps


def test_notes_and_other_asides_change_nothing_of_what_waits_for_the_answer():
    played = play(
        step('say = "hello"') + step('note = "Look."') + step("mute = true") + step("mute = false")
        + step('noise = "off"') + step("expect.answered = true") + step('wait = "answer"')
    )  # fmt: skip
    noticed = [one for _, one, _ in played.steps.all if isinstance(one, inputs.Noticed)]
    assert noticed == [inputs.Noticed("Look.", "note")]
    assert len(played.steps.times_of(inputs.MuteToggled)) == 2
    assert played.problems == {}
    assert [one.step for one in played.performance.acted] == list(range(7))


def test_a_mute_that_is_in_force_already_presses_nothing():
    played = play(step("mute = false") + step('say = "hello"'))
    assert played.steps.times_of(inputs.MuteToggled) == []


def test_what_is_said_while_muted_is_not_answered_and_the_talk_ends_soon():
    played = play(step("mute = true") + step('say = "hello"') + step("expect.answered = false"))
    assert [one.passed for one in played.verdicts] == [True]


def test_settings_are_changed_and_the_next_step_waits_for_the_server():
    played = play(
        step('set = { vad.mode = "none" }') + step('press.say = "hello"')
        + step('expect.session.vad.mode = "none"')
    )  # fmt: skip
    updates = [
        one.event.session for _, _, actions in played.steps.all for one in actions
        if isinstance(one, Send) and isinstance(one.event, SessionUpdate)
    ]  # fmt: skip
    assert updates[1] == {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    assert played.problems == {}
    assert [one.passed for one in played.verdicts] == [True]
    assert played.log.said[0].text == "Hello."


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        ('wait = "thinking"', 0.0),
        ('wait = { said = "lantern", timeout_s = 1.5 }', 1.5),
        ('wait = { tool = "weather", timeout_s = 3 }', 3.0),
    ],
)
def test_a_wait_that_comes_to_nothing_fails_and_the_script_goes_on(wait: str, seconds: float):
    played = play(step('say = "hello"') + step(wait) + step('type = "Bye."'))
    assert played.performance.is_through
    if seconds:
        assert played.problems[1].endswith(f"within {seconds:g} s")
        assert played.ended_at(1) - played.at(1) == pytest.approx(seconds, abs=0.021)
    else:
        assert played.problems == {}


def test_a_wait_for_words_is_over_when_they_were_heard():
    played = play(STORY + step("wait.said = 'end of a long'") + step('interrupt.press = "esc"\n'
                  "interrupt.heard_ms = 0"))  # fmt: skip
    said = [line.text for line in played.log.said if line.by == "assistant"]
    assert said[0].endswith(("long", "stone"))


def test_the_user_words_can_be_waited_for():
    played = play(step('say = "hello"') + step('wait = { said = "^hello", by = "user" }'))
    assert played.problems == {}


def test_the_same_script_goes_the_same_way_each_time():
    text = STORY + step('interrupt = { say = "thanks", at_word = "lighthouse" }')
    first, second = (play(text) for _ in range(2))
    assert first.log == second.log or first.log.said == second.log.said
    assert first.performance.acted == second.performance.acted
    assert first.verdicts == second.verdicts


# --------------------------------------------------------------------------------- words and sound


@given(st.lists(st.sampled_from(["the", "tide", "it's", "Über", "3"]), min_size=1, max_size=8))
def test_words_are_found_where_they_end_whatever_stands_between_them(words: list[str]):
    text = ", ".join(words)
    ends = ends_of(words[-1].upper(), text)
    assert ends[-1] == len(text)
    assert len(ends) == words.count(words[-1])


def test_words_inside_of_words_are_not_found():
    assert ends_of("tide", "Tidewater, the tides.") == []
    assert ends_of("the tide", "the - TIDE!") == [len("the - TIDE")]


def test_a_sound_tells_where_its_voice_is():
    pcm = bytes(4800) + (1000).to_bytes(2, "little") * 2400 + bytes(9600)
    sound = sound_of(pcm)
    assert (sound.lead_s, sound.voice_s) == (0.1, 0.2)


def test_noise_is_as_loud_as_it_is_to_be_and_the_same_each_time():
    speech = (3000).to_bytes(2, "little") * 24_000
    for make in (noises.white, noises.pink):
        assert make() == make()
        scaled = noises.scaled(make(), [bytes(48_000) + speech], 20.0)
        level = _rms(scaled)
        assert level == pytest.approx(300, rel=0.05)


def test_babble_and_a_loop_of_a_recording_have_no_click_at_their_ends():
    voice = clip("goforward")
    babble = noises.babble([voice, voice])
    assert len(babble) == round(noises.SECONDS * WIRE_RATE_HZ) * 2
    looped = noises.looped((2000).to_bytes(2, "little") * 24_000)
    assert set(looped[:2] + looped[-2:]) <= set((2000).to_bytes(2, "little"))


def test_a_cough_is_short():
    assert 0.2 < len(noises.cough()) / 2 / WIRE_RATE_HZ < 0.6


def _rms(pcm: bytes) -> float:
    import numpy as np

    return float(np.sqrt(np.mean(np.square(np.frombuffer(pcm, "<i2").astype("f8")))))


# ------------------------------------------------------------------------------------- the results


def verdict(passed: bool = True, *, came: str = "it said 'No.'", skipped: bool = False) -> Verdict:
    return Verdict(Place("t.toml", 7), 2, "the assistant says 'tide'", passed, came, skipped)


def outcome(*verdicts: Verdict, failure: str = "", run: int = 1, **more: Any) -> Outcome:
    part = Part("t.toml", "Tide", tuple(verdicts), Log(seconds=2.5), failure)
    return Outcome("tide", (part,), run=run, **more)


def test_an_outcome_has_failed_when_a_verdict_or_the_talk_has():
    assert outcome(verdict()).has_passed
    assert outcome(verdict(False)).failures == [
        "t.toml:7: the assistant says 'tide': it said 'No.'"
    ]
    assert outcome(failure="connection lost").failures == ["t.toml: connection lost"]
    assert not outcome(was_stopped=True).has_passed


def test_the_total_counts_runs_and_what_was_expected():
    total = total_of([outcome(verdict(), verdict(False)), outcome(verdict(), run=2)], 3.21)
    assert {key: total[key] for key in ("runs", "passed", "expected", "failed")} == {
        "runs": 2, "passed": 1, "expected": 3, "failed": 1,
    }  # fmt: skip
    json.dumps(total)


@pytest.mark.parametrize(
    ("numbers", "share", "value"), [([5], 90, 5), ([1, 2, 3, 4], 50, 2), (range(1, 101), 90, 90)]
)
def test_a_percentile_is_one_of_the_numbers(numbers: Any, share: float, value: int):
    assert percentile(list(numbers), share) == value
    assert percentiles([]) is None


HOSTILE = "\x1b[2J\x00 <&>\"' \ud800 \uffff \u200b é"


def test_junit_is_valid_xml_with_a_case_for_each_expectation_whatever_was_said():
    text = junit_xml(
        [
            outcome(verdict(), verdict(False, came=HOSTILE), verdict(skipped=True)),
            outcome(failure=HOSTILE, run=2),
        ],
        4.0,
    )
    root = ElementTree.fromstring(text)
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    first, second = root.findall("testsuite")
    assert [case.get("name") for case in first] == [
        "7: the assistant says 'tide'"] * 3 + ["is played to its end"]  # fmt: skip
    failure = first.find("testcase/failure")
    assert failure is not None
    assert "<&>" in str(failure.get("message"))
    assert second.get("name") == "tide #2"


@given(st.text())
def test_junit_holds_any_text(text: str):
    ElementTree.fromstring(junit_xml([outcome(verdict(False, came=text), failure=text)], 0.0))
