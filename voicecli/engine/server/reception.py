"""What a server answers over HTTP, and which handshakes it refuses."""

from __future__ import annotations

import http
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from voicecli.engine.dialogue.checks import Refusal
from voicecli.engine.dialogue.dialogue import MODEL
from voicecli.engine.server.door import Door, as_error, as_json, as_text
from voicecli.engine.server.house import STOPPING, House
from voicecli.engine.server.metrics import CONTENT_TYPE, Labels

PATH: Final = "/v1/realtime"
SECRETS_PATH: Final = "/v1/realtime/client_secrets"
MODELS_FAILED: Final = "models_not_loaded"
RETRY_AFTER: Final = {"Retry-After": "5"}


class Reception:
    """Answers all requests; those it gives no answer to become sessions."""

    def __init__(self, house: House) -> None:
        self._house = house

    def respond(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer what is no handshake, and refuse handshakes that are not to be."""
        assert isinstance(socket, Door)
        response = self._answer(socket, request)
        if response is not None and socket.method == "HEAD":
            response.body = b""  # what its headers tell of it stays
        return response

    def _answer(self, socket: Door, request: Request) -> Response | None:
        path = _path_in(request.path)
        stranger = self._turn_away(socket, request)
        if stranger is not None:
            return stranger
        if socket.refusal is not None:
            return as_error(socket, socket.refusal, "invalid_body", socket.refusal.description)
        if socket.method not in _methods(path):
            return _not_allowed(socket, path)
        if socket.method == "POST":
            return self._make_secret(socket, request)
        if path == "/healthz":
            return self._health(socket, request)
        if path.endswith("/realtime"):
            return self._full(socket)
        if not self._house.has_token(request):
            return self._unauthorized(socket)
        if path == "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "voicecli"}
            return as_json(socket, {"object": "list", "data": [model]})
        if path == "/metrics":
            return as_text(socket, self._house.metrics.text(self._gauges()), CONTENT_TYPE)
        message = f"There is nothing here; clients connect to {PATH}."
        return as_error(socket, http.HTTPStatus.NOT_FOUND, "not_found", message)

    def _turn_away(self, socket: ServerConnection, request: Request) -> Response | None:
        """The refusal of requests that web pages may have caused."""
        origins = request.headers.get_all("Origin")
        hosts = request.headers.get_all("Host")
        host = hosts[0] if len(hosts) == 1 else None if not hosts else ""
        keeper = self._house.doorkeeper
        if keeper.admits_host(host) and all(keeper.admits_page(one, host) for one in origins):
            return None
        self._house.refuse("origin", origin=origins[0][:200] if origins else None)
        return as_error(
            socket,
            http.HTTPStatus.FORBIDDEN,
            "origin_not_allowed",
            "Web pages may not connect here, unless the server was started with --allow-origin "
            "and their origin.",
        )

    def _full(self, socket: ServerConnection) -> Response | None:
        if not self._house.is_full:
            return None
        self._house.refuse("full")
        message = (
            STOPPING
            if self._house.is_stopping
            else f"All {self._house.policy.max_sessions} sessions of this server are in use."
        )
        return as_error(
            socket,
            http.HTTPStatus.SERVICE_UNAVAILABLE,
            "server_is_overloaded",
            message,
            headers=RETRY_AFTER,
        )

    def _make_secret(self, socket: Door, request: Request) -> Response:
        if not self._house.has_token(request):
            return self._unauthorized(socket)
        try:
            # Stricter than the standard library: NaN and half characters cannot be sent again.
            body = msgspec.json.decode(socket.body or b"{}")
            return as_json(socket, self._house.secrets.create(body, self._house.now()))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            status = http.HTTPStatus.BAD_REQUEST
            return as_error(socket, status, "invalid_json", "The body is not JSON.")
        except Refusal as refusal:
            is_full = refusal.code == "rate_limit_exceeded"
            status = http.HTTPStatus.TOO_MANY_REQUESTS if is_full else http.HTTPStatus.BAD_REQUEST
            return as_error(socket, status, refusal.code, refusal.message, param=refusal.param)

    def _unauthorized(self, socket: ServerConnection) -> Response:
        self._house.refuse("key")
        status, message = http.HTTPStatus.UNAUTHORIZED, "Incorrect API key provided."
        headers = {"WWW-Authenticate": "Bearer"}
        return as_error(socket, status, "invalid_api_key", message, headers=headers)

    def _health(self, socket: ServerConnection, request: Request) -> Response:
        state = "none" if self._house.workshop is None else self._house.workshop.state
        has_failed = state == "failed"
        told = {
            "status": "failed" if has_failed else "ok",
            "models": state,
            "sessions": len(self._house.connections),
            "max_sessions": self._house.policy.max_sessions,
        }
        if state == "loading":
            told["loading"] = self._house.progress()
        if has_failed:
            told["code"] = MODELS_FAILED
            # Paths, addresses of other servers: for those only who have shown that they may know.
            if self._house.policy.token is not None and self._house.has_token(request):
                told["reason"] = self._house.workshop.failure if self._house.workshop else ""
        status = http.HTTPStatus.SERVICE_UNAVAILABLE if has_failed else http.HTTPStatus.OK
        return as_json(socket, told, status)

    def _gauges(self) -> Iterator[tuple[str, Labels, float]]:
        yield "sessions", (), len(self._house.connections)
        yield "backlog_bytes", (), sum(one.backlog_bytes for one in self._house.connections)
        if self._house.workshop is None:
            return
        yield "models_ready", (), float(self._house.workshop.state == "ready")
        for stage, pool in self._house.workshop.pools.items():
            yield "queue_depth", (("stage", stage),), pool.depth


def _methods(path: str) -> tuple[str, ...]:
    if path == SECRETS_PATH:
        return ("POST",)
    return ("GET",) if path.endswith("/realtime") else ("GET", "HEAD")


def _not_allowed(socket: Door, path: str) -> Response:
    allowed = ", ".join(_methods(path))
    status, message = http.HTTPStatus.METHOD_NOT_ALLOWED, f"Here goes {allowed}."
    return as_error(socket, status, "method_not_allowed", message, headers={"Allow": allowed})


def _path_in(target: str) -> str:
    """The path of a request; that of one which cannot be read is nowhere."""
    try:
        return urlsplit(target).path
    except ValueError:
        return ""
