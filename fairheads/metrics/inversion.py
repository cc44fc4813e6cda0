"""The test that belongs to an interval: p is the least level at which the interval of a difference excludes 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairheads.metrics.intervals import PLAIN, Side, compared

Floats = NDArray[np.float64]

FURTHEST = 7.0
STEPS = np.r_[0.2:2:0.2, 2 : FURTHEST + 0.5 : 0.5]
"""Standard normal deviates at whose confidence the limits are asked for: a p is never below 2.6e-12."""


def p_of_limits(one: Side, other: Side, confidence: float, correlation: ArrayLike = 0.0) -> tuple[Floats, Floats]:
    """Two-sided p (G,) of no difference and the standard error of one, both from the limits; NaN where they have none.

    p is below 1 - ``confidence`` exactly where the interval of that confidence excludes 0; between the confidences that
    are asked for, what is left of the difference beyond its limits is taken as linear in the normal deviate. A standard
    error of the estimate, where it shrinks as the estimate nears the end of its range, gives p a thousand times too
    small.
    """
    z = np.unique(np.append(STEPS, special.ndtri(0.5 + confidence / 2)))
    beyond = [np.abs(one.value - other.value)]
    for each in z.tolist():
        low, high = compared(one, other, 1 - 2 * float(special.ndtr(-each)), correlation)[0]
        beyond.append(np.maximum(low, -high))
    left, at = np.stack(np.broadcast_arrays(*beyond)), np.append(0.0, z)
    last = np.cumprod(left > 0, axis=0).sum(0) - 1  # the furthest that still excludes 0
    place = np.clip(last, 0, len(z) - 1)
    before, after = (np.take_along_axis(left, (place + i)[None], 0)[0] for i in (0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(np.isfinite(after), before / (before - after), 0.0)
        crossed = at[place] + (at[place + 1] - at[place]) * np.clip(step, 0.0, 1.0)
        crossed = np.where(last < 0, 0.0, np.where(last == len(z), FURTHEST, crossed))
        low, high = compared(one, other, PLAIN, correlation)[0]
        spread = (high - low) / (2 * special.ndtri(0.5 + PLAIN / 2))
    unknown = np.isnan(left).any(0) | ~(spread > 0)
    return np.where(unknown, np.nan, 2 * special.ndtr(-crossed)), np.where(unknown, np.nan, spread)


def no_less_than_drawn(p: Floats, one: Floats, other: Floats, drawn: Floats | None) -> Floats:
    """p (G,), or the share of drawn differences (R, G) at least as large as that of two values, if that is more.

    The draws are of groups that do not differ. A p whose difference no draw reaches stays: they cannot
    tell how small it is.
    """
    if drawn is None:
        return p
    size, known = np.abs(drawn), np.isfinite(drawn)
    with np.errstate(invalid="ignore"):  # a metric may be infinite
        reached = (known & (size >= np.abs(one - other) * (1 - 1e-9))).sum(0)
    return np.where(reached > 0, np.fmax(p, (1 + reached) / (1 + known.sum(0))), p)
