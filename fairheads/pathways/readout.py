"""Linear readouts from sums, merit bins, and the means of each group in each bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairheads.sums import Moments

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RIDGE = 1e-3
"""Penalty of a readout on standardised units. More is stabler and reads less."""


@dataclass(frozen=True, eq=False)
class Readout:
    """An affine function of activations (n, d): ``h @ weights + bias``."""

    weights: Floats
    bias: float

    def __call__(self, h: NDArray[np.floating]) -> Floats:
        read = h @ self.weights.astype(h.dtype) + self.bias
        return np.asarray(read, np.float64)


def readout(moments: Moments, units: int, target: int, *, standardise: bool = True) -> Readout:
    """Ridge regression of column ``units + target`` on the first ``units`` columns, from their moments.

    Standardised, every unit that varies counts alike, however small; otherwise the penalty is a share of the mean
    variance, so that what hides in units next to dead is not read. A unit that never varies gets weight 0.
    """
    mean, covariance = moments.mean, moments.covariance
    sd = np.sqrt(np.clip(np.diag(covariance)[:units], 0, None))
    live = sd > 1e-6 * max(sd.max(initial=0.0), 1e-30)
    weights = np.zeros(units)
    scale = (
        sd[live] if standardise else np.full(int(live.sum()), np.sqrt((sd[live] ** 2).mean()) if live.any() else 1.0)
    )
    gram = covariance[:units, :units][np.ix_(live, live)] / np.outer(scale, scale)
    cross = covariance[:units, units + target][live] / scale
    weights[live] = np.linalg.solve(gram + RIDGE * np.eye(len(gram)), cross) / scale
    return Readout(weights, float(mean[units + target] - weights @ mean[:units]))


def bin_edges(score: Floats, bins: int) -> Floats:
    """Inner edges of ``bins`` bins of equal count."""
    return np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1])


@dataclass(frozen=True, eq=False)
class BinMeans:
    """Counts (bins, 2) and mean activations (bins, 2, d) of reference (0) and group (1) in merit bins."""

    counts: Ints
    sums: Floats

    @classmethod
    def of(cls, h: NDArray[np.floating], which: Ints, member: NDArray[np.bool_], bins: int) -> BinMeans:
        cell = which * 2 + member
        counts = np.bincount(cell, minlength=2 * bins)
        rows = np.arange(len(cell))
        indicator = sparse.csr_array((np.ones(len(cell)), (cell, rows)), shape=(2 * bins, len(cell)))
        return cls(counts.reshape(bins, 2), np.asarray(indicator @ h).reshape(bins, 2, -1))

    def contrast(self, minimum: int = 5) -> tuple[Floats, NDArray[np.bool_]]:
        """Group mean minus reference mean in each bin (bins, d), and which bins have enough rows of both.

        0 where either has ``minimum`` rows or fewer.
        """
        means = self.sums / np.maximum(self.counts, 1)[:, :, None]
        enough = np.asarray((self.counts > minimum).all(1))
        return np.where(enough[:, None], means[:, 1] - means[:, 0], 0.0), enough

    def residual_covariance(self) -> Floats:
        """Covariance (d,) of the activations with membership minus its rate in the row's bin."""
        n = np.maximum(self.counts.sum(1), 1)
        rate = self.counts[:, 1] / n
        return np.asarray((self.sums[:, 1] - rate[:, None] * self.sums.sum(1)).sum(0) / n.sum(), np.float64)
