"""A superuser who knows how the ledger is made, and computes it anew to hide a change."""

from collections.abc import Sequence

import psycopg

from floorlog.core.ledger import form
from floorlog.core.ledger.tree import Collapsed
from floorlog.record.check.batch import ERRORS, Batch, entry_hash
from floorlog.record.check.content import Source, _events, _leaves, known_of
from floorlog.record.check.expiry import runs_of
from floorlog.record.check.log import shard_values
from floorlog.record.check.sealed import merged
from floorlog.record.check.stored import OpenRow, unpack
from floorlog.record.rows import QUERIES, settle

TABLE_OF_KIND = {16: "series", 17: "state", 18: "lease", 19: "catalogue", 20: "audit_event",
                 21: "alarm_event", 22: "correction", 23: "expiry"}  # fmt: skip
NUMBER_OF = {
    "series": "series_id",
    "state": "code",
    "lease": "lease_id",
    "catalogue": "version",
    "audit_event": "event_id",
    "alarm_event": "event_id",
    "correction": "correction_id",
    "expiry": "expiry_id",
}


class Forger:
    """Computes parts of the ledger anew from what stands in the tables now.

    Levels: 1 the batch's root and leaves; 2 its head as well; 3 its leaf in the log as well;
    4 every root, head, leaf and lease, in all of the record.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        settle(connection)

    def cover_up(self, keys: Sequence[tuple[int, int]], things: Sequence[str], level: int) -> int:
        """Hide what was done to these batches and things; the level that was reached."""
        try:
            with self.connection.transaction():
                if things:
                    self._things(things)
                if not keys:
                    return 3 if things else 0
                self._chain(set(keys), level)
        except (*ERRORS, psycopg.Error):
            return 0
        return level

    def _things(self, tables: Sequence[str]) -> None:
        for kind, table in TABLE_OF_KIND.items():
            if table in tables:
                number = NUMBER_OF[table]
                self.connection.execute(
                    "UPDATE floorlog.log_leaf AS g SET hash = floorlog.digest(t)"
                    f" FROM floorlog.{table} AS t WHERE g.kind = {kind} AND g.id = t.{number}"
                )

    def _ask(self, query: str, **values: object) -> list[tuple]:
        return self.connection.execute(QUERIES[query].text, values, binary=True).fetchall()

    def _chain(self, keys: set[tuple[int, int]], level: int) -> None:
        known = known_of(self.connection)
        shards = {row[0]: row for row in self._ask("shards")}
        batches = [Batch(*row) for row in self._ask("batches", since="-infinity", series=None)]
        heads: dict[int, bytes] = {}
        for batch in batches:
            key = (batch.lease_id, batch.number)
            row = shards[batch.lease_id]
            parents = [int(one) for one in row[4][1:-1].split(",") if one]
            previous = heads.get(batch.lease_id, b"")
            if batch.number == 1:
                previous = b"".join(heads.get(one, b"") for one in sorted(parents))
            made = batch
            if level == 4 or key in keys:
                tree = self._tree(batch, known)
                made = batch._replace(leaves=tree.size, root=tree.root())
            head = entry_hash(made, form.SHARD.digest(*shard_values(row)), previous)
            made = made._replace(
                head=head if level == 4 or (key in keys and level >= 2) else batch.head
            )
            heads[batch.lease_id] = made.head
            if made != batch:
                self._write(made, with_leaf=level >= 3)
        if level == 4:
            for lease_id, head in heads.items():
                self.connection.execute(
                    "UPDATE floorlog.lease SET head = %s WHERE lease_id = %s", (head, lease_id)
                )

    def _tree(self, batch: Batch, known) -> Collapsed:
        """The tree of a batch, over what stands for what expired as well."""
        key = {"leases": [batch.lease_id], "numbers": [batch.number]}
        times = [self.connection.execute(
            "SELECT recorded_at::text FROM floorlog.batch WHERE (lease_id, number) = (%s, %s)",
            (batch.lease_id, batch.number)).fetchone()[0]]  # fmt: skip
        rows = [OpenRow(*row) for row in self._ask("open_rows_of", **key)]
        sealed = Source(self.connection)._read_sealed([batch])
        columns = merged(unpack([rows]).columns, sealed)
        events = {
            "reject": self._ask("rejects_of", **key, times=times),
            "anomaly": self._ask("anomalies_of", **key, times=times),
            "gap": self._ask("gaps_of", **key),
        }
        found = _leaves(columns, known.registry, 1)[0]
        leaves = found + [one[0] for one in _events(events, known.registry)]
        return Collapsed(leaves, runs_of(self._ask("expired_of", **key)))

    def _write(self, batch: Batch, *, with_leaf: bool) -> None:
        where = (batch.lease_id, batch.number)
        self.connection.execute(
            "UPDATE floorlog.batch SET leaves = %s, root = %s, head = %s"
            " WHERE (lease_id, number) = (%s, %s)",
            (batch.leaves, batch.root, batch.head, *where),
        )
        if with_leaf:
            self.connection.execute(
                "UPDATE floorlog.log_leaf SET hash = %s"
                " WHERE kind = 32 AND (lease_id, id) = (%s, %s)",
                (batch.head, *where),
            )
