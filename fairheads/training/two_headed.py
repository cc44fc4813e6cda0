"""The loss of a two-headed network: the task's, and the squared error of the group outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.nets import TwoHeadNet, group_outputs
from fairheads.training.objective import Objective, codes_of, known_groups
from fairheads.training.tasks import Task, binary_cross_entropy, squared_error


class TwoHeaded(Objective):
    """``(1 - weight) task(z_y, y) + weight MSE(z_g, g)`` for a `TwoHeadNet`.

    ``z_g`` is raw (no sigmoid). Of two groups it is one output, trained towards the group code 0 or 1; of K > 2 it is K
    outputs, trained towards 1 for the row's own group and 0 for the others, with the mean of their squared errors.
    Rows whose group is not recorded (code -1) count in the task's loss alone; a batch of only such rows has a group
    term of 0.

    Parameters
    ----------
    weight : float in [0, 1)
        Of the group term. More makes the group easier to read from the shared backbone, which gives a merge more to
        work with, and leaves the task less of the backbone; .5 is that of the paper.
    groups : int, optional
        Number of groups. `start` finds it out; in a loop of your own it is needed where the task has one output a
        class.
    task : callable
        See `Objective`. It gets all columns of the logits but those of the group. A network with one output a class
        takes ``task=cross_entropy``.

    Raises
    ------
    ConfigError
        On a weight outside [0, 1), on fewer than two groups, or when called before the number of groups is known.
    InputError
        If the logits do not have a column for every output of the group head beside those of the task.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5.

    Examples
    --------
    >>> z = torch.tensor([[0.0, 1.0], [0.0, 0.5]])
    >>> TwoHeaded()(z, torch.tensor([0, 1]), torch.tensor([1, 0]))
    tensor(0.4091)
    """

    def __init__(self, weight: float = 0.5, *, groups: int | None = None, task: Task = binary_cross_entropy) -> None:
        super().__init__(task)
        if not 0 <= weight < 1:
            raise ConfigError(f"`weight` must lie in [0, 1), got {weight}.")
        if groups is not None:
            group_outputs(groups)
        self.weight, self.groups, self._given = float(weight), groups, groups
        # Before training starts the number of groups may not be known, and with it the width.
        self._task_outputs = 1 if task in (binary_cross_entropy, squared_error) else None
        self.outputs = self._width()

    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        groups = self._groups_of(logits)
        read = group_outputs(groups)
        if logits.ndim != 2 or logits.shape[1] <= read or self._task_outputs not in (None, logits.shape[1] - read):
            raise InputError(
                f"`logits` must be of shape (n, {self._task_outputs or 'C'} + {read}), the outputs of the task and"
                f" those of {groups} groups, got {tuple(logits.shape)}; is the network a TwoHeadNet?"
            )
        task = self.task_loss(logits[:, :-read], y, group)
        return (1 - self.weight) * task + self.weight * self.group_loss(logits[:, -read:], group, groups)

    def group_loss(self, z_g: Tensor, group: Tensor, groups: int) -> Tensor:
        """Mean squared error of the group outputs (n, outputs) in the rows whose group is recorded; 0 without any."""
        codes = codes_of(group, groups)
        known = codes >= 0
        wanted = codes[:, None] if groups == 2 else nn.functional.one_hot(codes.clamp(min=0), groups)
        # Chosen, not multiplied: an infinite output of a row without a group would make 0 times infinity.
        error = torch.where(known[:, None], z_g - wanted.to(z_g.dtype), torch.zeros_like(z_g))
        return torch.square(error).sum() / (known.sum().clamp(min=1) * z_g.shape[1])

    def start(self, net: nn.Module, data: Dataset | Stream) -> Dataset | Stream:
        groups = known_groups(data)
        if self._given not in (None, groups):
            raise ConfigError(f"`groups` is {self._given}, but the data have {groups}: {list(data.group_names)}.")
        if isinstance(net, TwoHeadNet) and net.n_groups != groups:
            raise ConfigError(
                f"`net` has a group head for {net.n_groups} groups, but the data have {groups}:"
                f" {list(data.group_names)}; make it with n_groups={groups}."
            )
        if isinstance(net, TwoHeadNet) and self._task_outputs not in (None, net.task_outputs):
            raise ConfigError(
                f"`net` has {net.task_outputs} task outputs and `task` takes one; with one output a class give"
                " task=cross_entropy (fairheads.training)."
            )
        self.groups = groups
        self.outputs = self._width()
        return data

    def to_dict(self) -> dict[str, Any]:
        settings = {"weight": self.weight, "groups": self._given}
        usual = {"weight": 0.5, "groups": None}
        return {"name": "two_headed", **{k: v for k, v in settings.items() if v != usual[k]}, **super().to_dict()}

    def _width(self) -> int | None:
        if self._task_outputs is None or self.groups is None:
            return None
        return self._task_outputs + group_outputs(self.groups)

    def _groups_of(self, logits: Tensor) -> int:
        """The number of groups: known, or read from the width of the logits where the task has one output."""
        if self.groups is not None:
            return self.groups
        if self._task_outputs is None:
            raise ConfigError("the number of groups is not known yet: give `groups`, or train with `train`.")
        read = (logits.shape[1] if logits.ndim == 2 else 1) - self._task_outputs
        return 2 if read <= 1 else read
