"""What differs in servers that speak the shape of before August 2025, or a mixture.

Incoming events are brought to the GA names before they become values, so nothing behind the codec
knows that another shape exists. Outgoing settings are rewritten for a server that described itself
in the old shape.

Source: the migration notes of the Realtime API; servers that still speak so are Azure's preview
versions, Azure Voice Live, Qwen-Omni, StepFun, GLM, speaches and sglang-omni.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from voicecli.protocol.objects import JsonDict

BETA_EVENT_NAMES: Mapping[str, str] = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "transcription_session.created": "session.created",
    "transcription_session.updated": "session.updated",
}

KEY_ERRORS: Final = frozenset(
    {"invalid_api_key", "invalid_authentication", "authentication_error", "unauthorized"}
)
"Codes of the error event with which servers refuse a key on an open socket."

_BETA_FORMATS: Mapping[str, str] = {
    "audio/pcm": "pcm16",
    "audio/pcmu": "g711_ulaw",
    "audio/pcma": "g711_alaw",
}


def to_ga_name(event_type: str) -> str:
    """The GA name of an event type; names that did not change come back as they are."""
    return BETA_EVENT_NAMES.get(event_type, event_type)


def to_beta_session(session: Mapping[str, object]) -> JsonDict:
    """The flat session of the old shape from the nested one of today.

    Args:
        session: what `session.update` carries in the GA shape; not changed.
    """
    kept = ("instructions", "tools", "tool_choice", "tracing", "truncation", "include")
    beta: JsonDict = {key: session[key] for key in kept if key in session}
    if "output_modalities" in session:
        wanted = session["output_modalities"]
        beta["modalities"] = ["text"] if wanted == ["text"] else ["text", "audio"]
    if "max_output_tokens" in session:
        beta["max_response_output_tokens"] = session["max_output_tokens"]
    audio = session.get("audio")
    if isinstance(audio, dict):
        beta |= _flat_audio(audio.get("input") or {}, "input")
        beta |= _flat_audio(audio.get("output") or {}, "output")
    return beta


def _flat_audio(side: JsonDict, direction: str) -> JsonDict:
    names = {
        "transcription": "input_audio_transcription",
        "noise_reduction": "input_audio_noise_reduction",
        "turn_detection": "turn_detection",
        "voice": "voice",
        "speed": "speed",
    }
    flat: JsonDict = {names[key]: value for key, value in side.items() if key in names}
    wire_format = side.get("format")
    if isinstance(wire_format, dict):
        flat[f"{direction}_audio_format"] = _BETA_FORMATS.get(wire_format.get("type", ""), "pcm16")
    return flat
