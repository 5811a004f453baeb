"""Expectations judged against what happened."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from voicecli.demo.clauses import (
    Absent,
    Answered,
    AnsweredWithin,
    Calls,
    CallsNothing,
    Clause,
    Confirmed,
    Contains,
    Interrupted,
    InterruptedWithin,
    Matches,
    NoErrors,
    TruncatedWithin,
    Turns,
    Whose,
    WordErrors,
)
from voicecli.demo.confirmed import confirmed
from voicecli.demo.steps import Expect, Place, Script, Step
from voicecli.demo.tables import shown_value
from voicecli.demo.witness import Called, Exchange, Facts
from voicecli.demo.words import place_of, word_errors, words_of

_MOST_WORDS: Final = 24
"Of what came, in a verdict."


@dataclass(frozen=True)
class Verdict:
    """What came of one clause of an expectation, or of a step that had a problem."""

    place: Place
    step: int | None
    "The step's place in the script, from 0; None: at the end of the script."
    wanted: str
    "As a sentence: `the assistant says 'tide'`."
    passed: bool
    came: str
    "What came instead, or what it was: `it said 'The moon.'`."
    is_skipped: bool = False
    "Not judged: it means nothing here (latencies on a clock that is not real)."


def judge(script: Script, facts: Facts, *, steps: Sequence[int] | None = None) -> list[Verdict]:
    """Judge what the script expects, in its order; the end of the script comes last.

    Args:
        script: the script that was played.
        facts: what happened.
        steps: only these steps, and not the end: for a judgement while the talk goes on, when
            `Facts.is_settled` says so.
    """
    problems = {one.step: one.problem for one in facts.acted if one.problem}
    verdicts: list[Verdict] = []
    for place, step in enumerate(script.steps):
        if steps is not None and place not in steps:
            continue
        if place in problems:
            verdicts.append(Verdict(step.place, place, step.text, False, problems[place]))
        verdicts += _judged(step, place, facts)
    if steps is None:
        for step in script.at_end:
            verdicts += _judged(step, None, facts)
    return verdicts


def _judged(step: Step, place: int | None, facts: Facts) -> Iterator[Verdict]:
    if not isinstance(step.verb, Expect):
        return
    exchange = facts.exchange(place)
    for clause, where in step.verb.placed(step.place):
        wanted = sentence(clause)
        if not exchange.was_begun:
            why = f": {facts.ended_by}" if facts.ended_by else ""
            yield Verdict(where, place, wanted, False, f"the talk did not come so far{why}")
        elif isinstance(clause, AnsweredWithin) and not facts.is_real_time:
            came = "not judged: time is not real here"
            yield Verdict(where, place, wanted, True, came, is_skipped=True)
        else:
            passed, came = _JUDGES[type(clause)](clause, exchange)
            yield Verdict(where, place, wanted, passed, came)


# ------------------------------------------------------------------------------ what is expected

_SAYS: Final[dict[Whose, str]] = {
    "user": "the user is understood to say",
    "assistant": "the assistant says",
    "heard": "the user hears",
}
_SAYS_NOT: Final[dict[Whose, str]] = {
    "user": "the user is not understood to say",
    "assistant": "the assistant does not say",
    "heard": "the user does not hear",
}
_SAID: Final[dict[Whose, str]] = {
    "user": "it understood",
    "assistant": "it said",
    "heard": "the user heard",
}
_SAID_NOTHING: Final[dict[Whose, str]] = {
    "user": "it understood nothing",
    "assistant": "it said nothing",
    "heard": "the user heard nothing",
}


def sentence(clause: Clause) -> str:  # noqa: C901
    """What is expected, as a sentence."""
    match clause:
        case Contains(whose, words):
            return f"{_SAYS[whose]} {words!r}"
        case Absent(whose, words):
            return f"{_SAYS_NOT[whose]} {words!r}"
        case Matches(whose, regex):
            return f"{_SAYS[whose]} what /{regex}/ finds"
        case WordErrors(whose, at_most):
            return f"{_SAYS[whose]} what is to be said, with {at_most:.0%} word errors at most"
        case Calls(name, arguments):
            return f"{name} is called{_with(arguments)}"
        case CallsNothing():
            return "no function is called"
        case Answered(wanted):
            return "an answer is heard" if wanted else "no answer is heard"
        case AnsweredWithin(ms):
            return f"the answer is heard within {ms:g} ms"
        case Interrupted(wanted):
            return "the answer is cut off" if wanted else "no answer is cut off"
        case InterruptedWithin(ms):
            return f"the answer falls silent within {ms:g} ms"
        case TruncatedWithin(ms):
            return f"the server is told what was heard within {ms:g} ms"
        case Turns(count):
            return f"the user takes {count} {'turn' if count == 1 else 'turns'}"
        case NoErrors():
            return "nothing goes wrong"
        case Confirmed(key, value):
            return f"the server confirms {key} = {shown_value(value)}"


def _with(arguments: Mapping[str, object]) -> str:
    return f" with {json.dumps(arguments, ensure_ascii=False)}" if arguments else ""


# ------------------------------------------------------------------------------------ what came

_Outcome: TypeAlias = tuple[bool, str]
"Whether it is as expected, and what came."


def _contains(clause: Contains, exchange: Exchange) -> _Outcome:
    text = exchange.words(clause.whose)
    place = place_of(words_of(clause.words), words_of(text))
    return place is not None, _came(clause.whose, text)


def _absent(clause: Absent, exchange: Exchange) -> _Outcome:
    text = exchange.words(clause.whose)
    place = place_of(words_of(clause.words), words_of(text))
    return place is None, _came(clause.whose, text)


def _matches(clause: Matches, exchange: Exchange) -> _Outcome:
    text = exchange.words(clause.whose)
    found = re.search(clause.regex, text, re.IGNORECASE)
    return found is not None, _came(clause.whose, text)


def _word_errors(clause: WordErrors, exchange: Exchange) -> _Outcome:
    text = exchange.words(clause.whose)
    reference = words_of(clause.text or exchange.reference or "")
    errors = word_errors(words_of(text), reference)
    rate = errors / max(1, len(reference))
    came = f"{rate:.0%}, {errors} of {len(reference)} words: {_came(clause.whose, text)}"
    return rate <= clause.at_most, came


def _came(whose: Whose, text: str) -> str:
    words = text.split()
    if not words:
        return _SAID_NOTHING[whose]
    if len(words) > _MOST_WORDS:
        words = [*words[: _MOST_WORDS // 2], "…", *words[-_MOST_WORDS // 2 :]]
    return f"{_SAID[whose]} {' '.join(words)!r}"


def _calls(clause: Calls, exchange: Exchange) -> _Outcome:
    passed = any(
        call.name == clause.name and _has(_arguments(call), clause.arguments)
        for call in exchange.calls
    )
    return passed, _called(exchange.calls)


def _calls_nothing(_: CallsNothing, exchange: Exchange) -> _Outcome:
    return not exchange.calls, _called(exchange.calls)


def _called(calls: Sequence[Called]) -> str:
    told = [f"{call.name}({call.arguments})" for call in calls]
    return f"it called {', '.join(told)}" if told else "no function was called"


def _arguments(call: Called) -> Any:
    try:
        return json.loads(call.arguments or "{}")
    except ValueError:
        return None


def _has(got: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; a number may be written in two ways."""
    if isinstance(wanted, Mapping):
        return isinstance(got, dict) and all(
            key in got and _has(got[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(_has, got, wanted))
    return isinstance(got, bool) == isinstance(wanted, bool) and bool(got == wanted)


def _answered(clause: Answered, exchange: Exchange) -> _Outcome:
    heard = [one for one in exchange.answers if one.is_heard]
    came = _came("heard", exchange.words("heard")) if heard else "no answer was heard"
    return bool(heard) == clause.wanted, came


def _answered_within(clause: AnsweredWithin, exchange: Exchange) -> _Outcome:
    if not exchange.latencies_ms:
        return False, "no answer was heard"
    worst = max(exchange.latencies_ms)
    return worst <= clause.ms, f"it took {worst} ms"


def _interrupted(clause: Interrupted, exchange: Exchange) -> _Outcome:
    count = len(exchange.cuts)
    came = {0: "no answer was cut off", 1: "an answer was cut off"}
    return bool(count) == clause.wanted, came.get(count, f"{count} answers were cut off")


def _interrupted_within(clause: InterruptedWithin, exchange: Exchange) -> _Outcome:
    times = [cut.after_ms for cut in exchange.cuts if cut.after_ms is not None]
    if not times:
        return False, "no answer was cut off"
    return max(times) <= clause.ms, f"it took {max(times)} ms"


def _truncated_within(clause: TruncatedWithin, exchange: Exchange) -> _Outcome:
    if not exchange.kept:
        return False, "the server was told to cut nothing off"
    worst = max(exchange.kept, key=lambda one: abs(one.told_ms - one.heard_ms))
    off_ms = abs(worst.told_ms - worst.heard_ms)
    came = f"heard were {worst.heard_ms:.0f} ms, and the server was told {worst.told_ms}"
    return off_ms <= clause.ms, came


def _turns(clause: Turns, exchange: Exchange) -> _Outcome:
    texts = [one.text for one in exchange.said if one.is_turn]
    told = f": {', '.join(map(repr, texts))}" if texts else ""
    return len(texts) == clause.count, f"there were {len(texts)}{told}"


def _no_errors(_: NoErrors, exchange: Exchange) -> _Outcome:
    return not exchange.errors, "; ".join(exchange.errors) or "nothing went wrong"


def _confirmed(clause: Confirmed, exchange: Exchange) -> _Outcome:
    if exchange.session is None:
        return False, "the server has confirmed no settings"
    told = confirmed(exchange.session)
    if clause.key not in told:
        return False, f"the server does not tell {clause.key}"
    return _has(told[clause.key], clause.value), f"it confirmed {shown_value(told[clause.key])}"


_JUDGES: Final[dict[type, Callable[[Any, Exchange], _Outcome]]] = {
    Contains: _contains,
    Absent: _absent,
    Matches: _matches,
    WordErrors: _word_errors,
    Calls: _calls,
    CallsNothing: _calls_nothing,
    Answered: _answered,
    AnsweredWithin: _answered_within,
    Interrupted: _interrupted,
    InterruptedWithin: _interrupted_within,
    TruncatedWithin: _truncated_within,
    Turns: _turns,
    NoErrors: _no_errors,
    Confirmed: _confirmed,
}
