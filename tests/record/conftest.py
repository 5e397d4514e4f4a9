"""A small record with its log, signed; proofs and exports of it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from floorlog.core.ledger import form, tree
from floorlog.core.ledger.batch import Columns, Registry, reading_leaves, records_of
from floorlog.core.ledger.note import Checkpoint, VerifierKey
from floorlog.core.reading import Kind
from floorlog.core.series import KnownSeries
from floorlog.record import verifier
from floorlog.record.log.sign import public_key, signed_note
from floorlog.record.proof import ExportLines, Known, Logged, entry_hash, manifest, manifest_text
from floorlog.record.proof import prove as prove_reading

ORIGIN = "floor.example/plant"
SECRET = hashlib.sha256(b"the secret key of a test").digest()
T0 = 1_767_225_600_000_000
STATES = {"false": 0, "true": 1, "läuft, \U0001f4a7\nquer": 2}
SHARDS = [
    (1, "arn:plant", T0, "shard-0", "", "0", "99"),
    (2, "arn:plant", T0, "shard-1", "1", "100", str(2**128 - 1)),
]


@dataclass
class Plant:
    """A record of some batches, in the order of its log."""

    known: Known
    batches: list[Logged]
    contents: list[bytes]  # hashes of the log's leaves
    events: dict[int, list[tuple[int, str, tuple]]] = field(default_factory=dict)
    corrections: dict[int, list] = field(default_factory=dict)  # by place in the log

    key = str(VerifierKey(ORIGIN, public_key(SECRET)))

    @property
    def size(self) -> int:
        return len(self.contents)

    @property
    def note(self) -> str:
        point = Checkpoint(ORIGIN, self.size, tree.root(self.contents))
        return signed_note(str(point), ORIGIN, SECRET).decode()

    def prove(self, batch: int, place: int) -> dict:
        """The proof of one reading."""
        subtree = tree.subtree_of(self.contents)
        return prove_reading(self.batches[batch], place, self.known, subtree, self.size, self.note)

    def correct(self, number: int, series_id: int) -> None:
        """Add a correction of a reading of this series to the log: series 12 is of states."""
        was, now = (1.0, 2.0) if series_id == 12 else (71.3, -0.0)
        row = [number, T0 + number, "person-1", "why: ä", T0, series_id, was, 0, now, 0x40940000]
        was_name, name = (self.known.registry.name(series_id, one) for one in (was, now))
        self.corrections[self.size] = row
        self.contents.append(
            form.CORRECTION.digest(*row[:5], was_name, was, 0, name, now, 0x40940000)
        )

    def export(
        self, directory: Path, devices: frozenset | None = None, *, signed: bool = True
    ) -> Path:
        """An export of every batch."""
        lines = ExportLines(self.known, tree.subtree_of(self.contents), self.size)
        directory.mkdir()
        ledger, rows = "", lines.header()
        corrections = sorted(self.corrections.items())
        for batch in self.batches:
            while corrections and corrections[0][0] < batch.index:
                ledger += "".join(lines.correction(*corrections.pop(0)))
            declared, more = lines.batch(batch, devices, self.events.get(batch.index, ()))
            ledger, rows = ledger + "".join(declared), rows + more
        for place, row in corrections:
            ledger += "".join(lines.correction(place, row))
        written = {
            "ledger.jsonl": (ledger + lines.end()).encode(),
            "readings.csv": rows.encode(),
            "checkpoint": self.note.encode(),
            "parquet/readings.parquet": b"PAR1 some bytes",
            "verifier.py": Path(verifier.__file__).read_bytes(),
        }
        (directory / "parquet").mkdir()
        for name, data in written.items():
            (directory / name).write_bytes(data)
        self.seal(directory, signed=signed)
        return directory

    @staticmethod
    def seal(directory: Path, *, signed: bool = True) -> None:
        """Write the manifest of the files that are there."""
        own = {"manifest.json", "manifest.note"}
        files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
        digests = {
            path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.name not in own
        }
        body = manifest({"from": None, "to": None}, digests)
        (directory / "manifest.json").write_bytes(body)
        if signed:
            note = signed_note(manifest_text(body), ORIGIN, SECRET)
            (directory / "manifest.note").write_bytes(note)


def known_series() -> Known:
    """Twelve series of four devices that interleave; every fourth is of states."""
    series = {}
    for n in range(1, 13):
        unit = ("Cel", None, "", "m3/h")[n % 4]
        kind = Kind(n % 4 == 0)
        series[n] = KnownSeries(n, f'press "{n % 3}", =ä', f"m{n}", kind, unit, 1)
    registry = Registry()
    registry.learn(series.values())
    registry.learn_states(STATES)
    return Known(series, {code: name for name, code in STATES.items()}, registry)


def readings(random: np.random.Generator, count: int) -> Columns:
    series = np.sort(random.integers(1, 13, count)).astype(np.int32)
    ts = T0 + random.choice([0, 250_000, 1_000_000, -1, -(10**15), 2**62], count)
    order = np.lexsort((ts, series))
    value = random.choice([71.3, -0.0, 1e-300, 5e300, 2.0], count)
    return Columns(
        series[order],
        ts[order],
        np.where(series[order] % 4 == 0, random.integers(0, 3, count), value),
        random.choice([0, 0x40940000, 2**32 - 1], count).astype(np.uint32),
        T0 // 10**6 + random.integers(-5, 5, count),
        random.random(count) < 0.2,
        random.random(count) < 0.2,
    )


@pytest.fixture(scope="session")
def plant() -> Plant:
    """Nine batches of two shards among other leaves of a log; one batch is a tick."""
    return made_plant((40, 7, 0, 12, 1, 3, 25, 60, 9))


@pytest.fixture(scope="session")
def plant_of() -> Callable[..., Plant]:
    """Give made_plant to a test."""
    return made_plant


def made_plant(counts: Sequence[int]) -> Plant:
    """A record of two shards whose batches have so many readings, in turn."""
    random = np.random.default_rng(5)
    known = known_series()
    made = Plant(known, [], [])
    heads: dict[int, bytes] = {0: b"", 1: b"h" * 32}
    for n, count in enumerate(counts):
        made.contents += [random.bytes(32) for _ in range(int(random.integers(0, 4)))]
        which = n % 2
        columns = readings(random, count)
        leaves = reading_leaves(*records_of(columns, known.registry)) if count else []
        events = []
        if n % 3 == 1:
            values = (str(2**100), -1, "malformed", "not JSON: ä", b"\x00\xff{")
            events.append((len(leaves), "reject", values))
            leaves.append(form.REJECT.digest(*values))
        leaves += [random.bytes(32)] * (n % 2)  # one that is not exported by value
        counted = (count + len(events), count + len(events), count, len(events), 0, 0)
        entry = (
            form.SHARD.digest(*SHARDS[which]), n // 2 + 1, 1, T0 // 10**6 + n,
            T0 + n * 10**6 + 7, 0, "-1", "10", *counted, len(leaves), tree.root(leaves),
            heads[which],
        )  # fmt: skip
        batch = Logged(SHARDS[which], entry, made.size, columns, leaves)
        heads[which] = entry_hash(batch)
        made.contents.append(heads[which])
        made.batches.append(batch)
        made.events[batch.index] = events
        if n % 4 == 3:
            made.correct(n, 11 + n % 2)
    made.correct(99, 5)
    made.contents += [random.bytes(32) for _ in range(2)]
    return made


@pytest.fixture
def proof(plant) -> str:
    """The proof of a reading in the largest batch."""
    return json.dumps(plant.prove(7, 30), ensure_ascii=False)
