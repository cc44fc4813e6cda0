"""The effect at equal merit and the awareness probe of one layer, fast enough for a training loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fairheads.metrics import auc_within, stratified_difference
from fairheads.monitor.sample import Pair
from fairheads.pathways.case import MIN_COVERED
from fairheads.pathways.fits import LIVE
from fairheads.pathways.intervals import half_width
from fairheads.pathways.readout import RIDGE, logistic, readout
from fairheads.pathways.sample import JACKKNIFE_BLOCKS
from fairheads.results import Number, undefined
from fairheads.sums import Moments

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Singles = NDArray[np.float32]

ROWS_A_UNIT = 8
"""Rows for each unit, below which a readout says more about the sample than about the layer."""

STEPS = 30
"""Steps of the fit, before Newton's method with its halved steps takes over."""

ENOUGH = 1e-6
"""Gain in mean log-likelihood below which the fit takes its last step."""

SLOW = 4
"""Where a step gains more than one part in so many of what the last one gained, the Hessian is made anew."""

REFITS = 2
"""Steps from the fit on all rows to that without one block; each leaves about a fifth of the way."""

ROUNDING = 1e-4
"""Share of a unit's mean square, in one half of the rows, below which its variance is that of rounding."""

MINIMUM = 5
"""Rows of either side that a merit bin needs."""


def standardised(h: NDArray[np.floating]) -> Singles:
    """The units that vary, standardised, and a column of 1: (n, live + 1) in float32."""
    centred = h.astype(np.float32, copy=False) - h.mean(0, dtype=np.float64).astype(np.float32)
    sd = np.sqrt(np.einsum("ij,ij->j", centred, centred) / len(h))
    live = sd > LIVE * max(float(sd.max(initial=0.0)), 1e-30)
    z = np.ones((len(h), int(live.sum()) + 1), np.float32)
    np.divide(centred[:, live], sd[live], out=z[:, :-1])
    return z


def product(one: Singles, other: Singles) -> Floats:
    """``one.T @ other``, multiplied in float32."""
    return np.asarray(one.T @ other, np.float64)


Grams = tuple[Floats, Floats]
"""``z.T @ z`` of each half of the rows: the probe is made of them, and the first Hessian."""


def grams_of(pair: Pair, z: Singles) -> Grams:
    """The Gram matrix (live + 1, live + 1) of each half."""
    even, odd = (product(z[half], z[half]) for half in pair.halves)
    return even, odd


def log_odds(z: Singles, weights: Floats) -> Singles:
    """``z @ weights`` in float32."""
    return np.asarray(z @ weights.astype(np.float32), np.float32)


def probability(log_odds: Singles) -> Singles:
    """The logistic function; like `scipy.special.expit`, which takes ten times as long in float32."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -80, 80))), np.float32)


@dataclass(frozen=True, eq=False)
class Merit:
    """Log-odds of the label from the layer: ``held_out`` (n,) by the fit without the row's block; ``without`` (n, 20)
    by the fit without each block, and ``fitted`` (n,) by the fit on all rows.
    """

    held_out: Singles
    without: Singles
    fitted: Singles

    def replicates(self) -> Singles:
        """Held-out merit of every row had a block not been there, (n, 20) for the 20 blocks.

        A row's own block and that one are both left out; what leaving out the two does is taken as the sum of what
        each does, for 20 fits instead of 210.
        """
        return self.without + (self.held_out - self.fitted)[:, None]


def merit(z: Singles, y: Ints, block: Ints, grams: Grams) -> Merit:
    """Penalised logistic regressions of the label on all rows and on those outside each block.

    They are those of `fairheads.pathways.readout.logistic`. The fits without a block start at that on all rows and
    share its Hessian: a block is a twentieth of the rows, so the steps close in on the solution fast.
    """
    n, label = len(y), y.astype(np.float32)
    rate = float(np.clip(y.mean(), 1e-3, 1 - 1e-3))
    penalty = np.full(z.shape[1], RIDGE * rate * (1 - rate))
    penalty[-1] = 1e-9
    weights, hessian = _fit(z, label, rate, penalty, grams)
    own = (np.arange(n), block)
    outside = n - np.bincount(block, minlength=JACKKNIFE_BLOCKS)
    fits = np.repeat(weights[:, None], JACKKNIFE_BLOCKS, 1)
    for _ in range(REFITS):
        error = probability(log_odds(z, fits)) - label[:, None]
        error[own] = 0
        gradient = product(z, error) / outside + penalty[:, None] * fits
        fits -= linalg.cho_solve(hessian, gradient, check_finite=False)
    without = log_odds(z, fits)
    return Merit(without[own], without, log_odds(z, weights))


Hessian = tuple[Floats, bool]
"""As `scipy.linalg.cho_factor` returns it."""


def _fit(z: Singles, label: Singles, rate: float, penalty: Floats, grams: Grams) -> tuple[Floats, Hessian]:
    """Coefficients of the regression on all rows, and a Hessian near them.

    Newton's method, whose Hessian is kept for as long as the steps get smaller fast: a Hessian costs six such steps.
    """
    w = np.zeros(z.shape[1])
    w[-1] = np.log(rate / (1 - rate))
    p = np.full(len(label), rate, np.float32)
    hessian, fresh, before = _factor((grams[0] + grams[1]) * (rate * (1 - rate) / len(z)), penalty), True, np.inf
    for _ in range(STEPS):
        gradient = product(z, p - label) / len(label) + penalty * w
        step = linalg.cho_solve(hessian, gradient, check_finite=False)
        gain = float(gradient @ step) / 2
        if gain > max(before / SLOW, ENOUGH) and not fresh:
            hessian, fresh = _hessian(z, p, penalty), True
            step = linalg.cho_solve(hessian, gradient, check_finite=False)
            gain = float(gradient @ step) / 2
        elif gain > before:
            break
        else:
            fresh = False
        w -= step
        p = probability(log_odds(z, w))
        if gain < ENOUGH:
            return w, hessian
        before = gain
    w = logistic(z, label.astype(np.int64))
    return w, _hessian(z, probability(log_odds(z, w)), penalty)


def _hessian(z: Singles, p: Singles, penalty: Floats) -> Hessian:
    weighted = z * np.sqrt(np.maximum(p * (1 - p), 1e-6))[:, None]
    return _factor(product(weighted, weighted) / len(z), penalty)


def _factor(gram: Floats, penalty: Floats) -> Hessian:
    factor: Hessian = linalg.cho_factor(gram + np.diag(penalty), check_finite=False)
    return factor


def effect_at_equal_merit(pair: Pair, z: Singles, score: Floats, grams: Grams) -> Number:
    """Turned difference of the logit at equal merit in sd of the logit, with its delete-block interval."""
    n, units = len(pair.y), z.shape[1] - 1
    if pair.untestable is not None:
        return undefined(pair.untestable, n)
    if units == 0:
        return undefined("no unit of the layer varies", n)
    if n < ROWS_A_UNIT * units:
        needed = f"at least {ROWS_A_UNIT} a unit are needed: raise `sample`, or name a narrower `layer`"
        return undefined(f"{n:,} rows are too few for a layer of {units:,} units; {needed}", n)
    spread = float(score.std())
    if not spread > 0:
        return undefined("the score is the same for every row", n)
    read = merit(z, pair.y, pair.block, grams)
    value, covered = stratified_difference(score, pair.member, read.held_out, bins=pair.bins, minimum=MINIMUM)
    if covered < MIN_COVERED * n:
        return undefined(f"only {covered / n:.0%} of the rows lie in merit bins that have rows of both groups", n)
    half = half_width(replicates(pair, read, score))
    if not np.isfinite(half):
        return undefined("the score is the same for every row outside one block", n)
    turned = -pair.sign * value / spread
    return Number(value=turned, n=covered, low=turned - half, high=turned + half)


def replicates(pair: Pair, read: Merit, score: Floats) -> Floats:
    """The difference at equal merit, in sd of the logit, without each block (20,): merit, bins and sd made anew.

    What `fairheads.metrics.stratified_difference` does, for 20 sets of rows at once.
    """
    n, blocks = read.without.shape
    held_out = np.ascontiguousarray(read.replicates().T)
    held_out[pair.block, np.arange(n)] = np.inf  # rows that are left out come last, in a bin that is not used
    order = np.argsort(held_out, axis=1)
    cell = pair.cell + pair.member[order]
    shape = (blocks, pair.bins + 1, 2)
    counts = np.bincount(cell.ravel(), minlength=np.prod(shape)).reshape(shape)[:, :-1]
    sums = np.bincount(cell.ravel(), score[order.ravel()], np.prod(shape)).reshape(shape)[:, :-1]
    means = sums / np.maximum(counts, 1)
    enough = (counts >= MINIMUM).all(2)
    weight = np.where(enough, counts.prod(2) / np.maximum(counts.sum(2), 1), 0.0)
    difference = (weight * (means[:, :, 1] - means[:, :, 0])).sum(1) / weight.sum(1)
    with np.errstate(all="ignore"):  # the caller looks
        return np.asarray(difference / _spreads(score, pair.block), np.float64)


def _spreads(score: Floats, block: Ints) -> Floats:
    """Standard deviation of the score without each block (20,), 0 where it is that of rounding."""
    centred = score - score.mean()
    rows = len(block) - np.bincount(block, minlength=JACKKNIFE_BLOCKS)
    first, second = (v.sum() - np.bincount(block, v, JACKKNIFE_BLOCKS) for v in (centred, centred**2))
    variance = second / rows - (first / rows) ** 2
    return np.asarray(np.sqrt(np.where(variance > 1e-12 * (centred**2).mean(), variance, 0.0)), np.float64)


def probe_auc(pair: Pair, z: Singles, grams: Grams) -> Number:
    """Held-out AUC of membership, read by ridge regression: each half of the rows by the fit on the other."""
    units, n = z.shape[1] - 1, len(pair.y)
    if units == 0:
        return undefined("no unit of the layer varies", n)
    read = np.empty(n)
    for mine, other, gram in zip(pair.halves, pair.halves[::-1], grams[::-1], strict=True):
        cross = product(z[other], pair.member[other].astype(np.float32))
        table = np.block([[gram[:-1, :-1], cross[:-1, None]], [cross]])
        total = np.append(gram[-1, :-1], cross[-1])
        # A unit that is constant in this half has no variance but that of rounding, and must not be read.
        dead = np.append(np.diag(gram)[:-1] - total[:-1] ** 2 / gram[-1, -1] < ROUNDING * np.diag(gram)[:-1], False)
        table[dead], table[:, dead], total[dead] = 0, 0, 0
        moments = Moments(round(gram[-1, -1]), total, table)
        read[mine] = readout(moments, units, 0)(z[mine, :-1])
    value = auc_within(pair.member, read, pair.block % 2)
    return Number(value=value, n=n) if np.isfinite(value) else undefined("a half has rows of one group only", n)
