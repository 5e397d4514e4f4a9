"""Names that come with rejected readings leave nothing behind, whatever is sent."""

import gc
import json
import tracemalloc
from collections.abc import Iterable

import numpy as np
import pytest

from floorlog.core import pipeline as pipelines
from floorlog.core.draft import Outcome
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import Registered
from floorlog.core.reading import Code, Record
from floorlog.core.series import KnownSeries

T0_S = 1_767_225_600
STRICT = b'{"strict":true,"devices":{"ok":{"metrics":{"m":{"unit":"Cel"},"late":{}}}}}'


def record(sequence: int, device: str, **fields: object) -> Record:
    """One reading that arrives in its second, unless its fields say otherwise."""
    content = {"device_id": device, "metric": "m", "ts": T0_S, "value": 1.0, **fields}
    return Record(sequence, device, T0_S * 1_000_000, json.dumps(content).encode())


def commit(pipeline: Pipeline, records: Iterable[Record]) -> Outcome:
    """Take a batch through all steps, with a record that registers whatever it is asked for."""
    draft = pipeline.draft(list(records))
    keys, names = pipeline.unregistered(draft)
    if keys or names:
        known = len(pipeline.table)
        made = tuple(
            KnownSeries(place, key.device, key.metric, key.kind, key.unit, 1)
            for place, key in enumerate(keys, known + 1)
        )
        fresh = frozenset(one.series_id for one in made)
        pipeline.register(Registered(made, fresh, dict.fromkeys(names, 7)))
    assert pipeline.inspect(draft) is None
    outcome = pipeline.settle(draft, None, None)
    pipeline.accept(outcome)
    return outcome


def strict() -> Pipeline:
    """A shard whose catalogue is strict."""
    pipeline = Pipeline(1)
    pipeline.adopt(1, STRICT)
    return pipeline


def size(pipeline: Pipeline) -> tuple[int, ...]:
    """Of everything that has a place for each name or unit."""
    rules, marks = pipeline.rules(), pipeline.marks
    assert rules.known_unit("made up 3") == rules.known_unit("made up 4") < 0
    return (
        len(pipeline.table), len(pipeline.table.id), len(pipeline.panel), len(rules),
        len(marks.ts), len(pipeline.partition_keys), len(pipeline.hashes),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("bad", ["unknown", "future", "unit"])
def test_rejected_names_take_no_row_and_no_memory(bad: str) -> None:
    """A hundred batches of new names, all rejected: no row more, and no memory to speak of."""
    pipeline = strict() if bad != "future" else Pipeline(1)
    commit(pipeline, [record(0, "ok", ts=T0_S - 1)])
    field: dict[str, object] = {"ts": T0_S + 10_000} if bad == "future" else {}
    before, kept = size(pipeline), 0
    for batch in range(100):
        if batch == 20:
            gc.collect()
            tracemalloc.start()
            kept = tracemalloc.get_traced_memory()[0]
        numbers = range(batch * 50, batch * 50 + 50)
        if bad == "unit":
            some = [record(n, "ok", unit=f"made up {n}") for n in numbers]
        else:
            some = [record(n, f"made up {n}", **field) for n in numbers]
        outcome = commit(pipeline, some)
        assert outcome.counts.rejected == len(some)
    gc.collect()  # what waits for it is no memory that names keep
    grown = tracemalloc.get_traced_memory()[0] - kept
    tracemalloc.stop()
    assert size(pipeline) == before
    assert grown < 100_000  # the names alone, with their rows, were 4,000 times 200 bytes and more


def test_a_new_series_is_registered_after_many_rejected_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Room in the table is taken by series alone; one too many is a reject, and only that one."""
    monkeypatch.setattr(pipelines, "SERIES_MAX", 2)
    pipeline = strict()
    commit(pipeline, [record(n, f"made up {n}") for n in range(500)])
    mixed = [record(500, "odd"), record(501, "ok"), record(502, "odd 2"), record(503, "ok")]
    outcome = commit(pipeline, mixed)
    assert (outcome.counts.stored, outcome.counts.duplicate, outcome.counts.rejected) == (1, 1, 2)
    assert pipeline.table.keys == [("ok", "m")]
    pipeline.adopt(2, b"{}")
    outcome = commit(pipeline, [record(n, name) for n, name in enumerate(("a", "b", "a", "c"))])
    assert [(reject.code, reject.record) for reject in outcome.rejects] == [
        (Code.TOO_MANY_SERIES, 1),
        (Code.TOO_MANY_SERIES, 3),
    ]
    assert pipeline.table.keys == [("ok", "m"), ("a", "m")]
    assert pipeline.hashes.keys() == {0, 1}


def test_any_cutting_into_batches_makes_the_same_series() -> None:
    """Good names among bad ones: the same rows, readings, rejects and state however it is cut."""
    chance = np.random.default_rng(3)
    names = ["ok", *(f"made up {n}" for n in range(6))]
    some = [
        record(
            n, names[chance.integers(len(names))], metric=("m", "late")[chance.integers(2)],
            ts=T0_S + n + 1000 * int(chance.integers(2)), value=float(n),
        )
        for n in range(120)
    ]  # fmt: skip
    results = []
    for seed in range(20):
        cuts = np.sort(np.random.default_rng(seed).integers(0, len(some), seed)).tolist()
        pipeline = strict()
        stored, rejected = [], []
        for begin, end in zip([0, *cuts], [*cuts, len(some)], strict=True):
            outcome = commit(pipeline, some[begin:end])
            rows = outcome.stored.row.tolist()
            stored += zip(rows, outcome.stored.value.tolist(), strict=True)
            rejected += [(one.code, one.data) for one in outcome.rejects]
        rows = np.arange(len(pipeline.table))
        state = (pipeline.table.keys, pipeline.panel.dump_all(rows))
        results.append((sorted(stored), sorted(rejected), state))
    assert len(results[0][0]) > 5
    assert len(results[0][1]) > 50
    assert all(result == results[0] for result in results)
