import threading
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.engine.dialogue.messages import (
    NO_OFFER,
    Call,
    CallArguments,
    CallStart,
    Message,
    Offer,
    Piece,
    Tool,
)
from voicecli.engine.minds.arithmetic import number_words, solve
from voicecli.engine.minds.rules import STORY, RulesFirst, RulesMind

NOW = datetime(2026, 11, 24, 15, 5)


def rules() -> RulesMind:
    return RulesMind(lambda: NOW)


def ask(text: str, *earlier: Message) -> str:
    messages = [*earlier, Message("user", text)]
    return "".join(rules().reply(messages, stopped=lambda: False))


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ("What is fifteen plus twenty-seven?", "42"),
        ("What's 15 plus 27?", "42"),
        ("15 + 27", "42"),
        ("fifteen plus twenty seven", "42"),
        ("Two plus three times four.", "14"),
        ("How much is ten minus twelve?", "-2"),
        ("minus five plus three", "-2"),
        ("5 - -3", "8"),
        ("5-3", "2"),
        ("three point five times two", "7"),
        ("Ten over four.", "2.5"),
        ("10 divided by 3", "about 3.3333"),
        ("nine multiplied by nine", "81"),
        ("what is 15% of 80", "12"),
        ("one hundred and five minus six", "99"),
        ("1,250 minus 250", "1000"),
        ("Can you tell me what 6 x 7 is?", "42"),
        ("subtract 3 from ten", "7"),
        ("add five and three", "8"),
        ("divide 9 by 2", "4.5"),
        ("five thousand two hundred and twelve plus one", "5213"),
    ],
)
def test_a_sum_is_answered(question: str, result: str) -> None:
    assert ask(question).endswith(f" is {result}.")


def test_nothing_is_divided_by_zero() -> None:
    assert ask("What is ten divided by zero?") == "Nothing can be divided by zero."


@pytest.mark.parametrize(
    "text",
    [
        "Ten of clubs.",
        "two nine three four zero",
        "What is 5 plus three apples?",
        "What is two plus",
        "twenty",
        "",
    ],
)
def test_what_is_no_sum_is_not_solved(text: str) -> None:
    assert solve(text) is None


@given(st.integers(0, 99_999), st.integers(0, 99_999))
def test_sums_in_words_and_in_digits_agree_with_python(one: int, other: int) -> None:
    expected = f"{one} plus {other} is {one + other}."
    assert solve(f"{number_words(one)} plus {number_words(other)}") == expected
    assert solve(f"{one} + {other}") == expected


@given(st.text(max_size=80))
def test_any_text_gets_an_answer(text: str) -> None:
    assert ask(text)


@pytest.mark.parametrize(
    "question",
    ["What time is it?", "Hello, what time is it please?", "Tell me the time.", "what's the time"],
)
def test_the_time_is_told(question: str) -> None:
    assert ask(question) == "It is 3:05 PM."


@pytest.mark.parametrize(
    "question",
    [
        "What day is it?",
        "What's today's date?",
        "Could you tell me the date?",
        "What day is today?",
    ],
)
def test_the_date_is_told(question: str) -> None:
    assert ask(question) == "Today is Tuesday, November 24, 2026."


def test_tomorrow_is_the_next_day() -> None:
    assert ask("What day is it tomorrow?") == "Tomorrow is Wednesday, November 25, 2026."


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Hello.", "Hello! What can I do for you?"),
        ("Hi there!", "Hello! What can I do for you?"),
        ("Thank you very much.", "You are welcome."),
        ("Goodbye!", "Goodbye! Talk to you soon."),
        ("Who are you?", "I am the voice inside voicecli. I run on your own machine."),
        ("Repeat after me, the quick brown fox.", "The quick brown fox."),
        ("Say hello world", "Hello world"),
        ("Count to seven.", "One, two, three, four, five. Six, seven."),
        ("Count from three to one", "Three, two, one."),
        ("Go forward ten meters.", "You said: Go forward ten meters."),
        ("What time does the store close?", "You said: What time does the store close?"),
        ("...", "I did not hear anything."),
        ("Tell me a long story.", STORY),
    ],
)
def test_small_talk(said: str, answer: str) -> None:
    assert ask(said) == answer


def test_help_names_what_it_can_do() -> None:
    assert "do sums" in ask("What can you do?")


def test_it_remembers_what_both_sides_said() -> None:
    earlier = (Message("user", "My name is Ada"), Message("assistant", "Hello Ada."))
    assert ask("What did I just say?", *earlier) == "You said: My name is Ada."
    assert ask("Say that again.", *earlier) == "Hello Ada."
    assert ask("What did I say?") == "You have not said much yet."


def test_a_long_utterance_is_quoted_in_part() -> None:
    answer = ask("word " * 100)
    assert len(answer) < 140
    assert answer.endswith("...")


def test_the_story_comes_sentence_by_sentence() -> None:
    pieces = list(rules().reply([Message("user", "Tell me a story")], stopped=lambda: False))
    assert len(pieces) >= 12
    assert "".join(pieces) == STORY


def test_a_stop_ends_the_story_before_the_next_sentence() -> None:
    stop = threading.Event()
    heard = []
    for piece in rules().reply([Message("user", "Tell me a story")], stopped=stop.is_set):
        heard.append(piece)
        if len(heard) == 2:
            stop.set()
    assert len(heard) == 2


def test_a_bound_on_the_length_is_kept() -> None:
    messages = [Message("user", "Tell me a story")]
    text = "".join(rules().reply(messages, stopped=lambda: False, max_tokens=10))
    assert len(text.split()) == 10


class Parrot:
    """A mind that is easy to tell from the rules."""

    name = "parrot"

    def reply(self, messages, *, stopped, max_tokens=None, offer=NO_OFFER):
        yield f"parrot {messages[-1].text}"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("What is 2 plus 2?", "2 plus 2 is 4."),
        ("What time is it?", "It is 3:05 PM."),
        ("Tell me a joke.", "parrot Tell me a joke."),
        ("Why is the sky blue?", "parrot Why is the sky blue?"),
    ],
)
def test_rules_answer_first_only_what_they_are_sure_of(said: str, answer: str) -> None:
    mind = RulesFirst(rules(), Parrot())
    assert mind.name == "parrot"
    assert "".join(mind.reply([Message("user", said)], stopped=lambda: False)) == answer


@pytest.mark.parametrize("heard", ["Ten of clubs,", "Ten of clubs", "Ten of clubs."])
def test_what_is_quoted_ends_with_one_full_stop(heard: str) -> None:
    assert ask(heard) == "You said: Ten of clubs."


WEATHER = Tool(
    "get_weather",
    "",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
TIME = Tool("get_time")


def pieces(said: str, *tools: Tool, mind: Any = None, **more: Any) -> list[Piece]:
    messages = [Message("user", said), *more.get("then", ())]
    offer = Offer(tools, more.get("choice", "auto"))
    return list((mind or rules()).reply(messages, stopped=lambda: False, offer=offer))


def test_a_function_that_is_named_is_called_before_any_rule_answers() -> None:
    assert pieces("What time is it?", WEATHER) == ["It is 3:05 PM."]
    assert pieces("What time is it?", TIME) == [CallStart("get_time"), CallArguments("{}")]


def test_the_result_of_a_function_is_told_once() -> None:
    call = Call("c", "get_weather", "{}")
    then = [Message("assistant", "", calls=(call,)), Message("tool", "rain", call_id="c")]
    assert pieces("The weather in Rome?", WEATHER, then=then) == ["Rain."]
    assert pieces("The weather in Rome?", WEATHER, then=then, choice="required") == ["Rain."]
    then += [Message("assistant", "Rain."), Message("user", "What did you say?")]
    assert pieces("The weather in Rome?", WEATHER, then=then) == ["Rain."]
    then[-1] = Message("user", "And the weather in Oslo?")
    assert pieces("The weather in Rome?", WEATHER, then=then)[0] == CallStart("get_weather")


def test_where_there_is_a_model_it_says_what_to_call_and_what_to_tell() -> None:
    mind = RulesFirst(rules(), Parrot())
    assert pieces("What time is it?", WEATHER, mind=mind) == ["It is 3:05 PM."]
    assert pieces("What time is it?", TIME, mind=mind) == ["parrot What time is it?"]
    then = [Message("tool", "rain", call_id="c")]
    assert pieces("Weather?", WEATHER, mind=mind, then=then) == ["parrot rain"]


def test_the_story_goes_on_with_the_sentence_in_which_it_was_cut_off() -> None:
    first, second, *_ = STORY.split(". ")
    heard = Message("assistant", f"{first}. {second[:20]}")
    between = [Message("user", "Thank you."), Message("assistant", "You are welcome.")]
    assert ask("Please go on.", heard) == STORY[len(first) + 2 :]
    assert ask("Go on.", heard, *between) == STORY[len(first) + 2 :]
    assert ask("Go on.", Message("assistant", f"{first}.")) == STORY[len(first) + 2 :]
    assert ask("Go on.", Message("assistant", first[:9])) == STORY
    assert ask("Go on.", Message("assistant", STORY)) == "That was the whole story."
    assert ask("Go on.") == "I have nothing to go on with."
