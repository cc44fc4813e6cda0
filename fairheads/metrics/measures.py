"""From the name of a metric to its estimates: which metrics sums allow, and how each is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import ConfigError
from fairheads.metrics import scores as of_scores
from fairheads.metrics.bootstrap import CellMetric, cell_metric, generalized_entropy, theil
from fairheads.metrics.estimate import Measured
from fairheads.metrics.rates import RATE_OF, balanced_accuracy, error_ratio, rate
from fairheads.results import RATES, SCORES
from fairheads.sums import Cells, ScoreHistogram

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the score, where there are no decisions."""


Floats = NDArray[np.float64]
INDICES: dict[str, CellMetric] = {"generalized_entropy": generalized_entropy, "theil": theil}
OF_SCORES: dict[str, Callable[[ScoreHistogram], Measured]] = {
    "mean_score": of_scores.mean_score,
    "auc": of_scores.auc,
    "brier": of_scores.brier,
    "expected_calibration_error": of_scores.expected_calibration_error,
}

QUANTILE = "score_quantile_"


@dataclass(frozen=True, eq=False)
class Sums:
    """What the metrics of some groups are made of: cells with replicates of them, and scores; either may be missing."""

    cells: Cells | None
    scores: ScoreHistogram | None
    drawn: Floats | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups."""
        return self.cells.groups if self.cells is not None else self.scores.groups if self.scores is not None else ()

    @property
    def rows(self) -> list[int]:
        """Rows of every group."""
        if self.cells is not None:
            return [int(n) for n in self.cells.counts.sum((1, 2))]
        return [] if self.scores is None else [int(n) for n in self.scores.counts.sum((0, 2))]

    @property
    def mass(self) -> list[float]:
        """Rows, or weight, of every group."""
        if self.cells is not None:
            return [float(w) for w in self.cells.mass.sum((1, 2))]
        return [] if self.scores is None else [float(w) for w in self.scores.mass.sum((0, 2))]

    @property
    def weighted(self) -> bool:
        """Whether rows have weights, so that a group may have rows that do not count."""
        sums = self.cells if self.cells is not None else self.scores
        return sums is not None and sums.weights is not None

    def only(self, groups: Sequence[str]) -> Sums:
        """The sums of some of the groups, in that order."""
        if tuple(groups) == self.groups:
            return self
        at = [self.groups.index(group) for group in groups]
        return Sums(
            None if self.cells is None else self.cells.only(groups),
            None if self.scores is None else self.scores.only(groups),
            None if self.drawn is None else self.drawn[:, at],
        )

    def allow(self) -> list[str]:
        """The metrics that can be made of them."""
        there: list[str] = []
        if self.cells is not None:
            there += list(RATES) if self.cells.labelled else ["selection_rate"]
        if self.scores is not None:
            there += list(SCORES) if self.scores.labelled else ["mean_score"]
            there += [] if self.cells is not None else [f"{QUANTILE}{q:g}" for q in QUANTILES]
        return there


def wanted_metrics(metrics: Sequence[str] | None, sums: Sums, custom: Mapping[str, CellMetric]) -> list[str]:
    """The names of the metrics that are asked for, or all that the sums allow, the custom ones last.

    Raises
    ------
    ConfigError
        If the sums do not allow one, or a custom one takes the name of another.
    """
    if custom and (sums.cells is None or not sums.cells.labelled):
        raise ConfigError("`custom` metrics need labels and decisions.")
    if taken := sorted(set(custom) & {*RATES, *SCORES}):
        raise ConfigError(f"`custom` must not take the name of a metric that there is: {taken[0]!r}.")
    there = sums.allow()
    if metrics is None:
        return [*there, *custom]
    if unknown := [m for m in metrics if m not in there and m not in custom]:
        raise ConfigError(f"`metrics` must be among {[*there, *custom]}, got {unknown[0]!r}.")
    return [*dict.fromkeys(m for m in metrics if m not in custom), *custom]


def measured(metric: str, sums: Sums, custom: Mapping[str, CellMetric]) -> Measured:
    """One metric in every group and of everybody, of sums that allow it."""
    cells, scores, drawn = sums.cells, sums.scores, sums.drawn
    if scores is not None and metric in OF_SCORES:
        return OF_SCORES[metric](scores)
    if scores is not None and metric.startswith(QUANTILE):
        return of_scores.quantile(scores, float(metric.removeprefix(QUANTILE)))
    if cells is None:
        raise ConfigError(f"{metric} needs decisions.")
    if metric in RATE_OF:
        return rate(cells, RATE_OF[metric])
    if metric == "balanced_accuracy":
        return balanced_accuracy(cells)
    if metric == "error_ratio":
        return error_ratio(cells)
    if drawn is None:
        raise ConfigError(f"{metric} needs replicates of the cells.")
    return cell_metric(cells, {**INDICES, **custom}[metric], drawn, name=metric)


def meaning_of(name: str) -> str:
    """What a metric is, in words."""
    if name.startswith(QUANTILE):
        return f"score that a share {name.removeprefix(QUANTILE)} of the rows does not exceed"
    return {**RATES, **SCORES}.get(name, "a metric of the caller's")
