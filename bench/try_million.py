"""How long `floorlog try` takes for a million readings, the stream server's limits on.

    python bench/try_million.py [--shape many|one] [--rounds N]

Makes a CSV of 1,000,000 readings in a temporary directory (many: 100 devices, one value a row, as
a historian exports; one: a single device with four values a row), runs `floorlog try --once
--json` on it and checks that exactly a million were stored. Prints one JSON object: seconds from
the command's start to its end, what `try` itself counted, and CPU seconds by process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import psutil

READINGS = 1_000_000
DEVICES = 100
METRICS = 4
T0_S = 1_767_225_600
SAMPLE_SECONDS = 0.1


def clock(second: int) -> str:
    """A time as RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(T0_S + second))


def many(file: TextIO) -> None:
    """Write rows of time, device, metric and value: 100 devices take turns."""
    file.write("time,device,metric,value\n")
    for n in range(READINGS // DEVICES):
        at = clock(n)
        file.writelines(
            f"{at},press-{d:03d},temperature,{60 + d / 10 + (n * 7919 + d * 31) % 1009 / 500:.3f}\n"
            for d in range(DEVICES)
        )


def one(file: TextIO) -> None:
    """Write rows of time and four values of one device, ten a second."""
    file.write("time,temperature,pressure,current,speed\n")
    for n in range(READINGS // METRICS):
        at = clock(n // 10)[:-1] + f".{n % 10}Z"
        noise = (n * 7919) % 1009 / 500
        file.write(f"{at},{60 + noise:.3f},{5 + noise / 10:.4f},{12 - noise:.3f},{1450 + n % 17}\n")


SHAPES: dict[str, Callable[[TextIO], None]] = {"many": many, "one": one}


def name_of(process: psutil.Process) -> str:
    """What a process is, in one word."""
    words = process.cmdline()
    if not words:
        return ""  # it is just ending
    if "floorlog.local.kinesis" in words:
        return "stream"
    if "floorlog" in words:
        return words[words.index("floorlog") + 1]
    return process.name().split(":")[0]


class Account:
    """CPU seconds of a process and all below it, by what they are."""

    def __init__(self, pid: int) -> None:
        """Begin to look, ten times a second."""
        self._seen: dict[tuple[int, float], tuple[str, float]] = {}
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> dict[str, float]:
        """Stop looking; seconds by name."""
        self._done.set()
        self._thread.join()
        found: dict[str, float] = {}
        for name, seconds in self._seen.values():
            found[name] = found.get(name, 0.0) + seconds
        return {name: round(seconds, 2) for name, seconds in sorted(found.items())}

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            try:
                family = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                continue
            for process in family:
                try:
                    times = process.cpu_times()
                    key = (process.pid, process.create_time())
                    before, _ = self._seen.get(key, ("", 0.0))
                    name = name_of(process) or before
                    self._seen[key] = (name, times.user + times.system)
                except (psutil.Error, ValueError, IndexError):
                    continue


def run(path: Path) -> dict[str, object]:
    """One `try`, from its start to its end."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "floorlog", "try", str(path), "--once", "--json"],
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    account = Account(process.pid)
    out, err = process.communicate(timeout=600)
    seconds = time.monotonic() - began
    cpu = account.end()
    if process.returncode != 0:
        sys.exit(err)
    found = json.loads(out)
    if (found["received"], found["stored"]) != (READINGS, READINGS):
        sys.exit(f"not all was stored: {out}")
    return {"seconds": round(seconds, 2), "cpu_seconds": cpu, "said": found}


def main() -> None:
    """Measure some rounds of a shape and print them with their median."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--shape", choices=sorted(SHAPES), default="many")
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="floorlog-million-") as name:
        path = Path(name) / f"{chosen.shape}.csv"
        with path.open("w") as file:
            SHAPES[chosen.shape](file)
        rounds = [run(path) for _ in range(chosen.rounds)]
        size_mib = round(path.stat().st_size / (1 << 20), 1)
    median = statistics.median(float(str(each["seconds"])) for each in rounds)
    print(
        json.dumps(
            {"shape": chosen.shape, "file_mib": size_mib, "seconds": median, "rounds": rounds}
        )
    )


if __name__ == "__main__":
    main()
