"""One response at a time: requests, the races they meet, and what must not be heard."""

from voicecli.protocol.events import ResponseCancel, ResponseCreate
from voicecli.responses import Responses

ALREADY_ACTIVE = "conversation_already_has_active_response"


def create(number: int) -> ResponseCreate:
    return ResponseCreate(event_id=f"create_{number}")


def test_a_wish_becomes_one_request():
    responses = Responses()
    assert responses.next_request() is None
    responses.want()
    responses.want()
    assert responses.is_busy
    assert responses.next_request() == create(1)
    assert responses.next_request() is None
    assert responses.is_busy


def test_a_wish_waits_for_the_active_response_to_end():
    responses = Responses()
    responses.created("R1")
    responses.want()
    assert responses.next_request() is None
    assert responses.done("R1") is False
    assert responses.next_request() == create(1)


def test_the_end_of_another_response_frees_nothing():
    responses = Responses()
    responses.created("R2")
    responses.want()
    responses.done("R1")
    assert responses.active == "R2"
    assert responses.next_request() is None


def test_a_response_that_begins_by_itself_grants_a_wish_that_was_not_sent_yet():
    responses = Responses()
    responses.created("R1")
    responses.want()
    responses.done("R1")
    responses.created("R2")
    responses.done("R2")
    assert responses.next_request() is None
    assert not responses.is_busy


def test_a_wish_made_after_a_request_was_sent_is_not_granted_by_the_answer_to_that_request():
    responses = Responses()
    responses.want()
    assert responses.next_request() == create(1)
    responses.want()
    responses.created("R1")
    responses.done("R1")
    assert responses.next_request() == create(2)


def test_what_is_typed_while_a_request_is_on_its_way_is_answered_although_that_one_is_cancelled():
    responses = Responses()
    responses.want()
    responses.next_request()
    assert responses.cancel() is None
    responses.want()
    assert responses.created("R1") == ResponseCancel(response_id="R1")
    assert responses.done("R1") is True
    assert responses.next_request() == create(2)


def test_a_request_that_met_a_running_response_is_made_again_when_that_has_ended():
    responses = Responses()
    responses.want()
    responses.next_request()
    responses.created("R1")
    assert responses.refused("create_1", ALREADY_ACTIVE)
    assert responses.next_request() is None
    responses.done("R1")
    assert responses.next_request() == create(2)


def test_a_collision_that_names_no_event_is_ours_all_the_same():
    responses = Responses()
    responses.want()
    responses.next_request()
    assert responses.refused("", ALREADY_ACTIVE)
    assert responses.next_request() is None
    responses.done("of another")
    assert responses.next_request() == create(2)


def test_a_request_refused_for_good_is_not_repeated():
    responses = Responses()
    responses.want()
    responses.next_request()
    assert responses.refused("create_1", "insufficient_quota")
    assert responses.next_request() is None
    assert not responses.is_busy


def test_a_refusal_of_something_else_changes_nothing():
    responses = Responses()
    assert not responses.refused("create_1", ALREADY_ACTIVE)
    responses.want()
    responses.next_request()
    assert not responses.refused("other", ALREADY_ACTIVE)
    responses.created("R1")
    assert not responses.refused("", "invalid_value")
    assert responses.is_busy


def test_a_silenced_response_stays_silenced_and_the_next_one_is_heard():
    responses = Responses()
    responses.created("R1")
    responses.silence()
    assert responses.is_silenced("R1")
    responses.created("R2")
    assert responses.is_silenced("R1")
    assert not responses.is_silenced("R2")
    assert responses.done("R1") is True
    assert responses.is_silenced("R1")


def test_silencing_nothing_silences_nothing_that_comes_later():
    responses = Responses()
    responses.silence()
    responses.created("R1")
    assert not responses.is_silenced("R1")


def test_what_is_active_is_cancelled_once():
    responses = Responses()
    responses.created("R1")
    assert responses.cancel() == ResponseCancel(response_id="R1")
    assert responses.cancel() is None
    assert responses.is_silenced("R1")


def test_a_cancellation_that_overtakes_the_creation_waits_for_it():
    responses = Responses()
    responses.want()
    responses.next_request()
    assert responses.cancel() is None
    assert responses.created("R1") == ResponseCancel(response_id="R1")
    assert responses.is_silenced("R1")
    responses.done("R1")
    assert responses.created("R2") is None


def test_a_wish_that_was_not_sent_can_be_taken_back():
    responses = Responses()
    responses.created("R1")
    responses.want()
    responses.cancel()
    responses.done("R1")
    assert responses.next_request() is None
