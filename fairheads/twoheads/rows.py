"""The rows that choose coefficients, and the others, on which everything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import ConfigError, InputError
from fairheads.metrics import disparity_report, rate_interval, weighted_rate_interval
from fairheads.metrics.estimate import with_bounds
from fairheads.metrics.intervals import is_small
from fairheads.metrics.paired import paired_interval, share_interval
from fairheads.results import Judged, Number, undefined
from fairheads.twoheads.frontier import fit_frontier
from fairheads.twoheads.heads import group_codes
from fairheads.twoheads.plane import between

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Rows:
    """Labels, groups, and which rows choose and which measure; checks what else is given, and measures."""

    y: NDArray[np.int64]
    group: NDArray[np.int64]
    fit: Mask
    confidence: float

    @classmethod
    def of(cls, y: ArrayLike, group: ArrayLike, fit: ArrayLike, confidence: float) -> Rows:
        if not 0 < confidence < 1:
            raise ConfigError(f"`confidence` must lie between 0 and 1, got {confidence:g}.")
        labels, codes, chosen = np.asarray(y), group_codes(group), np.asarray(fit)
        if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
            raise InputError("`y` must be 0 or 1 in every row.")
        n = len(labels)
        for name, values in (("group", codes), ("fit", chosen)):
            if values.shape != (n,):
                raise InputError(f"`{name}` must have one entry per row of `y` ({n}), got shape {values.shape}.")
        if chosen.dtype != np.bool_ or chosen.all() or not chosen.any():
            raise InputError("`fit` must be a boolean mask that is True in some rows and False in others.")
        return cls(labels.astype(np.int64), codes, chosen, confidence)

    @property
    def n(self) -> int:
        """Rows that measure."""
        return int((~self.fit).sum())

    def score(self, name: str, values: ArrayLike) -> Floats:
        score = np.asarray(values, np.float64)
        if score.shape != self.y.shape:
            raise InputError(f"`{name}` must have one entry per row of `y` ({len(self.y)}), got shape {score.shape}.")
        if not np.isfinite(score).all():
            raise InputError(f"`{name}` must be finite in every row.")
        return score

    def heads(self, name: str, values: ArrayLike) -> Floats:
        outputs = np.asarray(values, np.float64)
        outputs = outputs[:, None] if outputs.ndim == 1 else outputs
        if outputs.ndim != 2 or len(outputs) != len(self.y) or not outputs.shape[1]:
            raise InputError(
                f"`{name}` must have shape (n,) or (n, m) with one row per row of `y` ({len(self.y)}),"
                f" got {np.shape(values)}."
            )
        if not np.isfinite(outputs).all():
            raise InputError(f"`{name}` must be finite in every row.")
        return outputs

    def repeats(self, scores: Sequence[ArrayLike]) -> list[Mask]:
        return [self.score(f"repeats[{i}]", values) > 0 for i, values in enumerate(scores)]

    def measured(self, values: Mask) -> Floats:
        return values[~self.fit].astype(np.float64)

    def fitted(self, score: Floats, heads: Floats, wanted: Mask, seed: int) -> tuple[Floats, float, float]:
        """b and t with which the decisions agree most with those wanted, and the t that does so with b = 0."""
        chosen = self.fit
        front = fit_frontier(score[chosen], heads[chosen], wanted[chosen], self.group[chosen], seed=seed)
        best = front.at(max_gap=1.0, confidence=None)
        return best.slopes, best.t, best_offset(score[chosen], wanted[chosen])

    def rate(self, hits: Mask) -> Number:
        """A share of the rows that measure, with its interval."""
        k = int(hits[~self.fit].sum())
        low, high = rate_interval(k, self.n, confidence=self.confidence)
        return with_bounds(k / self.n, self.n, float(low), float(high), conservative=bool(is_small(k, self.n)))

    def mean(self, shares: Floats, repeats: int) -> Number:
        """The mean over networks of shares of the same rows; they count for more rows than one, and fewer than all."""
        value, variance = float(shares.mean()), float(shares.var())
        spread = value * (1 - value)
        rows = self.n * min(spread / variance, repeats) if variance > 0 and spread > 0 else self.n
        low, high = weighted_rate_interval(value, rows, confidence=self.confidence)
        return Number(value=value, n=self.n, low=float(low), high=float(high))

    def difference(self, rows: Floats) -> Number:
        low, high = paired_interval(rows, confidence=self.confidence)
        return Number(value=float(rows.mean()), n=self.n, low=low, high=high)

    def share(self, part: Floats, whole: Floats, reason: str) -> Number:
        bounds = share_interval(part, whole, confidence=self.confidence)
        if bounds is None:
            return undefined(reason, self.n)
        return Number(value=float(part.mean() / whole.mean()), n=self.n, low=bounds[0], high=bounds[1])

    def judged(self, decided: Mask) -> Judged:
        recorded = ~self.fit & (self.group >= 0)
        gap = undefined("fewer than two groups are recorded", int(recorded.sum()))
        if len(np.unique(self.group[recorded])) > 1:
            report = disparity_report(
                None,
                decided[recorded].astype(np.int64),
                sensitive_features=self.group[recorded],
                metrics=("selection_rate",),
                confidence=self.confidence,
                replicates=0,
            )
            gap = report.criteria["demographic_parity"].difference
        return Judged(accuracy=self.rate(decided == (self.y == 1)), selection_rate=self.rate(decided), gap=gap)


def best_offset(score: Floats, wanted: Mask) -> float:
    """The t with which ``score + t > 0`` agrees most with ``wanted``; it may select all rows, or none."""
    order = np.argsort(-score, kind="stable")
    s = score[order]
    gained = np.r_[0, np.cumsum(np.where(wanted[order], 1, -1))]
    cut = np.r_[0, np.flatnonzero(s[:-1] > s[1:]) + 1, len(s)]
    at = int(cut[gained[cut].argmax()])
    if at == 0:
        return -float(s[0])
    if at == len(s):
        return -float(s[-1]) + 1 + abs(float(s[-1]))
    return float(between(s[at - 1], s[at]))
