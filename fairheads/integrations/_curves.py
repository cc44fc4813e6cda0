"""What there is to plot of an objective while it is trained with."""

from __future__ import annotations

import torch
from torch import Tensor

from fairheads.constraints import RateConstraint
from fairheads.training import Constrained, GroupDRO, Lagrangian, Objective


class Curves:
    """Keeps the last batch that an objective was trained on, and reads off it what a log should hold.

    Under ``torch.distributed`` all processes must read together: the constraint is that of all their rows.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._last: tuple[Tensor, Tensor, Tensor, Tensor | None] | None = None

    def keep(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> None:
        """Remember a batch; one that is not trained on is not."""
        if self._objective.training:
            self._last = (logits.detach(), y, group, strata)

    @torch.no_grad()
    def read(self) -> dict[str, float]:
        """Constraint and gap (of decisions) of the last batch, and the largest multiplier and price."""
        objective, found = self._objective, dict[str, Tensor]()
        if isinstance(objective, Constrained) and self._last is not None:
            constraint, was = objective.constraint, objective.constraint.training
            try:
                constraint.eval()  # of this batch alone, and without a trace in the running counts
                found["constraint"] = constraint(*self._last)
                if isinstance(constraint, RateConstraint):
                    found["gap"] = _largest_gap(constraint.rates(*self._last, hard=True))
            finally:
                constraint.train(was)
        if isinstance(objective, Lagrangian) and objective.multipliers.numel():
            found["multiplier"] = objective.multipliers.max()
            found["price"] = objective.price.max()
        if isinstance(objective, GroupDRO):
            found["largest_share"] = objective.shares.max()
        values = {f"fairheads/{name}": float(value) for name, value in found.items()}
        return {name: value for name, value in values.items() if value == value}  # an undefined gap is left out


def _largest_gap(rates: Tensor) -> Tensor:
    """Between any two groups, over all statistics; NaN where no two groups are there to be compared."""
    known = ~rates.isnan()
    highest = torch.where(known, rates, -torch.inf).amax(-1)
    lowest = torch.where(known, rates, torch.inf).amin(-1)
    gaps = torch.where(known.sum(-1) > 1, highest - lowest, -torch.inf)
    largest = gaps.max()
    return torch.where(largest >= 0, largest, torch.nan)
