"""A session from its handshake to its end: let in or refused, watched, and ended in time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from voicecli.engine.dialogue.dialogue import Dialogue
from voicecli.engine.server.access import kind_of
from voicecli.engine.server.connection import GOING_AWAY, Connection
from voicecli.engine.server.house import House, new_id
from voicecli.engine.server.watch import Watch
from voicecli.protocol.codec import encode
from voicecli.protocol.events import ErrorEvent, SessionUpdate
from voicecli.protocol.objects import ErrorDetails

log = logging.getLogger(__name__)

WRONG_KEY: Final = (3000, "invalid_api_key", "Incorrect API key provided.")
BETA_SHAPE: Final = (
    4000,
    "beta_api_shape_disabled",
    "The Realtime API's beta is over: leave the header OpenAI-Beta and the sub-protocol "
    "openai-beta.realtime-v1 away, and use the events of the released API.",
)
"Close codes, codes and messages of refusals."
TRY_AGAIN_LATER: Final = 1013


class Sessions:
    """Holds the conversation with each client."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def talk(self, socket: ServerConnection) -> None:
        """One connection, from its greeting to its end."""
        with contextlib.suppress(ConnectionClosed):
            if self._house.is_full:  # since its handshake was accepted
                self._house.refuse("full")
                await socket.close(TRY_AGAIN_LATER, "The server is full.")
                return
            session = self._house.session_for(socket.request)
            if session is None:
                await self._refuse(socket, "key", *WRONG_KEY)
                return
            if self._house.wants_beta(socket.request):
                await self._refuse(socket, "beta", *BETA_SHAPE)
                return
            await self._talk(socket, session)

    async def _refuse(
        self, socket: ServerConnection, reason: str, close_code: int, code: str, message: str
    ) -> None:
        """As the API does it: browsers cannot see the status of a handshake that failed."""
        self._house.refuse(reason)
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": None,
            "event_id": None,
        }
        event = ErrorEvent(event_id=new_id("event"), error=ErrorDetails(error))
        await socket.send(encode(event), text=True)
        await socket.close(close_code, f"invalid_request_error.{code}")

    async def _talk(self, socket: ServerConnection, settings: dict[str, Any]) -> None:
        limit_s = self._house.policy.session_limit_s
        expires_at = int(self._house.now() + limit_s) if limit_s else None
        kind = kind_of(settings or {"type": _intent(socket.request)})
        dialogue = Dialogue(new_id, voices=self._house.voices, kind=kind, expires_at=expires_at)
        began = self._house.clock()
        if settings:
            dialogue.handle(SessionUpdate(session=settings), began)
        name = new_id("conn")
        watch = Watch(
            write=functools.partial(self._house.journal.write, session=name),
            count=self._house.metrics.count,
            observe=self._house.metrics.observe,
            words=self._house.journal.words,
        )

        def dropped() -> None:
            log.warning("a client that does not read was dropped")
            self._house.metrics.count("dropped_total")

        connection = Connection(
            socket, dialogue, self._house.make_worker, watch, self._house.clock, dropped
        )
        self._house.connections.add(connection)
        self._house.metrics.count("sessions_total")
        watch.write("session_opened", sessions=len(self._house.connections))
        timer = self._end_after(limit_s, connection)
        try:
            await connection.run()
        finally:
            if timer is not None:
                timer.cancel()
            self._house.connections.discard(connection)
            connection.gone.set()
            watch.write(
                "session_closed",
                seconds=round(self._house.clock() - began, 3),
                code=socket.close_code,
                turns=watch.turns,
                responses=watch.responses,
                errors=watch.errors,
            )

    def _end_after(self, limit_s: float, connection: Connection) -> asyncio.TimerHandle | None:
        if not limit_s:
            return None
        minutes = limit_s / 60
        lasted = f"{minutes:g} minutes" if minutes >= 1 else f"{limit_s:g} seconds"
        reason = f"Your session hit the maximum duration of {lasted}."
        loop = asyncio.get_running_loop()
        return loop.call_later(limit_s, connection.close, GOING_AWAY, reason)


def _intent(request: Request | None) -> str | None:
    """The kind of session that the URL asks for (`?intent=transcription`), if it does."""
    query = "" if request is None else urlsplit(request.path).query
    return next(iter(parse_qs(query).get("intent", [])), None)
