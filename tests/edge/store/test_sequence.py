"""The log: every leaf gets one position, whatever commits late."""

from concurrent.futures import ThreadPoolExecutor

from floorlog.core.protocol import Register
from floorlog.core.reading import Kind
from floorlog.core.series import SeriesKey
from floorlog.store.migrate import KEEPER, OPERATOR

LEAVES = "SELECT kind, lease_id, id, hash FROM floorlog.log_leaf ORDER BY position"


def sequence(record, leaves_max: int = 1000) -> int:
    return record.run_as(KEEPER, "SELECT floorlog.sequence(%s)", leaves_max)[0][0]


def test_everything_gets_one_position(record) -> None:
    """Shards, series, states, catalogues, entries, events: each once, with its hash, no hole."""
    store, lease = record.begin(shards=2)
    keys = (SeriesKey("press", "m", Kind.NUMBER, "Cel", "press"),)
    store.register(Register(lease, keys, ("running",)))
    for number in (1, 2, 3):
        record.commit(store, record.batch(lease, number))
    first = sequence(record)
    assert first == sequence(record)
    record.run("INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('a', 'b', '{}')")
    record.commit(store, record.batch(lease, 4))
    assert sequence(record) == first + 2
    rows = record.run(LEAVES)
    assert len({row[:3] for row in rows}) == len(rows) == first + 2
    kinds = [row[0] for row in rows]
    assert {kind: kinds.count(kind) for kind in kinds} == {18: 2, 16: 1, 17: 3, 19: 1, 32: 4, 20: 1}
    heads = record.run("SELECT head FROM floorlog.batch ORDER BY number")
    assert [(row[3],) for row in rows if row[0] == 32] == heads
    positions = record.run("SELECT position FROM floorlog.log_leaf ORDER BY position")
    assert [at for (at,) in positions] == list(range(len(rows)))


def test_a_step_is_bounded(record) -> None:
    """No more leaves at once than asked for; the rest follow in order."""
    store, lease = record.begin()
    for number in range(1, 8):
        record.commit(store, record.batch(lease, number))
    sizes = [sequence(record, 3) for _ in range(5)]
    assert sizes[:2] == [3, 6]
    assert sizes[-1] == sizes[-2]
    numbers = [row[2] for row in record.run(LEAVES) if row[0] == 32]
    assert numbers == list(range(1, 8))


def test_an_event_that_commits_late_is_in_the_log(record) -> None:
    """An event with a lower number that commits after the log went on still gets its position."""
    add = (
        "INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('a', %s, '{}')"
        " RETURNING event_id"
    )
    with record.connect(OPERATOR) as slow:
        slow.autocommit = False
        ((late,),) = slow.execute(add, ["slow"]).fetchall()
        with record.connect(OPERATOR) as fast:
            ((early,),) = fast.execute(add, ["fast"]).fetchall()
        assert late < early
        sequence(record)
        assert [row[2] for row in record.run(LEAVES) if row[0] == 20] == [early]
        slow.commit()
    sequence(record)
    assert [row[2] for row in record.run(LEAVES) if row[0] == 20] == [early, late]


def test_two_keepers_at_once(record) -> None:
    """No position twice, none left out."""
    store, lease = record.begin()
    for number in range(1, 41):
        record.commit(store, record.batch(lease, number))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sequence(record, 5), range(12)))
    positions = [at for (at,) in record.run("SELECT position FROM floorlog.log_leaf")]
    assert sorted(positions) == list(range(len(positions)))
    assert len({row[:3] for row in record.run(LEAVES)}) == len(positions)
