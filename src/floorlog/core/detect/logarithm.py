"""A logarithm whose bits are the same on every machine."""

import numpy as np
from numpy.typing import NDArray

LOG10_2 = 0.30102999566398120
LOG10_E = 0.43429448190325182


def log10(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """log10 of positive finite numbers, to about 1e-15 of its size, from + − × ÷ alone.

    NumPy's own gives other bits when AVX-512 is switched off. frexp and ldexp only take apart and
    put together, exactly. ln m = 2 artanh((m − 1) / (m + 1)), as a polynomial for m near 1.
    """
    fraction, exponent = np.frexp(x)
    small = fraction < 0.70710678118654752
    fraction = np.where(small, fraction + fraction, fraction)
    power = exponent - small
    t = (fraction - 1.0) / (fraction + 1.0)
    square = t * t
    series = np.zeros_like(t)
    for odd in range(21, 0, -2):
        series = series * square + 1.0 / odd
    return power * LOG10_2 + 2.0 * t * series * LOG10_E
