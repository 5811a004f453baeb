"""What a server says of its session, by the keys of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from voicecli.protocol.objects import Session
from voicecli.protocol.settings import AudioFormat, format_name

_MODES: Final = {"server_vad": "server", "semantic_vad": "semantic"}
_VAD: Final = {
    "vad.eagerness": "eagerness",
    "vad.threshold": "threshold",
    "vad.prefix_ms": "prefix_padding_ms",
    "vad.silence_ms": "silence_duration_ms",
    "vad.idle_timeout_ms": "idle_timeout_ms",
}
_BETA_FORMATS: Final[dict[str, AudioFormat]] = {
    "pcm16": "pcm",
    "g711_ulaw": "pcmu",
    "g711_alaw": "pcma",
}
"Names of the shape of before August 2025."


def confirmed(session: Session) -> dict[str, object]:
    """The settings that the server states; what it does not tell is left out."""
    values: dict[str, object] = {"model": session.model, "voice": session.voice}
    values = {key: value for key, value in values.items() if value}
    if isinstance(session.fields.get("instructions"), str):
        values["instructions"] = session.fields["instructions"]
    if session.tells_turn_detection:
        values |= _vad(session.turn_detection)
    return values | (_flat(session.fields) if session.is_beta else _nested(session.fields))


def _vad(detection: Mapping[str, Any] | None) -> dict[str, object]:
    if detection is None:
        return {"vad.mode": "none"}
    told = {key: detection[name] or 0 for key, name in _VAD.items() if name in detection}
    return {"vad.mode": _MODES.get(detection["type"], detection["type"]), **told}


def _nested(fields: Mapping[str, Any]) -> dict[str, object]:
    audio = _table(fields.get("audio"))
    heard, spoken = _table(audio.get("input")), _table(audio.get("output"))
    values: dict[str, object] = {}
    if "format" in heard:
        values["audio.input_format"] = format_name(heard["format"])
    if "format" in spoken:
        values["audio.output_format"] = format_name(spoken["format"])
    if "noise_reduction" in heard:
        values["audio.noise_reduction"] = _table(heard["noise_reduction"]).get("type", "off")
    if "transcription" in heard:
        values |= _transcription(heard["transcription"])
    return values


def _flat(fields: Mapping[str, Any]) -> dict[str, object]:
    values: dict[str, object] = {}
    for side in ("input", "output"):
        told = fields.get(f"{side}_audio_format")
        if isinstance(told, str):
            values[f"audio.{side}_format"] = _BETA_FORMATS.get(told, told)
    if "input_audio_noise_reduction" in fields:
        reduction = _table(fields["input_audio_noise_reduction"])
        values["audio.noise_reduction"] = reduction.get("type", "off")
    if "input_audio_transcription" in fields:
        values |= _transcription(fields["input_audio_transcription"])
    return values


def _transcription(told: object) -> dict[str, object]:
    table = _table(told)
    values: dict[str, object] = {"transcription": table.get("model") or "off"}
    return values | {"language": table.get("language") or ""}


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
