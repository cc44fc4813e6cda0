"""Rates of every group and the gaps between groups, as functions of cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import InputError
from fairheads.metrics.intervals import difference_interval, rate_interval, ratio_interval
from fairheads.results import DisparityReport, Gap, GroupRates, Number, undefined
from fairheads.sums import Cells

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Rate:
    """A rate as the ratio of two sums of cells [label, decision]; ``empty`` says what an undefined one lacks."""

    hits: Callable[[Counts], int]
    trials: Callable[[Counts], int]
    empty: str


RATE_OF: dict[str, Rate] = {
    "selection_rate": Rate(lambda c: c[:, 1].sum(), lambda c: c.sum(), "no rows"),
    "accuracy": Rate(lambda c: c[0, 0] + c[1, 1], lambda c: c.sum(), "no rows"),
    "true_positive_rate": Rate(lambda c: c[1, 1], lambda c: c[1].sum(), "no rows recorded as favourable"),
    "false_positive_rate": Rate(lambda c: c[0, 1], lambda c: c[0].sum(), "no rows recorded as unfavourable"),
    "positive_predictive_value": Rate(lambda c: c[1, 1], lambda c: c[:, 1].sum(), "no favourable decisions"),
    "base_rate": Rate(lambda c: c[1].sum(), lambda c: c.sum(), "no rows"),
}


def disparity_report(y_true: ArrayLike, y_pred: ArrayLike, *, sensitive_features: ArrayLike) -> DisparityReport:
    """Selection rate, accuracy, TPR, FPR, PPV and base rate per group, with intervals, and the gaps between groups.

    Parameters
    ----------
    y_true, y_pred : array (n,) of 0 and 1
        Recorded label and decision, 1 = favourable.
    sensitive_features : array (n,)
        Group of each row; missing values are not allowed.

    Raises
    ------
    InputError
        If lengths differ, a value is not 0 or 1, a group is missing, or there are no rows.

    Notes
    -----
    A rate without rows is NaN with the reason, never 0. Not shown: why groups differ.

    Examples
    --------
    >>> report = disparity_report([1, 0, 1, 0], [1, 0, 0, 0], sensitive_features=["a", "a", "b", "b"])
    >>> report.demographic_parity_difference.value
    0.5
    """
    y_true, y_pred, group = np.asarray(y_true), np.asarray(y_pred), np.asarray(sensitive_features)
    if y_true.ndim != 1:
        raise InputError(f"`y_true` must be one value per row, got an array of shape {y_true.shape}.")
    for name, values in (("y_pred", y_pred), ("sensitive_features", group)):
        if values.ndim != 1 or len(values) != len(y_true):
            raise InputError(f"`{name}` must have one entry per row of `y_true` ({len(y_true)}), got {values.shape}.")
    if len(y_true) == 0:
        raise InputError("`y_true` must have at least one row.")
    for name, values in (("y_true", y_true), ("y_pred", y_pred)):
        if values.dtype.kind not in "iufb" or not np.isin(values, (0, 1)).all():
            raise InputError(f"`{name}` must be 0 or 1 in every row.")
    if _missing(sensitive_features, group):
        raise InputError("`sensitive_features` must not be missing in any row.")
    names, codes = np.unique(group.astype(str) if group.dtype == object else group, return_inverse=True)
    cells = Cells.count(y=y_true, decision=y_pred, group=codes, groups=[str(name) for name in names.tolist()])
    return disparity_of(cells)


def _missing(given: ArrayLike, group: NDArray[Any]) -> bool:
    """Whether a value is None, NaN or pandas' NA; a list of text is searched before it becomes an array of text."""
    values = list(given) if isinstance(given, (list, tuple)) else group.tolist() if group.dtype.kind in "fO" else []
    return any(v is None or str(v == v) != "True" for v in values)


def disparity_of(cells: Cells) -> DisparityReport:
    """The disparity report of cell counts; groups without rows are left out."""
    groups = {g: _rates(c) for g, c in zip(cells.groups, cells.counts, strict=True) if c.sum()}
    counts = {g: c for g, c in zip(cells.groups, cells.counts, strict=True) if c.sum()}
    return DisparityReport(
        n=int(cells.counts.sum()),
        overall=_rates(cells.counts.sum(0)),
        groups=groups,
        gaps={name: _gap(rate, counts) for name, rate in RATE_OF.items()},
    )


def _rates(counts: Counts) -> GroupRates:
    def number(rate: Rate) -> Number:
        hits, trials = int(rate.hits(counts)), int(rate.trials(counts))
        if trials == 0:
            return undefined(rate.empty)
        low, high = rate_interval(hits, trials)
        return Number(value=hits / trials, n=trials, low=float(low), high=float(high))

    (tn, fp), (fn, tp) = counts.tolist()
    return GroupRates(
        n=int(counts.sum()),
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        true_negatives=tn,
        **{name: number(rate) for name, rate in RATE_OF.items()},
    )


def _gap(rate: Rate, groups: dict[str, Counts]) -> Gap:
    """Largest difference and smallest ratio over the groups in which the rate is defined."""
    sums = {g: (int(rate.hits(c)), int(rate.trials(c))) for g, c in groups.items()}
    defined = {g: (hits, trials) for g, (hits, trials) in sums.items() if trials}
    lacking = [g for g in sums if g not in defined]
    if len(defined) < 2 or lacking:
        reason = f"{rate.empty} in {', '.join(lacking)}" if lacking else "one group only"
        return Gap(difference=undefined(reason), ratio=undefined(reason), highest="", lowest="")
    values = {g: hits / trials for g, (hits, trials) in defined.items()}
    highest, lowest = max(values, key=lambda g: values[g]), min(values, key=lambda g: values[g])
    n = defined[highest][1] + defined[lowest][1]
    low, high = _difference_bounds(list(defined.values()))
    difference = Number(value=values[highest] - values[lowest], n=n, low=low, high=high)
    if values[highest] == 0:
        ratio = undefined("the rate is 0 in every group", n)
    elif values[lowest] == 0:
        ratio = Number(value=0.0, n=n)  # the logarithm of 0 has no interval
    else:
        low, high = _ratio_bounds(list(defined.values()))
        ratio = Number(value=values[lowest] / values[highest], n=n, low=low, high=high)
    return Gap(difference=difference, ratio=ratio, highest=highest, lowest=lowest)


def _paired(groups: list[tuple[int, int]]) -> tuple[Counts, Counts, Counts, Counts, float]:
    """Hits and trials of both sides of every pair of groups, and the confidence that makes all pairs hold at .95."""
    pairs = list(combinations(groups, 2))
    (k1, n1), (k0, n0) = (np.array(side).T for side in zip(*pairs, strict=True))
    return k1, n1, k0, n0, 1 - 0.05 / len(pairs)


def _difference_bounds(groups: list[tuple[int, int]]) -> tuple[float, float]:
    """Bounds of the largest |difference|: Newcombe's for every pair, with Bonferroni's correction for their number.

    When all pairs are covered, so is the largest: at least the largest lower bound, at most the largest upper one.
    """
    k1, n1, k0, n0, confidence = _paired(groups)
    low, high = difference_interval(k1, n1, k0, n0, confidence=confidence)
    nearest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    return float(nearest.max()), float(np.maximum(np.abs(low), np.abs(high)).max())


def _ratio_bounds(groups: list[tuple[int, int]]) -> tuple[float, float]:
    """Bounds of the smallest ratio (lower rate over higher), from the intervals of all pairs in the same way."""
    k1, n1, k0, n0, confidence = _paired(groups)
    low, high = ratio_interval(k1, n1, k0, n0, confidence=confidence)
    nearest = np.where((low <= 1) & (high >= 1), 1.0, np.minimum(high, 1 / low))
    return float(np.minimum(low, 1 / high).min()), float(nearest.min())
