"""Which series are learned still, as batches tell the record."""

from floorlog.core.reading import Kind


def test_a_batch_tells_which_series_are_known_well_enough(record) -> None:
    """Learning until told, with the clock when it was; told again it stays, and it can go."""
    store, lease = record.begin()
    one, two = record.register(store, lease, 2)
    (state,) = record.register(store, lease, 1, prefix="door", kind=Kind.STATE)
    listed = "SELECT device_id FROM floorlog.learning ORDER BY 1"
    since = "SELECT calibrated_s FROM floorlog.series_home ORDER BY series_id"
    assert record.run(listed) == [("press-0",), ("press-1",)]
    told = ((one, True), (two, False), (state, True))
    first = record.batch(lease, 1, calibration=told)
    record.commit(store, first)
    assert record.run(since) == [(first.clock_s,), (None,), (first.clock_s,)]
    with record.reader() as reader:
        assert reader.status().learning == 1
        assert [s.is_learning for s in reader.series()] == [False, False, True]
    record.commit(store, record.batch(lease, 2, calibration=((one, True), (two, True))))
    assert record.run(since) == [(first.clock_s,), (first.clock_s + 1,), (first.clock_s,)]
    record.commit(store, record.batch(lease, 3, calibration=((one, False),)))
    assert record.run(listed) == [("press-0",)]
    assert record.run(since)[0] == (None,)
