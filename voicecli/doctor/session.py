"""Whether what answers at an address is a Realtime server that lets us in, and how far it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from statistics import median
from typing import Final, Protocol

from voicecli.doctor.findings import Finding
from voicecli.doctor.platforms import set_key
from voicecli.errors import NotAuthorized, VoicecliError
from voicecli.inputs import Received
from voicecli.protocol import events
from voicecli.protocol.objects import Item

PINGS: Final = 5
_FAR_MS: Final = 250.0
QUESTIONS: Final = ("Hello!", "Why do leaves fall in autumn?")
"Two: an engine loads during the first, and may know what it has said before."


class Link(Protocol):
    """An open connection that has had its `session.created`."""

    async def send(self, event: events.ClientEvent) -> None: ...

    def __aiter__(self) -> AsyncIterator[Received]: ...

    async def round_trip_s(self) -> float: ...


Open = Callable[[], Awaitable[Link]]


async def opened(
    open_link: Open,
    limit_s: float,
    *,
    key_variable: str = "",
    platform: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Finding, Link | None]:
    """Open a session, which costs nothing as long as nothing is asked.

    Args:
        open_link: opens the connection; its errors hold no key.
        limit_s: for all of it.
        key_variable: what holds the key, for the advice.
        platform: as `sys.platform`, for the advice.
        clock: of the time it took.
    """
    before = clock()
    try:
        async with asyncio.timeout(limit_s):
            link = await open_link()
    except TimeoutError:
        told = f"the server did not open a session within {limit_s:g} s"
        advice = "is it a Realtime server? a local one may still be loading its models"
        return Finding("server", "session", "problem", told, advice), None
    except NotAuthorized as exc:
        fixes = (set_key(platform, key_variable),) if key_variable else ()
        advice = "the key is missing, wrong, or has no right to this"
        if not key_variable:
            advice = "give the server a name and its key a variable in the file: voicecli config"
        return Finding("server", "session", "problem", exc.message, advice, fixes), None
    except VoicecliError as exc:
        return Finding("server", "session", "problem", exc.message, exc.hint), None
    took_ms = (clock() - before) * 1000
    told = f"a Realtime session was opened in {took_ms:.0f} ms"
    return Finding("server", "session", "ok", told, facts={"took_ms": round(took_ms, 1)}), link


async def pinged(link: Link, limit_s: float) -> Finding:
    """How long a message takes there and back: the median of several pings."""
    times_ms: list[float] = []
    try:
        async with asyncio.timeout(limit_s):
            await _ping(link, times_ms)
    except VoicecliError as exc:
        return Finding("server", "round trip", "problem", exc.message, exc.hint)
    except TimeoutError:
        if not times_ms:
            told = f"no ping came back within {limit_s:g} s"
            return Finding("server", "round trip", "warning", told, "the network drops messages")
    middle, worst = median(times_ms), max(times_ms)
    told = f"{middle:.0f} ms there and back (worst of {len(times_ms)}: {worst:.0f})"
    facts = {"median_ms": round(middle, 1), "worst_ms": round(worst, 1), "pings": len(times_ms)}
    if middle > _FAR_MS:
        advice = "answers come later by as much; a nearer server or a cable helps"
        return Finding("server", "round trip", "warning", told, advice, facts=facts)
    return Finding("server", "round trip", "ok", told, facts=facts)


async def _ping(link: Link, times_ms: list[float]) -> None:
    """Each time is kept as it comes: what follows may never come."""
    while len(times_ms) < PINGS:
        took_s = await link.round_trip_s()
        times_ms.append(took_s * 1000)


async def first_audio_s(
    link: Link, question: str, clock: Callable[[], float] = time.monotonic
) -> float | None:
    """Ask something in writing and wait for the whole answer.

    Returns:
        How long its first audio took; None if none came.

    Raises:
        VoicecliError: the answer failed, or the connection is lost.
    """
    content = [{"type": "input_text", "text": question}]
    item = Item({"type": "message", "role": "user", "content": content})
    await link.send(events.ConversationItemCreate(item=item))
    asked_at = clock()
    await link.send(events.ResponseCreate())
    took_s: float | None = None
    async for received in link:
        if isinstance(received.event, events.ResponseOutputAudioDelta) and took_s is None:
            took_s = clock() - asked_at
        if isinstance(received.event, events.ResponseDone):
            answer = received.event.response
            if answer.status == "failed":
                raise VoicecliError(f"the answer failed: {answer.error_message or 'no reason'}")
            break
    return took_s
