"""From a stream of text pieces to sentences that can be spoken, as early as possible.

Pure: knows neither the model that writes nor the voice that speaks.
"""

import re

_FIRST_CLAUSE_CHARS = 25
_LONGEST_CHARS = 300

_END = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s)|\n""")
_CLAUSE = re.compile(r"[,;:—](?=\s)")
_ABBREVIATIONS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "sr",
        "jr",
        "vs",
        "etc",
        "e.g",
        "i.e",
        "cf",
        "no",
        "fig",
        "approx",
        "inc",
        "ltd",
        "co",
        "dept",
        "est",
        "gen",
        "col",
        "sgt",
        "lt",
        "capt",
        "rev",
        "hon",
        "vol",
        "pp",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
    ]
)
_INITIAL = re.compile(r"(?:[A-Z]|[A-Za-z](?:\.[A-Za-z])+)")


class SentenceSplitter:
    """Cuts a text that arrives in pieces into sentences.

    Only the very first chunk may be less than a sentence: it ends at a clause of some length, so
    that speech can begin while the sentence is still being written. Joined with spaces, the chunks
    are the text.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._begun = False

    def push(self, piece: str) -> list[str]:
        """Take more text; return the chunks that are complete with it, trimmed."""
        self._rest += piece
        chunks = []
        while (end := self._next_end()) is not None:
            chunk, self._rest = self._rest[:end].strip(), self._rest[end:]
            if chunk:
                chunks.append(chunk)
                self._begun = True
        return chunks

    def finish(self) -> list[str]:
        """Return what is left as the last chunk, if any, and begin anew."""
        rest = self._rest.strip()
        self._rest, self._begun = "", False
        return [rest] if rest else []

    def _next_end(self) -> int | None:
        """Where the first complete chunk ends."""
        for found in _END.finditer(self._rest):
            if _ends_sentence(self._rest, found):
                clause = self._clause_end(found.start())
                return found.end() if clause is None else clause
        clause = self._clause_end(len(self._rest))
        if clause is not None:
            return clause
        if len(self._rest) > _LONGEST_CHARS:
            space = self._rest.rfind(" ", 1, _LONGEST_CHARS)
            return space if space > 0 else _LONGEST_CHARS
        return None

    def _clause_end(self, before: int) -> int | None:
        if self._begun:
            return None
        lead = len(self._rest) - len(self._rest.lstrip())
        for found in _CLAUSE.finditer(self._rest, lead + _FIRST_CLAUSE_CHARS - 1, before):
            return found.end()
        return None


def _ends_sentence(text: str, found: re.Match[str]) -> bool:
    """Whether the mark ends a sentence: not after "Mr", an initial or a list's number."""
    mark = found.group()
    if mark == "\n" or not mark.startswith("."):
        return not mark.startswith("…")
    if mark.startswith(".."):
        return False
    before = text[: found.start()]
    word = before[max(before.rfind(space) for space in " \n\t") + 1 :].lstrip("\"'“‘([")
    if word.isdigit():
        return before.strip() != word
    return not (word.lower() in _ABBREVIATIONS or _INITIAL.fullmatch(word))


_TOKEN = re.compile(r"<\|[^|>]*\|?>|</?s>")
_LINE_START = re.compile(r"\n[ \t]*(?:```[^\n]*|(?:#{1,6}|[*+>-])[ \t]+)")
_TIMES = re.compile(r"(?<=\d) ?\* ?(?=\d)")
_MARKS = re.compile(r"\*+|`+|(?<!\w)__|__(?!\w)")
# What may become one of the above when more arrives.
_UNDECIDED = re.compile(
    r"(?:</?s?|<\|[^|>\n]{0,40}\|?|\n[ \t]*(?:`{1,3}[^\n]*|#{1,6}|[*+>-])?[ \t]*"
    r"|\d+(?: ?\*+ ?\d*)* ?|[*`_]+)$"
)


class MarkupFilter:
    """Takes markdown and a model's special tokens out of a text that arrives in pieces.

    What remains is words and punctuation; an asterisk between two numbers becomes "times".
    """

    def __init__(self) -> None:
        # The text stands at the start of a line, as after a line break.
        self._held = "\n"
        self._begun = False

    def push(self, piece: str) -> str:
        """Take more text; return what is certain so far, perhaps ""."""
        text = self._held + piece
        open_end = _UNDECIDED.search(text)
        cut = len(text) if open_end is None else open_end.start()
        self._held = text[cut:]
        return self._clean(text[:cut])

    def finish(self) -> str:
        """Return the end of the text and begin anew."""
        rest = self._clean(self._held).rstrip()
        self._held, self._begun = "\n", False
        return rest

    def _clean(self, text: str) -> str:
        text = _LINE_START.sub("\n", _TOKEN.sub("", text))
        text = _MARKS.sub("", _TIMES.sub(" times ", text))
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text
