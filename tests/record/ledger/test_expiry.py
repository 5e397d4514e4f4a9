"""What may go goes, leaves few hashes, and everything else still verifies."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from aged import AGED, DAYS, OLD
from sealing import seal as seal_everything
from written import Ground, Written

from floorlog.errors import InputError
from floorlog.record.act.act import acting
from floorlog.record.act.expire import Expirer
from floorlog.record.act.reconcile import reconcile
from floorlog.record.act.retention import (
    expiries,
    left_out,
    place_hold,
    policies,
    release_hold,
    set_policy,
    step,
)
from floorlog.record.check.verify import Report, verify
from floorlog.record.export.export import Asked, export
from floorlog.record.export.prove import prove
from floorlog.record.seal import seal
from floorlog.record.verifier import Key, check_export, check_proof
from floorlog.store.migrate import KEEPER, LOGIN_ROLES, OPERATOR, READER

pytestmark = pytest.mark.slow
SAID = {"by": "Ann", "reason": "as the law asks"}
BETWEEN = DAYS * 3 // 4  # the older half of the batches is older than that, the younger is not
DEVICE = "oven"
STORED = "SELECT sum(stored), sum(rejected) FROM floorlog.batch"


@pytest.fixture(params=["open", "sealed"])
def aged(request: pytest.FixtureRequest, aged_ground: Ground) -> Iterator[Written]:
    """An aged record, in open rows or in chunks."""
    with aged_ground.copy(AGED) as copied:
        if request.param == "sealed":
            seal_everything(copied)
        yield copied


def keep(written: Written, asset: str, days: int | None, *, from_active: bool = False) -> None:
    set_policy(written.dsn(OPERATOR), asset, days, from_active=from_active, **SAID)


def expire(written: Written, batches_max: int = 3) -> list[int]:
    """All steps that there are to do; the expiries that were made."""
    made = []
    for _ in range(100):
        with acting(written.dsn(KEEPER)) as connection:
            found = step(connection, batches_max)
        if found is None:
            return made
        if found.expiry_id is not None:
            made.append(found.expiry_id)
    raise AssertionError("expiry does not end")


def verified(written: Written) -> Report:
    report = verify(written.dsn(READER), written.anchor)
    assert report.wrong == []
    assert report.ok
    return report


def readings(written: Written, where: str = "true") -> list[str]:
    """All of them in one order, with their flags."""
    rows = written.run(
        "SELECT device_id, metric, ts, value, text, quality, flags, recorded_at, arrived_at, shard,"
        f" batch FROM floorlog.reading WHERE {where}"
    )
    return sorted(map(repr, rows))


def test_nothing_goes_without_a_policy(aged) -> None:
    """Nor with one that keeps for ever, nor before its time."""
    before = readings(aged)
    assert expire(aged) == []
    keep(aged, "*", None)
    assert expire(aged) == []
    keep(aged, "*", DAYS + 10)
    assert expire(aged) == []
    assert readings(aged) == before


def test_one_asset_goes_and_the_rest_stays(aged) -> None:
    """To the reading; anomalies and conflicts go with it; a single hash a batch stays behind."""
    stays = readings(aged, f"device_id <> 'oven' OR batch > {OLD}")
    gone = readings(aged, f"device_id = 'oven' AND batch <= {OLD}")
    stored = aged.run(STORED)
    keep(aged, "oven", BETWEEN)
    made = expire(aged)
    assert len(made) >= 4
    assert readings(aged) == stays
    assert aged.run("SELECT max(cardinality(hashes)) FROM floorlog.expired") == [(1,)]
    report = verified(aged)
    assert (report.expiries, report.expired_readings) == (len(made), len(gone))
    assert aged.run(STORED) == stored
    left = aged.run(
        "SELECT count(*) FROM floorlog.conflict AS c JOIN floorlog.series AS s USING (series_id)"
        f" WHERE s.device = 'oven' AND c.number <= {OLD}"
    )
    assert left == [(0,)]
    aged.keep()
    assert verified(aged).unanchored_seconds == 0
    assert reconcile(aged.dsn(READER)).ok


def test_all_goes_and_few_hashes_stay(aged) -> None:
    """Readings, rejects with their bytes, anomalies with texts; batches and the log stay."""
    ((batches,),) = aged.run("SELECT count(*) FROM floorlog.batch")
    keep(aged, "*", BETWEEN)
    expire(aged)
    keep(aged, "*", 5)
    expire(aged)
    for table in ("open_row", "chunk", "reject", "anomaly", "conflict"):
        assert aged.run(f"SELECT count(*) FROM floorlog.{table}") == [(0,)], table
    assert aged.run("SELECT count(*) FROM floorlog.batch") == [(batches,)]
    assert aged.run("SELECT DISTINCT newest_window FROM floorlog.series_home") == [(None,)]
    aged.keep()
    report = verified(aged)
    ((stored, _),) = aged.run(STORED)
    assert (report.readings, report.expired_readings) == (0, stored)
    assert reconcile(aged.dsn(READER)).ok
    shown = expiries(aged.dsn(READER), 100)
    assert sum(one.readings for one in shown) == stored
    assert all(one.bytes_before > one.bytes_after > 0 for one in shown if one.readings > 20)
    assert "p-" in aged.run("SELECT actor FROM floorlog.retention")[0][0]


def test_what_is_left_is_proven_and_exported(aged, tmp_path) -> None:
    """A proof beside leaves that are gone, and an export that marks what expired; both verify."""
    keep(aged, "oven", BETWEEN)
    keep(aged, "press-1", BETWEEN)
    expire(aged)
    aged.keep()
    key = Key(aged.anchor.key())
    rows = aged.run(
        "SELECT device_id, metric, floorlog.to_us(ts) FROM floorlog.reading"
        " WHERE batch IN (1, 7) AND flags & 1 = 0"
    )
    for device, metric, ts_us in rows[:3]:
        found = prove(aged.dsn(READER), aged.anchor, "", device, metric, ts_us)
        assert check_proof(found.as_bytes().decode(), [key]).startswith(f"{device} {metric} = ")
    place = tmp_path / "all"
    done = export(aged.dsn(READER), aged.anchor, "", Asked(), place)
    ((left,),) = aged.run("SELECT count(*) FROM floorlog.reading")
    assert done.readings == left
    assert "a part of what they hold" in check_export(place, [key])
    assert "declared expiry" in (place / "summary.html").read_text()


def test_an_asset_in_use_is_kept_whole(aged) -> None:
    """Counting from active: while a reading is younger than the days, nothing goes at all."""
    keep(aged, "oven", BETWEEN, from_active=True)
    assert expire(aged) == []
    keep(aged, "oven", 300, from_active=True)
    assert expire(aged)
    assert readings(aged, "device_id = 'oven'") == []
    verified(aged)


def test_a_hold_wins(aged) -> None:
    """On the asset, on everything, and on devices that were of the asset when it was placed."""
    dsn = aged.dsn(OPERATOR)
    before = readings(aged)
    aged.run(
        "INSERT INTO floorlog.catalogue (version, body) VALUES (1, %s)",
        json.dumps({"devices": {"oven": {"asset": "hall"}}}),
    )
    place_hold(dsn, "hall", "case 7", **SAID)
    aged.run("INSERT INTO floorlog.catalogue (version, body) VALUES (2, '{\"devices\": {}}')")
    keep(aged, "oven", 5)
    assert expire(aged) == []
    place_hold(dsn, "*", "audit", **SAID)
    release_hold(dsn, "hall", "case 7", **SAID)
    assert expire(aged) == []
    assert readings(aged) == before
    release_hold(dsn, "*", "audit", **SAID)
    assert expire(aged)
    assert readings(aged, "device_id = 'oven'") == []
    aged.keep()
    verified(aged)


def test_a_batch_that_was_changed_keeps_only_itself(aged, caplog) -> None:
    """Expiry does not tidy away what is not as it was stored; it says so, and all else goes."""
    ((bad, reason),) = aged.run(
        "SELECT number, reason FROM floorlog.anomaly WHERE lease_id = 1 ORDER BY number LIMIT 1"
    )
    change = f"UPDATE floorlog.anomaly SET reason = %s WHERE (lease_id, number) = (1, {bad})"
    aged.run(change, "x")
    keep(aged, "*", 5)
    stays = readings(aged, f"(shard, batch) = (1, {bad})")
    expirer = Expirer()
    with aged.connect(KEEPER) as connection:
        while expirer.step(connection):
            pass
    says = f"batches {bad} to {bad} of shard-0 are not what was stored"
    assert f"NOT EXPIRED: {says}" in caplog.text
    assert readings(aged) == stays != []
    assert [str(one) for one in left_out(aged.dsn(READER))] == [says]
    report = verify(aged.dsn(READER), aged.anchor)
    assert {(one.shard, one.batch) for one in report.wrong if one.batch} == {("shard-0", bad)}
    # Mended, it goes as well, once a day has passed.
    aged.run(change, reason)
    assert expire(aged) == []
    aged.run("UPDATE floorlog.expiry_left SET recorded_at = recorded_at - interval '2 days'")
    assert len(expire(aged)) == 1
    assert readings(aged) == []
    assert left_out(aged.dsn(READER)) == []
    aged.keep()
    verified(aged)


@pytest.mark.parametrize("place", [0, 5, -1])
def test_what_cannot_be_read_keeps_only_its_batches(aged_ground, place: int) -> None:
    """A row that nobody can take apart: its shard's other batches, and other shards, go."""
    with aged_ground.copy(AGED) as aged:
        ((numbers,),) = aged.run(
            "SELECT array_agg(DISTINCT number) FROM floorlog.open_row WHERE lease_id = 1"
        )
        bad = sorted(numbers)[place]
        aged.run(
            "UPDATE floorlog.open_row SET tick_us = 2147483647, ts = NULL,"
            " ts_wide = array_fill(9223372036854775807, ARRAY[cardinality(series)])"
            " WHERE (lease_id, number) = (1, %s)",
            bad,
        )
        keep(aged, "*", 5)
        expire(aged, 100)
        assert aged.run("SELECT DISTINCT lease_id, number FROM floorlog.open_row") == [(1, bad)]
        ((left),) = left_out(aged.dsn(READER))
        assert str(left).startswith(f"batches {bad} to {bad} of shard-0 cannot be read: ")


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM floorlog.expired WHERE (lease_id, number) = (1, 2)",
        "UPDATE floorlog.expired SET readings = readings + 1 WHERE (lease_id, number) = (1, 2)",
        "UPDATE floorlog.expired SET hashes[1] = sha256('x') WHERE (lease_id, number) = (1, 2)",
        "UPDATE floorlog.expired SET expiry_id = 77 WHERE (lease_id, number) = (1, 2)",
        "DELETE FROM floorlog.expiry WHERE lease_id = 1",
        "UPDATE floorlog.expiry SET readings = readings + 1 WHERE lease_id = 1",
        "UPDATE floorlog.expiry SET series = '{1}' WHERE lease_id = 1",
        "DELETE FROM floorlog.gap WHERE (lease_id, number) = (1, 1)",
    ],
)
def test_what_went_otherwise_is_found(aged_ground, change) -> None:
    """A changed trace of expiry, and rows that went without one, are evidence that is wrong."""
    with aged_ground.copy(AGED) as aged:
        keep(aged, "oven", BETWEEN)
        expire(aged, 100)
        aged.keep()
        aged.run(change)
        report = verify(aged.dsn(READER), aged.anchor)
        assert not report.ok
        assert "evidence" in {one.kind for one in report.wrong}


def test_rejects_go_with_the_device_that_they_name(aged_ground) -> None:
    """And stay while they name one that is held."""
    with aged_ground.copy(AGED) as aged:
        held = aged.run("SELECT count(*) FROM floorlog.reject")
        keep(aged, "press-1", BETWEEN)
        expire(aged)
        assert aged.run("SELECT count(*) FROM floorlog.reject") == held
        goes = "SELECT floorlog.reject_goes(%s, %s, %s, %s)"
        bad = b'{"device_id":"oven","value":NaN}'
        assert aged.run(goes, bad, False, ["oven"], []) == [(True,)]
        assert aged.run(goes, bad, False, ["press-1", ""], []) == [(False,)]
        assert aged.run(goes, bad, True, [""], []) == [(True,)]
        for other in (
            b'{"device_id":"oven2"}',
            b'{"device_id":"big-oven"}',
            b"oven-x,5",
            b"\xc3\xa9oven",
        ):
            assert aged.run(goes, other, False, ["oven"], []) == [(False,)], other
        for same in (
            b"oven,5",
            b"5; oven\n",
            b'"{\\"id\\":\\"oven\\"}"',
            b"\x00oven\x00\xff",
            b"oven",
        ):
            assert aged.run(goes, same, False, ["oven"], []) == [(True,)], same
        odd = "a.b*(c) \\ \u00e9"
        assert aged.run(goes, f'["{odd}"]'.encode(), False, [odd], []) == [(True,)]
        assert aged.run(goes, b'["axb*(c) \\ \xc3\xa9"]', False, [odd], []) == [(False,)]
        assert aged.run(goes, bad, True, ["", "oven"], ["oven"]) == [(False,)]


def test_pairs_that_were_cut_in_two_expire(aged_ground, monkeypatch) -> None:
    """Keepers before could put a reading and what contradicts it into two chunks."""
    monkeypatch.setattr(seal, "READINGS_MAX", 1)
    monkeypatch.setattr(seal, "_cut", lambda _columns, _begin, at: at)
    with aged_ground.copy(AGED) as aged:
        seal_everything(aged)
        cut = aged.run(
            "SELECT count(*) FROM floorlog.chunk AS a JOIN floorlog.chunk AS b"
            " USING (series_id, lease_id, number_min, t_min)"
            " WHERE a.flags IS NULL AND b.flags = '{1}' AND a.count + b.count = 2"
        )
        assert cut[0][0] > 0
        stays = readings(aged, f"device_id <> 'oven' OR batch > {OLD}")
        verified(aged)
        keep(aged, "oven", BETWEEN)
        assert expire(aged)
        assert readings(aged) == stays
        for asset in ("oven", "*"):
            keep(aged, asset, 5)
        assert expire(aged)
        assert readings(aged) == []
        verified(aged)


def test_what_cannot_be_is_said(aged_ground) -> None:
    """Unknown assets, days out of range, holds twice or not there; only the keeper expires."""
    with aged_ground.copy(AGED) as aged:
        dsn = aged.dsn(OPERATOR)
        with pytest.raises(InputError, match="no asset 'nowhere'"):
            keep(aged, "nowhere", 5)
        with pytest.raises(InputError, match="0 days"):
            keep(aged, "*", 0)
        place_hold(dsn, "oven", "a", **SAID)
        with pytest.raises(InputError, match="already"):
            place_hold(dsn, "oven", "a", **SAID)
        with pytest.raises(InputError, match="it has a"):
            release_hold(dsn, "oven", "b", **SAID)
        for role in LOGIN_ROLES:
            if role != KEEPER:
                with (
                    aged.connect(role) as connection,
                    pytest.raises(psycopg.errors.InsufficientPrivilege),
                ):
                    connection.execute("SELECT floorlog.expire(1)")


def test_malformed_policies_do_no_harm(aged_ground) -> None:
    """What is no policy counts as one that keeps for ever, and expiry goes on for the others."""
    with aged_ground.copy(AGED) as aged:
        events = [
            ("retention.set", '{"asset": "oven", "days": "-1"}'),
            ("retention.set", '{"asset": "press-1", "days": {"a": 1}}'),
            ("retention.set", '{"asset": ["x"], "days": 1}'),
            ("retention.set", "[]"),
            ("retention.set", '"x"'),
            ("hold.place", "7"),
            ("hold.place", '{"hold": "x"}'),
        ]
        for action, detail in events:
            aged.run(
                "INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('p', %s, %s)",
                action, detail,
            )  # fmt: skip
        aged.run("INSERT INTO floorlog.catalogue (version, body) VALUES (1, '[1, 2]')")
        before = readings(aged, "device_id IN ('oven', 'press-1')")
        keep(aged, "*", 5)
        expire(aged)
        assert readings(aged) == before
        kept, held, due = policies(aged.dsn(READER))
        days = {one.asset: one.days for one in kept}
        assert (days["oven"], days["press-1"], days["*"]) == (None, None, 5)
        assert (held, due) == ([], [])


def test_a_declared_expiry_that_nothing_allowed_is_found(aged) -> None:
    """A superuser who expires by a policy that he takes away again, so that all is declared."""
    keep(aged, "*", BETWEEN)
    assert expire(aged)
    aged.run("DELETE FROM floorlog.audit_event WHERE action = 'retention.set'")
    aged.keep()
    wrong = verify(aged.dsn(READER), aged.anchor).wrong
    assert wrong
    assert {(one.kind, one.where) for one in wrong} == {("evidence", "expiry")}
    assert all("no policy let it go" in one.says for one in wrong)
    keep(aged, "*", BETWEEN)
    late = "UPDATE floorlog.audit_event SET recorded_at = recorded_at + interval '{}'"
    aged.run(late.format("1 day") + " WHERE action = 'retention.set'")
    aged.keep()
    wrong = verify(aged.dsn(READER), aged.anchor).wrong
    assert all("no policy let it go" in one.says for one in wrong)
    assert wrong


def test_an_expiry_of_what_was_held_is_found(aged) -> None:
    """A hold that is lifted and put back by a superuser, event and leaf, while readings go."""
    name = f"on-{DEVICE}"
    place_hold(aged.dsn(OPERATOR), DEVICE, name, **SAID)
    aged.run(
        "UPDATE floorlog.audit_event SET recorded_at = recorded_at - interval '1 hour'"
        " WHERE action = 'hold.place'"
    )
    keep(aged, "*", BETWEEN)
    aged.keep()
    held = "FROM floorlog.audit_event WHERE action = 'hold.place'"
    aged.run(f"CREATE TABLE aside AS SELECT * {held}; DELETE {held}")
    assert expire(aged)
    aged.run("INSERT INTO floorlog.audit_event OVERRIDING SYSTEM VALUE SELECT * FROM aside")
    aged.run("DROP TABLE aside")
    aged.keep()
    wrong = verify(aged.dsn(READER), aged.anchor).wrong
    assert wrong
    assert all(f"of {DEVICE}: the hold {name!r} on {DEVICE} kept it" in one.says for one in wrong)


def test_what_is_too_young_is_found(aged) -> None:
    """An expiry by a policy of fewer days than was signed."""
    keep(aged, "*", BETWEEN)
    assert expire(aged)
    days = DAYS + 10
    aged.run(
        "UPDATE floorlog.audit_event SET detail = jsonb_set(detail::jsonb, '{days}',"
        f" '{days}')::json WHERE action = 'retention.set'"
    )
    aged.keep()
    wrong = verify(aged.dsn(READER), aged.anchor).wrong
    assert wrong
    assert all(f"it was younger than {days} days" in one.says for one in wrong)


def test_an_expiry_that_is_declared_of_others_is_found(aged) -> None:
    """What went was of one device, what is declared of another, which was allowed to go."""
    keep(aged, DEVICE, BETWEEN)
    keep(aged, "press-1", BETWEEN)
    with aged.connect() as connection, connection.transaction():
        others = "detail ->> 'asset' = 'press-1'"
        connection.execute(
            f"CREATE TABLE aside AS SELECT * FROM floorlog.audit_event WHERE {others}"
        )
        connection.execute(f"DELETE FROM floorlog.audit_event WHERE {others}")
    assert expire(aged)
    aged.run("INSERT INTO floorlog.audit_event OVERRIDING SYSTEM VALUE SELECT * FROM aside")
    aged.run(
        "UPDATE floorlog.expiry SET series ="
        " (SELECT array_agg(series_id ORDER BY 1) FROM floorlog.series WHERE device = 'press-1')"
    )
    aged.keep()
    wrong = verify(aged.dsn(READER), aged.anchor).wrong
    own = {
        row[0]
        for row in aged.run(f"SELECT series_id FROM floorlog.series WHERE device = '{DEVICE}'")
    }
    assert {one.series for one in wrong} == own
    assert all("declared of other series" in one.says for one in wrong)
