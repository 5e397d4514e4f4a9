"""Which series of a batch are not as they were stored, where the batch is known to be wrong."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from floorlog.core.ledger.batch import Columns
from floorlog.core.ledger.locator import FOUND_MAX, wrong_series
from floorlog.core.series import KnownSeries
from floorlog.record.check.batch import Batch
from floorlog.record.verifier import time_text


class SeriesNames:
    """Finds the wrong series of batches, and says which they are.

    Args:
        series: all that the record knows, by id.
    """

    def __init__(self, series: Mapping[int, KnownSeries]) -> None:
        self._series = series
        self._ids = np.array(sorted(series), np.int64)

    def wrong(self, batch: Batch, part: Columns, expired: Collection[int]) -> list[int] | None:
        """The series of which a batch holds something else than was stored; None: nobody knows.

        Args:
            batch: which; of one that stored nothing, whatever is there does not belong there.
            part: the readings that it holds.
            expired: series of which readings may be gone by declaration.
        """
        if not batch.stored and batch.locator is None:
            return [int(one) for one in np.unique(part.series)[:FOUND_MAX]]
        found = wrong_series(batch.locator or b"", part, self._ids)
        if found is None or not expired:
            return found
        here = set(part.series.tolist())
        return [one for one in found if one in here or one not in expired] or None

    def text(self, series_id: int, part: Columns) -> str:
        """A series by its names, with the times of its readings in a batch."""
        known = self._series.get(series_id)
        name = f"series {series_id}" if known is None else f"{known.device} {known.metric}"
        times = part.ts[part.series == series_id]
        if not len(times):
            return f"{name}, of which nothing is there,"
        low, high = (time_text(int(one)) for one in (times.min(), times.max()))
        return f"{name} at {low}" if low == high else f"{name} from {low} to {high}"


def part_of(columns: Columns, span: slice) -> Columns:
    """The readings of one batch among those of many."""
    return replace(
        columns, series=columns.series[span], ts=columns.ts[span], value=columns.value[span],
        quality=columns.quality[span], arrival_s=columns.arrival_s[span],
        conflict=columns.conflict[span], late=columns.late[span], batch=None,
    )  # fmt: skip
