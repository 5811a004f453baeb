"""The way in: a WebSocket handshake, or one small HTTP request.

The library is for handshakes: for requests of other methods than GET, and for bodies, it has no
answer, or not always the same one. So these are held back here, a POST until its body is complete
and any other until its head is, and then shown to the library as a GET without a body: limits,
time-outs, TLS and answers are the library's for all. Whoever answers has to look at `method` and
`body`. What is no HTTP is cut at once.
"""

from __future__ import annotations

import asyncio
import http
import json
import re
from collections.abc import Mapping, MutableSet
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

MAX_HEAD_BYTES: Final = 64 * 1024
"Of a request that is no GET; more is refused with 431."
MAX_BODY_BYTES: Final = 256 * 1024
"Of a POST; more is refused with 413."

_METHOD: Final = re.compile(rb"[A-Z-]{1,16}( |\Z)")
"How a request begins, as far as it is there."
_REQUEST_LINE: Final = re.compile(rb"[A-Z-]+ (\S+) HTTP/1\.[01]")
_SHOWN_IF_TOO_LONG: Final = b"GET / HTTP/1.1\r\n\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
_OF_BODIES: Final = (b"content-length:", b"transfer-encoding:", b"expect:")


class Door(ServerConnection):
    """One TCP connection.

    Args:
        lines: all that are open; this one adds and removes itself.
        most: when there are more than so many lines, a new one is cut at once.
    """

    method: str = "GET"
    body: bytes = b""
    "Of a POST."
    refusal: http.HTTPStatus | None = None
    "Why a request cannot be read."

    def __init__(
        self, *args: Any, lines: MutableSet[ServerConnection], most: int, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lines = lines
        self._most = most
        self._early: bytearray | None = bytearray()
        self._is_told_to_go_on = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._lines.add(self)
        if len(self._lines) > self._most:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            data = self._readable(self._early)
        elif self.method != "GET":
            return  # no frames follow, so what comes is the rest of a body that nobody wants
        if data:
            super().data_received(data)

    def _readable(self, early: bytearray) -> bytes:
        """What the library may see by now: nothing, until the request is as complete as it needs.

        That is for a POST the end of its body, for others the end of the head.
        """
        if not _METHOD.match(early):
            return self._hang_up()
        method, space, _ = bytes(early[: MAX_HEAD_BYTES + 1]).partition(b" ")
        if not space:
            return b""
        if method == b"GET":
            return self._let_in(bytes(early))
        head, end, body = bytes(early).partition(_END_OF_HEAD)
        first, *headers = head.split(b"\r\n")
        request = _REQUEST_LINE.fullmatch(first)
        if request is None and (headers or end):
            return self._hang_up()
        if len(head) > MAX_HEAD_BYTES:
            self.method = method.decode()
            self.refusal = http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return self._let_in(_SHOWN_IF_TOO_LONG)
        if request is None or not end:
            return b""
        if method == b"POST":
            length = self._body_length(headers)
            if len(body) < length and self.refusal is None:
                self._ask_for_body(headers)
                return b""
            self.body = body[:length]
        self.method = method.decode()
        return self._let_in(_as_get(request[1], headers))

    def _hang_up(self) -> bytes:
        self.transport.abort()
        return b""

    def _let_in(self, data: bytes) -> bytes:
        self._early = None
        return data

    def _body_length(self, headers: list[bytes]) -> int:
        values = [one.partition(b":")[2].strip() for one in headers if _names_length(one)]
        is_plain = not any(one.lower().startswith(b"transfer-encoding:") for one in headers)
        if not is_plain or len(values) != 1 or not values[0].isdigit() or len(values[0]) > 9:
            self.refusal = http.HTTPStatus.LENGTH_REQUIRED
            return 0
        length = int(values[0])
        if length > MAX_BODY_BYTES:
            self.refusal = http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return 0
        return length

    def _ask_for_body(self, headers: list[bytes]) -> None:
        waits = any(one.lower().replace(b" ", b"") == b"expect:100-continue" for one in headers)
        if waits and not self._is_told_to_go_on:
            self._is_told_to_go_on = True
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _as_get(target: bytes, headers: list[bytes]) -> bytes:
    kept = [line for line in headers if not line.lower().startswith(_OF_BODIES)]
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", *kept, b"", b""])


def _names_length(header: bytes) -> bool:
    return header.lower().startswith(b"content-length:")


def as_json(
    socket: ServerConnection,
    value: object,
    status: http.HTTPStatus = http.HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An HTTP answer with a JSON body."""
    return as_text(socket, json.dumps(value) + "\n", "application/json", status, headers)


def as_text(
    socket: ServerConnection,
    text: str,
    content_type: str,
    status: http.HTTPStatus = http.HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An HTTP answer."""
    response = socket.respond(status, text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = content_type
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def as_error(
    socket: ServerConnection,
    status: http.HTTPStatus,
    code: str | None,
    message: str,
    *,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An HTTP answer that says what is wrong, in the words of the API."""
    kind = "server_error" if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else None
    error = {
        "message": message,
        "type": kind or "invalid_request_error",
        "param": param,
        "code": code,
    }
    return as_json(socket, {"error": error}, status, headers)
