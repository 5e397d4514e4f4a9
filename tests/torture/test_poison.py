"""Poison: one bad record of every kind among ten thousand good readings."""

import gzip
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from producer import Ledger, put_all

from floorlog.core.catalogue import Catalogue
from floorlog.core.reading import Code
from floorlog.store.catalogue import put_catalogue
from floorlog.store.migrate import OPERATOR
from floorlog.store.reader import Reader

GOOD = 10_000
DEVICES = 10
UNLOVED = 666.5  # what the database is made to refuse
CATALOGUE = {
    "strict": True,
    "metrics": {
        "m": {"unit": "Cel", "range": {"lo": 0, "hi": 1e6, "reject": True}},
        "s": {"states": ["on", "off"]},
    },
    "devices": {f"d{n}": {} for n in range(DEVICES + 1)},
}
SERIES_MAX = DEVICES + 1  # each device's m, and d0's s: none is left for d10
pytestmark = pytest.mark.slow


def good_readings(now_ms: int) -> tuple[Ledger, list[tuple[str, bytes]]]:
    """Records of one reading each, and what they owe."""
    ledger, records = Ledger(), []
    for n in range(GOOD):
        device, ts = f"d{n % DEVICES}", now_ms - 60_000 + n
        reading = {"device_id": device, "metric": "m", "ts": ts, "value": n, "unit": "Cel"}
        records.append((device, msgspec.json.encode(reading)))
        ledger.owed[n] = (device, "m", ts * 1000)
    return ledger, records


def bad_records(now_ms: int) -> dict[Code, bytes]:
    """One of every kind."""

    def reading(**changes: object) -> bytes:
        whole = {"device_id": "d0", "metric": "m", "ts": now_ms, "value": 1}
        return msgspec.json.encode({**whole, **changes})

    return {
        Code.MALFORMED: b'{"device_id": "d0", "metric',
        Code.MISSING_FIELD: b'{"device_id": "d0", "metric": "m", "ts": %d}' % now_ms,
        Code.NOT_A_NUMBER: reading(value="warm"),
        Code.NOT_A_STATE: reading(metric="s", value="ajar"),
        Code.INEXACT_INTEGER: reading(value=2**53 + 1),
        Code.BAD_TIME: reading(ts="yesterday"),
        Code.FUTURE_TIME: reading(ts=now_ms + 86_400_000),
        Code.UNIT_MISMATCH: reading(unit="bar"),
        Code.OUT_OF_RANGE: reading(value=-5),
        Code.TOO_LARGE: gzip.compress(bytes(17 << 20)),
        Code.TOO_MANY_SERIES: reading(device_id="d10"),
        Code.UNKNOWN_SERIES: reading(device_id="stranger"),
        Code.INVALID_TEXT: reading(device_id="d\0"),
        Code.REFUSED: reading(value=UNLOVED),
    }


def test_one_of_every_kind_among_ten_thousand(new_site) -> None:
    """The good ones are stored once each; each bad one is a reject with its code and its bytes."""
    now_ms = time.time_ns() // 1_000_000
    ledger, records = good_readings(now_ms)
    bad = bad_records(now_ms)
    assert set(bad) == set(Code)
    with new_site() as site:
        site.act(f"ALTER TABLE floorlog.open_row ADD CHECK ({UNLOVED} <> ALL (value))")
        put_catalogue(site.dsn(OPERATOR), Catalogue.of(CATALOGUE, "the test").encode())
        state = {"device_id": "d0", "metric": "s", "ts": now_ms, "value": "on"}
        # d0's state and all devices' numbers are known before the one series too many comes.
        put_all(site, [*records[:DEVICES], ("d0", msgspec.json.encode(state))])
        site.add_worker(FLOORLOG_SERIES_MAX=str(SERIES_MAX))
        site.add_worker(FLOORLOG_SERIES_MAX=str(SERIES_MAX))
        site.wait_stored(DEVICES + 1)
        rest = records[DEVICES:]
        step = len(rest) // len(bad)
        for n, data in enumerate(bad.values()):
            rest.insert(n * (step + 1), (f"d{n % DEVICES}", data))
        put_all(site, rest)
        site.wait_received(GOOD + 1 + len(bad))
        reader = Reader(site.dsn())
        rejects = reader.rejects(100)
        reader.close()
        assert Counter(one.code for one in rejects) == Counter(str(code) for code in bad)
        for one in rejects:
            assert one.data in bad[Code(one.code)]
        lost, doubled = ledger.compare(site, "metric = 'm'")
        assert (lost, doubled) == ([], [])
        assert site.balance() == []
        assert site.count("stored") == GOOD + 1
        assert site.count("rejected") == len(bad)
