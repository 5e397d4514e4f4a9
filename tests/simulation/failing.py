"""A pipeline with a detector that fails, for worlds in which that must stop nothing."""

from dataclasses import dataclass

from floorlog.core.detect.detector import Detector, Memory, Sample, Verdict
from floorlog.core.detect.panel import Panel
from floorlog.core.pipeline import Pipeline


class Odd(Detector):
    """Fails at every seventh reading of a batch or so. Source: this test."""

    name = "odd"

    def judge(self, sample: Sample, memory: Memory, asked: object) -> Verdict:  # noqa: ARG002 - needs no rules
        """Never anything."""
        if (sample.ts // 1_000_000 % 7 == 0).any():
            raise ArithmeticError("a seventh second")
        return Verdict(sample.value > 1e9, sample.value, sample.previous)


@dataclass(slots=True)
class Failing(Pipeline):
    """The production pipeline, with nothing but that detector."""

    def __post_init__(self) -> None:
        """Put the detector in."""
        self.panel = Panel([Odd()])
