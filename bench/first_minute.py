"""How long a person waits at the first start: from `floorlog up` to live values on the page.

    python bench/first_minute.py [--seconds-max 60]

A fresh data directory, the demo plant, any free ports. Prints one JSON object, in seconds since
the command began: `page` (it answers), `first_live` (a value came as a server-sent event, after
the page had its first state), `all_series` (each series has a value, but for a device that the
plant keeps silent), and when each service was ready. Ends by itself.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SERIES = 900 - 2 * 3  # the plant keeps a device silent for two minutes now and then
SAID = "Floorlog runs: "


class Up:
    """A `floorlog up` in a directory of its own, whose lines are read with their times."""

    def __init__(self, data: Path) -> None:
        """Start it; the clock begins here."""
        self.began = time.monotonic()
        self.address = ""
        self.ready: dict[str, float] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "floorlog", "up", "--data", str(data), "--port", "0"],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.runs = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def passed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def end(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if ": ready after" in line:
                self.ready.setdefault(line.split(":")[0], round(self.passed(), 2))
            if line.startswith(SAID):
                self.address = line.removeprefix(SAID).split(";")[0]
                self.runs.set()
        self.runs.set()


def events(answer: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """The server-sent events of an answer."""
    kind = ""
    for raw in answer:
        field, _, text = raw.decode().rstrip("\n").partition(": ")
        if field == "event":
            kind = text
        elif field == "data":
            yield kind, json.loads(text)


def watch(up: Up, seconds_max: float) -> dict[str, float | None]:
    """Open the page as a browser does, and wait for its values."""
    found: dict[str, float | None] = {"page": None, "first_live": None, "all_series": None}
    host = urlsplit(up.address).netloc
    connection = HTTPConnection(host, timeout=seconds_max)
    connection.request("GET", "/")
    assert b"<html" in connection.getresponse().read().lower()
    found["page"] = round(up.passed(), 2)
    connection.request("GET", "/api/v1/live")
    seen: set[int] = set()
    for kind, content in events(connection.getresponse()):
        rows = content if kind == "values" else content["values"] if kind == "board" else []
        if kind == "values" and found["first_live"] is None:
            found["first_live"] = round(up.passed(), 2)
        seen.update(row[0] for row in rows)
        if len(seen) >= SERIES:
            found["all_series"] = round(up.passed(), 2)
        if None not in found.values() or up.passed() > seconds_max:
            break
    connection.close()
    return found


def main() -> int:
    """Measure once and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds-max", type=float, default=60.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="floorlog-first-") as name:
        Path(name).chmod(0o755)
        up = Up(Path(name) / "data")
        try:
            if not up.runs.wait(chosen.seconds_max) or not up.address:
                print(json.dumps({"page": None, "ready": up.ready}))
                return 1
            found = watch(up, chosen.seconds_max)
        finally:
            up.end()
    print(json.dumps({**found, "ready": up.ready}))
    return 0 if None not in found.values() else 1


if __name__ == "__main__":
    sys.exit(main())
