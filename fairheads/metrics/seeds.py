"""A mean over a few seeds of training, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from fairheads.results import Number, undefined


def over_seeds(
    values: Sequence[float], *, confidence: float = 0.95, within: tuple[float, float] | None = None
) -> Number:
    """Mean over seeds with Student's t-interval; no interval of one seed. Values that are NaN are left out.

    ``within`` are the smallest and largest value that there can be, at which the interval ends.

    Not shown: what other rows would give. Seeds of training on the same rows differ by less than studies do.

    Examples
    --------
    >>> print(over_seeds([0.7, 0.8, 0.9]))
    0.800 [0.552, 1.048]
    """
    known = np.array([value for value in values if not math.isnan(value)], np.float64)
    n = len(known)
    if n == 0:
        return undefined("no seed has a value")
    mean = float(known.mean())
    if n == 1:
        return Number(value=mean, n=1)
    half = float(special.stdtrit(n - 1, 0.5 + confidence / 2) * known.std(ddof=1) / math.sqrt(n))
    least, most = within or (-math.inf, math.inf)
    return Number(value=mean, n=n, low=max(mean - half, least), high=min(mean + half, most))
