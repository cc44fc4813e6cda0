"""ROC and calibration curves, and how far the scores of two groups lie apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.metrics.estimate import with_bounds
from fairheads.metrics.intervals import rate_interval, weighted_rate_interval
from fairheads.metrics.trials import holm
from fairheads.results import CalibrationBin, Curves, Distances, Number, undefined
from fairheads.sums import BINS, ScoreHistogram

Floats = NDArray[np.float64]

POINTS = 201
"""Most points of a ROC curve in a report."""


def curves(scores: ScoreHistogram, confidence: float) -> dict[str, Curves]:
    """ROC curve and calibration of every group that has rows of both labels."""
    found = {}
    for g, name in enumerate(scores.groups):
        mass = scores.mass[:, g]
        total = mass.sum(0)
        if (total > 0).all():
            rates = np.vstack([np.zeros((1, 2)), mass[::-1].cumsum(0) / total])
            chosen = rates[_corners(rates)]
            chosen[-1] = 1.0
            found[name] = Curves(
                false_positive_rate=tuple(chosen[:, 0].tolist()),
                true_positive_rate=tuple(chosen[:, 1].tolist()),
                calibration=_calibration(scores, g, confidence) if scores.probabilities else (),
            )
    return found


def _corners(rates: Floats) -> NDArray[np.int64]:
    """At most `POINTS` rows of a curve, evenly along its length, first and last among them."""
    moved = np.flatnonzero(np.r_[True, (np.diff(rates, axis=0) != 0).any(1)])
    if len(moved) <= POINTS:
        return moved
    along = rates[moved].sum(1)
    at = np.searchsorted(along, np.linspace(0, 2, POINTS))
    return np.unique(moved[np.clip(np.r_[0, at, len(moved) - 1], 0, len(moved) - 1)])


def _calibration(scores: ScoreHistogram, g: int, confidence: float) -> tuple[CalibrationBin, ...]:
    rows, weight, squares, score = scores.calibration[:, g].sum(1)
    favourable = scores.calibration[1, g, -1]
    bins = []
    for b in range(BINS):
        if weight[b] > 0:
            n, share = int(rows[b]), float(favourable[b] / weight[b])
            if scores.weights is None:
                low, high = rate_interval(favourable[b], rows[b], confidence=confidence)
            else:
                low, high = weighted_rate_interval(share, weight[b] ** 2 / squares[b], confidence=confidence)
            observed = with_bounds(share, n, float(low), float(high))
            bins.append(CalibrationBin(score=float(score[b] / weight[b]), observed=observed))
    return tuple(bins)


def distances(scores: ScoreHistogram, reference: int, confidence: float) -> dict[str, Distances]:
    """How far the scores of every group lie from the reference's.

    The intervals come from bands about both distribution functions that hold together: conservative, and the area's
    is over the range of the scores.

    References
    ----------
    Massart (1990), The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality, Ann. Probab. 18, for the bands.
    """
    mass = scores.mass.sum(2)
    total, squares = mass.sum(0), scores.square_mass.sum((0, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        distribution, effective = mass.cumsum(0) / total, total**2 / squares
    width = np.append(np.diff(scores.values), 0.0)
    others = [i for i in range(len(scores.groups)) if i != reference]
    found, p = [], []
    for i in others:
        n = int(scores.counts[:, [i, reference]].sum())
        if total[i] == 0 or total[reference] == 0:
            nothing = undefined("no rows", n)
            found.append(Distances(kolmogorov_smirnov=nothing, wasserstein=nothing, p=nothing))
            p.append(np.nan)
            continue
        apart = np.abs(distribution[:, i] - distribution[:, reference])
        band = sum(np.sqrt(np.log(4 / (1 - confidence)) / (2 * effective[j])) for j in (i, reference))
        near, far = np.maximum(apart - band, 0.0), np.minimum(apart + band, 1.0)
        most = float(apart.max())
        found.append(
            Distances(
                kolmogorov_smirnov=with_bounds(most, n, float(near.max()), min(most + band, 1.0), conservative=True),
                wasserstein=with_bounds(
                    float(apart @ width), n, float(near @ width), float(far @ width), conservative=True
                ),
                p=undefined("not tested", n),
            )
        )
        together = effective[i] * effective[reference] / (effective[i] + effective[reference])
        p.append(float(special.kolmogorov(np.sqrt(together) * most)))
    adjusted = holm(np.array(p, np.float64))
    return {
        scores.groups[i]: d
        if np.isnan(q)
        else Distances(
            kolmogorov_smirnov=d.kolmogorov_smirnov, wasserstein=d.wasserstein, p=Number(value=float(q), n=d.p.n)
        )
        for i, d, q in zip(others, found, adjusted, strict=True)
    }
