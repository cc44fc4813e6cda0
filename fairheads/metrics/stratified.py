"""Score limits of a difference and of a ratio that two groups have in every stratum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.metrics.intervals import rising_root

Floats = NDArray[np.float64]
Ends = tuple[float, float]

FURTHEST = 30.0
"""The log of the largest ratio that is looked at; one that is still held there has no upper limit."""


def difference_over_strata(k1: Floats, n1: Floats, k0: Floats, n0: Floats, *, confidence: float = 0.95) -> Ends:
    """Score limits of p1 - p0 from hits and rows (S,) of both groups, each at least one row in every stratum.

    The differences d for which the strata's deviations from d, added with Mantel and Haenszel's weights, lie within z
    standard errors, these from the rates that are likeliest if the difference is d. Unlike Wald limits they keep their
    width where everybody or nobody was selected, and unlike strata's own limits combined they hold in sparse strata.

    References
    ----------
    Miettinen & Nurminen (1985), Comparative analysis of two rates, Statist. Med. 4, eqs. 9 to 12 and 27 to 28.
    """
    k1, n1, k0, n0 = (x[:, None] for x in (k1, n1, k0, n0))
    weight = n1 * n0 / (n1 + n0)
    estimate = float((weight * (k1 / n1 - k0 / n0)).sum() / weight.sum())

    def beyond(d: Floats) -> Floats:
        p0 = _likeliest_of_difference(k1, n1, k0, n0, d)
        return _beyond(weight * (k1 / n1 - k0 / n0 - d), weight, np.clip(p0 + d, 0, 1), n1, p0, n0, confidence)

    low, high = _ends(beyond, estimate, -1.0, 1.0)
    return low, high


def ratio_over_strata(k1: Floats, n1: Floats, k0: Floats, n0: Floats, *, confidence: float = 0.95) -> Ends:
    """Score limits of p1 / p0, as `difference_over_strata`; infinity where the sample does not exclude p0 = 0.

    There must be hits in ``k0``.
    """
    k1, n1, k0, n0 = (x[:, None] for x in (k1, n1, k0, n0))
    weight = n1 * n0 / (n1 + n0)
    hits = float((weight * k1 / n1).sum())

    def beyond(log: Floats) -> Floats:
        ratio = np.exp(log)
        p1 = _likeliest_of_ratio(k1, n1, k0, n0, ratio)
        # Divided by 1 + ratio, so that a ratio of any size is as good as its inverse.
        one, two = weight / (1 + ratio), weight * ratio / (1 + ratio)
        spread = one**2 * p1 * (1 - p1) / n1 + two**2 * (p1 / ratio) * (1 - p1 / ratio) / n0
        return _excess(one * k1 / n1 - two * k0 / n0, spread, n1 + n0, confidence)

    estimate = np.log(hits / float((weight * k0 / n0).sum())) if hits else -FURTHEST
    low, high = _ends(beyond, float(estimate), -FURTHEST, FURTHEST)
    return (
        float(np.exp(low)) if hits and low > -FURTHEST else 0.0,
        float(np.exp(high)) if high < FURTHEST else np.inf,
    )


def _ends(beyond: Callable[[Floats], Floats], estimate: float, least: float, most: float) -> Ends:
    """The two places about an estimate from which on a function is positive, or the bounds."""
    turned = np.array([-1.0, 1.0])
    start, end = np.full(2, estimate), np.array([least, most])
    far = rising_root(lambda x: beyond(estimate + turned * x), start * 0, np.abs(end - start))
    low, high = (estimate + turned * far).tolist()
    return max(low, least), min(high, most)


def _beyond(apart: Floats, weight: Floats, p1: Floats, n1: Floats, p0: Floats, n0: Floats, confidence: float) -> Floats:
    return _excess(apart, weight**2 * (p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0), n1 + n0, confidence)


def _excess(apart: Floats, spread: Floats, n: Floats, confidence: float) -> Floats:
    """The squared sum of deviations over strata less z^2 times its variance, n / (n - 1) larger than the rates say."""
    z = special.ndtri(0.5 + confidence / 2)
    variance = (spread * n / np.maximum(n - 1, 1e-9)).sum(0)
    return np.asarray(apart.sum(0) ** 2 - z**2 * variance, np.float64)


def _likeliest_of_difference(k1: Floats, n1: Floats, k0: Floats, n0: Floats, d: Floats) -> Floats:
    """The p0 of the largest likelihood if p1 is p0 + d: the root of a cubic."""
    n, k = n1 + n0, k1 + k0
    b = ((n1 + 2 * n0) * d - n - k) / (3 * n)
    c = ((n0 * d - n - 2 * k0) * d + k) / (3 * n)
    e = k0 * d * (1 - d) / (2 * n)
    q = b**3 - 1.5 * b * c + e
    p = np.where(q < 0, -1.0, 1.0) * np.sqrt(np.maximum(b**2 - c, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.arccos(np.clip(np.nan_to_num(q / p**3, nan=0.0), -1.0, 1.0))
    root = 2 * p * np.cos((np.pi + angle) / 3) - b
    return np.asarray(np.clip(root, np.maximum(0.0, -d), np.minimum(1.0, 1 - d)), np.float64)


def _likeliest_of_ratio(k1: Floats, n1: Floats, k0: Floats, n0: Floats, ratio: Floats) -> Floats:
    """The p1 of the largest likelihood if it is ``ratio`` times p0: the smaller root of a quadratic."""
    half = (n1 + k0 + (k1 + n0) / ratio) / 2
    root = np.sqrt(np.maximum(half**2 - (n1 + n0) * (k1 + k0) / ratio, 0.0))
    # p0 = (k1 + k0) / (ratio (half + root)) without the cancellation of the textbook form
    return np.asarray(np.clip((k1 + k0) / (half + root), 0.0, np.minimum(1.0, ratio)), np.float64)
