"""The faults: each strikes, proves that it has bitten, and leaves two workers at work."""

import signal
import time
from collections.abc import Callable

from ground import LEASE_SECONDS, Site, Stand, wait_until

TAKE_OVER_SECONDS = LEASE_SECONDS + 2.0
HOLDS_MAX = 3
REFUSED_SECONDS_MAX = 8.0


def raised(site: Site, before: dict[str, Stand], seconds: float = 15.0) -> float:
    """Wait until all these leases are in another epoch; how long that took from now, seconds."""
    began = time.monotonic()

    def look() -> bool:
        now = site.stands()
        return all(now[shard].epoch > old.epoch for shard, old in before.items())

    wait_until("the epochs rise", look, seconds)
    return time.monotonic() - began


def _busy(site: Site) -> tuple[str, dict[str, Stand]]:
    """A worker that holds leases, and which."""

    def look() -> tuple[str, dict[str, Stand]] | None:
        for name in sorted(site.workers, key=lambda name: int(name[1:])):
            if held := site.held(name):
                return name, held
        return None

    name, held = wait_until("a worker holds a lease", look)
    return name, held


def kill_worker(site: Site) -> None:
    """Kill -9 of one worker: its leases rise in epoch."""
    name, held = _busy(site)
    assert site.end_worker(name, signal.SIGKILL) == -signal.SIGKILL
    site.add_worker()
    raised(site, held)


def kill_both(site: Site) -> None:
    """Kill -9 of both workers: all leases rise in epoch."""
    before = {shard: stand for shard, stand in site.stands().items() if not stand.ended}
    for name in list(site.workers):
        assert site.end_worker(name, signal.SIGKILL) == -signal.SIGKILL
    for _ in range(2):
        site.add_worker()
    raised(site, before)


def stop_worker(site: Site) -> None:
    """SIGSTOP of a worker past its lease, then SIGCONT: another took over, and it is told so."""
    name, held = _busy(site)
    site.signal(name, signal.SIGSTOP)
    try:
        raised(site, held)
    finally:
        site.signal(name, signal.SIGCONT)
    fenced = [f"{shard}: fenced" for shard in held]

    def told() -> bool:
        said = site.log(name).read_text()
        return all(line in said for line in fenced)

    wait_until("the stopped worker is fenced", told)


def hold_batch(site: Site) -> None:
    """A batch is on the wire while its lease passes to another epoch, and arrives after that."""
    for _ in range(HOLDS_MAX):  # a lease that passed on to share work may be another than its own
        refused = site.cutter.refusals
        _hold_once(site)
        if not site.fenced:
            return
        deadline = time.monotonic() + REFUSED_SECONDS_MAX
        while time.monotonic() < deadline:
            if site.cutter.refusals > refused:
                return
            time.sleep(0.05)
    raise AssertionError(f"no late batch was refused, though {HOLDS_MAX} were held")


def _hold_once(site: Site) -> None:
    before, begun = site.stands(), site.cutter.cuts["hold"]
    site.cutter.cut_next("hold")
    try:
        wait_until("a batch is held", lambda: site.cutter.cuts["hold"] > begun)

        def passed_on() -> bool:
            now = site.stands()
            return any(
                now[shard].epoch > old.epoch and now[shard].number > old.number
                for shard, old in before.items()
            )

        wait_until("another epoch commits", passed_on)
    finally:
        site.cutter.release()


def _kill_service(name: str) -> Callable[[Site], None]:
    def strike(site: Site) -> None:
        old = site.supervisor.kill(name)
        assert old
        assert site.supervisor.wait_ready(name, old) != old

    strike.__doc__ = f"Kill -9 of {name}: it comes back as another process."
    return strike


def _cut(way: str) -> Callable[[Site], None]:
    def strike(site: Site) -> None:
        before = site.cutter.cuts[way]
        site.cutter.cut_next(way)
        wait_until(f"the cut at {way}", lambda: site.cutter.cuts[way] > before)

    strike.__doc__ = f"The wire to PostgreSQL cut at {way}: the cutter counts it when done."
    return strike


FAULTS: dict[str, Callable[[Site], None]] = {
    "kill worker": kill_worker,
    "kill both workers": kill_both,
    "stop worker": stop_worker,
    "hold batch": hold_batch,
    "kill postgres": _kill_service("postgres"),
    "kill valkey": _kill_service("valkey"),
    "kill kinesis": _kill_service("kinesis"),
    "cut before commit": _cut("commit"),
    "cut after commit": _cut("answer"),
}
