"""What a merge is chosen for, and what its gap is: functions of counts of selected rows by group and label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import ConfigError, InputError
from fairheads.metrics import difference_interval
from fairheads.metrics.intervals import difference_of_limits, wilson
from fairheads.metrics.rates import RATE_OF
from fairheads.metrics.trials import Confusion, Rate
from fairheads.results import gap_named

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TINY = 1e-12
"""What rounding may add to a difference of two rates."""

GAP_METRICS: dict[str, tuple[str, ...]] = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "predictive_equality": ("false_positive_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "accuracy_equality": ("accuracy",),
    "predictive_parity": ("positive_predictive_value",),
}
"""The rates whose differences between groups make each gap; the largest of them is the gap."""


@dataclass(frozen=True)
class Utility:
    """What one true positive, false positive, false negative and true negative is worth; a merge has the mean."""

    tp: float = 1.0
    fp: float = 0.0
    fn: float = 0.0
    tn: float = 1.0

    def __call__(self, c: Confusion) -> Floats:
        worth = self.tp * c.tp + self.fp * c.fp + self.fn * c.fn + self.tn * c.tn
        return np.asarray(worth / (c.tp + c.fp + c.fn + c.tn))


def _balanced_accuracy(c: Confusion) -> Floats:
    return np.asarray((c.tp / (c.tp + c.fn) + c.tn / (c.tn + c.fp)) / 2)


def _f1(c: Confusion) -> Floats:
    return np.asarray(2 * c.tp / (2 * c.tp + c.fp + c.fn))


ACCURACY = Utility()
OBJECTIVES: dict[str, Callable[[Confusion], Floats]] = {
    "accuracy": ACCURACY,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
}
"""What can be maximised by name; more is better."""


@dataclass(frozen=True, eq=False)
class Criteria:
    """Gap, objective and limits of candidates, from counts of selected rows.

    A candidate is its ``selected`` counts, (candidates, G, 2): rows of each group and label that it selects. The first
    ``groups`` of the G groups are compared; one more, if there is one, holds the rows without a recorded group, which
    count for the objective only.

    Attributes
    ----------
    totals : float64 (G, 2)
        Rows of each group and label.
    groups : int
    rates : tuple of Rate
        The gap is the largest difference of one of them between two groups.
    floors : tuple of (Rate, float)
        Every group must have at least so much of each.
    gap_metric, objective_name : str
    """

    totals: Floats
    groups: int
    rates: tuple[Rate, ...]
    objective_of: Callable[[Confusion], Floats]
    floors: tuple[tuple[Rate, float], ...]
    gap_metric: str
    objective_name: str

    @property
    def rows(self) -> float:
        """Rows of all groups."""
        return float(self.totals.sum())

    @property
    def base_rate(self) -> float:
        """Share of favourable labels."""
        return float(self.totals[:, 1].sum() / self.rows)

    def on(self, totals: Floats) -> Criteria:
        """The same criteria on other rows."""
        return Criteria(
            totals, self.groups, self.rates, self.objective_of, self.floors, self.gap_metric, self.objective_name
        )

    def confusion(self, selected: NDArray[Any]) -> Confusion:
        """The four cells of each compared group, arrays (candidates, groups)."""
        hits, totals = selected[..., : self.groups, :], self.totals[: self.groups]
        return Confusion(hits[..., 1], hits[..., 0], totals[:, 1] - hits[..., 1], totals[:, 0] - hits[..., 0])

    def everybody(self, selected: NDArray[Any]) -> Confusion:
        """The four cells of all rows together, arrays (candidates,)."""
        tp, fp = selected[..., 1].sum(-1), selected[..., 0].sum(-1)
        return Confusion(tp, fp, self.totals[:, 1].sum() - tp, self.totals[:, 0].sum() - fp)

    def objective(self, selected: NDArray[Any]) -> Floats:
        """What is maximised, (candidates,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.objective_of(self.everybody(selected)), np.float64)

    def noise(self, selected: NDArray[Any]) -> float:
        """Standard error of the objective of one merge, (G, 2), by the delta method on its four cells."""
        cells = np.array(self.everybody(selected[None]), np.float64)[:, 0]
        step = 1e-3 * np.eye(4) * max(self.rows, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            up, down = (np.asarray(self.objective_of(Confusion(*(cells + s).T)), np.float64) for s in (step, -step))
        slopes = np.nan_to_num((up - down) / (2 * step[0, 0]))
        return float(np.sqrt((slopes**2 * cells).sum()))

    def accuracy(self, selected: NDArray[Any]) -> Floats:
        """Share of right decisions, (candidates,)."""
        return ACCURACY(self.everybody(selected))

    def selection(self, selected: NDArray[Any]) -> Floats:
        """Share of all rows that are selected, (candidates,)."""
        return np.asarray(selected.sum((-1, -2)) / self.rows)

    def values(self, selected: NDArray[Any], rate: Rate) -> Floats:
        """A rate in every compared group, (candidates, groups); NaN where it is undefined."""
        c = self.confusion(selected)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(rate.hits(c) / rate.trials(c), np.float64)

    def gap(self, selected: NDArray[Any]) -> Floats:
        """Two groups: the difference, group 1 minus group 0, that is largest in size. More: the largest difference."""
        signed = []
        for rate in self.rates:
            values = self.values(selected, rate)
            signed.append(values[..., 1] - values[..., 0] if self.groups == 2 else values.max(-1) - values.min(-1))
        if len(signed) == 1:
            return signed[0]
        stacked = np.stack(signed)
        size = np.where(np.isnan(stacked), np.inf, np.abs(stacked))
        return np.asarray(np.take_along_axis(stacked, size.argmax(0)[None], 0)[0])

    def shortfall(self, selected: NDArray[Any]) -> Floats:
        """By how much a candidate falls short of the floors, or decides alike for nearly everybody; 0 where it may be.

        A merge must select at least half as many rows as are recorded as favourable, and refuse at least half as many
        as are not: deciding everybody alike is no way to parity.
        """
        share = self.selection(selected)
        least, most = self.base_rate / 2, 1 - (1 - self.base_rate) / 2
        short = np.maximum(np.maximum(least - share, share - most), 0.0)
        for rate, floor in self.floors:
            lowest = np.nan_to_num(self.values(selected, rate), nan=-1.0).min(-1)
            short = np.maximum(short, floor - lowest)
        return np.where(short > TINY, short, 0.0)

    def size(self, selected: NDArray[Any]) -> Floats:
        """The gap without its sign, (candidates,); 2 where it is undefined."""
        return np.nan_to_num(np.abs(self.gap(selected)), nan=2.0)

    def excess(self, selected: NDArray[Any], size: Floats, limit: float) -> Floats:
        """By how much a gap, or a bound of it, lies above the limit; a shortfall weighs more than any gap."""
        over, short = np.nan_to_num(size, nan=2.0) - limit, self.shortfall(selected)
        return np.where(over > TINY, over, 0.0) + np.where(short > 0, 10 + short, 0.0)

    def bound(self, selected: NDArray[Any], confidence: float, *, quick: bool) -> Floats:
        """Upper bound of the gap, (candidates,): the largest limit of a difference, two-sided; 2 where it is undefined.

        ``quick`` takes Wilson's limits everywhere; otherwise they are `fairheads.metrics.difference_interval`'s.
        """
        worst = np.zeros(selected.shape[0])
        c = self.confusion(selected)
        for rate in self.rates:
            hits, trials = np.asarray(rate.hits(c), np.float64), np.asarray(rate.trials(c), np.float64)
            trials = np.broadcast_to(trials, hits.shape)
            if (hits > trials).any():
                raise ConfigError("a rate that can exceed 1 has no bound: ask for the gap with `confidence=None`.")
            known = (trials > 0).all(-1)
            k, n = hits[known], trials[known]
            found = np.zeros(len(k))
            for one in range(self.groups):
                for other in range(one):
                    low, high = _difference(k[:, one], n[:, one], k[:, other], n[:, other], confidence, quick)
                    found = np.maximum(found, np.maximum(-low, high))
            worst[known] = np.maximum(worst[known], found)
            worst[~known] = 2.0
        return worst


def _difference(
    k1: Floats, n1: Floats, k0: Floats, n0: Floats, confidence: float, quick: bool
) -> tuple[Floats, Floats]:
    if not quick:
        return difference_interval(k1, n1, k0, n0, confidence=confidence)
    one, other = (wilson(k, n, confidence=confidence) for k, n in ((k1, n1), (k0, n0)))
    return difference_of_limits(k1 / n1, one, k0 / n0, other)


def criteria_of(
    totals: Floats,
    groups: int,
    gap_metric: str | Sequence[Rate],
    objective: str | Utility,
    minimum_rates: Mapping[str, float] | None,
) -> Criteria:
    """The criteria that the arguments of `fit_frontier` name.

    Raises
    ------
    ConfigError
        If there is no such metric, objective or rate, or a rate is not within [0, 1].
    InputError
        If a group has none of the rows that a rate is a share of.
    """
    if isinstance(gap_metric, str):
        name = gap_named(gap_metric)
        if name not in GAP_METRICS:
            raise ConfigError(f"`gap_metric` must be one of {sorted(GAP_METRICS)}, got {gap_metric!r}.")
        rates = tuple(RATE_OF[rate] for rate in GAP_METRICS[name])
    else:
        known = isinstance(gap_metric, Sequence) and all(isinstance(rate, Rate) for rate in gap_metric)
        rates, name = tuple(gap_metric) if known else (), "custom"
        if not rates:
            raise ConfigError(f"`gap_metric` must be a name or at least one Rate, got {gap_metric!r}.")
    if isinstance(objective, Utility):
        score: Callable[[Confusion], Floats] = objective
        called = f"utility({objective.tp:g}, {objective.fp:g}, {objective.fn:g}, {objective.tn:g})"
    elif isinstance(objective, str) and objective in OBJECTIVES:
        score, called = OBJECTIVES[objective], objective
    else:
        raise ConfigError(f"`objective` must be one of {sorted(OBJECTIVES)} or a Utility, got {objective!r}.")
    if minimum_rates is not None and not isinstance(minimum_rates, Mapping):
        raise ConfigError(f"`minimum_rates` must map names of rates to numbers, got {minimum_rates!r}.")
    floors = []
    for rate_name, least in (minimum_rates or {}).items():
        if rate_name not in RATE_OF:
            raise ConfigError(f"`minimum_rates` must name rates among {sorted(RATE_OF)}, got {rate_name!r}.")
        if not 0 <= least <= 1:
            raise ConfigError(f"`minimum_rates` must lie in [0, 1], got {least} for {rate_name!r}.")
        floors.append((RATE_OF[rate_name], float(least)))
    criteria = Criteria(totals, groups, rates, score, tuple(floors), name, called)
    half = criteria.confusion(totals[None] / 2)
    for rate in (*rates, *(rate for rate, _ in floors)):
        empty = np.flatnonzero(np.broadcast_to(rate.trials(half), (1, groups))[0] == 0)
        if len(empty):
            raise InputError(f"group {int(empty[0])} has {rate.empty}: the gap cannot be measured in it.")
    return criteria
