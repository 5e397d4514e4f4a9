"""The Merkle tree of RFC 6962: roots, proofs of inclusion and of consistency, and covers.

A proof is made from a `Subtree`: a function of (level, index) that gives the hash of the complete
subtree over the leaves index × 2^level up to (index + 1) × 2^level. A tree in memory has one
(`levels`), and so has a log in tiles.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

Subtree = Callable[[int, int], bytes]

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()
SIZE_MAX = 2**62


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf with this content."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of a node over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The hashes of all complete subtrees: `levels(leaves)[level][index]`."""
    found = [list(leaves)]
    sha256 = hashlib.sha256
    while len(found[-1]) > 1:
        below = iter(found[-1])
        # zip drops the odd one out: its subtree is not complete.
        found.append([sha256(b"\x01" + a + b).digest() for a, b in zip(below, below, strict=False)])
    return found


def subtree_of(leaves: Sequence[bytes]) -> Subtree:
    """The subtrees of a tree in memory."""
    complete = levels(leaves)
    return lambda level, index: complete[level][index]


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    sha256 = hashlib.sha256
    while len(level) > 1:
        last = level[-1:] if len(level) % 2 else []
        below = iter(level)
        level = [sha256(b"\x01" + a + b).digest() for a, b in zip(below, below, strict=False)]
        level += last
    return level[0]


def complete(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The largest complete subtrees, as (level, index), that make up the leaves begin … end - 1."""
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        yield level, begin >> level
        begin += 1 << level


def span_root(subtree: Subtree, begin: int, end: int) -> bytes:
    """Root over the leaves begin … end - 1 alone, for a span that is one subtree of RFC 6962's."""
    return _joined([subtree(level, index) for level, index in complete(begin, end)])


def _joined(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return EMPTY_ROOT
    joined = hashes[-1]
    for left in reversed(hashes[:-1]):
        joined = node_hash(left, joined)
    return joined


def _split(begin: int, end: int) -> int:
    """Where RFC 6962 divides a span of two leaves or more."""
    return begin + (1 << ((end - begin - 1).bit_length() - 1))


def path(subtree: Subtree, index: int, size: int) -> list[bytes]:
    """Proof that a leaf is in the tree of this size: RFC 6962's audit path, leaf's end first."""
    assert 0 <= index < size, f"no leaf {index} in a tree of {size}"
    found = []
    begin, end = 0, size
    while end - begin > 1:
        middle = _split(begin, end)
        if index < middle:
            found.append(span_root(subtree, middle, end))
            end = middle
        else:
            found.append(span_root(subtree, begin, middle))
            begin = middle
    return found[::-1]


def root_of_path(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root to which a proof of inclusion leads (RFC 9162 2.1.3.2); None when it is not one."""
    if not 0 <= index < size <= SIZE_MAX:
        return None
    place, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return None
        if place % 2 or place == last:
            found = node_hash(one, found)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, one)
        place, last = place >> 1, last >> 1
    return found if last == 0 else None


def consistency(subtree: Subtree, old: int, new: int) -> list[bytes]:
    """Proof that the tree of size `new` continues the one of size `old` (RFC 6962 2.1.2)."""
    assert 0 <= old <= new, f"{old} and {new} are not sizes of one growing tree"
    if old in {0, new}:
        return []
    found = []
    begin, end, whole = 0, new, True
    while old != end:
        middle = _split(begin, end)
        if old <= middle:
            found.append(span_root(subtree, middle, end))
            end = middle
        else:
            found.append(span_root(subtree, begin, middle))
            begin, whole = middle, False
    if not whole:
        found.append(span_root(subtree, begin, end))
    return found[::-1]


def is_consistent(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether a proof shows that the new tree continues the old one (RFC 9162 2.1.4.2)."""
    if not 0 <= old <= new <= SIZE_MAX:
        return False
    if old in {0, new}:
        return not proof and old_root == (new_root if old else EMPTY_ROOT)
    # Where the old tree is one complete subtree, its root is not repeated in the proof.
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    found = _roots_of_consistency(old, new, hashes)
    return found == (old_root, new_root)


def _roots_of_consistency(old: int, new: int, hashes: list[bytes]) -> tuple[bytes, bytes] | None:
    if not hashes:
        return None
    place, last = old - 1, new - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    found_old = found_new = hashes[0]
    for one in hashes[1:]:
        if last == 0:
            return None
        if place % 2 or place == last:
            found_old, found_new = node_hash(one, found_old), node_hash(one, found_new)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            found_new = node_hash(found_new, one)
        place, last = place >> 1, last >> 1
    return (found_old, found_new) if last == 0 else None


def gap(subtree: Subtree, begin: int, end: int) -> list[bytes]:
    """What stands for the leaves begin … end - 1 where they are not given themselves."""
    return [subtree(level, index) for level, index in complete(begin, end)]


def cover(subtree: Subtree, known: Iterable[int], size: int) -> list[bytes]:
    """What has to be added to the known leaves (ascending) to compute the root, left to right."""
    found: list[bytes] = []
    begin = 0
    for index in known:
        found += gap(subtree, begin, index)
        begin = index + 1
    return found + gap(subtree, begin, size)


Run = tuple[int, int, Sequence[bytes]]


class Collapsed:
    """A tree of which runs of leaves are gone: see "Expiry" in docs/reference/ledger.md.

    Args:
        leaves: hashes of the leaves that are there, in order.
        runs: begin, end (not included) and the roots of the largest complete subtrees of each run
            that is gone, ascending.

    Attributes:
        size: leaves, those that are gone included.
        places: of the leaves that are there.

    Raises:
        ValueError: the runs are none that can be.
    """

    def __init__(self, leaves: Sequence[bytes], runs: Sequence[Run]) -> None:
        self.places: list[int] = []
        self._nodes: dict[tuple[int, int], bytes] = {}
        self.size = 0
        rest = iter(leaves)
        for begin, end, hashes in runs:
            self._take(rest, begin - self.size)
            parts = list(complete(begin, end))
            if not self.size == begin < end <= SIZE_MAX or len(parts) != len(hashes):
                message = f"leaves {begin} to {end - 1} are no run that can be gone"
                raise ValueError(message)
            for part, found in zip(parts, hashes, strict=True):
                self._put(*part, found)
            self.size = end
        self._take(rest, len(leaves))

    def subtree(self, level: int, index: int) -> bytes:
        """See Subtree. Raises ValueError for one below what is gone."""
        try:
            return self._nodes[level, index]
        except KeyError as error:
            message = f"subtree {level}, {index} is gone"
            raise ValueError(message) from error

    def root(self) -> bytes:
        """Root over all leaves."""
        return span_root(self.subtree, 0, self.size)

    def _take(self, leaves: Iterator[bytes], count: int) -> None:
        """Put the next leaves, so many or all that are left."""
        for _ in range(count):
            leaf = next(leaves, None)
            if leaf is None:
                return
            self.places.append(self.size)
            self._put(0, self.size, leaf)
            self.size += 1

    def _put(self, level: int, index: int, found: bytes) -> None:
        self._nodes[level, index] = found
        while index % 2 and (left := self._nodes.get((level, index - 1))) is not None:
            found = node_hash(left, found)
            level, index = level + 1, index // 2
            self._nodes[level, index] = found


class Growing:
    """Computes a root from left to right, holding one hash a level.

    Attributes:
        size: leaves so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[tuple[int, bytes]] = []  # level and hash, higher levels first

    def add(self, leaf: bytes) -> None:
        """Add one leaf's hash."""
        self._push(0, leaf)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add many leaves' hashes, whole subtrees at once."""
        place = 0
        for level, _ in complete(self.size, self.size + len(leaves)):
            end = place + (1 << level)
            self._push(level, root(leaves[place:end]))
            place = end

    def skip(self, end: int, hashes: Iterator[bytes]) -> None:
        """Go on to leaf `end` with the hashes of a gap; ValueError when they run out."""
        for level, _ in complete(self.size, end):
            found = next(hashes, None)
            if found is None:
                message = f"a hash is missing before leaf {end}"
                raise ValueError(message)
            self._push(level, found)

    def root(self) -> bytes:
        """Root over all so far."""
        return _joined([found for _, found in self._stack])

    def _push(self, level: int, found: bytes) -> None:
        self.size += 1 << level
        while self._stack and self._stack[-1][0] == level:
            found = node_hash(self._stack.pop()[1], found)
            level += 1
        self._stack.append((level, found))
