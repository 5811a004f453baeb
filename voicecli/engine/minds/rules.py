"""A mind without weights: small talk, the clock, sums, and saying back what was heard.

It answers the same question the same way, in no measurable time, which is what tests and demos
want. It knows which of its answers are right (the time, a sum) and which are only better than
silence; `RulesFirst` gives the latter to a model.

Pure: the local time comes in as a function.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from voicecli.engine.dialogue.messages import (
    NO_OFFER,
    CallArguments,
    CallStart,
    Message,
    Offer,
    Piece,
)
from voicecli.engine.dialogue.tool_schemas import spoken_name
from voicecli.engine.minds.arithmetic import number_words, read_number, solve
from voicecli.engine.minds.mind import Mind, Preparing
from voicecli.engine.minds.sentences import SentenceSplitter
from voicecli.engine.minds.tool_words import Wanted, spoken_result, wanted

_QUOTED_CHARS = 120
_COUNT_LIMIT = 100
_COUNTED_IN_A_BREATH = 5

# Not `strftime`: the answer is English whatever the locale.
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)

STORY = (
    "Once upon a time there was a lighthouse at the end of a long stone pier. "
    "Its keeper was called Ada, and she had never missed a night. "
    "Every evening she climbed two hundred steps and lit the lamp. "
    "One autumn a fog came in so thick that the light did not reach the water. "
    "Ada heard a ship's bell out there, faint and coming closer. "
    "She rang her own bell, but the fog swallowed the sound. "
    "So she went down to the pier and began to sing. "
    "She sang every song she knew, and then she sang the shopping list. "
    "On the ship the captain lifted a hand and told everyone to be quiet. "
    "They turned slowly toward the voice, and the pier came out of the fog beside them. "
    "Nobody was hurt, and the captain bought all the potatoes on the list. "
    "Since that night the lamp has had a rest whenever there is fog, and Ada sings."
)
"Twelve sentences, long enough to be interrupted."


@dataclass(frozen=True, slots=True)
class Answer:
    """What the rules say."""

    text: str
    sure: bool = True
    "False where a model would do better."
    call: Wanted | None = None
    "The function to call, without saying anything."


@dataclass(frozen=True, slots=True)
class _Asked:
    text: str
    "As it was heard, less white space."
    plain: str
    "In lower case, without punctuation."
    bare: str
    "Without what is polite at its ends."
    earlier: Sequence[Message]
    now: Callable[[], datetime]

    def last(self, role: str) -> str:
        """What this side said before; "" if nothing."""
        said = (one.text for one in reversed(self.earlier) if one.role == role and one.text)
        return next(said, "")


class RulesMind:
    """Answers by rules alone; needs no weights and may be used from any thread.

    Args:
        now: the local time.
    """

    name = "rules"

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def answer(self, messages: Sequence[Message], offer: Offer = NO_OFFER) -> Answer:
        """The answer to the last thing the user said, or to what functions gave back since."""
        said = [message for message in messages if message.role != "system"]
        last = next((i for i in reversed(range(len(said))) if said[i].role == "user"), None)
        text = said[last].text.strip() if last is not None else ""
        plain = _plain(text)
        since = said if last is None else said[last:]
        results = [one.text for one in since if one.role == "tool"]
        if results:
            return Answer(" ".join(map(spoken_result, results)), sure=False)
        if last is None or not plain:
            return Answer("I did not hear anything.", sure=False)
        if (call := wanted(text, offer)) is not None:
            return _called(call)
        asked = _Asked(text, plain, _without_courtesy(plain), said[:last], self._now)
        for skill in _SKILLS:
            if (answer := skill(asked)) is not None:
                return answer
        return Answer(f"You said: {_quoted(text)}", sure=False)

    def reply(
        self,
        messages: Sequence[Message],
        *,
        stopped: Callable[[], bool],
        max_tokens: int | None = None,
        offer: Offer = NO_OFFER,
    ) -> Iterator[Piece]:
        """See `Mind.reply`; one sentence at a time, a token is a word.

        A function is called when its name is said or clear words of it (`tool_words`), unless one
        was called since the user spoke: then its result is spoken.
        """
        answer = self.answer(messages, offer)
        if answer.call is not None:
            return iter((CallStart(answer.call.tool.name), CallArguments(answer.call.json)))
        return spoken_by_sentence(answer.text, stopped, max_tokens)


class RulesFirst:
    """Lets the rules answer what they are sure of, and a model the rest.

    Small models read no clock and cannot add; and the rules do not keep anyone waiting.
    """

    def __init__(self, rules: RulesMind, mind: Mind) -> None:
        self._rules = rules
        self._mind = mind

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._mind.name

    def reply(
        self,
        messages: Sequence[Message],
        *,
        stopped: Callable[[], bool],
        max_tokens: int | None = None,
        offer: Offer = NO_OFFER,
    ) -> Iterator[Piece]:
        """See `Mind.reply`; whether a function is called is for the model to say."""
        answer = self._rules.answer(messages, offer)
        if answer.sure and answer.call is None:
            return spoken_by_sentence(answer.text, stopped, max_tokens)
        return self._mind.reply(messages, stopped=stopped, max_tokens=max_tokens, offer=offer)

    def prepare(self, instructions: str, offer: Offer) -> None:
        """See `Preparing`."""
        if isinstance(self._mind, Preparing):
            self._mind.prepare(instructions, offer)


def spoken_by_sentence(
    text: str, stopped: Callable[[], bool], max_words: int | None = None
) -> Iterator[str]:
    """A finished text as a mind's stream: sentences that joined are the text."""
    if max_words is not None:
        text = " ".join(text.split()[:max_words])
    splitter = SentenceSplitter()
    gap = ""
    for sentence in [*splitter.push(text), *splitter.finish()]:
        if stopped():
            return
        yield gap + sentence
        gap = " "


def _called(call: Wanted) -> Answer:
    if not call.missing:
        return Answer("", call=call)
    name = spoken_name(call.tool.name)
    # The way is unsure, so that a model may look at the conversation for what is missing.
    return Answer(f"To {name}, I need to know the {' and the '.join(call.missing)}.", sure=False)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w']+", text.lower().replace("’", "'")))


_BEFORE = re.compile(
    r"^(?:(?:hey|hi|hello|ok|okay|please|so|well|um|uh|and|now|then|can you|could you|would you"
    r"|will you|tell me|give me|do you know|i want to know|i would like to know"
    r"|i'd like to know) )+"
)
_AFTER = re.compile(r"(?: (?:please|right now|now|for me|then|thanks|thank you|there))+$")


def _without_courtesy(plain: str) -> str:
    return _AFTER.sub("", _BEFORE.sub("", plain))


def _quoted(text: str) -> str:
    if len(text) > _QUOTED_CHARS:
        return text[:_QUOTED_CHARS].rsplit(" ", 1)[0].rstrip(" ,;:.") + "..."
    # The ears end a sentence with whatever its melody suggests.
    return text if text[-1] in ".!?" else f"{text.rstrip(' ,;:-')}."


_Skill = Callable[[_Asked], Answer | None]


def _said(pattern: str, text: str, *, sure: bool = True) -> _Skill:
    """A skill that gives one answer when the bare or the plain text is the pattern's."""
    compiled = re.compile(pattern)

    def skill(asked: _Asked) -> Answer | None:
        if compiled.fullmatch(asked.plain) or compiled.fullmatch(asked.bare):
            return Answer(text, sure)
        return None

    return skill


_REPEAT = re.compile(
    r"(?:(?:please|now|can you|could you|would you),? )*"
    r"(?P<how>repeat after me|say after me|repeat|say)(?: the words?)?[,:.]*\s+(?P<what>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
# "Say something funny" asks for an idea, not for an echo.
_IDEA = re.compile(r"(?:something|anything|some|a|an|what|it|that|hello to|hi to)\b", re.IGNORECASE)


def _repeat(asked: _Asked) -> Answer | None:
    found = _REPEAT.fullmatch(asked.text)
    if found is None:
        return None
    if "after me" not in found["how"].lower() and _IDEA.match(found["what"]):
        return None
    what = found["what"].strip(" \"'“”‘’")
    return Answer(what[:1].upper() + what[1:]) if what else None


def _memory(asked: _Asked) -> Answer | None:
    if re.fullmatch(
        r"(?:what did i|what have i|what i)(?: just)? (?:say|said)(?: before| last| just now)*",
        asked.bare,
    ):
        earlier = asked.last("user")
        return Answer(f"You said: {_quoted(earlier)}" if earlier else "You have not said much yet.")
    if re.fullmatch(
        r"(?:what did you (?:just )?say(?: before)?|say (?:that|it) again"
        r"|repeat (?:that|it)(?: again)?|come again|pardon|pardon me|once more)",
        asked.bare,
    ):
        return Answer(asked.last("assistant") or "I have not said anything yet.")
    return None


_ON = re.compile(
    r"(?:please )?(?:go on|carry on|continue|keep going)(?: with)?(?: (?:the|your) story)?"
)


def _go_on(asked: _Asked) -> Answer | None:
    """The story from the sentence on in which it was cut off."""
    if not _ON.fullmatch(asked.bare):
        return None
    told = (one.text.strip() for one in reversed(asked.earlier) if one.role == "assistant")
    heard = next((text for text in told if text and text in STORY), None)
    if heard is None:
        return Answer("I have nothing to go on with.", sure=False)
    end = STORY.index(heard) + len(heard)
    if end >= len(STORY):
        return Answer("That was the whole story.")
    # What was heard up to a full stop was heard whole.
    before = STORY.rfind(". ", 0, end + 1)
    return Answer(STORY[before + 2 if before >= 0 else 0 :])


def _sum(asked: _Asked) -> Answer | None:
    answer = solve(asked.text)
    return None if answer is None else Answer(answer)


_TIME = re.compile(
    r"(?:what time(?: is it| it is)?"
    r"|(?:what's |what is |whats |have you got )?the (?:current )?time(?: is it| it is)?"
    r"|time)"
)
_DATE = re.compile(
    r"(?:(?:what's |what is |whats )?(?:the |today's |todays )(?:current )?date(?: is it| today)?"
    r"|what date is (?:it|today)|what(?:'s| is) the date of today"
    r"|what day(?: of the week| of the month)?(?: is it| is today| it is)(?: today)?"
    r"|what day is today|what's today|what is today|date)"
)
_OTHER_DAY = re.compile(
    r"what (?:day|date)(?: of the week)? (?:is it |is |was it |was |will it be |will be )?"
    r"(?P<day>tomorrow|yesterday)(?: be)?"
)
_YEAR = re.compile(r"what (?P<unit>year|month) is (?:it|this)(?: today)?")


def _clock(asked: _Asked) -> Answer | None:
    if _TIME.fullmatch(asked.bare):
        return Answer(f"It is {_time(asked.now())}.")
    if _DATE.fullmatch(asked.bare):
        return Answer(f"Today is {_date(asked.now())}.")
    if found := _OTHER_DAY.fullmatch(asked.bare):
        tomorrow = found["day"] == "tomorrow"
        day = asked.now() + timedelta(days=1 if tomorrow else -1)
        return Answer(f"{'Tomorrow is' if tomorrow else 'Yesterday was'} {_date(day)}.")
    if found := _YEAR.fullmatch(asked.bare):
        now = asked.now()
        value = str(now.year) if found["unit"] == "year" else _MONTHS[now.month - 1]
        return Answer(f"It is {value}.")
    return None


def _time(now: datetime) -> str:
    return f"{now.hour % 12 or 12}:{now.minute:02d} {'AM' if now.hour < 12 else 'PM'}"


def _date(now: datetime) -> str:
    return f"{_DAYS[now.weekday()]}, {_MONTHS[now.month - 1]} {now.day}, {now.year}"


def _count(asked: _Asked) -> Answer | None:
    """Count to twenty, or from ten to one."""
    if not asked.bare.startswith("count "):
        return None
    words = asked.bare.split()[1:]
    bounds = [1]
    for joint in ("from", "to"):
        if words[:1] != [joint]:
            continue
        number = read_number(words, 1)
        if number is None or number[0].denominator != 1 or not 0 <= number[0] <= _COUNT_LIMIT:
            return None
        bounds = [int(number[0])] if joint == "from" else [*bounds, int(number[0])]
        words = words[number[1] :]
    if words or len(bounds) != 2:
        return None
    first, last = bounds
    step = 1 if last >= first else -1
    numbers = [number_words(number) for number in range(first, last + step, step)]
    breaths = [
        ", ".join(numbers[at : at + _COUNTED_IN_A_BREATH]).capitalize() + "."
        for at in range(0, len(numbers), _COUNTED_IN_A_BREATH)
    ]
    return Answer(" ".join(breaths))


_NAMED = r"(?: (?:voicecli|computer|assistant|there|everyone|again))?"

_SKILLS: tuple[_Skill, ...] = (
    _memory,
    _go_on,
    _repeat,
    _sum,
    _clock,
    _count,
    _said(
        rf"(?:hello|hi|hey|good morning|good afternoon|good evening)(?: (?:hello|hi|hey))?{_NAMED}",
        "Hello! What can I do for you?",
    ),
    _said(
        r"(?:thanks|thank you|cheers)(?: (?:very much|so much|a lot|you))?",
        "You are welcome.",
    ),
    _said(
        rf"(?:goodbye|good bye|bye|bye bye|see you|see you later|good night){_NAMED}",
        "Goodbye! Talk to you soon.",
    ),
    _said(
        r"(?:who are you|what are you|what's your name|what is your name|introduce yourself)",
        "I am the voice inside voicecli. I run on your own machine.",
    ),
    _said(
        r"(?:help|help me|what can you do|what do you know|how can you help|how can you help me)",
        "I can tell you the time and the date, do sums, count, repeat what you say, "
        "and tell a long story. Just ask.",
    ),
    _said(r"how are you(?: doing)?(?: today)?", "I am fine, thank you. How are you?", sure=False),
    _said(
        r"(?:a joke|joke|make me laugh)",
        "Why did the sample rate? It had 24,000 reasons.",
        sure=False,
    ),
    _said(
        r"(?:(?:me )?(?:a |another )?(?:very )?(?:long )?story|something long)", STORY, sure=False
    ),
    _said(r"(?:yes|no|okay|ok|right|sure|yeah|all right)", "All right.", sure=False),
    _said(r"say (?:something|anything)", "Something.", sure=False),
)
"In order: the first that answers wins."
