"""Barge-in: what was heard is what the server is told, whatever the order of things."""

import pytest
from helpers_conversation import (
    AUTOMATIC,
    MANUAL,
    Talk,
    added,
    announced,
    audio,
    audio_done,
    call_item,
    committed,
    created,
    done,
    message,
    played,
    said,
    session_updated,
    speech_started,
    speech_stopped,
)

from voicecli import inputs, reports
from voicecli.actions import CallTool, Play, Send, StopPlayback, Tell
from voicecli.protocol import events
from voicecli.protocol.objects import Item


def truncate(item_id: str, ms: int, part: int = 0) -> events.ConversationItemTruncate:
    return events.ConversationItemTruncate(item_id=item_id, content_index=part, audio_end_ms=ms)


def delete(item_id: str) -> events.ConversationItemDelete:
    return events.ConversationItemDelete(item_id=item_id)


def test_the_item_being_heard_is_truncated_to_what_left_the_speaker():
    talk = Talk()
    talk.feed(created(), announced("A1"), audio("A1", 9200), speech_started())
    talk.stopped(played("A1", 2350, 9200))
    assert talk.sends() == [truncate("A1", 2350)]


def test_the_speaker_stops_before_anything_else_happens():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000))
    assert talk.feed(speech_started())[0] == StopPlayback()


def test_the_barge_in_is_reported_with_what_was_heard_and_received():
    talk = Talk()
    talk.feed(created(), said("A1", "Hello there."), audio("A1", 1000), speech_started())
    talk.stopped(played("A1", 400, 1000))
    assert talk.reports(reports.BargeInReport) == [
        reports.BargeInReport(item_id="A1", heard_ms=400, received_ms=1000, by="voice")
    ]
    final = talk.reports(reports.AssistantReport)[-1]
    assert (final.heard_ms, final.received_ms, final.interrupted, final.final) == (
        400,
        1000,
        True,
        True,
    )


def test_truncation_never_exceeds_the_audio_received():
    talk = Talk()
    talk.feed(created(), audio("A1", 500), speech_started())
    talk.stopped(played("A1", 700, 700))
    assert talk.sends() == [truncate("A1", 500)]


def test_an_interruption_after_response_done_is_truncated_and_not_cancelled():
    talk = Talk()
    talk.feed(created(), audio("A1", 6000), audio_done("A1"), done("R1", message("A1")))
    talk.feed(speech_started())
    talk.stopped(played("A1", 1500, 6000))
    assert talk.sends() == [truncate("A1", 1500)]


def test_the_server_is_left_to_cancel_when_it_does_so_by_itself():
    talk = Talk()
    talk.feed(created(), audio("A1", 6000), speech_started())
    assert not [event for event in talk.sends() if isinstance(event, events.ResponseCancel)]


def test_we_cancel_when_the_server_was_told_not_to():
    talk = Talk(detection={"type": "server_vad", "interrupt_response": False})
    talk.feed(created(), audio("A1", 6000), speech_started())
    assert talk.sends() == [events.ResponseCancel(response_id="R1")]


def test_late_deltas_of_the_interrupted_response_are_dropped():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), speech_started())
    talk.stopped(played("A1", 100, 1000))
    talk.take()
    talk.feed(audio("A1", 500), said("A1", "never heard"), audio("A2", 500))
    assert talk.take() == []


def test_the_answer_after_a_barge_in_is_played_whole():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), speech_started())
    talk.stopped(played("A1", 100, 1000))
    talk.feed(done("R1", message("A1"), status="cancelled"), speech_stopped(), committed())
    talk.take()
    talk.feed(created("R2"), audio("A3", 300, "R2"), audio("A3", 200, "R2"))
    pcm = [action.pcm for action in talk.take() if isinstance(action, Play)]
    assert pcm == [bytes(300 * 48), bytes(200 * 48)]


def test_items_of_which_nothing_was_heard_are_deleted_at_once_when_the_response_has_ended():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), audio_done("A1"), audio("A2", 900), audio_done("A2"))
    talk.feed(done("R1", message("A1"), message("A2")), speech_started())
    talk.stopped(played("A1", 300, 1000), played("A2", 0, 900))
    assert talk.sends() == [truncate("A1", 300), delete("A2")]


def test_items_of_which_nothing_was_heard_are_deleted_when_their_response_ends():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), audio_done("A1"), audio("A2", 900), speech_started())
    talk.stopped(played("A1", 300, 1000), played("A2", 0, 900))
    assert talk.sends() == [truncate("A1", 300)]
    talk.feed(done("R1", message("A1"), message("A2"), status="cancelled"))
    assert talk.sends() == [delete("A2")]


def test_an_item_that_only_came_after_the_barge_in_is_deleted_when_its_response_ends():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), speech_started())
    talk.stopped(played("A1", 300, 1000))
    talk.feed(announced("A2"), added("A2"), audio("A2", 100))
    talk.feed(done("R1", message("A1"), message("A2"), status="cancelled"))
    assert talk.sends() == [truncate("A1", 300), delete("A2")]
    assert [row.item_id for row in talk.conversation.transcript] == ["U2", "A1"] or [
        row.item_id for row in talk.conversation.transcript
    ] == ["A1", "U2"]


def test_nothing_heard_of_the_first_item_is_a_deletion_and_no_truncation_to_zero():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), audio_done("A1"), done("R1", message("A1")))
    talk.feed(speech_started())
    talk.stopped(played("A1", 0, 1000))
    assert talk.sends() == [delete("A1")]


def test_less_than_a_millisecond_heard_counts_as_nothing():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), audio_done("A1"), done("R1", message("A1")))
    talk.feed(speech_started())
    talk.stopped(played("A1", 0, 1000).__class__("A1", 0, 24000, 20))
    assert talk.sends() == [delete("A1")]


def test_an_answer_heard_to_its_end_is_not_truncated():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), audio_done("A1"), done("R1", message("A1")))
    talk.feed(speech_started())
    talk.stopped(played("A1", 1000, 1000))
    assert talk.sends() == []
    assert talk.conversation.counts.interruptions == 0


def test_an_answer_that_ran_dry_in_the_making_is_truncated_to_what_came():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), speech_started())
    talk.stopped(played("A1", 1000, 1000))
    assert talk.sends() == [truncate("A1", 1000)]


def test_speech_with_nothing_playing_stops_nothing():
    talk = Talk()
    assert talk.feed(speech_started()) == []


def test_speech_after_everything_was_played_stops_nothing():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), audio_done("A1"), done("R1", message("A1")))
    talk.feed(inputs.PartPlayed("A1", 0))
    assert talk.feed(speech_started()) == []


def test_a_response_that_only_thinks_is_silenced_by_speech():
    talk = Talk()
    talk.feed(created(), speech_started(), audio("A1", 100))
    assert [action for action in talk.take() if isinstance(action, Play)] == []
    talk.feed(done("R1", message("A1"), status="cancelled"))
    assert talk.sends() == [delete("A1")]


def test_two_parts_of_one_item_are_cut_in_the_second():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), audio_done("A1"), audio("A1", 800, part=1))
    talk.feed(inputs.PartPlayed("A1", 0), speech_started())
    talk.stopped(played("A1", 200, 800, part=1))
    assert talk.sends() == [truncate("A1", 200, part=1)]


def test_the_heard_words_of_an_interrupted_answer_are_told_apart():
    talk = Talk()
    text = "one two three four five six seven eight nine ten"
    talk.feed(created(), said("A1", text), audio("A1", 5000), audio_done("A1"))
    talk.feed(done("R1", message("A1")), speech_started())
    talk.stopped(played("A1", 2500, 5000))
    final = talk.reports(reports.AssistantReport)[-1]
    assert final.heard_text in ("one two three four five", "one two three four five six")
    assert final.text == text


def test_escape_stops_and_cancels_and_the_queue_is_truncated():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), inputs.InterruptPressed())
    talk.stopped(played("A1", 250, 1000))
    assert talk.sends() == [events.ResponseCancel(response_id="R1"), truncate("A1", 250)]


def test_escape_after_response_done_does_not_cancel():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), audio_done("A1"), done("R1", message("A1")))
    talk.feed(inputs.InterruptPressed())
    talk.stopped(played("A1", 250, 1000))
    assert talk.sends() == [truncate("A1", 250)]


def test_a_typed_message_interrupts_and_is_answered_after_the_cancelled_response_has_ended():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), inputs.TextTyped("stop that"))
    talk.stopped(played("A1", 250, 1000))
    sent = talk.sends()
    assert sent[0] == events.ResponseCancel(response_id="R1")
    assert truncate("A1", 250) in sent
    assert not [event for event in sent if isinstance(event, events.ResponseCreate)]
    talk.feed(done("R1", message("A1"), status="cancelled"))
    assert talk.sends() == [events.ResponseCreate(event_id="create_1")]


def test_a_cancellation_that_overtakes_the_creation_cancels_it_when_it_comes():
    talk = Talk(MANUAL)
    talk.feed(inputs.TextTyped("hello"))
    talk.take()
    talk.feed(inputs.InterruptPressed())
    assert talk.sends() == []
    talk.feed(created("R9"), audio("A1", 100, "R9"))
    assert talk.take() == [Send(events.ResponseCancel(response_id="R9"))]


def test_a_second_interruption_of_the_same_response_cancels_once():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), inputs.InterruptPressed())
    talk.stopped(played("A1", 250, 1000))
    talk.take()
    talk.feed(inputs.InterruptPressed())
    assert talk.sends() == []


def test_the_servers_word_on_interruption_counts_not_ours():
    talk = Talk(AUTOMATIC)
    talk.feed(session_updated({"type": "server_vad", "interrupt_response": False}))
    talk.feed(created(), audio("A1", 1000), speech_started())
    assert events.ResponseCancel(response_id="R1") in talk.sends()


@pytest.mark.parametrize("ms", [1, 19, 1234])
def test_the_report_of_the_speaker_is_taken_to_the_millisecond(ms):
    talk = Talk()
    talk.feed(created(), audio("A1", 5000), speech_started())
    talk.stopped(played("A1", ms, 5000))
    assert talk.sends() == [truncate("A1", ms)]


def test_an_interrupted_row_keeps_its_text_when_the_server_deletes_or_changes_it():
    talk = Talk()
    talk.feed(created(), said("A1", "Some words."), audio("A1", 1000), speech_started())
    talk.stopped(played("A1", 300, 1000))
    talk.feed(
        events.ResponseOutputAudioTranscriptDone(
            response_id="R1", item_id="A1", transcript="Some words. And more."
        ),
        events.ConversationItemDeleted(item_id="A1"),
    )
    row = talk.conversation.transcript.get("A1")
    assert row is not None
    assert (row.text, row.interrupted) == ("Some words.", True)


def test_reports_come_after_the_repair_is_sent():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), speech_started())
    kinds = [type(action) for action in talk.stopped(played("A1", 300, 1000))]
    assert kinds.index(Send) < kinds.index(Tell)


def test_a_part_that_the_speaker_no_longer_has_was_heard_whole():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), audio_done("A1"), done("R1", message("A1")))
    talk.feed(speech_started())
    talk.stopped()
    assert talk.sends() == []
    assert talk.conversation.counts.interruptions == 0


def test_a_response_that_is_on_its_way_is_cancelled_when_the_user_speaks_first():
    talk = Talk()
    talk.feed(inputs.TextTyped("hi"))
    talk.take()
    talk.feed(speech_started(), created("R1"), audio("A1", 100))
    assert talk.sends() == [events.ResponseCancel(response_id="R1")]


def test_a_delta_that_comes_even_after_the_end_of_its_interrupted_response_is_dropped():
    talk = Talk()
    talk.feed(created(), audio("A1", 1000), speech_started())
    talk.stopped(played("A1", 300, 1000))
    talk.feed(done("R1", message("A1"), status="cancelled"))
    talk.take()
    talk.feed(audio("A1", 100))
    assert talk.take() == []


def test_a_call_that_was_cut_off_is_answered_and_not_run():
    talk = Talk()
    cut = call_item("c1") | {"status": "incomplete", "arguments": '{"path": "/ho'}
    talk.feed(created(), speech_started())
    talk.feed(events.ResponseOutputItemDone(response_id="R1", item=Item(cut)))
    actions = talk.take()
    assert not [action for action in actions if isinstance(action, CallTool)]
    (sent,) = [action.event for action in actions if isinstance(action, Send)]
    assert sent.item.fields == {
        "type": "function_call_output",
        "call_id": "c1",
        "output": '{"error":"cancelled"}',
    }


def test_the_first_of_two_overlapping_items_is_settled_by_its_late_end():
    talk = Talk()
    talk.feed(created(), said("A1", "One."), audio("A1", 100), audio("A2", 100))
    talk.feed(inputs.PartPlayed("A1", 0), audio_done("A1"))
    finals = [r.item_id for r in talk.reports(reports.AssistantReport) if r.final]
    assert finals == ["A1"]
