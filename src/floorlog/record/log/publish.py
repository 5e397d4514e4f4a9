"""What leaves the database: tiles, notes and time stamps of the log, each once and for good."""

import logging
from collections.abc import Callable

from floorlog.core.ledger.fork import Span
from floorlog.core.ledger.note import Checkpoint
from floorlog.core.ledger.tile import WIDTH, Frontier, Tile
from floorlog.core.ledger.tile import read_tile as tile_hashes
from floorlog.core.ledger.tree import HASH_BYTES, Growing
from floorlog.errors import RecordError
from floorlog.record.log.anchor import Anchor, Signer, note_name, place, span_of
from floorlog.record.verifier import Key, Wrong, checkpoint, signed_text

log = logging.getLogger("floorlog.keeper")

TILES_MAX = 1_024  # filled and not yet outside: with more, the log waits for its anchor


class Publisher:
    """Publishes the newest branch of one log.

    Attributes:
        frontier: makes the tiles of what the log holds.
        newest: the newest that was signed of it.
        note: the newest note and its size; None where there is none.

    Args:
        anchor: where to.
        signer: signs the notes.
        stamp: told each note that is outside, by its name; must return at once.
        keys: who else may have signed what is there.
    """

    def __init__(
        self,
        anchor: Anchor,
        signer: Signer,
        stamp: Callable[[str, bytes], None] | None = None,
        keys: str = "",
    ) -> None:
        self._anchor = anchor
        self._keys = [Key(one) for one in (str(signer.key), *keys.split())]
        self._signer = signer
        self._stamp = stamp
        self._branch = 0
        self.frontier = Frontier()
        self.newest: Checkpoint | None = None
        self.note: tuple[int, bytes] | None = None

    def open(self) -> Checkpoint | None:
        """Find where the log stands outside: the newest that was signed of it.

        Raises:
            OSError: the anchors cannot be read.
            RecordError: what is there is not signed by one of the keys.
        """
        spans = self._anchor.spans()
        self._branch = spans[-1].branch
        notes = self._anchor.notes_along(spans)
        self.newest = newest_of(self._anchor, self._keys, spans, notes)
        size = max(notes, default=0)
        self.note = (size, self._anchor.get(notes[size])) if notes else None
        begin = max(0, spans[-1].above)
        if self.newest is not None and self._has_tiles(spans, self.newest.size):
            begin = self.newest.size
        self.frontier = Frontier(begin)
        return self.newest

    def flush(self) -> None:
        """Put the tiles that were filled outside. Raises OSError, RecordError."""
        full = self.frontier.full
        for tile in list(full):
            self._anchor.put(place(self._branch, tile.path), full[tile])
            del full[tile]
            self._anchor.spare(place(self._branch, f"{tile.path}.p"))

    @property
    def is_behind(self) -> bool:
        """Whether so many tiles wait that the log should not grow."""
        return len(self.frontier.full) >= TILES_MAX

    def publish(self, tree: Growing) -> bytes | None:
        """Sign the log and put it outside; None where that note is there already.

        Raises:
            OSError: it cannot be put outside now.
            RecordError: something else is there, or the log was declared forked by another.
        """
        if self.newest is not None and tree.size <= self.newest.size:
            return None
        if len(self._anchor.statements()) != self._branch:
            raise RecordError(
                "THE LOG WAS FORKED behind this keeper",
                where="anchor",
                fix="end keepers of the database that was given up; start one on the restored one",
            )
        self.flush()
        for tile, data in self.frontier.partial().items():
            self._anchor.put(place(self._branch, tile.path), data)
        root = tree.root()
        note = self._signer.note(tree.size, root)
        name = place(self._branch, note_name(tree.size))
        # After its tiles, and before its copy: a note that only the database holds binds nobody.
        self._anchor.put(name, note)
        self.newest = Checkpoint(self._signer.key.name, tree.size, root)
        if self._stamp is not None:
            self._stamp(name, note)
        self.note = (tree.size, note)
        return note

    def _has_tiles(self, spans: list[Span], size: int) -> bool:
        last = Tile(0, (size - 1) // WIDTH, (size - 1) % WIDTH + 1)
        if size <= max(0, spans[-1].above):
            return True  # a parent's
        try:
            read_tile(self._anchor, spans, last)
        except FileNotFoundError:
            return False
        return True


def newest_of(
    anchor: Anchor, keys: list[Key], spans: list[Span], notes: dict[int, str]
) -> Checkpoint | None:
    """The newest that was signed of a log: a note, or the statement that its branch began with.

    Raises:
        RecordError: it is not signed by one of the keys.
    """
    at = max(notes, default=-1)
    name = notes.get(at, "")
    try:
        if at > spans[-1].above:
            origin, stated, root = checkpoint(anchor.get(name).decode(), keys)
            if stated != at:
                raise Wrong(f"it speaks of {stated} leaves")
            return Checkpoint(origin, stated, root)
        if not spans[-1].branch:
            return None
        statement = anchor.statements()[spans[-1].branch - 1]
        name = f"fork statement {spans[-1].branch}"
        signed_text(statement.decode(), keys)
    except ValueError as error:
        raise RecordError(
            f"THE NOTE {name} is not good: {error}",
            where="anchor",
            fix="put it back from a copy; find out who changed it",
        ) from error
    fork = anchor.forks()[spans[-1].branch - 1]
    return Checkpoint(fork.origin, fork.size, fork.root)


def read_tile(anchor: Anchor, spans: list[Span], tile: Tile) -> bytes:
    """A tile of the log that these spans make up, cut out of a wider one where that is left.

    Raises:
        FileNotFoundError: it is not outside.
    """
    branch = span_of(spans, tile.end).branch
    folder = place(branch, Tile(tile.level, tile.index).path)
    widths = {int(name.rpartition("/")[2]): name for name in anchor.names(f"{folder}.p/")}
    wider = sorted(width for width in widths if width >= tile.width)
    names = [folder, *(widths[width] for width in wider)]
    if tile.width in widths:
        names.insert(0, widths[tile.width])
    for name in names:
        try:
            return anchor.get(name)[: tile.width * HASH_BYTES]
        except FileNotFoundError:
            continue
    raise FileNotFoundError(2, "no such tile", tile.path)


def read_leaves(anchor: Anchor, spans: list[Span], begin: int, end: int) -> list[bytes]:
    """The leaves from `begin` up to, not including, `end`, as the tiles outside have them.

    Raises:
        FileNotFoundError: a tile is not outside.
        ValueError: a tile is damaged.
    """
    found: list[bytes] = []
    first = begin // WIDTH
    for index in range(first, -(-end // WIDTH)):
        width = min(WIDTH, end - index * WIDTH)
        found += tile_hashes(read_tile(anchor, spans, Tile(0, index, width)), width)
    return found[begin - first * WIDTH :]
