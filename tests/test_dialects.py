"""Servers of the old shape: their names, and the settings they are sent."""

import copy

import pytest

from voicecli.protocol.dialects import BETA_EVENT_NAMES, to_beta_session, to_ga_name
from voicecli.protocol.events import SERVER_EVENTS
from voicecli.protocol.settings import SessionSettings

GA_NAMES = [event.__struct_config__.tag for event in SERVER_EVENTS]


@pytest.mark.parametrize("old", BETA_EVENT_NAMES)
def test_an_old_name_leads_to_an_event_of_today_and_is_none_itself(old):
    assert to_ga_name(old) in GA_NAMES
    assert old not in GA_NAMES


@pytest.mark.parametrize("name", [*GA_NAMES, "no.such.event", ""])
def test_other_names_stay_as_they_are(name):
    assert to_ga_name(name) == name


def test_the_settings_given_are_not_changed():
    settings = SessionSettings(voice="alloy").to_wire()
    before = copy.deepcopy(settings)
    to_beta_session(settings)
    assert settings == before


def test_manual_turns_and_no_transcript_stay_nulls():
    beta = to_beta_session(SessionSettings(turn_detection=None).to_wire())
    assert beta["turn_detection"] is None
    assert beta["input_audio_transcription"] is None
    assert beta["input_audio_noise_reduction"] is None


def test_only_what_is_to_change_is_sent():
    assert to_beta_session({"type": "realtime", "instructions": "x"}) == {"instructions": "x"}
    assert to_beta_session({"output_modalities": ["text"]}) == {"modalities": ["text"]}
    assert to_beta_session({"audio": {"output": {"speed": 1.5}}}) == {"speed": 1.5}
    assert to_beta_session({"audio": None}) == {}
