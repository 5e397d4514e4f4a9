"""A headless chromium, driven through its own debugging protocol."""

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from floorlog.core.reading import Anomaly, Kind
from floorlog.core.series import SeriesKey

EVIL = "<img src=x onerror=alert(1)>"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio", "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """One page of the browser; calls from the test's thread, the socket in another."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **parameters: Any) -> Any:
        return self._browser.call(method, self._session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        said = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def open(self, url: str) -> None:
        """Go there and wait until the page is loaded."""
        self.evaluate("window.left = true")
        self.call("Page.navigate", url=url)
        self.until("!window.left && document.readyState === 'complete'")

    def until(self, expression: str, seconds: float = 30.0) -> Any:
        """Wait until the expression is true; returns its value."""
        deadline = time.monotonic() + seconds
        # What is found in the page comes as true: elements cannot leave it.
        asked = f"Promise.resolve({expression}).then((v) => (v instanceof Object ? true : v))"
        while not (value := self.evaluate(asked)):
            assert time.monotonic() < deadline, f"not so after {seconds} s: {expression}"
            time.sleep(0.05)
        return value

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37}.get(key, 0)
            if key == "Enter" and kind == "keyDown":
                text = {"text": "\r"}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text
            )

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the window, and the colour scheme that the viewer prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def faults(self) -> list[str]:
        """Errors of scripts and of the content security policy since the tab was opened."""
        return self._browser.faults.get(self._session, [])


class Browser:
    """The process and its one socket."""

    def __init__(self, program: str, directory: Path) -> None:
        self.faults: dict[str, list[str]] = {}
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={directory}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            address = self._address(directory / "DevToolsActivePort")
            self._socket = self._run(self._connect(address))
        except BaseException:
            self.close()
            raise

    def _address(self, file: Path) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            lines = file.read_text().splitlines() if file.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            time.sleep(0.05)
        raise AssertionError("chromium did not start")

    async def _connect(self, address: str) -> WebSocketClientConnection:
        return await websocket_connect(
            address, on_message_callback=self._hear, max_message_size=100 * 1024 * 1024
        )

    def _run(self, steps: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(steps, self._loop).result(30)

    def _hear(self, message: str | bytes | None) -> None:
        if message is None:
            return
        said = json.loads(message)
        if (waiting := self._waiting.pop(said.get("id", 0), None)) is not None:
            waiting.set_result(said)
        elif said.get("method") == "Runtime.exceptionThrown":
            details = said["params"]["exceptionDetails"]
            self.faults.setdefault(said["sessionId"], []).append(json.dumps(details))
        elif said.get("method") == "Log.entryAdded":
            entry = said["params"]["entry"]
            if entry["level"] == "error":
                self.faults.setdefault(said["sessionId"], []).append(entry["text"])

    async def _ask(self, number: int, message: dict[str, Any]) -> Any:
        answer = self._waiting[number] = self._loop.create_future()
        await self._socket.write_message(json.dumps({"id": number, **message}))
        return await answer

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        message: dict[str, Any] = {"method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        said = self._run(self._ask(next(self._numbers), message))
        assert "error" not in said, said
        return said["result"]

    def tab(self) -> Tab:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        return tab

    def close(self) -> None:
        """End the browser with all its processes."""
        if hasattr(self, "_socket"):
            self._loop.call_soon_threadsafe(self._socket.close)
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        time.sleep(0.1)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture(scope="session")
def browser(not_run: Callable[[str], NoReturn]) -> Iterator[Browser]:
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        not_run("needs chromium, to see the page as a person does")
    directory = Path(tempfile.mkdtemp(prefix="floorlog-browser-"))
    made = Browser(program, directory)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A tab in front: one behind others is not drawn."""
    tab = browser.tab()
    tab.call("Page.bringToFront")
    yield tab
    tab.call("Page.close")


@pytest.fixture
def shop(plant, page):
    """Four devices: as expected, too hot, in an abnormal state, and evil by name."""
    plant.catalogue(
        {
            "metrics": {
                "temperature": {"unit": "Cel", "limits": {"lo": 50, "hi": 90}, "interval_s": 1},
                "mode": {"states": ["running", "fault"], "abnormal": ["fault"]},
            }
        }
    )
    names = ["calm", "hot", "broken", EVIL]
    keys = [
        SeriesKey(name, metric, kind, unit, name)
        for name in names
        for metric, kind, unit in (
            ("temperature", Kind.NUMBER, "Cel"),
            ("mode", Kind.STATE, None),
        )
    ]
    plant.register(keys, ("running", "fault"))
    index, states = plant.table.index, plant.states
    at = time.time_ns() // 1000
    rows = []
    for name in names:
        rows.append((index[name, "temperature"], at, 95.0 if name == "hot" else 71.3))
        rows.append((index[name, "mode"], at, states["fault" if name == "broken" else "running"]))
    hot = index["hot", "temperature"]
    plant.commit(
        rows,
        (
            Anomaly(
                hot, "limit", "start", at, at, 3, 1.0, 95.0, 90.0, f"above the high limit {EVIL}"
            ),
        ),
    )
    return f"http://127.0.0.1:{page.port}"
