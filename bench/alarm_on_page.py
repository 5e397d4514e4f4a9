"""How long from a bad reading's PutRecord to its alarm on the page that an operator looks at.

    python bench/alarm_on_page.py [--faults 100] [--seed 1]

Runs `up` with its demo plant, opens the alarm list in Chromium, and sends single bad readings at
random moments to 100 series of 25 devices of its own: beyond a limit, too fast, in an abnormal
state, out of range; meanwhile all of them send what is usual each second. The page itself notes
when an alarm turned unacknowledged (same clock). Prints one JSON object: faults, series, detectors,
`seen`, and p50, p95, p99 and max in ms. 100 faults in a minute are a storm: the alarm budget is
switched off, else what it groups at once is not on the list of those that stand. Ends by itself.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from first_minute import Up

from floorlog.local.services import REGION, STREAM_NAME, running

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "web"))
from browser.conftest import Browser, Tab

DEVICES = 25
USUAL: dict[str, Any] = {"level": 50.0, "flow": 10.0, "mode": "running", "tank": 40.0}
BAD: dict[str, Any] = {"level": 95.0, "flow": 60.0, "mode": "fault", "tank": 140.0}
EXPECTED = {
    "level": {"limits": {"hi": 90}},
    "flow": {"rate_per_s": 5},
    "mode": {"states": ["running", "fault"], "abnormal": ["fault"]},
    "tank": {"range": {"lo": 0, "hi": 100}},
}
BAD_SECONDS = 2.0
REST_SECONDS = 120.0  # a series is left alone so long: findings end some time after the fault
LATE_SECONDS = 20.0
WATCH = """
window.turned = [];
{
  const states = new Map();
  const look = () => {
    for (const row of document.querySelectorAll('#alarms tbody tr')) {
      const text = (part) => row.querySelector(part).textContent;
      const [name, state] = [text('a') + ' ' + text('.metric'), text('.state')];
      if (states.get(name) !== state && state === 'unacknowledged') {
        window.turned.push([name, Date.now()]);
      }
      states.set(name, state);
    }
  };
  look();
  new MutationObserver(look).observe(document.querySelector('#alarms tbody'),
    { subtree: true, childList: true, characterData: true });
}
"""


class Plant:
    """Devices of four metrics, whose readings are sent one by one."""

    def __init__(self, data: Path, address: str) -> None:
        """Tell the catalogue what is expected of them."""
        self._kinesis = boto3.client(
            "kinesis", endpoint_url=running(data).kinesis_endpoint, region_name=REGION,
            aws_access_key_id="local", aws_secret_access_key="local",
        )  # fmt: skip
        with urllib.request.urlopen(f"{address}api/v1/catalogue") as answer:
            catalogue = json.load(answer)
        for n in range(DEVICES):
            catalogue["body"].setdefault("devices", {})[f"probe-{n}"] = {"metrics": EXPECTED}
        body = {"version": catalogue["version"], "body": catalogue["body"]}
        request = urllib.request.Request(
            f"{address}api/v1/catalogue", json.dumps(body).encode(), method="PUT",
            headers={"Content-Type": "application/json", "Origin": address.rstrip("/")},
        )  # fmt: skip
        urllib.request.urlopen(request).close()
        self._now = {f"probe-{n}": dict(USUAL) for n in range(DEVICES)}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._hum = threading.Thread(target=self._tick, daemon=True)
        self._hum.start()

    def close(self) -> None:
        """Send nothing any more."""
        self._ended.set()
        self._hum.join()

    def _tick(self) -> None:
        """Each second everything as it stands."""
        while not self._ended.wait(1.0):
            with self._lock:
                self._kinesis.put_records(
                    StreamName=STREAM_NAME,
                    Records=[
                        {"Data": _frame(device, values), "PartitionKey": device}
                        for device, values in self._now.items()
                    ],
                )

    def send(self, device: str, values: dict[str, Any]) -> float:
        """One record; returns when it was handed over, s since 1970."""
        with self._lock:
            self._now[device].update(values)
            now = time.time()
            self._kinesis.put_record(
                StreamName=STREAM_NAME, Data=_frame(device, values), PartitionKey=device
            )
        return now


def _frame(device: str, values: dict[str, Any]) -> bytes:
    content = {"device_id": device, "ts": int(time.time() * 1000), "values": values}
    return json.dumps(content).encode()


def strike(plant: Plant, faults: int, chance: random.Random) -> list[tuple[str, str, float]]:
    """Send the faults; returns device, metric and moment of each."""
    series = [(f"probe-{n}", metric) for n in range(DEVICES) for metric in USUAL]
    time.sleep(5)
    sent: list[tuple[str, str, float]] = []
    mending: list[tuple[float, str, str]] = []
    free_at = dict.fromkeys(series, 0.0)
    while len(sent) < faults or mending:
        now = time.time()
        for due in [one for one in mending if one[0] <= now]:
            mending.remove(due)
            plant.send(due[1], {due[2]: USUAL[due[2]]})
        ready = [one for one in series if free_at[one] <= now]
        if len(sent) < faults and ready:
            device, metric = chance.choice(ready)
            sent.append((device, metric, plant.send(device, {metric: BAD[metric]})))
            free_at[device, metric] = now + REST_SECONDS
            mending.append((now + BAD_SECONDS, device, metric))
        time.sleep(chance.uniform(0.15, 0.75))
    return sent


def compare(sent: list[tuple[str, str, float]], turned: list[tuple[str, float]]) -> dict[str, Any]:
    """The waits in ms, and by how many kinds of detectors they were ended."""
    waits, detectors = [], set()
    by_metric: dict[str, list[float]] = {}
    for device, metric, at in sent:
        found = [
            (moment / 1000 - at, name)
            for name, moment in turned
            if name.startswith(f"{device} {metric} ")
            and -0.01 <= moment / 1000 - at < BAD_SECONDS + 3
        ]
        if found:
            wait, name = min(found)
            waits.append(wait * 1000)
            by_metric.setdefault(metric, []).append(wait * 1000)
            detectors.add(name.rsplit(" ", 1)[1])
    waits.sort()
    at = statistics.quantiles(waits, n=100, method="inclusive") if len(waits) > 1 else [0.0] * 99
    return {
        "faults": len(sent),
        "series": len({one[:2] for one in sent}),
        "detectors": sorted(detectors),
        "seen": len(waits),
        "p50_and_max_ms": {
            metric: [round(statistics.median(some)), round(max(some))]
            for metric, some in sorted(by_metric.items())
        },
        "p50_ms": round(at[49]), "p95_ms": round(at[94]), "p99_ms": round(at[98]),
        "max_ms": round(waits[-1]) if waits else None,
    }  # fmt: skip


def measure(up: Up, data: Path, tab: Tab, faults: int, seed: int) -> dict[str, Any]:
    """The whole of it, while `up` runs."""
    plant = Plant(data, up.address)
    tab.size(1440, 900)
    tab.open(up.address + "alarms")
    tab.until("document.getElementById('link').dataset.state === 'live'")
    tab.evaluate(WATCH)
    sent = strike(plant, faults, random.Random(seed))
    time.sleep(LATE_SECONDS / 4)
    plant.close()
    turned = tab.evaluate("window.turned")
    return {**compare(sent, [tuple(one) for one in turned]), "faults_of_the_page": tab.faults()}


def main() -> int:
    """Measure once and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="floorlog-alarm-") as name:
        place = Path(name)
        place.chmod(0o755)
        os.environ["FLOORLOG_ALARM_BUDGET"] = "0"
        up = Up(place / "data")
        try:
            if not up.runs.wait(60) or not up.address:
                sys.exit("`floorlog up` did not start")
            browser = Browser(program, place / "profile")
            try:
                tab = browser.tab()
                tab.call("Page.bringToFront")
                found = measure(up, place / "data", tab, chosen.faults, chosen.seed)
            finally:
                browser.close()
        finally:
            up.end()
    print(json.dumps(found))
    return 0 if found["seen"] == found["faults"] else 1


if __name__ == "__main__":
    sys.exit(main())
