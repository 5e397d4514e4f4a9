"""The tree against RFC 6962: its own words, the published roots, and proofs that cannot be bent."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.ledger import tree

# The leaves and roots that implementations of certificate transparency test with.
CONTENTS = [
    b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZE_MAX = 70
# Paths and proofs over these leaves that those implementations test with: (leaf, size), (old, new).
A, B, C = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
PATHS = {
    (0, 1): [],
    (0, 8): [A, B, C],
    (5, 8): [D, E, ROOTS[4]],
    (2, 3): [ROOTS[2]],
    (1, 5): [ROOTS[1], B, D],
}
PROOFS = {(1, 1): [], (1, 8): [A, B, C], (6, 8): [F, E, ROOTS[4]], (2, 5): [B, D]}


def mth(d: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word; d holds contents of leaves."""
    if not d:
        return hashlib.sha256(b"").digest()
    if len(d) == 1:
        return hashlib.sha256(b"\x00" + d[0]).digest()
    k = largest(len(d))
    return hashlib.sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def largest(n: int) -> int:
    """The largest power of two below n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def rfc_path(m: int, d: list[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1."""
    if len(d) == 1:
        return []
    k = largest(len(d))
    if m < k:
        return [*rfc_path(m, d[:k]), mth(d[k:])]
    return [*rfc_path(m - k, d[k:]), mth(d[:k])]


def rfc_proof(m: int, d: list[bytes], b: bool) -> list[bytes]:
    """RFC 6962, section 2.1.2: SUBPROOF."""
    if m == len(d):
        return [] if b else [mth(d)]
    k = largest(len(d))
    if m <= k:
        return [*rfc_proof(m, d[:k], b), mth(d[k:])]
    return [*rfc_proof(m - k, d[k:], False), mth(d[:k])]


def contents(size: int) -> list[bytes]:
    return [b"leaf %d" % n for n in range(size)]


def hashes(size: int) -> list[bytes]:
    return [tree.leaf_hash(content) for content in contents(size)]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size) -> None:
    """The roots over the eight usual leaves are the published ones."""
    assert tree.root([tree.leaf_hash(content) for content in CONTENTS[:size]]).hex() == ROOTS[size]
    assert mth(CONTENTS[:size]).hex() == ROOTS[size]


def test_roots_and_proofs_are_those_of_the_rfc() -> None:
    """Every root, audit path and consistency proof up to 70 leaves equals the RFC's recursion."""
    for size in range(SIZE_MAX):
        content, subtree = contents(size), tree.subtree_of(hashes(size))
        assert tree.root(hashes(size)) == mth(content) == tree.span_root(subtree, 0, size)
        for index in range(size):
            assert tree.path(subtree, index, size) == rfc_path(index, content)
        for old in range(1, size):
            assert tree.consistency(subtree, old, size) == rfc_proof(old, content, True)


def test_every_proof_verifies() -> None:
    """An audit path leads to the root; a consistency proof joins the two roots; 0 and equal too."""
    for size in range(1, SIZE_MAX):
        leaves = hashes(size)
        subtree, root = tree.subtree_of(leaves), tree.root(leaves)
        for index in range(size):
            proof = tree.path(subtree, index, size)
            assert tree.root_of_path(leaves[index], index, size, proof) == root
        for old in range(size + 1):
            proof = tree.consistency(subtree, old, size)
            assert tree.is_consistent(old, tree.root(leaves[:old]), size, root, proof)


@given(st.integers(1, 300), st.data())
def test_a_bent_inclusion_proof_leads_elsewhere(size, data) -> None:
    """No other leaf, place, length or bit of the path gives the same root."""
    leaves = hashes(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = tree.path(tree.subtree_of(leaves), index, size), tree.root(leaves)
    bit = data.draw(st.integers(0, 255))
    assert tree.root_of_path(flipped(leaves[index], bit), index, size, proof) != root
    assert tree.root_of_path(leaves[index], index, size, [*proof, root]) != root
    other = data.draw(st.integers(0, size - 1).filter(lambda n: size == 1 or n != index))
    if other != index:
        assert tree.root_of_path(leaves[index], other, size, proof) != root
    if proof:
        assert tree.root_of_path(leaves[index], index, size, proof[:-1]) != root
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
        assert tree.root_of_path(leaves[index], index, size, bent) != root


@given(st.integers(2, 300), st.data())
def test_a_bent_consistency_proof_is_refused(size, data) -> None:
    """Neither another old root, nor another old size, nor a changed or cut proof passes."""
    leaves = hashes(size)
    subtree, root = tree.subtree_of(leaves), tree.root(leaves)
    old = data.draw(st.integers(1, size - 1))
    old_root, proof = tree.root(leaves[:old]), tree.consistency(subtree, old, size)
    bit = data.draw(st.integers(0, 255))
    assert not tree.is_consistent(old, flipped(old_root, bit), size, root, proof)
    assert not tree.is_consistent(old, old_root, size, flipped(root, bit), proof)
    assert not tree.is_consistent(old, old_root, size, root, proof[:-1])
    assert not tree.is_consistent(old, old_root, size, root, [*proof, root])
    at = data.draw(st.integers(0, len(proof) - 1))
    bent = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
    assert not tree.is_consistent(old, old_root, size, root, bent)


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0), (0, 2**63)])
def test_impossible_places_are_refused(index, size) -> None:
    """A place outside the tree, or a tree beyond the limit, has no root."""
    assert tree.root_of_path(b"x" * 32, index, size, []) is None


def test_sizes_must_grow() -> None:
    """A larger tree is not continued by a smaller one, nor by one of another root."""
    leaves = hashes(5)
    assert not tree.is_consistent(5, tree.root(leaves), 4, tree.root(leaves[:4]), [])
    assert not tree.is_consistent(5, tree.root(leaves), 5, tree.root(leaves[:4]), [])
    assert not tree.is_consistent(0, b"x" * 32, 5, tree.root(leaves), [])


@given(st.integers(1, 600), st.sets(st.integers(0, 599), max_size=40))
def test_a_cover_gives_the_root_to_any_leaves(size, chosen) -> None:
    """Known leaves and the cover, taken from left to right, give the root, and none is left."""
    leaves = hashes(size)
    known = sorted(index for index in chosen if index < size)
    cover = iter(tree.cover(tree.subtree_of(leaves), known, size))
    growing = tree.Growing()
    for index in known:
        growing.skip(index, cover)
        growing.add(leaves[index])
    growing.skip(size, cover)
    assert growing.root() == tree.root(leaves)
    assert growing.size == size
    assert next(cover, None) is None


def test_a_short_cover_is_an_error() -> None:
    """Where a hash is missing, skip says before which leaf."""
    with pytest.raises(ValueError, match="missing before leaf 5"):
        tree.Growing().skip(5, iter([b"x" * 32]))


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_complete_subtrees_tile_the_span(a, b) -> None:
    """They follow one another without hole or overlap, each aligned, at most two of a size."""
    begin, end = sorted((a, b))
    found = list(tree.complete(begin, end))
    edges = [(index << level, (index + 1) << level) for level, index in found]
    assert all(left[1] == right[0] for left, right in pairwise(edges))
    assert (edges[0][0], edges[-1][1]) == (begin, end) if edges else begin == end
    sizes = [level for level, _ in found]
    assert all(sizes.count(level) <= 2 for level in sizes)


def test_published_paths_and_proofs() -> None:
    """Inclusion and consistency are those that certificate transparency's own tests hold."""
    leaves = [tree.leaf_hash(content) for content in CONTENTS]

    def subtree(level: int, index: int) -> bytes:
        return tree.root(leaves[index << level : (index + 1) << level])

    for (index, size), published in PATHS.items():
        path = tree.path(subtree, index, size)
        assert [one.hex() for one in path] == published
        assert tree.root_of_path(leaves[index], index, size, path) == bytes.fromhex(ROOTS[size])
    for (old, new), published in PROOFS.items():
        proof = tree.consistency(subtree, old, new)
        assert [one.hex() for one in proof] == published
        roots = [bytes.fromhex(ROOTS[size]) for size in (old, new)]
        assert tree.is_consistent(old, roots[0], new, roots[1], proof)


@given(size=st.integers(1, 70), gone=st.sets(st.integers(0, 69)), data=st.data())
def test_a_collapsed_tree_proves_what_is_left(size, gone, data) -> None:
    """Of what is gone complete subtrees are kept: root and every cover stay the same."""
    leaves = hashes(size)
    whole = tree.subtree_of(leaves)
    left = [place for place in range(size) if place not in gone]
    cut = data.draw(st.integers(1, size))  # runs that touch, as of two expiries
    runs, begin = [], 0
    while begin < size:
        end = begin
        while end < size and end in gone and (end == begin or end % cut):
            end += 1
        if end > begin:
            runs.append((begin, end, tree.gap(whole, begin, end)))
        begin = max(end, begin + (end == begin))
    found = tree.Collapsed([leaves[place] for place in left], runs)
    assert (found.size, found.places, found.root()) == (size, left, mth(contents(size)))
    for place in left:
        assert tree.cover(found.subtree, [place], size) == tree.cover(whole, [place], size)


@pytest.mark.parametrize(
    "runs",
    [
        [(1, 3, [b"x" * 32])],
        [(0, 2, [b"x" * 32, b"y" * 32])],
        [(2, 2, [])],
        [(5, 6, [b"x" * 32])],
        [(0, 1, [b"x" * 32]), (0, 1, [b"x" * 32])],
    ],
    ids=["too few", "too many", "empty", "beyond", "twice"],
)
def test_runs_that_cannot_be_are_refused(runs) -> None:
    """Of a tree of two known leaves."""
    with pytest.raises(ValueError, match="no run that can be gone"):
        tree.Collapsed(hashes(2), runs)
