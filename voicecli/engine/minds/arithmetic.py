"""Sums as people say them: "fifteen plus twenty-seven", "what's 3.5 times 2?".

Pure, and exact: values are fractions until they are written.
"""

import re
from collections.abc import Sequence
from fractions import Fraction

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
    *("seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: value for value, word in enumerate(_ONES)}
_SMALL_TENS = {word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_DIGITS = {**{word: value for word, value in _SMALL.items() if value < 10}, "oh": 0, "o": 0}

_OPERATORS: dict[tuple[str, ...], str] = {
    ("plus",): "plus",
    ("added", "to"): "plus",
    ("minus",): "minus",
    ("less",): "minus",
    ("take", "away"): "minus",
    ("times",): "times",
    ("multiplied", "by"): "times",
    ("divided", "by"): "divided by",
    ("over",): "divided by",
    ("percent", "of"): "percent of",
}
_STRONG = ("times", "divided by", "percent of")
_FILLERS = frozenset(
    (
        *("what", "what's", "whats", "is", "are", "how", "much", "calculate", "compute", "tell"),
        *(
            "me",
            "can",
            "could",
            "you",
            "please",
            "the",
            "result",
            "answer",
            "of",
            "equals",
            "equal",
        ),
        *(
            "hey",
            "hi",
            "hello",
            "ok",
            "okay",
            "so",
            "now",
            "then",
            "do",
            "does",
            "make",
            "um",
            "uh",
        ),
        *("and", "to", "know", "sum", "solve", "a"),
    )
)
_ORDERS = {"add": ("plus", ("and", "to")), "multiply": ("times", ("by", "and", "with"))}
_ORDERS |= {"divide": ("divided by", ("by",)), "subtract": ("minus", ("from",))}
_SIGNS = (
    (r"(?<=\d),(?=\d{3})", ""),
    (r"(?<=[\d\s])[x×*](?=[\s\d])", " times "),
    (r"[÷/]", " divided by "),
    (r"\+", " plus "),
    (r"%", " percent "),
    (r"(?<=\d)\s*[-–−]\s*(?=[-\d])", " minus "),
    (r"(?<=\s)[-–−]\s*(?=\d)|^[-–−]\s*(?=\d)", " minus "),
    (r"[-–=]", " "),
    (r"’", "'"),
    (r"\.(?!\d)", " "),
    (r"[^\w\s.']", " "),
)
_LONGEST_DIGITS = 15
_TOO_LARGE = 10**_LONGEST_DIGITS


def solve(text: str) -> str | None:
    """Answer a question that is a sum and nothing else, in one sentence; None for any other text.

    Knows plus, minus, times, divided by and percent of, in words or signs, in chains of any length
    with the usual precedence.
    """
    words = _words(text)
    while words and words[0] in _FILLERS and read_number(words, 0) is None:
        words = words[1:]
    order = _read_order(words)
    parsed = order or _read_chain(words)
    if parsed is None:
        return None
    operands, operators, after = parsed
    if not operators or any(word not in _FILLERS for word in words[after:]):
        return None
    try:
        value = _evaluate(operands, operators)
    except ZeroDivisionError:
        return "Nothing can be divided by zero."
    asked = spoken(operands[0]) + "".join(
        f" {operator} {spoken(operand)}"
        for operator, operand in zip(operators, operands[1:], strict=True)
    )
    about = "about " if _is_rounded(value) else ""
    return f"{asked} is {about}{spoken(value)}."


def read_number(words: Sequence[str], at: int) -> tuple[Fraction, int] | None:
    """A number that begins at a word, in digits or words, and the index behind it, or None.

    A negative number is said with "minus" or "negative".
    """
    if words[at : at + 1] in (["minus"], ["negative"]):
        positive = read_number(words, at + 1) if words[at + 1 : at + 2] != ["minus"] else None
        return positive and (-positive[0], positive[1])
    word = words[at] if at < len(words) else ""
    if re.fullmatch(r"\d*\.?\d+", word):
        if len(word) > _LONGEST_DIGITS:
            return None
        return _read_scales(words, at + 1, Fraction(word))
    whole = _read_words(words, at)
    if whole is None and word != "point":
        return None
    value, at = whole or (0, at)
    return _read_decimals(words, at, Fraction(value))


def number_words(number: int) -> str:
    """A number from 0 to 999 999 in words."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")
    scale, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head, rest = divmod(number, scale)
    return f"{number_words(head)} {name}" + (f" {number_words(rest)}" if rest else "")


def spoken(value: Fraction) -> str:
    """A value in digits, rounded to four places; the size alone of one with more than 15 digits."""
    if abs(value) >= _TOO_LARGE:
        sign = "minus " if value < 0 else ""
        return f"{sign}ten to the power of {len(str(abs(int(value)))) - 1}"
    rounded = round(value, 4)
    return f"{float(rounded):.4f}".rstrip("0").rstrip(".")


def _is_rounded(value: Fraction) -> bool:
    return abs(value) >= _TOO_LARGE or (value * 10_000).denominator != 1


def _words(text: str) -> list[str]:
    text = f" {text.lower()} "
    for pattern, replacement in _SIGNS:
        text = re.sub(pattern, replacement, text)
    return [word.strip("'") if not word.endswith("'s") else word for word in text.split()]


def _read_order(words: list[str]) -> tuple[list[Fraction], list[str], int] | None:
    """Read "add 2 and 3" or "subtract 2 from 5": as `_read_chain`, with a single operator."""
    if not words or words[0] not in _ORDERS:
        return None
    operator, joints = _ORDERS[words[0]]
    first = read_number(words, 1)
    if first is None or words[first[1] : first[1] + 1] not in [[joint] for joint in joints]:
        return None
    second = read_number(words, first[1] + 1)
    if second is None:
        return None
    operands = [first[0], second[0]]
    return operands[::-1] if words[0] == "subtract" else operands, [operator], second[1]


def _read_chain(words: list[str]) -> tuple[list[Fraction], list[str], int] | None:
    """Operands, the operators between them, and the index behind the last operand."""
    found = read_number(words, 0)
    if found is None:
        return None
    operands, operators, at = [found[0]], [], found[1]
    while (operator := _read_operator(words, at)) is not None:
        found = read_number(words, operator[1])
        if found is None:
            break
        operators.append(operator[0])
        operands.append(found[0])
        at = found[1]
    return operands, operators, at


def _read_operator(words: list[str], at: int) -> tuple[str, int] | None:
    for length in (2, 1):
        name = _OPERATORS.get(tuple(words[at : at + length]))
        if name is not None:
            return name, at + length
    return None


def _evaluate(operands: list[Fraction], operators: list[str]) -> Fraction:
    terms = [operands[0]]
    for operator, operand in zip(operators, operands[1:], strict=True):
        if operator == "times":
            terms[-1] *= operand
        elif operator == "divided by":
            terms[-1] /= operand
        elif operator == "percent of":
            terms[-1] *= operand / 100
        else:
            terms.append(operand if operator == "plus" else -operand)
    return sum(terms, Fraction(0))


def _read_words(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """A whole number in words."""
    total = 0
    begun = False
    smallest = 10**12
    while (group := _read_group(words, at, begun)) is not None:
        value, after = group
        scale = _LARGE.get(words[after], 1) if after < len(words) else 1
        if scale >= smallest:
            break
        total, smallest, begun = total + value * scale, scale, True
        at = after + (scale > 1)
        if scale == 1:
            break
    return (total, at) if begun else None


def _read_group(words: Sequence[str], at: int, inside: bool) -> tuple[int, int] | None:
    """A number below a thousand; `inside` a larger one it may begin with "and"."""
    start = at
    if inside and words[at : at + 1] == ["and"]:
        at += 1
    if words[at : at + 1] == ["a"] and words[at + 1 : at + 2] in (["hundred"], ["thousand"]):
        small: tuple[int, int] | None = (1, at + 1)
    else:
        small = _read_below_hundred(words, at)
    if small is None:
        return None
    value, at = small
    if words[at : at + 1] == ["hundred"] and value < 100:
        at += 1
        more = at + (words[at : at + 1] == ["and"])
        rest = _read_below_hundred(words, more)
        value *= 100
        if rest is not None:
            value, at = value + rest[0], rest[1]
    return (value, at) if at > start else None


def _read_below_hundred(words: Sequence[str], at: int) -> tuple[int, int] | None:
    word = words[at] if at < len(words) else ""
    if word in _SMALL:
        return _SMALL[word], at + 1
    if word not in _SMALL_TENS:
        return None
    value = _SMALL_TENS[word]
    ones = _SMALL.get(words[at + 1], 0) if at + 1 < len(words) else 0
    if 0 < ones < 10:
        return value + ones, at + 2
    return value, at + 1


def _read_scales(words: Sequence[str], at: int, value: Fraction) -> tuple[Fraction, int]:
    """After digits: "3 million"."""
    scales = {"hundred": 100, **_LARGE}
    while at < len(words) and words[at] in scales:
        value *= scales[words[at]]
        at += 1
    return value, at


def _read_decimals(words: Sequence[str], at: int, value: Fraction) -> tuple[Fraction, int] | None:
    """After a whole number in words: "point two five"."""
    if words[at : at + 1] != ["point"]:
        return value, at
    place = Fraction(1)
    after = at + 1
    while after < len(words) and words[after] in _DIGITS:
        place /= 10
        value += _DIGITS[words[after]] * place
        after += 1
    return (value, after) if after > at + 1 else None
