from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.errors import ConfigError
from voicecli.protocol.objects import Usage
from voicecli.recording.export.talk import Call, Facts, Latency, Notice, Said, Talk
from voicecli.recording.rerun.compare import Comparison, Stretch, compare, plain, wording
from voicecli.recording.shelf.prices import cost_of, prices_from
from voicecli.reports import SummaryReport

SAID = {
    "turn": 1, "speaker": "user", "item_id": "i", "text": "", "heard_text": "", "unheard_text": "",
    "by": "voice", "is_spoken": True, "begins_at": None, "ends_at": None, "runs": [],
    "heard_ms": 0, "received_ms": 0, "interrupted": False, "interrupted_by": "", "is_over": True,
    "latency": None, "call": None,
}  # fmt: skip


NO_TOKENS = Usage()


def said(turn: int, text: str, speaker: str = "user", **more: Any) -> Said:
    return Said(**(SAID | {"turn": turn, "text": text, "speaker": speaker} | more))


def answer(turn: int, text: str, first_sound_ms: int | None = None, **more: Any) -> Said:
    latency = Latency(
        speech_stopped_ms=None, response_created_ms=None, first_delta_ms=None,
        first_sound_ms=first_sound_ms,
    )  # fmt: skip
    return said(turn, text, "assistant", latency=latency, **more)


def called(turn: int, arguments: str, output: str = "") -> Said:
    call = Call(call_id="c", name="time", arguments=arguments, output=output, failed=False)
    return said(turn, "", "tool", call=call)


def talk(*rows: Said, usage: Usage = NO_TOKENS, settings: Any = None, error: str = "") -> Talk:
    facts = Facts(
        name="one", created="", program="", server="s", url="", model="m", voice="", session_id="",
        audio="none", seconds=1.0, ended_suddenly=False, error="", source="",
        settings=settings or {}, warnings=[],
    )  # fmt: skip
    summary = SummaryReport(
        reason="quit", turns=0, interruptions=0, seconds=1.0, dropped_frames=0, underflows=0,
        latency_ms=None, input_tokens=0, output_tokens=0, total_tokens=0, cached_tokens=0,
    )  # fmt: skip
    notices = [Notice(at=0.0, kind="error", message=error, code="", source="server")]
    return Talk(
        facts=facts, rows=list(rows), notices=notices if error else [], summary=summary, usage=usage
    )


def users(*texts: str, first: int = 1) -> Talk:
    return talk(*(said(number, text) for number, text in enumerate(texts, first)))


def numbers(a: Talk, b: Talk) -> list[tuple[int | None, int | None]]:
    return [(turn.number.a, turn.number.b) for turn in compare(a, b).turns]


def only(comparison: Comparison) -> Any:
    (turn,) = comparison.turns
    return turn


# ------------------------------------------------------------------------------- what is a pair


def test_equal_talks_do_not_differ():
    rows = (said(1, "hello there"), answer(1, "hi", 300), called(1, "{}"))
    comparison = compare(talk(*rows), talk(*rows))
    assert not comparison.differs
    assert comparison.settings == []
    assert numbers(talk(*rows), talk(*rows)) == [(1, 1)]


def test_a_turn_that_was_left_out_moves_no_other():
    a = users("good morning", "what time is it now", "thank you very much")
    b = users("good morning", "thank you very much")
    assert numbers(a, b) == [(1, 1), (2, None), (3, 2)]
    assert numbers(b, a) == [(1, 1), (None, 2), (2, 3)]


def test_turns_with_other_words_between_two_that_are_alike_go_by_their_order():
    a = users("good morning", "completely misheard here", "thank you very much")
    b = users("good morning", "quite another sentence", "thank you very much")
    assert numbers(a, b) == [(1, 1), (2, 2), (3, 3)]


def test_turns_without_words_go_by_their_order():
    assert numbers(users("", "", ""), users("", "")) == [(1, 1), (2, 2), (3, None)]


def test_a_turn_that_the_other_server_split_goes_with_the_part_that_is_most_like_it():
    a = users("ask what you can do for your country", "yes")
    b = users("ask what", "you can do for your country", "yes")
    assert numbers(a, b) == [(None, 1), (1, 2), (2, 3)]


def test_what_was_said_before_anybody_spoke_is_no_turn_of_the_users():
    greeting = answer(0, "how can I help")
    a, b = talk(greeting, said(1, "")), talk(said(1, ""))
    assert numbers(a, b) == [(0, None), (1, 1)]
    assert numbers(b, a) == [(None, 0), (1, 1)]
    assert numbers(a, a) == [(0, 0), (1, 1)]


def test_talks_without_a_word_have_no_turns():
    assert compare(talk(), talk()).turns == []


TEXTS = st.lists(st.sampled_from(["", "yes", "no", "what time is it", "what is it"]), max_size=6)


@given(TEXTS, TEXTS)
def test_every_turn_is_in_exactly_one_pair_and_in_order(a, b):
    pairs = numbers(users(*a), users(*b))
    assert [one for one, _ in pairs if one is not None] == list(range(1, len(a) + 1))
    assert [one for _, one in pairs if one is not None] == list(range(1, len(b) + 1))


# ------------------------------------------------------------------------------------ the words


def test_the_words_that_differ_are_found():
    assert wording("ask not what", "ask now, what else").words == [
        Stretch(True, "ask", "ask"),
        Stretch(False, "not", "now,"),
        Stretch(True, "what", "what"),
        Stretch(False, "", "else"),
    ]
    assert wording("ask not what", "ask now, what else").changed == 2


def test_capitals_and_punctuation_make_no_difference_and_are_shown_as_they_are():
    told = wording("And so, my friend.", "and so my Friend")
    assert told.changed == 0
    assert told.words == [Stretch(True, "And so, my friend.", "and so my Friend")]


def test_words_that_are_said_all_the_time_are_compared_like_others():
    assert wording("the cat " * 200, "the cat " * 100 + "a dog " + "the cat " * 100).changed == 2


def test_a_sign_that_stands_alone_is_a_word():
    assert wording("2 + 2", "2 - 2").changed == 1


def test_texts_that_are_too_long_to_compare_differ_as_a_whole():
    a, b = "a " * 3000, "a " * 2999
    assert wording(a, b).words == [Stretch(False, a.strip(), b.strip())]
    assert wording(a, a).changed == 0


@given(st.text(alphabet="ab ,.A", max_size=30), st.text(alphabet="ab ,.A", max_size=30))
def test_both_texts_can_be_read_off_the_words(a, b):
    told = wording(a, b)
    assert " ".join(one.a for one in told.words if one.a) == " ".join(a.split())
    assert " ".join(one.b for one in told.words if one.b) == " ".join(b.split())
    assert (told.changed == 0) == all(one.same for one in told.words)


# ----------------------------------------------------------------------------- what else differs


def test_latencies_are_told_by_turn_and_as_median_and_95th_percentile():
    a = talk(*(answer(number, "", number * 10) for number in range(1, 21)))
    b = talk(*(answer(number, "", number * 20) for number in range(1, 21)))
    comparison = compare(a, b)
    assert comparison.turns[4].latency_ms.a == 50
    assert comparison.turns[4].latency_ms.b == 100
    assert (comparison.latencies.a.median_ms, comparison.latencies.a.p95_ms) == (105, 190)
    assert comparison.latencies.b.answers == 20
    assert comparison.slower_percent == 100
    assert not comparison.differs


def test_a_talk_without_latencies_is_not_slower_or_faster():
    assert compare(talk(answer(1, "", 100)), talk()).slower_percent is None
    assert compare(talk(), talk(answer(1, "", 100))).slower_percent is None


def test_an_interruption_in_one_of_them_is_a_difference():
    cut = answer(1, "well", heard_ms=10, received_ms=90, interrupted=True, interrupted_by="key")
    comparison = compare(talk(cut), talk(answer(1, "well")))
    assert comparison.differs
    turn = only(comparison)
    assert (turn.cut.a.heard_ms, turn.cut.a.received_ms, turn.cut.a.by) == (10, 90, "key")
    assert turn.cut.b is None


def test_the_place_of_an_interruption_is_told_and_is_no_difference():
    cuts = [answer(1, "well", heard_ms=ms, received_ms=90, interrupted=True) for ms in (10, 20)]
    comparison = compare(talk(cuts[0]), talk(cuts[1]))
    assert not comparison.differs
    assert only(comparison).cut.b.heard_ms == 20


@pytest.mark.parametrize(
    ("a", "b", "differ"),
    [
        ('{"x": 1, "y": 2}', '{"y":2,"x":1}', False),
        ('{"x": 1}', '{"x": 2}', True),
        ("not json", "not json", False),
        ("not json", "{}", True),
    ],
)
def test_arguments_are_compared_by_what_they_say(a, b, differ):
    turn = only(compare(talk(called(1, a, "now")), talk(called(1, b, "then"))))
    assert turn.calls_differ is differ
    assert turn.differs is differ
    assert (turn.calls.a[0].output, turn.calls.b[0].output) == ("now", "then")


def test_a_call_in_one_of_them_is_a_difference():
    assert only(compare(talk(said(1, ""), called(1, "{}")), talk(said(1, "")))).calls_differ


def test_settings_that_differ_are_named_with_dots():
    a = {"voice": "marin", "turn_detection": {"type": "server_vad", "silence": 300}, "same": 1}
    b = {"voice": "marin", "turn_detection": {"type": "server_vad", "silence": 700}, "same": 1}
    (change,) = compare(talk(settings=a), talk(settings=b)).settings
    assert (change.key, change.a, change.b) == ("turn_detection.silence", 300, 700)


def test_a_setting_of_one_of_them_is_nothing_in_the_other():
    changes = compare(talk(settings={"voice": "x"}), talk(settings={"turns": None})).settings
    assert [(one.key, one.a, one.b) for one in changes] == [("voice", "x", None)]


def test_errors_are_told_of_both():
    talks = compare(talk(error="the answer failed"), talk()).talks
    assert (talks.a.errors, talks.b.errors) == (["the answer failed"], [])


def test_the_plain_values_say_what_differs():
    values = plain(compare(users("yes", "no"), users("yes", "maybe")))
    assert values["differs"] is True
    assert [turn["differs"] for turn in values["turns"]] == [False, True]


# ------------------------------------------------------------------------------------- the cost

PRICES = {"text_in": 4, "text_out": 16, "audio_in": 32, "audio_out": 64}


def usage(**more: int) -> Usage:
    return Usage(**more)


def test_text_and_audio_cost_what_each_costs():
    used = usage(
        input_tokens=3000, input_text_tokens=1000, input_audio_tokens=2000,
        output_tokens=700, output_text_tokens=300, output_audio_tokens=400,
    )  # fmt: skip
    prices = prices_from({"m": PRICES}, "here")["m"]
    told = 1000 * 4 + 2000 * 32 + 300 * 16 + 400 * 64
    assert cost_of(used, prices) == pytest.approx(told / 1e6)


def test_cached_tokens_cost_less_where_a_price_says_so():
    used = usage(
        input_tokens=3000, input_text_tokens=1000, input_audio_tokens=2000, cached_tokens=1400,
        cached_text_tokens=400, cached_audio_tokens=1000,
    )  # fmt: skip
    prices = prices_from({"m": PRICES | {"cached_text_in": 0.5}}, "here")["m"]
    told = 600 * 4 + 400 * 0.5 + 2000 * 32
    assert cost_of(used, prices) == pytest.approx(told / 1e6)


def test_there_is_no_cost_without_prices_or_where_text_and_audio_are_not_told_apart():
    prices = prices_from({"m": PRICES}, "here")["m"]
    assert cost_of(usage(input_tokens=10, input_text_tokens=10), None) is None
    assert cost_of(usage(input_tokens=10, input_text_tokens=9), prices) is None
    assert cost_of(usage(output_tokens=10), prices) is None


def test_the_cost_is_that_of_the_models_price():
    used = usage(input_tokens=1000, input_text_tokens=1000)
    known = prices_from({"m": PRICES, "other": PRICES | {"text_in": 9}}, "here")
    assert compare(talk(usage=used), talk(), known).cost_usd.a == pytest.approx(0.004)
    assert compare(talk(usage=used), talk()).cost_usd.a is None


@pytest.mark.parametrize(
    "tables", [{"m": {}}, {"m": PRICES | {"audio": 1}}, {"m": PRICES | {"text_in": -1}}, {"m": 3}]
)
def test_prices_that_cannot_be_used_are_refused(tables):
    with pytest.raises(ConfigError, match=r"prices in here"):
        prices_from(tables, "here")
