"""Out of range: a number that the catalogue says cannot be measured."""

from floorlog.core.detect.limit import Limit


class OutOfRange(Limit):
    """A value outside the range that the catalogue gives for what can be measured at all.

    It is stored with an Uncertain quality. Delays and dead-band are those of the limits. Score:
    how far outside, in dead-bands, or else in hundredths of the range's end. Source: OPC UA
    Part 8, EURange and UncertainEngineeringUnitsExceeded.
    """

    name = "out_of_range"
    severity = 1
    suppressible = False
    low = "range_lo"
    high = "range_hi"
    words = ("range's low end", "range's high end")
