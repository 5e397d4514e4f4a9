"""Carries out script/test: every check, the tests in three rounds, and what each took."""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUICK_SECONDS_MAX = 60
PROCESSES = "2"
SHELL = ("script/environment.sh", "script/floorlog", "script/up", "script/test", ".ci/run")
CHECKS = {
    "shell syntax": ("bash", "-n"),
    "ruff check": ("-m", "ruff", "check", "--quiet", "--output-format=concise"),
    "ruff format": ("-m", "ruff", "format", "--check"),
    "imports": ("-c", "from importlinter.cli import lint_imports_command as c; c()"),
    "mypy": ("-m", "mypy", "--no-error-summary"),
}


@dataclass
class Case:
    """One test's outcome, as JUnit's XML tells it."""

    test: str
    room: str
    seconds: float
    outcome: str
    reason: str


@dataclass
class Tally:
    """All that was found, part by part."""

    seconds: dict[str, float] = field(default_factory=dict)
    failed_parts: list[str] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        """Count of tests by outcome."""
        return Counter(case.outcome for case in self.cases)


def duration_seconds(text: str) -> float:
    """Seconds of `90`, `90s`, `10m` or `2h`.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    found = re.fullmatch(r"(\d+)([smh]?)", text)
    if not found:
        message = f"{text!r} is no duration: write 90s, 10m or 2h"
        raise argparse.ArgumentTypeError(message)
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split the command line into our options and what pytest shall get (paths, -k, -x …)."""
    parser = argparse.ArgumentParser(
        prog="script/test",
        description="Runs every check and test; with PATHs just those tests. "
        "Other options go to pytest.",
    )
    parser.add_argument(
        "--long",
        nargs="?",
        const=60.0,
        type=duration_seconds,
        metavar="DURATION",
        help="run the campaigns marked long as well, each this long (90s, 10m, 2h; default 60s)",
    )
    parser.add_argument("--seed", type=int, help="the order and data of an earlier run")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="fail on each NOT RUN that tests/not_run.toml does not name",
    )
    # `--long tests/x` means the campaigns of tests/x, each of the default length.
    plain = list(arguments)
    for at, word in enumerate(plain):
        if word == "--long" and not re.fullmatch(r"\d+[smh]?", "".join(plain[at + 1 : at + 2])):
            plain[at] = "--long=60s"
    return parser.parse_known_args(plain)


def run_check(name: str) -> tuple[str, float, int, str]:
    """Run one static check. Returns its name, seconds, exit code and output."""
    command = CHECKS[name]
    began = time.monotonic()
    if command[0] == "bash":
        outcomes = [
            subprocess.run([*command, path], cwd=ROOT, capture_output=True, text=True, check=False)
            for path in SHELL
        ]
    else:
        outcomes = [
            subprocess.run(
                [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
            )
        ]
    output = "".join(outcome.stdout + outcome.stderr for outcome in outcomes)
    return name, time.monotonic() - began, max(o.returncode for o in outcomes), output


def run_checks(tally: Tally) -> None:
    """Run the static checks, two at once, and show what those that failed say."""
    with ThreadPoolExecutor(max_workers=int(PROCESSES)) as pool:
        # The slowest first.
        for name, seconds, code, output in pool.map(run_check, reversed(CHECKS)):
            tally.seconds[name] = seconds
            print(f"{name}: {'ok' if code == 0 else 'FAILED'} ({seconds:.1f} s)", flush=True)
            if code:
                tally.failed_parts.append(name)
                print(output, flush=True)


def read_cases(junit: Path) -> list[Case]:
    """Read the outcomes of a round; nothing where pytest could not even begin."""
    cases = []
    for node in ET.parse(junit).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        kinds = {child.tag: child for child in node}
        outcome, reason = "passed", ""
        if "failure" in kinds or "error" in kinds:
            outcome = "failed"
        elif "skipped" in kinds:
            outcome, reason = "not run", kinds["skipped"].get("message", "")
        parts = node.get("classname", "").split(".")
        at = 1 + max((i for i, part in enumerate(parts) if part.startswith("test_")), default=0)
        path = "/".join(parts[:at])
        room = parts[1] if at > 2 else path
        name = "::".join([f"{path}.py", *parts[at:], node.get("name", "")])
        seconds = float(node.get("time", 0))
        cases.append(Case(name, room, seconds, outcome, reason.removeprefix("NOT RUN: ")))
    return cases


def run_round(tally: Tally, part: str, options: Sequence[str], seed: int) -> None:
    """Run pytest once and add what it found to the tally."""
    print(f"\n── {part}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        seeds = [f"--randomly-seed={seed}", f"--hypothesis-seed={seed}", f"--junitxml={junit}"]
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", *seeds, *options]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        cases = read_cases(junit) if junit.exists() else []
    tally.seconds[part] = time.monotonic() - began
    tally.cases += cases
    nothing_to_do = code == 5 and not cases  # pytest: no tests collected
    if code and not nothing_to_do:
        tally.failed_parts.append(part)


def run_everything(tally: Tally, seed: int, extra: Sequence[str]) -> None:
    """Run all that is not marked long: in parallel, then those that need the machine alone."""
    parallel = ["-n", PROCESSES, "--dist", "loadgroup", *extra]
    rounds = {
        "tests": ["-m", "not long and not slow", *parallel],
        "slow tests": ["-m", "not long and slow and not serial", *parallel],
        "serial tests": ["-m", "not long and serial", *extra],
    }
    for part, options in rounds.items():
        run_round(tally, part, options, seed)


def allowed_not_run() -> dict[str, str]:
    """Give tests that may be NOT RUN in CI, with the reason."""
    listed = tomllib.loads((ROOT / "tests" / "not_run.toml").read_text()).get("allowed", [])
    return {entry["test"]: entry["reason"] for entry in listed}


def not_run_lines(tally: Tally) -> tuple[list[str], list[str]]:
    """Give a line for each test NOT RUN, and those of them that nobody has allowed."""
    allowed = allowed_not_run()
    lines, unnamed = [], []
    for case in tally.cases:
        if case.outcome != "not run":
            continue
        file = case.test.partition("::")[0]
        known = case.test.partition("[")[0] in allowed or file in allowed
        lines.append(f"NOT RUN  {case.test}: {case.reason}{'' if known else '  (not named)'}")
        if not known:
            unnamed.append(case.test)
    return lines, unnamed


def show_shares(tally: Tally) -> None:
    """Print the seconds of each part and of each room of tests."""
    total = sum(tally.seconds.values())
    print("\nseconds  part")
    for part, seconds in tally.seconds.items():
        print(f"{seconds:7.1f}  {part}{'  FAILED' if part in tally.failed_parts else ''}")
    print(f"{total:7.1f}  together")
    rooms: dict[str, list[Case]] = defaultdict(list)
    for case in tally.cases:
        rooms[case.room].append(case)
    print("\nseconds  tests  room (summed over processes; the slowest test)")
    for room, cases in sorted(rooms.items(), key=lambda item: -sum(c.seconds for c in item[1])):
        slowest = max(cases, key=lambda case: case.seconds)
        took = sum(case.seconds for case in cases)
        print(f"{took:7.1f} {len(cases):6}  {room} ({slowest.seconds:.1f} {slowest.test})")
    quick = tally.seconds.get("tests", 0.0)
    if quick:
        verdict = "OVER ITS BUDGET" if quick > QUICK_SECONDS_MAX else "within its budget"
        print(f"\nwhat is not marked slow: {quick:.0f} s of {QUICK_SECONDS_MAX} s, {verdict}")


def close(tally: Tally, *, strict: bool) -> int:
    """Print shares, what was NOT RUN and the closing line. Returns the exit code."""
    show_shares(tally)
    lines, unnamed = not_run_lines(tally)
    for line in sorted(lines):
        print(line)
    for part in tally.failed_parts:
        print(f"FAILED   {part}")
    bad = bool(tally.failed_parts)
    if strict and unnamed:
        print(f"FAILED   {len(unnamed)} NOT RUN without a reason in tests/not_run.toml")
        bad = True
    counts = tally.counts()
    if not counts["passed"] + counts["failed"]:
        print("FAILED   no test was run")
        bad = True
    # The checks that are no tests count as one each, so that the line never hides a failure.
    failed = counts["failed"] + sum(part in CHECKS for part in tally.failed_parts)
    print(f"\n{counts['passed']} passed, {failed} failed, {counts['not run']} skipped")
    return 1 if bad else 0


def main() -> int:
    """Run what the command line asks for. Returns the exit code."""
    options, rest = parse(sys.argv[1:])
    seed = options.seed if options.seed is not None else random.randrange(2**32)  # noqa: S311 - no secret
    print(f"seed {seed}: the same order and data again with script/test --seed {seed}")
    tally = Tally()
    chosen = any(not word.startswith("-") for word in rest)
    if chosen:
        run_round(tally, "chosen tests", ["-m", "not long", *rest], seed)
    else:
        run_checks(tally)
        run_everything(tally, seed, rest)
    if options.long is not None:
        seconds = options.long
        limits = [f"--long-seconds={seconds}", f"--timeout={3600 + 4 * seconds:.0f}", "-s"]
        run_round(tally, "long campaigns", ["-m", "long", *limits, *rest], seed)
    return close(tally, strict=options.strict)


if __name__ == "__main__":
    sys.exit(main())
