"""Made-up tables in the shapes of the real ones, for machines that do not have those."""

import gzip
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

SENSORS = (
    "Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple",
    "Voltage", "Volume Flow RateRMS",
)  # fmt: skip
TAGS = ("P-PDG", "P-TPT", "T-TPT", "P-MON-CKP", "T-JUS-CKP", "P-JUS-CKGL", "T-JUS-CKGL", "QGL")


def write(folder: Path) -> None:
    """All twins, below folders named like the sets they stand for; drawn by the order's seed."""
    draw = random.Random(random.getrandbits(32))
    tables = {
        "skab/valve1/2.csv.gz": bench(draw, "2020-03-09 12:14:36"),
        "skab/valve2/2.csv.gz": bench(draw, "2020-03-09 12:14:36"),  # the name and times alike
        "3w22/2/WELL-00000_20170201000000.csv.gz": well(draw),
        "nab/made/machine_temperature.csv.gz": metered(draw),
    }
    for name, lines in tables.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))


def bench(draw: random.Random, begin: str) -> Iterator[str]:
    """Like SKAB: `;`, about 1 Hz with seconds left out, the last columns labels of 0.0 or 1.0."""
    yield ";".join(["datetime", *SENSORS, "anomaly", "changepoint"])
    at = datetime.fromisoformat(begin)
    for n in range(1_100):
        cells = [f"{draw.gauss(10 * place, 1):.6g}" for place in range(len(SENSORS))]
        faulty = 570 <= n < 900
        yield ";".join([str(at), *cells, str(float(faulty)), str(float(n in (570, 900)))])
        at += timedelta(seconds=2 if draw.random() < 0.05 else 1)


def well(draw: random.Random) -> Iterator[str]:
    """Like 3W: microseconds, exponents, missing channels, stuck ones, cells and labels left out."""
    yield ",".join(["timestamp", *TAGS, "class"])
    at = datetime(2017, 2, 1)  # noqa: DTZ001 - the files name no zone
    for n in range(2_000):
        cells = [f"{draw.gauss(3e7, 1e4):.6e}" for _ in TAGS[:3]]
        cells += ["0.000000e+00", "" if draw.random() < 0.2 else f"{draw.gauss(80, 1):.6e}"]
        cells += [""] * (len(TAGS) - len(cells))
        yield ",".join([at.isoformat(" ", "microseconds"), *cells, well_label(n)])
        at += timedelta(seconds=1)


def well_label(n: int) -> str:
    """Normal, none, on the way to the fault, the fault."""
    return "0" if n < 1_000 else "" if n < 1_100 else "102" if n < 1_600 else "2"


def metered(draw: random.Random) -> Iterator[str]:
    """Like NAB: a value each 5 min, as written by Python; a row twice, a time with two values."""
    yield "timestamp,value"
    at = datetime(2013, 12, 2, 21, 15)  # noqa: DTZ001 - the files name no zone
    for n in range(4_000):
        value = draw.gauss(75, 5) if n % 7 else float(n % 3)
        yield f"{at},{value!r}"
        if n == 1_000:
            yield f"{at},{value!r}"
        if n == 2_000:
            yield f"{at},{value + 1!r}"
        at += timedelta(minutes=5)
