"""Publishing: tiles as C2SP has them, before the notes that they make provable, in each branch."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from floorlog.core.ledger.fork import Fork, Span, chain
from floorlog.core.ledger.tile import WIDTH, Frontier, Tile, Tiles, grown
from floorlog.core.ledger.tile import read_tile as tile_hashes
from floorlog.core.ledger.tree import Growing, levels, path, root, root_of_path
from floorlog.errors import RecordError
from floorlog.record.log.anchor import STATEMENT, Directory, Signer, place
from floorlog.record.log.publish import TILES_MAX, Publisher, read_leaves, read_tile

SECRET = bytes(range(32))


def leaves_of(count: int, seed: bytes = b"") -> list[bytes]:
    return [hashlib.sha256(seed + n.to_bytes(4)).digest() for n in range(count)]


def expected(leaves: list[bytes], tile: Tile) -> bytes:
    """A tile as its definition says: roots of complete subtrees, each computed alone."""
    span = WIDTH**tile.level
    begin = tile.index * WIDTH
    return b"".join(
        root(leaves[at * span : (at + 1) * span]) for at in range(begin, begin + tile.width)
    )


class Grower:
    """A log that grows, and is published; `begin` as the keeper opens it."""

    def __init__(self, anchor: Directory) -> None:
        self.anchor = anchor
        self.signer = Signer("floorlog-test", SECRET)
        self.publisher = Publisher(anchor, self.signer)
        self.tree = Growing()

    def open(self, leaves: list[bytes]):
        newest = self.publisher.open()
        self.tree = Growing()
        self.add(leaves)
        return newest

    def add(self, leaves: list[bytes]) -> None:
        self.tree.extend(leaves)
        self.publisher.frontier.extend(leaves)


def test_tiles_are_those_of_the_definition() -> None:
    """However the leaves come: the same tiles, of every level, each as its definition says."""
    leaves = leaves_of(WIDTH * WIDTH + 3 * WIDTH + 5)
    random = np.random.default_rng(5)
    frontier = Frontier()
    size, found = 0, {}
    while size < len(leaves):
        step = int(random.integers(1, 20_000))
        frontier.extend(leaves[size : size + step])
        before, size = size, min(len(leaves), size + step)
        found = frontier.full | frontier.partial()
        new = {tile for tile in grown(before, size) if tile.level is not None}
        assert new <= set(found)
    assert len(found) == WIDTH + 3 + 1 + 1 + 1 + 1  # level 0 and its rest, 1 and its rest, 2
    assert all(data == expected(leaves, tile) for tile, data in found.items())
    assert {tile.level for tile in found} == {0, 1, 2}


def test_what_was_written_is_not_written_again() -> None:
    """A frontier that begins at a size gives out only what is new above it."""
    leaves = leaves_of(700)
    frontier = Frontier(512)
    frontier.extend(leaves)
    assert set(frontier.full) == set()
    assert set(frontier.partial()) == {Tile(0, 2, 188), Tile(1, 0, 2)}
    frontier = Frontier(511)
    frontier.extend(leaves)
    assert set(frontier.full) == {Tile(0, 1)}


def test_a_proof_from_tiles_alone(tmp_path) -> None:
    """With nothing but what is outside, a leaf is proven to be in the signed log."""
    grower = Grower(Directory(tmp_path / "anchors"))
    leaves = leaves_of(3_000)
    grower.open([])
    for begin in range(0, 3_000, 700):
        grower.add(leaves[begin : begin + 700])
        grower.publisher.publish(grower.tree)
    anchor = Directory(tmp_path / "anchors")
    spans = anchor.spans()
    tiles = Tiles(lambda tile: read_tile(anchor, spans, tile), 3_000)
    for index in (0, 255, 256, 2_900, 2_999):
        proof = path(tiles.subtree, index, 3_000)
        assert root_of_path(leaves[index], index, 3_000, proof) == root(leaves)
    assert read_leaves(anchor, spans, 250, 2_950) == leaves[250:2_950]


def test_partial_tiles_go_when_the_full_one_is_there(tmp_path) -> None:
    """And are cut out of it when an older size asks for one."""
    grower = Grower(Directory(tmp_path / "anchors"))
    leaves = leaves_of(600)
    grower.open([])
    for begin, end in ((0, 100), (100, 200), (200, 600)):
        grower.add(leaves[begin:end])
        grower.publisher.publish(grower.tree)
    names = sorted(
        one.relative_to(tmp_path / "anchors").as_posix()
        for one in (tmp_path / "anchors" / "tile").rglob("*")
        if one.is_file()
    )
    assert names == ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"]
    found = read_tile(grower.anchor, [Span(0, -1, 600)], Tile(0, 0, 100))
    assert tile_hashes(found, 100) == leaves[:100]
    with pytest.raises(FileNotFoundError):
        read_tile(grower.anchor, [Span(0, -1, 2**62)], Tile(0, 3))


def test_tiles_of_an_older_release_are_made_good(tmp_path) -> None:
    """Where there are notes without tiles, all tiles are written at the next start."""
    grower = Grower(Directory(tmp_path / "anchors"))
    leaves = leaves_of(900)
    grower.open(leaves[:800])
    grower.publisher.publish(grower.tree)
    (tmp_path / "anchors" / "tile").rename(tmp_path / "away")
    again = Grower(grower.anchor)
    assert again.open(leaves).size == 800
    again.publisher.publish(again.tree)
    assert read_leaves(again.anchor, again.anchor.spans(), 0, 900) == leaves


def test_nothing_is_published_twice_or_over_another(tmp_path) -> None:
    """Once more is no harm; another log under the same names is refused."""
    grower = Grower(Directory(tmp_path / "anchors"))
    leaves = leaves_of(300)
    assert grower.open(leaves) is None
    assert grower.publisher.publish(grower.tree) is not None
    assert grower.publisher.publish(grower.tree) is None
    again = Grower(grower.anchor)
    again.open(leaves)
    assert again.publisher.publish(again.tree) is None
    other = Grower(grower.anchor)
    other.open(leaves_of(400, b"x"))
    with pytest.raises(RecordError, match=r"ANOTHER tile/"):
        other.publisher.publish(other.tree)


def test_an_anchor_that_is_away_holds_the_log_up(tmp_path) -> None:
    """Tiles wait for it, up to a limit that the keeper heeds; then all are put."""
    (tmp_path / "anchors").write_text("no directory")
    grower = Grower(Directory(tmp_path / "anchors"))
    grower.publisher.frontier = Frontier()
    grower.add(leaves_of((TILES_MAX - 8) * WIDTH))
    assert not grower.publisher.is_behind  # levels 1 and 2 count as well
    grower.add(leaves_of(8 * WIDTH))
    assert grower.publisher.is_behind
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        grower.publisher.flush()
    (tmp_path / "anchors").unlink()
    grower.publisher.flush()
    assert not grower.publisher.frontier.full


def test_branches_hold_their_own_share(tmp_path) -> None:
    """After a fork the branch's tiles lie below it, the parent's are read where they were left."""
    grower = Grower(Directory(tmp_path / "anchors"))
    leaves = leaves_of(1_000)
    grower.open(leaves[:520])
    grower.publisher.publish(grower.tree)
    grower.add(leaves[520:1_000])
    note = grower.publisher.publish(grower.tree)
    assert note is not None
    kept = leaves[:700]
    fork = Fork(
        "floorlog-test", 1, 0, 700, root(kept), 1_000, root(leaves), "2026-01-01T00:00:00Z", "why"
    )
    grower.anchor.put(place(1, STATEMENT), grower.signer.sign(str(fork)))
    grower.add(leaves_of(1, b"z"))
    with pytest.raises(RecordError, match="WAS FORKED"):
        grower.publisher.publish(grower.tree)
    branch = kept + leaves_of(200, b"y")
    again = Grower(grower.anchor)
    newest = again.open(branch)
    assert (newest.size, newest.root) == (700, root(kept))
    again.publisher.publish(again.tree)
    spans = again.anchor.spans()
    assert spans == [Span(0, -1, 700), Span(1, 700, 2**62)]
    assert read_leaves(again.anchor, spans, 0, 900) == branch
    assert again.anchor.sizes() == [520, 900]
    tiles = sorted(one.name for one in (tmp_path / "anchors/fork-0001/tile/0").iterdir())
    assert tiles == ["002", "003.p"]
    assert levels(branch[512:768])[-1] == [root(branch[512:768])]


def test_the_chain_of_a_branch() -> None:
    """Each size lies in one span; what a later fork cut off belongs to nobody."""
    one = Fork("o", 1, 0, 100, bytes(32), 150, bytes(32), "2026-01-01T00:00:00Z", "a")
    two = replace(one, number=2, parent=1, size=50)
    three = replace(one, number=3, parent=0, size=140)
    four = replace(one, number=4, parent=3, size=300)
    forks = [one, two, three, four]
    top = 2**62
    assert chain(forks, 0) == [Span(0, -1, top)]
    assert chain(forks, 1) == [Span(0, -1, 100), Span(1, 100, top)]
    assert chain(forks, 2) == [Span(0, -1, 50), Span(2, 50, top)]
    assert chain(forks, 3) == [Span(0, -1, 140), Span(3, 140, top)]
    assert chain(forks, 4) == [Span(0, -1, 140), Span(3, 140, 300), Span(4, 300, top)]
