"""Barge-in that is taken back: client and engine together, and the order of what is sent."""

from __future__ import annotations

from typing import Any

import pytest
from engine_fakes import clip
from helpers_conversation import (
    Talk,
    audio,
    audio_done,
    call,
    committed,
    created,
    done,
    error,
    heard_user,
    message,
    played,
    session_created,
    session_updated,
    speech_started,
    speech_stopped,
)
from helpers_pair import OURS, Pair, remembers_what_was_heard, speech

from voicecli import inputs
from voicecli.actions import SetGain, StopPlayback
from voicecli.audio.pcm import SILENT_FRAME
from voicecli.bargein import BargeInRules, Near, NearVoice
from voicecli.conversation import Conversation, Options
from voicecli.protocol import events
from voicecli.protocol.events import ClientEvent
from voicecli.reports import BargeInReport, FalseAlarmReport, NoteReport

LOCAL = BargeInRules(mode="local")
DUCKED = SetGain(0.1259)
HELD = SetGain(0.0)
FULL = SetGain(1.0)


class Voice(NearVoice):
    """Says of each frame what the test wants."""

    def __init__(self) -> None:
        self.near = Near.NOTHING

    def push(self, pcm: bytes) -> Near:
        return self.near


class Ears(Talk):
    """A talk whose microphone hears a voice for as long as it is told to."""

    def __init__(self, rules: BargeInRules = LOCAL, **options: Any) -> None:
        super().__init__(OURS, barge_in=rules, **options)
        self.voice = Voice()
        options = {"settings": OURS, "barge_in": rules} | options
        self.conversation = Conversation(Options(**options), near_voice=self.voice)
        self.feed(session_created(), session_updated(OURS.turn_detection.to_wire()))  # type: ignore[union-attr]
        self.take()

    def hears(self, ms: int, near: Near = Near.VOICE, *, voice: bool = True) -> list[object]:
        """Frames of the microphone; gives the actions but the appends."""
        self.voice.near = near if voice else Near.NOTHING
        came: list[object] = []
        for _ in range(0, ms, 20):
            self.at = round(self.at + 0.02, 6)
            came += self.feed(inputs.MicFrame(SILENT_FRAME))[1:]
        return came

    def is_answering(self, ms: int = 9000) -> Ears:
        self.feed(created(), audio("A1", ms), audio_done("A1"))
        self.take()
        return self

    def sends(self) -> list[ClientEvent]:
        return [one for one in super().sends() if one.type != "input_audio_buffer.append"]

    def answered(self) -> list[events.ResponseCreate]:
        return [one for one in self.sends() if isinstance(one, events.ResponseCreate)]


def delta(text: str, item_id: str = "U2") -> events.Event:
    return events.InputAudioTranscriptionDelta(item_id=item_id, delta=text)


# ---------------------------------------------------------------------------- duck, hold, verdict


def test_eighty_milliseconds_of_voice_duck_the_answer_and_two_hundred_make_it_pause():
    talk = Ears().is_answering()
    assert talk.hears(60) == []
    assert talk.hears(20) == [DUCKED]
    assert talk.conversation.softened == "ducked"
    assert talk.hears(100) == []
    assert talk.hears(20) == [HELD]
    assert talk.conversation.softened == "held"


@pytest.mark.parametrize("near", [Near.LOUD, Near.HUMMED])
def test_a_voice_that_is_loud_or_hummed_ducks_the_answer_a_frame_sooner(near: Near):
    talk = Ears().is_answering()
    assert talk.hears(40, near) == []
    assert talk.hears(20, near) == [DUCKED]


def test_a_hiss_counts_for_the_beginning_of_a_word():
    talk = Ears().is_answering()
    talk.hears(60, Near.HISS)
    assert talk.hears(20) == [DUCKED]


def test_a_hiss_alone_ducks_the_answer_but_never_makes_it_pause_or_stop():
    talk = Ears().is_answering()
    assert talk.hears(80, Near.HISS) == [DUCKED]
    talk.feed(speech_started())
    assert talk.hears(1200, Near.HISS) == []
    talk.feed(speech_stopped())
    assert FULL in talk.hears(1600, voice=False)
    assert talk.conversation.softened == ""


def test_in_the_style_of_holding_the_answer_pauses_at_once():
    talk = Ears(BargeInRules(mode="local", style="hold")).is_answering()
    assert talk.hears(80) == [HELD]


def test_a_voice_while_nothing_is_said_or_made_changes_nothing():
    assert Ears().hears(2000) == []


def test_a_noise_that_the_server_does_not_hear_is_over_300_ms_after_it():
    talk = Ears().is_answering()
    talk.hears(120)
    assert talk.hears(280, voice=False) == []
    came = talk.hears(20, voice=False)
    assert [type(one).__name__ for one in came] == ["Tell", "SetGain"]
    assert came[-1] == FULL
    assert talk.reports(FalseAlarmReport) == [FalseAlarmReport(text="", softened_ms=340)]
    assert talk.conversation.softened == ""


def test_a_voice_that_the_server_never_hears_does_not_soften_for_long_and_not_again_at_once():
    talk = Ears().is_answering()
    talk.hears(2400)
    assert FULL in talk.hears(300)
    assert talk.hears(2000) == []
    talk.hears(300, voice=False)
    assert talk.hears(80) == [DUCKED]


@pytest.mark.parametrize(
    "words", ["Mm-hmm.", "Yeah, okay.", "uh huh", "Right", "I see.", "Hmmmm", "Eh-ha,", "Pah-ha."]
)
def test_a_backchannel_lets_the_answer_go_on_and_is_not_answered(words: str):
    talk = Ears().is_answering()
    talk.hears(300)
    talk.feed(speech_started())
    talk.hears(200)
    talk.hears(300, voice=False)
    talk.feed(speech_stopped(), committed())
    talk.take()
    came = talk.feed(heard_user("U2", words))
    assert FULL in came
    assert StopPlayback() not in came
    assert talk.reports(FalseAlarmReport) == [FalseAlarmReport(text=words, softened_ms=720)]
    assert talk.sends() == []
    assert talk.conversation.counts.turns == 0


@pytest.mark.parametrize(
    "words", ["Stop.", "Wait!", "No.", "Hold on.", "Yeah, but no.", "Okay stop"]
)
def test_words_that_want_the_floor_stop_it_and_are_answered(words: str):
    talk = Ears().is_answering()
    talk.hears(300)
    talk.feed(speech_started(), speech_stopped(), committed())
    talk.take()
    assert talk.feed(heard_user("U2", words))[-1] == StopPlayback()
    talk.stopped(played("A1", 2000, 9000))
    cancel, truncate = talk.sends()
    assert cancel == events.ResponseCancel(response_id="R1")
    assert truncate == events.ConversationItemTruncate(
        item_id="A1", content_index=0, audio_end_ms=2000
    )
    talk.feed(done(status="cancelled"))
    assert len(talk.answered()) == 1
    assert talk.conversation.counts.turns == 1


@pytest.mark.parametrize("guess", ["Mama.", "No.", ""])
def test_a_hummed_yes_is_one_whatever_the_ears_make_of_it(guess: str):
    talk = Ears().is_answering()
    talk.hears(320, Near.HUMMED)
    talk.hears(80, Near.VOICE)
    talk.feed(speech_started(), delta(guess or "m"), speech_stopped(), committed())
    talk.hears(200, voice=False)
    assert FULL in talk.feed(heard_user("U2", guess))
    assert StopPlayback() not in talk.actions


def test_half_a_word_is_waited_for_and_the_first_that_wants_the_floor_decides():
    talk = Ears().is_answering()
    talk.hears(200)
    talk.feed(speech_started())
    assert StopPlayback() not in talk.feed(delta("Ye"), delta("ah, "), delta("r"))
    assert StopPlayback() in talk.feed(delta("eally no"))


def test_a_voice_that_lasts_is_an_interruption_once_the_server_hears_it_too():
    talk = Ears().is_answering()
    talk.hears(1200)
    assert StopPlayback() not in talk.actions
    talk.feed(speech_started())
    assert StopPlayback() in talk.hears(20)


def test_a_cough_that_the_server_took_for_speech_is_forgotten_and_not_answered():
    talk = Ears().is_answering()
    talk.hears(240)
    talk.feed(speech_started())
    talk.hears(300, voice=False)
    talk.feed(speech_stopped(), committed())
    talk.take()
    assert FULL in talk.feed(heard_user("U2", " [cough] "))
    assert talk.sends() == [events.ConversationItemDelete(item_id="U2")]
    talk.feed(done("R1", message("A1")))
    assert talk.sends() == []


def test_without_a_transcript_in_time_the_length_decides():
    talk = Ears().is_answering()
    talk.hears(240)
    talk.feed(speech_started(), speech_stopped(), committed())
    assert FULL not in talk.hears(1480, voice=False)
    assert FULL in talk.hears(20, voice=False)
    talk = Ears().is_answering()
    talk.hears(600)
    talk.feed(speech_started(), speech_stopped(), committed())
    assert StopPlayback() in talk.hears(1500, voice=False)


def test_words_that_never_come_do_not_count_for_the_next_voice():
    talk = Ears().is_answering()
    talk.hears(240)
    talk.feed(speech_started(), speech_stopped(), committed())
    talk.hears(1600, voice=False)
    assert talk.hears(180) == [DUCKED]
    assert StopPlayback() not in talk.hears(1500)


def test_words_that_come_too_late_still_stop_the_answer():
    talk = Ears().is_answering()
    talk.hears(240)
    talk.feed(speech_started(), speech_stopped(), committed())
    talk.hears(1600, voice=False)
    assert StopPlayback() in talk.feed(heard_user("U2", "Stop."))


def test_a_yes_that_outlives_the_answer_is_a_reply_to_it():
    talk = Ears().is_answering()
    talk.hears(100)
    talk.feed(speech_started(), inputs.PartPlayed("A1", 0), done("R1", message("A1")))
    talk.feed(speech_stopped(), committed())
    talk.take()
    talk.feed(heard_user("U2", "Yes."))
    assert len(talk.answered()) == 1


def test_a_frozen_microphone_does_not_soften_an_answer_for_ever():
    talk = Ears().is_answering()
    talk.hears(200)
    due = talk.conversation.next_timer()
    assert due is not None
    talk.at = due
    assert FULL in talk.feed(inputs.Woke())


@pytest.mark.parametrize("press", [inputs.InterruptPressed(), inputs.TextTyped("Now this.")])
def test_keys_and_typing_stop_a_held_answer_at_once(press: inputs.Input):
    talk = Ears().is_answering()
    talk.hears(300)
    came = talk.feed(press)
    assert StopPlayback() in came
    assert FULL not in came  # The speaker is at full level after a stop.
    assert talk.conversation.softened == ""
    assert talk.hears(400, voice=False) == []


# ---------------------------------------------------------------------------------- turns and races


def test_a_turn_in_silence_is_answered_as_soon_as_it_is_committed():
    talk = Ears()
    talk.feed(speech_started())
    talk.hears(400)
    talk.feed(speech_stopped())
    talk.take()
    talk.feed(committed())
    assert len(talk.answered()) == 1


def test_a_turn_without_a_word_needs_no_answer_if_none_has_begun_to_sound():
    talk = Ears()
    talk.feed(speech_started(), speech_stopped(), committed(), created())
    talk.take()
    talk.feed(heard_user("U2", ""))
    assert talk.sends() == [events.ResponseCancel(response_id="R1")]
    talk = Ears()
    talk.feed(speech_started(), speech_stopped(), committed(), created(), audio("A1", 500))
    talk.take()
    talk.feed(heard_user("U2", ""))
    assert talk.sends() == []


def test_speech_before_the_response_began_cancels_it_when_it_begins_and_asks_again():
    talk = Ears()
    talk.feed(speech_started("U1"), speech_stopped("U1"), committed("U1"))
    assert len(talk.answered()) == 1
    talk.hears(200)
    talk.feed(speech_started("U2"), speech_stopped("U2"), committed("U2"))
    talk.feed(heard_user("U2", "and tomorrow"))
    assert talk.sends() == []
    talk.feed(created("R1"))
    assert talk.sends() == [events.ResponseCancel(response_id="R1")]
    talk.feed(done("R1", status="cancelled"))
    assert len(talk.answered()) == 1
    talk.feed(created("R2"), audio("A2", 100, "R2"))
    assert talk.sends() == []


def test_a_cancellation_that_comes_too_late_is_no_error_and_the_turn_is_answered():
    talk = Ears().is_answering()
    talk.hears(200)
    talk.feed(speech_started(), delta("stop"))
    talk.stopped(played("A1", 500, 9000))
    talk.feed(done("R1", message("A1")), error("response_cancel_not_active"))
    talk.feed(speech_stopped(), committed())
    assert len(talk.answered()) == 1
    assert not [one for one in talk.actions if "error" in str(one)]


def test_a_request_that_meets_a_running_response_is_made_again_after_it():
    talk = Ears()
    talk.feed(speech_started("U1"), speech_stopped("U1"), committed("U1"))
    (request,) = talk.answered()
    talk.feed(error("conversation_already_has_active_response", str(request.event_id)))
    assert talk.sends() == []
    talk.feed(done("R9"))
    assert len(talk.answered()) == 1


def test_a_backchannel_over_a_running_function_does_not_ask_for_an_answer_of_its_own():
    talk = Ears().is_answering()
    talk.feed(call("c1"), done("R1", message("A1")))
    talk.hears(100)
    talk.feed(speech_started(), speech_stopped(), committed(), heard_user("U2", "Okay."))
    assert talk.sends() == []
    talk.feed(inputs.ToolFinished("c1", "42"))
    assert [one.type for one in talk.sends()] == ["conversation.item.create", "response.create"]


def test_a_commit_without_speech_is_the_servers_own_and_not_answered_by_us():
    talk = Ears()
    talk.feed(events.InputAudioBufferTimeoutTriggered(item_id="U7"), committed("U7"))
    assert talk.sends() == []


def test_two_utterances_over_one_answer_are_judged_each_by_its_words():
    talk = Ears().is_answering()
    talk.hears(200)
    talk.feed(speech_started("U2"), speech_stopped("U2"), committed("U2"))
    talk.hears(100, voice=False)
    talk.hears(200)
    talk.feed(speech_started("U3"))
    assert FULL not in talk.feed(heard_user("U2", "Yeah."))
    assert StopPlayback() in talk.feed(delta("but why", "U3"))


def test_off_leaves_the_answer_alone_and_answers_after_it():
    talk = Ears(BargeInRules(mode="off")).is_answering()
    assert talk.hears(1500) == []
    talk.feed(speech_started(), speech_stopped(), committed(), heard_user("U2", "Stop."))
    assert not [one for one in talk.actions if isinstance(one, StopPlayback | SetGain)]
    assert talk.sends() == []
    talk.feed(done("R1", message("A1")))
    assert len(talk.answered()) == 1


def test_off_does_not_keep_a_key_from_stopping_the_answer():
    talk = Ears(BargeInRules(mode="off")).is_answering()
    assert StopPlayback() in talk.feed(inputs.InterruptPressed())


def test_a_server_that_insists_on_interrupting_is_told_of_and_left_to_it():
    talk = Talk(OURS, detection={"type": "server_vad"}, barge_in=LOCAL)
    talk.conversation = Conversation(Options(settings=OURS, barge_in=LOCAL))
    talk.feed(session_created(), session_updated({"type": "server_vad"}))
    assert len(talk.reports(NoteReport)) == 1
    talk.feed(created(), audio("A1", 5000))
    assert StopPlayback() in talk.feed(speech_started())
    talk.stopped(played("A1", 500, 5000))
    talk.feed(done(status="cancelled"), speech_stopped(), committed())
    assert [one.type for one in talk.sends()][1:] == ["conversation.item.truncate"]


# ---------------------------------------------------------------------------- with the real engine


def test_what_is_said_over_an_answer_is_heard_to_the_end_with_a_pause_or_cut_to_the_sample():
    pair = Pair(OURS, ["Go on.", "Mm-hmm.", "Stop."], rules=LOCAL)
    pair.pass_ms(200)
    pair.say(clip("goforward"))
    pcm = speech(9000)
    pair.answer(("A long answer. ", pcm))
    pair.pass_ms(600)
    pair.say(clip("cards_001"))
    assert [one.text for one in pair.told(FalseAlarmReport)] == ["Mm-hmm."]
    assert not pair.told(BargeInReport)
    pair.pass_ms(400)
    pair.say(clip("cards_001"), then_ms=1200)
    (cut,) = pair.told(BargeInReport)
    assert cut.by == "voice"
    (answer,) = pair.answers
    heard = pair.playout.heard(pair.at)
    assert heard == []
    remembered = pair.remembered(answer)
    assert remembered is not None
    assert pcm.startswith(remembered)
    # All that was heard, in pieces and partly soft, and not what was held.
    assert len(remembered) // 48 == cut.heard_ms
    assert 1500 < cut.heard_ms < 4500
    pair.answer(("Yes?", speech(300, 1)))
    assert len(pair.answers) == 2


def test_in_server_mode_the_pair_is_as_it_was():
    pair = Pair(words=["Go on.", "Mm-hmm."])
    pair.pass_ms(200)
    pair.say(clip("goforward"))
    pcm = speech(9000)
    pair.answer(("A long answer. ", pcm))
    pair.pass_ms(600)
    pair.say(clip("cards_001"))
    assert len(pair.told(BargeInReport)) == 1
    remembers_what_was_heard(pair, pair.answers[0], pcm)
