"""The detectors: one file each, one line each in this registry."""

from floorlog.core.detect.detector import Detector
from floorlog.core.detect.limit import CriticalLimit, Limit
from floorlog.core.detect.novelty import Novelty
from floorlog.core.detect.off_normal import OffNormal
from floorlog.core.detect.out_of_range import OutOfRange
from floorlog.core.detect.rate import Rate
from floorlog.core.detect.stuck import Stuck

DETECTORS: tuple[Detector, ...] = (
    Limit(),
    CriticalLimit(),
    OutOfRange(),
    Rate(),
    OffNormal(),
    Stuck(),
    Novelty(),
)
