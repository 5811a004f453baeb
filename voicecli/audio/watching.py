"""Which devices there are, as they come and go.

PortAudio makes its list when it is initialised, and that needs every stream closed. So a child
process looks, again and again, while the streams of the talk go on.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from voicecli.audio.choosing import DeviceInfo

EVERY_S: Final = 2.0
_LOOK: Final = f"from voicecli.audio.devices import tell_lists; tell_lists({EVERY_S})"
_END_PATIENCE_S: Final = 1.0


class ListWatch:
    """Tells the list of devices, and each one that differs from the one before.

    Args:
        told: called in the loop's thread with every list.
    """

    def __init__(self, told: Callable[[list[DeviceInfo]], None]) -> None:
        self._told = told
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def is_on(self) -> bool:
        """Whether it was started, and not closed since."""
        return self._child is not None

    def start(self) -> None:
        """Begin; does nothing if it has begun, or if no process can be started."""
        if self._child is not None:
            return
        with contextlib.suppress(OSError):
            self._child = subprocess.Popen(
                [sys.executable, "-c", _LOOK],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            loop = asyncio.get_running_loop()
            reader = threading.Thread(target=self._read, args=(self._child, loop), daemon=True)
            reader.start()

    def close(self) -> None:
        """End the child. It may be started again."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_END_PATIENCE_S)
        if child.stdin is not None:
            child.stdin.close()

    def _read(self, child: "subprocess.Popen[bytes]", loop: asyncio.AbstractEventLoop) -> None:
        with child.stdout or contextlib.nullcontext(iter(())) as lines:
            for devices in decoded(lines):
                with contextlib.suppress(RuntimeError):  # The talk is over, and so is its loop.
                    loop.call_soon_threadsafe(self._tell, child, devices)

    def _tell(self, child: "subprocess.Popen[bytes]", devices: list[DeviceInfo]) -> None:
        if child is self._child:
            self._told(devices)


def encoded(devices: Iterable[DeviceInfo]) -> str:
    """A list as one line."""
    import dataclasses

    return json.dumps([dataclasses.asdict(device) for device in devices])


def decoded(lines: Iterable[bytes]) -> Iterator[list[DeviceInfo]]:
    """The lists in lines; what is none is passed over."""
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            yield [DeviceInfo(**fields) for fields in json.loads(line)]
