"""Training under a tolerance: multipliers that rise while decisions break it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fairheads.constraints import Constraint
from fairheads.errors import ConfigError
from fairheads.training.objective import Constrained, weight_of
from fairheads.training.tasks import Task, binary_cross_entropy

INFEASIBLE = 100.0
"""What a unit of broken tolerance costs when checkpoints are judged: feasible first, then the task's loss."""


class Lagrangian(Constrained):
    """The task's loss under ``no two groups differ by more than tolerance``, by an augmented Lagrangian.

    Every group and statistic has a multiplier for lying too high and one for lying too low. The loss is
    ``task + sum_k [multiplier_k + damping * hard_k]_+ * soft_k``; after a step ``multiplier_k`` becomes
    ``[multiplier_k + rate * hard_k]_+``. Here ``soft`` is the violation of the soft decisions, which has a gradient,
    and ``hard`` that of the decisions, which is what the user means.

    Parameters
    ----------
    constraint : Constraint
        What is compared. Its ``kind`` and ``tolerance`` play no part here. With ``memory`` the multipliers follow
        running rates, which are less noisy and later. Take .5 where groups, or groups of one label, are small in a
        batch; .9 lags so far behind that the multipliers swing.
    tolerance : float
        Largest difference between two groups that is allowed, in units of the statistic: .02 allows selection rates
        of .30 and .32.
    rate : float
        Step of the multipliers. Higher reaches the tolerance in fewer steps and swings more; where training ends before
        the tolerance is reached, take more steps rather than a higher rate.
    damping : float
        Answer to the violation of the moment (the augmented term); it damps the swings of the multipliers and makes
        noise of the batch act as a penalty. Below 5 the multipliers swing on Adult, COMPAS and made-up data.
    task : callable
        See `Objective`.

    Attributes
    ----------
    multipliers : Tensor (2, statistics * strata, groups)
        For lying too high, then too low; of distances between distributions (labels, pairs of groups). Before the
        first batch it is empty.

    References
    ----------
    Bertsekas, Constrained Optimization and Lagrange Multiplier Methods, 1982, chapter 2; Cotter et al., JMLR 2019
    (soft violations for the gradient, hard ones for the multipliers).

    Notes
    -----
    The tolerance is met on the training rows, up to chance. Read it on rows of their own with their interval.

    Examples
    --------
    >>> from fairheads.constraints import equalized_odds
    >>> Lagrangian(equalized_odds(), tolerance=0.05).to_dict()["tolerance"]
    0.05
    """

    growing = ("multipliers", "_seen")
    passing = ("_seen", "_calls")
    multipliers: Tensor
    _seen: Tensor
    """Sum of the violations of the batches since the last step."""
    _calls: Tensor
    """Their number."""

    def __init__(
        self,
        constraint: Constraint,
        tolerance: float = 0.02,
        *,
        rate: float = 0.2,
        damping: float = 10.0,
        task: Task = binary_cross_entropy,
    ) -> None:
        super().__init__(constraint, task)
        if not 0 < rate < float("inf"):
            raise ConfigError(f"`rate` must be above 0 and finite, got {rate}.")
        self.tolerance, self.rate, self.damping = weight_of(tolerance, "tolerance"), rate, weight_of(damping, "damping")
        self.register_buffer("multipliers", torch.zeros(0))
        self.register_buffer("_seen", torch.zeros(0))
        self.register_buffer("_calls", torch.zeros((), dtype=torch.int64))

    def constraint_loss(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        found = self.constraint.violations(logits, y, group, strata, tolerance=self.tolerance)
        multipliers = _padded(self.multipliers, found.hard)
        pull = (multipliers[..., : found.hard.shape[-1]] + self.damping * found.hard).clamp_(min=0)
        if self.learns:
            self.multipliers = multipliers
            seen = _padded(self._seen, found.hard)
            self._seen, self._calls = seen + _padded(found.hard, seen), self._calls + 1
            self.wait_for_step()
        return (pull * found.soft).sum()

    def step(self) -> None:
        """Move the multipliers by the violations of the batches since the last step (their mean)."""
        if self._seen.numel():
            broken = _padded(self._seen, self.multipliers) / self._calls
            self.multipliers = (self.multipliers + self.rate * broken).clamp_(min=0)
            self._seen, self._calls = self._seen.new_zeros(0), torch.zeros_like(self._calls)
            self._waiting = 0

    @property
    def price(self) -> Tensor:
        """What a unit of tolerance would be worth in units of the loss, for every statistic and stratum."""
        if self.multipliers.ndim != 3:
            return self.multipliers if self.multipliers.numel() == 0 else self.multipliers.sum(-1)
        # What pulls a group up and down alike cancels. Both sides of the middle bear half of the tolerance.
        return (self.multipliers[0] - self.multipliers[1]).abs().sum(-1) / 2

    @torch.no_grad()
    def judge(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> float:
        """The task's loss, plus 100 times the largest violation by decisions."""
        was = self.training
        try:
            self.eval()
            broken = self.constraint.violations(logits, y, group, strata, tolerance=self.tolerance).hard
            # Both sides of the middle bear half of the excess; a distance of two groups has one side.
            excess = (2 if broken.ndim == 3 else 1) * broken.amax().clamp(min=0)
            return float(self.task_loss(logits, y, group) + INFEASIBLE * excess)
        finally:
            self.train(was)

    def to_dict(self) -> dict[str, Any]:
        plain = {"name": "lagrangian", "tolerance": self.tolerance, "rate": self.rate, "damping": self.damping}
        return {**plain, **super().to_dict()}


def _padded(values: Tensor, like: Tensor) -> Tensor:
    """Values with at least the groups (or pairs) of ``like``; those that are new start at 0."""
    if values.numel() == 0 or values.shape[:-1] != like.shape[:-1]:
        return torch.zeros_like(like)
    missing = like.shape[-1] - values.shape[-1]
    return torch.nn.functional.pad(values.to(like), (0, missing)) if missing > 0 else values.to(like)
