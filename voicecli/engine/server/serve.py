"""The server of the Realtime API: how it begins and how it ends.

Each client has a `Connection` with a `Dialogue` of its own; the models are shared by all. A client
is greeted at once, also while models are loading: jobs wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as websockets_serve
from websockets.typing import Subprotocol

from voicecli.engine.server.connection import GOING_AWAY, Connection, Worker
from voicecli.engine.server.door import Door
from voicecli.engine.server.house import STOPPING, House, Policy
from voicecli.engine.server.journal import Journal
from voicecli.engine.server.metrics import Metrics
from voicecli.engine.server.reception import Reception
from voicecli.engine.server.sessions import Sessions
from voicecli.engine.stages import Models, Stages, Workshop
from voicecli.errors import ConnectionFailed

SPARE_LINES: Final = 64
"TCP connections beside those of sessions, for handshakes and HTTP; one more is cut at once."
MAX_FRAME_BYTES: Final = 21 * 1024 * 1024
"15 MiB of audio are 20 MiB of base64."
MAX_FRAMES: Final = 1
"Read ahead of the dialogue; the network holds back what comes then."
OPEN_TIMEOUT_S: Final = 10.0
"For a handshake, or for the whole of an HTTP request."
PING_INTERVAL_S: Final = 30.0
PING_TIMEOUT_S: Final = 120.0
"Long, because a machine busy with its models may be slow to answer."
LAST_WORDS_S: Final = 1.0
"For the goodbye to those who read it, when the server ends."


async def serve(
    host: str,
    port: int,
    make_models: Callable[[], Models],
    *,
    ready: Callable[[int], None],
    stop: asyncio.Event | None = None,
    voices: Collection[str] = (),
    policy: Policy | None = None,
    journal: Journal | None = None,
    make_worker: Callable[[Connection], Worker] | None = None,
    progress: Callable[[], str] = str,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> None:
    """Serve until SIGINT, SIGTERM or `stop`; then say goodbye to the clients and return.

    Answers in progress may end first, for as long as `policy.grace_s`; a second signal cuts them.

    Args:
        host: the address to listen on.
        port: 0 takes a free one.
        make_models: loads the models; called once, on a thread.
        ready: called with the port as soon as clients can connect; models may still be loading.
        stop: ends the server when it is set.
        voices: names of voices beside those of the API.
        policy: what is allowed.
        journal: what happens is written there.
        make_worker: does the jobs of a connection in place of the models, which are not loaded.
        progress: says which of the models is being loaded; may be called at any time.
        clock: seconds that never go back.
        now: seconds since 1970.

    Raises:
        ConnectionFailed: the address cannot be listened on.
    """
    policy = policy or Policy()
    journal, metrics, workshop = journal or Journal(), Metrics(), None
    if make_worker is None:
        workshop = _workshop(make_models, journal, metrics, clock)
        make_worker = functools.partial(_make_stages, workshop)
    house = House(
        *(host, policy, voices, journal, metrics, workshop, make_worker, progress, clock, now)
    )
    halt = _Halt(asyncio.Event() if stop is None else stop)
    try:
        server = await websockets_serve(
            Sessions(house).talk,
            host,
            port,
            process_request=Reception(house).respond,
            select_subprotocol=_select_subprotocol,
            create_connection=functools.partial(  # type: ignore[arg-type]
                Door, lines=house.lines, most=policy.max_sessions + SPARE_LINES
            ),
            compression=None,
            max_size=MAX_FRAME_BYTES,
            max_queue=MAX_FRAMES,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            close_timeout=0.5,
            server_header=None,
            ssl=policy.tls,
            # A line is not counted before it is secure, so it must not take long over that.
            ssl_handshake_timeout=None if policy.tls is None else OPEN_TIMEOUT_S,
        )
    except OSError as exc:
        raise ConnectionFailed(
            f"cannot listen on {host!r} port {port}: {exc.strerror or exc}",
            "choose another port with --port, or 0 for a free one",
        ) from exc
    with _signals(halt):
        await _run(house, server, ready, halt)


def _workshop(
    make_models: Callable[[], Models],
    journal: Journal,
    metrics: Metrics,
    clock: Callable[[], float],
) -> Workshop:
    """The models, with an eye on them."""

    def load() -> Models:
        began = clock()
        journal.write("models", state="loading")
        try:
            models = make_models()
        except Exception as exc:
            journal.write("models", state="failed", error=str(exc))
            raise
        journal.write("models", state="ready", seconds=round(clock() - began, 3))
        return models

    def took(stage: str, seconds: float) -> None:
        metrics.observe("stage_seconds", seconds, stage=stage)

    def waited(stage: str, seconds: float) -> None:
        metrics.observe("wait_seconds", seconds, stage=stage)

    return Workshop(load, took=took, waited=waited, clock=clock)


def _make_stages(workshop: Workshop, connection: Connection) -> Worker:
    return Stages(workshop, connection.deliver)


class _Halt:
    """Told to stop once: in good order; twice: at once."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.stop = stop
        self.hurry = asyncio.Event()

    def ask(self) -> None:
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()


@contextlib.contextmanager
def _signals(halt: _Halt) -> Iterator[None]:
    """Let SIGINT and SIGTERM ask for the end, where this thread can be told of them."""
    loop = asyncio.get_running_loop()
    wanted = [signal.SIGINT, signal.SIGTERM]
    try:
        for one in wanted:
            loop.add_signal_handler(one, halt.ask)
    except NotImplementedError:  # Windows
        if sys.platform == "win32":
            wanted.append(signal.SIGBREAK)
        old = {}
        with contextlib.suppress(ValueError):  # not the main thread
            for one in wanted:
                old[one] = signal.signal(one, lambda *_: loop.call_soon_threadsafe(halt.ask))
        yield
        for one, handler in old.items():
            signal.signal(one, handler)
    except (ValueError, RuntimeError):  # not the main thread
        yield
    else:
        yield
        for one in wanted:
            loop.remove_signal_handler(one)


async def _run(house: House, server: Server, ready: Callable[[int], None], halt: _Halt) -> None:
    async with server:
        port = server.sockets[0].getsockname()[1]
        house.journal.write("started", port=port, max_sessions=house.policy.max_sessions)
        ready(port)
        try:
            await halt.stop.wait()
            house.is_stopping = True
            house.journal.write("stopping", sessions=len(house.connections))
            await _let_answers_end(house, halt)
        finally:
            # Whoever still has not read the goodbye, which the library would wait for.
            for one in list(house.connections):
                one.abort()
            if house.workshop is not None:
                house.workshop.close()
    house.journal.write("stopped")


async def _let_answers_end(house: House, halt: _Halt) -> None:
    for one in list(house.connections):
        one.leave(STOPPING)
    waiting = asyncio.create_task(_until_all_left(house))
    hurry = asyncio.create_task(halt.hurry.wait())
    await asyncio.wait(
        {waiting, hurry}, timeout=house.policy.grace_s, return_when=asyncio.FIRST_COMPLETED
    )
    for task in (waiting, hurry):
        task.cancel()
    for one in list(house.connections):
        one.close(GOING_AWAY, STOPPING)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            await _until_all_left(house)


async def _until_all_left(house: House) -> None:
    for one in list(house.connections):
        await one.gone.wait()


def _select_subprotocol(
    socket: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    # Browsers hide their key in further names; the handshake fails unless this one is chosen.
    realtime = Subprotocol("realtime")
    return realtime if realtime in offered else None
