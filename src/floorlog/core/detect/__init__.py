"""The detectors: one file each, one line each in this registry."""

from floorlog.core.detect.asset_shift import AssetShift
from floorlog.core.detect.correlation import BrokenCorrelation
from floorlog.core.detect.detector import Detector
from floorlog.core.detect.deviation import Deviation
from floorlog.core.detect.flat_line import FlatLine
from floorlog.core.detect.learned import Learned
from floorlog.core.detect.limit import CriticalLimit, Limit
from floorlog.core.detect.off_normal import OffNormal
from floorlog.core.detect.out_of_range import OutOfRange
from floorlog.core.detect.rate import Rate
from floorlog.core.detect.sequence_gap import SequenceGap
from floorlog.core.detect.silence import Silence
from floorlog.core.detect.stuck import Stuck
from floorlog.core.detect.unit_error import UnitError
from floorlog.core.detect.views import VIEWS

DETECTORS: tuple[Detector, ...] = (
    Limit(),
    CriticalLimit(),
    OutOfRange(),
    Rate(),
    Deviation(),
    OffNormal(),
    FlatLine(),
    SequenceGap(),
    Stuck(),
    UnitError(),
    Learned(),
)

SILENCE = Silence()
"""Always there, beside the others: it judges the clock, not values."""

ASSET_SHIFT = AssetShift()
"""Judges the sensors of an asset together, by what the learned detector says of each."""

BROKEN_CORRELATION = BrokenCorrelation()
"""Judges pairs of sensors of an asset, by the same."""

TOGETHER: tuple[AssetShift | BrokenCorrelation, ...] = (ASSET_SHIFT, BROKEN_CORRELATION)
"""What judges the sensors of an asset together."""

EXPERIENCED = frozenset({view.name for view in VIEWS} | {each.name for each in TOGETHER})
"""Names of findings by what a series used to do, and by no rule."""

RANKED = frozenset(
    {"lolo", "lo", "hi", "hihi", SILENCE.name} | {each.name for each in DETECTORS} | EXPERIENCED
)
"""What the catalogue can give a severity to: limits one by one, and detectors."""


def describe() -> str:
    """The reference of all detectors as Markdown, from their docstrings."""
    lines = [
        "# Detectors",
        "What finds anomalies, in the words of the code. A finding has a start and an end.",
        (
            "A detector that fails is set aside in its shard for ten minutes, which a finding "
            "`set_aside:` with its name says; readings are stored all the same."
        ),
    ]
    every: list[Detector | Silence | AssetShift | BrokenCorrelation]
    every = [*DETECTORS, SILENCE, *TOGETHER]
    for detector in sorted(every, key=lambda each: each.name):
        severity = ("low", "medium", "high")[detector.severity - 1]
        lines += [
            f"## {detector.name}",
            (type(detector).__doc__ or "").replace("\n    ", "\n").strip(),
            f"Severity: {severity}. Version of its state: {detector.version}.",
        ]
        if isinstance(detector, Learned):
            for view in detector.views:
                text = (type(view).__doc__ or "").replace("\n    ", "\n").strip()
                lines += [f"### {view.name}, as a part of {detector.name}", text]
    return "\n\n".join(lines) + "\n"
