"""A mind at a URL: any server that speaks the chat completions protocol and streams."""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from voicecli.engine.mind import KEY_VARIABLE, Message, instructions, pieces_from
from voicecli.engine.sentences import MarkupFilter
from voicecli.errors import ConfigError, ConnectionFailed, ModelError, NetworkStalled, NotAuthorized

_CONNECT_TIMEOUT_S = 5.0
_REPLY_TOKENS = 300
_AT_ONCE = 4
_MOST_ERROR_BYTES = 4096


class EndpointMind:
    """Asks a chat completions server, such as llama.cpp's, Ollama's, vLLM's or OpenAI's.

    Nothing is sent before the first reply.

    Args:
        url: "http://host:port", with or without "/v1" and "/chat/completions".
        model: the model to ask for; by default the first that the server lists.
        key_variable: the environment variable that holds the key; unset means no key.
        timeout_s: how long the server may be silent.

    Raises:
        ConfigError: the URL has no host.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        key_variable: str = KEY_VARIABLE,
        timeout_s: float = 30.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"not the URL of a server: {url!r}", "such as http://localhost:8080/v1"
            )
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._base = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
        self._query = f"?{parts.query}" if parts.query else ""
        self._model = model
        self._key_variable = key_variable
        self._timeout_s = timeout_s
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mind")

    @property
    def name(self) -> str:
        """The model, as far as it is known, and the host."""
        return f"{self._model} at {self._host}" if self._model else self._host

    def close(self) -> None:
        """Refuse further replies."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def reply(
        self,
        messages: Sequence[Message],
        *,
        stopped: Callable[[], bool],
        max_tokens: int | None = None,
    ) -> Iterator[str]:
        """See `Mind.reply`; may be called from any thread, four are served at once.

        Raises:
            NotAuthorized: the server wants another key.
            NetworkStalled: the server was silent for too long.
            ConnectionFailed: the server cannot be reached or went away.
            ModelError: the server refused the request, or answers in another protocol.
        """
        chat = [{"role": "system", "content": instructions(messages)}]
        chat += [{"role": m.role, "content": m.text} for m in messages if m.role != "system"]
        request = {"messages": chat, "max_tokens": max_tokens or _REPLY_TOKENS, "stream": True}
        line = self._line()

        def work(emit: Callable[[str], bool]) -> None:
            with closing(line), self._mapped_errors():
                if self._model is None:
                    self._model = self._first_model()
                self._stream(line, {"model": self._model, **request}, emit)

        return pieces_from(self._workers, work, stopped=stopped, abandon=line.cut)

    def _stream(self, line: "_Line", request: dict[str, Any], emit: Callable[[str], bool]) -> None:
        body = json.dumps(request).encode()
        answer = self._ask(line, "POST", "/chat/completions", body)
        markup = MarkupFilter()
        for chunk in _chunks(answer):
            if "error" in chunk:
                raise ModelError(f"the server at {self._host!r} failed: {_message(chunk)}")
            if not emit(markup.push(_text(chunk))):
                return
        emit(markup.finish())

    def _first_model(self) -> str:
        with closing(self._line()) as line:
            listed = json.load(self._ask(line, "GET", "/models"))
        if not listed.get("data"):
            raise ModelError(
                f"the server at {self._host!r} lists no model", "name the model to ask for"
            )
        return str(listed["data"][0]["id"])

    def _line(self) -> "_Line":
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return _Line(kind(self._host, self._port, timeout=_CONNECT_TIMEOUT_S), self._timeout_s)

    def _ask(
        self, line: "_Line", method: str, path: str, body: bytes | None = None
    ) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if key := os.environ.get(self._key_variable):
            headers["Authorization"] = f"Bearer {key}"
        answer = line.ask(method, self._base + path + self._query, body, headers)
        if answer.status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            raise NotAuthorized(
                f"the server at {self._host!r} refused the key ({answer.status})",
                f"put a key into {self._key_variable}",
            )
        if answer.status != http.HTTPStatus.OK:
            text = answer.read(_MOST_ERROR_BYTES).decode("utf-8", "replace")
            raise ModelError(
                f"the server at {self._host!r} answered {answer.status}: {_reason(text)}",
                f"is {self._base + path!r} the right address, and the model's name right",
            )
        return answer

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        """No exception of the standard library's client leaves this module."""
        try:
            yield
        except TimeoutError as exc:
            raise NetworkStalled(f"the server at {self._host!r} does not answer") from exc
        except ssl.SSLError as exc:
            raise ConnectionFailed(f"no secure connection to {self._host!r}: {exc.reason}") from exc
        except (OSError, http.client.HTTPException) as exc:
            raise ConnectionFailed(
                f"cannot talk to the server at {self._host!r}: {exc}", "is it running"
            ) from exc
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ModelError(
                f"the server at {self._host!r} does not speak chat completions: {exc!r}"
            ) from exc


class _Line:
    """One request and its answer; may be cut from another thread."""

    def __init__(self, connection: http.client.HTTPConnection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        # Kept apart: an answer that ends with the connection takes the socket away from it.
        self._socket: socket.socket | None = None
        self._answer: http.client.HTTPResponse | None = None

    def ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        self._connection.connect()
        self._socket = self._connection.sock
        self._socket.settimeout(self._timeout_s)
        self._connection.request(method, path, body, headers)
        self._answer = self._connection.getresponse()
        return self._answer

    def cut(self) -> None:
        """Wake a thread that waits for the server; that thread closes the line."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
        self._connection.close()


def _chunks(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The events of a stream; an answer that is not streamed counts as one."""
    if "text/event-stream" not in (answer.getheader("Content-Type") or ""):
        yield json.load(answer)
        return
    for line in answer:
        field, _, value = line.decode("utf-8", "replace").strip().partition(":")
        if field != "data":
            continue
        if value.strip() == "[DONE]":
            return
        yield json.loads(value)


def _text(chunk: dict[str, Any]) -> str:
    for choice in chunk.get("choices") or ():
        said = choice.get("delta") or choice.get("message") or {}
        return str(said.get("content") or "")
    return ""


def _message(problem: dict[str, Any]) -> str:
    error = problem["error"]
    return str(error.get("message") if isinstance(error, dict) else error)


def _reason(text: str) -> str:
    """The message of an error's body, else its beginning."""
    try:
        return _message(json.loads(text))
    except (ValueError, KeyError, TypeError):
        return " ".join(text.split())[:200] or "no reason given"
