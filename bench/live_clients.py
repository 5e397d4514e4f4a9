"""What 200 open pages cost, whether one that comes back misses anything, and whether storing slows.

    python bench/live_clients.py [--clients 200] [--rounds 5] [--seconds 20]

Runs `up` with its demo plant. In turn without and with the clients, each round so many seconds:
how long after its time stamp a reading's transaction began (p95), CPU and memory of the page's
process. Every client reads the live feed, hangs up at random moments and goes on from the last
event that it got; events are numbered, so a missing one shows. Prints one JSON object.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
from first_minute import Up

from floorlog.local.services import running

LATE = """SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM recorded_at - ts))
    FROM floorlog.readings(now() - make_interval(secs => %s), now()) WHERE recorded_at > ts"""
SETTLE_SECONDS = 5


class Client:
    """One page's live feed, with hang-ups."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        """Not yet connected."""
        self.host, self.port = host, port
        self.chance = random.Random(seed)
        self.events = self.missed = self.doubled = self.connections = self.anew = 0
        self._last = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._connect(time.monotonic() + self.chance.uniform(3, 12))
            except OSError:
                await asyncio.sleep(0.2)

    async def _connect(self, until: float) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=16 << 20)
        self.connections += 1
        resume = f"Last-Event-ID: {self._last}\r\n" if self._last else ""
        writer.write(
            f"GET /api/v1/live HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{resume}\r\n".encode()
        )
        try:
            named = ""
            while time.monotonic() < until:
                line = (await reader.readline()).decode()
                if not line:
                    return
                field, _, text = line.rstrip("\n").partition(": ")
                if field == "id":
                    named = text
                elif field == "event" and named:
                    self._take(named, whole=text == "board")
                    named = ""
        finally:
            writer.close()

    def _take(self, name: str, *, whole: bool) -> None:
        boot, _, number = name.partition("-")
        before, _, last = self._last.partition("-")
        if whole:
            self.anew += bool(self._last)
        elif self._last and boot == before:
            self.missed += max(0, int(number) - int(last) - 1)
            self.doubled += int(number) <= int(last)
            self.events += 1
        self._last = name


async def with_clients(clients: list[Client], seconds: float) -> None:
    """Let them read so long."""
    tasks = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def one_round(
    page: psutil.Process, database: psycopg.Connection[Any], clients: list[Client], seconds: float
) -> dict[str, float]:
    """Wait out one round; what it cost."""
    if clients:
        asyncio.run(with_clients(clients, SETTLE_SECONDS))
    else:
        time.sleep(SETTLE_SECONDS)
    before, began = page.cpu_times(), time.monotonic()
    if clients:
        asyncio.run(with_clients(clients, seconds))
    else:
        time.sleep(seconds)
    after, passed = page.cpu_times(), time.monotonic() - began
    row = database.execute(LATE, [seconds]).fetchone()
    assert row is not None
    return {
        "p95_s": float(row[0]),
        "cpu": (after.user + after.system - before.user - before.system) / passed,
        "pss_mib": page.memory_full_info().pss / 1048576,
    }


def main() -> int:
    """Measure and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="floorlog-clients-") as name:
        place = Path(name)
        place.chmod(0o755)
        up = Up(place / "data")
        try:
            if not up.runs.wait(60) or not up.address:
                sys.exit("`floorlog up` did not start")
            services = running(place / "data")
            address = urlsplit(up.address)
            clients = [
                Client(str(address.hostname), int(address.port or 80), seed)
                for seed in range(chosen.clients)
            ]
            page = psutil.Process(services.pids["web"])
            rounds: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
            with psycopg.connect(services.postgres_dsn(), autocommit=True) as database:
                time.sleep(SETTLE_SECONDS)
                for _ in range(chosen.rounds):
                    rounds["without"].append(one_round(page, database, [], chosen.seconds))
                    rounds["with"].append(one_round(page, database, clients, chosen.seconds))
        finally:
            up.end()

    def median(side: str, figure: str) -> float:
        return statistics.median(one[figure] for one in rounds[side])

    print(
        json.dumps(
            {
                "clients": chosen.clients,
                "events": sum(one.events for one in clients),
                "reconnects": sum(one.connections for one in clients) - chosen.clients,
                "missed": sum(one.missed for one in clients),
                "doubled": sum(one.doubled for one in clients),
                "told_anew": sum(one.anew for one in clients),
                "page_cpu": {side: round(median(side, "cpu"), 3) for side in rounds},
                "page_pss_mib": {side: round(median(side, "pss_mib"), 1) for side in rounds},
                "stored_p95_s": {side: round(median(side, "p95_s"), 3) for side in rounds},
                "p95_ratio": round(
                    statistics.median(
                        a["p95_s"] / b["p95_s"]
                        for a, b in zip(rounds["with"], rounds["without"], strict=True)
                    ), 3,
                ),
            }
        )
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
