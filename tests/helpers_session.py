"""The edges of a session, played by hand, and a session that runs between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from helpers_conversation import AUTOMATIC, session_created, session_updated

from voicecli.audio.playback import Heard
from voicecli.audio.ports import DevicesReport, SpeakerReport
from voicecli.conversation import Conversation, Options
from voicecli.errors import VoicecliError
from voicecli.inputs import Input, Received
from voicecli.protocol.codec import Decoded, encode
from voicecli.protocol.events import ClientEvent, InputAudioBufferAppend, MalformedEvent
from voicecli.reports import Report, SummaryReport
from voicecli.session import Link, Session, Toolbox
from voicecli.tools.functions import Functions
from voicecli.ui.meters import Meters

TIME_LIMIT_S = 10.0
"A test that hangs fails; no test waits for so long."


class Sent:
    """A list that can be waited for."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._grown = asyncio.Event()

    def add(self, one: Any) -> None:
        self.all.append(one)
        self._grown.set()

    async def until(self, is_there: Callable[[list[Any]], bool]) -> None:
        while not is_there(self.all):
            self._grown.clear()
            await self._grown.wait()

    async def wait_for(self, kind: type) -> Any:
        """The latest of a kind, as soon as there is one."""
        await self.until(lambda all_: any(isinstance(one, kind) for one in all_))
        return [one for one in self.all if isinstance(one, kind)][-1]


class ScriptedLink:
    """A connection whose server is the test: `say` what it sends, look at what it was `sent`."""

    def __init__(self) -> None:
        self.opened_at = time.monotonic()
        self.sent = Sent()
        self.lets_pass = asyncio.Event()
        self.lets_pass.set()
        self._script: asyncio.Queue[Decoded | VoicecliError] = asyncio.Queue()

    def say(self, *events: Decoded | VoicecliError) -> None:
        for event in events:
            self._script.put_nowait(event)

    async def send(self, event: ClientEvent) -> None:
        await self.lets_pass.wait()
        self.sent.add(event)

    async def __aiter__(self) -> AsyncIterator[Received]:
        while True:
            event = await self._script.get()
            if isinstance(event, VoicecliError):
                raise event
            text = b"?" if isinstance(event, MalformedEvent) else encode(event)
            yield Received(event, text)

    @property
    def frames(self) -> list[bytes]:
        return [one.audio for one in self.sent.all if isinstance(one, InputAudioBufferAppend)]

    @property
    def others(self) -> list[ClientEvent]:
        """What was sent and is neither audio nor the settings, which come first."""
        return [one for one in self.sent.all if not isinstance(one, InputAudioBufferAppend)][1:]


class HandMicrophone:
    """Delivers what the test speaks."""

    def __init__(self, fails: VoicecliError | None = None) -> None:
        self.dropped_frames = 0
        self.ended = False
        self.silent = False
        self.speak: Callable[[bytes], None] = lambda pcm: None
        self._fails = fails

    async def start(self, deliver: Callable[[bytes], None]) -> None:
        if self._fails is not None:
            raise self._fails
        self.speak = deliver

    async def close(self) -> None: ...


class HandSpeaker:
    """Keeps what it should play; `account` is what it says when it is stopped."""

    def __init__(self) -> None:
        self.played = Sent()
        self.account: list[Heard] = []
        self.underflows = 0
        self.pending_ms = 0
        self.report: Callable[[SpeakerReport], None] = lambda report: None

    async def start(self, report: Callable[[SpeakerReport], None]) -> None:
        self.report = report

    def play(self, item_id: str, content_index: int, pcm: bytes) -> None:
        self.played.add((item_id, content_index, len(pcm)))

    def finish(self, item_id: str, content_index: int) -> None:
        self.played.add((item_id, content_index))

    def set_gain(self, gain: float) -> None:
        self.played.add(gain)

    def stop(self) -> list[Heard]:
        return self.account

    def heard(self) -> list[Heard]:
        return self.account

    async def close(self) -> None: ...


class HandDevices:
    """Devices that go away when the test says so."""

    def __init__(self) -> None:
        self.missing = ""
        self.is_half_duplex = False
        self.report: Callable[[DevicesReport], None] = lambda report: None

    async def start(self, report: Callable[[DevicesReport], None]) -> None:
        self.report = report


class HandScreen:
    """Keeps what it is told; `press` is the keyboard."""

    def __init__(self, *, wants_drawing: bool = False) -> None:
        self.wants_drawing = wants_drawing
        self.told = Sent()
        self.drawn = Sent()
        self.press: Callable[[Input], None] = lambda an_input: None

    async def start(self, deliver: Callable[[Input], None]) -> None:
        self.press = deliver

    def tell(self, report: Report, at: float) -> None:
        self.told.add(report)

    def draw(self, conversation: Conversation, meters: Meters) -> None:
        self.drawn.add(meters)

    async def close(self) -> None: ...

    @property
    def summary(self) -> SummaryReport:
        last = self.told.all[-1]
        assert isinstance(last, SummaryReport)
        return last


class Table:
    """A session and all that stands around it."""

    def __init__(
        self,
        *,
        link: Link | None = None,
        microphone: HandMicrophone | None = None,
        wants_drawing: bool = False,
        tools: Toolbox | None = None,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        self.link = ScriptedLink()
        self.microphone = microphone or HandMicrophone()
        self.speaker = HandSpeaker()
        self.devices = HandDevices()
        self.screen = HandScreen(wants_drawing=wants_drawing)
        asked_for = Options(**{"settings": AUTOMATIC} | options)
        self.conversation = Conversation(asked_for)
        self.session = Session(
            conversation=self.conversation,
            connection=link or self.link,
            microphone=self.microphone,
            speaker=self.speaker,
            screen=self.screen,
            tools=tools or Functions(),
            devices=self.devices,
            clock=clock,
        )
        detection = asked_for.settings.turn_detection
        wire = None if detection is None else detection.to_wire()
        self.link.say(session_created(), session_updated(wire))


def play(script: Callable[[Table], Awaitable[None]], **options: Any) -> Table:
    """Run a session, play the script beside it, and wait until the session has ended.

    `link` and `microphone` may be given as functions, to be made inside the loop.
    """

    async def main() -> Table:
        made = {
            name: value() if name in ("link", "microphone") and callable(value) else value
            for name, value in options.items()
        }
        async with asyncio.timeout(TIME_LIMIT_S):
            table = Table(**made)
            running = asyncio.create_task(table.session.run())
            try:
                await asyncio.gather(script(table), running)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        return table

    return asyncio.run(main())
