"""What every objective shares: a loss module that may learn from the data before training and from every step."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from fairheads.constraints import Constraint, OfBatch
from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, FairheadsWarning, InputError
from fairheads.training.tasks import Task, binary_cross_entropy, losses_of, task_name

FORGOTTEN = 100
"""Batches between two steps that are more than anybody accumulates gradients over."""


class Objective(OfBatch):
    """What training minimises on a batch: ``objective(logits, y, group) -> scalar``, a module like torch's own losses.

    Three lines put it into any training loop::

        objective = Lagrangian(demographic_parity(), tolerance=0.02)
        loss = objective(logits, y, group)   # in place of the task's loss
        objective.step()                     # after optimizer.step()

    Its state (multipliers, weights of groups, running counts) is in ``state_dict()`` and belongs into checkpoints. An
    objective with parameters (`Adversarial`) needs them in the optimiser beside those of the network. In ``eval()``
    mode, and while gradients are off (``torch.no_grad()``), a call changes no state.

    Parameters
    ----------
    task : callable
        ``task(logits, y)`` gives the loss of every row, (n,): `binary_cross_entropy`, `cross_entropy`,
        `squared_error` of `fairheads.training`, or the caller's own, such as torch's with ``reduction="none"``.
    """

    _waiting = 0
    """Calls since the last step whose batches wait for it."""
    outputs: int | None
    """Width of the network's output; None where the task decides, or the data that are not known before `start`."""

    def __init__(self, task: Task = binary_cross_entropy) -> None:
        super().__init__()
        self.task = task
        self.outputs = 1 if task is binary_cross_entropy else None

    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        """Scalar loss of a batch; arguments as in `fairheads.constraints.Constraint.forward`."""
        return self.task_loss(logits, y, group)

    def task_loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        """Mean loss of the task."""
        return losses_of(self.task, logits, y).mean()

    def step(self) -> None:
        """What follows the optimiser's step."""

    def wait_for_step(self) -> None:
        """Count a batch that the next `step` takes in, and warn where the step seems to be forgotten."""
        if torch.compiler.is_compiling():  # which would compile anew for every count
            return
        self._waiting += 1
        if self._waiting == FORGOTTEN:
            warnings.warn(
                f"{type(self).__name__} has seen {FORGOTTEN} batches without a step and learns nothing from them: call"
                " `objective.step()` after `optimizer.step()`.",
                FairheadsWarning,
                stacklevel=2,
            )

    def start(self, net: nn.Module, data: Dataset | Stream) -> Dataset | Stream:
        """Learn what there is to learn from the training rows; returns the rows to train on."""
        return data

    def attached(self, net: nn.Module) -> AbstractContextManager[object]:
        """While open, the objective sees the layer of ``net`` it looks at, where it looks at one."""
        return nullcontext()

    @torch.no_grad()
    def judge(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> float:
        """One number for early stopping, smaller is better; by default the loss in eval mode."""
        was, value = self.training, float("nan")
        try:
            value = float(self.eval()(logits, y, group, strata))
        finally:
            self.train(was)
        return value

    def to_dict(self) -> dict[str, Any]:
        """The record from which `objective_from_dict` makes the objective again."""
        return {} if self.task is binary_cross_entropy else {"task": task_name(self.task)}


class Constrained(Objective):
    """An objective that adds a term of its constraint to the task's loss.

    The two terms can be taken on different rows: ``task_loss`` on the batch, ``constraint_loss`` on a side batch in
    which no group is missing (`fairheads.training.BalancedRows`).
    """

    def __init__(self, constraint: Constraint, task: Task = binary_cross_entropy) -> None:
        super().__init__(task)
        if not isinstance(constraint, Constraint):
            raise ConfigError(f"`constraint` must be a Constraint, got {type(constraint).__name__}.")
        self.constraint = constraint

    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        return self.task_loss(logits, y, group) + self.constraint_loss(logits, y, group, strata)

    def constraint_loss(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        """What the constraint adds."""
        raise NotImplementedError

    def start(self, net: nn.Module, data: Dataset | Stream) -> Dataset | Stream:
        groups = known_groups(data)
        if self.constraint.groups not in (None, groups):
            raise ConfigError(
                f"`groups` of the constraint is {self.constraint.groups}, but the data have {groups}:"
                f" {list(data.group_names)}."
            )
        self.constraint.groups = groups
        if self.constraint.conditional and self.constraint.strata == 1:
            if not isinstance(data, Dataset) or data.strata is None:
                raise InputError("`data` must have strata: the constraint compares groups within them.")
            self.cover(data)
        return data

    def cover(self, data: Dataset) -> None:
        """Make room for the strata of these rows too, which the training rows may lack."""
        if self.constraint.conditional and data.strata is not None:
            self.constraint.strata = max(self.constraint.strata, int(data.strata.max()) + 1)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "constraint": self.constraint.to_dict()}


def known_groups(data: Dataset | Stream) -> int:
    """The number of groups of the training rows; with one there is nothing to compare."""
    if len(data.group_names) < 2:
        raise InputError(f"`data` must have at least two groups to compare, got {list(data.group_names)}.")
    return len(data.group_names)


def codes_of(group: Tensor, groups: int) -> Tensor:
    """Group codes (n,) as whole numbers; on the CPU, where looking is free, refused outside -1..K-1."""
    if group.ndim != 1:
        raise InputError(f"`group` must be codes (n,), got shape {tuple(group.shape)}.")
    group = group.long()
    if group.device.type == "cpu" and len(group):
        lowest, highest = (int(value) for value in torch.aminmax(group))
        if lowest < -1 or highest >= groups:
            bad = lowest if lowest < -1 else highest
            raise InputError(f"`group` must hold codes from 0 to {groups - 1} (-1: not recorded), got {bad}.")
    return group


def weight_of(value: float, name: str = "weight") -> float:
    """``value``, checked."""
    if not 0 <= value < float("inf"):
        raise ConfigError(f"`{name}` must be at least 0 and finite, got {value}.")
    return value
