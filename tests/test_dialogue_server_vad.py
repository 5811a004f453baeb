"""server_vad: what each of its fields does."""

import base64

import numpy as np
import pytest
from engine_fakes import Shown, Talk, clip, error, only, silence, types

from voicecli.engine.dialogue.jobs import Answer, Tick, Transcribe, Transcribed
from voicecli.engine.dialogue.replies import MAX_ANSWERS

STARTED = "input_audio_buffer.speech_started"
STOPPED = "input_audio_buffer.speech_stopped"
SPOKEN_MS = len(clip()) // 48


def detecting(**fields: object) -> Shown:
    return {"audio": {"input": {"turn_detection": {"type": "server_vad", **fields}}}}


def quieter(pcm: bytes, db: float) -> bytes:
    samples = np.frombuffer(pcm, "<i2") * 10 ** (-db / 20)
    noise = np.random.default_rng(0).standard_normal(len(samples)) * 3
    return (samples + noise).astype("<i2").tobytes()


def onset_ms(talk: Talk) -> int:
    start_ms: int = only(talk.seen, STARTED)["audio_start_ms"]
    return start_ms


@pytest.mark.parametrize("padding_ms", [0, 100, 300, 1000])
def test_the_prefix_padding_is_audio_before_the_onset_and_is_in_the_item(padding_ms: int) -> None:
    plain = Talk(detecting(prefix_padding_ms=0))
    padded = Talk(detecting(prefix_padding_ms=padding_ms))
    for talk in (plain, padded):
        talk.hear(silence(2000) + clip() + silence(700))
    assert onset_ms(plain) - onset_ms(padded) == padding_ms
    stopped = only(padded.seen, STOPPED)
    item = padded.send("conversation.item.retrieve", item_id=stopped["item_id"])[0]["item"]
    audio = base64.b64decode(item["content"][0]["audio"])
    assert len(audio) // 48 == stopped["audio_end_ms"] - onset_ms(padded)
    before = audio[: 48 * max(0, padding_ms - 40)]
    assert before == bytes(len(before))


def test_padding_reaches_back_no_further_than_the_beginning() -> None:
    talk = Talk(detecting(prefix_padding_ms=5000))
    talk.hear(silence(200) + clip())
    assert onset_ms(talk) == 0


def test_padding_takes_nothing_of_the_turn_before() -> None:
    talk = Talk(detecting(prefix_padding_ms=5000, silence_duration_ms=200))
    talk.hear(clip() + silence(600) + clip() + silence(600))
    ends = [one["audio_end_ms"] for one in talk.seen if one["type"] == STOPPED]
    starts = [one["audio_start_ms"] for one in talk.seen if one["type"] == STARTED]
    assert len(starts) == 2
    assert starts[1] == ends[0]


@pytest.mark.parametrize("silence_ms", [200, 300, 500, 700, 1500])
def test_a_turn_ends_after_the_silence_asked_for_which_it_includes(silence_ms: int) -> None:
    talk = Talk(detecting(silence_duration_ms=silence_ms))
    talk.hear(clip("cards_001") + silence(silence_ms - 60))
    talk.hear(silence(460))
    end_ms = only(talk.seen, STOPPED)["audio_end_ms"]
    spoken_ms = len(clip("cards_001")) // 48
    assert spoken_ms + silence_ms - 200 <= end_ms <= spoken_ms + silence_ms + 40


def test_a_higher_threshold_needs_louder_speech() -> None:
    speech = silence(500) + clip() + silence(1000)
    heard = {}
    for threshold in (0.0, 0.5, 1.0):
        for db in (0, 12, 24, 36):
            talk = Talk(detecting(threshold=threshold))
            talk.hear(quieter(speech, db))
            heard[threshold, db] = STARTED in types(talk.seen)
    counts = [sum(heard[threshold, db] for db in (0, 12, 24, 36)) for threshold in (0.0, 0.5, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", -0.1),
        ("threshold", 1.1),
        ("prefix_padding_ms", -1),
        ("silence_duration_ms", -1),
        ("idle_timeout_ms", 4999),
        ("idle_timeout_ms", 30_001),
        ("eagerness", "high"),
        ("create_response", "yes"),
    ],
)
def test_values_that_the_api_does_not_allow_are_refused(field: str, value: object) -> None:
    talk = Talk()
    told = talk.send("session.update", session={"type": "realtime", **detecting(**{field: value})})
    assert error(told)["param"] == f"session.audio.input.turn_detection.{field}"


@pytest.mark.parametrize("field", ["threshold", "silence_duration_ms", "idle_timeout_ms"])
def test_fields_of_server_vad_are_no_fields_of_semantic_vad(field: str) -> None:
    detection = {"type": "semantic_vad", field: 1}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    told = Talk().send("session.update", session=session)
    assert error(told)["code"] == "unknown_parameter"


def answered(talk: Talk, at: float, ms: int) -> None:
    talk.at = at
    talk.ask()
    talk.answer("Yes.", ms_each=ms)


def test_the_idle_time_is_counted_from_where_the_answer_has_been_played() -> None:
    talk = Talk(detecting(idle_timeout_ms=6000))
    answered(talk, 100.0, ms=3000)
    assert talk.dialogue.next_timer() == 109.0


def test_before_the_first_answer_nobody_is_idle() -> None:
    talk = Talk(detecting(idle_timeout_ms=5000))
    talk.hear(silence(8000))
    assert talk.dialogue.next_timer() is None


def test_the_idle_time_is_that_of_the_audio_of_the_event() -> None:
    talk = Talk(detecting(idle_timeout_ms=5000))
    talk.hear(silence(9000))
    answered(talk, 10.0, ms=1000)
    talk.hear(silence(6000))
    talk.at = 16.0
    timeout = only(talk.give(Tick()), "input_audio_buffer.timeout_triggered")
    assert (timeout["audio_start_ms"], timeout["audio_end_ms"]) == (10_000, 15_000)
    committed = only(talk.seen, "input_audio_buffer.committed")
    assert committed["item_id"] == timeout["item_id"]


def test_who_types_is_not_idle() -> None:
    talk = Talk(detecting(idle_timeout_ms=5000))
    answered(talk, 10.0, ms=1000)
    talk.at = 12.0
    talk.ask("And now?")
    assert talk.dialogue.next_timer() is None
    talk.answer("Yes.", ms_each=1000)
    assert talk.dialogue.next_timer() == 18.0


def test_the_idle_timeout_can_be_switched_off() -> None:
    talk = Talk(detecting(idle_timeout_ms=5000))
    answered(talk, 10.0, ms=1000)
    session = {"type": "realtime", **detecting(idle_timeout_ms=None)}
    talk.send("session.update", session=session)
    assert talk.dialogue.next_timer() is None
    assert talk.give(Tick()) == []


def test_what_was_not_committed_is_kept_when_turns_become_manual() -> None:
    talk = Talk()
    talk.hear(silence(400) + clip())
    start_ms = onset_ms(talk)
    manual = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    talk.send("session.update", session=manual)
    committed = talk.send("input_audio_buffer.commit")[0]
    item = talk.send("conversation.item.retrieve", item_id=committed["item_id"])[0]["item"]
    kept_ms = len(base64.b64decode(item["content"][0]["audio"])) // 48
    assert kept_ms >= 400 + SPOKEN_MS - start_ms
    assert not [job for job in talk.jobs if isinstance(job, Answer)]


def test_an_answer_that_waits_is_given_although_the_one_to_the_next_turn_is_refused() -> None:
    talk = Talk(detecting(interrupt_response=False))
    talk.hear(silence(300) + clip() + silence(700))
    first = talk.job(Transcribe).job
    talk.send("response.create")
    talk.hear(clip() + silence(700))
    second = talk.job(Transcribe).job
    assert talk.give(Transcribed(first, "One.")) == []
    refused = error(talk.give(Transcribed(second, "Two.")))
    assert refused["code"] == "conversation_already_has_active_response"
    assert [one.text for one in talk.job(Answer).messages[1:]] == ["One.", "Two."]


def test_the_idle_timeout_comes_once_when_there_is_no_room_for_an_answer() -> None:
    talk = Talk(detecting(idle_timeout_ms=5000))
    answered(talk, 10.0, ms=1000)
    for _ in range(MAX_ANSWERS):
        talk.send("response.create", response={"conversation": "none", "input": []})
    talk.at = 16.0
    assert types(talk.give(Tick()))[-1] == "error"
    assert talk.dialogue.next_timer() is None
    assert talk.give(Tick()) == []


def test_the_idle_time_is_not_counted_from_an_answer_out_of_band() -> None:
    talk = Talk(detecting(idle_timeout_ms=5000))
    talk.say("Hello.")
    talk.send("response.create", response={"conversation": "none"})
    talk.answer("Aside.", ms_each=1000)
    assert talk.dialogue.next_timer() is None


def test_an_answer_asked_for_takes_the_place_of_the_one_that_was_to_come() -> None:
    talk = Talk(detecting())
    talk.hear(clip() + silence(700))
    assert types(talk.send("response.create")) == ["response.created"]
    told = talk.give(Transcribed(talk.job(Transcribe).job, "Go."))
    assert "error" not in types(told)
    assert [one for one in talk.seen if one["type"] == "response.created"] == talk.seen[-1:]
    talk.answer("Yes.")
    assert types(talk.seen).count("response.created") == 1


def test_an_answer_out_of_band_may_have_another_voice() -> None:
    talk = Talk()
    talk.ask()
    talk.answer("Yes.")
    other = {"audio": {"output": {"voice": "ash"}}}
    refused = talk.send("response.create", response=other)
    assert error(refused)["code"] == "cannot_update_voice"
    told = talk.send("response.create", response={**other, "conversation": "none"})
    created = only(told, "response.created")["response"]
    assert created["audio"]["output"]["voice"] == "ash"
