"""The rules that a merge is compared with, chosen as it was, and what each does on rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import InputError
from fairheads.results import MergeOutcome, MergePoint, MergeRule
from fairheads.results.merge import MOST_POINTS
from fairheads.twoheads.coefficients import Coefficients
from fairheads.twoheads.criteria import Utility
from fairheads.twoheads.frontier import Frontier, fit_frontier
from fairheads.twoheads.frontier_shown import rising
from fairheads.twoheads.outcomes import Decision, HeadRows

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a merge was asked for; every rule is chosen by it. The fields are the arguments of `merge_bundle`."""

    max_gap: float
    confidence: float | None
    gap_metric: str
    objective: str | Utility
    minimum_rates: dict[str, float]
    seed: int

    def front(self, rows: HeadRows, outputs: Floats, space: str = "logit") -> Frontier:
        """The front of ``z_y + b . outputs + t`` on the rows."""
        return fit_frontier(
            rows.z_y,
            outputs,
            rows.y,
            rows.group,
            gap_metric=self.gap_metric,
            objective=self.objective,
            minimum_rates=self.minimum_rates or None,
            space=space,
            seed=self.seed,
        )

    def at(self, front: Frontier) -> Coefficients:
        """The point that was asked for."""
        return front.at(max_gap=self.max_gap, confidence=self.confidence)

    def others(self, rows: HeadRows, front: Frontier) -> tuple[dict[str, Coefficients], dict[str, str]]:
        """The rules beside the chosen merge of the front, and why others could not be had."""
        made: dict[str, Coefficients] = {}
        if self.confidence is not None:
            made["point"] = front.at(max_gap=self.max_gap, confidence=None)
        made["alone"] = front.alone()
        missing: dict[str, str] = {}
        for name, outputs, space in (
            ("probability", rows.z_g, "probability"),
            ("thresholds", rows.told, "logit"),
        ):
            try:
                made[name] = self.at(self.front(rows, outputs, space))
            except InputError as error:
                missing[name] = str(error)
        return made, missing


def decided(name: str, coefficients: Coefficients, rows: HeadRows) -> Decision:
    """Whom a rule selects."""
    outputs = rows.told if name == "thresholds" else rows.z_g
    return np.asarray(coefficients.score(rows.z_y, outputs) > 0)


def rule_of(
    name: str, coefficients: Coefficients, chosen: Coefficients, rows: HeadRows, new: HeadRows | None = None
) -> MergeRule:
    """A rule with what it does on the rows that it was chosen on, and on new ones."""

    def outcome(at: HeadRows) -> MergeOutcome:
        beside = None if name == "chosen" else decided("chosen", chosen, at)
        return at.outcome(decided(name, coefficients, at), beside)

    return MergeRule(
        b=tuple(float(b) for b in coefficients.slopes),
        t=coefficients.t,
        space="groups" if name == "thresholds" else "probability" if name == "probability" else "logit",
        bound=coefficients.bound,
        validation=outcome(rows),
        judged=None if new is None else outcome(new),
    )


def front_points(front: Frontier, rules: Sequence[MergeRule], *, by_objective: bool) -> tuple[MergePoint, ...]:
    """At every absolute gap the best merge with at most that gap, thinned evenly to what a report keeps.

    ``rules`` are merges that were chosen from the front: of more than two groups they may lie between its points.
    """
    value = front.objective if by_objective else front.accuracy
    slopes = np.reshape(front.b, (len(front.t), -1))
    points = [
        MergePoint(
            b=tuple(map(float, slopes[i])),
            t=float(front.t[i]),
            accuracy=float(front.accuracy[i]),
            gap=float(abs(front.gap[i])),
            selection_rate=float(front.selection_rate[i]),
            objective=float(value[i]) if by_objective else None,
        )
        for i in rising(np.abs(front.gap), value)
    ]
    points += [_point(rule) for rule in rules]
    return tuple(
        _thinned([points[i] for i in rising(np.array([p.gap for p in points]), np.array([_value(p) for p in points]))])
    )


def _thinned(points: Sequence[MergePoint]) -> Sequence[MergePoint]:
    if len(points) <= MOST_POINTS:
        return points
    return [points[i] for i in np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]


def _value(point: MergePoint) -> float:
    return point.accuracy if point.objective is None else point.objective


def _point(rule: MergeRule) -> MergePoint:
    done = rule.validation
    return MergePoint(
        b=rule.b,
        t=rule.t,
        accuracy=done.accuracy.value,
        gap=abs(done.gap.value),
        selection_rate=done.selection_rate.value,
        objective=None if done.objective is None else done.objective.value,
    )
