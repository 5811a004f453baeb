"""A recording folded into plain facts."""

from __future__ import annotations

import msgspec
import pytest
from helpers_conversation import MANUAL, call, committed, created, done, error, message
from helpers_export import frames, recorded, told
from helpers_recording import ANSWER, QUESTION, Exchange, Maker

from voicecli import inputs
from voicecli.recording.export.talk import Talk
from voicecli.recording.playing.ending import SUDDENLY

CUT_SHORT = [Exchange(1.0, 4000, cut_after_ms=1000), Exchange(5.0, 2000)]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    return told(Maker(tmp_path_factory.mktemp("talk") / "made").talk(14.0, CUT_SHORT))


def test_rows_stand_in_the_order_of_the_conversation_and_know_their_turn(interrupted):
    assert [(row.turn, row.speaker, row.item_id) for row in interrupted.rows] == [
        (1, "user", "item_u1"),
        (1, "assistant", "item_a1"),
        (2, "user", "item_u2"),
        (2, "assistant", "item_a2"),
    ]
    assert [len(turn) for turn in interrupted.turns] == [2, 2]


def test_what_the_user_said_begins_with_the_voice_and_ends_with_it(interrupted):
    user = interrupted.rows[0]
    assert user.text == user.heard_text == f"{QUESTION} number 1"
    assert user.by == "voice"
    assert user.begins_at == pytest.approx(1.0, abs=0.15)
    assert user.ends_at is not None
    # The server says so 0.3 s after the voice has ended; our own ears are nearer to it.
    assert 1.0 < user.ends_at < 2.6


def test_an_answer_that_was_cut_off_tells_what_was_heard_of_it_and_what_was_not(interrupted):
    cut, whole = interrupted.rows[1], interrupted.rows[3]
    assert cut.interrupted
    assert cut.interrupted_by == "voice"
    assert cut.is_cut_off
    assert 0 < cut.heard_ms < cut.received_ms == 4000
    assert f"{cut.heard_text} {cut.unheard_text}" == cut.text.strip() == ANSWER
    assert not whole.interrupted
    assert not whole.is_cut_off
    assert whole.heard_ms == whole.received_ms == 2000


def test_an_answer_is_heard_from_its_first_sample_to_its_last(interrupted):
    for row in interrupted.rows[1::2]:
        (run,) = row.runs
        assert (row.begins_at, row.ends_at) == (run.begins_at, run.ends_at)
        assert run.seconds * 1000 == pytest.approx(row.heard_ms, abs=1)


def test_latencies_belong_to_the_answer(interrupted):
    for row in interrupted.rows[1::2]:
        assert row.latency is not None
        assert row.latency.first_sound_ms is not None
        begun_at = interrupted.rows[0 if row.turn == 1 else 2].ends_at
        assert row.begins_at - begun_at == pytest.approx(
            row.latency.first_sound_ms / 1000, abs=0.002
        )
    assert interrupted.rows[0].latency is None


def test_the_summary_is_that_of_the_talk(interrupted):
    summary = interrupted.summary
    assert (summary.reason, summary.turns, summary.interruptions) == ("quit", 2, 1)
    assert (summary.input_tokens, summary.output_tokens) == (20, 40)
    assert summary.seconds == interrupted.facts.seconds == pytest.approx(14.0, abs=0.03)


def test_a_talk_that_ended_suddenly_says_so_and_keeps_the_answer_as_far_as_it_was_heard(tmp_path):
    maker = Maker(tmp_path / "made")
    maker.talk(5.0, [Exchange(1.0, 6000)])
    path = tmp_path / "made" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]) + lines[-3][:10])
    talk = told(tmp_path / "made")
    assert talk.facts.ended_suddenly
    assert talk.summary.reason == SUDDENLY
    assert len(talk.facts.warnings) == 1
    answer = talk.rows[1]
    assert not answer.is_over
    assert not answer.interrupted
    assert 0 < answer.heard_ms < answer.received_ms
    assert answer.heard_text


def test_calls_errors_and_typed_messages_are_told(tmp_path):
    given = [
        (1.0, inputs.TextTyped("what time is it?")),
        (1.5, created()),
        (1.5, call("c1", "clock")),
        (1.5, done("R1", message("A"))),
        (2.0, inputs.ToolFinished("c1", '{"error":"no"}', failed=True)),
        (2.0, error("strange", text="nothing works")),
    ]
    talk = told(recorded(tmp_path / "made", given))
    typed, tool = talk.rows[0], next(row for row in talk.rows if row.speaker == "tool")
    assert (typed.by, typed.is_spoken, typed.begins_at) == ("text", False, 1.0)
    assert tool.call is not None
    assert (tool.call.name, tool.call.arguments) == ("clock", "{}")
    assert (tool.call.output, tool.call.failed) == ('{"error":"no"}', True)
    assert (tool.begins_at, tool.ends_at) == (1.5, 2.0)
    assert [(one.kind, one.source) for one in talk.notices] == [
        ("error", "tool"),
        ("error", "server"),
    ]
    assert talk.notices[1].message == "nothing works"


def test_a_marker_is_told_with_its_number_and_time(tmp_path):
    given = [(1.0, inputs.TextTyped("one")), (1.5, inputs.MarkerSet()), (2.5, inputs.MarkerSet())]
    talk = told(recorded(tmp_path / "made", given))
    assert [(one.at, one.kind, one.message) for one in talk.notices] == [
        (1.5, "marker", "1"),
        (2.5, "marker", "2"),
    ]


def test_push_to_talk_begins_with_the_key(tmp_path):
    given = [
        (2.0, inputs.TalkPressed()),
        *frames(2.0, 2.6),
        (2.6, inputs.TalkReleased()),
        *frames(2.6, 3.2),
        (3.2, committed("item_k")),
    ]
    (row,) = told(recorded(tmp_path / "made", given, MANUAL)).rows
    assert (row.item_id, row.by, row.turn, row.begins_at) == ("item_k", "key", 1, 2.0)


def test_the_whole_of_it_is_plain_data(interrupted):
    assert msgspec.convert(msgspec.to_builtins(interrupted), Talk) == interrupted
