"""Objectives with one fixed trade: none, and a weighted constraint."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fairheads.constraints import Constraint
from fairheads.training.objective import Constrained, Objective, weight_of
from fairheads.training.tasks import Task, binary_cross_entropy


class Unconstrained(Objective):
    """The task's loss and nothing else."""

    def to_dict(self) -> dict[str, Any]:
        return {"name": "unconstrained", **super().to_dict()}


class Penalized(Constrained):
    """The task's loss plus ``weight`` times a constraint.

    Parameters
    ----------
    constraint : Constraint
    weight : float
        Trades accuracy for parity; 0 is `Unconstrained`, bit for bit. Larger batches make the constraint's gradient
        less noisy and its squared form less biased.
    task : callable
        See `Objective`.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 3.

    Examples
    --------
    >>> import torch
    >>> from fairheads.constraints import demographic_parity
    >>> objective = Penalized(demographic_parity(), weight=10)
    >>> logits = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    >>> objective(logits, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1]))
    tensor(0.3133)
    """

    def __init__(self, constraint: Constraint, weight: float = 1.0, *, task: Task = binary_cross_entropy) -> None:
        super().__init__(constraint, task)
        self.weight = weight_of(weight)

    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        if self.weight == 0:
            return self.task_loss(logits, y, group)
        return super().forward(logits, y, group, strata)

    def constraint_loss(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        value: Tensor = self.constraint(logits, y, group, strata)
        return self.weight * value

    def to_dict(self) -> dict[str, Any]:
        return {"name": "penalized", "weight": self.weight, **super().to_dict()}
