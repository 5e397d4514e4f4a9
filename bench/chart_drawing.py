"""What drawing charts costs a browser: `python bench/chart_drawing.py [--beside uPlot.js]`.

Twelve charts, the most that a page shows at once, of the most points that each gets (5,000 readings
or 800 buckets), drawn again each second as live pages do. CPU is that of all of Chromium's
processes; the same data goes through uPlot where its script is given.
"""

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "web"))
from browser.conftest import NAMES, Browser, Tab

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "src" / "floorlog" / "web" / "static"
CHARTS = 12
DRAWS = 20
SHAPES = {"readings": 5_000, "buckets": 800}


def browser_of(profile: Path) -> Browser:
    """A headless Chromium, driven as the tests of the page drive theirs."""
    program = next(found for name in NAMES if (found := shutil.which(name)))
    return Browser(program, profile)


class Folder(SimpleHTTPRequestHandler):
    """Static files, without a line for each."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def cpu_s(process: psutil.Process) -> float:
    """CPU of a process and all that it began."""
    spent = 0.0
    for one in [process, *process.children(recursive=True)]:
        times = one.cpu_times()
        spent += times.user + times.system
    return spent


def measure(
    tab: Tab,
    process: psutil.Process,
    rows: int,
    *,
    uplot: bool,
) -> dict[str, float]:
    """Milliseconds a draw of twelve charts: of the browser's CPU, and until the frame is there."""
    tab.evaluate(f"window.make({CHARTS}, {rows}, {json.dumps(uplot)})")
    tab.evaluate("window.draw(0), window.frame()")
    time.sleep(1)
    before = cpu_s(process)
    took = []
    for _ in range(DRAWS):
        took.append(
            tab.evaluate(
                "(async () => { const t = performance.now(); window.draw(1);"
                " await window.frame(); return performance.now() - t; })()"
            )
        )
        time.sleep(0.05)
    time.sleep(0.5)
    return {
        "cpu_ms_a_draw": round(1000 * (cpu_s(process) - before) / DRAWS, 1),
        "frame_ms_median": round(sorted(took)[DRAWS // 2], 1),
        "frame_ms_max": round(max(took), 1),
    }


def main() -> None:
    """Draw, and print what it cost as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, help="uPlot's script, to draw the same")
    beside = parser.parse_args().beside
    with tempfile.TemporaryDirectory() as name:
        served = Path(name) / "static"
        shutil.copytree(STATIC, served)
        script = "" if beside is None else '<script src="/uplot.js"></script>'
        if beside is not None:
            shutil.copy(beside, served / "uplot.js")
        shutil.copy(Path(__file__).with_suffix(".js"), served / "measure.js")
        page = f'<!doctype html>{script}<script type="module" src="/measure.js"></script><body>'
        (served / "measure.html").write_text(page)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Folder, directory=str(served)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = browser_of(Path(name) / "profile")
        process = psutil.Process(browser.pid)
        found: dict[str, Any] = {}
        try:
            tab = browser.tab()
            tab.size(1280, 2_400)
            tab.open(f"http://127.0.0.1:{server.server_address[1]}/measure.html")
            tab.until("window.ready")
            for shape, rows in SHAPES.items():
                found[f"own, {shape}"] = measure(tab, process, rows, uplot=False)
                if beside is not None:
                    found[f"uPlot, {shape}"] = measure(tab, process, rows, uplot=True)
        finally:
            browser.close()
            server.shutdown()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
