"""What a session needs of a microphone and a speaker, and what a speaker reports.

Devices and files both satisfy these Protocols. All methods and all callbacks run in the thread of
the event loop; `at` is a time on the clock the edge was given (`time.monotonic` by default).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from voicecli.audio.playback import Drained, Emitted, Finished, Heard, Started


@dataclass(frozen=True, slots=True)
class Failed:
    """The device or file is gone; reported at most once. Calls go on working, unheard."""

    message: str
    hint: str = ""
    "What the user can do about it."


SpeakerReport = Started | Finished | Drained | Emitted | Failed


@dataclass(frozen=True, slots=True)
class Noted:
    """A device went away, or another one was found; the talk goes on."""

    message: str


DevicesReport = Noted | Failed


class Microphone(Protocol):
    """A source of 20 ms frames (960 bytes) at the pace of real time."""

    dropped_frames: int
    "Frames lost because the loop did not take them in time: 50 may wait, then the oldest goes."

    async def start(self, deliver: Callable[[bytes], None]) -> None:
        """Begin; `deliver` gets each frame. Raises `AudioDeviceError` if that is not possible."""

    async def close(self) -> None:
        """End; no frame is delivered afterwards. Closing twice is allowed."""

    @property
    def ended(self) -> bool:
        """A file or pipe is through and silence follows; always false for a device."""

    @property
    def silent(self) -> bool:
        """A device that gave nothing but exact zeros for 2 s; always false for a file or pipe."""


class Devices(Protocol):
    """The devices behind a microphone, a speaker or both, which may go away during a talk."""

    async def start(self, report: Callable[[DevicesReport], None]) -> None:
        """Begin to report; what has happened before is reported at once."""

    @property
    def missing(self) -> str:
        """`speaker`, `microphone` or `sound` (both) while there is no device for it, else empty."""

    @property
    def is_half_duplex(self) -> bool:
        """Whether the microphone gives silence while the speaker plays."""


class Speaker(Protocol):
    """A sink that plays parts (item id, content index) in the order they come."""

    async def start(self, report: Callable[[SpeakerReport], None]) -> None:
        """Begin; `report` gets every `SpeakerReport`. Raises `AudioDeviceError`."""

    def play(self, item_id: str, content_index: int, pcm: bytes) -> None:
        """Queue `pcm` (any number of whole samples) behind the rest; nothing is ever dropped."""

    def finish(self, item_id: str, content_index: int) -> None:
        """No more audio of this part will come."""

    def set_gain(self, gain: float) -> None:
        """Play on this loud, 1.0 is full level; 0.0 pauses, and any other gain then plays on."""

    def stop(self) -> list[Heard]:
        """Fall silent now, with a short fade; say what will have been heard of each open part.

        What is queued afterwards is played at full level.

        What had happened before, and is not reported yet, is reported first.
        """

    def heard(self) -> list[Heard]:
        """What has left the speaker by now, for each part that is not over."""

    @property
    def pending_ms(self) -> int:
        """How much is queued and not yet handed to the device."""

    @property
    def underflows(self) -> int:
        """Gaps: times the audio of a part went on after the speaker had run out of it."""

    async def close(self) -> None:
        """End at once, without playing what is queued. Closing twice is allowed."""
