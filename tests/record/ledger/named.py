"""Whether verification names the very series of which readings changed, by what the view shows."""

from collections import Counter

import psycopg

from floorlog.record.check.verify import Report

Place = tuple[int, int, str]  # lease, batch, shard
Shown = dict[Place, dict[int, Counter[str]]]  # by series: its readings as text

READINGS = """
    SELECT l.lease_id, r.batch, l.shard_id, s.series_id,
        row(r.ts, r.value, r.text, r.quality, r.flags, r.arrived_at)::text
    FROM floorlog.reading AS r JOIN floorlog.lease AS l ON l.lease_id = r.shard
    LEFT JOIN floorlog.series AS s ON s.device = r.device_id AND s.metric = r.metric"""


def readings_of(connection: psycopg.Connection) -> Shown | None:
    """What the view shows; None where it shows nothing but an error."""
    found: Shown = {}
    try:
        with connection.transaction():
            rows = connection.execute(READINGS).fetchall()
    except psycopg.Error:
        return None
    for lease, batch, shard, series, reading in rows:
        of_batch = found.setdefault((lease, batch, shard), {})
        of_batch.setdefault(series or 0, Counter())[reading] += 1
    return found


def judge_series(
    before: Shown | None, after: Shown | None, old: set[tuple[int, int]], report: Report
) -> tuple[str, int]:
    """Whether exactly those series of anchored batches are named of which readings changed.

    Args:
        before: what the view showed.
        after: what it shows now.
        old: lease and number of the anchored batches.
        report: what was found.

    Returns:
        What is wrong with the report, "" for nothing; the number of batches whose series it names.
    """
    if before is None or after is None:
        return "", 0
    # A chunk that cannot be taken apart, or a column beside its readings, names its series.
    chunks = {one.series for one in report.wrong if one.where == "chunk"}
    count = 0
    for place in before.keys() | after.keys():
        was, now = before.get(place, {}), after.get(place, {})
        changed = {one for one in was.keys() | now.keys() if was.get(one) != now.get(one)}
        if not changed or place[:2] not in old or len(changed) > 2 + len(was) // 16:
            continue
        told = [one for one in report.wrong if (one.shard, one.batch) == (place[2], place[1])]
        if any("cannot be read" in one.says for one in told):
            continue
        named = {one.series for one in told if one.where == "readings"} - {None}
        if named - changed or changed - named - chunks:
            return f"series {changed} of {place} changed, named are {named}: {told}", count
        count += 1
    return "", count
