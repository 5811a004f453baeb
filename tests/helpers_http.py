"""A real HTTP server on loopback that answers as it is told: well, badly, slowly, or half."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    path: str
    key: str | None
    content_type: str
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def form(self) -> dict[str, bytes]:
        """The fields of a multipart form, by name."""
        head = f"Content-Type: {self.content_type}\r\n\r\n".encode()
        parts = BytesParser(policy=HTTP).parsebytes(head + self.body).iter_parts()
        return {
            str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
            for part in parts
        }


Answerer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One connection; an answerer uses the methods below."""

    protocol_version = "HTTP/1.1"
    owner: HttpServer

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body: bytes) -> None:
        kind = self.headers["Content-Type"] or ""
        asked = Asked(self.path, self.headers["Authorization"], kind, body)
        self.owner.asked.append(asked)
        self.owner.arrived.set()
        try:
            self.owner.answer_to(self.path)(self)
        except OSError:
            self.close_connection = True

    def whole(
        self, body: bytes, kind: str = "application/json", *, status: int = 200, missing: int = 0
    ) -> None:
        """A body of known length; with `missing` bytes fewer than were promised."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def chunks(self, pieces: Iterable[bytes], kind: str, *, dies: bool = False) -> None:
        """A body in pieces; one that `dies` ends without its last one."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        if not dies:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class HttpServer:
    """Serves while its block lasts.

    Args:
        port: 0 takes a free one.
        answers: what answers a request, by the last word of its path.
    """

    def __init__(self, port: int = 0, **answers: Answerer) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self.arrived = threading.Event()
        self.gate = threading.Event()
        "Answerers may wait for it; set at the end."
        handler = type("OwnHandler", (Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def answer_to(self, path: str) -> Answerer:
        name = path.partition("?")[0].rpartition("/")[2]
        return self.answers.get(
            name, lambda handler: handler.whole(b"no", "text/plain", status=404)
        )

    def last(self, path: str) -> Asked:
        return [one for one in self.asked if one.path.endswith(path)][-1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


def models(*names: str) -> Answerer:
    listed = json.dumps({"data": [{"id": name} for name in names]}).encode()
    return lambda handler: handler.whole(listed)


def events(*chunks: object, done: bool = True, dies: bool = False) -> Answerer:
    """A stream of server-sent events."""
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    if done:
        lines.append(b"data: [DONE]\n\n")
    return lambda handler: handler.chunks(lines, "text/event-stream", dies=dies)


def said(content: str | None = None, *, finish: str | None = None, **delta: object) -> object:
    """A chunk of a chat completion."""
    shown = ({} if content is None else {"content": content}) | delta
    return {"choices": [{"index": 0, "delta": shown, "finish_reason": finish}]}


def refused(status: int, message: str) -> Answerer:
    body = json.dumps({"error": {"message": message}}).encode()
    return lambda handler: handler.whole(body, status=status)


def silent(handler: Handler) -> None:
    """Says nothing until the end."""
    handler.owner.gate.wait(10)
