"""Novelty: a value that is improbable by the series' own past."""

import numpy as np

from floorlog.core.detect.detector import (
    SCORE_MAX,
    Detector,
    Finding,
    Flags,
    Floats,
    Memory,
    Sample,
    Verdict,
    number,
)
from floorlog.core.detect.logarithm import LOG10_E, log10

THRESHOLD = 5.0
"""−log10 of the probability below which a reading is a finding: 1 in 100,000 readings."""
RARE_MAX = 9
"""No rarer than this is said of a value: no past is long enough."""
COUNT_MIN = 400.0
"""Readings that changed, to learn from before anything is said."""
STAY = 2.5
"""A finding goes on while readings score this: 1 in 300 readings."""
SETTLE = 64.0
"""Readings before the scale is settled enough to measure the tail by it."""
TAIL_MIN = 16.0
"""Readings in the tail to learn from before anything is said."""
LEVEL_GAIN = 1.0 / 32.0
TREND_GAIN = 1.0 / 4096.0  # a quarter of the level's squared: neither sluggish nor ringing
SCALE_GAIN = 1.0 / 256.0
TAIL_GAIN = 1.0 / 512.0
QUANTILE_GAIN = 1.0 / 128.0
QUANTILE = 0.05  # the share of readings that are the tail
QUANTILE_LOG10 = 1.3010299956639813  # −log10 of it
GATE = 1.0 / 32.0  # how much slower everything adapts inside a finding
CLIP = 2.0  # residuals count at most this many scales
SHAPE_DOUBT = 0.05  # what so few readings in the tail can feign
OFF_DELAY_S = 60.0
OFF_DELAY_READINGS = 10.0


class Novelty(Detector):
    """A reading far from its series' recent level, by a measure that the series itself calibrates.

    Level, slow trend and scale follow the values by exponentially weighted means of clipped
    residuals; the scale is floored by half the smallest step ever seen, so that quantised and
    constant series do not saturate it. |residual| / scale is calibrated by its own tail: a
    tracked 95 % quantile and a generalised Pareto law fitted by moments to the excess over it.
    Score: −log10 of the probability of so large a residual; a finding begins at 5
    and goes on above 2.5. Inside a
    finding everything adapts 32 times slower: the fault is not learned at once, yet a new normal
    is, in the end. It says nothing until calibrated: 400 changes, 16 of them in the tail.
    Sources: Holt (1957); Huber's psi (1964); peaks over threshold, Pickands (1975), in streams
    Siffer et al., KDD 2017.
    """

    name = "novelty"
    learned = True
    severity = 1
    memory = {  # noqa: RUF012 - declared ClassVar by Detector
        "count": "f8",
        "level": "f8",
        "trend": "f8",
        "scale": "f8",
        "step": "f8",  # the smallest change seen
        "quantile": "f8",
        "tail_count": "f8",
        "tail_mean": "f8",
        "tail_square": "f8",
        "held": "f8",
    }

    def judge(self, sample: Sample, memory: Memory, asked: object) -> Verdict:  # noqa: ARG002 - asks no rule
        """Score the reading against the memory, then adapt the memory."""
        count, level, trend = memory["count"], memory["level"], memory["trend"]
        anew = sample.paused | (count == 0.0)
        expected = level + trend
        np.copyto(expected, sample.value, where=anew)
        residual = sample.value - expected
        size = np.abs(residual)
        scale = _scale(sample, memory)
        z = np.minimum(size / scale, SCORE_MAX)
        quantile = memory["quantile"]
        over = z > quantile
        excess = z - quantile
        mean, tail_count = memory["tail_mean"], memory["tail_count"]
        # At least as heavy as the exponential law; wider while few readings are in the tail.
        width = np.maximum(mean, np.sqrt(memory["tail_square"] * 0.5))
        width *= 1.0 + 16.0 / (tail_count + 16.0)
        score = QUANTILE_LOG10 + excess / np.maximum(width, 1e-3) * LOG10_E
        on = over & (score >= THRESHOLD)
        on &= (count >= COUNT_MIN) & (tail_count >= TAIL_MIN)
        if on.any():
            _refine(score, excess, width, memory)
            on &= score >= THRESHOLD
        held = memory["held"]
        stay = over & (score >= STAY)
        np.copyto(held, stay & (on | (held > 0.0)))
        gate = np.where(held > 0.0, GATE, 1.0)
        # An unchanged value tells nothing of the scale: a stuck sensor must not narrow it.
        telling = (sample.change > 0.0) | (count == 0.0)
        _learn_value(memory, expected, residual, size, scale, gate, telling)
        np.copyto(trend, 0.0, where=anew)
        _learn_tail(memory, over, excess, gate * telling)
        count += telling
        return Verdict(on, np.minimum(score, SCORE_MAX), expected, stay=stay)

    def ready(self, memory: Memory) -> Flags:
        """Enough changes, and enough of them in the tail."""
        return (memory["count"] >= COUNT_MIN) & (memory["tail_count"] >= TAIL_MIN)

    def delays_s(self, sample: Sample, asked: object) -> tuple[Floats, Floats]:  # noqa: ARG002 - asks no rule
        """At once on; off after a minute, and at least some readings, of calm."""
        none = np.zeros(len(sample.row))
        return none, np.maximum(OFF_DELAY_S, sample.elapsed_s * OFF_DELAY_READINGS)

    def grade(self, score: float) -> int:
        """Low, or medium when beyond any doubt."""
        return 2 if score >= 3 * THRESHOLD else 1

    def reason(self, finding: Finding) -> str:
        """The value beside the expected one, and how rare that is."""
        if finding.phase == "end":
            return f"as usual again, at {number(finding.value)}"
        return (
            f"{number(finding.value)} where about {number(finding.expected)} was expected: "
            f"by its own past, fewer than one reading in 10^{min(int(finding.score), RARE_MAX)}"
        )


def _scale(sample: Sample, memory: Memory) -> Floats:
    """The scale, floored: by half the smallest step seen, and by what float64 can tell apart."""
    step = memory["step"]
    change = sample.change
    grown = step * 1.001
    smaller = np.where(step > 0.0, np.minimum(grown, change), change)
    np.copyto(step, smaller, where=change > 0.0)
    floor = np.maximum(step * 0.5, np.abs(memory["level"]) * 1e-9)
    return np.maximum(np.maximum(memory["scale"], floor), 1e-290)


def _refine(score: Floats, excess: Floats, width: Floats, memory: Memory) -> None:
    """Where a score is high, replace the exponential law by the generalised Pareto law.

    By the method of moments: shape = (1 − mean² / variance) / 2, less a doubt, up to 0.4.
    """
    high = np.flatnonzero(score >= THRESHOLD)
    mean, square = memory["tail_mean"][high], memory["tail_square"][high]
    variance = np.maximum(square - mean * mean, 1e-12)
    shape = np.minimum(0.5 * (1.0 - mean * mean / variance) - SHAPE_DOUBT, 0.4)
    heavy = shape > 0.01
    high, shape, mean = high[heavy], shape[heavy], mean[heavy]
    if not len(high):
        return
    # The law's own width is the mean's, not the wider one that stood in for its heaviness.
    widening = 1.0 + 16.0 / (memory["tail_count"][high] + 16.0)
    sigma = np.minimum(np.maximum(mean * (1.0 - shape) * widening, 1e-3), width[high])
    score[high] = QUANTILE_LOG10 + log10(1.0 + shape * excess[high] / sigma) / shape


def _learn_value(
    memory: Memory,
    expected: Floats,
    residual: Floats,
    size: Floats,
    scale: Floats,
    gate: Floats,
    telling: Flags,
) -> None:
    bound = scale * CLIP
    clipped = np.maximum(np.minimum(residual, bound), -bound)
    first = 1.0 / (memory["count"] + 1.0)
    np.add(expected, clipped * (np.maximum(LEVEL_GAIN, first) * gate), out=memory["level"])
    trend = memory["trend"]
    np.add(trend, clipped * gate * TREND_GAIN, out=trend)
    # 1.25 |residual| is, on average, a normal law's standard deviation.
    kept = memory["scale"]
    begun = memory["count"] >= 2.0
    target = np.where(begun, np.minimum(size, bound), size) * 1.25
    kept += (target - kept) * (np.maximum(SCALE_GAIN, first) * gate * telling)


def _learn_tail(memory: Memory, over: Flags, excess: Floats, gate: Floats) -> None:
    quantile, count = memory["quantile"], memory["tail_count"]
    mean, square = memory["tail_mean"], memory["tail_square"]
    excess = np.minimum(excess, np.maximum(mean, 0.5) * 8.0)
    share = np.where(over, 1.0 - QUANTILE, -QUANTILE) * gate
    # Fast at first: the quantile has to be near before the tail above it means anything.
    quantile *= 1.0 + share * np.maximum(QUANTILE_GAIN, 4.0 / (memory["count"] + 32.0))
    np.maximum(quantile, 0.5, out=quantile)
    gain = np.maximum(TAIL_GAIN, 1.0 / (count + 1.0)) * gate
    gain *= over & (memory["count"] >= SETTLE)
    mean += gain * (excess - mean)
    square += gain * (excess * excess - square)
    count += over & (memory["count"] >= SETTLE)
