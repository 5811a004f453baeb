"""`voicecli recordings show`: a conversation with its times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from voicecli.cli.library import RecordingName, local_date, read_talk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from voicecli.recording.export.talk import Call, Facts, Notice, Said, Talk

_STYLES: Final = {
    "user": "cyan",
    "assistant": "green",
    "tool": "magenta",
    "error": "red",
    "note": "yellow",
    "marker": "dim",
}
_NOTICES: Final = frozenset({"error", "note", "marker"})
_NAMES: Final = {"user": "you"}

LONGEST_OUTPUT_CHARS: Final = 500
"Of what a function gave back; `--json` has all of it."


def show_command(
    recording: RecordingName,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object, as `export --format json` makes it.")
    ] = False,
) -> None:
    """Show what was said, when, and how long the answers took.

    What was not heard of an answer is struck through, and in brackets where that cannot be shown.
    """
    import sys

    talk = read_talk(recording)
    if as_json:
        from voicecli.recording.export.data import json_of

        typer.echo(json_of(talk), nl=False)
    elif sys.stdout.isatty():
        _draw(talk)
    else:
        typer.echo("\n".join(plain_lines(talk)))


class Line(NamedTuple):
    """One row as it is shown."""

    at: float | None
    who: str
    text: str
    unheard: str = ""
    details: str = ""


def lines_of(talk: Talk) -> Iterator[Line]:
    """What was said in order, with what else happened put between by its time."""
    waiting = list(talk.notices)
    for row in talk.rows:
        while waiting and row.begins_at is not None and waiting[0].at < row.begins_at:
            yield _notice_line(waiting.pop(0))
        yield _row_line(row)
    yield from map(_notice_line, waiting)


def _notice_line(notice: Notice) -> Line:
    return Line(notice.at, notice.kind, notice.message)


def _row_line(row: Said) -> Line:
    if row.call is not None:
        return Line(row.begins_at, "tool", _call_text(row.call))
    text, unheard = row.text, ""
    if row.speaker == "assistant":
        text, unheard = row.heard_text, row.unheard_text
    if not text and not unheard:
        text = "(not transcribed)" if row.speaker == "user" else "(nothing was heard)"
    return Line(row.begins_at, row.speaker, text, unheard, ", ".join(_details(row)))


def _call_text(call: Call) -> str:
    if call.output is None:
        return f"{call.name}({call.arguments}) never ended"
    output = call.output
    if len(output) > LONGEST_OUTPUT_CHARS:
        output = f"{output[: LONGEST_OUTPUT_CHARS - 1]}…"
    failed = " failed" if call.failed else ""
    return f"{call.name}({call.arguments}){failed} → {output}"


def _details(row: Said) -> Iterator[str]:
    if row.by in ("text", "key"):
        yield "typed" if row.by == "text" else "push to talk"
    latency = row.latency
    if latency is not None and latency.first_sound_ms is not None:
        points = {
            "turn end": latency.speech_stopped_ms,
            "response": latency.response_created_ms,
            "first audio": latency.first_delta_ms,
        }
        told = ", ".join(f"{name} {at}" for name, at in points.items() if at is not None)
        yield f"{latency.first_sound_ms} ms" + (f" ({told})" if told else "")
    if row.interrupted:
        by = {"voice": " by voice", "key": " by a key", "text": " by typing"}
        heard, received = row.heard_ms / 1000, row.received_ms / 1000
        yield f"cut off{by.get(row.interrupted_by, '')} after {heard:.2f} of {received:.2f} s"
    elif row.speaker == "assistant" and not row.is_over:
        yield f"the talk ended after {row.heard_ms / 1000:.2f} s of it"


def facts_of(facts: Facts) -> Iterator[tuple[str, str]]:
    """What stands at the top."""
    from voicecli.ui.amounts import length

    server = ", ".join(one for one in (facts.server, facts.url, facts.model, facts.voice) if one)
    yield "recording", facts.name
    yield "date", local_date(facts.created, seconds=True)
    yield "length", length(facts.seconds)
    yield "server", server
    if facts.source:
        yield "user from", facts.source
    if facts.audio != "both":
        yield "audio", facts.audio
    if facts.error:
        yield "error", facts.error
    for warning in facts.warnings:
        yield "warning", warning


def plain_lines(talk: Talk) -> Iterator[str]:
    """All of it without colours, a line a row."""
    from voicecli.ui.amounts import clock
    from voicecli.ui.clean import clean
    from voicecli.ui.lines import summary_line

    for name, value in facts_of(talk.facts):
        yield clean(f"{name}: {value}", one_line=True)
    yield ""
    for line in lines_of(talk):
        at = "-:--" if line.at is None else clock(line.at)
        text = line.text
        if line.unheard:
            text = f"{text} [cut off: {line.unheard}]".strip()
        details = f"  [{line.details}]" if line.details else ""
        yield clean(f"{at} {_NAMES.get(line.who, line.who)}: {text}{details}", one_line=True)
    yield ""
    yield clean(f"end: {summary_line(talk.summary)}", one_line=True)


def _draw(talk: Talk) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from voicecli.ui.amounts import clock
    from voicecli.ui.clean import clean
    from voicecli.ui.lines import summary_line

    console = Console(highlight=False)
    facts = Table.grid(padding=(0, 2, 0, 0))
    for name, value in facts_of(talk.facts):
        style = {"error": "red", "warning": "yellow", "recording": "bold"}.get(name, "")
        facts.add_row(Text(name, style="dim"), Text(clean(value, one_line=True), style=style))
    console.print(facts)
    console.print()
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(no_wrap=True)
    rows.add_column()
    for line in lines_of(talk):
        at = "" if line.at is None else clock(line.at)
        who = Text(_NAMES.get(line.who, line.who), style=_STYLES[line.who])
        rows.add_row(Text(at, style="dim"), who, _said(line))
    console.print(rows)
    console.print()
    console.print(Text(clean(summary_line(talk.summary), one_line=True), style="dim"))


def _said(line: Line) -> Text:
    from rich.text import Text

    from voicecli.ui.clean import clean

    said = Text(clean(line.text), style=_STYLES[line.who] if line.who in _NOTICES else "")
    if line.unheard:
        said.append(" " if line.text else "")
        said.append(clean(line.unheard), style="dim strike")
    if line.details:
        said.append(f"\n{clean(line.details, one_line=True)}", style="dim")
    return said
