"""Turns, tools, push to talk, order and ends of a conversation."""

import pytest
from helpers_conversation import (
    AUTOMATIC,
    MANUAL,
    Talk,
    added,
    audio,
    audio_done,
    call,
    call_item,
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

from voicecli import inputs, reports
from voicecli.actions import CallTool, Finish, FinishPart, Play, Send, Tell
from voicecli.conversation import Conversation, Options
from voicecli.errors import NotAuthorized, ProtocolError
from voicecli.protocol import events
from voicecli.protocol.codec import SERVER_CODEC
from voicecli.protocol.objects import ErrorDetails, Item, Response, Session
from voicecli.protocol.settings import SessionSettings
from voicecli.reports import MarkerReport

FRAME = b"\x01\x00" * 480
MIC = inputs.MicFrame(FRAME)
APPEND = events.InputAudioBufferAppend(audio=FRAME)


# ------------------------------------------------------------------------------------- the session


def test_nothing_is_sent_before_the_server_has_spoken():
    conversation = Conversation(Options(settings=AUTOMATIC))
    assert conversation.handle(MIC, 0.0) == []
    assert conversation.phase == "connecting"


def test_settings_go_first_and_audio_follows_without_waiting_for_their_echo():
    conversation = Conversation(Options(settings=AUTOMATIC))
    (update,) = conversation.handle(inputs.Received(session_created()), 0.0)
    assert update == Send(events.SessionUpdate(event_id="settings", session=AUTOMATIC.to_wire()))
    assert conversation.handle(MIC, 0.1) == [Send(APPEND)]


def test_a_server_of_the_old_shape_gets_the_old_shape():
    conversation = Conversation(Options(settings=AUTOMATIC))
    event = SERVER_CODEC.decode('{"type":"session.created","session":{"modalities":["text"]}}')
    (update,) = conversation.handle(inputs.Received(event), 0.0)
    assert update.event.session["input_audio_format"] == "pcm16"
    assert "audio" not in update.event.session


def test_refused_settings_end_the_talk_with_the_servers_words():
    conversation = Conversation(Options(settings=AUTOMATIC))
    conversation.handle(inputs.Received(session_created()), 0.0)
    refusal = inputs.Received(error("unknown_parameter", "settings", "Unknown parameter: x"))
    (finish,) = conversation.handle(refusal, 0.1)
    assert isinstance(finish.error, ProtocolError)
    assert "Unknown parameter: x" in finish.error.message


def test_a_key_that_is_refused_later_is_reported_as_a_wrong_key():
    talk = Talk()
    (finish,) = talk.feed(error("invalid_api_key"))
    assert isinstance(finish.error, NotAuthorized)


def test_an_error_in_the_middle_is_told_and_survived():
    talk = Talk()
    assert talk.feed(error("server_error", text="oops")) == [
        Tell(reports.ErrorReport(message="oops", code="server_error", source="server"))
    ]
    assert talk.feed(MIC) == [Send(APPEND)]


def test_unknown_and_malformed_events_change_nothing():
    talk = Talk()
    assert talk.feed(inputs.Received(SERVER_CODEC.decode('{"type":"ping"}'))) == []
    (told,) = talk.feed(inputs.Received(SERVER_CODEC.decode("{]")))
    assert told.report.source == "protocol"
    assert talk.feed(MIC) == [Send(APPEND)]


# --------------------------------------------------------------------------------- the microphone


def test_a_muted_microphone_sends_silence_so_that_the_servers_clock_goes_on():
    talk = Talk()
    talk.feed(inputs.MuteToggled())
    assert talk.feed(MIC) == [Send(events.InputAudioBufferAppend(audio=bytes(960)))]
    talk.feed(inputs.MuteToggled())
    assert talk.feed(MIC) == [Send(APPEND)]


def test_markers_are_counted_told_and_change_nothing_else():
    talk = Talk()
    before = talk.conversation.phase
    for number in (1, 2):
        (told,) = talk.feed(inputs.MarkerSet())
        assert told.report == MarkerReport(number=number)
    assert talk.conversation.phase == before
    assert talk.feed(MIC) == [Send(APPEND)]


def test_g711_goes_out_in_a_third_of_the_samples():
    settings = SessionSettings(input_format="pcmu", transcription_model=None)
    talk = Talk(settings)
    sent = [action.event.audio for _ in range(10) for action in talk.feed(MIC)]
    assert sum(map(len, sent)) == pytest.approx(1600, abs=60)


# ------------------------------------------------------------------------------------- push to talk


def press_and_speak(talk, frames):
    talk.feed(inputs.TalkPressed())
    talk.take()
    talk.feed(*[MIC] * frames)


def test_push_to_talk_sends_only_while_pressed():
    talk = Talk(MANUAL)
    assert talk.feed(MIC) == []
    assert talk.feed(inputs.TalkPressed()) == [Send(events.InputAudioBufferClear())]
    assert talk.feed(MIC) == [Send(APPEND)]
    assert talk.conversation.phase == "hearing"


def test_release_takes_a_short_grace_then_commits_and_asks_for_the_answer():
    talk = Talk(MANUAL)
    press_and_speak(talk, 20)
    talk.feed(inputs.TalkReleased())
    talk.take()
    talk.feed(*[MIC] * 9)
    assert talk.sends() == [APPEND] * 9
    talk.feed(MIC)
    assert talk.sends() == [
        APPEND,
        events.InputAudioBufferCommit(),
        events.ResponseCreate(event_id="create_1"),
    ]
    assert talk.feed(MIC) == []


def test_a_tap_of_less_than_100_ms_commits_nothing():
    talk = Talk(MANUAL)
    press_and_speak(talk, 4)
    talk.feed(inputs.TalkReleased(), *[MIC] * 10)
    sent = talk.sends()
    assert sent[-1] == events.InputAudioBufferClear()
    assert events.InputAudioBufferCommit() not in sent


def test_pressing_again_within_the_grace_goes_on_with_the_same_turn():
    talk = Talk(MANUAL)
    press_and_speak(talk, 20)
    talk.feed(inputs.TalkReleased(), MIC, MIC, inputs.TalkPressed(), *[MIC] * 30)
    assert events.InputAudioBufferCommit() not in talk.sends()


def test_pressing_while_an_answer_is_made_and_played_stops_both():
    talk = Talk(MANUAL)
    talk.feed(created(), audio("A1", 1000), inputs.TalkPressed())
    sent = talk.sends()
    assert sent == [events.ResponseCancel(response_id="R1"), events.InputAudioBufferClear()]


def test_a_file_in_manual_mode_is_one_turn():
    talk = Talk(MANUAL, talk_at_start=True)
    talk.feed(*[MIC] * 20, inputs.MicEnded(), *[MIC] * 10)
    assert talk.sends()[-2:] == [
        events.InputAudioBufferCommit(),
        events.ResponseCreate(event_id="create_1"),
    ]


def test_talk_keys_do_nothing_when_the_server_listens():
    talk = Talk()
    assert talk.feed(inputs.TalkPressed(), inputs.TalkReleased()) == []


# ------------------------------------------------------------------------------------------- tools


def output(call_id, text):
    item = Item({"type": "function_call_output", "call_id": call_id, "output": text})
    return events.ConversationItemCreate(item=item)


def test_two_calls_are_answered_and_followed_by_one_request_after_the_response_has_ended():
    talk = Talk()
    talk.feed(created(), call("c1"), call("c2"))
    assert [a for a in talk.take() if isinstance(a, CallTool)] == [
        CallTool("c1", "f", "{}"),
        CallTool("c2", "f", "{}"),
    ]
    talk.feed(inputs.ToolFinished("c1", "1"), inputs.ToolFinished("c2", "2"))
    assert talk.sends() == [output("c1", "1"), output("c2", "2")]
    talk.feed(done("R1", call_item("c1"), call_item("c2")))
    assert talk.sends() == [events.ResponseCreate(event_id="create_1")]


def test_the_request_waits_for_the_last_tool():
    talk = Talk()
    talk.feed(created(), call("c1"), call("c2"), done("R1", call_item("c1"), call_item("c2")))
    talk.feed(inputs.ToolFinished("c2", "2"))
    assert talk.sends() == [output("c2", "2")]
    talk.feed(inputs.ToolFinished("c1", "1"))
    assert talk.sends() == [output("c1", "1"), events.ResponseCreate(event_id="create_1")]


def test_a_call_that_is_only_in_response_done_is_run_too():
    talk = Talk()
    actions = talk.feed(created(), done("R1", call_item("c1")))
    assert CallTool("c1", "f", "{}") in actions


def test_no_request_is_made_while_the_user_speaks_and_none_is_needed_after_the_servers_own():
    talk = Talk()
    talk.feed(created(), call("c1"), done("R1", call_item("c1")), speech_started())
    talk.feed(inputs.ToolFinished("c1", "1"))
    assert talk.sends() == [output("c1", "1")]
    talk.feed(speech_stopped(), committed())
    requests = [e for e in talk.sends() if isinstance(e, events.ResponseCreate)]
    talk.feed(created("R2"), done("R2"))
    assert len(requests) <= 1
    assert talk.sends() == []


def test_a_request_that_met_another_response_is_made_again_when_that_one_has_ended():
    talk = Talk()
    talk.feed(inputs.TextTyped("hi"))
    talk.take()
    talk.feed(created("R2"), error("conversation_already_has_active_response", "create_1"))
    assert talk.take() == []
    talk.feed(done("R2"))
    assert talk.sends() == [events.ResponseCreate(event_id="create_2")]


def test_a_request_refused_for_a_response_we_never_saw_waits_for_its_end():
    talk = Talk()
    talk.feed(inputs.TextTyped("hi"))
    talk.take()
    talk.feed(error("conversation_already_has_active_response", "create_1"))
    assert talk.sends() == []
    talk.feed(done("R0"))
    assert talk.sends() == [events.ResponseCreate(event_id="create_2")]


def test_the_output_of_a_call_nobody_made_is_dropped():
    assert Talk().feed(inputs.ToolFinished("ghost", "x")) == []


# -------------------------------------------------------------------------- playback and transcript


def test_audio_is_queued_in_order_and_finished_by_its_done_event():
    talk = Talk()
    talk.feed(created(), audio("A1", 20), audio("A1", 30), audio_done("A1"))
    assert [a for a in talk.take() if isinstance(a, (Play, FinishPart))] == [
        Play("A1", 0, bytes(960)),
        Play("A1", 0, bytes(1440)),
        FinishPart("A1", 0),
    ]


def test_odd_and_empty_deltas_lose_no_sample():
    talk = Talk()
    pieces = [b"", b"\x01", b"\x02\x03", b"", b"\x04" * 5]
    for piece in pieces:
        talk.feed(events.ResponseOutputAudioDelta(response_id="R1", item_id="A1", delta=piece))
    pcm = b"".join(a.pcm for a in talk.take() if isinstance(a, Play))
    assert pcm == b"\x01\x02\x03\x04\x04\x04\x04\x04"


def test_response_done_closes_a_part_whose_done_event_was_left_out():
    talk = Talk()
    talk.feed(created(), audio("A1", 20), done("R1", message("A1")))
    assert FinishPart("A1", 0) in talk.take()


def test_an_answer_is_over_when_the_speaker_says_so_not_when_the_response_is():
    talk = Talk()
    talk.feed(created(), said("A1", "Hi."), audio("A1", 500), audio_done("A1"))
    talk.feed(done("R1", message("A1")))
    assert talk.conversation.phase == "speaking"
    talk.feed(inputs.PartPlayed("A1", 0))
    assert talk.conversation.phase == "listening"
    final = talk.reports(reports.AssistantReport)[-1]
    assert (final.final, final.heard_ms, final.received_ms) == (True, 500, 500)


def test_a_late_transcript_fills_its_own_row_before_the_answer():
    talk = Talk()
    talk.feed(speech_started("U1"), speech_stopped("U1"), committed("U1"), added("U1", "user"))
    talk.feed(created(), added("A1", after="U1"), said("A1", "Fine."))
    talk.feed(heard_user("U1", "How are you?"))
    assert [(row.speaker, row.text) for row in talk.conversation.transcript] == [
        ("user", "How are you?"),
        ("assistant", "Fine."),
    ]


def test_a_row_that_came_too_early_is_put_where_the_server_says():
    talk = Talk()
    talk.feed(said("A1", "Answer."), committed("U1"), added("A1", after="U1"))
    assert [row.item_id for row in talk.conversation.transcript] == ["U1", "A1"]


def test_cumulative_transcripts_replace_each_other():
    talk = Talk()
    for status, text in [("in_progress", "how"), ("completed", "how are you")]:
        raw = (
            '{"type":"conversation.item.input_audio_transcription.completed","item_id":"U1",'
            f'"transcript":"{text}","status":"{status}"}}'
        )
        talk.feed(inputs.Received(SERVER_CODEC.decode(raw)))
    told = [(r.text, r.final) for r in talk.reports(reports.UserReport)]
    assert told == [("how", False), ("how are you", True)]


def test_a_written_answer_is_reported_when_its_response_ends():
    talk = Talk()
    item = {"id": "A1", "type": "message", "role": "assistant"}
    item["content"] = [{"type": "output_text", "text": "Hello."}]
    talk.feed(created(), done("R1", item))
    assert talk.reports(reports.AssistantReport)[-1].text == "Hello."


def test_a_failed_response_is_told_with_its_reason():
    talk = Talk()
    details = {"type": "failed", "error": {"code": "server_error", "message": "boom"}}
    response = Response({"id": "R1", "status": "failed", "status_details": details})
    talk.feed(created(), events.ResponseDone(response=response))
    assert "boom" in talk.reports(reports.ErrorReport)[-1].message


def test_a_failed_transcription_is_told_and_the_answer_goes_on():
    talk = Talk()
    talk.feed(
        events.InputAudioTranscriptionFailed(item_id="U1", error=ErrorDetails({"message": "no"}))
    )
    assert talk.reports(reports.ErrorReport)[-1].source == "server"


# ------------------------------------------------------------------------------------------- timing


def test_the_latency_of_a_turn_runs_from_the_voices_end_to_the_first_sample():
    talk = Talk()
    talk.at = 1.0
    talk.feed(speech_started("U1"))
    talk.at = 2.0
    talk.feed(speech_stopped("U1"), committed("U1"))
    talk.at = 2.1
    talk.feed(created())
    talk.at = 2.3
    talk.feed(audio("A1", 500), inputs.PartStarted("A1", 0, 2.312))
    (turn,) = talk.reports(reports.TurnReport)
    # No frame carried a voice here, so the end of the turn stands for it.
    assert (turn.speech_stopped_ms, turn.response_created_ms) == (0, 100)
    assert (turn.first_delta_ms, turn.first_sound_ms) == (300, 312)


# ---------------------------------------------------------------------------------------- the end


def finish_of(actions):
    return [action for action in actions if isinstance(action, Finish)]


def test_a_file_talk_ends_when_nothing_was_owed_for_the_linger_time():
    talk = Talk(linger_s=2.0)
    talk.at = 5.0
    assert finish_of(talk.feed(inputs.MicEnded())) == []
    assert talk.conversation.next_timer() == 7.0
    talk.at = 6.9
    assert finish_of(talk.feed(inputs.Woke())) == []
    talk.at = 7.0
    assert finish_of(talk.feed(inputs.Woke())) == [Finish("finished")]


def test_a_talk_does_not_end_while_an_answer_plays():
    talk = Talk(linger_s=2.0)
    talk.feed(inputs.MicEnded(), created(), audio("A1", 500), audio_done("A1"), done("R1"))
    talk.at = 100.0
    assert finish_of(talk.feed(inputs.Woke())) == []
    talk.feed(inputs.PartPlayed("A1", 0))
    talk.at = 103.0
    assert finish_of(talk.feed(inputs.Woke())) == [Finish("finished")]


def test_a_talk_does_not_end_while_an_answer_is_owed():
    talk = Talk(linger_s=1.0)
    talk.feed(inputs.MicEnded(), speech_started("U1"), speech_stopped("U1"), committed("U1"))
    talk.at = 4.0
    assert finish_of(talk.feed(inputs.Woke())) == []
    talk.at = 6.5
    assert finish_of(talk.feed(inputs.Woke())) == [Finish("finished")]


def test_noise_that_was_no_word_is_owed_no_answer():
    talk = Talk(linger_s=1.0)
    talk.feed(speech_started("U1"), speech_stopped("U1"), committed("U1"), inputs.MicEnded())
    talk.feed(heard_user("U1", ""))
    talk.at = 1.1
    assert finish_of(talk.feed(inputs.Woke())) == [Finish("finished")]


def test_a_time_limit_ends_the_talk_whatever_happens():
    talk = Talk(max_minutes=1.0)
    talk.feed(created(), audio("A1", 99999))
    assert talk.conversation.next_timer() == 60.0
    talk.at = 60.0
    assert finish_of(talk.feed(inputs.Woke())) == [Finish("time limit")]


def test_after_the_end_nothing_happens_any_more():
    talk = Talk()
    assert talk.feed(inputs.QuitPressed()) == [Finish("quit")]
    assert talk.feed(MIC, created(), audio("A1", 100), inputs.QuitPressed()) == []


def test_an_input_that_makes_no_sense_changes_nothing():
    talk = Talk()
    senseless = [
        inputs.PartPlayed("ghost", 0),
        inputs.PartStarted("ghost", 0, 0.0),
        inputs.PlaybackDrained(),
        inputs.PlaybackStopped(()),
        inputs.ToolFinished("ghost", "x"),
        inputs.TalkReleased(),
        inputs.TextTyped("   "),
        audio_done("ghost"),
        done("ghost"),
        events.ConversationItemDeleted(item_id="ghost"),
    ]
    assert talk.feed(*senseless) == []


def test_settings_confirmed_again_are_not_reported_again():
    talk = Talk()
    assert talk.feed(session_updated()) == []


def test_a_tool_result_that_comes_while_the_user_speaks_is_answered_once():
    talk = Talk()
    talk.feed(created(), call("c1"), done("R1", call_item("c1")), speech_started())
    talk.feed(inputs.ToolFinished("c1", "1"), speech_stopped(), committed())
    assert talk.sends() == [output("c1", "1")]
    talk.feed(created("R2"), done("R2"))
    assert talk.sends() == []


def test_a_tool_result_is_asked_about_when_the_servers_own_answer_does_not_come():
    talk = Talk()
    talk.feed(created(), call("c1"), done("R1", call_item("c1")), speech_started())
    talk.feed(inputs.ToolFinished("c1", "1"), speech_stopped(), committed())
    talk.take()
    talk.at = 6.0
    talk.feed(MIC)
    assert events.ResponseCreate(event_id="create_1") in talk.sends()


def test_an_error_that_names_no_event_frees_the_way_for_the_next_request():
    talk = Talk()
    talk.feed(inputs.TextTyped("one"), error("server_error"))
    talk.take()
    talk.feed(inputs.TextTyped("two"))
    assert events.ResponseCreate(event_id="create_2") in talk.sends()


def test_an_echo_without_turn_detection_leaves_turns_as_they_were_asked_for():
    talk = Talk()
    bare = events.SessionUpdated(session=Session({"id": "s", "audio": {"input": {}}}))
    talk.feed(bare)
    assert talk.feed(MIC) == [Send(APPEND)]


def test_a_server_that_never_confirms_the_settings_survives_its_first_error():
    conversation = Conversation(Options(settings=AUTOMATIC))
    conversation.handle(inputs.Received(session_created()), 0.0)
    conversation.handle(inputs.Received(speech_started("U1")), 1.0)
    told = conversation.handle(inputs.Received(error("server_error")), 2.0)
    assert [type(action) for action in told] == [Tell]


def test_a_growing_answer_is_reported_ten_times_a_second_and_whole_at_its_end():
    talk = Talk()
    talk.feed(created())
    for count in range(100):
        talk.at = count / 100
        talk.feed(said("A1", "x"))
    talk.feed(audio("A1", 10), audio_done("A1"), inputs.PartPlayed("A1", 0))
    told = talk.reports(reports.AssistantReport)
    assert 9 <= len(told) <= 11
    assert (told[-1].final, told[-1].text) == (True, "x" * 100)
