"""The engine as a child process."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from voicecli.engine.child import EngineProcess
from voicecli.errors import ConnectionFailed, ModelError

ROOT = Path(__file__).parent.parent

# The real command with models that need no weights.
LAUNCHER = """
import sys
sys.path[:0] = {paths!r}
import typer
from voicecli.cli import serve as command
from engine_fakes import FakeEars, FakeMind, FakeVoice
from voicecli.engine.stages import Models
command._make_models = lambda *_: Models(FakeEars("Hi."), FakeMind("Yes."), FakeVoice())
typer.run(command.serve_command)
"""


def engine() -> list[str]:
    paths = [str(ROOT), str(ROOT / "tests")]
    return [sys.executable, "-c", LAUNCHER.format(paths=paths)]


def test_it_starts_can_be_talked_to_and_ends() -> None:
    async def run() -> None:
        child = EngineProcess(command=engine())
        url = await child.start()
        async with connect(url) as socket:
            assert '"session.created"' in str(await socket.recv())
        await child.close()
        await child.close()
        with pytest.raises(OSError, match=r".*"):
            await connect(url, open_timeout=1)

    asyncio.run(run())


def test_arguments_reach_the_command() -> None:
    async def run() -> None:
        child = EngineProcess(["--host", "0.0.0.0"], command=engine())
        with pytest.raises(ConnectionFailed) as failed:
            await child.start()
        assert "ended with exit code" in failed.value.message
        assert "can be reached from other machines" in failed.value.hint

    asyncio.run(run())


def test_a_child_that_ends_for_want_of_models_is_a_model_error() -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; print('no weights', file=sys.stderr); sys.exit(7)",
    ]

    async def run() -> None:
        with pytest.raises(ModelError) as failed:
            await EngineProcess(command=command).start()
        assert failed.value.hint == "no weights"

    asyncio.run(run())


def test_a_command_that_does_not_exist_is_our_own_error() -> None:
    with pytest.raises(ConnectionFailed, match="cannot be started"):
        asyncio.run(EngineProcess(command=["/nonexistent/engine"]).start())


def test_what_is_no_announcement_is_our_own_error() -> None:
    command = [sys.executable, "-c", "print('hello'); import time; time.sleep(30)"]
    with pytest.raises(ConnectionFailed, match="announced"):
        asyncio.run(EngineProcess(command=command).start())


def test_a_child_that_will_not_end_is_killed() -> None:
    stubborn = textwrap.dedent(
        """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print('{"url": "ws://x"}', flush=True)
        time.sleep(60)
        """
    )

    async def run() -> None:
        child = EngineProcess(command=[sys.executable, "-c", stubborn])
        assert await child.start() == "ws://x"
        async with asyncio.timeout(10):
            await child.close()

    asyncio.run(run())


def test_the_child_ends_when_its_parent_is_killed() -> None:
    parent = textwrap.dedent(
        f"""
        import asyncio, sys
        sys.path.insert(0, {str(ROOT)!r})
        from voicecli.engine.child import EngineProcess
        async def main():
            print(await EngineProcess(command={engine()!r}).start(), flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
        """
    )

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        async with connect(url) as socket:
            await socket.recv()
            process.kill()
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None, "it said goodbye to its clients"
        await process.wait()

    asyncio.run(run())


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    command = [*engine(), "--port", "0", "--announce"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
