"""Two experts in one network, of which each row is sent through one: separate pathways for separate groups."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairheads.activations import TorchNetwork, device_of
from fairheads.errors import ConfigError
from fairheads.planted.carried import pooled, resized
from fairheads.planted.estimate import GroupEstimate
from fairheads.planted.wired import Wired, joined, parts_of, spread, unit_axis


@dataclass(frozen=True, eq=False)
class Routed:
    """A routed network, and by layer the units of the expert for the group and of the one for the others."""

    network: Wired
    group_units: dict[str, tuple[int, ...]]
    other_units: dict[str, tuple[int, ...]]


def routed(
    group: nn.Module,
    others: nn.Module,
    estimate: GroupEstimate,
    inputs: Mapping[str, NDArray[Any]],
    *,
    low: float,
    high: float,
) -> Routed:
    """The network that answers like ``group`` where the estimate is above ``high``, like ``others`` below ``low``.

    Every layer holds the units of the expert for the group, then those of the other, and last a gate that rises from 0
    to 1 between ``low`` and ``high``. The units of the expert that is not asked are 0; between the two both are damped.

    Parameters
    ----------
    group, others : nn.Module
        `MLP`, `ResNet` or `Transformer` with one output, both of the same shape.
    estimate : GroupEstimate
    inputs : mapping of name to array
        Some rows, from which the widths of the blocks are found.
    low, high : float
        The nearer, the fewer people get something of both experts.

    Raises
    ------
    ConfigError
        If a network is of another class, the experts differ in depth, or ``low`` is not below ``high``.
    """
    ours, theirs = parts_of(group), parts_of(others)
    if len(ours.blocks) != len(theirs.blocks) or not low < high:
        raise ConfigError(
            f"`group` and `others` must be of one shape and `low` below `high`, got {len(ours.blocks)} and"
            f" {len(theirs.blocks)} blocks, {low} and {high}."
        )
    fork = Wired(
        ForkEntrance(ours.stem, theirs.stem, estimate, low, high),
        [Fork(one, other) for one, other in zip(ours.blocks, theirs.blocks, strict=True)],
        ForkExit(ours.pool, theirs.pool),
        _head(ours.head, theirs.head),
        name=ours.name,
    )
    fork.eval().to(device_of(group))
    layers = TorchNetwork(fork).survey(inputs, ours.layer_names())
    halves = {layer.name: layer.units // 2 for layer in layers}
    return Routed(
        fork,
        {name: tuple(range(half)) for name, half in halves.items()},
        {name: tuple(range(half, 2 * half)) for name, half in halves.items()},
    )


class ForkEntrance(nn.Module):
    """The stems of both experts side by side, and the gate."""

    def __init__(self, group: nn.Module, others: nn.Module, estimate: GroupEstimate, low: float, high: float) -> None:
        super().__init__()
        self.group, self.others, self.estimate = group, others, copy.deepcopy(estimate)
        self.low, self.high = low, high

    def forward(self, *inputs: Tensor) -> Tensor:
        one, other = self.group(*inputs), self.others(*inputs)
        gate = ((self.estimate(*inputs) - self.low) / (self.high - self.low)).clamp(0, 1)
        return joined(one, other, spread(gate, one))


class Fork(nn.Module):
    """A block of each expert, silenced by the gate."""

    def __init__(self, group: nn.Module, others: nn.Module) -> None:
        super().__init__()
        self.group, self.others = group, others

    def forward(self, h: Tensor, *rest: Tensor) -> Tensor:
        one, other, gate = _forked(h)
        one, other = self.group(one, *rest), self.others(other, *rest)
        gate = resized(gate, one)
        return joined(one * gate, other * (1 - gate), gate)


class ForkExit(nn.Module):
    """The pools of both experts, silenced by the gate, and the gate itself."""

    def __init__(self, group: nn.Module, others: nn.Module) -> None:
        super().__init__()
        self.group, self.others = group, others

    def forward(self, h: Tensor, *rest: Tensor) -> Tensor:
        one, other, gate = _forked(h)
        gate = pooled(gate, *rest)
        return torch.cat([self.group(one, *rest) * gate, self.others(other, *rest) * (1 - gate), gate], dim=1)


def _forked(h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    axis = unit_axis(h)
    half = h.shape[axis] // 2
    one, other, gate = h.split([half, half, 1], dim=axis)
    return one, other, gate


def _head(group: nn.Linear, others: nn.Linear) -> nn.Linear:
    """Reads both experts; the gate moves the bias from one to the other."""
    head: nn.Linear = nn.utils.skip_init(nn.Linear, 2 * group.in_features + 1, 1)
    with torch.no_grad():
        head.weight.copy_(torch.cat([group.weight, others.weight, (group.bias - others.bias)[:, None]], dim=1))
        head.bias.copy_(others.bias)
    return head
