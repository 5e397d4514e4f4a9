"""Assets whose series came to several shards: said once, in every shard's order, and taken back."""

import json

import numpy as np
import psycopg
import pytest

from floorlog.core.catalogue import Catalogue
from floorlog.core.protocol import Register, Registered, Survey, Take
from floorlog.core.reading import Kind
from floorlog.core.rules import NONE
from floorlog.core.series import SeriesKey, SeriesTable
from floorlog.store.catalogue import put_catalogue
from floorlog.store.leases import SURVEYS_BETWEEN_LOOKS
from floorlog.store.splits import Splits

LINE = {"devices": {"a-0": {"asset": "line"}, "b-0": {"asset": "line"}, "c-0": {"asset": "oven"}}}


def newest(record) -> tuple[int, Catalogue]:
    """Version and content."""
    ((version, body),) = record.run(
        "SELECT version, body::text FROM floorlog.catalogue ORDER BY version DESC LIMIT 1"
    )
    return version, Catalogue.decode(body.encode())


def test_an_asset_in_two_shards_is_said_and_taken_back(record) -> None:
    """As a version of the catalogue, which keeps all else; when a shard ends it is mended."""
    store, left = record.begin(shards=2)
    right = store.take(Take(left.lease_id + 1))
    version = put_catalogue(record.dsn(), json.dumps(LINE).encode())
    record.register(store, left, 1, "a")
    record.register(store, left, 1, "c")
    connection, splits = record.connect("floorlog_writer"), Splits()
    assert splits.look(connection) is None
    record.register(store, right, 1, "b")
    assert splits.look(connection) == version + 1
    said = newest(record)
    assert (said[0], said[1].acts.split) == (version + 1, ("line",))
    assert said[1].devices == Catalogue.of(LINE, "test").devices
    assert splits.look(connection) is None
    assert Splits().look(connection) is None  # by whichever worker: it is said once
    assert put_catalogue(record.dsn(), json.dumps({**LINE, "strict": True}).encode()) > said[0]
    assert newest(record)[1].acts.split == ("line",)  # a catalogue from a file keeps it
    record.commit(store, record.batch(right, 1, ended=True))
    assert splits.look(connection) is not None
    assert newest(record)[1].acts.split == ()
    connection.close()


def test_workers_look_by_themselves_and_status_tells(record) -> None:
    """A device whose metrics come to two shards is such an asset as well."""
    store, left = record.begin(shards=2)
    right = store.take(Take(left.lease_id + 1))
    for lease, metric in ((left, "t"), (right, "p")):
        key = SeriesKey("press", metric, Kind.NUMBER, "Cel", f"press-{metric}")
        assert isinstance(store.register(Register(lease, (key,), ())), Registered)
    for _ in range(SURVEYS_BETWEEN_LOOKS + 1):
        store.survey(Survey(()))
    assert newest(record)[1].acts.split == ("press",)
    with record.reader() as reader:
        assert reader.status().split == ("press",)


def test_leases_do_not_wait_for_it(record, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps a worker from looking keeps nobody from a lease."""
    store, lease = record.begin()
    tries = []

    def refused(*_: object) -> None:
        tries.append(1)
        raise psycopg.errors.QueryCanceled

    monkeypatch.setattr(Splits, "look", refused)
    for _ in range(2 * SURVEYS_BETWEEN_LOOKS):
        (view,) = store.survey(Survey(())).leases
    assert (view.lease_id, len(tries)) == (lease.lease_id, 2)


def test_a_split_asset_belongs_to_none() -> None:
    """Its sensors are judged one by one; those of other assets as before."""
    table = SeriesTable()
    rows = {device: table.row(device, "m") for device in ("a-0", "c-0", "b-0", "d")}
    content = {**LINE, "acts": {"split": ["line"]}}
    rules = Catalogue.of(content, "test").rules(table, {})
    asset = {device: int(rules.asset[row]) for device, row in rows.items()}
    assert asset["a-0"] == asset["b-0"] == NONE
    assert len({asset["c-0"], asset["d"]} - {NONE}) == 2
    assert np.unique(rules.asset).tolist() == [NONE, 0, 1]
