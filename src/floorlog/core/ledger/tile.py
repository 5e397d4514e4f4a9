"""The log as tiles, as C2SP tlog-tiles defines them: paths, contents, and subtrees out of tiles.

A tile of level L holds up to 256 hashes of complete subtrees over 256^L leaves each. A bundle holds
the contents of up to 256 leaves, each after its length in two bytes.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from floorlog.core.ledger.tree import HASH_BYTES, levels, root

HEIGHT = 8
WIDTH = 1 << HEIGHT
LEVEL_MAX = 7  # 2^62 leaves lie in levels 0 to 7
CONTENT_BYTES_MAX = 65_535
CHECKPOINT_PATH = "checkpoint"
_PATH = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """Which tile.

    Attributes:
        level: None for a bundle of entries.
        index: within the level.
        width: hashes or entries in it; fewer than 256 make it partial.
    """

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it lies below the log's address."""
        groups = [f"{self.index % 1000:03}"]
        rest = self.index // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        level = "entries" if self.level is None else self.level
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(groups)}{partial}"

    @property
    def end(self) -> int:
        """So many leaves the log has when this tile can be written."""
        return (self.index * WIDTH + self.width) << (HEIGHT * (self.level or 0))

    @classmethod
    def parse(cls, path: str) -> "Tile":
        """From a path. Raises ValueError for any but the one canonical path of a tile."""
        found = _PATH.fullmatch(path)
        if found:
            level = None if found[1] == "entries" else int(found[1])
            index = int(found[2].replace("/", "").replace("x", ""))
            tile = cls(level, index, int(found[3] or WIDTH))
            if (
                tile.path == path
                and (level or 0) <= LEVEL_MAX
                and (not found[3] or tile.width < WIDTH)
            ):
                return tile
        message = f"no path of a tile: {path:.80}"
        raise ValueError(message)


def grown(old: int, new: int) -> Iterator[Tile]:
    """The tiles and bundles that are new when a log grows from one size to another."""
    yield from _grown(None, old, new)
    for level in range(LEVEL_MAX + 1):
        before, after = old >> (HEIGHT * level), new >> (HEIGHT * level)
        if after == before:
            return
        yield from _grown(level, before, after)


def _grown(level: int | None, before: int, after: int) -> Iterator[Tile]:
    for index in range(before // WIDTH, -(-after // WIDTH)):
        yield Tile(level, index, min(WIDTH, after - index * WIDTH))


def write_bundle(contents: Sequence[bytes]) -> bytes:
    """A bundle of the contents of leaves. Raises ValueError for one that is too long."""
    assert 0 < len(contents) <= WIDTH, f"a bundle of {len(contents)}"
    for content in contents:
        if len(content) > CONTENT_BYTES_MAX:
            message = f"a leaf of the log has at most {CONTENT_BYTES_MAX} bytes, not {len(content)}"
            raise ValueError(message)
    return b"".join(len(content).to_bytes(2) + content for content in contents)


def read_bundle(data: bytes, width: int = WIDTH) -> list[bytes]:
    """The contents in a bundle of so many. Raises ValueError."""
    contents = []
    place = 0
    for _ in range(width):
        begin = place + 2
        place = begin + int.from_bytes(data[place:begin])
        if place > len(data) or begin > len(data):
            message = "the bundle ends too early"
            raise ValueError(message)
        contents.append(data[begin:place])
    if place != len(data):
        message = f"{len(data) - place} bytes follow the bundle"
        raise ValueError(message)
    return contents


def read_tile(data: bytes, width: int = WIDTH) -> list[bytes]:
    """The hashes in a tile. Raises ValueError."""
    if len(data) != width * HASH_BYTES:
        message = f"a tile of {width} hashes has {width * HASH_BYTES} bytes, not {len(data)}"
        raise ValueError(message)
    return [data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES)]


class Frontier:
    """Makes the tiles of a log while it grows, with one tile a level in memory.

    Attributes:
        size: leaves so far.
        full: tiles that were filled, until somebody takes them out.

    Args:
        begin: the tiles of the log of this size are written already.
    """

    def __init__(self, begin: int = 0) -> None:
        self.size = 0
        self.full: dict[Tile, bytes] = {}
        self._begin = begin
        self._levels: list[list[bytes]] = []
        self._indexes: list[int] = []

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add hashes of leaves."""
        self.size += len(leaves)
        self._fill(0, leaves)

    def partial(self) -> dict[Tile, bytes]:
        """The tiles that are not full at this size."""
        return {
            Tile(level, self._indexes[level], len(hashes)): b"".join(hashes)
            for level, hashes in enumerate(self._levels)
            if hashes
        }

    def _fill(self, level: int, hashes: Sequence[bytes]) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._indexes.append(0)
        held = self._levels[level]
        held.extend(hashes)
        above = []
        for begin in range(0, len(held) - WIDTH + 1, WIDTH):
            filled = held[begin : begin + WIDTH]
            tile = Tile(level, self._indexes[level])
            self._indexes[level] += 1
            if tile.end > self._begin:
                self.full[tile] = b"".join(filled)
            above.append(root(filled))
        if above:
            del held[: len(above) * WIDTH]
            self._fill(level + 1, above)


class Tiles:
    """The subtrees of a log of this size, read from its tiles as they are needed.

    Args:
        read: the bytes of a tile.
        size: of the log.
        kept_max: tiles kept for the next proof; the oldest is forgotten.
    """

    def __init__(self, read: Callable[[Tile], bytes], size: int, kept_max: int = 64) -> None:
        self._read = read
        self._size = size
        self._kept: dict[Tile, list[list[bytes]]] = {}
        self._kept_max = kept_max

    def subtree(self, level: int, index: int) -> bytes:
        """Hash of a complete subtree: see tree.Subtree."""
        of_tile, within = divmod(level, HEIGHT)
        tile_index, place = divmod(index << within, WIDTH)
        hashes = self._size >> (HEIGHT * of_tile)
        tile = Tile(of_tile, tile_index, min(WIDTH, hashes - tile_index * WIDTH))
        if tile.width <= place:
            message = f"subtree {level}, {index} is not complete in a log of {self._size}"
            raise ValueError(message)
        found = self._kept.get(tile)
        if found is None:
            found = levels(read_tile(self._read(tile), tile.width))
            if len(self._kept) >= self._kept_max:
                del self._kept[next(iter(self._kept))]
            self._kept[tile] = found
        return found[within][place >> within]
