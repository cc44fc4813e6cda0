"""Any objective with a weight for every row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.functional import one_hot

from fairheads.activations import device_of
from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.training import Constrained, GroupDRO, Objective
from fairheads.training.tasks import losses_of


class Weighted(Objective):
    """An objective on weighted rows: a row of weight 2 counts as the same row twice, one of weight 0 not at all.

    In batches that are parts of the table this holds in expectation; a run has as many steps as rows of any weight
    make.

    Weights act on the task's loss and on the rates of a constraint. `fairheads.training.GroupDRO` weighs rows itself
    and is refused. What an objective learns from the rows before training (the counts of
    `fairheads.training.Reweighted`, the ranks of `Massaged`) and an adversary take rows as they are.

    A batch brings the weights of its rows along as their numbers, where strata would stand: the rows to train on must
    be a `Dataset` with ``strata`` 0 to n - 1. An objective that compares groups within strata can therefore not be
    weighted.

    Parameters
    ----------
    objective : Objective
        Is trained along; its state is in this objective's ``state_dict()``.
    weights : array (n,)
        Not negative; they are scaled to a mean of 1.

    Raises
    ------
    InputError
        If a weight is negative or not finite, or all are 0.
    ConfigError
        For `GroupDRO`.

    Examples
    --------
    >>> from fairheads.training import Unconstrained
    >>> objective = Weighted(Unconstrained(), [3.0, 1.0])
    >>> logits, y, group = torch.tensor([0.0, 5.0]), torch.tensor([0, 1]), torch.tensor([0, 0])
    >>> objective(logits, y, group, strata=torch.tensor([0, 1]))
    tensor(0.5215)
    """

    weights: Tensor

    def __init__(self, objective: Objective, weights: ArrayLike) -> None:
        super().__init__(objective.task)
        if isinstance(objective, GroupDRO):
            raise ConfigError("`GroupDRO` weighs rows by their group; rows that have weights already cannot be taken.")
        values = torch.tensor(np.array(weights, np.float64))  # a copy: pandas lends arrays that may not be written
        if values.ndim != 1 or not bool((values >= 0).all()) or not 0 < float(values.sum()) < float("inf"):
            raise InputError("`weights` must be finite numbers (n,), none below 0 and not all 0.")
        self.objective, self.outputs = objective, objective.outputs
        self.register_buffer("weights", (values / values.mean()).float(), persistent=False)
        self._unit = _power_of_2(float(self.weights.max()))

    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        weight = self._of(strata)
        with self._weighing(weight):
            loss: Tensor = self.objective(logits, y, self._member(group, weight / self._unit))
        return loss

    @torch.no_grad()
    def judge(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> float:
        weight = self._of(strata)
        if not bool(weight.any()):
            raise InputError("`weights` must not be 0 in all of the rows that the network is judged on.")
        # The mean of 1 is that of all rows. On these the task's loss must have its size beside a penalty.
        weight = weight / weight.mean()
        with self._weighing(weight):
            unit = _power_of_2(float(weight.max()))
            return self.objective.judge(logits, y, self._member(group, weight / unit))

    def step(self) -> None:
        self.objective.step()

    def start(self, net: nn.Module, data: Dataset | Stream) -> Dataset | Stream:
        self.weights = self.weights.to(device_of(net))
        rows = self.objective.start(net, data)
        self.outputs = self.objective.outputs
        return rows

    def attached(self, net: nn.Module) -> AbstractContextManager[object]:
        return self.objective.attached(net)

    def to_dict(self) -> dict[str, Any]:
        """A record for the reader: no objective can be made of it, because the weights are not in it."""
        return {"name": "weighted", "objective": self.objective.to_dict()}

    def _of(self, rows: Tensor | None) -> Tensor:
        if rows is None:
            raise InputError("`strata` must hold the number of every row, whose weight is to be found.")
        return self.weights[rows]

    @contextmanager
    def _weighing(self, weight: Tensor) -> Iterator[None]:
        task = self.objective.task
        self.objective.task = lambda logits, y: weight * losses_of(task, logits, y)
        try:
            yield
        finally:
            self.objective.task = task

    def _member(self, group: Tensor, weight: Tensor) -> Tensor:
        """For a constraint the shares of the rows in the groups, (n, K): its rates are then weighted.

        Weights of at most 1 make shares that sum to no more; of their unit no rate depends.
        """
        if not isinstance(self.objective, Constrained):
            return group
        if group.ndim == 2:
            return group * weight[:, None]
        groups = self.objective.constraint.groups or max(2, int(group.max()) + 1)
        return one_hot(group.clamp(min=0), groups) * (weight * (group >= 0))[:, None]


def _power_of_2(value: float) -> float:
    """The smallest that is not below ``value``: a division by it loses no bit."""
    return float(2.0 ** np.ceil(np.log2(value)))
