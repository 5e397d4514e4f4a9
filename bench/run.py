"""Floorlog's worker beside the hand-written floor: `python bench/run.py [--json] [--rounds 5]`.

Every figure is of real processes on real local services: CPU from the kernel's accounts, children
and start-up included. A side's time counts only after what it stored equals what was sent.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import place as places
import workload
from meter import Subject
from place import Place

SIDES = ("worker", "floor")
PARTS = ("catch-up", "live", "least", "idle")
Rounds = dict[str, list[dict[str, Any]]]
POLL_MS = 600  # between two reads at a shard's tip, on both sides
WARM_SECONDS = 8  # the worker's start, to what the cache asks of the record, ends within
IDLE_SECONDS = 15


def start(
    place: Place, side: str, stream: str, *, follow: bool, more: Sequence[str] = ()
) -> Subject:
    """Start one side on a stream."""
    environment = {**place.environment, "KINESIS_STREAM_NAME": stream}
    environment["FLOORLOG_POLL_MS"] = str(POLL_MS)
    if side == "worker":
        argv = [sys.executable, "-m", "floorlog", "worker"]
    else:
        floor = Path(__file__).with_name("floor.py")
        argv = [sys.executable, str(floor), stream, place.dsn]
        argv += ["--follow", str(POLL_MS), *more] if follow else []
    return Subject(argv, environment, place.directory / f"{side}.log")


def catch_up(place: Place, side: str, stream: str, work: workload.Workload) -> dict[str, float]:
    """One side reads a filled stream to its end; returns what that cost."""
    place.fresh_record()
    before = place.postgres_seconds()
    subject = start(place, side, stream, follow=False)
    if side == "worker":
        place.wait_stored(places.STORED, len(work.series), subject, 120)
        subject.stop()
    subject.wait()
    place.settle()
    postgres = place.postgres_seconds() - before
    found = place.rows(places.ROWS if side == "worker" else places.FLOOR_ROWS)
    if found != work.counted():
        raise RuntimeError(f"{side} did not store what was sent: {found.total()} readings")
    scale = 100_000 / len(work.series)
    return {
        "cpu": subject.cpu_seconds * scale,
        "postgres": postgres * scale,
        "pss": subject.pss_mib_max,
    }


def live(place: Place, side: str, stream: str, seconds: int) -> dict[str, Any]:
    """One side follows 900 readings a second; start and first sight of series are not counted."""
    size, rows, latency, stored = (
        (places.SIZE, places.ROWS, places.LATENCY, places.STORED)
        if side == "worker"
        else (places.FLOOR_SIZE, places.FLOOR_ROWS, places.FLOOR_LATENCY, places.FLOOR_STORED)
    )
    place.fresh_record()
    place.fresh_stream(stream)
    subject = start(place, side, stream, follow=True)
    if side == "floor":
        time.sleep(2)  # until it made its tables
    warm = send_live(place, stream, 0, WARM_SECONDS)
    place.wait_stored(stored, len(warm), subject, 30)
    place.database.execute("CHECKPOINT")
    bytes_before = place.value(size)
    cpu, postgres = subject.running_seconds(), place.postgres_seconds()
    sent = send_live(place, stream, WARM_SECONDS, seconds)
    time.sleep(2 * POLL_MS / 1000)
    cpu, postgres = subject.running_seconds() - cpu, place.postgres_seconds() - postgres
    place.wait_stored(stored, len(warm) + len(sent), subject, 10)
    place.database.execute("CHECKPOINT")
    grown = place.value(size) - bytes_before
    subject.stop()
    subject.wait()
    if place.rows(rows) != warm.counted() + sent.counted():
        raise RuntimeError(f"{side} did not store what was sent")
    times = place.database.execute(latency, [int(sent.ts_ms[0]) * 1000]).fetchall()
    late_ms = sorted(float(ms) for (ms,) in times)
    assert len(late_ms) == len(sent)
    return {
        "cpu": cpu,
        "postgres": postgres,
        "bytes": grown / len(sent),
        "p50": late_ms[len(late_ms) // 2],
        "p95": late_ms[len(late_ms) * 95 // 100],
        "max": late_ms[-1],
        "pss": subject.pss_mib_max,
    }


def live_least(place: Place, stream: str, seconds: int) -> dict[str, float]:
    """What the floor costs without its rows: transactions that only move a checkpoint."""
    place.fresh_record()
    place.fresh_stream(stream)
    subject = start(place, "floor", stream, follow=True, more=("--no-rows",))
    send_live(place, stream, 0, WARM_SECONDS)
    place.database.execute("CHECKPOINT")
    before = place.postgres_seconds()
    send_live(place, stream, WARM_SECONDS, seconds)
    time.sleep(2 * POLL_MS / 1000)
    cost = {"postgres": place.postgres_seconds() - before}
    subject.stop()
    subject.wait()
    say(f"live, transactions without rows: {shown(cost)}")
    return cost


def send_live(place: Place, stream: str, first_s: int, seconds: int) -> workload.Workload:
    """Send whole seconds of the live profile in tenths, each at its time; returns what was sent."""
    begin = time.monotonic()
    sent = []
    for number in range(seconds * workload.SLICES):
        time.sleep(max(0.0, begin + number / workload.SLICES - time.monotonic()))
        now_ms = time.time_ns() // 1_000_000
        part = workload.live_slice(first_s * workload.SLICES + number, now_ms)
        place.put(stream, list(part.records()))
        sent.append(part)
    return workload.join(sent)


def idle(place: Place, stream: str) -> dict[str, float]:
    """A worker holds both shards of an empty stream."""
    place.fresh_record()
    place.fresh_stream(stream)
    subject = start(place, "worker", stream, follow=True)
    time.sleep(5)
    cpu, postgres = subject.running_seconds(), place.postgres_seconds()
    time.sleep(IDLE_SECONDS)
    cpu, postgres = subject.running_seconds() - cpu, place.postgres_seconds() - postgres
    subject.stop()
    subject.wait()
    return {"cpu": 100 * cpu / IDLE_SECONDS, "postgres": 100 * postgres / IDLE_SECONDS}


def rounds_of_catch_up(place: Place, rounds: int, readings: int) -> Rounds:
    """Both sides read the same stream of so many readings, in turns who goes first."""
    work = workload.catch_up(readings)
    stream = f"filled-{readings}"
    place.fresh_stream(stream)
    place.put(stream, list(work.records()))
    taken: Rounds = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            taken[side].append(catch_up(place, side, stream, work))
            say(f"round {number + 1} of {readings:,} {side}: {shown(taken[side][-1])}")
    place.kinesis.delete_stream(StreamName=stream)
    return taken


def rounds_of_live(place: Place, rounds: int, seconds: int) -> Rounds:
    """Each side follows a stream of its own, in turns who goes first."""
    taken: Rounds = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            taken[side].append(live(place, side, f"live-{number}-{side}", seconds))
            say(f"round {number + 1} live {side}: {shown(taken[side][-1])}")
    return taken


def measure(place: Place, chosen: argparse.Namespace) -> dict[str, Any]:
    """The parts asked for: medians of rounds; a ratio is the median of the rounds' ratios."""
    found: dict[str, Any] = {"rounds": chosen.rounds}
    if "catch-up" in chosen.parts:
        short = rounds_of_catch_up(place, chosen.rounds, workload.READINGS)
        backlog = rounds_of_catch_up(place, chosen.rounds, workload.BACKLOG_READINGS)
        found |= summary_of_catch_up(short, backlog)
    if "live" in chosen.parts:
        found |= summary_of_live(rounds_of_live(place, chosen.rounds, chosen.live_seconds))
    if "least" in chosen.parts:
        least = [live_least(place, f"least-{n}", chosen.live_seconds) for n in range(chosen.rounds)]
        found["least_postgres_cpu_seconds_live"] = median(least, "postgres")
    if "idle" in chosen.parts:
        rest = idle(place, "idle")
        found |= {
            "idle_cpu_percent": round(rest["cpu"], 2),
            "idle_postgres_cpu_percent": round(rest["postgres"], 2),
        }
    peaks = [found.pop(name) for name in ("pss_catch_up", "pss_live") if name in found]
    return found | ({"pss_mib_max": max(peaks)} if peaks else {})


def summary_of_catch_up(short: Rounds, backlog: Rounds) -> dict[str, Any]:
    """The worker's own CPU from short rounds; PostgreSQL's from both lengths."""
    worker, floor = short["worker"], short["floor"]
    ours, theirs = backlog["worker"], backlog["floor"]
    return {
        "worker_ratio": ratio(worker, floor, "cpu"),
        "worker_ratio_backlog": ratio(ours, theirs, "cpu"),
        "postgres_cpu_ratio": ratio(ours, theirs, "postgres"),
        "postgres_cpu_ratio_short": ratio(worker, floor, "postgres"),
        "worker_cpu_seconds_per_100k": median(worker, "cpu"),
        "floor_cpu_seconds_per_100k": median(floor, "cpu"),
        "worker_cpu_seconds_per_100k_backlog": median(ours, "cpu"),
        "floor_cpu_seconds_per_100k_backlog": median(theirs, "cpu"),
        "worker_postgres_cpu_seconds_per_100k": median(ours, "postgres"),
        "floor_postgres_cpu_seconds_per_100k": median(theirs, "postgres"),
        "worker_postgres_cpu_seconds_per_100k_short": median(worker, "postgres"),
        "floor_postgres_cpu_seconds_per_100k_short": median(floor, "postgres"),
        "pss_catch_up": largest(worker + ours),
        "floor_pss_mib_max": largest(floor + theirs),
    }


def summary_of_live(taken: Rounds) -> dict[str, Any]:
    """Of the counted seconds."""
    ours, theirs = taken["worker"], taken["floor"]
    return {
        "postgres_cpu_ratio_live": ratio(ours, theirs, "postgres"),
        "worker_ratio_live": ratio(ours, theirs, "cpu"),
        "worker_postgres_cpu_seconds_live": median(ours, "postgres"),
        "floor_postgres_cpu_seconds_live": median(theirs, "postgres"),
        "worker_cpu_seconds_live": median(ours, "cpu"),
        "floor_cpu_seconds_live": median(theirs, "cpu"),
        "bytes_per_reading_live": median(ours, "bytes"),
        "floor_bytes_per_reading_live": median(theirs, "bytes"),
        "latency_ms_live": {name: median(ours, name) for name in ("p50", "p95", "max")},
        "floor_latency_ms_live": {name: median(theirs, name) for name in ("p50", "p95", "max")},
        "pss_live": largest(ours),
    }


def largest(rounds: Sequence[dict[str, float]]) -> float:
    """The most memory of any round, MiB."""
    return round(max(one["pss"] for one in rounds), 1)


def median(rounds: Sequence[dict[str, float]], name: str) -> float:
    """The median of the rounds."""
    return round(statistics.median(one[name] for one in rounds), 3)


def ratio(
    worker: Sequence[dict[str, float]], floor: Sequence[dict[str, float]], name: str
) -> float:
    """The median of the rounds' ratios, worker to floor."""
    pairs = zip(worker, floor, strict=True)
    return round(statistics.median(ours[name] / theirs[name] for ours, theirs in pairs), 3)


def shown(figures: dict[str, Any]) -> str:
    """Figures on one line."""
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def say(line: str) -> None:
    """Progress goes to standard error: standard output is the result's."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--live-seconds", type=int, default=20)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    with places.open_place() as place:
        result = measure(place, chosen)
    if chosen.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:40} {value}")


if __name__ == "__main__":
    main()
