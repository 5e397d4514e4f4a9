"""Off-normal: a state that the catalogue names abnormal."""

import numpy as np

from floorlog.core.detect.detector import Detector, Finding, Memory, Sample, Times, Verdict, span
from floorlog.core.reading import Kind
from floorlog.core.rules import Rules


class OffNormal(Detector):
    """A state series in a state that the catalogue names abnormal.

    Begins and ends with the state. Score: 1. Source: OPC UA Part 9, OffNormalAlarmType.
    """

    name = "off_normal"
    kind = Kind.STATE

    def prepare(self, rules: Rules) -> Times | None:
        """Row and code of every abnormal state as one sorted number each."""
        keys = [row << 32 | code for row, codes in rules.abnormal.items() for code in codes]
        return np.array(sorted(keys), np.int64) if keys else None

    def judge(self, sample: Sample, memory: Memory, asked: Times) -> Verdict:  # noqa: ARG002 - needs no memory
        """Whether row and code are among the abnormal ones."""
        keys = sample.row.astype(np.int64) << 32 | sample.value.astype(np.int64)
        at = np.minimum(np.searchsorted(asked, keys), len(asked) - 1)
        on = asked[at] == keys
        return Verdict(on, on.astype(np.float64), sample.previous)

    def reason(self, finding: Finding) -> str:
        """That it is so; the pipeline, which knows the state's name, puts it before this."""
        if finding.phase == "end":
            return f"back in a normal state after {span(finding.lasted_s)}"
        return "in a state that the catalogue names abnormal"
