"""Linear readouts from sums, merit bins, and the means of each group in each bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from fairheads.sums import Moments

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RIDGE = 1e-3
"""Penalty of a readout on standardised units. More is stabler and reads less."""

CONVERGED = 1e-7
"""Gain in mean log-likelihood below which a logistic fit stops."""

STEPS = 25
"""Of Newton's, at most."""


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


def logistic(z: NDArray[np.float32], y: NDArray[np.int64]) -> Floats:
    """Coefficients (d,) of a ridge-penalised logistic regression of ``y`` on the columns ``z`` (the last one all 1).

    A merit readout must be straight on the scale on which labels are: a linear fit to 0/1 labels bends at both ends,
    borrows the group to follow the bend, and shows an effect where there is none.

    Newton's steps from 0, each halved until the penalised likelihood rises; the penalty is `RIDGE` times the variance
    of ``y`` on every column but the last.
    """
    penalty, rate = _penalty(z, y)
    w = np.zeros(z.shape[1])
    w[-1] = np.log(rate / (1 - rate))

    def loss_at(w: Floats) -> tuple[float, Floats]:
        eta = (z @ w.astype(np.float32)).astype(np.float64)
        return float((np.logaddexp(0, eta) - y * eta).mean() + 0.5 * (penalty * w**2).sum()), eta

    loss, eta = loss_at(w)
    for _ in range(STEPS):
        gradient, hessian = _derivatives(z, y, eta)
        step = np.linalg.solve(hessian + np.diag(penalty), gradient + penalty * w)
        size = 1.0
        new_loss, new_eta = loss_at(w - step)
        while new_loss > loss + 1e-12 and size > 1e-3:
            size /= 2
            new_loss, new_eta = loss_at(w - size * step)
        if new_loss > loss:
            break
        w, done, loss, eta = w - size * step, loss - new_loss < CONVERGED, new_loss, new_eta
        if done:
            break
    return w


def logistic_without(
    z: NDArray[np.float32], y: NDArray[np.int64], fitted: Floats, block: NDArray[np.int64]
) -> list[Floats]:
    """The coefficients that `logistic` would give without each block of rows (numbered from 0), by a step of Newton's.

    From the optimum of all rows one step comes as near to that without a tenth of them as standard errors need
    (tests/test_pathways_parts.py), and costs one pass over the rows for all blocks together.
    """
    penalty, _ = _penalty(z, y)
    eta = (z @ fitted.astype(np.float32)).astype(np.float64)
    parts, counts = [], []
    for number in range(int(block.max()) + 1):
        rows = block == number
        gradient, hessian = _derivatives(z[rows], y[rows], eta[rows]) if rows.any() else (0.0, 0.0)
        parts.append((gradient * rows.sum(), hessian * rows.sum()))
        counts.append(int(rows.sum()))
    all_gradient, all_hessian = (sum(part[i] for part in parts) for i in (0, 1))
    found = []
    for (gradient, hessian), count in zip(parts, counts, strict=True):
        left = max(len(y) - count, 1)
        slope = (all_gradient - gradient) / left + penalty * fitted
        found.append(fitted - np.linalg.solve((all_hessian - hessian) / left + np.diag(penalty), slope))
    return found


def _penalty(z: NDArray[np.float32], y: NDArray[np.int64]) -> tuple[Floats, float]:
    """Penalty of every column, and the rate of ``y``."""
    rate = float(np.clip(y.mean(), 1e-3, 1 - 1e-3))
    penalty = np.full(z.shape[1], RIDGE * rate * (1 - rate))
    penalty[-1] = 1e-9
    return penalty, rate


def _derivatives(z: NDArray[np.float32], y: NDArray[np.int64], eta: Floats) -> tuple[Floats, Floats]:
    """Gradient and Hessian of the mean loss at log-odds ``eta``."""
    p = special.expit(eta)
    weighted = z * np.maximum(p * (1 - p), 1e-6).astype(np.float32)[:, None]
    gradient = (z.T @ (p - y).astype(np.float32)).astype(np.float64) / len(y)
    return gradient, (z.T @ weighted).astype(np.float64) / len(y)


def bin_edges(score: Floats, bins: int) -> Floats:
    """Inner edges of ``bins`` bins of equal count."""
    return np.quantile(np.sort(score), np.linspace(0, 1, bins + 1)[1:-1])


@dataclass(frozen=True, eq=False)
class BinMeans:
    """Counts (bins, 2) and mean activations (bins, 2, d) of reference (0) and group (1) in merit bins."""

    counts: Ints
    sums: Floats

    @classmethod
    def of(cls, h: NDArray[np.floating], which: Ints, member: NDArray[np.bool_], bins: int) -> BinMeans:
        cell = which * 2 + member
        counts = np.bincount(cell, minlength=2 * bins)
        sums = _sums_in(cell, np.ones(len(cell)), 2 * bins, h)
        return cls(counts.reshape(bins, 2), sums.reshape(bins, 2, -1))


FEWEST = 5
"""Rows of a group in a merit bin that are too few for a contrast."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """How the activations of group and reference differ at equal merit.

    ``contrast`` (bins, d): group minus reference in each merit bin, 0 where ``enough`` (bins,) is False, which is
    where either has `FEWEST` rows or fewer. ``cross`` (d,): covariance of the activations with membership less its
    expectation given merit.
    """

    contrast: Floats
    enough: NDArray[np.bool_]
    cross: Floats

    @classmethod
    def of(cls, h: NDArray[np.floating], merit: Floats, which: Ints, member: NDArray[np.bool_], bins: int) -> Contrast:
        """Of these rows, whose ``merit`` lies in the bins ``which``.

        Inside a bin merit still goes with the group. What the groups differ by in the bin's mean merit is taken out
        along the slope of the activations within the bin: plain bin means leave some of it in every effect, the more
        the fewer the bins, and so effects do not depend on their number (tests/test_pathways_parts.py).
        """
        means = BinMeans.of(h, which, member, bins)
        cell = which * 2 + member
        within = merit - (np.bincount(cell, merit, 2 * bins) / np.maximum(means.counts.ravel(), 1))[cell]
        spread = np.maximum(np.bincount(which, within**2, bins), 1e-30)
        slope = _sums_in(which, within, bins, h) / spread[:, None]
        mean_merit = (np.bincount(cell, merit, 2 * bins) / np.maximum(means.counts.ravel(), 1)).reshape(bins, 2)
        average = means.sums / np.maximum(means.counts, 1)[:, :, None]
        enough = np.asarray((means.counts > FEWEST).all(1))
        unequal = mean_merit[:, 1] - mean_merit[:, 0]
        found = average[:, 1] - average[:, 0] - slope * unequal[:, None]
        residual = member - expected_membership(merit, which, member, bins)
        cross = (residual.astype(h.dtype) @ h).astype(np.float64) / max(len(h), 1)
        return cls(np.where(enough[:, None], found, 0.0), enough, cross)


def expected_membership(merit: Floats, which: Ints, member: NDArray[np.bool_], bins: int) -> Floats:
    """Share of the group at each row's merit (n,): straight lines within the bins, fitted to these rows."""
    counts = np.maximum(np.bincount(which, minlength=bins), 1)
    rate, middle = np.bincount(which, member, bins) / counts, np.bincount(which, merit, bins) / counts
    deviation = merit - middle[which]
    spread = np.maximum(np.bincount(which, deviation**2, bins), 1e-30)
    slope = np.bincount(which, deviation * (member - rate[which]), bins) / spread
    expected: Floats = rate[which] + slope[which] * deviation
    return expected


def _sums_in(cell: Ints, weight: Floats, cells: int, h: NDArray[np.floating]) -> Floats:
    """Weighted sums (cells, d) of the rows in each cell."""
    indicator = sparse.csr_array((weight, (cell, np.arange(len(cell)))), shape=(cells, len(cell)))
    return np.asarray(indicator @ h)
