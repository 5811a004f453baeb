"""`voicecli talk`: a full-duplex spoken conversation."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from voicecli.cli.edges import AudioEdges
    from voicecli.config import Config, Destination, Local
    from voicecli.connection import Connection
    from voicecli.session import Screen, Session
    from voicecli.tools.functions import Functions

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
    noise_reduction: Annotated[
        str | None,
        _option("--noise-reduction", panel=_SOUND, help="Server side: off, near_field, far_field."),
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
    """Talk with a server of the Realtime API; interrupt it whenever you like.

    Without a key it talks with the engine inside, on your own machine. Without a microphone it
    takes a file:

      voicecli talk --server local --mic question.wav --speaker answer.wav

    Keys at the terminal: space talk (with --vad none), m mute, Enter type a message, Esc interrupt,
    ? help, q quit. API keys come from the environment, never from a flag.
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
        "audio.mic": mic,
        "audio.speaker": speaker,
        "audio.input_format": audio_format,
        "audio.output_format": audio_format,
        "audio.noise_reduction": noise_reduction,
        "language": language,
        "transcription": transcription_model,
        "talk.linger_s": linger,
        "talk.max_minutes": max_minutes,
    }
    plan = _plan(flags, config, profile, as_json=as_json)
    with ExitStack() as stack:
        if plan.uses_devices:
            from voicecli.audio.devices import quiet_stderr

            stack.enter_context(quiet_stderr())
        asyncio.run(_talk(plan))


@dataclass(frozen=True)
class Plan:
    """One talk, decided before anything is opened."""

    config: Config
    target: Destination
    local: Local | None
    "The embedded engine's settings, when it is the server."
    functions: Functions
    as_json: bool

    @property
    def uses_devices(self) -> bool:
        from voicecli.cli.edges import is_device

        return is_device(self.config.audio.mic) or is_device(self.config.audio.speaker)


def _plan(
    flags: Mapping[str, object], file: Path | None, profile: str | None, *, as_json: bool
) -> Plan:
    from voicecli import config as configuration
    from voicecli.tools import functions

    config = configuration.load(flags, path=file, profile=profile).config
    target = configuration.destination(config)
    target.headers(os.environ)  # A missing key shows now, before a device is opened.
    loaded = functions.load(Path(config.tools).expanduser()) if config.tools else None
    local = None
    if target.name == "local":
        from voicecli.cli.local import prepare_models

        local = prepare_models(config.local)
    return Plan(config, target, local, loaded or functions.Functions(), as_json)


async def _talk(plan: Plan) -> None:
    from voicecli.cli.edges import open_screen

    screen = open_screen(as_json=plan.as_json, speaker=plan.config.audio.speaker)
    # What a function of the user's prints must not get into the lines or the audio.
    sys.stdout, printed = sys.stderr, sys.stdout
    try:
        async with AsyncExitStack() as stack:
            connection, audio = await _open(plan, stack)
            stack.push_async_callback(screen.close)
            session = _session(plan, connection, audio, screen)
            with _signals(session.quit):
                await session.run()
    finally:
        sys.stdout = printed


async def _open(plan: Plan, stack: AsyncExitStack) -> tuple[Connection, AudioEdges]:
    """Open the sound and the connection at the same time; the first failure ends both."""
    from voicecli.cli.edges import open_audio

    try:
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(_connect(plan, stack))
            audio = await stack.enter_async_context(open_audio(plan.config.audio))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return connecting.result(), audio


async def _connect(plan: Plan, stack: AsyncExitStack) -> Connection:
    from voicecli.connection import Address, Connection, url_with_model

    url = plan.target.url
    if plan.local is not None:
        from voicecli.cli.local import engine

        url = await stack.enter_async_context(engine(plan.local))
    address = Address(url_with_model(url, plan.target.model), plan.target.headers(os.environ))
    connection = await Connection.open(address)
    stack.push_async_callback(connection.close)
    return connection


def _session(plan: Plan, connection: Connection, audio: AudioEdges, screen: Screen) -> Session:
    from voicecli.cli.edges import is_file_like
    from voicecli.config import session_settings
    from voicecli.conversation import Conversation, Options
    from voicecli.session import Session

    config = plan.config
    settings = session_settings(
        config, is_local=plan.local is not None, tools=plan.functions.schemas
    )
    options = Options(
        settings=settings,
        server=plan.target.name,
        linger_s=config.talk.linger_s,
        max_minutes=config.talk.max_minutes or None,
        talk_at_start=is_file_like(config.audio.mic),
    )
    return Session(
        conversation=Conversation(options),
        connection=connection,
        microphone=audio.microphone,
        speaker=audio.speaker,
        screen=screen,
        tools=plan.functions,
    )


_ENDING_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)


class _signals:
    """Ctrl-C, SIGTERM and a closed terminal end the talk in good order while the block runs."""

    def __init__(self, quit_talk: Callable[[], None]) -> None:
        self._quit = quit_talk
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()

        def ask(*_: object) -> None:
            loop.call_soon_threadsafe(self._quit)

        for number in _ENDING_SIGNALS:
            self._before[number] = signal.signal(number, ask)

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
