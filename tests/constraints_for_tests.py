"""Batches with every kind of membership, and the statistics of groups written out one row at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fairheads.constraints import (
    Constraint,
    accuracy_equality,
    demographic_parity,
    equal_opportunity,
    equalized_odds,
    linear_fractional,
    predictive_equality,
)
from fairheads.constraints import statistics as named
from fairheads.constraints.statistics import Statistic

RATES = (
    named.SELECTION_RATE,
    named.ACCURACY,
    named.TRUE_POSITIVE_RATE,
    named.FALSE_POSITIVE_RATE,
    named.TRUE_NEGATIVE_RATE,
    named.FALSE_NEGATIVE_RATE,
    named.POSITIVE_PREDICTIVE_VALUE,
    named.NEGATIVE_PREDICTIVE_VALUE,
    named.F1,
    named.ERROR_RATIO,
)
KINDS = ("squared", "absolute", "log_sum_exp")


def of_predictions(**settings: object) -> Constraint:
    """A constraint whose denominators depend on the scores."""
    return linear_fractional([named.POSITIVE_PREDICTIVE_VALUE, named.F1, named.ERROR_RATIO], **settings)  # type: ignore[arg-type]


CONSTRAINTS: dict[str, Callable[..., Constraint]] = {
    "demographic_parity": demographic_parity,
    "equalized_odds": equalized_odds,
    "equal_opportunity": equal_opportunity,
    "predictive_equality": predictive_equality,
    "accuracy_equality": accuracy_equality,
    "of_predictions": of_predictions,
}


@dataclass
class Case:
    """A batch, and the settings of a constraint that reads it."""

    logits: Tensor
    y: Tensor
    group: Tensor
    strata: Tensor | None = None
    settings: dict[str, object] = field(default_factory=dict)


def case(kind: str, seed: int = 0) -> Case:
    """24 rows in float64 in which no cell of label, stratum and group is empty."""
    draw = torch.Generator().manual_seed(seed)
    row = torch.arange(24)
    y, group, strata = row % 2, row // 2 % 3, row // 6 % 2
    logits = torch.randn(24, generator=draw, dtype=torch.float64) + 0.7 * group
    if kind == "codes":
        return Case(logits, y, group)
    if kind == "unrecorded":
        return Case(logits, y, torch.where(row < 5, -1, group))
    if kind == "membership":
        return Case(logits, y, torch.rand(24, 3, generator=draw, dtype=torch.float64).softmax(1))
    if kind == "strata":
        return Case(logits, y, group, strata, {"strata": 2})
    if kind == "classes":
        logits = torch.randn(24, 3, generator=draw, dtype=torch.float64) + 0.5 * group[:, None] * torch.tensor(
            [0, 1, 0]
        )
        return Case(logits, torch.where(y == 1, 1, 2 * (row % 3 == 0).long()), group, None, {"favourable": 1})
    if kind == "identity":
        scores = 0.05 + 0.9 * torch.rand(24, generator=draw, dtype=torch.float64)
        return Case(scores, y, group, None, {"link": "identity"})
    raise ValueError(kind)


CASES = ("codes", "unrecorded", "membership", "strata", "classes", "identity")


def confusion(scores: Sequence[float], y: Sequence[int], share: Sequence[float]) -> tuple[float, float, float, float]:
    """Soft (tp, fp, fn, tn), one row at a time."""
    tp = fp = fn = tn = 0.0
    for p, label, weight in zip(scores, y, share, strict=True):
        if label == 1:
            tp, fn = tp + weight * p, fn + weight * (1 - p)
        else:
            fp, tn = fp + weight * p, tn + weight * (1 - p)
    return tp, fp, fn, tn


def ratio(statistic: Statistic, cells: Sequence[float]) -> float:
    """The statistic of a confusion matrix; NaN where it is undefined."""
    above = sum(w * c for w, c in zip(statistic.numerator, cells, strict=True))
    below = sum(w * c for w, c in zip(statistic.denominator, cells, strict=True))
    return above / below if below > 0 else math.nan


def levels_by_hand(statistic: Statistic, scores: Tensor, y: Tensor, group: Tensor) -> list[float]:
    """The statistic of every group, from codes (n,) or probabilities (n, K)."""
    shares = group.T if group.is_floating_point() else torch.stack([group == k for k in range(int(group.max()) + 1)])
    return [ratio(statistic, confusion(scores.tolist(), y.tolist(), share.double().tolist())) for share in shares]


def penalty_by_hand(levels: Sequence[float], kind: str, tolerance: float = 0.0, smoothing: float = 0.01) -> float:
    """Over pairs of the groups that have a level."""
    there = [level for level in levels if not math.isnan(level)]
    gaps = [abs(a - b) for i, a in enumerate(there) for b in there[:i]]
    if kind == "log_sum_exp":
        if not gaps:
            return 0.0
        mean = math.fsum(math.exp(gap / smoothing) + math.exp(-gap / smoothing) for gap in gaps) / (2 * len(gaps))
        return max(smoothing * math.log(mean) - tolerance, 0.0)
    beyond = [max(gap - tolerance, 0.0) for gap in gaps]
    return math.fsum(gap * gap if kind == "squared" else gap for gap in beyond)
