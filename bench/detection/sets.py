"""The labelled sets as columns: any folder laid out like the one with skab/, 3w22/ and nab/."""

import csv
import gzip
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Spans = list[tuple[int, int]]  # first row and the row after the last one


@dataclass(frozen=True)
class Recording:
    """One file: an asset's sensors side by side.

    Attributes:
        name: of the file, below its set's folder.
        category: the folder, for figures with one category left out.
        ts_s: seconds since 1970, by row.
        value: shape (rows, sensors); NaN where the file has none.
        sensors: names of the columns.
        spans: what is labelled abnormal, in order.
    """

    name: str
    category: str
    ts_s: NDArray[np.float64]
    value: NDArray[np.float64]
    sensors: tuple[str, ...]
    spans: Spans

    def __len__(self) -> int:
        return len(self.ts_s)

    def hours(self) -> float:
        """The time it spans, a row counted by the usual step."""
        return len(self) * float(np.median(np.diff(self.ts_s))) / 3600

    def abnormal(self) -> Flags:
        """By row: inside a labelled span."""
        flags = np.zeros(len(self), np.bool_)
        for begin, end in self.spans:
            flags[begin:end] = True
        return flags


def nab(folder: Path) -> list[Recording]:
    """Every series of `folder`/nab, with the windows that windows.json names."""
    windows = json.loads((folder / "nab" / "windows.json").read_text())
    found = []
    for path in _files(folder / "nab"):
        name = f"{path.parent.name}/{path.name.removesuffix('.gz')}"
        ts_s, sensors, value, _ = _table(path, ",", ())
        # A time stamp may stand twice: as in the benchmark's own code, its first row counts.
        row_of: dict[float, int] = {}
        for row, moment in enumerate(ts_s.tolist()):
            row_of.setdefault(moment, row)
        spans = [(row_of[_seconds(a)], row_of[_seconds(b)] + 1) for a, b in windows[name]]
        found.append(Recording(name, path.parent.name, ts_s, value, sensors, spans))
    return found


def skab(folder: Path) -> list[Recording]:
    """Every experiment of `folder`/skab, the anomaly-free run among them."""
    return [_labelled(path, ";", "anomaly", ("changepoint",)) for path in _files(folder / "skab")]


def three_w(folder: Path) -> list[Recording]:
    """Every instance of `folder`/3w22: one event each, from its first class above 0 on."""
    found = []
    for path in _files(folder / "3w22"):
        whole = _labelled(path, ",", "class", ())
        # What follows the onset is the event and its aftermath; part of it has no label.
        begun = [(begin, len(whole)) for begin, _ in whole.spans[:1]]
        found.append(replace(whole, spans=begun))
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.csv.gz"))


def _labelled(path: Path, delimiter: str, label: str, other: tuple[str, ...]) -> Recording:
    ts_s, sensors, value, column = _table(path, delimiter, (label, *other))
    on = np.concatenate([[False], np.nan_to_num(column[label]) > 0, [False]])
    turns = np.flatnonzero(on[1:] != on[:-1]).reshape(-1, 2)
    spans = [(int(begin), int(end)) for begin, end in turns]
    name = f"{path.parent.name}/{path.name.removesuffix('.csv.gz')}"
    return Recording(name, path.parent.name, ts_s, value, sensors, spans)


def _table(
    path: Path, delimiter: str, labels: tuple[str, ...]
) -> tuple[
    NDArray[np.float64], tuple[str, ...], NDArray[np.float64], dict[str, NDArray[np.float64]]
]:
    with gzip.open(path, "rt", newline="") as file:
        head, *rows = csv.reader(file, delimiter=delimiter)
    ts_s = np.array([_seconds(row[0]) for row in rows])
    cells = np.array([[float(cell or "nan") for cell in row[1:]] for row in rows])
    column = {name: cells[:, place] for place, name in enumerate(head[1:])}
    nothing = np.full(len(rows), np.nan)
    label = {name: column.pop(name, nothing) for name in labels}
    sensors = tuple(name for name, cell in column.items() if np.isfinite(cell).any())
    return ts_s, sensors, np.stack([column[name] for name in sensors], axis=1), label


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
