"""What the catalogue asks of every series, as columns by row."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

NUMBERS = (
    "lolo", "lo", "hi", "hihi", "dead_band", "on_delay_s", "off_delay_s", "rate_per_s",
    "interval_s", "range_lo", "range_hi", "setpoint", "deviation_lo", "deviation_hi",
    "deviation_dead_band", "deviation_on_delay_s", "deviation_off_delay_s", "stuck_s",
    "counter_step", "counter_wrap", "settle_s", "accepted_us",
)  # fmt: skip
REFERENCES = ("setpoint_row", "mode_row", "asset", "series")
NONE = -1
"""In a column of REFERENCES: no series is meant."""


class Rules:
    """Columns by row of the shard's SeriesTable; NaN where the catalogue asks nothing.

    Change them through `set` and `grow`: what is derived from the columns is kept until
    `revision` moves. Who writes a column directly calls `changed` afterwards.
    """

    __slots__ = (
        *NUMBERS, *REFERENCES, "abnormal", "excluded", "severities", "quantity", "range_reject",
        "revision", "suppressing",
    )  # fmt: skip

    lolo: NDArray[np.float64]  # alarm limits, in the series' unit
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]
    hihi: NDArray[np.float64]
    dead_band: NDArray[np.float64]  # how far inside a limit a value must be to end its alarm
    on_delay_s: NDArray[np.float64]  # how long beyond a limit before the alarm starts
    off_delay_s: NDArray[np.float64]  # how long inside before it ends
    rate_per_s: NDArray[np.float64]  # highest change per second, either way
    interval_s: NDArray[np.float64]  # expected time between readings
    range_lo: NDArray[np.float64]  # what can be measured at all
    range_hi: NDArray[np.float64]
    setpoint: NDArray[np.float64]  # fixed set-point
    setpoint_row: NDArray[np.int32]  # row of the series that holds the set-point
    deviation_lo: NDArray[np.float64]  # differences from the set-point that are allowed
    deviation_hi: NDArray[np.float64]
    deviation_dead_band: NDArray[np.float64]
    deviation_on_delay_s: NDArray[np.float64]
    deviation_off_delay_s: NDArray[np.float64]
    stuck_s: NDArray[np.float64]  # longest time at one value
    counter_step: NDArray[np.float64]  # what a counter adds from one reading to the next
    counter_wrap: NDArray[np.float64]  # after which it begins at 0 again
    asset: NDArray[np.int32]  # number of the asset that it belongs to
    series: NDArray[np.int32]  # id in the record: the same in every process, as rows are not
    mode_row: NDArray[np.int32]  # row of the equipment's state, by which findings are suppressed
    suppressing: dict[int, frozenset[int]]  # row → codes of the states that suppress its findings
    settle_s: NDArray[np.float64]  # for so long after it left them too
    accepted_us: NDArray[np.float64]  # µs UTC: when an operator last said that it is normal now
    excluded: dict[int, tuple[tuple[int, int], ...]]  # row → spans to learn nothing from, µs UTC
    range_reject: NDArray[np.bool_]  # reject what is out of range, instead of storing it Uncertain
    abnormal: dict[int, frozenset[int]]  # row → codes of the states that are abnormal
    severities: dict[int, dict[str, int]]  # row → severity by limit or detector
    quantity: NDArray[np.int8]  # what its unit measures, as detect/unit_error numbers it

    def __init__(self, count: int) -> None:
        """No rule for any of `count` rows."""
        for name in NUMBERS:
            setattr(self, name, np.full(count, np.nan))
        for name in REFERENCES:
            setattr(self, name, np.full(count, NONE, np.int32))
        self.range_reject = np.zeros(count, np.bool_)
        self.quantity = np.zeros(count, np.int8)
        self.abnormal, self.suppressing = {}, {}
        self.excluded, self.severities = {}, {}
        self.revision = 0

    @classmethod
    def empty(cls, count: int) -> "Rules":
        """No rule for any of `count` rows."""
        return cls(count)

    def __len__(self) -> int:
        """Count of rows."""
        return len(self.range_reject)

    def grow(self, count: int) -> None:
        """Make it at least `count` rows; the new ones have no rule."""
        more = count - len(self)
        if more <= 0:
            return
        for name in NUMBERS:
            setattr(self, name, np.concatenate([getattr(self, name), np.full(more, np.nan)]))
        for name in REFERENCES:
            column = np.append(getattr(self, name), np.full(more, NONE, np.int32))
            setattr(self, name, column)
        self.quantity = np.append(self.quantity, np.zeros(more, np.int8))
        self.range_reject = np.concatenate([self.range_reject, np.zeros(more, np.bool_)])
        self.changed()

    def set(self, row: int, *, abnormal: Iterable[int] = (), **columns: float) -> None:
        """Replace the named columns of one row, and its abnormal states when any are given."""
        self.grow(row + 1)
        for name, value in columns.items():
            getattr(self, name)[row] = value
        codes = frozenset(abnormal)
        if codes:
            self.abnormal[row] = codes
        self.changed()

    def changed(self) -> None:
        """Say that columns were written, so that what is derived from them is made anew."""
        self.revision += 1
