"""The calls that the model waits for: taken once, answered once."""

import pytest

from voicecli.protocol.objects import Item
from voicecli.toolcalls import Call, ToolCalls

ITEM = Item(
    {"id": "i", "type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'}
)
CALL = Call("i", "c", "f", '{"a": 1}')


def test_a_call_is_started_once_however_often_it_is_announced():
    calls = ToolCalls()
    assert calls.start(ITEM) == CALL
    assert calls.start(ITEM) is None
    calls.finished("c")
    assert calls.start(ITEM) is None


def test_a_call_is_answered_once():
    calls = ToolCalls()
    calls.start(ITEM)
    assert calls.are_running
    assert calls.finished("c") == CALL
    assert not calls.are_running
    assert calls.finished("c") is None
    assert calls.finished("other") is None


@pytest.mark.parametrize(
    "change", [{"type": "message"}, {"type": "mcp_call"}, {"call_id": ""}, {"call_id": None}]
)
def test_what_is_no_call_or_has_no_id_to_answer_to_is_not_started(change):
    calls = ToolCalls()
    assert calls.start(Item(ITEM.fields | change)) is None
    assert not calls.are_running


def test_a_call_whose_item_has_no_id_goes_by_its_call_id():
    assert ToolCalls().start(Item(ITEM.fields | {"id": ""})).item_id == "c"
