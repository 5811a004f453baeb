"""The lines of a recording: what went through the door, and what came out of it.

A recording is a folder. `events.jsonl` begins with a header, one JSON object; every other line is
an array `[at, code, ...]` whose time is in seconds since the connection opened. The audio lies
beside it, in files that lines point into. `docs/recording-format.md` describes every code.

The line of an input is followed by the lines of the actions that it led to, with the same time.
Readers pass over codes that they do not know.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_type_hints

import msgspec
from msgspec import Raw

from voicecli import inputs
from voicecli.actions import (
    Action,
    CallTool,
    Finish,
    FinishPart,
    Play,
    Send,
    SetGain,
    StopPlayback,
    Tell,
)
from voicecli.audio.pcm import SILENT_FRAME, samples_in
from voicecli.audio.playback import FULL_LEVEL, Gain, Heard
from voicecli.bargein import Near
from voicecli.errors import RecordingError
from voicecli.protocol.codec import SERVER_CODEC, encode
from voicecli.protocol.events import (
    Event,
    InputAudioBufferAppend,
    MalformedEvent,
    ResponseOutputAudioDelta,
)
from voicecli.protocol.settings import SemanticVad, ServerVad, SessionSettings, TurnDetection
from voicecli.reports import encode_report

VERSION: Final = 1
FORMAT: Final = "voicecli-recording"

EVENTS_FILE: Final = "events.jsonl"
USER_FILE: Final = "user.pcm"
OWN_FILES: Final = frozenset(
    {EVENTS_FILE, USER_FILE, "assistant.pcm", "assistant.pcmu", "assistant.pcma", "expect.toml"}
)
"All files that a recording has."

Keeps: TypeAlias = Literal["none", "assistant", "both"]
"Whose audio is kept."

Values: TypeAlias = dict[str, Any]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: what was talked with, and how."""

    format: str = FORMAT
    version: int = VERSION
    created: str
    "UTC, RFC 3339."
    program: str
    "Name and version of what recorded."
    server: str
    "As the configuration called it."
    url: str = ""
    "Without query, user or password."
    model: str = ""
    "As it was asked for."
    audio: Keeps = "both"
    settings: Values
    "What the server was asked for: see `settings_of`."
    options: Values = {}
    "`linger_s`, `max_minutes`, `talk_at_start`."
    config: Values = {}
    "The whole configuration in force, by key, without secrets."
    source: str = ""
    "The recording whose user speaks here, when this one comes of running it again."

    @property
    def assistant_file(self) -> str:
        """The assistant's audio as it came: named by its format on the wire."""
        kind = self.settings.get("output_format")
        return f"assistant.{kind if kind in ('pcmu', 'pcma') else 'pcm'}"


def encode_header(header: Header) -> bytes:
    """The first line, with its end."""
    return msgspec.json.encode(header) + b"\n"


def decode_header(line: bytes) -> Header:
    """The header of a recording.

    Raises:
        RecordingError: this is no recording, or one of a newer version.
    """
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise RecordingError("this is not a recording of voicecli", _EXPECTED) from exc
    if fields.get("format") != FORMAT:
        raise RecordingError("this is not a recording of voicecli", _EXPECTED)
    version = fields.get("version")
    if isinstance(version, int) and version > VERSION:
        raise RecordingError(
            f"this recording has version {version} of the format, newer than {VERSION}",
            "update voicecli: pip install --upgrade voicecli",
        )
    try:
        return msgspec.convert(fields, Header)
    except msgspec.ValidationError as exc:
        raise RecordingError(f"the recording's header is damaged: {exc}") from exc


_EXPECTED: Final = "a recording is a folder with events.jsonl in it: see `voicecli recordings list`"


# ------------------------------------------------------------------------------------- the settings


def plain_settings(settings: SessionSettings) -> Values:
    """The settings as plain values; `settings_of` makes them again."""
    plain = asdict(settings)
    plain["tools"] = list(settings.tools)
    match settings.turn_detection:
        case ServerVad():
            plain["turn_detection"] = {"type": "server_vad", **asdict(settings.turn_detection)}
        case SemanticVad():
            plain["turn_detection"] = {"type": "semantic_vad", **asdict(settings.turn_detection)}
    return plain


def settings_of(plain: Mapping[str, Any]) -> SessionSettings:
    """The inverse of `plain_settings`; what it does not know it passes over.

    Raises:
        RecordingError: values that no settings have.
    """
    values = {"tools": (), **plain}
    kinds = get_type_hints(SessionSettings)
    try:
        checked: Values = {
            name: _detection_of(value)
            if name == "turn_detection"
            else msgspec.convert(value, kinds[name])
            for name, value in values.items()
            if name in kinds
        }
        return SessionSettings(**checked | {"tools": tuple(checked["tools"])})
    except (TypeError, ValueError, msgspec.ValidationError) as exc:
        raise RecordingError(f"the recording's settings are damaged: {exc}") from exc


def _detection_of(plain: Any) -> TurnDetection:
    if plain is None:
        return None
    values = dict(plain)
    kind = values.pop("type", "server_vad")
    made: type[SemanticVad | ServerVad] = SemanticVad if kind == "semantic_vad" else ServerVad
    return msgspec.convert(values, made)


# ---------------------------------------------------------------------------------- lines, written


class Sound(NamedTuple):
    """Where audio lies in its file; `offset` is None where it was not kept."""

    offset: int | None
    size: int


_encode = msgspec.json.Encoder().encode


def line(at: float, code: str, *values: object) -> bytes:
    """One line with its end."""
    return _encode([at, code, *values]) + b"\n"


def frame_line(
    at: float,
    *,
    voice: bool,
    near: Near = Near.NOTHING,
    sent: bytes | None,
    sound: Sound | None,
) -> bytes:
    """A microphone frame, and the append that it became.

    Args:
        at: its time.
        voice: whether it moved the end of the user's speech.
        near: what it was to the barge-in, where that is decided here.
        sent: the audio as it went out, None if nothing was sent.
        sound: where the frame is in the user's file; None if it was not kept.
    """
    if sent is None:
        return line(at, "mic", voice + 2 * near)
    if sound is None:
        return line(at, "mic", voice + 2 * near, len(sent))
    sums = (len(sent), zlib.crc32(sent))
    return line(at, "mic", voice + 2 * near, *sums, sound.offset, sound.size)


def received_line(at: float, received: inputs.Received, sound: Sound | None) -> bytes:
    """A message of the server's, word for word; audio that was cut out of it lies at `sound`."""
    if isinstance(received.event, MalformedEvent):
        return line(at, "recv_raw", received.text)
    text = received.text or encode(received.event)
    if sound is not None and isinstance(received.event, ResponseOutputAudioDelta):
        text = _without_audio(text, received.event)
        return line(at, "recv", Raw(_one_line(text)), sound.size, sound.offset)
    return line(at, "recv", Raw(_one_line(text)))


def _without_audio(text: bytes, event: ResponseOutputAudioDelta) -> bytes:
    quoted = _encode(event.delta)
    if text.count(quoted) == 1 and event.delta:
        return text.replace(quoted, b'""')
    return encode(msgspec.structs.replace(event, delta=b""))


def _one_line(text: bytes) -> bytes:
    """JSON has line ends only where a space does as well."""
    return text.replace(b"\n", b" ").replace(b"\r", b" ")


def input_line(at: float, an_input: inputs.Input) -> bytes:
    """Any other input."""
    match an_input:
        case inputs.MicEnded():
            return line(at, "mic_ended")
        case inputs.PartStarted(item_id, index, sounds_at):
            return line(at, "started", item_id, index, sounds_at)
        case inputs.PartEmitted(item_id, index, first, samples, sounds_at, fade, gain):
            softened = () if gain == FULL_LEVEL else gain
            return line(at, "emitted", item_id, index, first, samples, sounds_at, fade, *softened)
        case inputs.PartPlayed(item_id, index):
            return line(at, "played", item_id, index)
        case inputs.PlaybackDrained():
            return line(at, "drained")
        case inputs.PlaybackStopped(heard):
            return line(at, "stopped", [_account(one) for one in heard])
        case inputs.TextTyped(text):
            return line(at, "typed", text)
        case inputs.SettingsChanged(changes):
            return line(at, "settings", changes)
        case inputs.ToolFinished(call_id, output, failed):
            return line(at, "tool", call_id, output, failed)
        case inputs.Noticed(message, source):
            return line(at, "noticed", message, source)
        case inputs.Woke():
            return line(at, "woke")
    return line(at, "key", _KEYS[type(an_input)])


def _account(heard: Heard) -> list[object]:
    return [heard.item_id, heard.content_index, heard.received_samples, heard.emitted_samples]


_KEYS: Final[dict[type, str]] = {
    inputs.TalkPressed: "talk",
    inputs.TalkReleased: "release",
    inputs.MuteToggled: "mute",
    inputs.MarkerSet: "marker",
    inputs.InterruptPressed: "interrupt",
    inputs.QuitPressed: "quit",
}


def action_lines(at: float, actions: Sequence[Action], *, with_audio: bool) -> Iterator[bytes]:
    """What came of an input; with `with_audio` the checksum of what was played."""
    for action in actions:
        match action:
            case Send(event):
                yield line(at, "send", Raw(_sent(event)))
            case Play(item_id, index, pcm):
                sums = (zlib.crc32(pcm),) if with_audio else ()
                yield line(at, "play", item_id, index, samples_in(pcm), *sums)
            case FinishPart(item_id, index):
                yield line(at, "finish_part", item_id, index)
            case SetGain(gain):
                yield line(at, "gain", gain)
            case StopPlayback():
                yield line(at, "stop")
            case CallTool(call_id, name, arguments):
                yield line(at, "call", call_id, name, arguments)
            case Tell(report):
                yield line(at, "tell", Raw(encode_report(report, round(at * 1000))))
            case Finish(reason, error):
                yield line(at, "finish", reason, None if error is None else error.message)


def _sent(event: Event) -> bytes:
    if isinstance(event, InputAudioBufferAppend):
        event = msgspec.structs.replace(event, audio=b"")
    return encode(event)


# ------------------------------------------------------------------------------------- lines, read


class Entry(NamedTuple):
    """One line of a recording."""

    at: float
    code: str
    values: Sequence[Raw]
    line: bytes

    def value(self, position: int) -> Any:
        """One of its values; None where the line is shorter.

        Raises:
            RecordingError: the line is damaged.
        """
        if position >= len(self.values):
            return None
        try:
            return msgspec.json.decode(self.values[position])
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
            raise RecordingError(f"a damaged line at {self.at:.3f} s: {exc}") from exc

    @property
    def all_values(self) -> list[Any]:
        return [self.value(position) for position in range(len(self.values))]


_entries: Final = msgspec.json.Decoder(list[Raw])


def decode_entry(text: bytes) -> Entry | None:
    """A line as an entry; None for what is none (half a line, another program's)."""
    try:
        at, code, *values = _entries.decode(text)
        return Entry(
            msgspec.json.decode(at, type=float),
            msgspec.json.decode(code, type=str),
            values,
            text,
        )
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        return None


INPUT_CODES: Final = frozenset(
    {
        "mic",
        "mic_ended",
        "recv",
        "recv_raw",
        "started",
        "emitted",
        "played",
        "drained",
        "stopped",
        "key",
        "typed",
        "settings",
        "tool",
        "noticed",
        "woke",
    }
)
ACTION_CODES: Final = frozenset(
    {"send", "play", "finish_part", "gain", "stop", "call", "tell", "finish"}
)
OTHER_CODES: Final = frozenset({"mark", "lost", "end"})

_KEYS_BY_NAME: Final = {name: kind for kind, name in _KEYS.items()}


class Frame(NamedTuple):
    """What a `mic` line says."""

    voice: bool
    near: Near
    was_sent: bool
    sound: Sound | None
    "None where the audio was not kept, or nothing was sent."


def frame_of(entry: Entry) -> Frame:
    """A `mic` entry's values."""
    values = entry.all_values
    signs = int(values[0]) if values else 0
    sound = Sound(values[3], values[4]) if len(values) >= 5 else None
    near = Near(signs >> 1) if 0 <= signs >> 1 <= max(Near) else Near.NOTHING
    return Frame(bool(signs & 1), near, len(values) >= 2, sound)


def sound_of(entry: Entry) -> Sound | None:
    """Where the audio of a `recv` entry lies; None if it holds none."""
    if len(entry.values) < 2:
        return None
    return Sound(entry.value(2), entry.value(1))


def event_of(entry: Entry, audio: bytes = b"") -> inputs.Received:
    """The message of a `recv` or `recv_raw` entry, with its audio put back."""
    if entry.code == "recv_raw":
        raw = msgspec.json.decode(entry.values[0], type=bytes) if entry.values else b""
        return inputs.Received(SERVER_CODEC.decode(raw), raw)
    text = bytes(entry.values[0]) if entry.values else b""
    event = SERVER_CODEC.decode(text)
    if isinstance(event, ResponseOutputAudioDelta) and len(entry.values) > 1:
        event = msgspec.structs.replace(event, delta=audio)
    return inputs.Received(event, text)


def input_of(entry: Entry, audio: bytes = b"") -> inputs.Input | None:
    """The input that an entry tells of; None for entries that tell of something else.

    Args:
        entry: any entry.
        audio: of a `mic` entry the frame (empty: silence), of a `recv` entry what was cut out.

    Raises:
        RecordingError: the line is damaged.
    """
    try:
        return _input_of(entry, audio)
    except (IndexError, TypeError, ValueError, KeyError, msgspec.MsgspecError) as exc:
        raise RecordingError(f"a damaged line at {entry.at:.3f} s ({entry.code}): {exc}") from exc


def _input_of(entry: Entry, audio: bytes) -> inputs.Input | None:  # noqa: C901
    code = entry.code
    if code == "mic":
        return inputs.MicFrame(audio or SILENT_FRAME)
    if code in ("recv", "recv_raw"):
        return event_of(entry, audio)
    if code not in INPUT_CODES:
        return None
    values = entry.all_values
    match code:
        case "mic_ended":
            return inputs.MicEnded()
        case "started":
            return inputs.PartStarted(*values[:3])
        case "emitted":
            run = inputs.PartEmitted(*values[:6])
            return replace(run, gain=Gain(*values[6:9])) if len(values) >= 9 else run
        case "played":
            return inputs.PartPlayed(*values[:2])
        case "drained":
            return inputs.PlaybackDrained()
        case "stopped":
            return inputs.PlaybackStopped(tuple(Heard(*one[:4]) for one in values[0]))
        case "typed":
            return inputs.TextTyped(values[0])
        case "settings":
            return inputs.SettingsChanged(dict(values[0]))
        case "tool":
            return inputs.ToolFinished(*values[:3])
        case "noticed":
            return inputs.Noticed(*values[:2])
        case "woke":
            return inputs.Woke()
    kind = _KEYS_BY_NAME.get(values[0])
    made: inputs.Input | None = None if kind is None else kind()
    return made


def appended(actions: Sequence[Action]) -> tuple[bytes | None, Sequence[Action]]:
    """The audio that a frame of the microphone became and that goes out, and the other actions."""
    if actions and isinstance(actions[0], Send):
        event = actions[0].event
        if isinstance(event, InputAudioBufferAppend):
            return event.audio, actions[1:]
    return None, actions
