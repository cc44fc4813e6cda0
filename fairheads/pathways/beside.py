"""A number beside the same number of the twins: how surprising it is among networks trained alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairheads.results import TwinSummary

Floats = NDArray[np.float64]


def predictive_p(values: ArrayLike, twins: ArrayLike) -> Floats:
    """The chance that another network like the K twins has a number as large as each of the values: predictive t.

    ``t = (value - mean) / (sd sqrt(1 + 1/K))`` with K - 1 degrees of freedom.

    Parameters
    ----------
    values : float or array
    twins : array (K,)

    Returns
    -------
    float64 array
        Of the shape of ``values``; NaN with fewer than two twins, or where all are the same.

    References
    ----------
    Geisser, Predictive Inference (1993), section 2.2: the next of K + 1 normal observations.

    Examples
    --------
    >>> predictive_p([0.0, 4.0], [-1.0, 0.0, 1.0]).round(3).tolist()
    [0.5, 0.037]
    """
    values, others = np.asarray(values, np.float64), np.asarray(twins, np.float64)
    k = len(others)
    if k < 2 or not np.ptp(others) > 0:
        return np.full(values.shape, np.nan)
    t = (values - others.mean()) / (others.std(ddof=1) * np.sqrt(1 + 1 / k))
    return np.asarray(special.stdtr(k - 1, -t))


def rank_p(value: float, twins: Sequence[float] | Floats) -> float:
    """The chance of a rank as high among exchangeable networks, which supposes nothing: at least ``1 / (K + 1)``."""
    return (1 + int((np.asarray(twins) >= value).sum())) / (len(twins) + 1)


def beside_twins(value: float, twins: Sequence[float] | Floats) -> TwinSummary:
    """A value beside the twins', of whom there is at least one: large is surprising.

    Examples
    --------
    >>> found = beside_twins(4.0, [-1.0, 0.0, 1.0])
    >>> round(found.p, 3), found.p_rank, found.p_min
    (0.037, 0.25, 0.25)
    """
    others, k = np.asarray(twins, np.float64), len(twins)
    return TwinSummary(
        n=k,
        mean=float(others.mean()),
        sd=float(others.std(ddof=1)) if k > 1 else float("nan"),
        p=float(predictive_p(value, others)),
        p_rank=rank_p(value, others),
        p_min=1 / (k + 1),
    )
