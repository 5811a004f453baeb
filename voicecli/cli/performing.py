"""Scripts being played: their edges opened and wired, one after the other or some at a time."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from voicecli.cli.signals import EndingSignals
from voicecli.cli.talks import Stage, delivery
from voicecli.demo.outcome import Log, Outcome, Part
from voicecli.demo.run import Hands, Performance
from voicecli.errors import AudioDeviceError, VoicecliError
from voicecli.ui.lines import NoScreen

if TYPE_CHECKING:
    from voicecli.cli.speaking import Repertoire
    from voicecli.cli.wiring import Plan
    from voicecli.config import Local
    from voicecli.demo.expect import Verdict
    from voicecli.demo.steps import Script
    from voicecli.protocol.objects import JsonDict
    from voicecli.session import Link, Screen

Changes: TypeAlias = "Callable[[Mapping[str, object]], JsonDict]"


@dataclass(frozen=True)
class Piece:
    """One script with all that is needed for its session."""

    script: Script
    plan: Plan
    sounds: Repertoire
    changes: Callable[[], Changes]
    "Makes what turns settings of a `set` into changes, afresh for each talk."


@dataclass(frozen=True)
class Play:
    """A script and those that follow it."""

    name: str
    pieces: tuple[Piece, ...]

    @property
    def steps(self) -> int:
        return sum(len(piece.script.steps) for piece in self.pieces)


@dataclass(frozen=True)
class Way:
    """How plays are played."""

    jobs: int = 1
    repeat: int = 1
    screen: Callable[[], Screen] = NoScreen
    "Makes where each talk is shown."
    shows_bar: bool = False
    place: Callable[[Piece, str], Path | None] = lambda piece, name: None
    "Where a talk is recorded; the name is that of the play."
    is_kept: bool = True
    "False: recordings are only for pictures."


Connect: TypeAlias = "Callable[[Piece, AsyncExitStack], Awaitable[Link]]"


class Servers:
    """Connects to the server of each piece; an embedded engine is started for all that share it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._urls: dict[Local, asyncio.Future[str]] = {}

    async def connect(self, piece: Piece, stack: AsyncExitStack) -> Link:
        """A connection that is closed with the stack.

        Raises:
            VoicecliError: there is none.
        """
        from voicecli.cli.wiring import connect

        return await connect(piece.plan.target, await self._url(piece.plan), stack)

    async def _url(self, plan: Plan) -> str:
        from voicecli.cli.wiring import open_server

        if plan.local is None:
            return plan.target.url
        if plan.local not in self._urls:
            opening = asyncio.ensure_future(open_server(plan.target, plan.local, self._stack))
            self._urls[plan.local] = opening
        return await asyncio.shield(self._urls[plan.local])


async def play_all(plays: Sequence[Play], way: Way) -> list[Outcome]:
    """Every play as often as it is to be played; those that were begun, in order."""
    async with AsyncExitStack() as stack:
        return await play_with(plays, way, Servers(stack).connect)


async def play_with(
    plays: Sequence[Play], way: Way, connect: Connect, *, is_real_time: bool = True
) -> list[Outcome]:
    """The same, with connections that somebody else makes."""
    numbered = [(run, play) for run in range(1, way.repeat + 1) for play in plays]
    outcomes: dict[int, Outcome] = {}
    waiting = iter(enumerate(numbered))
    stage = Stage()
    total = sum(play.steps for _, play in numbered)

    async def work(bar: _Bar) -> None:
        for number, (run, play) in waiting:
            if stage.is_stopped:
                return
            outcomes[number] = await _play(play, run, way, connect, stage, bar, is_real_time)
            bar.ended()

    with EndingSignals() as signals:
        signals.quit = stage.stop
        with _bar(total, len(numbered), is_shown=way.shows_bar) as bar, redirect_stdout(sys.stderr):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(way.jobs, len(numbered))):
                    tasks.create_task(work(bar))
    return [outcomes[number] for number in sorted(outcomes)]


async def _play(
    play: Play,
    run: int,
    way: Way,
    connect: Connect,
    stage: Stage,
    bar: _Bar,
    is_real_time: bool,
) -> Outcome:
    parts: list[Part] = []
    was_stopped = False
    for piece in play.pieces:
        if was_stopped or any(part.failure for part in parts):
            break
        talk = _Talk(piece, way, way.place(piece, play.name), is_real_time=is_real_time)
        parts.append(await talk.hold(connect, stage, bar.step_began))
        was_stopped = stage.is_stopped or talk.was_left
    return Outcome(play.name, tuple(parts), was_stopped, is_real_time, run)


class _Talk:
    """One script in its session."""

    def __init__(self, piece: Piece, way: Way, place: Path | None, *, is_real_time: bool) -> None:
        self._piece = piece
        self._way = way
        self._place = place
        self._is_real_time = is_real_time
        self._log = Log()
        self._performance: Performance | None = None
        self.was_left = False
        "By whoever sits here."

    async def hold(self, connect: Connect, stage: Stage, on_progress: Callable[[], None]) -> Part:
        """Play it; whatever goes wrong is in what is given back."""
        failure = ""
        error: VoicecliError | None = None
        try:
            await self._hold(connect, stage, on_progress)
        except VoicecliError as exc:
            failure, error = exc.message, exc
        performance = self._performance
        verdicts: list[Verdict] = []
        if performance is not None:
            is_through = performance.is_through
            # Without a reason it was stopped before it began.
            was_quit = self._log.reason in ("quit", "")
            self.was_left = not failure and not is_through and was_quit
            self.was_left = self.was_left and not performance.failure
            failure = failure or performance.failure
            if not (failure or is_through or self.was_left):
                failure = f"the talk ended before the script did: {self._log.reason}"
            if not self.was_left:
                verdicts = performance.verdicts(is_real_time=self._is_real_time)
        script = self._piece.script
        recording = "" if self._place is None or not self._place.exists() else str(self._place)
        return Part(
            script.source, script.title, tuple(verdicts), self._log, failure, recording, error
        )

    async def _hold(self, connect: Connect, stage: Stage, on_progress: Callable[[], None]) -> None:
        from voicecli.audio.scripted import ScriptedMicrophone
        from voicecli.cli.edges import open_audio
        from voicecli.cli.wiring import new_conversation, new_session

        plan = self._plan()
        screen = self._way.screen()
        async with AsyncExitStack() as stack:
            microphone = ScriptedMicrophone()
            audio = await stack.enter_async_context(open_audio(plan.config.audio, microphone))
            connection = await connect(self._piece, stack)
            stack.push_async_callback(screen.close)
            monitor = await _open_monitor(plan, stack)
            conversation = self._log.conversation = new_conversation(plan)
            self._performance = performance = Performance(
                self._piece.script,
                self._piece.sounds,
                Hands(
                    conversation=conversation,
                    microphone=microphone,
                    heard=audio.speaker.heard,
                    deliver_in=lambda delay_s, an_input: deliver_in(delay_s, an_input),
                    opened_at=connection.opened_at,
                    changes=self._piece.changes(),
                    on_spoken=monitor,
                ),
                on_progress,
            )
            observers = (self._log, performance)
            session = new_session(plan, conversation, connection, audio, screen, stack, observers)
            deliver_in = delivery(session)
            stage.sessions.add(session)
            try:
                if not stage.is_stopped:
                    await session.run()
            finally:
                stage.sessions.discard(session)

    def _plan(self) -> Plan:
        """The piece's plan, with the place of the recording."""
        from dataclasses import replace

        import msgspec

        from voicecli.config import Recording

        plan = self._piece.plan
        kept = msgspec.structs.replace(
            plan.config.recording,
            enabled=self._place is not None,
            path="" if self._place is None else str(self._place),
        )
        assert isinstance(kept, Recording)
        source = plan.source if self._way.is_kept else self._piece.script.source
        return replace(
            plan, source=source, config=msgspec.structs.replace(plan.config, recording=kept)
        )


async def _open_monitor(plan: Plan, stack: AsyncExitStack) -> Callable[[bytes], None]:
    """What lets the audience hear the user, where answers are heard: a stream of its own.

    Without it the demo goes on: some devices take one stream only.
    """
    from voicecli.audio.ports import SpeakerReport
    from voicecli.cli.edges import is_device, open_audio

    if not is_device(plan.config.audio.speaker):
        return lambda pcm: None

    def ignored(_: SpeakerReport) -> None:
        """Its accounts are nobody's business, and a talk goes on without it."""

    try:
        speaker = (await stack.enter_async_context(open_audio(plan.config.audio))).speaker
        await speaker.start(ignored)
    except AudioDeviceError:
        return lambda pcm: None
    numbers = itertools.count()

    def say(pcm: bytes) -> None:
        number = next(numbers)
        speaker.play("user", number, pcm)
        speaker.finish("user", number)

    return say


# ------------------------------------------------------------------------------------ how far it is


class _Bar:
    """How far all of the plays are; this one shows nothing."""

    def step_began(self) -> None: ...

    def ended(self) -> None: ...


class _RichBar(_Bar):
    def __init__(self, runs: int, update: Callable[..., Any]) -> None:
        self._runs = runs
        self._update = update
        self._ended = self._steps = 0

    def step_began(self) -> None:
        self._steps += 1
        self._update(completed=self._steps)

    def ended(self) -> None:
        self._ended += 1
        self._update(description=f"{self._ended} of {self._runs}")


@contextmanager
def _bar(steps: int, runs: int, *, is_shown: bool) -> Iterator[_Bar]:
    if not (is_shown and sys.stderr.isatty()):
        yield _Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"0 of {runs}", total=steps)
        yield _RichBar(runs, lambda **fields: progress.update(task, **fields))
