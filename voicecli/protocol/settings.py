"""The payload of `session.update`, from plain values.

Every field that matters is sent, because the effective defaults depend on the model: the silence
that ends a turn, for one, is 200 ms on some and 500 ms on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from voicecli.protocol.objects import JsonDict

AudioFormat: TypeAlias = Literal["pcm", "pcmu", "pcma"]
Eagerness: TypeAlias = Literal["auto", "low", "medium", "high"]
NoiseReduction: TypeAlias = Literal["off", "near_field", "far_field"]

_WIRE_FORMATS: Final[dict[AudioFormat, JsonDict]] = {
    "pcm": {"type": "audio/pcm", "rate": 24000},
    "pcmu": {"type": "audio/pcmu"},
    "pcma": {"type": "audio/pcma"},
}


def wire_format(name: AudioFormat) -> JsonDict:
    """The format object of the wire: `pcm` is PCM16 at 24 kHz, the others are G.711 at 8 kHz."""
    return dict(_WIRE_FORMATS[name])


def format_name(wire: object) -> AudioFormat:
    """The short name of a format object; whatever it does not know is `pcm`, the default."""
    kind = wire.get("type") if isinstance(wire, dict) else None
    names: dict[str, AudioFormat] = {"audio/pcmu": "pcmu", "audio/pcma": "pcma"}
    return names.get(kind, "pcm") if isinstance(kind, str) else "pcm"


@dataclass(frozen=True, kw_only=True)
class ServerVad:
    """Turns end after a silence."""

    threshold: float = 0.5
    "0.0 to 1.0; higher needs louder speech."
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    idle_timeout_ms: int | None = None
    "5000 to 30000: after such a time without speech the model speaks unasked."
    create_response: bool = True
    interrupt_response: bool = True

    def to_wire(self) -> JsonDict:
        return {
            "type": "server_vad",
            "threshold": self.threshold,
            "prefix_padding_ms": self.prefix_padding_ms,
            "silence_duration_ms": self.silence_duration_ms,
            "idle_timeout_ms": self.idle_timeout_ms,
            "create_response": self.create_response,
            "interrupt_response": self.interrupt_response,
        }


@dataclass(frozen=True, kw_only=True)
class SemanticVad:
    """Turns end when the sentence sounds finished; the eagerness bounds the wait."""

    eagerness: Eagerness = "auto"
    create_response: bool = True
    interrupt_response: bool = True

    def to_wire(self) -> JsonDict:
        return {
            "type": "semantic_vad",
            "eagerness": self.eagerness,
            "create_response": self.create_response,
            "interrupt_response": self.interrupt_response,
        }


TurnDetection: TypeAlias = ServerVad | SemanticVad | None
"None: turns are manual, the client commits and asks for the answer."


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """What one conversation wants of the server; None leaves a value to the server."""

    instructions: str | None = None
    voice: str | None = None
    speed: float | None = None
    turn_detection: TurnDetection = ServerVad()
    input_format: AudioFormat = "pcm"
    output_format: AudioFormat = "pcm"
    noise_reduction: NoiseReduction = "off"
    transcription_model: str | None = None
    "None: the user's words are not transcribed."
    language: str | None = None
    "ISO 639-1."
    tools: Sequence[JsonDict] = ()
    max_output_tokens: int | None = None

    def to_wire(self) -> JsonDict:
        """The `session` object, in the GA shape."""
        session: JsonDict = {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {"input": self._input(), "output": self._output()},
            "tools": list(self.tools),
            "tool_choice": "auto",
        }
        if self.instructions is not None:
            session["instructions"] = self.instructions
        if self.max_output_tokens is not None:
            session["max_output_tokens"] = self.max_output_tokens
        return session

    def _input(self) -> JsonDict:
        transcription: JsonDict | None = None
        if self.transcription_model:
            transcription = {"model": self.transcription_model}
            if self.language:
                transcription["language"] = self.language
        reduction = None if self.noise_reduction == "off" else {"type": self.noise_reduction}
        detection = self.turn_detection
        return {
            "format": wire_format(self.input_format),
            "transcription": transcription,
            "noise_reduction": reduction,
            "turn_detection": None if detection is None else detection.to_wire(),
        }

    def _output(self) -> JsonDict:
        output: JsonDict = {"format": wire_format(self.output_format)}
        if self.voice:
            output["voice"] = self.voice
        if self.speed is not None:
            output["speed"] = self.speed
        return output
