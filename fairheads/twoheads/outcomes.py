"""How rules decide on rows, as the numbers of a merge report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.metrics import disparity_of
from fairheads.metrics.agreement import changes, paired, rate, share
from fairheads.results import GroupChange, MergeDifference, MergeOutcome, Number, undefined
from fairheads.sums import Cells, Tally
from fairheads.twoheads.criteria import GAP_METRICS, Utility
from fairheads.twoheads.thresholds import membership

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Decision = NDArray[np.bool_]

Z95 = 1.959964
"""Standard errors on either side of a mean in its 95 % interval."""


@dataclass(frozen=True, eq=False)
class HeadRows:
    """Rows with the outputs of two heads, and what is counted on them.

    Attributes
    ----------
    z_y : float64 (n,)
    z_g : float64 (n,) or (n, m)
    y, group : int64 (n,)
        Label, and code of the group; -1 where it is not recorded.
    groups : tuple of str
    gap_metric : str
    objective : str or Utility
    """

    z_y: Floats
    z_g: Floats
    y: Ints
    group: Ints
    groups: tuple[str, ...]
    gap_metric: str
    objective: str | Utility

    @property
    def told(self) -> Floats:
        """What a group head that never errs would give, of the shape of ``z_g``."""
        return membership(self.group, len(self.groups))

    def outcome(self, decision: Decision, chosen: Decision | None = None) -> MergeOutcome:
        """What a rule does, with the ``chosen`` merge beside it where that is another one."""
        rates, gap, highest, lowest = self._by_group(decision)
        return MergeOutcome(
            n=len(self.y),
            accuracy=share(decision == (self.y == 1)),
            selection_rate=share(decision),
            gap=gap,
            highest=highest,
            lowest=lowest,
            rates=rates,
            objective=None if self.objective == "accuracy" else self._objective(decision),
            beside=None if chosen is None else self._difference(chosen, decision),
        )

    def _by_group(self, decision: Decision) -> tuple[dict[str, dict[str, Number]], Number, str, str]:
        """Rates by name and group; the gap, and the groups with the highest and lowest rate."""
        known = self.group >= 0
        rates = GAP_METRICS[self.gap_metric]
        wanted = tuple(dict.fromkeys(("selection_rate", *rates)))
        absent = [name for code, name in enumerate(self.groups) if not (self.group == code).any()]
        cells = Cells.count(y=self.y[known], decision=decision[known], group=self.group[known], groups=self.groups)
        report = disparity_of(
            Tally(n=int(known.sum()), columns=("group",), cells=cells),
            reference=None if absent else self.groups[0],
            metrics=wanted,
            replicates=0,
        )
        none = undefined("no rows")
        by_group = {name: {g: report.metrics[name].groups.get(g, none) for g in self.groups} for name in wanted}
        if absent:
            return by_group, undefined(f"no rows of group {absent[0]}"), "", ""
        if len(rates) > 1:
            return by_group, report.criteria[self.gap_metric].difference, "", ""
        found = report.gaps[rates[0]]
        if len(self.groups) > 2:
            return by_group, found.difference, found.highest, found.lowest
        to_first = report.metrics[rates[0]].to_reference[self.groups[1]].difference
        return by_group, to_first, found.highest, found.lowest

    def changes(self, before: Decision, after: Decision) -> dict[str, GroupChange]:
        """Whom of every group two rules decide differently."""
        return changes(before, after, self.group, self.groups)

    def _difference(self, chosen: Decision, other: Decision) -> MergeDifference:
        right = self.y == 1
        return MergeDifference(
            accuracy=paired((chosen == right).astype(np.float64) - (other == right)),
            selection_rate=paired(chosen.astype(np.float64) - other),
            changed=share(chosen != other),
        )

    def _objective(self, decision: Decision) -> Number:
        """What was maximised, with an interval."""
        right = self.y == 1
        if isinstance(self.objective, Utility):
            favourable = np.where(decision, self.objective.tp, self.objective.fn)
            worth = np.where(right, favourable, np.where(decision, self.objective.fp, self.objective.tn))
            half = Z95 * float(worth.std()) / len(worth) ** 0.5
            mean = float(worth.mean())
            return Number(value=mean, n=len(worth), low=mean - half, high=mean + half)
        if self.objective == "f1":
            # 2 tp / (2 tp + fp + fn) rises with tp / (tp + fp + fn), a share of independent rows.
            either = int((decision | right).sum())
            jaccard = rate(int((decision & right).sum()), either, "no favourable labels or decisions")
            return _through(lambda j: 2 * j / (1 + j), jaccard)
        cells = Cells.count(y=self.y, decision=decision, group=np.zeros(len(self.y), int), groups=("all",))
        tally = Tally(n=len(self.y), columns=("group",), cells=cells)
        return disparity_of(tally, metrics=("balanced_accuracy",), replicates=0).metrics["balanced_accuracy"].overall


def _through(f: Callable[[float], float], number: Number) -> Number:
    """A rising function of a number and its interval."""
    if number.reason:
        return number
    low, high = (None if end is None else f(end) for end in (number.low, number.high))
    return Number(value=f(number.value), n=number.n, low=low, high=high, conservative=number.conservative)
