"""The last layer of a two-headed network: task outputs and group outputs in one layer, or in two side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError, InputError


def group_outputs(n_groups: int) -> int:
    """How many outputs a group head has: one for two groups (near 1 for group code 1), else one a group.

    Raises
    ------
    ConfigError
        If there are fewer than two groups.

    Examples
    --------
    >>> group_outputs(2), group_outputs(5)
    (1, 5)
    """
    if n_groups < 2:
        raise ConfigError(f"`n_groups` must be at least 2, got {n_groups}.")
    return 1 if n_groups == 2 else n_groups


class TwoHeads(nn.Module):
    """A task layer and a group layer that read the same features; the outputs stand side by side, task first.

    Parameters
    ----------
    task, group : nn.Linear
        With the same number of inputs.
    """

    def __init__(self, task: nn.Linear, group: nn.Linear) -> None:
        super().__init__()
        self.task, self.group = task, group

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.task(features), self.group(features)], dim=-1)


class WithHead(nn.Module):
    """A backbone that returns features (n, d), and a linear ``head`` on top of them."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        features = self.backbone(*inputs, **named)
        if not isinstance(features, Tensor) or features.ndim != 2:
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise InputError(f"the backbone must return features (n, d), got {got}.")
        logits: Tensor = self.head(features)
        return logits


def join_heads(task: nn.Linear, group: nn.Linear) -> nn.Linear:
    """One layer with the outputs of ``task`` and then those of ``group``; its weights are copies.

    It has a bias if one of them has.

    Raises
    ------
    InputError
        If they differ in the number of inputs, the type of their weights or the device.

    Examples
    --------
    >>> join_heads(nn.Linear(8, 1), nn.Linear(8, 3)).out_features
    4
    """
    first, second = task.weight, group.weight
    if (task.in_features, first.dtype, first.device) != (group.in_features, second.dtype, second.device):
        raise InputError(
            "`task` and `group` must have the same number of inputs, type and device, got"
            f" {(task.in_features, str(first.dtype), str(first.device))} and"
            f" {(group.in_features, str(second.dtype), str(second.device))}."
        )
    weight = torch.cat([first.detach(), second.detach()])
    if task.bias is None and group.bias is None:
        return linear_of(weight, None)
    biases = [bias_of(layer) for layer in (task, group)]
    return linear_of(weight, torch.cat(biases))


def bias_of(layer: nn.Linear) -> Tensor:
    """The bias of a linear layer, cut from the graph; zeros where it has none."""
    if layer.bias is None:
        return layer.weight.new_zeros(layer.out_features).detach()
    return layer.bias.detach()


def linear_of(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with copies of these weights (outputs, inputs), in their type and on their device."""
    outputs, inputs = weight.shape
    layer: nn.Linear = nn.utils.skip_init(
        nn.Linear, inputs, outputs, bias=bias is not None, device=weight.device, dtype=weight.dtype
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
