"""The learned ways to look at a series, which one detector weighs against each other."""

from floorlog.core.detect.daily import Daily
from floorlog.core.detect.drift import Drift
from floorlog.core.detect.novelty import Novelty
from floorlog.core.detect.shift import Shift
from floorlog.core.detect.spike import Spike

VIEWS = (
    Spike(),
    Novelty("novelty", 1),
    Novelty("slow_novelty", 2),
    Daily(),
    Shift(4),
    Drift(24),
)
