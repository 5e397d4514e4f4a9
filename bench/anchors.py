"""How long a stored reading waits for its seal, what lies outside, and what a drill takes.

    python bench/anchors.py [--seconds 100]

Runs `floorlog up` with its demo plant and settings as they are, asks `floorlog verify` again and
again for the oldest entry that nothing outside vouches for, and then has one drill carried out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

READY_SECONDS = 120.0


def clean_environment() -> dict[str, str]:
    """The environment without any setting of Floorlog's or AWS's."""
    prefixes = ("FLOORLOG_", "AWS_", "KINESIS_", "REDIS_", "DB_SECRET")
    return {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}


def floorlog(*arguments: str) -> dict:
    """A command's JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "floorlog", *arguments, "--json"],
        env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not done.stdout:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def keeper_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The keeper among the processes that `up` started."""
    return next(
        one for one in psutil.Process(process.pid).children(recursive=True)
        if one.cmdline()[-1:] == ["keeper"]
    )  # fmt: skip


def measure(data: Path, process: subprocess.Popen[bytes], seconds: float) -> dict:
    """Ages of the oldest unanchored entry, and what was put outside meanwhile."""
    keeper = keeper_of(process)
    before = keeper.cpu_times()
    ages, speeds, deadline = [], [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = floorlog("verify", "--data", str(data))
        assert found["ok"], found["wrong"]
        ages.append(found["unanchored_seconds"])
        speeds.append(found["readings_per_core_second"])
        time.sleep(1)
    spent = keeper.cpu_times()
    files = [path for path in (data / "anchors").rglob("*") if path.is_file()]
    size = max(int(path.stem) for path in files if path.suffix == ".note")
    return {
        "looks": len(ages),
        "unanchored_seconds_max": round(max(ages), 1),
        "unanchored_seconds_median": round(statistics.median(ages), 1),
        "leaves": size,
        "notes": sum(path.suffix == ".note" for path in files),
        "bytes_outside": sum(path.stat().st_size for path in files),
        "keeper_cpu_percent": round(
            100 * (spent.user + spent.system - before.user - before.system) / seconds, 2
        ),
    }


def main() -> None:
    """Measure, and print one JSON object."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=100.0)
    seconds = arguments.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="floorlog-anchors-") as name:
        place = Path(name)
        place.chmod(0o755)
        data, said = place / "data", place / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "floorlog", "up", "--data", str(data), "--port", "0"],
                env=clean_environment(), stdout=output, stderr=output,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + READY_SECONDS
            while "Floorlog runs" not in said.read_text():
                if time.monotonic() > deadline or process.poll() is not None:
                    sys.exit(said.read_text())
                time.sleep(0.2)
            found = measure(data, process, seconds)
            drill = floorlog("drill", "--data", str(data))
        finally:
            process.terminate()
            process.wait(60)
    names = ("ok", "recovery_point_seconds", "recovery_seconds", "reread", "missing", "doubled")
    found["drill"] = {name: drill[name] for name in (*names, "steps", "backup_bytes")}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
