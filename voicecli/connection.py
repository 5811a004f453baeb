"""The WebSocket to a server: open, authenticate, send, iterate, close.

The only client-side door to `websockets`: none of its exceptions leaves this module. A wrong key
shows up late on purpose of the API (the socket opens, an `error` event follows, then close code
3000), so opening a connection includes the server's first event.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.request import getproxies

from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)

from voicecli.errors import (
    ConfigError,
    ConnectionFailed,
    NetworkStalled,
    NotAuthorized,
    ProtocolError,
    VoicecliError,
)
from voicecli.inputs import Received
from voicecli.protocol.codec import SERVER_CODEC, encode
from voicecli.protocol.dialects import KEY_ERRORS
from voicecli.protocol.events import ClientEvent, ErrorEvent, SessionCreated

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MAX_MESSAGE_BYTES: Final = 16 * 2**20
"An append may hold 15 MiB of audio; a retrieved item comes back whole."

PING_INTERVAL_S: Final = 20.0
PING_TIMEOUT_S: Final = 60.0
"A local server whose processors are busy with a model may answer a ping late; 20 s kill sessions."

OPEN_TIMEOUT_S: Final = 10.0
FIRST_EVENT_TIMEOUT_S: Final = 15.0
CLOSE_TIMEOUT_S: Final = 2.0

_FAIR_SHARE_S: Final = 0.005
"How long received events may keep the loop from everything else when many are waiting."

_CERTIFICATES_HINT: Final = (
    "set the environment variable SSL_CERT_FILE to the certificates you trust; on macOS, Python "
    'from python.org first needs its "Install Certificates.command"'
)
_KEY_HINT: Final = (
    "check the key in the environment variable that the configuration names (`voicecli config`)"
)


@dataclass(frozen=True)
class Address:
    """Where a server is and how to be let in. The headers never show in a `repr`."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_loopback(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def shown(self) -> str:
        """The address without query, user or password: safe to print."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        port = "" if parts.port is None else f":{parts.port}"
        return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))

    def hide(self, text: str) -> str:
        """`text` without the key: there are servers that repeat it when they refuse it."""
        for value in self.headers.values():
            text = text.replace(value.removeprefix("Bearer "), "[key]") if value else text
        return text

    def hide_in(self, message: bytes) -> bytes:
        """The same for a whole message of the server's."""
        for value in self.headers.values():
            key = value.removeprefix("Bearer ").encode()
            if key and key in message:
                message = message.replace(key, b"[key]")
        return message

    def cause(self, exc: Exception) -> Exception | None:
        """`exc` as the cause of another error; None if its text holds the key."""
        return exc if self.hide(str(exc)) == str(exc) else None


def url_with_model(url: str, model: str) -> str:
    """`url` asking for `model`, unless it names one already.

    Raises:
        ConfigError: this is no ws or wss URL.
    """
    if not _is_usable(url):
        # What may be a password or a key is not repeated.
        shown = re.sub(r"//.*@", "//", url.partition("?")[0])
        raise ConfigError(
            f"{shown!r} is not the URL of a Realtime server",
            "it begins with ws:// or wss://, as in ws://127.0.0.1:8765/v1/realtime",
        )
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if model and "model" not in dict(query):
        query.append(("model", model))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Half an IPv6 address, a port that is none.
        return False


class Connection:
    """An open connection that has had its first event; iterate to receive, `send` to send.

    Use `Connection.open`. `opened_at` is a time of the clock given there.
    """

    def __init__(
        self, socket: ClientConnection, address: Address, first: Received, opened_at: float
    ) -> None:
        self._socket = socket
        self._address = address
        self._first = first
        self.opened_at = opened_at

    @classmethod
    async def open(cls, address: Address) -> Connection:
        """Connect, authenticate and wait for `session.created`.

        Raises:
            NotAuthorized: the key is missing or wrong.
            NetworkStalled: no answer in time.
            ConnectionFailed: the server is not there or refuses.
            ProtocolError: something else than a Realtime server answers.
        """
        with _errors_of_opening(address):
            socket = await connect(
                address.url,
                additional_headers=dict(address.headers),
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                open_timeout=OPEN_TIMEOUT_S,
                ping_interval=PING_INTERVAL_S,
                ping_timeout=PING_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                proxy=None if address.is_loopback else True,
            )
        opened_at = time.monotonic()
        try:
            return cls(socket, address, await _first_event(socket, address), opened_at)
        except BaseException:
            await socket.close()
            raise

    async def send(self, event: ClientEvent) -> None:
        """Send one event; after the connection is lost nothing happens, the iteration tells why."""
        try:
            await self._socket.send(encode(event), text=True)
        except ConnectionClosed:
            return

    async def round_trip_s(self) -> float:
        """How long a ping takes there and back; nothing else is waited for.

        Raises:
            VoicecliError: the connection is lost.
        """
        try:
            return await (await self._socket.ping())
        except ConnectionClosed as exc:
            raise _reason_of_closing(exc, self._address) from self._address.cause(exc)

    async def __aiter__(self) -> AsyncIterator[Received]:
        """Every message as an input, the first event included; ends only by `close`.

        Raises:
            VoicecliError: the server has closed the connection, or the network has.
        """
        yield self._first
        since = time.monotonic()
        while True:
            try:
                message = await self._socket.recv(decode=False)
            except ConnectionClosed as exc:
                raise _reason_of_closing(exc, self._address) from self._address.cause(exc)
            yield _received(message, self._address)
            # A burst that has arrived already would never let go of the loop.
            if time.monotonic() - since > _FAIR_SHARE_S:
                await asyncio.sleep(0)
                since = time.monotonic()

    async def close(self) -> None:
        """Say goodbye; takes two seconds at most. Nobody may be iterating any more."""
        reading = asyncio.create_task(self._skip_the_rest())
        try:
            await self._socket.close()
        finally:
            reading.cancel()

    async def _skip_the_rest(self) -> None:
        """Make room for the server's goodbye, which comes after all that it had sent before."""
        with suppress(ConnectionClosed):
            while True:
                await self._socket.recv(decode=False)


def _received(message: bytes, address: Address) -> Received:
    text = address.hide_in(message)
    return Received(SERVER_CODEC.decode(text), text)


async def _first_event(socket: ClientConnection, address: Address) -> Received:
    try:
        async with asyncio.timeout(FIRST_EVENT_TIMEOUT_S):
            received = _received(await socket.recv(decode=False), address)
    except TimeoutError as exc:
        raise NetworkStalled(
            f"{address.shown} opened a connection and then said nothing",
            "is it a Realtime server? a local one may still be loading its models",
        ) from exc
    except ConnectionClosed as exc:
        raise _reason_of_closing(exc, address) from address.cause(exc)
    event = received.event
    if isinstance(event, SessionCreated):
        return received
    if isinstance(event, ErrorEvent):
        raise _refusal(event, address)
    raise ProtocolError(
        f"{address.shown} began with something else than `session.created`",
        "check the path of the URL: it usually ends in /v1/realtime",
    )


def _refusal(event: ErrorEvent, address: Address) -> VoicecliError:
    error = event.error
    told = address.hide(error.message or error.code or error.type)
    if error.code in KEY_ERRORS:
        return NotAuthorized(f"{address.shown} refused the key: {told}", _KEY_HINT)
    return ConnectionFailed(f"{address.shown} refused the session: {told}")


@contextmanager
def _errors_of_opening(address: Address) -> Iterator[None]:
    try:
        yield
    except InvalidStatus as exc:
        raise _refused_upgrade(exc.response.status_code, address) from exc
    except InvalidURI as exc:
        raise ConfigError(f"{address.shown!r} is not a usable URL: {exc.msg}") from None
    except TimeoutError as exc:
        raise NetworkStalled(
            f"{address.shown} did not answer within {OPEN_TIMEOUT_S:.0f} seconds",
            "check the address and the network",
        ) from exc
    except ssl.SSLError as exc:
        hint = _CERTIFICATES_HINT if isinstance(exc, ssl.SSLCertVerificationError) else ""
        raise ConnectionFailed(f"no secure connection to {address.shown}: {exc}", hint) from exc
    except InvalidProxy as exc:
        # Its text is the proxy's URL, which may hold a password.
        raise ConfigError(
            f"the proxy for {address.shown} cannot be used: {exc.msg}",
            "check the environment variables HTTPS_PROXY and HTTP_PROXY",
        ) from None
    except ImportError as exc:
        raise ConfigError(
            f"{address.shown} is behind a SOCKS proxy, which needs one more package",
            "install it with: pip install python-socks",
        ) from exc
    except UnicodeError as exc:
        raise ConfigError(f"{address.shown!r} has a host name that cannot exist") from exc
    except ValueError:
        if address.is_loopback or not getproxies():
            raise
        # Our own URL has been looked at: it is the proxy's, and its text may hold a password.
        raise ConfigError(
            f"the proxy for {address.shown} cannot be used: it is no URL",
            "check the environment variables HTTPS_PROXY and HTTP_PROXY",
        ) from None
    except (InvalidHandshake, ProxyError) as exc:
        raise ConnectionFailed(
            f"{address.shown} does not speak WebSocket: {address.hide(str(exc))}",
            "check the URL and any proxy",
        ) from address.cause(exc)
    except OSError as exc:
        raise ConnectionFailed(
            f"cannot reach {address.shown}: {_os_reason(exc)}",
            "is the server running, and is the address right?",
        ) from exc


def _os_reason(exc: OSError) -> str:
    """Why, in the system's words: asyncio puts its own in front of them."""
    told = exc.strerror or str(exc)
    if isinstance(exc, socket.gaierror) or not exc.errno:
        return told
    words = os.strerror(exc.errno)
    return told if words.startswith("Unknown error") else words


def _refused_upgrade(status: int, address: Address) -> VoicecliError:
    where = address.shown
    if status in (401, 403):
        return NotAuthorized(f"{where} refused the key (HTTP {status})", _KEY_HINT)
    if status == 404:
        return ConnectionFailed(
            f"there is no Realtime server at {where} (HTTP 404)",
            "check the path, which usually ends in /v1/realtime, and the model's name",
        )
    if status in (429, 503):
        return ConnectionFailed(f"{where} is overloaded (HTTP {status})", "try again in a moment")
    hint = "what answers there is a web server: check the URL" if status < 400 else ""
    return ConnectionFailed(f"{where} refused the connection (HTTP {status})", hint)


def _reason_of_closing(exc: ConnectionClosed, address: Address) -> VoicecliError:
    """What the end of a connection means; close codes are told apart.

    1001 is a normal closure for the library and not for us: so ends a session that has reached its
    maximum duration.
    """
    where = address.shown
    if exc.rcvd is None:
        if exc.sent is not None and exc.sent.code == 1011:
            return NetworkStalled(f"{where} has stopped answering", "check the network")
        if exc.sent is not None and exc.sent.code == 1009:
            return ProtocolError(f"{where} sent a message of more than 16 MiB")
        return ConnectionFailed(f"the connection to {where} was lost", "check the network")
    code, reason = exc.rcvd.code, address.hide(exc.rcvd.reason)
    told = f"{reason or 'no reason given'} (close code {code})"
    if code in (3000, 4000) and any(word in reason for word in ("key", "auth")):
        return NotAuthorized(f"{where} refused the key: {told}", _KEY_HINT)
    if code == 1001:
        return ConnectionFailed(
            f"{where} ended the session: {told}",
            "a session has a maximum duration, 60 minutes at OpenAI: start a new one",
        )
    if code in (1012, 1013):
        return ConnectionFailed(f"{where} is restarting: {told}", "try again in a moment")
    return ConnectionFailed(f"{where} closed the connection: {told}")
