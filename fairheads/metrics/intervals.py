"""Confidence intervals of rates, differences and ratios of two independent rates; arrays broadcast."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

EXACT_BELOW = 5.0
"""Below this n p (1 - p) the Wilson interval undercovers and Clopper-Pearson is used."""


def wilson(k: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson score interval of k successes in n > 0 trials.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.
    """
    k, n = np.asarray(k, np.float64), np.asarray(n, np.float64)
    z = special.ndtri(0.5 + confidence / 2)
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.where(k == 0, 0.0, centre - half), np.where(k == n, 1.0, centre + half)


def clopper_pearson(k: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Exact interval of k successes in n > 0 trials; covers at least ``confidence`` everywhere.

    References
    ----------
    Clopper & Pearson (1934), The use of confidence or fiducial limits, Biometrika 26.
    """
    k, n = np.asarray(k, np.float64), np.asarray(n, np.float64)
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore"):
        low = special.betaincinv(np.maximum(k, 1e-300), n - k + 1, tail)
        high = special.betaincinv(k + 1, np.maximum(n - k, 1e-300), 1 - tail)
    return np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high)


def rate_interval(k: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson where n p (1 - p) is at least 5, Clopper-Pearson below; (NaN, NaN) where n is 0."""
    k, n = np.broadcast_arrays(np.asarray(k, np.float64), np.asarray(n, np.float64))
    trials = np.where(n > 0, n, 1.0)
    hits = np.where(n > 0, k, 0.0)
    p = hits / trials
    enough = trials * p * (1 - p) >= EXACT_BELOW
    by_score = wilson(hits, trials, confidence=confidence)
    exact = clopper_pearson(hits, trials, confidence=confidence)
    low, high = (np.where(n > 0, np.where(enough, a, b), np.nan) for a, b in zip(by_score, exact, strict=True))
    return low, high


def difference_interval(
    k1: ArrayLike, n1: ArrayLike, k0: ArrayLike, n0: ArrayLike, *, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Newcombe's interval of p1 - p0 from two independent samples, n > 0.

    References
    ----------
    Newcombe (1998), Interval estimation for the difference between independent proportions, Stat. Med. 17,
    method 10.
    """
    k1, n1, k0, n0 = (np.asarray(a, np.float64) for a in (k1, n1, k0, n0))
    p1, p0 = k1 / n1, k0 / n0
    (low1, high1), (low0, high0) = wilson(k1, n1, confidence=confidence), wilson(k0, n0, confidence=confidence)
    low = p1 - p0 - np.hypot(p1 - low1, high0 - p0)
    high = p1 - p0 + np.hypot(high1 - p1, p0 - low0)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def ratio_interval(
    k1: ArrayLike, n1: ArrayLike, k0: ArrayLike, n0: ArrayLike, *, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Interval of p1 / p0 from Wilson's limits on the log scale, k and n > 0: Newcombe's construction for a ratio.

    Unlike Katz's log interval it keeps its width, and its coverage, where every trial of a sample is a success.

    References
    ----------
    Zou & Donner (2008), Construction of confidence limits about effect measures: a general approach, Stat. Med. 27.
    """
    k1, n1, k0, n0 = (np.asarray(a, np.float64) for a in (k1, n1, k0, n0))
    p1, p0 = k1 / n1, k0 / n0
    (low1, high1), (low0, high0) = wilson(k1, n1, confidence=confidence), wilson(k0, n0, confidence=confidence)
    low = p1 / p0 * np.exp(-np.hypot(np.log(p1 / low1), np.log(high0 / p0)))
    high = p1 / p0 * np.exp(np.hypot(np.log(high1 / p1), np.log(p0 / low0)))
    return low, high
