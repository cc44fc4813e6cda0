"""Objectives that weigh rows: reweighing by group and label, and the worst group first."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from fairheads.activations import device_of
from fairheads.constraints.assignment import memberships
from fairheads.constraints.processes import joined_sum, joined_with_gradient
from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.training.objective import Objective, codes_of, known_groups
from fairheads.training.tasks import Task, binary_cross_entropy, losses_of


class Reweighted(Objective):
    """The task's loss with rows weighted ``P(group) P(y) / P(group, y)``, which makes label and group independent.

    Parameters
    ----------
    share : float in [0, 1]
        How far to go from equal weights (0) to these (1).
    counts : array (groups, 2), optional
        Training rows of every group with label 0 and 1. `start` counts them; in a loop of your own give them.
    task : callable
        See `Objective`.

    Raises
    ------
    ConfigError
        On a share outside [0, 1], counts of another shape, or when called before the counts are known.

    References
    ----------
    Kamiran and Calders, Data preprocessing techniques for classification without discrimination, KAIS 2012,
    algorithm 3 (reweighing).

    Examples
    --------
    >>> objective = Reweighted(counts=[[6, 2], [2, 2]])
    >>> objective.weights.round(decimals=2)
    tensor([[0.8900, 1.3300],
            [1.3300, 0.6700]])
    """

    growing = ("weights",)
    weights: Tensor

    def __init__(
        self, share: float = 1.0, *, counts: ArrayLike | None = None, task: Task = binary_cross_entropy
    ) -> None:
        super().__init__(task)
        if not 0 <= share <= 1:
            raise ConfigError(f"`share` must lie in [0, 1], got {share}.")
        self.share = share
        self.register_buffer("weights", torch.zeros(0, 2))
        if counts is not None:
            self._weigh(np.asarray(counts, np.float64))

    def task_loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        if self.weights.numel() == 0:
            raise ConfigError("`counts` must be given, or `start` be called, before the loop.")
        if group.is_floating_point():
            member = memberships(group, len(self.weights)).to(self.weights)
            weight = (member @ self.weights).gather(1, y.long()[:, None])[:, 0]
        else:
            group = codes_of(group, len(self.weights))
            # A row whose group is not recorded has weight 1.
            weight = torch.where(group >= 0, self.weights[group.clamp(min=0), y.long()], 1.0)
        return (weight * losses_of(self.task, logits, y)).mean()

    def start(self, net: nn.Module, data: Dataset | Stream) -> Dataset | Stream:
        known_groups(data)
        self._weigh(data.counts().astype(np.float64))
        device = device_of(net)
        self.weights = self.weights.to(device)
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"name": "reweighted", "share": self.share, **super().to_dict()}

    def _weigh(self, counts: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        if counts.ndim != 2 or counts.shape[1] != 2 or len(counts) < 2 or counts.min() < 0 or counts.sum() == 0:
            raise ConfigError(f"`counts` must be of shape (groups, 2) and not negative, got shape {counts.shape}.")
        expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
        weights = np.divide(expected, counts, out=np.zeros_like(counts), where=counts > 0)
        self.weights = torch.as_tensor(1 + self.share * (weights - 1), dtype=torch.float32)


class GroupDRO(Objective):
    """The loss of groups, weighted towards the group that does worst: distributionally robust optimisation.

    Weights of groups are multiplied by ``exp(rate * loss of the group)`` after every step and sum to 1. It lowers the
    largest loss, which is not parity of decisions.

    Parameters
    ----------
    rate : float
        Higher follows the worst group faster, and its noise.
    by_label : bool
        Take every group and label as a group of its own, as the paper does.
    groups : int, optional
        `start` finds it out; in a loop of your own give it.
    task : callable
        See `Objective`.

    Raises
    ------
    ConfigError
        On a rate below 0, or when called before the number of groups is known.

    References
    ----------
    Sagawa et al., Distributionally robust neural networks for group shifts, ICLR 2020, algorithm 1.

    Examples
    --------
    >>> import torch
    >>> objective = GroupDRO(rate=1.0, groups=2)
    >>> loss = objective(torch.tensor([9.0, 0.0]), torch.tensor([1, 1]), torch.tensor([0, 1]))
    >>> objective.step()
    >>> objective.shares.round(decimals=2)
    tensor([0.3300, 0.6700])
    """

    growing = ("log_shares", "_seen")
    passing = ("_seen",)
    log_shares: Tensor
    _seen: Tensor
    """Sums of losses and rows of every group since the last step, (2, groups)."""

    def __init__(
        self,
        rate: float = 0.01,
        *,
        by_label: bool = False,
        groups: int | None = None,
        task: Task = binary_cross_entropy,
    ) -> None:
        super().__init__(task)
        if not 0 <= rate < float("inf"):
            raise ConfigError(f"`rate` must be at least 0 and finite, got {rate}.")
        self.rate, self.by_label = rate, by_label
        self.register_buffer("log_shares", torch.zeros(0))
        self.register_buffer("_seen", torch.zeros(0))
        if groups is not None:
            self._size(groups)

    @property
    def shares(self) -> Tensor:
        """Weight of every group, (groups,) or, by label, (groups * 2,); they sum to 1."""
        return self.log_shares.softmax(0)

    def task_loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        cells = len(self.log_shares)
        if cells == 0:
            raise ConfigError("`groups` must be given, or `start` be called, before the loop.")
        if group.is_floating_point():
            raise InputError("`group` must be codes (n,): GroupDRO weighs groups of whole rows.")
        losses = losses_of(self.task, logits, y)
        group = codes_of(group, cells // 2 if self.by_label else cells)
        code = group * 2 + y.long() if self.by_label else group
        code = torch.where(group < 0, cells, code)
        total = joined_with_gradient(losses.new_zeros(cells + 1).index_add(0, code, losses)[:cells])
        rows = joined_sum(losses.new_zeros(cells + 1).index_add_(0, code, torch.ones_like(losses))[:cells])
        if self.learns:
            sums = torch.stack([total.detach(), rows])
            self._seen = self._seen + sums if self._seen.numel() else sums
            self.wait_for_step()
        means = total / rows.clamp(min=1)
        return self.shares.to(means) @ means

    def step(self) -> None:
        """Multiply the weights by the losses since the last step; a group that had no rows keeps its own."""
        if self._seen.numel():
            means = self._seen[0] / self._seen[1].clamp(min=1)
            self.log_shares = (self.log_shares + self.rate * means).log_softmax(0)
            self._seen = self._seen.new_zeros(0)
            self._waiting = 0

    def start(self, net: nn.Module, data: Dataset | Stream) -> Dataset | Stream:
        self._size(known_groups(data))
        device = device_of(net)
        self.log_shares = self.log_shares.to(device)
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"name": "group_dro", "rate": self.rate, "by_label": self.by_label, **super().to_dict()}

    def _size(self, groups: int) -> None:
        if groups < 2:
            raise ConfigError(f"`groups` must be at least 2, got {groups}.")
        self.log_shares = torch.zeros(groups * 2 if self.by_label else groups).log_softmax(0)
