"""Errands: what the page has a process of its own do, what it is told meanwhile, and what comes."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from floorlog.record.trial.rehearse import Rehearsal
from floorlog.source.csv_layout import Layout
from floorlog.web.api.shape import Tally

Share = Annotated[float, Meta(ge=0, le=1)]


class Ground(Struct, frozen=True):
    """What the process needs to know of this one; sent through a pipe, for it holds a log-in."""

    dsn: str
    anchor: str = ""
    region: str = ""
    anchor_days: int = 0
    signing_key: str = ""
    stream: str = ""
    key: str = ""


class Verify(Struct, frozen=True, tag="verify"):
    """Compute the record anew; see record.verify."""

    device: str | None = None
    since: str = "-infinity"


class Export(Struct, frozen=True, tag="export"):
    """Write a part of the record into one file, a zip archive at `place`; no device is all."""

    place: str
    begin: int | None = None
    end: int | None = None
    devices: tuple[str, ...] = ()


class BackTest(Struct, frozen=True, tag="backtest"):
    """Judge a span of the record by another catalogue beside the present one."""

    body: dict[str, Any]
    begin: int
    end: int


class Look(Struct, frozen=True, tag="look"):
    """Read how a file is laid out, or whether a layout suits it."""

    path: str
    name: str
    layout: Layout | None = None


class Rehearse(Struct, frozen=True, tag="rehearse"):
    """Run a file through the worker's steps without storing anything."""

    path: str
    layout: Layout


class TakeIn(Struct, frozen=True, tag="import"):
    """Send a file's readings through the stream, and wait for the record."""

    path: str
    layout: Layout


Errand = Verify | Export | BackTest | Look | Rehearse | TakeIn


class Order(Struct, frozen=True):
    """One errand, and where."""

    ground: Ground
    errand: Errand


class Step(Struct, frozen=True, tag_field="of", tag="step"):
    """How much is done."""

    share: Share


class Failed(Struct, frozen=True, tag_field="of", tag="failed"):
    """Why it could not be done, in one line."""

    says: str


class WrongEntry(Struct, frozen=True):
    """One wrong thing, and where it is; `recorded` in µs UTC."""

    kind: str
    where: str
    says: str
    shard: str | None
    batch: int | None
    series: int | None
    recorded: int | None


class Verified(Struct, frozen=True, tag_field="of", tag="verified"):
    """What verification found; `says` is what the command line would say."""

    ok: bool
    readings: Tally
    entries: Tally
    wrong: list[WrongEntry]
    wrong_count: Tally
    anchored: Tally
    unanchored_seconds: float
    key: str
    partial: bool
    says: str


class Exported(Struct, frozen=True, tag_field="of", tag="exported"):
    """A file that is ready, and what it holds; `unanchored` batches are too new to be in it.

    `folders`: one a device, each with its own verifier, where several were asked for.
    """

    size_bytes: Tally
    files: Tally
    readings: Tally
    events: Tally
    batches: Tally
    unanchored: Tally
    is_signed: bool
    key: str
    folders: list[str]


class FoundEntry(Struct, frozen=True):
    """A finding of one configuration alone; times in µs UTC."""

    device: str
    metric: str
    detector: str
    start: int
    end: int | None
    severity: int
    reason: str


class Side(Struct, frozen=True):
    """What one configuration comes to."""

    findings: Tally
    per_1000_sensor_hours: float
    peak_10_min: Tally
    by_detector: dict[str, int]
    by_severity: dict[str, int]


class BackTested(Struct, frozen=True, tag_field="of", tag="backtested"):
    """Both configurations over the same readings; lists of what differs are cut, counts are not."""

    readings: Tally
    series: Tally
    sensor_hours: float
    begin: int | None
    end: int | None
    present: Side
    asked: Side
    gained_count: Tally
    lost_count: Tally
    gained: list[FoundEntry]
    lost: list[FoundEntry]


class Looked(Struct, frozen=True, tag_field="of", tag="looked"):
    """How a file is laid out: its columns, first rows, and what becomes of them."""

    columns: list[str]
    rows: list[list[str]]
    layout: Layout
    time_format: str
    says: list[str]


class Rehearsed(Struct, frozen=True, tag_field="of", tag="rehearsed"):
    """What would become of a file; `skipped` rows and `empty` cells would not be sent."""

    rows: Tally
    skipped: Tally
    empty: Tally
    says: list[str]
    catalogue: int
    found: Rehearsal


class Taken(Struct, frozen=True):
    """How the record's counts grew meanwhile, from whichever sender."""

    received: int
    stored: int
    rejected: int
    duplicate: int
    conflict: int


class TakenIn(Struct, frozen=True, tag_field="of", tag="taken_in"):
    """What was sent of a file; the record has all of it."""

    sent: Tally
    records: Tally
    skipped: Tally
    empty: Tally
    says: list[str]
    taken: Taken
    seconds: float


Result = Verified | Exported | BackTested | Looked | Rehearsed | TakenIn
Said = Step | Failed | Result
