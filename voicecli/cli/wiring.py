"""One talk put together: decided, its edges opened and wired, and ended in good order."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    redirect_stdout,
    suppress,
)
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from voicecli.cli.signals import EndingSignals
from voicecli.inputs import Noticed

if TYPE_CHECKING:
    from voicecli.cli.edges import AudioEdges
    from voicecli.cli.recording import Recording
    from voicecli.config import Audio, Config, Destination, Local
    from voicecli.connection import Connection
    from voicecli.conversation import Conversation, Options
    from voicecli.protocol.settings import SessionSettings
    from voicecli.session import Link, Observer, Screen, Session, Toolbox

Connect: TypeAlias = "Callable[[AsyncExitStack], Awaitable[Link]]"
"Opens a connection to a server; it is closed with the stack."


@dataclass(frozen=True)
class Plan:
    """One talk, decided before anything is opened."""

    config: Config
    target: Destination
    local: Local | None
    "The embedded engine's settings, when it is the server."
    functions: Toolbox
    settings: SessionSettings
    as_json: bool
    hints: tuple[str, ...] = ()
    "What the user is told at the beginning."
    source: str = ""
    "The recording whose user speaks, when it is none who sits here."

    @property
    def uses_devices(self) -> bool:
        from voicecli.cli.edges import is_device

        return is_device(self.config.audio.mic) or is_device(self.config.audio.speaker)


def plan(
    flags: Mapping[str, object], file: Path | None, profile: str | None, *, as_json: bool
) -> Plan:
    """Decide what can be decided before anything is opened: models are fetched, functions loaded.

    Args:
        flags: values from the command line, by key of the configuration.
        file: the configuration file, None for the usual one.
        profile: the part of it to use, None for none.
        as_json: print JSON lines.

    Raises:
        VoicecliError: something is wrong with the configuration, the functions or the models.
    """
    from voicecli import config as configuration
    from voicecli.cli.edges import check_cleaning, check_files
    from voicecli.connection import url_with_model
    from voicecli.tools import functions

    config = configuration.load(flags, path=file, profile=profile).config
    target = configuration.destination(config)
    is_local = target.name == "local"
    # A missing key and a wrong URL show now, before a device is opened.
    target.headers(os.environ)
    if not is_local:
        url_with_model(target.url, target.model)
    offered = functions.Functions()
    if config.tools:
        with _prints_on_stderr():
            offered = functions.load(Path(config.tools).expanduser())
    settings = configuration.session_settings(config, is_local=is_local, tools=offered.schemas)
    check_files(config.audio)
    check_cleaning(config.audio)
    local, hints = None, []
    if is_local:
        from voicecli.cli.local import missing_hints, prepare_models

        local = prepare_models(config.local, before=lambda: _check_devices(config.audio))
        is_semantic = config.vad.mode == "semantic"
        hints = missing_hints(local, semantic=is_semantic, language=config.language)
    return Plan(config, target, local, offered, settings, as_json, tuple(hints))


def _check_devices(audio: Audio) -> None:
    """See that the devices are there, before much is fetched for a talk that cannot be."""
    from voicecli.cli.edges import check_devices, is_device

    if not (is_device(audio.mic) or is_device(audio.speaker)):
        return
    from voicecli.audio.devices import quiet_stderr

    with quiet_stderr():
        asyncio.run(check_devices(audio))


def run(plan: Plan) -> None:
    """Hold the talk that was planned.

    Raises:
        VoicecliError: it could not begin or go on.
    """
    with ExitStack() as stack:
        if plan.uses_devices:
            from voicecli.audio.devices import quiet_stderr

            stack.enter_context(quiet_stderr())
        asyncio.run(_talk(plan))


async def _talk(plan: Plan) -> None:
    from voicecli.cli.edges import open_screen

    screen = open_screen(as_json=plan.as_json, speaker=plan.config.audio.speaker)
    # The signals are ours until everything is closed: a second one must not cut the end short.
    with EndingSignals() as signals:
        async with AsyncExitStack() as stack:
            connection, audio = await _open(plan, stack)
            stack.push_async_callback(screen.close)
            conversation = new_conversation(plan)
            session = new_session(plan, conversation, connection, audio, screen, stack)
            signals.quit = session.quit
            for hint in plan.hints:
                asyncio.get_running_loop().call_soon(session.deliver, Noticed(hint, "note"))
            with _prints_on_stderr():
                await session.run()


def _prints_on_stderr() -> AbstractContextManager[object]:
    """What functions of the user's print must not get into the lines or the audio."""
    return redirect_stdout(sys.stderr)


async def _open(plan: Plan, stack: AsyncExitStack) -> tuple[Connection, AudioEdges]:
    """Open the sound and the connection at the same time; the first failure ends both."""
    from voicecli.cli.edges import open_audio

    takes_back = plan.config.barge_in.mode == "local"
    try:
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(_connect(plan, stack))
            opening = open_audio(plan.config.audio, takes_back=takes_back)
            audio = await stack.enter_async_context(opening)
    except ExceptionGroup as group:
        first = group.exceptions[0]
        raise first from first.__cause__  # Without the group, and with what `--debug` shows.
    return connecting.result(), audio


async def _connect(plan: Plan, stack: AsyncExitStack) -> Connection:
    url = await open_server(plan.target, plan.local, stack)
    return await connect(plan.target, url, stack)


async def open_server(target: Destination, local: Local | None, stack: AsyncExitStack) -> str:
    """The URL of the server; the embedded engine is started, and ends with the stack."""
    if local is None:
        return target.url
    from voicecli.cli.local import engine

    return await stack.enter_async_context(engine(local))


async def connector(target: Destination, local: Local | None, stack: AsyncExitStack) -> Connect:
    """Open the server, and give what opens connections to it."""
    url = await open_server(target, local, stack)
    return lambda its_stack: connect(target, url, its_stack)


async def connect(target: Destination, url: str, stack: AsyncExitStack) -> Connection:
    """A connection to the server at `url`, with the key for it; closed with the stack.

    Raises:
        ConnectionFailed: there is none.
    """
    from voicecli.connection import Address, Connection, url_with_model

    address = Address(url_with_model(url, target.model), target.headers(os.environ))
    connection = await Connection.open(address)
    stack.push_async_callback(connection.close)
    return connection


def new_conversation(plan: Plan) -> Conversation:
    """The conversation of a planned talk."""
    from voicecli.conversation import Conversation

    return Conversation(_options(plan))


def new_session(
    plan: Plan,
    conversation: Conversation,
    connection: Link,
    audio: AudioEdges,
    screen: Screen,
    stack: AsyncExitStack,
    observers: Sequence[Observer] = (),
) -> Session:
    """The session of a planned talk, recorded if that was planned.

    Args:
        plan: the talk.
        conversation: fresh.
        connection: open.
        audio: not started.
        screen: not started.
        stack: closes the recording.
        observers: see every step, after the recorder.

    Raises:
        RecordingError: the recording cannot be made.
    """
    from voicecli.session import Session

    loop = asyncio.get_running_loop()
    recording = _recording(plan, conversation, lambda reason: tell(reason))
    if recording is not None:
        stack.callback(recording.close, is_announced=not plan.source)
    session = Session(
        conversation=conversation,
        connection=connection,
        microphone=audio.microphone,
        speaker=audio.speaker,
        screen=screen,
        tools=plan.functions,
        observers=[*([] if recording is None else [recording.recorder]), *observers],
        devices=audio.devices,
        is_recording=lambda: recording is not None and recording.is_on,
        clock=loop.time,
    )

    def tell(reason: str) -> None:
        stopped = Noticed(f"the recording has stopped: {reason}", "recording")
        with suppress(RuntimeError):  # The talk is over, and so is its loop.
            loop.call_soon_threadsafe(session.deliver, stopped)

    return session


def _options(plan: Plan) -> Options:
    import msgspec

    from voicecli.bargein import BargeInRules
    from voicecli.cli.edges import is_file_like
    from voicecli.connection import Address
    from voicecli.conversation import Options

    config = plan.config
    name = plan.target.name
    return Options(
        settings=plan.settings,
        # A URL that was typed may hold a key.
        server=Address(name).shown if "://" in name else name,
        linger_s=config.talk.linger_s,
        max_minutes=config.talk.max_minutes or None,
        talk_at_start=is_file_like(config.audio.mic),
        barge_in=BargeInRules(**msgspec.structs.asdict(config.barge_in)),
    )


def _recording(
    plan: Plan, conversation: Conversation, on_failure: Callable[[str], None]
) -> Recording | None:
    """The recording that was asked for; its folder is made here.

    Raises:
        RecordingError: it cannot be made.
    """
    if not plan.config.recording.enabled:
        return None
    from voicecli.cli.recording import Recording, header_of, place_for
    from voicecli.config import keys_about
    from voicecli.connection import Address

    url = Address(plan.target.url).shown if plan.target.url else ""
    header = header_of(plan.config, plan.target, _options(plan), url, plan.source)
    place = place_for(plan.config.recording.path, datetime.now())
    return Recording(place, header, conversation, keys_about(plan.config), on_failure)
