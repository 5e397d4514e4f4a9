"""Why: an anomaly's reason as one sentence that stands by itself."""

from collections.abc import Sequence

from floorlog.core.detect import DETECTORS, SILENCE
from floorlog.core.detect.off_normal import OffNormal
from floorlog.core.reading import Anomaly

LEARNED = {
    name: each.version for each in DETECTORS if each.learned for name in (each.name, *each.parts)
}
"""Detectors that judge by what they learned, and their parts, with the version of their model."""


def sentence(
    event: Anomaly,
    names: Sequence[tuple[str, str]],
    unit: str | None,
    catalogue: int,
    state: str | None,
) -> str:
    """The sensor, what it did against what was expected, who says so, and by which version.

    `temperature of press-07 (Cel): 92.3 is above the high limit 90 for 2 s [limit, catalogue 3]`.
    Learned detectors name the version of their model, rules that of the catalogue. `names`: device
    and metric by row, also of the other series that a reason may name. `state`: the name of the
    state that the event's value stands for, None for numbers. Which anomaly of an asset was the
    first is no part of it: that is a fold over committed anomalies (core/alarm_load.first_out), as
    another shard or a later batch may know an earlier one.
    """
    device, metric = names[event.row]
    reason = event.reason
    if event.other >= 0:
        its_device, its_metric = names[event.other]
        reason = reason.replace("{other}", f"{its_metric} of {its_device}")
    if event.detector == OffNormal.name and event.phase == "start":
        reason = f"{state or 'unknown'}: {reason}"
    about = f" ({unit})" if unit and event.detector != SILENCE.name else ""
    return f"{metric} of {device}{about}: {reason} [{event.detector}, {version(event, catalogue)}]"


def version(event: Anomaly, catalogue: int) -> str:
    """By which version of what the event was judged."""
    model = LEARNED.get(event.detector)
    return f"catalogue {catalogue}" if model is None else f"model {model}"
