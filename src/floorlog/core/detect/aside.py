"""Set aside: a detector that fails stops nothing, and the record says that it was not asked.

What a detector raises must not keep readings from being stored, nor come again for ever. So the
batch is judged once more without the detector that failed, and it is left out for ten minutes of
the shard's clock; then it is asked again. Where even that fails, all detection is left out for as
long. The state then follows from the batches and from these findings, which are in the record: a
replay leaves out the same detectors in the same batches, and asks none to fail again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from floorlog.core.detect.panel import WHOLE, Panel
from floorlog.core.reading import MICROSECONDS, Anomaly
from floorlog.core.series import SeriesTable

ASIDE_S = 600
"""For so long by the shard's clock a detector that failed is not asked."""
PREFIX = "set_aside:"
"""Before the detector's name: what its finding is called."""
SEVERITY = 3
WORDS_MAX = 300

REPLAYED = "when the state was made again from the record"

Result = TypeVar("Result")


class Again(Exception):
    """A detector failed in a replay, and is set aside: begin once more."""


class Stands(Protocol):
    """Of a batch: its number within the shard and its clock."""

    @property
    def number(self) -> int:
        """1 for the first."""
        ...

    @property
    def clock_s(self) -> int:
        """Whole seconds UTC."""
        ...


class Aside(msgspec.Struct, array_like=True, frozen=True, order=True):
    """A detector that is left out in a shard, as its finding names it."""

    name: str  # of the detector; WHOLE = all of detection
    series_id: int  # whose finding says so: one of the shard's
    start: int  # µs UTC: the shard's clock when it failed

    def until_s(self) -> int:
        """The clock at which it is asked again."""
        return self.start // MICROSECONDS + ASIDE_S


@dataclass(slots=True)
class Asides:
    """What is left out in one shard."""

    held: tuple[Aside, ...] = ()
    replayed: dict[int, tuple[Aside, ...]] = field(default_factory=dict)
    """By batch: what failed while the state was made again."""
    said: set[Aside] = field(default_factory=set)
    """Of these, what a later batch says already."""

    def names(self) -> frozenset[str]:
        """Of the detectors that are not asked."""
        return frozenset(one.name for one in self.held)

    def unsaid(self) -> tuple[Aside, ...]:
        """What failed in a replay; the next batch has to say so."""
        every = (one for found in self.replayed.values() for one in found)
        return tuple(one for one in every if one not in self.said)

    def due(self, clock_s: int) -> tuple[Aside, ...]:
        """Let go of those whose time is over at this clock, and return them."""
        over = tuple(one for one in self.held if one.until_s() <= clock_s)
        self.held = tuple(one for one in self.held if one.until_s() > clock_s)
        return over

    def add(self, found: Iterable[Aside]) -> None:
        """Leave these out as well."""
        self.held = tuple(sorted({*self.held, *found}))

    def failed(self, panel: Panel, series_id: int, clock_s: int) -> Aside | None:
        """Leave out what the panel was asking when it failed; None when nothing is left to do so.

        The panel has to be taken back before it is asked again.
        """
        names = self.names()
        if WHOLE in names:
            return None
        name = WHOLE if panel.asking in names else panel.asking
        found = Aside(name, series_id, clock_s * MICROSECONDS)
        self.add([found])
        return found

    def follow(self, number: int, clock_s: int, recorded: Iterable[Aside]) -> None:
        """Do as batch `number` did, which said so of these detectors."""
        self.due(clock_s)
        self.said.update(recorded)
        self.add((*recorded, *self.replayed.get(number, ())))

    def failed_again(self, panel: Panel, series_id: int, batch: "Stands") -> bool:
        """Leave out what failed in the replay of a batch; False when nothing is left to do so."""
        one = self.failed(panel, series_id, batch.clock_s)
        if one is not None:
            self.replayed[batch.number] = (*self.replayed.get(batch.number, ()), one)
        return one is not None

    def guarded(
        self, panel: Panel, kept: object, series_id: int, clock_s: int, step: Callable[[], Result]
    ) -> tuple[Result, list[Anomaly]]:
        """Take a step with the panel, without what fails in it; and the findings that say so.

        Args:
            panel: is taken back to `kept`, what its copy gave, before each further attempt.
            kept: see above.
            series_id: of the series whose findings tell of it.
            clock_s: the shard's clock after the batch.
            step: whatever it raises is taken to be a defect of what the panel was asking.
        """
        told: list[Anomaly] = []
        while True:
            try:
                return step(), told
            except Exception as error:
                panel.restore(kept)
                one = self.failed(panel, series_id, clock_s)
                if one is None:
                    raise
                told.append(began(one, clock_s, words_of(error)))


def recorded(starts: Iterable[tuple[str, int, int]]) -> tuple[Aside, ...]:
    """Of findings of a batch that began, by detector, series and start: those that say so."""
    return tuple(
        Aside(detector.removeprefix(PREFIX), series_id, start)
        for detector, series_id, start in starts
        if detector.startswith(PREFIX)
    )


def inherited(
    found: Iterable[Aside], table: SeriesTable, lease_id: int, *, heir: bool
) -> Iterator[Aside]:
    """What a snapshot says is set aside. Of several heirs one says when it ends: the series' home.

    That of which another one speaks has the series 0.
    """
    for one in found:
        home = table.home[table.row_of(one.series_id)] if table.knows(one.series_id) else 0
        stays = home and (home == lease_id or not heir)
        yield one if stays else Aside(one.name, 0, one.start)


def began(one: Aside, clock_s: int, error: str) -> Anomaly:
    """The finding that a detector is left out; instead of a row it has the series' id."""
    who = "all of detection" if one.name == WHOLE else f"the detector {one.name}"
    reason = (
        f"{who} failed ({error}): until it is asked again after {ASIDE_S // 60} minutes, readings "
        "of this shard are stored, but not judged by it"
    )
    return _event(one, "start", clock_s, reason)


def ended(one: Aside, clock_s: int) -> Anomaly:
    """The end of that finding."""
    who = "all of detection" if one.name == WHOLE else f"the detector {one.name}"
    return _event(one, "end", clock_s, f"{who} is asked again")


def words_of(error: BaseException) -> str:
    """What was raised and where, in one line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        file = trace.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
        place = f" at {file}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}: {error}"[:WORDS_MAX].replace("\n", " ")


def _event(one: Aside, phase: str, clock_s: int, reason: str) -> Anomaly:
    at = max(clock_s * MICROSECONDS, one.start)
    return Anomaly(
        one.series_id, PREFIX + one.name, phase, one.start, at, SEVERITY, 1.0, 0.0, 0.0, reason
    )  # fmt: skip
