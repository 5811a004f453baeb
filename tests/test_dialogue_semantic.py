"""semantic_vad: turns that end when the judge says so, when the limit is over, or not yet."""

from collections.abc import Callable

import pytest
from engine_fakes import Shown, Talk, clip, only, silence, types

from voicecli.engine.dialogue.hearing import JUDGE_LIMIT_S
from voicecli.engine.dialogue.jobs import CancelJudgement, Judged, JudgeTurn, Tick
from voicecli.engine.dialogue.patience import PATIENCE

STOPPED = "input_audio_buffer.speech_stopped"
STARTED = "input_audio_buffer.speech_started"
SPOKEN_MS = len(clip()) // 48


def talk_with(eagerness: str = "medium") -> Talk:
    detection = {"type": "semantic_vad", "eagerness": eagerness}
    return Talk({"audio": {"input": {"turn_detection": detection}}})


def judge(talk: Talk, probability: float | None) -> list[Shown]:
    return talk.give(Judged(talk.job(JudgeTurn).job, probability))


def judged_by(talk: Talk, verdict: Callable[[JudgeTurn], float | None], pcm: bytes) -> list[Shown]:
    """Append audio while a judge answers at once."""
    told = []
    for start in range(0, len(pcm), 960):
        told += talk.hear(pcm[start : start + 960])
        while jobs := [job for job in talk.take_jobs() if isinstance(job, JudgeTurn)]:
            for job in jobs:
                told += talk.give(Judged(job.job, verdict(job)))
    return told


@pytest.mark.parametrize("eagerness", ["low", "medium", "auto", "high"])
def test_a_judge_who_is_sure_ends_the_turn_after_the_least_silence(eagerness: str) -> None:
    talk = talk_with(eagerness)
    told = judged_by(talk, lambda _: 0.99, clip() + silence(1000))
    end_ms = only(told, STOPPED)["audio_end_ms"]
    least_ms = PATIENCE[eagerness].least_ms
    assert SPOKEN_MS - 400 + least_ms <= end_ms <= SPOKEN_MS + least_ms + 40


@pytest.mark.parametrize(
    ("eagerness", "limit_ms"), [("low", 8000), ("medium", 4000), ("high", 2000)]
)
def test_a_judge_who_says_no_is_overruled_after_the_limit(eagerness: str, limit_ms: int) -> None:
    talk = talk_with(eagerness)
    told = judged_by(talk, lambda _: 0.0, clip() + silence(limit_ms + 500))
    end_ms = only(told, STOPPED)["audio_end_ms"]
    assert SPOKEN_MS - 400 + limit_ms <= end_ms <= SPOKEN_MS + limit_ms + 40


@pytest.mark.parametrize(("eagerness", "silence_ms"), [("low", 1200), ("auto", 600), ("high", 300)])
def test_without_a_judge_the_silence_alone_ends_the_turn(eagerness: str, silence_ms: int) -> None:
    talk = talk_with(eagerness)
    told = judged_by(talk, lambda _: None, clip() + silence(silence_ms + 500))
    end_ms = only(told, STOPPED)["audio_end_ms"]
    assert SPOKEN_MS - 400 + silence_ms <= end_ms <= SPOKEN_MS + silence_ms + 40


def test_speech_that_resumes_keeps_the_turn() -> None:
    talk = talk_with()
    told = judged_by(talk, lambda _: 0.1, clip() + silence(1500) + clip() + silence(200))
    assert types(told).count(STARTED) == 1
    assert STOPPED not in types(told)


def test_a_verdict_on_a_silence_that_is_over_ends_nothing_later() -> None:
    talk = talk_with()
    talk.hear(clip() + silence(320))
    assert STOPPED not in types(judge(talk, 0.2))
    talk.hear(clip())
    # A second silence asks anew, and waits as if there had been no first one.
    talk.take_jobs()
    talk.hear(silence(600))
    assert STOPPED in types(judge(talk, 0.9))


def test_audio_that_comes_while_the_judge_thinks_is_looked_at_afterwards() -> None:
    at_once, late = talk_with(), talk_with()
    audio = clip() + silence(2000) + clip("cards_001") + silence(1000)
    prompt = [one for one in judged_by(at_once, lambda _: 0.95, audio) if "audio" in one["type"]]
    told = late.hear(audio)
    while jobs := [job for job in late.take_jobs() if isinstance(job, JudgeTurn)]:
        (job,) = jobs
        told += late.give(Judged(job.job, 0.95))
    places = [(one["type"], one.get("audio_start_ms"), one.get("audio_end_ms")) for one in prompt]
    assert [
        (one["type"], one.get("audio_start_ms"), one.get("audio_end_ms"))
        for one in told
        if "audio" in one["type"]
    ] == places
    assert types(told).count(STOPPED) == 2


def test_the_judge_is_shown_the_turn_up_to_the_silence_and_at_most_eight_seconds() -> None:
    talk = talk_with()
    talk.hear(silence(500) + clip() + silence(400))
    shown_ms = len(talk.job(JudgeTurn).pcm16k) // 32
    assert SPOKEN_MS <= shown_ms <= SPOKEN_MS + 300 + 400
    lengths_ms = []

    def not_over(job: JudgeTurn) -> float:
        lengths_ms.append(len(job.pcm16k) // 32)
        return 0.0

    judged_by(talk_with(), not_over, clip("jfk") + silence(1000))
    assert max(lengths_ms) == 8000


def test_a_judge_who_takes_too_long_is_not_waited_for() -> None:
    talk = talk_with()
    talk.at = 10.0
    talk.hear(clip() + silence(900))
    assert talk.dialogue.next_timer() == 10.0 + JUDGE_LIMIT_S
    talk.at = 10.0 + JUDGE_LIMIT_S * 0.9
    assert talk.give(Tick()) == []
    talk.at = 10.0 + JUDGE_LIMIT_S
    assert STOPPED in types(talk.give(Tick()))
    assert CancelJudgement(talk.job(JudgeTurn).job) in talk.jobs
    assert talk.dialogue.next_timer() is None
    assert STOPPED not in types(judge(talk, 0.99))


def test_a_verdict_that_was_given_up_is_not_taken_for_a_later_one() -> None:
    talk = talk_with()
    talk.hear(clip() + silence(400))
    late = talk.job(JudgeTurn)
    talk.at = JUDGE_LIMIT_S
    talk.give(Tick())
    talk.hear(clip() + silence(400))
    assert talk.job(JudgeTurn) != late
    assert talk.give(Judged(late.job, 0.99)) == []
    assert STOPPED in types(judge(talk, 0.99))


@pytest.mark.parametrize("act", ["commit", "clear"])
def test_a_turn_that_the_client_ends_needs_no_judge_any_more(act: str) -> None:
    talk = talk_with()
    talk.hear(clip() + silence(400))
    job = talk.job(JudgeTurn)
    talk.send(f"input_audio_buffer.{act}")
    assert CancelJudgement(job.job) in talk.jobs
    assert talk.give(Judged(job.job, 0.99)) == []
    assert talk.dialogue.next_timer() is None


def test_a_commit_takes_the_audio_that_came_while_the_judge_was_thinking() -> None:
    talk = talk_with()
    talk.hear(clip() + silence(1300))
    talk.take_jobs()
    talk.send("input_audio_buffer.commit")
    (heard,) = [job for job in talk.jobs if hasattr(job, "pcm16k")]
    assert abs(len(heard.pcm16k) // 32 - (SPOKEN_MS + 1300)) <= 300 + 20


def test_other_rules_in_the_middle_of_a_judgement_forget_the_turn() -> None:
    talk = talk_with()
    talk.hear(clip() + silence(400))
    job = talk.job(JudgeTurn)
    detection = {"type": "server_vad"}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    talk.send("session.update", session=session)
    assert CancelJudgement(job.job) in talk.jobs
    assert talk.give(Judged(job.job, 0.99)) == []


def test_server_vad_asks_no_judge() -> None:
    talk = Talk()
    talk.hear(clip() + silence(1000))
    assert not [job for job in talk.jobs if isinstance(job, JudgeTurn)]
