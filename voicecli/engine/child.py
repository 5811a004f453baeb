"""The engine as a child process: `talk --server local` starts one and it ends with the talk.

The child holds the models, so the client stays small and a crash of a model library is a lost
connection and not the end of the program. It says its port in one JSON line on stdout and ends when
its stdin does, which the system sees to however the parent ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import deque
from collections.abc import Sequence
from typing import Final

from voicecli.errors import ConnectionFailed, ModelError, VoicecliError

START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 2.0
KEPT_LINES: Final = 30
_COMMAND: Final = (sys.executable, "-m", "voicecli", "serve")


class EngineProcess:
    """An engine of one's own.

    Args:
        arguments: more of what `voicecli serve` takes, such as `--mind rules`.
        command: what starts it, without arguments.
    """

    def __init__(self, arguments: Sequence[str] = (), *, command: Sequence[str] = _COMMAND) -> None:
        self._command = [*command, "--port", "0", "--announce", *arguments]
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._stderr: deque[str] = deque(maxlen=KEPT_LINES)

    @property
    def last_words(self) -> str:
        """The newest lines of its stderr: what to show when it ends unexpectedly."""
        return "\n".join(self._stderr)

    async def start(self) -> str:
        """Start it and wait until clients can connect; models may still be loading.

        Returns:
            The URL to connect to.

        Raises:
            ConnectionFailed: it cannot be started or ended at once.
            ModelError: it ended at once for want of models.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as exc:
            raise ConnectionFailed(f"the engine cannot be started: {exc}") from exc
        self._reading = asyncio.create_task(self._read_stderr(self._process))
        try:
            return await self._announced_url(self._process)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End it: politely, and after two seconds not so; may be called again."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._reading is not None:
            await self._reading

    async def _announced_url(self, process: asyncio.subprocess.Process) -> str:
        if process.stdout is None:  # pragma: no cover - we asked for a pipe
            raise ConnectionFailed("the engine has no stdout")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await process.stdout.readline()
                if not line:
                    await process.wait()
        except TimeoutError as exc:
            raise ConnectionFailed("the engine did not start in time", self.last_words) from exc
        if not line:
            raise await self._failure(process)
        try:
            return str(json.loads(line)["url"])
        except (ValueError, KeyError, TypeError) as exc:
            raise ConnectionFailed(f"the engine announced {line[:200]!r}") from exc

    async def _failure(self, process: asyncio.subprocess.Process) -> VoicecliError:
        if self._reading is not None:
            await self._reading
        kind = ModelError if process.returncode == ModelError.exit_code else ConnectionFailed
        return kind(f"the engine ended with exit code {process.returncode}", self.last_words)

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is None:  # pragma: no cover - we asked for a pipe
            return
        # Lines may be of any length, so they are not read by line.
        rest = ""
        while chunk := await process.stderr.read(4096):
            *lines, rest = (rest + chunk.decode("utf-8", "replace")).split("\n")
            self._stderr.extend(line[:500] for line in lines)
            rest = rest[-500:]
        if rest:
            self._stderr.append(rest)
