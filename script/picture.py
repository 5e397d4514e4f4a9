"""Takes the pictures of the pages that README and docs show: `python script/picture.py`.

Runs `up` with its demo plant in a directory of its own, opens the page in Chromium, and waits until
the plant's faults are on it.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

DOCS = Path(__file__).parent.parent / "docs"
SERIES = "press-001%09temperature%0Apress-001%09pressure%0Apress-001%09status"
FIRST = "the first device of the overview, which is one with a finding"
PICTURES = {
    "page.png": "",
    "alarms.png": "alarms",
    "device.png": FIRST,
    "explore.png": f"explore#series={SERIES}",
    "record.png": "record",
    "import.png": "import",
    "audit.png": "audit",
    "catalogue.png": "catalogue",
}
# What is done on a page before its picture is taken, and for how long that is waited for.
ACTS = {
    "import.png": ("""
        const rows = ["Zeit;Maschine;Temp [°C];Druck (bar);Status"];
        const two = (n) => String(n).padStart(2, "0");
        for (let n = 0; n < 900; n += 1) {
          const clock = `01.11.2026 06:${two(Math.floor(n / 60))}:${two(n % 60)}`;
          const values = `${70 + n % 13},${n % 10};${3 + n % 7},25;${n % 50 ? "running" : "idle"}`;
          rows.push(`${clock};oven-${900 + n % 2};${values}`);
        }
        rows[7] = rows[7].replace("2026", "2099");
        const given = new DataTransfer();
        given.items.add(new File([rows.join("\\n")], "line 3, October.csv"));
        document.getElementById("file").files = given.files;
        document.getElementById("file").dispatchEvent(new Event("change"));
        const begin = setInterval(() => {
          if (document.getElementById("dry").hidden) return;
          clearInterval(begin);
          document.getElementById("rehearse").click();
          setTimeout(() => document.getElementById("layout-title").scrollIntoView(), 4000);
        }, 200);
    """, 9),
    "audit.png": ("""
        document.getElementById("verify-now").click();
        const form = document.getElementById("asof").elements;
        form.device.value = "press-001";
        form.metric.value = "temperature";
        form.moment.value = form.to.value;
        form.moment.stepDown(20);
        document.querySelector("#asof button").click();
    """, 8),
    "catalogue.png": ("""
        const text = document.getElementById("body");
        text.value = text.value.replaceAll('"hi": 9,', '"hi": 7,');
        text.dispatchEvent(new Event("input"));
        document.getElementById("try").click();
        setTimeout(() => document.getElementById("try-title").scrollIntoView(), 15000);
    """, 20),
}  # fmt: skip
SETTLE_SECONDS = 3
WIDTH, HEIGHT = 1280, 900
PLANT_SECONDS = 210  # until faults have been injected, and trends show more than a moment
START_SECONDS_MAX = 60
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-port=0", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}",
)  # fmt: skip


async def ask(
    page: WebSocketClientConnection, number: int, method: str, **given: object
) -> dict[str, Any]:
    """One command of the Chrome DevTools Protocol, and its result."""
    await page.write_message(json.dumps({"id": number, "method": method, "params": given}))
    while True:
        message = await page.read_message()
        if message is None:
            raise RuntimeError("the browser ended")
        answer = json.loads(message)
        if answer.get("id") == number:
            result: dict[str, Any] = answer["result"]
            return result


def find_page(profile: Path) -> str:
    """Where the browser's empty page takes commands."""
    ready = profile / "DevToolsActivePort"
    deadline = time.monotonic() + START_SECONDS_MAX
    while not ready.exists() or not ready.read_text().strip():
        if time.monotonic() > deadline:
            raise RuntimeError("the browser did not start")
        time.sleep(0.2)
    port = ready.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
        pages = [one for one in json.load(answer) if one["type"] == "page"]
    found: str = pages[0]["webSocketDebuggerUrl"]
    return found


async def take(debugger: str, address: str) -> dict[str, bytes]:
    """A PNG of each page, once the plant has run long enough."""
    page = await websocket_connect(debugger, max_message_size=64 * 1024 * 1024)
    size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    await ask(page, 1, "Emulation.setDeviceMetricsOverride", **size)
    await ask(page, 2, "Page.navigate", url=address)
    await asyncio.sleep(PLANT_SECONDS)
    link = "document.querySelector(\"a[href^='/device?name=']\").getAttribute('href').slice(1)"
    first = await ask(page, 900, "Runtime.evaluate", expression=link)
    places = {**PICTURES, "device.png": str(first["result"]["value"])}
    found = {}
    for number, (name, path) in enumerate(places.items()):
        if path:
            await ask(page, 3 * number, "Page.navigate", url="about:blank")
            await ask(page, 3 * number + 1, "Page.navigate", url=address + path)
            await asyncio.sleep(SETTLE_SECONDS)
        if name in ACTS:
            script, seconds = ACTS[name]
            expression = f"(() => {{ {script} }})()"
            await ask(page, 1_000 + number, "Runtime.evaluate", expression=expression)
            await asyncio.sleep(seconds)
        shot = await ask(page, 3 * number + 2, "Page.captureScreenshot", format="png")
        found[name] = base64.b64decode(shot["data"])
    return found


def main() -> None:
    """Start the plant and the browser, take the pictures, end both."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="floorlog-picture-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        environment = {**os.environ, "FLOORLOG_WEB_PORT": "0"}
        up = subprocess.Popen(
            [sys.executable, "-m", "floorlog", "up", "--data", str(directory / "data")],
            env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert up.stdout is not None
        address = next(
            word.rstrip(";,") for line in up.stdout for word in line.split() if "http://" in word
        )
        profile = directory / "profile"
        browser = subprocess.Popen(
            [chromium, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.DEVNULL,
        )
        try:
            found = asyncio.run(take(find_page(profile), address))
        finally:
            browser.terminate()
            browser.wait(10)
            up.terminate()
            up.wait(30)
    for picture, content in found.items():
        (DOCS / picture).write_bytes(content)
        print(f"{picture}: {len(content) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
