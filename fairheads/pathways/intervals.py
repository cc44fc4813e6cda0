"""Delete-block jackknife: standard errors that refit everything, and bounds that hold for many effects at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.results import Number, undefined

Floats = NDArray[np.float64]

DRAWS = 20_000


def jackknife_se(replicates: Floats) -> Floats:
    """Standard error of each column from delete-one-block replicates (blocks, quantities); NaN stays NaN.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap (1993), section 11.
    """
    blocks = len(replicates)
    centred = replicates - replicates.mean(0)
    se: Floats = np.sqrt((blocks - 1) / blocks * (centred**2).sum(0))
    return se


def pointwise_critical(blocks: int, alpha: float) -> float:
    """Critical value of one bound of one effect, at level ``alpha``: Student's t with blocks - 1 degrees of freedom."""
    return float(special.stdtrit(blocks - 1, 1 - alpha))


def half_width(replicates: Floats) -> float:
    """Half of the 95 % interval of one quantity, from its delete-one-block replicates (blocks,)."""
    return pointwise_critical(len(replicates), 0.025) * float(jackknife_se(replicates[:, None])[0])


def jackknifed(value: float, replicates: Floats, n: int, reason: str, *, most: float | None = None) -> Number:
    """The value with its interval of 95 % by the delete-block jackknife.

    Parameters
    ----------
    value : float
        On all rows.
    replicates : array (blocks,) or (0,)
        Without each block; where there are none the number has no interval.
    n : int
        Rows.
    reason : str
        Why there is no number, where ``value`` is NaN.
    most : float, optional
        The largest value that makes sense: the interval ends there.

    Examples
    --------
    >>> import numpy as np
    >>> print(jackknifed(0.5, np.linspace(0.4, 0.6, 20), 1000, "no rows"))
    0.500 [-0.054, 1.054]
    >>> print(jackknifed(float("nan"), np.zeros(20), 1000, "no rows"))
    not estimable (no rows)
    """
    if np.isnan(value):
        return undefined(reason, n)
    if not len(replicates):
        return Number(value=value, n=n)
    half = half_width(replicates)
    high = value + half if most is None else max(value, min(value + half, most))
    return Number(value=value, n=n, low=value - half, high=high)


def simultaneous_critical(replicates: Floats, alpha: float, seed: int) -> float:
    """Critical value c such that all lower bounds ``estimate - c se`` hold together with chance 1 - alpha; upper ones
    alike.

    The joint law is a multivariate t with the replicates' correlation and blocks - 1 degrees of freedom, drawn
    20,000 times with ``seed``. Never below the pointwise value, never above Bonferroni's. Between both bounds lies an
    interval of confidence 1 - 2 alpha.
    """
    blocks, quantities = replicates.shape
    centred = replicates - replicates.mean(0)
    norm = np.sqrt((centred**2).sum(0))
    varying = norm > 0
    if not varying.any():
        return pointwise_critical(blocks, alpha)
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((DRAWS, blocks)) @ (centred[:, varying] / norm[varying])
    chi = np.sqrt(rng.chisquare(blocks - 1, DRAWS) / (blocks - 1))
    drawn = float(np.quantile(z.max(1) / chi, 1 - alpha))
    bounds = pointwise_critical(blocks, alpha), pointwise_critical(blocks, alpha / quantities)
    return float(np.clip(drawn, *bounds))
