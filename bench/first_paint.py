"""How long each page takes to its first paint in Chromium, over a record of many readings.

    python bench/first_paint.py [--readings 10000000] [--series 300]

Stores and seals the readings, one a second of each series up to now, starts the page, and opens
every page that the page's own menu leads to, and a device's, some times each: the first time with
an empty browser cache. Prints one JSON object: by page, ms from the navigation to the first
contentful paint (median and most), and until the last answer of what it asked for had come. Ends
by itself.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import charts

from floorlog.local.supervisor import Supervisor
from floorlog.local.up import add_page
from floorlog.store.migrate import KEEPER, LOGIN_ROLES, WRITER, migrate

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "web"))
from browser.conftest import Browser, Tab

OPENED = 7
SETTLE_SECONDS = 2.0
BATCH_SECONDS = 60
PAINT = "performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)[0]"
ANSWERED = """Math.max(0, ...performance.getEntriesByType('resource')
  .filter((e) => !e.name.includes('/live')).map((e) => e.responseEnd))"""
MENU = "[...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))"


def opened(tab: Tab, url: str) -> tuple[float, float]:
    """Ms to the first contentful paint, and to the end of the last answer."""
    tab.open(url)
    tab.until(f"{PAINT} > 0")
    time.sleep(SETTLE_SECONDS)
    return float(tab.evaluate(PAINT)), float(tab.evaluate(ANSWERED))


def measure(tab: Tab, address: str) -> dict[str, Any]:
    """Every page."""
    tab.size(1440, 900)
    tab.open(address)
    tab.until("document.querySelectorAll('nav a').length > 2")
    paths = dict.fromkeys(path for path in tab.evaluate(MENU) if path.startswith("/"))
    found = {}
    for path in [*paths, "/device?name=press-0"]:
        tab.call("Network.clearBrowserCache")
        times = [opened(tab, address.rstrip("/") + path) for _ in range(OPENED)]
        paints, answers = zip(*times, strict=True)
        found[path] = {
            "first": round(paints[0]),
            "median": round(statistics.median(paints)),
            "most": round(max(paints)),
            "answered_median": round(statistics.median(answers)),
            "answered_most": round(max(answers)),
        }
    return {"paint_ms": found, "faults_of_the_page": tab.faults()}


def main() -> None:
    """Make the record, look, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--readings", type=int, default=10_000_000)
    parser.add_argument("--series", type=int, default=300)
    asked = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="floorlog-paint-") as name:
        place = Path(name)
        place.chmod(0o755)
        supervisor = Supervisor(place / "data")
        with supervisor as services:
            passwords = {role: services.postgres.password(role) for role in LOGIN_ROLES}
            migrate(services.postgres_dsn(), passwords=passwords)
            dsn, began = services.postgres_dsn, time.monotonic()
            seconds = charts.fill(
                dsn(WRITER), dsn(KEEPER), asked.readings,
                series=asked.series, batch_s=BATCH_SECONDS, end=time.time_ns() // 1000,
            )  # fmt: skip
            print(f"stored and sealed in {time.monotonic() - began:.0f} s", file=sys.stderr)
            address = add_page(supervisor, services, 0).removeprefix(": ")
            browser = Browser(program, place / "profile")
            try:
                tab = browser.tab()
                tab.call("Page.bringToFront")
                found = measure(tab, address)
            finally:
                browser.close()
    stored = seconds * asked.series
    print(
        json.dumps({"readings": stored, "series": asked.series, "hours": seconds / 3600, **found})
    )


if __name__ == "__main__":
    main()
