"""Rates as ratios of two sums of cells, and what is made of several of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.metrics.estimate import Estimate, Measured
from fairheads.metrics.intervals import Bounds, Side, compared
from fairheads.metrics.trials import Confusion, Rate, Trials, shared_variance
from fairheads.sums import Cells

Floats = NDArray[np.float64]


class Cell:
    """The sum of some cells of a confusion, as a value: what holds a rate can be pickled, which a lambda cannot."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, c: Confusion) -> NDArray[Any]:
        first, *others = (getattr(c, name) for name in self.names)
        return np.asarray(sum(others, start=first))


TP, FP, FN, TN = Cell("tp"), Cell("fp"), Cell("fn"), Cell("tn")
SELECTED, POSITIVE, NEGATIVE = Cell("tp", "fp"), Cell("tp", "fn"), Cell("fp", "tn")
EVERYBODY = Cell("tp", "fp", "fn", "tn")

RATE_OF: dict[str, Rate] = {
    "selection_rate": Rate(SELECTED, EVERYBODY, "no rows"),
    "accuracy": Rate(Cell("tp", "tn"), EVERYBODY, "no rows"),
    "true_positive_rate": Rate(TP, POSITIVE, "no rows recorded as favourable"),
    "false_positive_rate": Rate(FP, NEGATIVE, "no rows recorded as unfavourable"),
    "true_negative_rate": Rate(TN, NEGATIVE, "no rows recorded as unfavourable"),
    "false_negative_rate": Rate(FN, POSITIVE, "no rows recorded as favourable"),
    "positive_predictive_value": Rate(TP, SELECTED, "no favourable decisions"),
    "negative_predictive_value": Rate(TN, Cell("fn", "tn"), "no unfavourable decisions"),
    "base_rate": Rate(POSITIVE, EVERYBODY, "no rows"),
}
"""Rates that are shares of independent rows, so that binomial intervals hold for them."""

MISSED = Rate(FN, Cell("fn", "fp"), "no errors")
"""Share of the errors that are false negatives: what the ratio of the two kinds of errors is made of."""


def rate(cells: Cells, of: Rate) -> Measured:
    """A rate in every group and of everybody."""
    groups, everybody = _rate(cells, of), _rate(cells.pooled(), of)
    if cells.soft:
        return Measured(groups, everybody, shared_variance(cells, of))
    trials = np.asarray(of.trials(Confusion.of(cells.mass)), np.float64)
    with np.errstate(invalid="ignore"):
        return Measured(groups, everybody, rest=_others(_rate(cells.rest(), of)), share=trials / trials.sum())


def _others(rest: Estimate) -> Estimate:
    """The rest of each group, by a name that says so."""
    return replace(rest, groups=("the others",) * len(rest.groups))


def _rate(cells: Cells, of: Rate) -> Estimate:
    trials = Trials.of(cells, of)
    return Estimate(
        groups=cells.groups,
        value=trials.value,
        se=trials.se,
        n=trials.rows,
        limits=trials.limits,
        information=trials.information,
        reasons=tuple(None if t > 0 else of.empty for t in trials.trials),
        covariance=trials.covariance,
        parts=(trials,),
        null_draws=trials.null_draws,
    )


def balanced_accuracy(cells: Cells) -> Measured:
    """Mean of the true positive and the true negative rate, which rest on different rows."""
    parts = (RATE_OF["true_positive_rate"], RATE_OF["true_negative_rate"])
    shared = np.sum([shared_variance(cells, part) for part in parts], axis=0) / 4
    rest = None if cells.soft else _others(_mean_of_two(cells.rest(), *parts))
    return Measured(_mean_of_two(cells, *parts), _mean_of_two(cells.pooled(), *parts), shared, rest)


def _mean_of_two(cells: Cells, first: Rate, second: Rate) -> Estimate:
    one, two = Trials.of(cells, first), Trials.of(cells, second)
    value = (one.value + two.value) / 2
    information = np.minimum(one.information, two.information)
    reasons = [(first, one.trials), (second, two.trials)]

    def side(trials: Trials, *, mirrored: bool) -> Side:
        def limits(confidence: float, cautious: bool) -> Bounds:
            low, high = trials.limits(confidence, cautious)
            return (1 - high, 1 - low) if mirrored else (low, high)

        return Side(1 - trials.value if mirrored else trials.value, trials.information, limits)

    def limits(confidence: float, _cautious: bool) -> Bounds:
        # The mean is half of p - (1 - q), a difference of two independent rates.
        low, high = compared(side(one, mirrored=False), side(two, mirrored=True), confidence)[0]
        return (1 + low) / 2, (1 + high) / 2

    return Estimate(
        groups=cells.groups,
        value=value,
        se=np.hypot(one.se, two.se) / 2,
        n=one.rows + two.rows,
        limits=limits,
        information=information,
        reasons=tuple(next((r.empty for r, t in reasons if t[i] == 0), None) for i in range(len(value))),
        covariance=None if one.covariance is None or two.covariance is None else (one.covariance + two.covariance) / 4,
        parts=(one, two),
        null_draws=lambda rng, replicates: (one.null_draws(rng, replicates) + two.null_draws(rng, replicates)) / 2,
    )


def error_ratio(cells: Cells) -> Measured:
    """False negatives for each false positive: the odds of their share of the errors, whose limits it takes.

    References
    ----------
    Berk, Heidari, Jabbari, Kearns & Roth (2021), Fairness in criminal justice risk assessments: the state of the art,
    Sociol. Methods Res. 50: treatment equality.
    """
    groups, everybody = _odds_of_missing(cells), _odds_of_missing(cells.pooled())
    slope = (1 + groups.value) ** 2 * (1 + everybody.value) ** 2  # of the odds q / (1 - q) is 1 / (1 - q)^2
    rest = None if cells.soft else _others(_odds_of_missing(cells.rest()))
    return Measured(groups, everybody, shared_variance(cells, MISSED) * slope, rest)


def _odds(q: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(q >= 1, np.inf, q / (1 - q))


def _odds_of_missing(cells: Cells) -> Estimate:
    trials = Trials.of(cells, MISSED)
    odds = _odds(trials.value)
    value = np.where(np.isinf(odds), np.nan, odds)

    def limits(confidence: float, cautious: bool) -> Bounds:
        low, high = trials.limits(confidence, cautious)
        return _odds(low), _odds(high)

    def null_draws(rng: np.random.Generator, replicates: int) -> Floats:
        drawn = _odds(trials.null_draws(rng, replicates))
        return np.where(np.isinf(drawn), 2 * trials.trials, drawn)  # half a false positive where there is none

    covariance = trials.covariance
    return Estimate(
        groups=cells.groups,
        value=value,
        se=trials.se * (1 + value) ** 2,
        n=trials.rows,
        limits=limits,
        information=trials.information,
        reasons=tuple(
            MISSED.empty if np.isnan(v) else "no false positives" if np.isinf(v) else None for v in odds.tolist()
        ),
        span=(-np.inf, np.inf),
        covariance=None if covariance is None else covariance * np.outer((1 + value) ** 2, (1 + value) ** 2),
        parts=(trials,),
        slope=(1 + value) ** 2,
        null_draws=None if trials.weighted else null_draws,
    )
