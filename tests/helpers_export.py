"""Recordings of a few inputs, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from helpers_conversation import AUTOMATIC, session_created, session_updated
from helpers_recording import FolderSink

from voicecli import inputs
from voicecli.actions import Finish
from voicecli.conversation import Conversation, Options
from voicecli.protocol.codec import encode
from voicecli.protocol.events import Event
from voicecli.protocol.objects import Usage
from voicecli.protocol.settings import SessionSettings
from voicecli.recording.export.talk import Facts, Notice, Run, Said, Talk, talk_of
from voicecli.recording.files import Recording
from voicecli.recording.format import Header, plain_settings
from voicecli.recording.recorder import Recorder
from voicecli.reports import SummaryReport

FRAME = bytes(960)


def recorded(
    path: Path,
    given: Iterable[tuple[float, Event | inputs.Input]],
    settings: SessionSettings = AUTOMATIC,
    **header: object,
) -> Path:
    """Record the inputs at their times, behind a session that is set up at 0.1 s, and quit."""
    fields: dict[str, object] = {"created": "2026-01-01T00:00:00Z", "program": "voicecli test"}
    fields |= {"server": "made", "settings": plain_settings(settings)} | header
    made = Header(**fields)  # type: ignore[arg-type]
    sink = FolderSink(path, made)
    conversation = Conversation(Options(settings=settings, server=made.server))
    recorder = Recorder(made, conversation, sink)
    vad = settings.turn_detection
    updated = session_updated(None if vad is None else vad.to_wire())
    steps = [(0.1, session_created()), (0.1, updated), *given]
    steps.append((steps[-1][0] + 0.5, inputs.QuitPressed()))
    for at, one in steps:
        an_input = inputs.Received(one, encode(one)) if isinstance(one, Event) else one
        actions = conversation.handle(an_input, at)
        recorder.stepped(an_input, at, actions)
        for action in actions:
            if isinstance(action, Finish):
                recorder.ended(at, action, 0, 0)
    sink.close()
    return path


def told(path: Path) -> Talk:
    with Recording.open(path) as recording:
        return talk_of(recording)


def frames(begins_at: float, ends_at: float) -> list[tuple[float, inputs.Input]]:
    """Silence from the microphone."""
    count = round((ends_at - begins_at) / 0.02)
    return [(round(begins_at + 0.02 * k, 6), inputs.MicFrame(FRAME)) for k in range(1, count + 1)]


# ------------------------------------------------------------------------------- talks made by hand


def row(
    speaker: str,
    text: str,
    begins_at: float | None = 0.0,
    ends_at: float | None = None,
    **more: object,
) -> Said:
    """Something said; the assistant's sound is one run."""
    fields: dict[str, object] = {
        "turn": 1, "speaker": speaker, "item_id": "item", "text": text, "heard_text": text,
        "unheard_text": "", "by": "voice" if speaker == "user" else "", "is_spoken": True,
        "begins_at": begins_at, "ends_at": ends_at, "runs": [], "heard_ms": 0, "received_ms": 0,
        "interrupted": False, "interrupted_by": "", "is_over": True, "latency": None, "call": None,
    }  # fmt: skip
    if speaker == "assistant" and begins_at is not None and ends_at is not None:
        fields["runs"] = [Run(begins_at=begins_at, ends_at=ends_at)]
    return Said(**(fields | more))  # type: ignore[arg-type]


def talk_with(*rows: Said, notices: Sequence[Notice] = (), **facts: object) -> Talk:
    """A talk of these rows."""
    fields: dict[str, object] = {
        "name": "made", "created": "2026-01-01T00:00:00Z", "program": "voicecli test",
        "server": "local", "url": "", "model": "m", "voice": "v", "session_id": "sess",
        "audio": "both", "seconds": 60.0, "ended_suddenly": False, "error": "", "source": "",
        "settings": {}, "warnings": [],
    }  # fmt: skip
    summary = SummaryReport(
        reason="quit", turns=1, interruptions=0, seconds=60.0, dropped_frames=0, underflows=0,
        latency_ms=300, input_tokens=1, output_tokens=2, total_tokens=3, cached_tokens=0,
    )  # fmt: skip
    made = Facts(**(fields | facts))  # type: ignore[arg-type]
    return Talk(facts=made, rows=list(rows), notices=list(notices), summary=summary, usage=Usage())
