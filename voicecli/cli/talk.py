"""`voicecli talk`: a full-duplex spoken conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_SERVER = "Where to"
_TURNS = "How turns are taken"
_SOUND = "Sound"
_TALK = "The talk"


def _option(*names: str, help: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def talk_command(
    server: Annotated[
        str | None,
        _option(
            "--server",
            "-s",
            panel=_SERVER,
            help="openai, local (the embedded engine), a ws:// or wss:// URL, or a name from the "
            "configuration. Default: openai if OPENAI_API_KEY is set, else local.",
        ),
    ] = None,
    model: Annotated[
        str | None, _option("--model", panel=_SERVER, help="The server's model.")
    ] = None,
    mind: Annotated[
        str | None,
        _option(
            "--mind",
            panel=_SERVER,
            help="What thinks in the embedded engine: rules, small, standard, auto, or the URL of "
            "an OpenAI-compatible chat server (Ollama, llama.cpp, vLLM).",
        ),
    ] = None,
    voice: Annotated[
        str | None, _option("--voice", panel=_SERVER, help="The assistant's voice.")
    ] = None,
    instructions: Annotated[
        str | None,
        _option(
            "--instructions",
            "-i",
            panel=_SERVER,
            help="What the assistant shall be; @FILE reads a file.",
        ),
    ] = None,
    tools: Annotated[
        str | None,
        _option(
            "--tools", panel=_SERVER, help="A Python file whose typed functions the model may call."
        ),
    ] = None,
    vad: Annotated[
        str | None,
        _option(
            "--vad",
            panel=_TURNS,
            help="server: a silence ends your turn; semantic: the server hears when you are done; "
            "none: push to talk with the space bar.",
        ),
    ] = None,
    eagerness: Annotated[
        str | None,
        _option("--eagerness", panel=_TURNS, help="With semantic: low, medium, high or auto."),
    ] = None,
    threshold: Annotated[
        float | None,
        _option(
            "--threshold", panel=_TURNS, help="With server: 0 to 1; higher needs louder speech."
        ),
    ] = None,
    prefix_ms: Annotated[
        int | None,
        _option("--prefix-ms", panel=_TURNS, help="With server: audio kept from before the voice."),
    ] = None,
    silence_ms: Annotated[
        int | None,
        _option("--silence-ms", panel=_TURNS, help="With server: the silence that ends a turn."),
    ] = None,
    idle_timeout_ms: Annotated[
        int | None,
        _option(
            "--idle-timeout-ms",
            panel=_TURNS,
            help="With server: after so long without speech the model speaks unasked.",
        ),
    ] = None,
    barge_in: Annotated[
        str | None,
        _option(
            "--barge-in",
            panel=_TURNS,
            help="What your voice does to an answer. server: stop it; local: soften it at once, "
            "and stop it unless it was a cough or a 'yeah'; off: nothing.",
        ),
    ] = None,
    mic: Annotated[
        str | None,
        _option(
            "--mic",
            panel=_SOUND,
            help="A device by index or part of its name, a WAV file, - (raw PCM16 24 kHz on "
            "stdin), or none.",
        ),
    ] = None,
    speaker: Annotated[
        str | None,
        _option(
            "--speaker",
            panel=_SOUND,
            help="A device by index or part of its name, a WAV file, - (raw PCM16 24 kHz on "
            "stdout), or none.",
        ),
    ] = None,
    audio_format: Annotated[
        str | None,
        _option(
            "--format",
            panel=_SOUND,
            help="Audio on the wire, both ways: pcm (24 kHz), pcmu or pcma (G.711, 8 kHz).",
        ),
    ] = None,
    echo: Annotated[
        str | None,
        _option(
            "--echo",
            panel=_SOUND,
            help="What keeps the microphone from hearing the speaker. aec: the answer is taken out "
            'of it (pip install "voicecli[aec]"); half-duplex: it is silent while an answer plays; '
            "off: nothing, for headsets; auto: aec if it is installed, else half-duplex.",
        ),
    ] = None,
    noise_suppression: Annotated[
        bool | None,
        _option(
            "--noise-suppression/--no-noise-suppression",
            panel=_SOUND,
            help="On this machine: take a fan or a street out of what the microphone hears. Off by "
            "default: servers have their own.",
        ),
    ] = None,
    noise_reduction: Annotated[
        str | None,
        _option("--noise-reduction", panel=_SOUND, help="Server side: off, near_field, far_field."),
    ] = None,
    device_patience: Annotated[
        float | None,
        _option(
            "--device-patience",
            panel=_SOUND,
            help="When a device goes away: look for another one for so many seconds.",
        ),
    ] = None,
    language: Annotated[
        str | None, _option("--language", panel=_SOUND, help="What you speak, as ISO 639-1 (en).")
    ] = None,
    transcription_model: Annotated[
        str | None,
        _option("--transcription-model", panel=_SOUND, help="Writes down what you say; off: none."),
    ] = None,
    as_json: Annotated[
        bool,
        _option("--json", panel=_TALK, help="One JSON object a line on stdout (docs/json.md)."),
    ] = False,
    record: Annotated[
        str | None,
        _option(
            "--record",
            panel=_TALK,
            metavar="[PATH]",
            help="Record the talk: to a new folder at PATH, or among your recordings.",
        ),
    ] = None,
    record_audio: Annotated[
        str | None,
        _option(
            "--record-audio", panel=_TALK, help="Whose audio is kept: none, assistant, or both."
        ),
    ] = None,
    linger: Annotated[
        float | None,
        _option(
            "--linger",
            panel=_TALK,
            help="After the microphone's file is through: end when nothing was owed for so many "
            "seconds.",
        ),
    ] = None,
    max_minutes: Annotated[
        float | None, _option("--max-minutes", panel=_TALK, help="End after so many minutes.")
    ] = None,
    profile: Annotated[
        str | None, _option("--profile", panel=_TALK, help="A profile of the configuration.")
    ] = None,
    config: Annotated[
        Path | None, _option("--config", panel=_TALK, help="A configuration file of its own.")
    ] = None,
) -> None:
    """Talk with OpenAI, a server like it, or the engine inside.

    Interrupt it whenever you like. Without a key it talks with the engine inside, on your own
    machine. Without a microphone it takes a file:

      voicecli talk --server local --mic question.wav --speaker answer.wav

    Keys at the terminal: space talk (with --vad none), m mute, b marker, Enter type a message, Esc
    interrupt, ? help, q quit. API keys come from the environment, never from a flag.
    """
    flags = {
        "server": server,
        "model": model,
        "local.mind": mind,
        "voice": voice,
        "instructions": instructions,
        "tools": tools,
        "vad.mode": vad,
        "vad.eagerness": eagerness,
        "vad.threshold": threshold,
        "vad.prefix_ms": prefix_ms,
        "vad.silence_ms": silence_ms,
        "vad.idle_timeout_ms": idle_timeout_ms,
        "barge_in.mode": barge_in,
        "audio.mic": mic,
        "audio.speaker": speaker,
        "audio.input_format": audio_format,
        "audio.output_format": audio_format,
        "audio.echo": echo,
        "audio.noise_suppression": noise_suppression,
        "audio.noise_reduction": noise_reduction,
        "audio.device_patience_s": device_patience,
        "language": language,
        "transcription": transcription_model,
        "recording.enabled": None if record is None else True,
        "recording.path": record or None,
        "recording.audio": record_audio,
        "talk.linger_s": linger,
        "talk.max_minutes": max_minutes,
    }
    from voicecli.cli import wiring

    wiring.run(wiring.plan(flags, config, profile, as_json=as_json))
