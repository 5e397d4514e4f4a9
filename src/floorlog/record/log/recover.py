"""Recovery: a signed fork statement, after a database was restored to an older state of itself.

Only a true older state is declared: every leaf of its log must be as it was anchored. What was
changed is not made good by it.
"""

from collections.abc import Iterable
from datetime import datetime

import psycopg

from floorlog.core.ledger.fork import REASON_MAX, Fork, Span, chain
from floorlog.core.ledger.tree import Growing
from floorlog.errors import InputError, RecordError, ServiceError
from floorlog.record.log.anchor import STATEMENT, Anchor, Signer, place
from floorlog.record.log.anchored import Anchored
from floorlog.record.log.publish import newest_of, read_leaves
from floorlog.record.log.sequence import QUERIES, Sequencer, leaves_between, read_log
from floorlog.record.rows import unread
from floorlog.record.verifier import Key
from floorlog.store.link import Connection, Link

SESSION_SECONDS = 60.0


class Restored:
    """The log of a restored database.

    Attributes:
        size: its leaves.
        roots: its root at some of its sizes.
    """

    def __init__(self, connection: Connection, sizes: Iterable[int]) -> None:
        """Read it, and compute the root at each of these sizes that it reaches."""
        self._connection = connection
        tree = Growing()
        self.roots = {}
        wanted = sorted(set(sizes))
        for hashes in read_log(connection):
            begin = 0
            while wanted and wanted[0] <= tree.size + len(hashes) - begin:
                end = begin + wanted[0] - tree.size
                tree.extend(hashes[begin:end])
                self.roots[wanted.pop(0)] = tree.root()
                begin = end
            tree.extend(hashes[begin:])
        self.size = tree.size
        self.roots[self.size] = tree.root()

    def leaves(self, begin: int, end: int) -> list[bytes]:
        """Some of its leaves."""
        return [hashed for _, hashed in leaves_between(self._connection, begin, end)]


def recover(
    dsn: str,
    anchor: Anchor,
    signer: Signer,
    *,
    reason: str,
    actor: str,
    now: datetime,
    keys: str = "",
) -> Fork | None:
    """Declare that the log goes on from the state that the database was restored to.

    Args:
        dsn: connection string of the keeper's role.
        anchor: what was anchored; the statement goes there.
        signer: the log's key.
        reason: why, in one line.
        actor: who says so, as a pseudonym.
        now: the time, UTC.
        keys: who may have signed what is anchored; the signer alone when it is empty.

    Returns:
        The statement; None where the log continues its anchors, so that nothing is to be declared.

    Raises:
        InputError: no reason in one line, or a keeper is at work.
        RecordError: the database is not an older state of the anchored log.
        ServiceError: database or anchors do not answer.
    """
    if not reason.isprintable() or not 0 < len(reason.strip()) <= REASON_MAX:
        raise InputError(
            f"a reason of one line, up to {REASON_MAX} letters, is needed",
            where="--reason",
            fix='such as --reason "disk lost on 3 May, restored from the backup of 02:00"',
        )
    link = Link(dsn, "recover", SESSION_SECONDS)
    try:
        return _declare(link.idle(), anchor, signer, reason.strip(), actor, now, keys)
    except psycopg.Error as error:
        raise unread(error) from error
    except OSError as error:
        raise ServiceError(
            f"the anchors cannot be used: {error}",
            where="anchor",
            fix="set FLOORLOG_ANCHOR to where the notes are, and let this user write there",
        ) from error
    finally:
        link.close()


def _declare(
    connection: Connection,
    anchor: Anchor,
    signer: Signer,
    reason: str,
    actor: str,
    now: datetime,
    keys: str,
) -> Fork | None:
    if not Sequencer(connection).hold():
        raise InputError(
            "a keeper is at work on this database",
            where="database",
            fix="end it first: it and the statement must not cross",
        )
    anchored = Anchored(anchor, keys or str(signer.key))
    forks = anchored.forks
    fork = _fork(connection, anchor, anchored, reason, now)
    if fork is not None:
        anchor.put(place(fork.number, STATEMENT), signer.sign(str(fork)))
        forks.append(fork)
    _write_down(connection, anchor, forks, actor)
    return fork


def _fork(
    connection: Connection, anchor: Anchor, anchored: Anchored, reason: str, now: datetime
) -> Fork | None:
    """The fork that has to be declared; None for none. Raises RecordError."""
    if anchored.findings:
        raise RecordError(
            f"THE ANCHORS ARE NOT GOOD: {anchored.findings[0]}",
            where="anchor",
            fix="put them back from a copy; find out who changed them",
        )
    forks, spans, keys = anchored.forks, anchored.spans, anchored.keys
    newest = newest_of(anchor, keys, spans, anchor.notes_along(spans))
    if newest is None:
        return None
    branches = [chain(forks, branch) for branch in range(len(forks), -1, -1)]
    sizes = [newest.size]
    for one in branches:
        sizes += anchor.notes_along(one)
    restored = Restored(connection, sizes)
    if restored.roots.get(newest.size) == newest.root:
        return None
    parent = _parent(restored, anchor, branches, keys)
    return Fork(
        newest.origin, len(forks) + 1, parent, restored.size, restored.roots[restored.size],
        newest.size, newest.root, f"{now:%Y-%m-%dT%H:%M:%SZ}", reason,
    )  # fmt: skip


def _parent(restored: Restored, anchor: Anchor, branches: list[list[Span]], keys: list[Key]) -> int:
    """The newest branch of whose log this is an older state. Raises RecordError."""
    for spans in branches:
        notes = {
            size: name for size, name in anchor.notes_along(spans).items() if size <= restored.size
        }
        newest = newest_of(anchor, keys, spans, anchor.notes_along(spans))
        if newest is None or newest.size < restored.size:
            continue
        vouched = newest_of(anchor, keys, chain_up_to(spans, restored.size), notes)
        begin = 0 if vouched is None else vouched.size
        if vouched is not None and restored.roots.get(begin) != vouched.root:
            continue
        if _is_anchored(restored, anchor, spans, begin):
            return spans[-1].branch
    raise RecordError(
        "THE DATABASE IS NO OLDER STATE of the log that is anchored",
        where="log",
        fix="see what `floorlog verify` names; restore a backup that was not changed",
    )


def _is_anchored(restored: Restored, anchor: Anchor, spans: list[Span], begin: int) -> bool:
    """Whether the leaves after the last note are as the tiles have them."""
    try:
        return restored.leaves(begin, restored.size) == read_leaves(
            anchor, spans, begin, restored.size
        )
    except FileNotFoundError as error:
        raise RecordError(
            f"the anchors lack the tile {error.filename}",
            where="anchor",
            fix="put it back from a copy: without it nobody knows whether the log was changed",
        ) from error


def chain_up_to(spans: list[Span], size: int) -> list[Span]:
    """The spans of a log at a size."""
    return [span._replace(upto=min(span.upto, size)) for span in spans if span.above < size] or [
        spans[0]
    ]


def _write_down(connection: Connection, anchor: Anchor, forks: list[Fork], actor: str) -> None:
    """Have the log itself tell of the newest fork, once; and copy the note before it."""
    if not forks:
        return
    fork = forks[-1]
    notes = anchor.notes_along(chain(forks, fork.number))
    for size in [size for size in notes if size <= fork.size][-1:]:
        values: dict[str, object] = {"size": size, "body": anchor.get(notes[size]).decode()}
        connection.execute(QUERIES["add_note"].text, values)
    values = {
        "actor": actor,
        "number": fork.number,
        "size": fork.size,
        "lost_size": fork.lost_size,
        "statement": str(fork),
    }
    connection.execute(QUERIES["add_recovery"].text, values)
