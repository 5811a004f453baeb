"""A recording cut down to what a test needs: the same talk, small, and without names.

The inputs are those of the recording, the actions what the conversation makes of them now. Ids are
short and stable; the configuration, addresses and, unless wanted, the audio are left out, and so
are the frames of the microphone that led to nothing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from voicecli.actions import Action, Send
from voicecli.audio.pcm import FRAME_MS
from voicecli.errors import RecordingError
from voicecli.protocol.events import ConversationItemCreate, ResponseCreate
from voicecli.recording.export.short_ids import ShortIds
from voicecli.recording.fold import Fold, Source
from voicecli.recording.format import (
    INPUT_CODES,
    Entry,
    Header,
    Sound,
    action_lines,
    appended,
    decode_entry,
    encode_header,
    frame_line,
    frame_of,
    line,
    sound_of,
)

if TYPE_CHECKING:
    from voicecli.recording.files import Mark

_LEAD_S: Final = 1.0
"So much of the quiet before the first turn is kept."

_KNOWN_SERVERS: Final = frozenset({"openai", "local"})
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_CUT: Final = {"reason": "cut", "error": None, "dropped_frames": 0, "underflows": 0}
_SENT_MS: Final = {
    "input_audio_buffer.speech_started": "audio_start_ms",
    "input_audio_buffer.speech_stopped": "audio_end_ms",
}


class Span(NamedTuple):
    """The part of a recording that is kept: it begins and ends where nothing was going on."""

    position: int | None
    "In the file of events, where it begins; None: at the beginning."
    begins_at: float
    "Time of the line before it."
    session_lines: Sequence[int]
    "Positions of the lines by which the session was set up, when it begins later."
    turns_before: int
    quiet_until: float
    "Frames before this are not kept while nothing else has happened."
    ends_at: float | None
    "Time of the rest with which it ends; None: it goes on to the end."


WHOLE: Final = Span(None, 0.0, (), 0, 0.0, None)

_IDLE: Final = frozenset({"mic", "drained", "woke"})
"Where nothing is going on, these change nothing."


def span_of(marks: Sequence[Mark], from_turn: int | None, to_turn: int | None) -> Span:
    """The smallest part that holds the turns and can stand by itself.

    Raises:
        RecordingError: there are no such turns, or not in this order.
    """
    if from_turn is not None and to_turn is not None and from_turn > to_turn:
        raise RecordingError(f"turn {from_turn} comes after turn {to_turn}", "swap them")
    turns = {mark.values.get("turn"): mark for mark in marks if mark.kind == "turn"}
    for wanted in (from_turn, to_turn):
        if wanted is not None and wanted not in turns:
            raise RecordingError(
                f"there is no turn {wanted} in the recording",
                f"it has {len(turns)}" if turns else "it has none",
            )
    span = WHOLE._replace(ends_at=_end_after(marks, to_turn))
    if from_turn is None:
        return span
    began_at = float(turns[from_turn].values.get("began_at", turns[from_turn].at))
    before = [one for one in _rests(marks) if one.at <= began_at and _turns(one) < from_turn]
    if not before or not _turns(before[-1]):
        return span
    rest = before[-1]
    return span._replace(
        position=rest.position,
        begins_at=rest.at,
        session_lines=rest.values.get("session", ()),
        turns_before=_turns(rest),
        quiet_until=began_at - _LEAD_S,
    )


def _end_after(marks: Sequence[Mark], to_turn: int | None) -> float | None:
    """When it is quiet after a turn, and the next one has not begun."""
    if to_turn is None:
        return None
    after = [rest for rest in _rests(marks) if _turns(rest) >= to_turn]
    # The last one before the next turn: there may be a rest before an answer that comes late.
    last = [rest for rest in after if _turns(rest) == _turns(after[0])]
    is_end = not last or not any(one.kind == "turn" and one.at > last[-1].at for one in marks)
    return None if is_end else last[-1].at


def _rests(marks: Sequence[Mark]) -> list[Mark]:
    return [mark for mark in marks if mark.kind == "rest"]


def _turns(rest: Mark) -> int:
    return int(rest.values.get("turns", 0))


class Written(NamedTuple):
    """What goes into the three files next."""

    lines: bytes
    user: bytes = b""
    assistant: bytes = b""


class Fixture:
    """Makes a small recording of a large one.

    Args:
        source: read once.
        span: which part.
        keep_audio: as far as the recording has any.
        keep_frames: all of the microphone's, not only those that led to something.
    """

    def __init__(
        self, source: Source, span: Span = WHOLE, *, keep_audio: bool, keep_frames: bool
    ) -> None:
        kept = source.header.audio if keep_audio else "none"
        self.header = header_of(source.header, kept)
        self.turns = 0
        "How many are in it; known in the end."
        self._source = source
        self._span = span
        self._keep_frames = keep_frames or kept == "both"
        self._fold = Fold(_Heard(self.header, self), relives_voice=kept == "both")
        self._ids = ShortIds()
        self._audio = b""
        self._shift_s = 0.0
        self._ready_at = 0.0
        self._cut_ms = 0
        "Of the user's audio before the part, which the server has counted."
        self._has_begun = span.position is None
        self._voice_at: float | None = None
        self._sent_bytes = 0
        "Of the frame before."
        self._sends: deque[Send] = deque()
        self._held: bytes = b""
        "A frame that is needed only if something follows before the next one like it."
        self._sizes = [0, 0, 0]
        self._session_lines: dict[str, int] = {}

    def written(self) -> Iterator[Written]:
        """All of it, in order.

        Raises:
            RecordingError: a line is damaged beyond use.
        """
        yield self._sized(Written(encode_header(self.header)))
        for position in self._span.session_lines:
            entry = self._source.entry_at(position)
            if entry is not None:
                yield from self._taken(entry)
                self._ready_at = entry.at
        self._count_cut()
        for entry in self._source.entries(self._span.position):
            if not (self._has_begun or self._begins_with(entry)):
                continue
            yield from self._taken(entry)
            if self._is_last(entry):
                yield self._sized(Written(line(self._at(entry.at), "end", _CUT)))
                return

    def _count_cut(self) -> None:
        if self._has_begun:
            return
        for entry in self._source.entries():
            if entry.at > self._span.begins_at:
                return
            self._cut_ms += FRAME_MS * _is_sent(entry)

    def _begins_with(self, entry: Entry) -> bool:
        """Whether the part begins here: its first line follows the setting up at once."""
        if entry.code in _IDLE and entry.at < self._span.quiet_until:
            self._cut_ms += FRAME_MS * _is_sent(entry)
            return False
        self._has_begun = True
        self._shift_s = round(entry.at - self._ready_at - FRAME_MS / 1000, 6)
        return True

    def _is_last(self, entry: Entry) -> bool:
        return entry.at == self._span.ends_at and _is_mark(entry, "rest")

    def _taken(self, entry: Entry) -> Iterator[Written]:
        if entry.code == "send":
            self._compare_ids(entry)
        elif entry.code == "mark":
            yield self._sized(Written(self._mark(entry)))
        elif entry.code in ("lost", "end"):
            yield self._sized(Written(self._other(entry)))
        elif entry.code == "mic":
            yield from self._frame(entry)
        elif entry.code in INPUT_CODES:
            yield from self._input(entry)

    def _at(self, at: float) -> float:
        return round(at - self._shift_s, 6)

    def _sized(self, written: Written) -> Written:
        for number, content in enumerate(written):
            self._sizes[number] += len(content)
        return written

    # --------------------------------------------------------------------------------- the inputs

    def _frame(self, entry: Entry) -> Iterator[Written]:
        at = self._at(entry.at)
        self._audio = self._source.audio_of(entry)
        was_open = self._fold.conversation.is_talk_open
        actions = self._step(line(at, "mic", int(frame_of(entry).voice)))
        voice = self._fold.conversation.voice_ended_at != self._voice_at
        self._voice_at = self._fold.conversation.voice_ended_at
        sent, rest = appended(actions)
        keeps = self.header.audio == "both" and sent is not None
        sound = Sound(self._sizes[1], len(self._audio)) if keeps else None
        text = frame_line(at, voice=voice, sent=sent, sound=sound)
        lines = b"".join(self._action_lines(at, rest))
        is_open = was_open or self._fold.conversation.is_talk_open
        # A rate conversion gives less for the first frame, which has to stay the first.
        sent_bytes = 0 if sent is None else len(sent)
        is_odd, self._sent_bytes = sent_bytes != self._sent_bytes, sent_bytes
        if self._keep_frames or lines or is_open or is_odd:
            yield self._sized(
                Written(self._released() + text + lines, self._audio if keeps else b"")
            )
        elif voice:
            self._held = text

    def _released(self) -> bytes:
        held, self._held = self._held, b""
        return held

    def _input(self, entry: Entry) -> Iterator[Written]:
        at = self._at(entry.at)
        self._audio = self._source.audio_of(entry)
        keeps = bool(self._audio) and self.header.audio != "none"
        text = self._renamed(entry, at, self._sizes[2] if keeps else None)
        held = self._released()
        if entry.code == "recv":
            self._note_session(text, len(held))
        lines = b"".join(self._action_lines(at, self._step(text)))
        yield self._sized(Written(held + text + lines, b"", self._audio if keeps else b""))

    def _step(self, text: bytes) -> Sequence[Action]:
        entry = decode_entry(text)
        step = None if entry is None else self._fold.take(entry)
        return () if step is None else step.actions

    def _action_lines(self, at: float, actions: Sequence[Action]) -> Iterator[bytes]:
        self._sends = deque(action for action in actions if isinstance(action, Send))
        return action_lines(at, actions, with_audio=self.header.audio != "none")

    def _note_session(self, text: bytes, held: int) -> None:
        for kind in ("session.created", "session.updated"):
            if f'"type":"{kind}"'.encode() in text[:200]:
                self._session_lines[kind] = self._sizes[0] + held

    def _renamed(self, entry: Entry, at: float, offset: int | None) -> bytes:
        values = [] if entry.code in ("recv", "recv_raw") else entry.all_values
        match entry.code, values:
            case "recv", _:
                return self._received(entry, at, offset)
            case "recv_raw", _:
                return line(at, "recv_raw", *entry.values)
            case "started", [item_id, index, sounds_at, *_]:
                sounds_at -= self._shift_s
                return line(at, "started", self._item(item_id), index, sounds_at)
            case "emitted", [item_id, index, first, samples, sounds_at, *more]:
                sounds_at -= self._shift_s
                place = (self._item(item_id), index, first, samples, sounds_at)
                return line(at, "emitted", *place, *more)
            case "played", [item_id, *more]:
                return line(at, "played", self._item(item_id), *more)
            case "stopped", [accounts]:
                heard = [[self._item(item_id), *more] for item_id, *more in accounts]
                return line(at, "stopped", heard)
            case "tool", [call_id, *more]:
                return line(at, "tool", self._ids.of(call_id, "call"), *more)
            case "noticed", [message, *more]:
                return line(at, "noticed", _without_values(message), *more)
        return line(at, entry.code, *values)

    def _item(self, item_id: str) -> str:
        return self._ids.of(item_id, "item")

    def _received(self, entry: Entry, at: float, offset: int | None) -> bytes:
        event = msgspec.json.decode(entry.values[0])
        if isinstance(event, dict):
            self._shift_sent(event)
        text = Raw(msgspec.json.encode(self._ids.in_event(event)))
        sound = sound_of(entry)
        more = () if sound is None else (sound.size, offset)
        return line(at, "recv", text, *more)

    def _shift_sent(self, event: dict[str, Any]) -> None:
        """Count the user's audio from the beginning of the part."""
        field = _SENT_MS.get(str(event.get("type")), "")
        if isinstance(event.get(field), int) and self._cut_ms:
            event[field] = max(0, event[field] - self._cut_ms)

    # ------------------------------------------------------------------------------- other lines

    def _compare_ids(self, entry: Entry) -> None:
        """Our own ids count anew; the server's answers speak of them."""
        if not self._sends:
            return
        was, now = entry.value(0), self._sends.popleft().event
        if isinstance(now, ResponseCreate) and isinstance(was, dict) and now.event_id:
            self._ids.is_now(str(was.get("event_id", "")), now.event_id)
        if isinstance(now, ConversationItemCreate) and isinstance(was, dict):
            item = was.get("item")
            if isinstance(item, dict) and item.get("id"):
                self._ids.is_now(str(item["id"]), now.item.id)

    def _mark(self, entry: Entry) -> bytes:
        kind, values = entry.value(0), entry.value(1)
        values = dict(values) if isinstance(values, dict) else {}
        match kind:
            case "turn":
                values["turn"] = int(values.get("turn", 0)) - self._span.turns_before
                values["began_at"] = round(float(values.get("began_at", 0)) - self._shift_s, 3)
                self.turns = max(self.turns, values["turn"])
            case "rest":
                values["turns"] = int(values.get("turns", 0)) - self._span.turns_before
                values["session"] = list(self._session_lines.values())
            case "marker":
                values["number"] = self._fold.conversation.counts.markers
            case "barge_in":
                values["item_id"] = self._item(str(values.get("item_id", "")))
        return self._released() + line(self._at(entry.at), "mark", kind, values)

    def _other(self, entry: Entry) -> bytes:
        values = entry.all_values
        if entry.code == "end" and isinstance(values[0], dict) and values[0].get("error"):
            values[0]["error"] = _without_values(str(values[0]["error"]))
        return self._released() + line(self._at(entry.at), entry.code, *values)


class _Heard:
    """What the fold reads: the lines come from elsewhere, the audio is what is being taken."""

    def __init__(self, header: Header, fixture: Fixture) -> None:
        self.header = header
        self._fixture = fixture

    def entries(self, position: int | None = None) -> Iterator[Entry]:
        raise NotImplementedError

    def entry_at(self, position: int) -> Entry | None:
        raise NotImplementedError

    def audio_of(self, entry: Entry) -> bytes:
        return self._fixture._audio


def test_of(name: str) -> str:
    """A test, in the text of a module, of the recording `name` beside it."""
    return _TEST.format(folder=name, word=word_of(name))


def word_of(name: str) -> str:
    """A name as a part of a Python identifier."""
    return re.sub(r"\W+", "_", name).strip("_").lower() or "talk"


_TEST: Final = '''\
"""The recorded talk comes out as it did: every action of the client is computed again."""

import subprocess
import sys
from pathlib import Path

RECORDING = Path(__file__).with_name({folder!r})


def test_{word}_comes_out_as_it_did():
    command = [sys.executable, "-m", "voicecli", "replay", "--check", str(RECORDING)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
'''


def header_of(header: Header, audio: Any) -> Header:
    """The header without what tells of a person or a machine."""
    return Header(
        created=header.created,
        program=header.program,
        server=header.server if header.server in _KNOWN_SERVERS else "server",
        model=header.model,
        audio=audio,
        settings=header.settings,
        options=header.options,
    )


def _is_sent(entry: Entry) -> bool:
    return entry.code == "mic" and len(entry.values) > 1


def _is_mark(entry: Entry, kind: str) -> bool:
    return entry.code == "mark" and entry.value(0) == kind


def _without_values(message: str) -> str:
    """A message without the values in it: devices, paths, addresses."""
    return _QUOTED.sub("'…'", message)
