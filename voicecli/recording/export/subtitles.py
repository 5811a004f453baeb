"""Subtitles of a talk: SubRip and WebVTT, on the session's clock.

A text is split into cues at the ends of its sentences, and long sentences between words; each cue
stands as long as its share of the characters is of the sound. What was cut off shows what was heard
of it. Cues of one speaker never overlap; those of both do, where both spoke.

WebVTT: https://www.w3.org/TR/webvtt1/. SubRip has no standard; this is what all players read.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from voicecli.recording.export.talk import Run, Said, Talk
from voicecli.ui.clean import clean

LINE_CHARS: Final = 42
CUE_CHARS: Final = 72
"Two lines with the speaker's name, as subtitles on a screen have."

WRITTEN_S: Final = 2.0
"So long what was only written is shown, if nothing follows earlier."

_SENTENCE: Final = re.compile(r".+?(?:[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？]+|$)")
_NAMES: Final = {"user": "User", "assistant": "Assistant"}


class Cue(NamedTuple):
    """Words that stand for a while."""

    begins_ms: int
    ends_ms: int
    speaker: str
    text: str


def cues_of(talk: Talk) -> list[Cue]:
    """All cues in the order in which they begin."""
    cues: list[Cue] = []
    for name in _NAMES:
        rows = [row for row in talk.rows if row.speaker == name and row.begins_at is not None]
        rows.sort(key=lambda row: row.begins_at or 0.0)
        cues += _apart([cue for row in rows for cue in _cues(row)])
    return sorted(cues)


def srt_of(talk: Talk) -> str:
    """SubRip; the speaker's name begins each cue."""
    return "\n".join(
        f"{number}\n{_span(cue, ',')}\n{_lines(f'{cue.speaker}: {_harmless(cue.text)}')}\n"
        for number, cue in enumerate(cues_of(talk), start=1)
    )


def vtt_of(talk: Talk) -> str:
    """WebVTT; the speaker is the cue's voice, as players and style sheets know it.

    Markers are comments between the cues: nobody has said them.
    """
    blocks = ["WEBVTT", f"NOTE\n{_heading(talk)}"]
    timed = [
        (cue.begins_ms, f"{_span(cue, '.')}\n<v {cue.speaker}>{_entities(_lines(cue.text))}")
        for cue in cues_of(talk)
    ]
    for notice in talk.notices:
        if notice.kind == "marker":
            at_ms = _ms(notice.at)
            timed.append((at_ms, f"NOTE marker {notice.message} at {_stamp(at_ms, '.')}"))
    blocks += [text for _, text in sorted(timed, key=lambda one: one[0])]
    return "\n\n".join(blocks) + "\n"


# --------------------------------------------------------------------------------- where words are


def _cues(row: Said) -> Iterator[Cue]:
    """One row's cues, which follow each other without a gap in its sound."""
    text = " ".join(clean(row.heard_text, one_line=True).split())
    if row.is_cut_off:
        text = f"{text}…"
    if not text or row.begins_at is None:
        return
    runs = row.runs or [_only_run(row)]
    sound_s = sum(run.seconds for run in runs)
    end = 0
    for piece in _pieces(text):
        start = max(end, text.find(piece, end))
        end = start + len(piece)
        begins_at = _time_in(runs, sound_s * start / len(text))
        ends_at = _time_in(runs, sound_s * end / len(text), is_end=True)
        yield Cue(_ms(begins_at), _ms(ends_at), _NAMES[row.speaker], piece)


def _only_run(row: Said) -> Run:
    begins_at = row.begins_at or 0.0
    ends_at = begins_at if row.ends_at is None else row.ends_at
    shortest = begins_at if row.is_spoken else begins_at + WRITTEN_S
    return Run(begins_at=begins_at, ends_at=max(ends_at, shortest))


def _time_in(runs: Sequence[Run], sound_s: float, *, is_end: bool = False) -> float:
    """When so much of the sound had been heard; of a gap its end for a beginning."""
    for run in runs:
        if sound_s < run.seconds or (is_end and sound_s <= run.seconds):
            return run.begins_at + sound_s
        sound_s -= run.seconds
    return runs[-1].ends_at


def _apart(cues: Sequence[Cue]) -> Iterator[Cue]:
    """The cues of one speaker without overlaps, each of them with a length."""
    free_ms = 0
    for position, cue in enumerate(cues):
        begins_ms, ends_ms = max(cue.begins_ms, free_ms), cue.ends_ms
        if position + 1 < len(cues):
            ends_ms = min(ends_ms, cues[position + 1].begins_ms)
        free_ms = max(ends_ms, begins_ms + 1)
        yield cue._replace(begins_ms=begins_ms, ends_ms=free_ms)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


# ----------------------------------------------------------------------------------- how they split


def _pieces(text: str) -> Iterator[str]:
    """The text in cues: whole sentences as long as they fit, long ones split between words."""
    waiting = ""
    for sentence in map(str.strip, _SENTENCE.findall(text)):
        if waiting and len(waiting) + 1 + len(sentence) > CUE_CHARS:
            yield waiting
            waiting = ""
        waiting = f"{waiting} {sentence}" if waiting else sentence
        if len(waiting) > CUE_CHARS:
            *whole, waiting = _split_evenly(waiting)
            yield from whole
    if waiting:
        yield waiting


def _split_evenly(text: str) -> list[str]:
    """A long sentence in parts of about the same length."""
    parts = math.ceil(len(text) / CUE_CHARS)
    width = math.ceil(len(text) / parts)
    while True:
        split = textwrap.wrap(text, width, break_on_hyphens=False)
        if len(split) <= parts or width >= CUE_CHARS:
            return split
        width += 1


def _lines(text: str) -> str:
    return "\n".join(textwrap.wrap(text, LINE_CHARS, break_on_hyphens=False))


# -------------------------------------------------------------------------------- how it is written


def _span(cue: Cue, point: str) -> str:
    return f"{_stamp(cue.begins_ms, point)} --> {_stamp(cue.ends_ms, point)}"


def _stamp(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"


def _harmless(text: str) -> str:
    """SubRip knows no escapes: what looks like its arrow or a tag is made to look different."""
    return text.replace("<", "‹").replace(">", "›")


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _heading(talk: Talk) -> str:
    facts: Iterable[str] = (talk.facts.name, talk.facts.created, talk.facts.server)
    return _entities(clean(", ".join(filter(None, (*facts, talk.facts.model))), one_line=True))
