"""A recording as one HTML page that needs nothing else: the sound, a picture of it, and the words.

Everything that was said comes from outside and is escaped; a content security policy that names the
page's own script and style by their checksums forbids all others, and all of the network.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final, NamedTuple

import msgspec

from voicecli import __version__
from voicecli.recording.export.talk import Notice, Said, Talk
from voicecli.recording.export.text import clock
from voicecli.recording.heard import Side
from voicecli.recording.peaks import STEP_S
from voicecli.ui.clean import clean

SOUND_CHUNK_BYTES: Final = 3 * 2**18
"The sound is cut into pieces, so that nobody has to hold all of it as one text."

_SHORTEST_LIT_S: Final = 0.5
"What has no length (a typed message) is shown as going on for so long."

_NAMES: Final = {"user": "you", "assistant": "assistant", "tool": "tool"}
_BY: Final = {"voice": "by your voice", "key": "by a key", "text": "by a message"}


_CREATED: Final = re.compile(
    r"(\d{4})-(0[1-9]|1[0-2])-(\d\d)T(\d\d:\d\d)(?::[\d.]+)?(?:Z|\+00:00|([+-]\d\d:\d\d))$"
)
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


class Sound(NamedTuple):
    """The audio that the page plays: two channels, the user and the assistant as heard."""

    media_type: str
    note: str
    "A sentence about it for the foot of the page."
    chunks: Iterable[bytes]


def page_of(talk: Talk, peaks: Mapping[Side, bytes], sound: Sound | None) -> Iterator[bytes]:
    """The page in pieces; memory does not grow with the sound.

    Args:
        talk: what was said.
        peaks: of both sides (`peaks.Peaks`), beginning with the session.
        sound: its time 0 is the session's; None where none was kept.
    """
    script, style = _resource("page.js"), _resource("page.css")
    facts = talk.facts
    whole = Template(_resource("page.html")).substitute(
        policy=_policy(script, style),
        program=_text(f"voicecli {__version__}"),
        name=_text(facts.name),
        facts=_facts(talk),
        alerts=_alerts(talk),
        seconds=round(facts.seconds),
        length=clock(facts.seconds),
        rows="\n".join(_rows(talk)),
        footer=_footer(talk, sound),
        data=_json(_data(talk, peaks, sound)),
        style=style,
        script=script,
    )
    # Nothing from outside can hold this: it is escaped.
    before, after = whole.split("<!--audio-->")
    yield before.encode()
    for chunk in sound.chunks if sound is not None else ():
        yield b'<script type="text/plain" class="sound">' + base64.b64encode(chunk) + b"</script>\n"
    yield after.encode()


@cache
def _resource(name: str) -> str:
    return (files("voicecli.recording.export") / "page" / name).read_text("utf-8")


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src '{_checksum(script)}'; style-src '{_checksum(style)}'; "
        "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _checksum(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _text(text: str, *, one_line: bool = True) -> str:
    """Text from outside, for the inside of an element or of a quoted attribute."""
    return escape(clean(text, one_line=one_line), quote=True)


def _json(value: Any) -> str:
    """JSON that is no HTML, whatever is in it."""
    text = msgspec.json.encode(value).decode()
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


# ------------------------------------------------------------------------------ the head and foot


def _facts(talk: Talk) -> str:
    facts, summary = talk.facts, talk.summary
    latency = "" if summary.latency_ms is None else f"{summary.latency_ms} ms"
    shown = [
        ("Date", _date(facts.created)),
        ("Server", _text(facts.server)),
        ("Model", _text(facts.model)),
        ("Voice", _text(facts.voice)),
        ("Length", clock(facts.seconds)),
        ("Turns", str(summary.turns)),
        ("Interruptions", str(summary.interruptions)),
        ("Median wait", latency),
        ("Tokens", f"{summary.total_tokens:,}" if summary.total_tokens else ""),
        ("Frames lost", str(summary.dropped_frames or "")),
        ("Gaps", str(summary.underflows or "")),
    ]
    return "".join(f"<div><dt>{name}</dt><dd>{fact}</dd></div>" for name, fact in shown if fact)


def _date(created: str) -> str:
    found = _CREATED.match(created)
    if found is None:
        return _text(created)
    year, month, day, time, zone = found.groups()
    shown = f"{int(day)} {_MONTHS[int(month) - 1]} {year}, {time} {zone or 'UTC'}"
    return f'<time datetime="{_text(created)}">{_text(shown)}</time>'


def _alerts(talk: Talk) -> str:
    facts = talk.facts
    told = [("error", f"The talk ended by an error: {facts.error}")] if facts.error else []
    if facts.ended_suddenly:
        told.append(("note", "The recording ended suddenly; this is what was kept of it."))
    told += [("note", warning) for warning in facts.warnings]
    return "".join(f'<p class="alert {kind}">{_text(message)}</p>' for kind, message in told)


def _footer(talk: Talk, sound: Sound | None) -> str:
    told = [
        f"Made by voicecli {__version__} from a recording of {talk.facts.program}.",
        "No sound was kept." if sound is None else sound.note,
        "Where an answer was cut off, the words that were heard are an estimate.",
        "This page asks nothing of the network.",
    ]
    return _text(" ".join(told))


# --------------------------------------------------------------------------------------- the rows


def _rows(talk: Talk) -> Iterator[str]:
    """All that was said, with what was told in between where it belongs by its time."""
    notices = list(talk.notices)
    language = _language(talk.facts.settings.get("language"))
    for row in talk.rows:
        while notices and row.begins_at is not None and notices[0].at < row.begins_at:
            yield _notice(notices.pop(0))
        yield _row(row, language)
    yield from map(_notice, notices)


def _language(wanted: object) -> str:
    """An attribute that says in what language it was talked, if that was named."""
    is_tag = isinstance(wanted, str) and re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", wanted)
    return f' lang="{wanted}"' if is_tag else ""


def _row(row: Said, language: str) -> str:
    name = _NAMES[row.speaker]
    words = _call(row) if row.call is not None else _words(row, language)
    return _item(row.speaker, name, row.begins_at, row.ends_at, words + _chips(_facts_of(row)))


def _notice(notice: Notice) -> str:
    chips = [("", notice.code)] if notice.code else []
    words = f'<p dir="auto">{_text(notice.message, one_line=False)}</p>' + _chips(chips)
    return _item(notice.kind, notice.kind, notice.at, notice.at, words)


def _item(kind: str, name: str, begins_at: float | None, ends_at: float | None, words: str) -> str:
    time, attributes = '<span class="time" aria-hidden="true">–</span>', ""
    if begins_at is not None:
        begins_at = max(0.0, begins_at)
        until = max(ends_at or begins_at, begins_at + _SHORTEST_LIT_S)
        attributes = f' data-from="{begins_at:.3f}" data-to="{until:.3f}"'
        shown = clock(begins_at)
        label = f"Play from {shown}, {name}"
        time = f'<button type="button" class="time" aria-label="{label}">{shown}</button>'
    return (
        f'<li class="row {kind}" data-speaker="{name}"{attributes}>'
        f'{time}<span class="who">{name}</span><div class="words">{words}</div></li>'
    )


def _words(row: Said, language: str) -> str:
    heard = _text(row.heard_text, one_line=False)
    unheard = _text(row.unheard_text, one_line=False)
    if not heard and not unheard:
        silent = "nothing was understood" if row.speaker == "user" else "no words"
        return f'<p class="none">{silent}</p>'
    if unheard:
        # Struck through for the eye; a screen reader has to be told.
        unheard = (
            f'<span class="hidden">[not heard:] </span><del class="unheard">{unheard}</del>'
            '<span class="hidden"> [end]</span>'
        )
        heard += " " if heard else ""
    return f'<p dir="auto"{language}>{heard}{unheard}</p>'


def _call(row: Said) -> str:
    call = row.call
    assert call is not None
    output = "it never ended" if call.output is None else call.output
    return (
        f"<details><summary><code>{_text(call.name)}</code></summary>"
        f"<pre>{_text(call.arguments, one_line=False)}</pre>"
        f"<pre>→ {_text(output, one_line=False)}</pre></details>"
    )


def _facts_of(row: Said) -> Iterator[tuple[str, str]]:
    """The chips under a row: class and words."""
    if row.latency is not None and row.latency.first_sound_ms is not None:
        yield "latency", f"answered after {row.latency.first_sound_ms} ms"
    if row.interrupted:
        by = _BY.get(row.interrupted_by, "")
        spans = f"{row.heard_ms / 1000:.1f} of {row.received_ms / 1000:.1f} s were heard"
        yield "cut", f"cut off {by}: {spans}".replace(" :", ":")
    elif not row.is_over:
        yield "", "not over when the talk ended"
    if row.speaker == "user" and row.by in ("key", "text"):
        yield "", "push to talk" if row.by == "key" else "typed"
    if row.call is not None and row.call.failed:
        yield "cut", "failed"


def _chips(chips: Iterable[tuple[str, str]]) -> str:
    shown = "".join(f'<span class="chip {kind}">{_text(text)}</span>' for kind, text in chips)
    return f'<p class="chips">{shown}</p>' if shown else ""


# --------------------------------------------------------------------------------------- the data


def _data(talk: Talk, peaks: Mapping[Side, bytes], sound: Sound | None) -> dict[str, Any]:
    """What the picture is drawn from: numbers and base64, no words."""
    return {
        "seconds": round(talk.facts.seconds, 3),
        "sound": None if sound is None else sound.media_type,
        "step": STEP_S,
        "peaks": {
            side: base64.b64encode(peaks.get(side, b"")).decode() for side in ("user", "assistant")
        },
        "spans": _spans(talk.rows),
        "cuts": _cuts(talk.rows),
        "waits": [
            {
                "from": round(row.begins_at - row.latency.first_sound_ms / 1000, 3),
                "to": round(row.begins_at, 3),
                "ms": row.latency.first_sound_ms,
            }
            for row in talk.rows
            if row.latency and row.latency.first_sound_ms is not None and row.begins_at is not None
        ],
    }


def _cuts(rows: Sequence[Said]) -> list[dict[str, Any]]:
    """Where answers were cut off, and how much of them there would have been, up to the next."""
    begins = sorted(row.begins_at for row in rows if row.runs and row.begins_at is not None)
    cuts = []
    for row in rows:
        if row.interrupted and row.ends_at is not None:
            at = row.ends_at
            free = next((begin - at for begin in begins if begin >= at), float("inf"))
            unheard = min((row.received_ms - row.heard_ms) / 1000, free)
            cuts.append({"at": round(at, 3), "unheard": round(unheard, 3)})
    return cuts


def _spans(rows: Sequence[Said]) -> list[dict[str, Any]]:
    spans = []
    for row in rows:
        is_heard = row.is_spoken and row.speaker != "tool"
        if row.begins_at is None or row.ends_at is None or not is_heard:
            continue
        times = [(run.begins_at, run.ends_at) for run in row.runs]
        for begins_at, ends_at in times or [(row.begins_at, row.ends_at)]:
            span = {"speaker": row.speaker, "from": round(begins_at, 3), "to": round(ends_at, 3)}
            spans.append(span)
    return spans
