"""A real browser without a window, driven by the Chrome DevTools protocol over a WebSocket."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE_S = 20.0


def find_browser() -> str | None:
    """The program of a Chromium: named by `CHROMIUM`, or on the path."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page in a browser of its own, with a profile that is thrown away.

    Args:
        program: of the browser.
        folder: for the profile.
        width: of the page, in CSS pixels.
        height: of the page.
    """

    def __init__(self, program: str, folder: Path, width: int = 1000, height: int = 900) -> None:
        self.messages: list[str] = []
        "What the console said, and what the page threw."
        self.requests: list[str] = []
        "URLs that were asked for, except those of the page itself."
        self._numbers = itertools.count(1)
        profile = folder / "profile"
        # No sandbox: tests run as root in containers. Nothing but our own page is opened.
        self._process = subprocess.Popen(
            [
                program, "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
                "--disable-background-networking", "--disable-component-update",
                "--remote-debugging-port=0", f"--user-data-dir={profile}",
                f"--window-size={width},{height}", "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._closing = ExitStack()
        try:
            self._socket = self._attached(profile / "DevToolsActivePort")
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            self.resize(width, height)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closing.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; what happens meanwhile is noted."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(_PATIENCE_S))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        done = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Ask until it is true."""
        ends_at = time.monotonic() + _PATIENCE_S
        while not self.evaluate(expression):
            assert time.monotonic() < ends_at, f"never true: {expression}"

    def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse."""
        place = self.evaluate(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect();"
            " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind, x=place[0], y=place[1], button="left", clickCount=1,
            )  # fmt: skip

    def press(self, key: str, text: str = "") -> None:
        """Press and release a key, named as in `KeyboardEvent.key`."""
        typed = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **typed)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def resize(self, width: int, height: int, ratio: float = 1.0) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=ratio, mobile=False,
        )  # fmt: skip

    def use_scheme(self, scheme: str) -> None:
        """Let the system be `light` or `dark`."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path) -> None:
        shot = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled":
                said = [str(one.get("value", one)) for one in parameters["args"]]
                self.messages.append(" ".join(said))
            case "Runtime.exceptionThrown":
                self.messages.append(json.dumps(parameters["exceptionDetails"]))
            case "Log.entryAdded":
                self.messages.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                if not url.startswith(("blob:", "data:")) and parameters["type"] != "Document":
                    self.requests.append(url)

    def _attached(self, port_file: Path) -> ClientConnection:
        ends_at = time.monotonic() + _PATIENCE_S
        while True:
            assert self._process.poll() is None, "the browser did not start"
            assert time.monotonic() < ends_at, "the browser opened no port"
            try:
                port = port_file.read_text().splitlines()[0]
                with connect(f"ws://127.0.0.1:{port}{self._path(port_file)}") as browser:
                    browser.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
                    targets = json.loads(browser.recv(5))["result"]["targetInfos"]
                page = next(one for one in targets if one["type"] == "page")
            except (OSError, IndexError, StopIteration):
                time.sleep(0.02)
                continue
            address = f"ws://127.0.0.1:{port}/devtools/page/{page['targetId']}"
            return self._closing.enter_context(connect(address, max_size=None))

    def _path(self, port_file: Path) -> str:
        return port_file.read_text().splitlines()[1]
