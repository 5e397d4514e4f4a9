"""What the page's long work takes, and whether live values wait: `python bench/page_work.py`.

Runs `up` with its demo plant (900 readings a second), sends a table of a million readings through
the page's own API (look, dry run, import, import again, verification, export of two devices,
back-test of the plant's last minutes), and asks for all last values ten times a second meanwhile.
Prints one JSON object: seconds, counts, and the waits for last values in ms. Ends by itself.
"""

import json
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from first_minute import Up

ROWS = 250_000
PIECE_BYTES = 2 << 20


class Page:
    """The page's API."""

    def __init__(self, address: str) -> None:
        self.address = f"{address}api/v1/"

    def ask(
        self, method: str, path: str, content: object = None, data: bytes | None = None
    ) -> dict[str, Any]:
        """One request; JSON, or bytes where `data` is given."""
        kind = "application/json" if data is None else "application/octet-stream"
        if content is not None:
            data = json.dumps(content).encode()
        request = urllib.request.Request(
            self.address + path, data, {"Content-Type": kind}, method=method
        )
        with urllib.request.urlopen(request) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def send(self, text: bytes) -> str:
        """A file in pieces; returns its name."""
        upload = self.ask("POST", "uploads", {"name": "big.csv", "size_bytes": len(text)})["upload"]
        for at in range(0, len(text), PIECE_BYTES):
            piece = text[at : at + PIECE_BYTES]
            self.ask("PUT", f"uploads/{upload}?at={at}", data=piece)
        return str(upload)

    def work(self, path: str, content: object) -> dict[str, Any]:
        """A job to its end; returns its result."""
        job = self.ask("POST", path, content)
        while job["state"] == "running":
            time.sleep(0.2)
            job = self.ask("GET", f"jobs/{job['job']}")
        assert job["state"] == "done", job
        found: dict[str, Any] = job["result"]
        return found


class Beside:
    """Asks for all last values ten times a second, as long as it is not told to end."""

    def __init__(self, address: str) -> None:
        self._address = f"{address}api/v1/last"
        self._waits: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            began = time.monotonic()
            with urllib.request.urlopen(self._address) as answer:
                answer.read()
            self._waits.append(1000 * (time.monotonic() - began))

    def take(self) -> dict[str, float]:
        """The waits since asked last, ms."""
        waits, self._waits = sorted(self._waits), []
        if not waits:
            return {}
        return {
            name: round(waits[int(share * (len(waits) - 1))], 1)
            for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("max_ms", 1.0))
        }

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join()


def table() -> bytes:
    """A million readings of ten machines with four metrics."""
    lines = ["time,device,temperature,pressure,flow,speed"]
    for n in range(ROWS):
        at = 1_767_225_600 + n // 10
        values = f"{60 + n % 97 / 10},{3 + n % 31 / 10},{10 + n % 13},{1000 + n % 211}"
        lines.append(f"{at}.0,m-{n % 10},{values}")
    return "\n".join(lines).encode()


def run(address: str) -> dict[str, Any]:
    """Each kind of work once, and what came of it."""
    page, beside = Page(address), Beside(address)
    time.sleep(5)
    found: dict[str, Any] = {"idle": beside.take()}
    upload = page.send(table())
    layout = page.work("imports/look", {"upload": upload})["layout"]
    body = {"upload": upload, "layout": layout}
    now = time.time_ns() // 1000
    catalogue = page.ask("GET", "catalogue")["body"]
    asks: list[tuple[str, str, dict[str, Any]]] = [
        ("dry run", "imports/rehearsal", body),
        ("import", "imports", body),
        ("import again", "imports", body),
        ("verify", "verifications", {}),
        ("export of two devices", "exports", {"devices": ["m-0", "m-1"]}),
        ("back-test of 10 minutes", "backtests",
         {"body": catalogue, "begin": now - 600 * 10**6, "end": now}),
    ]  # fmt: skip
    beside.take()
    for name, path, content in asks:
        began = time.monotonic()
        result = page.work(path, content)
        seconds = round(time.monotonic() - began, 1)
        kept = ("readings", "sent", "taken", "ok", "size_bytes", "rows")
        counts = {key: result[key] for key in kept if key in result}
        found[name] = {"seconds": seconds, **counts, "last values": beside.take()}
    beside.end()
    return found


def main() -> None:
    """Run it, and print what was measured."""
    with tempfile.TemporaryDirectory(prefix="floorlog-bench-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        up = Up(directory / "data")
        try:
            assert up.runs.wait(60)
            time.sleep(30)
            print(json.dumps(run(up.address), indent=1))
        finally:
            up.end()


if __name__ == "__main__":
    main()
