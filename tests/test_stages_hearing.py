"""The jobs of the ears and of the judge, on real threads."""

from __future__ import annotations

import logging
import queue
import threading
import weakref
from typing import Any

import pytest
from engine_fakes import FakeEars, FakeMind, FakeVoice

from voicecli.engine.dialogue.jobs import (
    Answer,
    AnswerText,
    Input,
    Judged,
    JudgeTurn,
    Transcribe,
    Transcribed,
    TranscriptionFailed,
)
from voicecli.engine.dialogue.messages import Message
from voicecli.engine.ears.ears import EarsByLanguage
from voicecli.engine.ears.judge import MODEL
from voicecli.engine.stages import Models, Stages, Workshop
from voicecli.errors import LanguageNotHeard, ModelError

PCM = bytes(3200)


class GatedEars:
    """Says when it was asked, and waits to be let go."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def transcribe(self, samples: Any, *, language: str = "") -> str:
        self.asked.release()
        self.go.acquire(timeout=10)
        return "heard"


class EnglishEars:
    def transcribe(self, samples: Any, *, language: str = "") -> str:
        if language not in ("", "en"):
            raise LanguageNotHeard(f"not {language}", "pull more")
        return "English"


class Judge:
    def __init__(self, verdict: float | Exception) -> None:
        self._verdict = verdict

    def probability(self, samples: Any) -> float:
        if isinstance(self._verdict, Exception):
            raise self._verdict
        return self._verdict


class Bench:
    """The stages of one connection, and what they deliver."""

    def __init__(self, ears: Any = None, **more: Any) -> None:
        models = Models(ears or FakeEars("words"), FakeMind(), FakeVoice(), **more)
        self.workshop = Workshop(lambda: models)
        self.workshop.models()
        self.results: queue.SimpleQueue[Input] = queue.SimpleQueue()
        self.stages = Stages(self.workshop, self.results.put)

    def result(self) -> Input:
        return self.results.get(timeout=10)


def test_a_verdict_comes_back() -> None:
    bench = Bench(judge=Judge(0.75))
    bench.stages.run(JudgeTurn("judge_1", PCM))
    assert bench.result() == Judged("judge_1", 0.75)


@pytest.mark.filterwarnings("ignore")
def test_a_judge_who_fails_is_no_judge(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(judge=Judge(RuntimeError("broken")))
    with caplog.at_level(logging.ERROR):
        bench.stages.run(JudgeTurn("judge_1", PCM))
        assert bench.result() == Judged("judge_1", None)
    assert "the judge of turns failed" in caplog.text


def test_without_a_judge_the_log_says_once_how_to_get_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            bench.stages.run(JudgeTurn(f"judge_{number}", PCM))
            assert bench.result() == Judged(f"judge_{number}", None)
    assert caplog.text.count(f"voicecli models pull {MODEL}") == 1


def test_when_no_model_can_be_loaded_there_is_no_judge_either() -> None:
    def fails() -> Models:
        raise ModelError("no weights")

    workshop = Workshop(fails)
    results: queue.SimpleQueue[Input] = queue.SimpleQueue()
    Stages(workshop, results.put).run(JudgeTurn("judge_1", PCM))
    assert results.get(timeout=10) == Judged("judge_1", None)


def test_captions_are_left_out_while_others_wait_for_the_ears() -> None:
    ears = GatedEars()
    bench = Bench(ears)
    other = Stages(bench.workshop, bench.results.put)
    bench.stages.run(Transcribe("ears_1", PCM))
    assert ears.asked.acquire(timeout=10)
    bench.stages.run(Transcribe("ears_2", PCM, is_caption=True))
    other.run(Transcribe("ears_3", PCM))
    other.run(Transcribe("ears_4", PCM))
    ears.go.release(4)
    told = [bench.result() for _ in range(4)]
    assert [one for one in told if isinstance(one, TranscriptionFailed)] == [
        TranscriptionFailed("ears_2", "the ears are busy", "busy")
    ]
    assert {one.job for one in told if isinstance(one, Transcribed)} == {
        "ears_1",
        "ears_3",
        "ears_4",
    }


def test_captions_are_made_when_nobody_waits() -> None:
    bench = Bench()
    bench.stages.run(Transcribe("ears_1", PCM, is_caption=True))
    assert bench.result() == Transcribed("ears_1", "words")


def test_slow_ears_make_no_captions() -> None:
    bench = Bench()
    bench.stages.run(Transcribe("ears_1", PCM, language="de", is_caption=True))
    assert isinstance(bench.result(), TranscriptionFailed)


def test_ears_that_cost_something_make_no_captions() -> None:
    bench = Bench(captions=False)
    bench.stages.run(Transcribe("ears_1", PCM, is_caption=True))
    assert isinstance(bench.result(), TranscriptionFailed)


def test_a_language_that_is_not_understood_has_a_code_of_its_own() -> None:
    bench = Bench(EnglishEars())
    bench.stages.run(Transcribe("ears_1", PCM, language="de"))
    assert bench.result() == TranscriptionFailed(
        "ears_1", "not de (pull more)", "language_not_supported", "invalid_request_error"
    )
    bench.stages.run(Transcribe("ears_2", PCM, language="en"))
    assert bench.result() == Transcribed("ears_2", "English")


class TestEarsByLanguage:
    def test_english_and_what_nobody_named_go_to_the_quick_ears(self) -> None:
        ears = EarsByLanguage(FakeEars("quick"), lambda: pytest.fail("not needed"))
        for language in ("", "en"):
            assert ears.transcribe([], language=language) == "quick"

    def test_other_languages_go_to_the_others_which_are_loaded_once(self) -> None:
        made = []

        def others() -> FakeEars:
            made.append(1)
            return FakeEars("langsam")

        ears = EarsByLanguage(FakeEars("quick"), others)
        for language in ("de", "fr"):
            assert ears.transcribe([], language=language) == "langsam"
        assert made == [1]

    def test_others_that_cannot_be_loaded_understand_nothing(self) -> None:
        def others() -> FakeEars:
            raise ModelError("ctranslate2 is not installed", "install it")

        ears = EarsByLanguage(FakeEars("quick"), others)
        with pytest.raises(LanguageNotHeard, match="ctranslate2"):
            ears.transcribe([], language="de")


def test_a_connection_that_left_in_the_middle_of_an_answer_is_not_kept() -> None:
    go = threading.Semaphore(1)
    mind = FakeMind("One. ", "Two.", go=go)
    workshop = Workshop(lambda: Models(FakeEars("words"), mind, FakeVoice()))
    results: queue.SimpleQueue[Input] = queue.SimpleQueue()
    stages, is_gone = Stages(workshop, results.put), threading.Event()
    weakref.finalize(stages, is_gone.set)
    message = Message("user", "Hello.")
    stages.run(Answer("resp_1", (message,), spoken=True, voice="marin", speed=1.0))
    assert isinstance(results.get(timeout=10), AnswerText)
    stages.close()
    del stages
    go.release()
    assert is_gone.wait(timeout=10)
    workshop.close()
