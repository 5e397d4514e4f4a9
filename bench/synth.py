"""How long the deployment's configuration takes to make: a fresh process, files warm.

script/floorlog deploy --help >/dev/null && .venv-infra/bin/python bench/synth.py
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 5


def main() -> None:
    """Print the seconds of each run, and their median."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "floorlog", "deploy", "synth", "--folder", folder]
        subprocess.run(command, check=True, capture_output=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(RUNS):
            began = time.monotonic()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.monotonic() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print("seconds", *(f"{each:.2f}" for each in seconds))
    print(f"median {statistics.median(seconds):.2f} s, {cpu / RUNS:.2f} CPU-s a run")


if __name__ == "__main__":
    main()
