"""A talk to be read: as plain text, and as Markdown.

What people and models said stands between our words: it is cleaned of everything that a terminal
obeys, and in Markdown of everything that means something there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from voicecli.recording.export.talk import Notice, Said, Talk
from voicecli.ui.clean import clean

_SPEAKERS: Final = {"user": "User", "assistant": "Assistant", "tool": "Tool"}
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#|~&!$])")
_NOTHING_UNDERSTOOD: Final = "(nothing was understood)"


def clock(seconds: float) -> str:
    """Minutes and seconds to the tenth, with hours where there are any: `1:02:03.4`."""
    tenths = round(max(0.0, seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    begin = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{begin}:{rest // 10:02}.{rest % 10}"


def markdown_of(talk: Talk) -> str:
    """A report: what it was, what was said, and a table of the turns with their latencies."""
    return "\n".join(_markdown_lines(talk)) + "\n"


def plain_text_of(talk: Talk) -> str:
    """The conversation line by line, under a heading, with the numbers at the end."""
    return "\n".join(_plain_lines(talk)) + "\n"


# ------------------------------------------------------------------------------------ both of them


def facts_of(talk: Talk) -> list[tuple[str, str]]:
    """What is known of the whole, as names and values."""
    facts, summary = talk.facts, talk.summary
    tokens = f"{summary.input_tokens} in ({summary.cached_tokens} cached), "
    ended = f"{summary.reason}: {facts.error}" if facts.error else summary.reason
    pairs = [
        ("date", facts.created),
        ("server", facts.server),
        ("model", facts.model),
        ("voice", facts.voice),
        ("length", clock(facts.seconds)),
        ("turns", str(summary.turns)),
        ("interruptions", str(summary.interruptions)),
        ("first sound, median", _ms(summary.latency_ms)),
        ("tokens", tokens + f"{summary.output_tokens} out" if summary.total_tokens else ""),
        ("frames lost", str(summary.dropped_frames or "")),
        ("gaps in playback", str(summary.underflows or "")),
        ("made from", facts.source),
        ("end", ended),
    ]
    return [(name, clean(value, one_line=True)) for name, value in pairs if value]


def _events(talk: Talk) -> Iterator[Said | Notice]:
    """Rows in their order, and each notice before the first row that began after it."""
    notices = list(talk.notices)
    for row in talk.rows:
        begins_at = row.begins_at
        while notices and begins_at is not None and notices[0].at < begins_at:
            yield notices.pop(0)
        yield row
    yield from notices


def _cut(row: Said) -> str:
    """How an answer was cut off."""
    if row.interrupted:
        by = f" by {row.interrupted_by}" if row.interrupted_by else ""
        return f"cut off{by} after {_seconds(row.heard_ms)} of {_seconds(row.received_ms)}"
    return "" if row.is_over else "the talk ended here"


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"


def _ms(value: int | None) -> str:
    return "" if value is None else f"{value} ms"


def _at(seconds: float | None) -> str:
    return "" if seconds is None else clock(seconds)


# -------------------------------------------------------------------------------------- plain text


def _plain_lines(talk: Talk) -> Iterator[str]:
    yield clean(talk.facts.name, one_line=True)
    yield from (f"{name}: {value}" for name, value in facts_of(talk))
    yield ""
    for one in _events(talk):
        if isinstance(one, Notice):
            yield f"[{clock(one.at)}] {one.kind}: {clean(one.message, one_line=True)}"
        else:
            yield f"[{_at(one.begins_at) or 'never heard'}] {_plain(one)}"
    yield from (f"warning: {clean(one, one_line=True)}" for one in talk.facts.warnings)


def _plain(row: Said) -> str:
    speaker = _SPEAKERS[row.speaker]
    if row.call is not None:
        output = "(no output)" if row.call.output is None else clean(row.call.output, one_line=True)
        failed = " (failed)" if row.call.failed else ""
        return f"{speaker}: {clean(row.text, one_line=True)} -> {output}{failed}"
    heard, unheard = clean(row.heard_text, one_line=True), clean(row.unheard_text, one_line=True)
    if not row.text.strip():
        return f"{speaker}: {_NOTHING_UNDERSTOOD}"
    cut = _cut(row)
    end = f" [{': '.join(filter(None, (cut, unheard)))}]" if cut or unheard else ""
    return f"{speaker}: {heard}{end}"


# ---------------------------------------------------------------------------------------- Markdown


def _markdown_lines(talk: Talk) -> Iterator[str]:
    yield f"# {_escaped(talk.facts.name)}"
    yield ""
    yield from _table(["", ""], [(name, _escaped(value)) for name, value in facts_of(talk)])
    if talk.facts.warnings:
        yield ""
        yield from (f"> {_escaped(one)}" for one in talk.facts.warnings)
    yield from ("", "## Conversation", "")
    for one in _events(talk):
        yield _marked_notice(one) if isinstance(one, Notice) else _marked(one)
        yield ""
    yield from ("## Turns", "")
    yield from _table(_COLUMNS, [_cells(turn) for turn in talk.turns])
    yield from ("", "Milliseconds count from the end of the user's speech.")


_COLUMNS: Final = (
    "turn", "begins", "user speaks", "turn ended, ms", "answer begun, ms", "first audio, ms",
    "first sound, ms", "heard", "interrupted",
)  # fmt: skip


def _cells(turn: Sequence[Said]) -> tuple[str, ...]:
    user = next((row for row in turn if row.speaker == "user"), None)
    answers = [row for row in turn if row.speaker == "assistant"]
    latency = next((row.latency for row in answers if row.latency is not None), None)
    points = (
        ("", "", "", "")
        if latency is None
        else tuple(
            "" if point is None else str(point)
            for point in (
                latency.speech_stopped_ms,
                latency.response_created_ms,
                latency.first_delta_ms,
                latency.first_sound_ms,
            )
        )
    )
    heard = sum(row.heard_ms for row in answers)
    received = sum(row.received_ms for row in answers)
    by = [row.interrupted_by or "yes" for row in answers if row.interrupted]
    return (
        str(turn[0].turn),
        "" if user is None else _at(user.begins_at),
        "" if user is None else _user_speaks(user),
        *points,
        f"{_seconds(heard)} of {_seconds(received)}" if received else "",
        ", ".join(by),
    )


def _user_speaks(row: Said) -> str:
    if not row.is_spoken:
        return "typed"
    if row.begins_at is None or row.ends_at is None:
        return ""
    return f"{row.ends_at - row.begins_at:.1f} s"


def _marked(row: Said) -> str:
    at = _at(row.begins_at) or "never heard"
    begin = f"**{at} {_SPEAKERS[row.speaker]}:**"
    if row.call is not None:
        output = "no output" if row.call.output is None else _code(row.call.output)
        failed = " *(failed)*" if row.call.failed else ""
        return f"{begin} {_code(row.text)} → {output}{failed}"
    if not row.text.strip():
        return f"{begin} *{_NOTHING_UNDERSTOOD}*"
    heard = _escaped(row.heard_text)
    unheard = f"~~{_escaped(row.unheard_text)}~~" if row.unheard_text else ""
    cut = _cut(row)
    return " ".join(filter(None, (begin, heard, unheard, f"*({cut})*" if cut else "")))


def _marked_notice(notice: Notice) -> str:
    return f"*{clock(notice.at)} {notice.kind}: {_escaped(notice.message)}*"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(clean(text, one_line=True).split()))


def _code(text: str) -> str:
    """Text between as many backticks as it needs."""
    plain = " ".join(clean(text, one_line=True).split()) or " "
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or plain == " " else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
