"""Tiles as C2SP tlog-tiles defines them: paths, contents, growth, and proofs out of tiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.ledger import tree
from floorlog.core.ledger.tile import (
    CONTENT_BYTES_MAX,
    WIDTH,
    Tile,
    Tiles,
    grown,
    read_bundle,
    read_tile,
    write_bundle,
)


def leaves(size: int) -> list[bytes]:
    return [tree.leaf_hash(n.to_bytes(4)) for n in range(size)]


def written(size: int) -> dict[str, bytes]:
    """The tiles of a log, each hash computed from the leaves alone."""
    hashes = leaves(size)
    return {
        tile.path: b"".join(
            tree.root(hashes[n * 256**tile.level : (n + 1) * 256**tile.level])
            for n in range(tile.index * WIDTH, tile.index * WIDTH + tile.width)
        )
        for tile in grown(0, size)
        if tile.level is not None
    }


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(1, 999, 1), "tile/1/999.p/1"),
        (Tile(None, 1000, 255), "tile/entries/x001/000.p/255"),
        (Tile(None, 5), "tile/entries/005"),
    ],
)
def test_paths(tile, path) -> None:
    """Three digits a folder, x before all but the last; a partial tile says how wide it is."""
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(st.one_of(st.none(), st.integers(0, 7)), st.integers(0, 2**54), st.integers(1, 256))
def test_any_path_comes_back(level, index, width) -> None:
    """A tile's path is read as that tile."""
    tile = Tile(level, index, width)
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0", "tile/00/000", "tile/8/000", "tile/0/x000/000", "tile/0/001/000",
        "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000/", "/tile/0/000",
        "tile/entry/000", "tile/0/../000", "tile/-1/000", "tile/0/٣٣٣", "",
    ],
)  # fmt: skip
def test_other_paths_are_refused(path) -> None:
    """There is one way to write a tile's path."""
    with pytest.raises(ValueError, match="no path"):
        Tile.parse(path)


def test_the_example_of_the_specification() -> None:
    """A log of 70,000: 273 full tiles and one of 112; one full and one of 17; one of 1."""
    tiles = [tile for tile in grown(0, 70_000) if tile.level is not None]
    shape = {
        (level, width): sum(t.level == level and t.width == width for t in tiles)
        for level, width in {(t.level, t.width) for t in tiles}
    }
    assert shape == {(0, 256): 273, (0, 112): 1, (1, 256): 1, (1, 17): 1, (2, 1): 1}
    assert [t.path for t in grown(255, 256)] == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]


@given(st.integers(0, 140_000), st.integers(0, 140_000))
def test_growth_writes_what_is_new(a, b) -> None:
    """Growing step by step writes every tile of the end, and none that both sizes share."""
    old, new = sorted((a, b))
    before, after, steps = set(grown(0, old)), set(grown(0, new)), set(grown(old, new))
    full = {tile for tile in before if tile.width == WIDTH}
    assert after <= before | steps
    assert not steps & full
    assert steps <= after


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000, 66_000])
def test_proofs_out_of_tiles(size) -> None:
    """Root, inclusion and consistency out of tiles are those of the tree in memory."""
    files, hashes = written(size), leaves(size)
    of_tiles = Tiles(lambda tile: files[tile.path], size, kept_max=3).subtree
    in_memory = tree.subtree_of(hashes)
    assert tree.span_root(of_tiles, 0, size) == tree.root(hashes)
    for index in {0, size // 3, size - 1}:
        assert tree.path(of_tiles, index, size) == tree.path(in_memory, index, size)
        assert tree.consistency(of_tiles, index, size) == tree.consistency(in_memory, index, size)


def test_an_incomplete_subtree_is_refused() -> None:
    """A hash that the log's size does not have yet is not made up."""
    with pytest.raises(ValueError, match="not complete"):
        Tiles(lambda _: b"", 300).subtree(8, 1)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=WIDTH))
def test_bundles_come_back(contents) -> None:
    """A bundle is read as the contents that were written, and only as so many."""
    data = write_bundle(contents)
    assert read_bundle(data, len(contents)) == contents
    for bent, width in [(data + b"x", len(contents)), (data, len(contents) + 1)]:
        with pytest.raises(ValueError, match="bundle"):
            read_bundle(bent, width)
    with pytest.raises(ValueError, match="bundle"):
        read_bundle(data[:-1], len(contents))


def test_limits_of_bundles_and_tiles() -> None:
    """A leaf beyond 65,535 bytes and a tile of another length are refused."""
    assert read_bundle(write_bundle([b"x" * CONTENT_BYTES_MAX]), 1) == [b"x" * CONTENT_BYTES_MAX]
    with pytest.raises(ValueError, match="at most"):
        write_bundle([b"x" * (CONTENT_BYTES_MAX + 1)])
    with pytest.raises(ValueError, match="bytes"):
        read_tile(b"x" * 33, 1)
