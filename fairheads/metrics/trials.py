"""Hits among trials: what every share of independent rows is made of, and how two of them are tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.metrics.intervals import Bounds, rate_interval, weighted_rate_interval
from fairheads.sums import Cells

Floats = NDArray[np.float64]

EXPECTED = 5.0
"""Fisher's exact test where a cell of the two-by-two table is expected below this, the score test elsewhere."""

MOST = 10**8
"""Trials up to which the null of a gap is drawn by permutation; beyond, counts are as good as normal."""


class Confusion(NamedTuple):
    """True and false positives, false and true negatives: arrays of one shape, whose last axis is the group."""

    tp: NDArray[Any]
    fp: NDArray[Any]
    fn: NDArray[Any]
    tn: NDArray[Any]

    @classmethod
    def of(cls, table: NDArray[Any]) -> Confusion:
        """The four cells of a table (..., 2, 2) of [label, decision]; without labels (..., 1, 2) all count as 0."""
        if table.shape[-2] == 1:
            none = np.zeros_like(table[..., 0, 0])
            return cls(none, table[..., 0, 1], none, table[..., 0, 0])
        return cls(table[..., 1, 1], table[..., 0, 1], table[..., 1, 0], table[..., 0, 0])


Sum = Callable[[Confusion], Any]


@dataclass(frozen=True)
class Rate:
    """A rate as the ratio of two sums of cells; ``empty`` says what an undefined one lacks."""

    hits: Sum
    trials: Sum
    empty: str


@dataclass(frozen=True, eq=False)
class Trials:
    """Hits among trials in G groups.

    Attributes
    ----------
    hits, trials : float64 (G,)
        Counts, or sums of weights.
    rows : int64 (G,)
        Rows among the trials.
    effective : float64 (G,)
        Rows of weight 1 that would give the rate its variance: the trials, where there are no weights.
    weighted : bool
    covariance : float64 (G, G), optional
        Of the rates, where groups share rows.
    """

    hits: Floats
    trials: Floats
    rows: NDArray[np.int64]
    effective: Floats
    weighted: bool = False
    covariance: Floats | None = None

    @classmethod
    def of(cls, cells: Cells, rate: Rate) -> Trials:
        """The trials of one rate in the groups of the cells."""
        mass, count = Confusion.of(cells.mass), Confusion.of(cells.counts)
        hits, trials = np.asarray(rate.hits(mass), np.float64), np.asarray(rate.trials(mass), np.float64)
        rows = np.asarray(rate.trials(count), np.int64)
        if cells.squares is None:
            return cls(hits, trials, rows, trials)
        squares = Confusion.of(cells.squares)
        hit2 = np.asarray(rate.hits(squares), np.float64)
        miss2 = np.asarray(rate.trials(squares), np.float64) - hit2
        with np.errstate(divide="ignore", invalid="ignore"):
            p = hits / trials
            if cells.soft:
                covariance = hit2 * np.outer(1 - p, 1 - p) + miss2 * np.outer(p, p)
                covariance = np.nan_to_num(covariance / np.outer(trials, trials))
                kish = trials**2 / np.diag(hit2 + miss2)
                return cls(hits, trials, rows, _effective(p, np.diag(covariance), kish), True, covariance)
            linear = (hit2 * (1 - p) ** 2 + miss2 * p**2) / trials**2
            k = np.asarray(rate.hits(count), np.float64)
            variance = np.fmax(linear, _pooled_scatter(p, k, rows - k, hits, trials - hits, hit2, miss2))
            effective = _effective(p, variance, trials**2 / (hit2 + miss2))
        return cls(hits, trials, rows, np.minimum(effective, rows), True)

    def take(self, at: list[int]) -> Trials:
        """Those of some groups."""
        return Trials(self.hits[at], self.trials[at], self.rows[at], self.effective[at], self.weighted)

    @property
    def value(self) -> Floats:
        """The rate (G,); NaN without trials."""
        return np.where(self.trials > 0, self.hits / np.where(self.trials > 0, self.trials, 1.0), np.nan)

    @property
    def se(self) -> Floats:
        """Standard error of the rate (G,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(self.value * (1 - self.value) / self.effective)

    @property
    def information(self) -> Floats:
        """Effective n p (1 - p) (G,); infinity without trials, where there is nothing to be careful about."""
        return np.where(self.trials > 0, np.nan_to_num(self.effective * self.value * (1 - self.value)), np.inf)

    def limits(self, confidence: float, cautious: bool) -> Bounds:
        """Limits of the rate (G,); NaN without trials."""
        if not self.weighted:
            return rate_interval(self.hits, self.trials, confidence=confidence, cautious=cautious)
        value, effective = np.nan_to_num(self.value), np.nan_to_num(self.effective)
        return weighted_rate_interval(value, effective, confidence=confidence)

    def null_draws(self, rng: np.random.Generator, replicates: int) -> Floats:
        """Rates (replicates, G) when the hits fall on the groups by chance, given all sums."""
        total, hits = self.trials.sum(), self.hits.sum()
        if not self.weighted and total <= MOST:
            trials = self.trials.astype(np.int64)
            drawn = rng.multivariate_hypergeometric(trials, int(hits), replicates, method="marginals")
            return np.asarray(drawn / self.trials, np.float64)
        if self.covariance is not None:
            none = np.zeros(len(self.hits))
            return np.asarray(rng.multivariate_normal(none, self.covariance, replicates, method="eigh"), np.float64)
        spread = np.sqrt(hits / total * (1 - hits / total) / self.effective)
        return np.asarray(rng.normal(0.0, 1.0, (replicates, len(spread))) * spread, np.float64)


def _pooled_scatter(
    p: Floats, k: Floats, m: Floats, hits: Floats, misses: Floats, hit2: Floats, miss2: Floats
) -> Floats:
    """Variance of a weighted rate of k hits and m misses if the weights of both scatter alike about their means.

    With few hits their own squares say little of how their weights scatter. Without this, intervals of rates with
    lognormal weights cover .87 instead of .94.
    """
    scatter = (np.where(k > 0, k**2 * hit2 / hits**2, 0.0) + np.where(m > 0, m**2 * miss2 / misses**2, 0.0)) / (k + m)
    return np.asarray((p * (1 - p)) ** 2 * (1 / k + 1 / m) * scatter, np.float64)


def _effective(p: Floats, variance: Floats, kish: Floats) -> Floats:
    """Rows of weight 1 that would give a rate its variance; where it has none, as many as the weights alone say."""
    return np.where(np.isfinite(variance) & (variance > 0), p * (1 - p) / variance, kish)


def shared_variance(cells: Cells, rate: Rate) -> Floats:
    """Covariance (G,) of each group's rate with everybody's, of whom the group is a part."""
    products = cells.mass if cells.squares is None else cells.squares
    squares = Confusion.of(products.sum(1) if cells.soft else products)
    mass = Confusion.of(cells.mass)
    hit2 = np.asarray(rate.hits(squares), np.float64)
    miss2 = np.asarray(rate.trials(squares), np.float64) - hit2
    hits, trials = np.asarray(rate.hits(mass), np.float64), np.asarray(rate.trials(mass), np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, everybody = hits / trials, hits.sum() / trials.sum()
        both = hit2 * (1 - p) * (1 - everybody) + miss2 * p * everybody
        return np.asarray(both / (trials * trials.sum()), np.float64)


def tested(one: Trials, other: Trials) -> tuple[Floats, Floats]:
    """Two-sided p (G,) of each group's rate against another, and the standard error of a difference of 0.

    The score test; Fisher's exact test where a hit or a miss is expected less than five times in either.
    """
    k1, n1, k0, n0 = one.value * one.effective, one.effective, other.value * other.effective, other.effective
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (k1 + k0) / (n1 + n0)
        spread = np.sqrt(rate * (1 - rate) * (1 / n1 + 1 / n0))
        p = np.asarray(2 * special.ndtr(-np.abs(one.value - other.value) / spread), np.float64)
        few = np.minimum(n1, n0) * np.minimum(rate, 1 - rate) < EXPECTED
    if not (one.weighted or other.weighted):
        tables = np.broadcast_arrays(k1, n1, k0, n0)
        for i in np.flatnonzero(few):
            p[i] = fisher(*(round(float(table[i])) for table in tables))
    return p, spread


def fisher(k1: int, n1: int, k0: int, n0: int) -> float:
    """Two-sided p of Fisher's exact test that two samples have one rate.

    SciPy's takes minutes where the samples have 2^31 rows; this sums the chances of all tables with these margins,
    of which there are few wherever it is asked for.
    """
    return exact_p(*(np.array([count]) for count in (k1, n1, k0, n0)))


def exact_p(k1: NDArray[np.int64], n1: NDArray[np.int64], k0: NDArray[np.int64], n0: NDArray[np.int64]) -> float:
    """Two-sided p that two samples have one rate within each of S strata, given all margins; Fisher's with one.

    The chance of every sum of hits of the first sample; sums no likelier than the one that was seen are added.
    """
    chance, place = np.ones(1), 0
    for table in zip(k1.tolist(), n1.tolist(), k0.tolist(), n0.tolist(), strict=True):
        least, each = _chances(*table)
        chance, place = np.convolve(chance, each), place + table[0] - least
    return float(min(1.0, chance[chance <= chance[place] * (1 + 1e-7)].sum() / chance.sum()))


def _chances(k1: int, n1: int, k0: int, n0: int) -> tuple[int, Floats]:
    """The fewest hits that the first sample can have, given all margins, and the chance of these and of each more."""
    hits = k1 + k0
    low, high = max(0, hits - n0), min(hits, n1)
    k = np.arange(low, high, dtype=np.float64)
    steps = np.log(hits - k) + np.log(n1 - k) - np.log(k + 1) - np.log(n0 - hits + k + 1)
    logs = np.r_[0.0, np.cumsum(steps)]
    chance = np.exp(logs - logs.max())
    return low, chance / chance.sum()


def holm(p: Floats) -> Floats:
    """p-values corrected for their number; NaN stays and does not count."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    raised = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0) if len(order) else []
    return adjusted
