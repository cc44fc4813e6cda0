"""Ranking measures and differences at equal merit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: chance that a positive row scores above a negative one, ties a half.

    NaN where either class is empty.
    """
    y, score = np.asarray(y, bool), np.asarray(score, np.float64)
    positives = int(y.sum())
    negatives = len(y) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((rank[y].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auc_within(y: ArrayLike, score: ArrayLike, stratum: ArrayLike) -> float:
    """AUC inside each stratum, averaged over strata by their number of positive-negative pairs.

    Strata without both classes do not count; NaN if none counts.
    """
    y, score, stratum = np.asarray(y, bool), np.asarray(score, np.float64), np.asarray(stratum)
    rows = (np.flatnonzero(stratum == value) for value in np.unique(stratum))
    return averaged_auc([(y[inside], score[inside]) for inside in rows])


def averaged_auc(strata: Iterable[tuple[NDArray[np.bool_], Floats]]) -> float:
    """AUC inside each stratum (labels and scores of its rows), averaged as in `auc_within`."""
    total = weight = 0.0
    for y, score in strata:
        positives = int(y.sum())
        pairs = float(positives) * float(len(y) - positives)
        if pairs:
            total, weight = total + pairs * auc(y, score), weight + pairs
    return total / weight if weight else float("nan")


def merit_bins(merit: Floats, bins: int) -> NDArray[np.int64]:
    """Bin number of each row, in ``bins`` bins of equal count."""
    edges = np.quantile(np.sort(merit), np.linspace(0, 1, bins + 1)[1:-1])  # a third of the time, where sorted
    return np.searchsorted(edges, merit).astype(np.int64)


def stratified_difference(
    value: ArrayLike, member: ArrayLike, merit: ArrayLike, *, bins: int, minimum: int = 5
) -> tuple[float, int]:
    """Mean difference (members minus others) of ``value`` within merit bins, and the rows it rests on.

    Bins are weighted by n1 n0 / (n1 + n0), the least-variance weights; bins where either side has fewer than
    ``minimum`` rows are left out, and NaN comes back when all are.
    """
    value, member, merit = np.asarray(value, np.float64), np.asarray(member, bool), np.asarray(merit, np.float64)
    which = merit_bins(merit, bins)
    counts = np.stack([np.bincount(which[side], minlength=bins) for side in (~member, member)]).astype(float)
    sums = np.stack([np.bincount(which[side], value[side], minlength=bins) for side in (~member, member)])
    enough = (counts >= minimum).all(0)
    if not enough.any():
        return float("nan"), 0
    counts, sums = counts[:, enough], sums[:, enough]
    means = sums / counts
    weight = counts.prod(0) / counts.sum(0)
    return float((weight * (means[1] - means[0])).sum() / weight.sum()), int(counts.sum())
