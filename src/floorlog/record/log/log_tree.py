"""The tree over a log that lies in the database: its root, and any subtree that a proof needs.

In memory are the roots of its blocks of 256 leaves and what lies above them: a quarter of a byte a
leaf. What lies below is read again where a proof begins or ends in a block.
"""

from floorlog.core.ledger.tree import HASH_BYTES, levels, span_root
from floorlog.errors import RecordError
from floorlog.record.rows import QUERIES, Connection, Rows

HEIGHT = 8
BLOCK = 1 << HEIGHT
BLOCKS_KEPT = 64


class LogTree:
    """The log of this size, as the connection's open transaction sees it.

    Args:
        connection: settled, in its transaction.
        size: leaves.

    Raises:
        RecordError: the log has not so many.
    """

    def __init__(self, connection: Connection, size: int) -> None:
        self._connection = connection
        self.size = size
        self._kept: dict[int, list[list[bytes]]] = {}
        complete: list[bytes] = []
        rows = Rows(connection, "log_blocks", {"size": size}) if size else None
        while rows is not None and (page := rows.page()):
            for number, joined in page:
                block = self._split(number, joined or b"")
                if len(block) == BLOCK:
                    complete.append(levels(block)[-1][0])
                self._kept = {number: levels(block)}
        self._above = levels(complete)

    def root(self) -> bytes:
        """The root over all its leaves."""
        return span_root(self.subtree, 0, self.size)

    def subtree(self, level: int, index: int) -> bytes:
        """Hash of a complete subtree: see core.ledger.tree.Subtree."""
        if level >= HEIGHT:
            return self._above[level - HEIGHT][index]
        block, place = divmod(index << level, BLOCK)
        return self._block(block)[level][place >> level]

    def _block(self, number: int) -> list[list[bytes]]:
        found = self._kept.get(number)
        if found is None:
            rows = self._connection.execute(
                QUERIES["log_block"].text, {"begin": number * BLOCK}, binary=True
            ).fetchall()
            joined = b"".join(hashed for (hashed,) in rows)
            found = levels(self._split(number, joined[: (self.size - number * BLOCK) * HASH_BYTES]))
            if len(self._kept) >= BLOCKS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[number] = found
        return found

    def _split(self, number: int, joined: bytes) -> list[bytes]:
        wanted = min(BLOCK, self.size - number * BLOCK)
        if len(joined) != wanted * HASH_BYTES:
            raise RecordError(
                f"THE LOG has not all of its leaves {number * BLOCK} to"
                f" {number * BLOCK + wanted - 1}",
                where="log",
                fix="run `floorlog verify`: it says what was changed",
            )
        return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
