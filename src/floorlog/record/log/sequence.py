"""The sequencer: gives every leaf of the log its position, and holds the root of all of them.

The root is computed from what was read once. A leaf that is changed later in the database does not
change what is signed: the next verification finds it.
"""

import time
from collections.abc import Callable, Iterator
from importlib.resources import files

from floorlog.core.ledger.note import Checkpoint
from floorlog.core.ledger.tile import Frontier
from floorlog.core.ledger.tree import Growing
from floorlog.errors import RecordError
from floorlog.store.link import Connection
from floorlog.store.queries import parse

QUERIES = parse(files("floorlog.record.log").joinpath("log.sql").read_text("utf-8"))
LEAVES_MAX = 1_000  # a step's: each is one short transaction beside those of the workers
PAGE_LEAVES = 16_384
LATE_EVENTS_MAX = 20_000  # alarm events that one look for those that came late takes in
LATE_LOOK_SECONDS = 60.0
NEWEST = 2**63 - 1


class Sequencer:
    """The one sequencer of a record, on one session that holds the database's lease.

    Attributes:
        tree: over all leaves read so far.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._frontier = Frontier()
        self._last = b""
        self.tree = Growing()
        self._late_below = NEWEST
        self._late_at = float("-inf")

    def hold(self) -> bool:
        """Take the lease of the database; False while another keeper's session has it."""
        row = self._connection.execute(QUERIES["hold_log"].text).fetchone()
        return row is not None and bool(row[0])

    def restore(
        self, anchored: Checkpoint | None, frontier: Frontier, flush: Callable[[], None]
    ) -> None:
        """Read the whole log.

        Args:
            anchored: the newest that was signed of it.
            frontier: makes the tiles of all that is read, from now on.
            flush: takes them away; called after each page.

        Raises:
            RecordError: the log does not continue what is anchored.
        """
        self._frontier = frontier
        size = self._size()
        self._check_copies(0 if anchored is None else anchored.size)
        if anchored is not None:
            if size < anchored.size:
                raise _forked(f"SHRANK: it has {size} leaves, but {anchored.size} are anchored")
            self._read(anchored.size, flush)
            if self.tree.root() != anchored.root:
                raise _forked(f"WAS CHANGED: its first {anchored.size} leaves are not the anchored")
        self._read(size, flush)

    def step(self) -> int:
        """Give positions to some leaves; returns how many are new. Raises RecordError."""
        # Before: what was removed is unsequenced, and would get a position again.
        self._check()
        self._look_for_late()
        row = self._connection.execute(
            QUERIES["sequence"].text, {"leaves_max": LEAVES_MAX}, binary=True
        ).fetchone()
        assert row is not None, "a function returns a row"
        before = self.tree.size
        self._read(int(row[0]))
        return self.tree.size - before

    def _look_for_late(self) -> None:
        """Once a minute: alarm events of any age without a position, from the newest on down."""
        now_s = time.monotonic()
        if now_s - self._late_at < LATE_LOOK_SECONDS:
            return
        values = {"below": self._late_below, "events_max": LATE_EVENTS_MAX}
        row = self._connection.execute(
            QUERIES["sequence_late"].text, values, binary=True
        ).fetchone()
        assert row is not None, "a function returns a row"
        self._late_below, self._late_at = NEWEST if row[0] is None else int(row[0]), now_s

    def expire_shelves(self) -> None:
        """End the shelves of alarms whose time is over."""
        self._connection.execute(QUERIES["expire_shelves"].text, {"alarms_max": LEAVES_MAX})

    def keep_note(self, size: int, note: bytes) -> None:
        """Keep a copy of a note that is anchored."""
        values = {"size": size, "body": note.decode()}
        self._connection.execute(QUERIES["add_note"].text, values)

    def _size(self) -> int:
        row = self._connection.execute(QUERIES["log_size"].text, binary=True).fetchone()
        assert row is not None, "an aggregate returns a row"
        return int(row[0])

    def _check_copies(self, anchored_size: int) -> None:
        """A copy is made of what is anchored: one of more says that anchors are gone."""
        row = self._connection.execute(QUERIES["newest_copy"].text, binary=True).fetchone()
        assert row is not None, "an aggregate returns a row"
        if row[0] > anchored_size:
            raise RecordError(
                f"THE ANCHORS ARE GONE: {row[0]} leaves were anchored, {anchored_size} are now",
                where="anchor",
                fix="mount or name the place where they are (FLOORLOG_ANCHOR), or put them back;"
                " a database that a declared fork gave up has no keeper any more",
            )

    def _check(self) -> None:
        """See that the last leaf that was read is there, and as it was."""
        if not self.tree.size:
            return
        last = self.tree.size - 1
        rows = self._leaves(last, last + 1)
        if not rows:
            raise _forked(f"SHRANK: it has {self._size()} leaves after {self.tree.size}")
        if rows[0][1] != self._last:
            raise _forked(f"WAS CHANGED: leaf {last} is not what it was")

    def _read(self, size: int, after_page: Callable[[], None] = lambda: None) -> None:
        """Add the leaves up to this size."""
        while (begin := self.tree.size) < size:
            end = min(size, begin + PAGE_LEAVES)
            rows = self._leaves(begin, end)
            if [row[0] for row in rows] != list(range(begin, end)):
                raise _forked(f"WAS CHANGED: a position from {begin} to {end - 1} is missing")
            hashes = [row[1] for row in rows]
            self.tree.extend(hashes)
            self._frontier.extend(hashes)
            self._last = hashes[-1]
            after_page()

    def _leaves(self, begin: int, end: int) -> list[tuple[int, bytes]]:
        return leaves_between(self._connection, begin, end)


def leaves_between(connection: Connection, begin: int, end: int) -> list[tuple[int, bytes]]:
    """Positions and hashes from `begin` up to, not including, `end`."""
    span = {"begin": begin, "end": end}
    return connection.execute(QUERIES["log_hashes"].text, span, binary=True).fetchall()


def read_log(connection: Connection) -> Iterator[list[bytes]]:
    """The hashes of a log, a page at a time. Raises RecordError where a position is missing."""
    row = connection.execute(QUERIES["log_size"].text, binary=True).fetchone()
    assert row is not None, "an aggregate returns a row"
    for begin in range(0, int(row[0]), PAGE_LEAVES):
        end = min(int(row[0]), begin + PAGE_LEAVES)
        rows = leaves_between(connection, begin, end)
        if [row[0] for row in rows] != list(range(begin, end)):
            raise _forked(f"WAS CHANGED: a position from {begin} to {end - 1} is missing")
        yield [row[1] for row in rows]


def _forked(what: str) -> RecordError:
    mend = (
        "after a restore run `floorlog recover`; else find out who changed it with"
        " `floorlog verify`; nothing is signed until then"
    )
    return RecordError(f"THE LOG {what}", where="log", fix=mend)
