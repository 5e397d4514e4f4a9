"""Several tables on their way together: side by side where they share no device."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from floorlog.source.csv_mapping import Mapping
from floorlog.source.csv_shape import Wishes, device_of, guess
from floorlog.source.pack import RECORD_READINGS_MAX, Packed, pack
from floorlog.source.replay import BLOCK_ROWS, Frame, Replay

LANES_MAX = 64
"""Tables that are open at a time; the next begins when one ends."""
BLOCK_ROWS_MIN = 64


class Convoy:
    """The readings of some tables as records to send.

    Detectors take one step for each time stamp of a batch, however many series have it: tables of
    different devices are fastest side by side. Tables that may share a device keep their order.

    Args:
        mappings: how each table becomes readings, in the order given.
    """

    def __init__(self, mappings: Sequence[Mapping]) -> None:
        """Open nothing yet."""
        lanes: dict[str | None, list[Replay]] = {}
        rows = max(BLOCK_ROWS_MIN, BLOCK_ROWS // min(len(mappings), LANES_MAX))
        for mapping in mappings:
            device = mapping.device if mapping.device_column is None else None
            lanes.setdefault(device, []).append(Replay(mapping, block_rows=rows))
        self._lanes = list(lanes.values())
        self.replays = [replay for lane in self._lanes for replay in lane]
        self.size_bytes = sum(mapping.path.stat().st_size for mapping in mappings)

    @property
    def read_bytes(self) -> int:
        """How much of the files, as they lie on the disk, has been read."""
        return sum(replay.read_bytes for replay in self.replays)

    @property
    def skipped(self) -> int:
        """Rows that are no readings."""
        return sum(replay.skipped for replay in self.replays)

    @property
    def empty(self) -> int:
        """Cells without a value, in any of its spellings."""
        return sum(replay.empty for replay in self.replays)

    def records(self) -> Iterator[Packed]:
        """Records to send. Raises InputError when a file breaks off."""
        readings_max = RECORD_READINGS_MAX // min(len(self._lanes), LANES_MAX)
        return pack(self._blocks(), readings_max=readings_max)

    def warnings(self) -> list[str]:
        """What a person should know of the files, in lines for the screen."""
        if len(self.replays) == 1:
            return self.replays[0].warnings()
        return [
            f"{replay.mapping.path.name}: {line}"
            for replay in self.replays
            for line in replay.warnings()
        ]

    def _blocks(self) -> Iterator[list[Frame]]:
        """A block of each lane in turn."""
        waiting = map(_one_after_another, self._lanes)
        running = list(islice(waiting, LANES_MAX))
        while running:
            for lane in tuple(running):
                block = next(lane, None)
                if block is not None:
                    yield block
                    continue
                running.remove(lane)
                running.extend(islice(waiting, 1))


def guess_all(paths: Sequence[Path], wishes: Wishes) -> list[Mapping]:
    """The layout of each table; no two files are taken for one device by their names alone.

    Raises:
        InputError: as `guess`, for the first that cannot be read.
    """
    mappings = [guess(path, wishes) for path in paths]
    if wishes.device_name is not None:
        return mappings
    names = device_names(paths)
    return [replace(mapping, device=name) for mapping, name in zip(mappings, names, strict=True)]


def device_names(paths: Sequence[Path]) -> list[str]:
    """Devices by the files' names, with as many folders before them as tell them apart."""
    whole = [path.absolute() for path in paths]
    named: dict[str, set[Path]] = defaultdict(set)
    for path in whole:
        named[device_of(path)].add(path)
    return [_apart(path, named[device_of(path)] - {path}) for path in whole]


def _apart(path: Path, twins: set[Path]) -> str:
    """The name that none of the others has; with its ending where they lie in one folder."""
    name, folders = device_of(path), path.parts[1:-1]
    for depth, folder in enumerate(reversed(folders), 1):
        if not twins:
            return name
        name = f"{folder}/{name}"
        twins = {twin for twin in twins if twin.parts[-1 - depth : -1] == folders[-depth:]}
    return path.name if twins else name


def _one_after_another(lane: Sequence[Replay]) -> Iterator[list[Frame]]:
    for replay in lane:
        yield from replay
