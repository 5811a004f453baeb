"""A server of OpenAI's HTTP API as the stages use it: the standard library's client, made safe.

No exception of that client leaves by this door, an answer that breaks off is an error and never a
short answer, and a thread that waits for a silent server can be woken.
"""

import http.client
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from voicecli.errors import ConfigError, ConnectionFailed, ModelError, NetworkStalled, NotAuthorized

CONNECT_TIMEOUT_S = 5.0
RETRY_AFTER_S = 0.2
"Before the second and last try to connect; nothing else is tried again: it may have had effect."
_MOST_ERROR_BYTES = 4096
_MOST_JSON_BYTES = 4 * 1024 * 1024
_MOST_LINE_BYTES = 1024 * 1024
_BLOCK_BYTES = 16 * 1024


class Remote:
    """One kind of request to one server; may be used from any thread.

    Args:
        url: "http://host:port", with or without "/v1" and the path of the request.
        path: of the request, such as "/chat/completions".
        speaks: what is done there, for messages: "chat completions".
        model: the model to ask for; None: the first that the server lists.
        key_variable: the environment variable that holds the key; unset means no key.
        timeout_s: how long the server may be silent.
        pause: waits for some seconds.

    Raises:
        ConfigError: the URL has no host, or a port that cannot be.
    """

    def __init__(
        self,
        url: str,
        path: str,
        *,
        speaks: str,
        model: str | None,
        key_variable: str,
        timeout_s: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = split_url(url)
        self._port = parts.port
        self._secure = parts.scheme == "https"
        self.host = str(parts.hostname)
        self._base = parts.path.rstrip("/").removesuffix(path) or "/v1"
        self._path = path
        self._query = f"?{parts.query}" if parts.query else ""
        self._speaks = speaks
        self._model = model
        self._key_variable = key_variable
        self._timeout_s = timeout_s
        self._pause = pause

    @property
    def name(self) -> str:
        """The model, as far as it is known, and the host."""
        return f"{self._model} at {self.host}" if self._model else self.host

    def line(self) -> "Line":
        """A line for one request; nothing is sent yet."""
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self.host, self._port, timeout=CONNECT_TIMEOUT_S)
        return Line(connection, self._timeout_s, self._pause)

    def model(self) -> str:
        """The model to ask for; asks the server when it was not named."""
        if self._model is None:
            with closing(self.line()) as line:
                listed = self._checked(line, "GET", "/models", None, {})
                data = read_json(listed).get("data")
            if not data:
                raise ModelError(
                    f"the server at {self.host!r} lists no model", "name the model to ask for"
                )
            self._model = str(data[0]["id"])
        return self._model

    def post(self, line: "Line", body: bytes, headers: Mapping[str, str]) -> "Answer":
        """Send the request; within `mapped_errors`."""
        return self._checked(line, "POST", self._path, body, headers)

    def post_json(self, line: "Line", request: Mapping[str, Any], accept: str) -> "Answer":
        """Send the request as JSON; within `mapped_errors`."""
        headers = {"Content-Type": "application/json", "Accept": accept}
        return self.post(line, json.dumps(request).encode(), headers)

    def _checked(
        self, line: "Line", method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> "Answer":
        sent = dict(headers)
        if key := os.environ.get(self._key_variable):
            sent["Authorization"] = f"Bearer {key}"
        answer = line.ask(method, self._base + path + self._query, body, sent)
        if answer.status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            raise NotAuthorized(
                f"the server at {self.host!r} refused the key ({answer.status})",
                f"put a key into {self._key_variable}",
            )
        if answer.status != http.HTTPStatus.OK:
            text = answer.read(_MOST_ERROR_BYTES).decode("utf-8", "replace")
            raise ModelError(
                f"the server at {self.host!r} answered {answer.status}: {_reason(text)}",
                f"is {self._base + path!r} the right address, and the model's name right",
            )
        return answer

    @contextmanager
    def mapped_errors(self) -> Iterator[None]:
        """No exception of the standard library's client leaves this block."""
        try:
            yield
        except TimeoutError as exc:
            raise NetworkStalled(f"the server at {self.host!r} does not answer") from exc
        except ssl.SSLError as exc:
            raise ConnectionFailed(f"no secure connection to {self.host!r}: {exc.reason}") from exc
        except (http.client.IncompleteRead, ConnectionResetError, BrokenPipeError) as exc:
            raise ConnectionFailed(f"the server at {self.host!r} broke off its answer") from exc
        except (OSError, http.client.HTTPException) as exc:
            raise ConnectionFailed(
                f"cannot talk to the server at {self.host!r}: {exc}", "is it running"
            ) from exc
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise ModelError(
                f"the server at {self.host!r} does not speak {self._speaks}: {exc!r}"[:500]
            ) from exc


def split_url(url: str) -> SplitResult:
    """The parts of a server's URL.

    Raises:
        ConfigError: it has no host, a port that cannot be, or characters that no URL has.
    """
    # What may be a password or a key is not repeated.
    shown = re.sub(r"//.*@", "//", url.partition("?")[0])
    wrong = ConfigError(f"not the URL of a server: {shown!r}", "such as http://localhost:8080/v1")
    try:
        parts = urlsplit(url)
        port_is_right = parts.port != 0
    except ValueError as exc:
        raise wrong from exc
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_right:
        raise wrong
    if not is_plain:
        raise wrong
    return parts


def why_unreachable(url: str, timeout_s: float) -> str:
    """Whether nobody listens at a URL, and why; "" when somebody does. Nothing is asked there."""
    parts = split_url(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname, port), timeout_s):
            return ""
    except TimeoutError:
        return "it does not answer"
    except OSError as exc:
        return exc.strerror or str(exc)


Answer = http.client.HTTPResponse


class Line:
    """One request and its answer; may be cut from another thread."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        timeout_s: float,
        pause: Callable[[float], None],
    ) -> None:
        self._connection = connection
        self._pause = pause
        self._timeout_s = timeout_s
        # Kept apart: an answer that ends with the connection takes the socket away from it.
        self._socket: socket.socket | None = None
        self._is_cut = False
        self._answer: Answer | None = None

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """Send a request and wait for the head of its answer."""
        self._connect()
        self._socket = self._connection.sock
        if self._is_cut:
            raise ConnectionResetError  # while it was being connected
        self._socket.settimeout(self._timeout_s)
        self._connection.request(method, path, body, headers)
        self._answer = self._connection.getresponse()
        return self._answer

    def cut(self) -> None:
        """Wake a thread that waits for the server; that thread closes the line."""
        self._is_cut = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        if self._answer is not None:
            self._answer.close()
        self._connection.close()

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except TimeoutError:
            raise  # the user has waited long enough
        except OSError:
            self._connection.close()
            self._pause(RETRY_AFTER_S)
            self._connection.connect()


def blocks(answer: Answer) -> Iterator[bytes]:
    """The body as it comes.

    Raises:
        IncompleteRead: it broke off, as far as its framing tells.
    """
    left = answer.length
    while left is None or left > 0:
        block = answer.read1(_BLOCK_BYTES if left is None else min(left, _BLOCK_BYTES))
        if not block:
            if left is not None:
                raise http.client.IncompleteRead(b"", left)
            return
        left = None if left is None else left - len(block)
        yield block


def read_json(answer: Answer) -> dict[str, Any]:
    """A body that is one JSON object."""
    body = bytearray()
    for block in blocks(answer):
        body += block
        if len(body) > _MOST_JSON_BYTES:
            raise ValueError("an endless answer")
    value = json.loads(body)
    if not isinstance(value, dict):
        raise TypeError(f"{type(value).__name__} instead of an object")
    return value


def server_sent(answer: Answer) -> Iterator[dict[str, Any]]:
    """The JSON of a stream of events, up to its `[DONE]`; an answer in one piece counts as one.

    Raises:
        IncompleteRead: the stream ended without `[DONE]` and before any `finish_reason`.
    """
    if "text/event-stream" not in content_type(answer):
        yield read_json(answer)
        return
    finished = False
    for line in _lines(answer):
        field, _, value = line.decode("utf-8", "replace").strip().partition(":")
        if field != "data":
            continue
        if value.strip() == "[DONE]":
            return
        chunk = json.loads(value)
        finished = finished or "error" in chunk or _is_last(chunk)
        yield chunk
    if not finished:
        raise http.client.IncompleteRead(b"")


def content_type(answer: Answer) -> str:
    """What the body is said to be, in lower case."""
    return (answer.getheader("Content-Type") or "").lower()


def _lines(answer: Answer) -> Iterator[bytes]:
    rest = b""
    for block in blocks(answer):
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > _MOST_LINE_BYTES:
            raise ValueError("an endless line")
        yield from lines
    if rest:
        yield rest


def _is_last(chunk: dict[str, Any]) -> bool:
    return any(choice.get("finish_reason") for choice in chunk.get("choices") or ())


def problem_of(body: Mapping[str, Any]) -> str:
    """The message of an `error` object."""
    error = body["error"]
    return str(error.get("message") if isinstance(error, dict) else error)


def _reason(text: str) -> str:
    """The message of an error's body, else its beginning."""
    try:
        return problem_of(json.loads(text))
    except (ValueError, KeyError, TypeError):
        return " ".join(text.split())[:200] or "no reason given"
