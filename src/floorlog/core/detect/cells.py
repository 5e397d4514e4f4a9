"""The detectors' memory of every series: one grid of numbers, and its bytes."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floorlog.core.detect.detector import NEVER, Floats, Memory
from floorlog.errors import RecordError

FORMAT = 1
HEAD = struct.Struct("<BHQ")  # format, length of the layout's text, which sections are not idle
FINDINGS = ":held"
"""The end of the name of a section that holds a detector's open finding."""
SECTIONS_MAX = 64


@dataclass(frozen=True, slots=True)
class Section:
    """Some fields of the grid that belong together, with the version of their meaning."""

    name: str
    version: int
    fields: dict[str, str]  # name → "f8", "i8", or "f8:16" for a table of 16 rows
    begin: int
    end: int

    def views(self, grid: Floats) -> Memory:
        """The fields as columns, tables as rows of columns, of a grid of this section."""
        whole = grid.view(np.int64)
        found: Memory = {}
        place = 0
        for name, kind in self.fields.items():
            count = span_of(kind)
            if ":" in kind:
                found[name] = grid[place : place + count]
            else:
                found[name] = whole[place] if kind == "i8" else grid[place]
            place += count
        return found


class Cells:
    """Fields × series, every cell 8 bytes; sections lie one below the other.

    A series' bytes name the sections and their versions, and leave out those that are as at first.
    """

    def __init__(self, sections: dict[str, tuple[int, dict[str, str]]]) -> None:
        """`sections`: name → version and fields. Room for no series yet."""
        self.sections: dict[str, Section] = {}
        first: list[int] = []
        for name, (version, fields) in sections.items():
            begin = len(first)
            for kind in fields.values():
                first.extend([NEVER if kind == "i8" else 0] * span_of(kind))
            self.sections[name] = Section(name, version, dict(fields), begin, len(first))
        assert len(self.sections) <= SECTIONS_MAX
        self._first: NDArray[np.int64] = np.array(first, np.int64)
        self._begins = [section.begin for section in self.sections.values() if section.fields]
        self._kept = [section for section in self.sections.values() if section.fields]
        self._layout = _layout(self._kept)
        self.count = 0
        self._room(64)

    def grow(self, count: int) -> None:
        """Make it at least `count` series."""
        if count > self.grid.shape[1]:
            old = self.grid
            self._room(max(count, 2 * old.shape[1]))
            self.grid[:, : old.shape[1]] = old
        self.count = max(self.count, count)

    def columns(self, name: str) -> Memory:
        """A section's fields as columns over all series, to be changed in place."""
        section = self.sections[name]
        return section.views(self.grid[section.begin : section.end, : self.count])

    def take(self, name: str, rows: NDArray[np.intp]) -> Floats:
        """A section of some series, as a grid of its own; the very cells when rows are all."""
        section = self.sections[name]
        count = len(rows)
        part = self.grid[section.begin : section.end]
        if count and rows[0] == 0 and rows[-1] == count - 1 and bool((rows[1:] > rows[:-1]).all()):
            return part[:, :count]
        return part.take(rows, axis=1)

    def put(self, name: str, rows: NDArray[np.intp], grid: Floats) -> None:
        """Write back what `take` gave."""
        section = self.sections[name]
        if grid.base is None or not np.may_share_memory(grid, self.grid):
            self.grid[section.begin : section.end, rows] = grid

    def clear(self, name: str, rows: NDArray[np.intp]) -> None:
        """Put a section of some series back to how it is at first."""
        section = self.sections[name]
        first = self._first[section.begin : section.end]
        self.grid.view(np.int64)[section.begin : section.end, rows] = first[:, None]

    def dump(self, rows: NDArray[np.intp]) -> list[bytes]:
        """The bytes of each of these series."""
        cells = self.grid.view(np.int64)[:, rows]
        idle = cells == self._first[:, None]
        used = ~np.logical_and.reduceat(idle, self._begins, axis=0)
        widths = [section.end - section.begin for section in self._kept]
        mask = np.repeat(used, widths, axis=0).T
        flat = cells.T[mask].tobytes()
        bits = 1 << np.arange(len(widths), dtype=np.uint64)
        present = (used * bits[:, None]).sum(axis=0, dtype=np.uint64).tolist()
        ends = (np.cumsum(mask.sum(axis=1)) * 8).tolist()
        begins = [0, *ends[:-1]] if ends else []
        return [
            HEAD.pack(FORMAT, len(self._layout), sections) + self._layout + flat[begin:end]
            for sections, begin, end in zip(present, begins, ends, strict=True)
        ]

    def load(self, row: int, blob: bytes) -> bool:
        """Put a series' bytes back; whether they are of the same detectors, all as they are here.

        A detector that they do not know, or know by an older meaning, begins to learn; what it
        found and is open still ends. Raises RecordError when they are damaged, or of a newer
        meaning.
        """
        self.grow(row + 1)
        theirs, present, data = _parse(blob)
        column = self._first.copy()
        at = 0
        for place, (name, version, width) in enumerate(theirs):
            if not present >> place & 1:
                continue
            cells = np.frombuffer(data[8 * at : 8 * (at + width)], "<i8")
            at += width
            section = self.sections.get(name)
            if section is None:  # this release no longer has that detector
                continue
            fits = width == section.end - section.begin
            if version < section.version and fits and name.endswith(FINDINGS):
                version = section.version  # noqa: PLW2901 - the same fields in every version
            if version < section.version or (version == section.version and not fits):
                continue
            if version > section.version:
                raise RecordError(
                    f"state of detector {name} is version {version}, this release has "
                    f"{section.version}",
                    where=f"snapshot of series row {row}",
                    fix="run the release that wrote it, or delete the shard's snapshots so that "
                    "detection learns afresh",
                )
            column[section.begin : section.end] = cells
        if len(data) != 8 * at:
            raise _damaged(f"{len(data)} bytes of cells where {8 * at} are named")
        self.grid.view(np.int64)[:, row] = column
        return theirs == [(each.name, each.version, each.end - each.begin) for each in self._kept]

    def copy(self) -> tuple[int, Floats]:
        """What `restore` takes back to."""
        return self.count, self.grid[:, : self.count].copy()

    def restore(self, kept: tuple[int, Floats]) -> None:
        """Take every series back; those that came since are as at first."""
        count, grid = kept
        self._room(max(self.grid.shape[1], count))
        self.grid[:, :count] = grid

    def _room(self, capacity: int) -> None:
        grid = np.empty((len(self._first), capacity), np.int64)
        grid[:] = self._first[:, None]
        self.grid: Floats = grid.view(np.float64)


def span_of(kind: str) -> int:
    """How many cells a field of this kind takes."""
    return int(kind.partition(":")[2] or 1)


def _layout(sections: list[Section]) -> bytes:
    """Name, version and width of every section: `limit.1.4 rate.1.4`."""
    return " ".join(f"{s.name}.{s.version}.{s.end - s.begin}" for s in sections).encode()


def _parse(blob: bytes) -> tuple[list[tuple[str, int, int]], int, bytes]:
    if len(blob) < HEAD.size:
        raise _damaged(f"{len(blob)} bytes are too few")
    form, length, present = HEAD.unpack_from(blob)
    if form != FORMAT:
        raise RecordError(
            f"detector state of format {form}, this release knows {FORMAT}",
            where="snapshot",
            fix="run the release that wrote it",
        )
    try:
        words = blob[HEAD.size : HEAD.size + length].decode("ascii").split()
        parts = [word.split(".") for word in words]
        sections = [(name, int(version), int(width)) for name, version, width in parts]
    except ValueError:
        raise _damaged("its layout cannot be read") from None
    widths = [width for place, (_, _, width) in enumerate(sections) if present >> place & 1]
    data = blob[HEAD.size + length :]
    if len(data) != 8 * sum(widths):
        raise _damaged(f"{len(data)} bytes of cells where {8 * sum(widths)} are named")
    return sections, present, data


def _damaged(what: str) -> RecordError:
    return RecordError(
        f"detector state is damaged: {what}",
        where="snapshot",
        fix="delete the shard's snapshots so that detection learns afresh",
    )
