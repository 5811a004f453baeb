"""Function calls: how they are asked for, sent, answered, cut off, and shown to the mind."""

from typing import Any

import pytest
from engine_fakes import Shown, Talk, clip, error, only, types

from voicecli.engine.dialogue.jobs import (
    Answer,
    AnswerArguments,
    AnswerAudio,
    AnswerCall,
    AnswerFinished,
    AnswerText,
    CancelAnswer,
    Prepare,
)
from voicecli.engine.dialogue.messages import NO_OFFER, Call, Message, Offer, Tool

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather.",
    "parameters": PARAMETERS,
}
DICE = {"type": "function", "name": "roll_dice"}
TOOLS = {"tools": [WEATHER, DICE]}
CALL_EVENTS = [
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "conversation.item.done",
    "response.output_item.done",
]


def call(talk: Talk, name: str = "get_weather", arguments: str = '{"city": "Rome"}') -> list[Shown]:
    """The mind calls a function, and has not ended yet."""
    job = talk.job(Answer).job
    return talk.give(AnswerCall(job, name)) + talk.give(AnswerArguments(job, arguments))


def finish(talk: Talk) -> list[Shown]:
    return talk.give(AnswerFinished(talk.job(Answer).job))


def output(talk: Talk, call_id: str, text: str) -> list[Shown]:
    item = {"type": "function_call_output", "call_id": call_id, "output": text}
    return talk.send("conversation.item.create", item=item)


def called(session: Shown | None = None) -> tuple[Talk, list[Shown]]:
    talk = Talk(TOOLS if session is None else session)
    talk.ask("What is the weather in Rome?")
    return talk, call(talk) + finish(talk)


def test_a_call_has_the_whole_order_of_events() -> None:
    _, told = called()
    assert types(told) == [*CALL_EVENTS, "response.done"]
    opening, item = told[0]["item"], told[5]["item"]
    assert opening == item | {"status": "in_progress", "arguments": ""}
    assert item == {
        "id": told[0]["item"]["id"],
        "type": "function_call",
        "status": "completed",
        "name": "get_weather",
        "call_id": "call_1",
        "arguments": '{"city": "Rome"}',
    }
    assert told[1]["item"] == opening
    assert (told[3]["name"], told[3]["arguments"]) == ("get_weather", '{"city": "Rome"}')
    response = told[-1]["response"]
    assert (response["status"], response["output"]) == ("completed", [item])
    assert response["usage"]["output_token_details"] == {"text_tokens": 7, "audio_tokens": 0}


def test_long_arguments_come_in_pieces_that_join_to_the_whole() -> None:
    talk = Talk(TOOLS)
    talk.ask()
    arguments = '{"city": "' + "x" * 300 + '"}'
    told = call(talk, arguments=arguments) + finish(talk)
    deltas = [one["delta"] for one in told if one["type"].endswith("arguments.delta")]
    assert len(deltas) > 5
    assert "".join(deltas) == arguments


def test_a_call_without_arguments_is_whole() -> None:
    talk = Talk(TOOLS)
    talk.ask()
    told = talk.give(AnswerCall(talk.job(Answer).job, "roll_dice")) + finish(talk)
    assert only(told, "response.function_call_arguments.done")["arguments"] == ""
    assert told[-1]["response"]["output"][0]["status"] == "completed"


def test_a_message_may_be_spoken_before_the_call() -> None:
    talk = Talk(TOOLS)
    talk.ask()
    told = talk.answer("Let me look.", finish=False) + call(talk) + finish(talk)
    assert types(told)[-7:] == [*CALL_EVENTS, "response.done"]
    assert types(told)[-9:-7] == ["conversation.item.done", "response.output_item.done"]
    message, function_call = told[-1]["response"]["output"]
    assert message["content"] == [{"type": "output_audio", "transcript": "Let me look."}]
    assert (message["status"], function_call["status"]) == ("completed", "completed")
    places = {one["output_index"] for one in told if one.get("item_id") == function_call["id"]}
    assert places == {1}
    added = [one for one in told if one["type"] == "conversation.item.added"]
    assert added[1]["previous_item_id"] == message["id"]


def test_several_calls_and_words_after_them_are_items_of_their_own() -> None:
    talk = Talk(TOOLS)
    talk.ask()
    told = call(talk) + call(talk, "roll_dice", "{}") + talk.answer("One moment.")
    kinds = [one["type"] for one in told[-1]["response"]["output"]]
    assert kinds == ["function_call", "function_call", "message"]
    ids = [one["call_id"] for one in told[-1]["response"]["output"][:2]]
    assert len(set(ids)) == 2


def test_the_result_is_spoken_by_the_next_response() -> None:
    talk, told = called()
    call_id = told[0]["item"]["call_id"]
    assert types(output(talk, call_id, "rain")) == [
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert types(talk.send("response.create")) == ["response.created"]
    assert talk.job(Answer).messages[1:] == (
        Message("user", "What is the weather in Rome?"),
        Message("assistant", "", calls=(Call(call_id, "get_weather", '{"city": "Rome"}'),)),
        Message("tool", "rain", call_id=call_id),
    )
    done = talk.answer("It rains.")[-1]["response"]
    assert done["output"][0]["content"][0]["transcript"] == "It rains."


def test_an_output_may_be_sent_before_the_response_with_the_call_is_done() -> None:
    talk = Talk(TOOLS)
    talk.ask()
    call_id = call(talk)[0]["item"]["call_id"]
    assert "error" not in types(output(talk, call_id, "rain"))
    finish(talk)
    talk.send("response.create")
    assert talk.job(Answer).messages[-1] == Message("tool", "rain", call_id=call_id)


def test_an_output_of_no_call_is_refused() -> None:
    talk, _ = called()
    assert error(output(talk, "other", "rain"))["param"] == "item.call_id"


def test_a_barge_in_cuts_a_call_off_and_the_mind_forgets_it() -> None:
    talk = Talk(TOOLS)
    talk.ask()
    talk.answer("Let me look.", finish=False)
    call(talk, arguments='{"city": "Ro')
    told = talk.hear(clip()[: 48 * 600])
    assert types(told)[1:] == [
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    message, cut = told[-1]["response"]["output"]
    assert (message["status"], cut["status"]) == ("completed", "incomplete")
    assert cut["arguments"] == '{"city": "Ro'
    assert told[-1]["response"]["status_details"]["reason"] == "turn_detected"
    assert CancelAnswer(talk.job(Answer).job) in talk.jobs
    talk.send("input_audio_buffer.clear")
    talk.ask("And?")
    assert not [one for one in talk.job(Answer).messages if one.calls]


def test_cancel_leaves_a_call_incomplete() -> None:
    talk = Talk(TOOLS)
    talk.ask()
    call(talk)
    told = talk.send("response.cancel")
    assert told[-1]["response"]["output"][0]["status"] == "incomplete"
    assert talk.give(AnswerArguments(talk.job(Answer).job, "}")) == []


def test_a_call_too_long_for_its_tokens_is_incomplete() -> None:
    talk = Talk(TOOLS | {"max_output_tokens": 5})
    talk.ask()
    told = call(talk, arguments="x" * 100)
    response = told[-1]["response"]
    assert response["status_details"]["reason"] == "max_output_tokens"
    assert response["output"][0]["arguments"] == "x" * 9
    assert response["output"][0]["status"] == "incomplete"
    assert response["usage"]["output_tokens"] == 5


def test_a_call_for_which_there_are_no_tokens_is_not_begun() -> None:
    talk = Talk(TOOLS | {"max_output_tokens": 1})
    talk.ask()
    told = talk.give(AnswerCall(talk.job(Answer).job, "get_weather"))
    assert types(told) == ["response.done"]
    assert told[-1]["response"]["output"] == []


def test_an_out_of_band_call_joins_no_conversation() -> None:
    talk = Talk()
    talk.send("response.create", response={"conversation": "none", **TOOLS})
    told = call(talk) + finish(talk)
    assert not [one for one in types(told) if one.startswith("conversation.")]
    assert error(output(talk, told[0]["item"]["call_id"], "rain"))["code"] == "invalid_value"


GET_WEATHER = Tool("get_weather", "The weather.", PARAMETERS)
ROLL_DICE = Tool("roll_dice")


@pytest.mark.parametrize(
    ("choice", "offer"),
    [
        ("auto", Offer((GET_WEATHER, ROLL_DICE))),
        ("none", NO_OFFER),
        ("required", Offer((GET_WEATHER, ROLL_DICE), "required")),
        ({"type": "function", "name": "roll_dice"}, Offer((ROLL_DICE,), "required")),
    ],
)
def test_the_mind_is_offered_what_the_choice_says(choice: Any, offer: Offer) -> None:
    talk = Talk({**TOOLS, "tool_choice": choice})
    talk.ask()
    assert talk.job(Answer).offer == offer


def test_a_response_may_have_tools_of_its_own() -> None:
    talk = Talk({"tools": [WEATHER]})
    talk.say("Hi.")
    response = {"tools": [DICE], "tool_choice": "required"}
    talk.send("response.create", response=response)
    assert talk.job(Answer).offer == Offer((ROLL_DICE,), "required")
    talk.answer("Hello.")
    talk.send("response.create", response={"tool_choice": "none"})
    assert talk.job(Answer).offer == NO_OFFER


def test_remote_servers_are_accepted_and_not_offered() -> None:
    talk = Talk({"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x"}, DICE]})
    talk.ask()
    assert talk.job(Answer).offer == Offer((ROLL_DICE,))


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"tools": {}}, "invalid_type", "tools"),
        ({"tools": [{"name": "f"}]}, "missing_required_parameter", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]},
         "missing_required_parameter", "tools[0].name"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "invalid_value", "tools[0].name"),
        ({"tools": [{"type": "function", "name": "x" * 65}]}, "invalid_value", "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f", "parameters": []}]},
         "invalid_type", "tools[0].parameters"),
        ({"tools": [{"type": "function", "name": "f", "description": 1}]},
         "invalid_type", "tools[0].description"),
        ({"tools": [DICE, DICE]}, "invalid_value", "tools"),
        ({"tools": [{"type": "browser"}]}, "invalid_value", "tools[0].type"),
        ({"tools": [DICE] * 129}, "invalid_value", "tools"),
        ({"tool_choice": "perhaps"}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "tool_choice.name"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "invalid_value", "tool_choice.name"),
    ],
)  # fmt: skip
def test_bad_tools_are_refused(session: Shown, code: str, param: str) -> None:
    for where in ("session", "response"):
        talk = Talk()
        if where == "session":
            told = talk.send("session.update", session={"type": "realtime", **session})
        else:
            told = talk.send("response.create", response=session)
        assert types(told) == ["error"]
        assert (error(told)["code"], error(told)["param"]) == (code, f"{where}.{param}")
        talk.ask()
        assert talk.job(Answer).offer == NO_OFFER


def create(talk: Talk, *items: Shown) -> None:
    for item in items:
        assert "error" not in types(talk.send("conversation.item.create", item=item))


def call_item(call_id: str) -> Shown:
    return {"type": "function_call", "name": "f", "arguments": "{}", "call_id": call_id}


def output_item(call_id: str) -> Shown:
    return {"type": "function_call_output", "call_id": call_id, "output": f"result of {call_id}"}


def shown(talk: Talk) -> list[tuple[str, str]]:
    """Role and text of what the mind is shown; a call by its id."""
    talk.send("response.create")
    messages = talk.job(Answer).messages[1:]
    return [
        (one.role, ",".join([one.text] * bool(one.text) + [call.id for call in one.calls]))
        for one in messages
    ]


def test_each_call_is_shown_with_its_result_whatever_came_between() -> None:
    talk = Talk()
    create(talk, call_item("a"), call_item("b"), output_item("b"))
    talk.say("Hurry up.")
    create(talk, output_item("a"))
    assert shown(talk) == [
        ("assistant", "a,b"),
        ("tool", "result of a"),
        ("tool", "result of b"),
        ("user", "Hurry up."),
    ]


def test_calls_that_follow_on_results_are_not_made_one_step() -> None:
    talk = Talk()
    create(talk, call_item("a"), output_item("a"), call_item("b"), output_item("b"))
    assert [role for role, _ in shown(talk)] == ["assistant", "tool", "assistant", "tool"]


def test_a_call_is_shown_together_with_what_was_said_before_it() -> None:
    talk = Talk()
    said = [{"type": "output_text", "text": "Let me see."}]
    create(talk, {"type": "message", "role": "assistant", "content": said}, call_item("a"))
    assert shown(talk)[0] == ("assistant", "Let me see.,a")


def test_a_call_without_a_result_says_so() -> None:
    talk = Talk()
    create(talk, call_item("a"))
    assert shown(talk) == [("assistant", "a"), ("tool", '{"error": "there is no result yet"}')]


def test_a_result_whose_call_was_deleted_is_shown_as_words() -> None:
    talk = Talk()
    create(talk, call_item("a") | {"id": "gone"}, output_item("a"))
    talk.send("conversation.item.delete", item_id="gone")
    assert shown(talk) == [("user", "[result of a call: result of a]")]


def test_arguments_without_a_call_are_ignored() -> None:
    talk = Talk(TOOLS)
    talk.ask()
    job = talk.job(Answer).job
    talk.give(AnswerText(job, "Hello."))
    assert talk.give(AnswerArguments(job, "{}")) == []
    assert types(talk.give(AnswerAudio(job, b"\0\0"))) == ["response.output_audio.delta"]


def test_the_mind_is_told_of_new_instructions_and_functions_ahead_of_the_first_answer() -> None:
    talk = Talk({"instructions": "Be kind.", **TOOLS})
    assert talk.take_jobs() == [Prepare("Be kind.", Offer((GET_WEATHER, ROLL_DICE)))]
    talk.send("session.update", session={"type": "realtime", "instructions": "Be kind."})
    talk.send("session.update", session={"type": "realtime", "max_output_tokens": 9})
    assert talk.take_jobs() == []
    talk.send("session.update", session={"type": "realtime", "tool_choice": "none"})
    assert talk.take_jobs() == [Prepare("Be kind.", NO_OFFER)]
