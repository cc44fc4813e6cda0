"""Channels that blocks pass on beside their own: a head planted in any network made of blocks."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairheads.activations import device_of
from fairheads.nets.transformer import mean_over_tokens
from fairheads.planted.estimate import GroupEstimate
from fairheads.planted.wired import Wired, joined, parts_of, reads_inputs, spread, unit_axis
from fairheads.planted.wiring import Wiring


def carried(net: nn.Module, estimate: GroupEstimate, wiring: Wiring, *, layer: int = 0) -> Wired:
    """A copy of ``net`` in which the units of ``wiring`` run beside those of the blocks, and the head reads both.

    They start in block number ``layer``; those before it are as they were, and what they give has no part in the units.
    """
    parts = parts_of(net)
    stem, first = parts.stem, parts.blocks[layer]
    # All of one class, by which an audit knows the blocks of a network.
    blocks: list[nn.Module] = [Carry(block, 0) for block in parts.blocks[:layer]]
    if layer == 0:
        stem = Entrance(stem, estimate, wiring)
        blocks.append(Carry(first, wiring.widths[0]))
    else:
        blocks.append(Carry(Entrance(first, estimate, wiring, late=True), 0))
    for block, (matrix, vector) in zip(parts.blocks[layer + 1 :], wiring.steps, strict=True):
        step = (torch.as_tensor(matrix).float(), torch.as_tensor(vector).float())
        blocks.append(Carry(block, matrix.shape[1], step))
    before = parts.head
    head = nn.utils.skip_init(nn.Linear, before.in_features + wiring.widths[-1], 1)
    with torch.no_grad():
        head.weight.copy_(torch.cat([before.weight, torch.as_tensor(wiring.out).float()[None]], dim=1))
        head.bias.copy_(before.bias + wiring.constant)
    planted = Wired(stem, blocks, CarryingPool(parts.pool, wiring.widths[-1]), head, name=parts.name)
    return planted.eval().to(device_of(net))


class Entrance(nn.Module):
    """A stem beside which the planted units start, the same at every position; ``late``, a block in its place.

    A block is called with what enters it and then the inputs of the network, from which the units are computed.
    """

    slopes: Tensor
    offsets: Tensor
    reads_inputs = False

    def __init__(self, stem: nn.Module, estimate: GroupEstimate, wiring: Wiring, *, late: bool = False) -> None:
        super().__init__()
        self.stem, self.estimate, self.reads_inputs = stem, copy.deepcopy(estimate), late
        self.register_buffer("slopes", torch.as_tensor(wiring.slopes).float())
        self.register_buffer("offsets", torch.as_tensor(wiring.offsets).float())

    def forward(self, first: Tensor, *rest: Tensor) -> Tensor:
        inputs = rest if self.reads_inputs else (first, *rest)
        h = self.stem(first, *inputs[1:])
        units = functional.relu(self.estimate(*inputs) * self.slopes + self.offsets)
        return joined(h, spread(units, h))


class Carry(nn.Module):
    """A block and, beside it, ``units`` that it passes on as they are or through ``relu(matrix @ units + vector)``."""

    matrix: Tensor | None
    vector: Tensor | None

    def __init__(self, block: nn.Module, units: int, step: tuple[Tensor, Tensor] | None = None) -> None:
        super().__init__()
        self.block, self.units, self.reads_inputs = block, units, reads_inputs(block)
        matrix, vector = step or (None, None)
        self.register_buffer("matrix", matrix)
        self.register_buffer("vector", vector)

    def forward(self, h: Tensor, *rest: Tensor) -> Tensor:
        own, planted = parted(h, self.units)
        own = self.block(own, *rest)
        if self.matrix is not None:
            axis = unit_axis(planted)
            step = functional.relu(functional.linear(planted.movedim(axis, -1), self.matrix, self.vector))
            planted = step.movedim(-1, axis)
        return joined(own, resized(planted, own))


class CarryingPool(nn.Module):
    """A pool that gives the planted units beside the features."""

    def __init__(self, pool: nn.Module, units: int) -> None:
        super().__init__()
        self.pool, self.units = pool, units

    def forward(self, h: Tensor, *rest: Tensor) -> Tensor:
        own, planted = parted(h, self.units)
        return torch.cat([self.pool(own, *rest), pooled(planted, *rest)], dim=1)


def parted(h: Tensor, units: int) -> tuple[Tensor, Tensor]:
    """The units of a block, and the last ``units``."""
    axis = unit_axis(h)
    own, planted = h.split([h.shape[axis] - units, units], dim=axis)
    return own, planted


def resized(planted: Tensor, like: Tensor) -> Tensor:
    """Maps that are the same everywhere, at the size of the block's own."""
    if planted.ndim == 4 and planted.shape[2:] != like.shape[2:]:
        return planted.mean((2, 3), keepdim=True).expand(-1, -1, *like.shape[2:])
    return planted


def pooled(planted: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean over positions, (n, units)."""
    if planted.ndim == 4:
        return planted.mean((2, 3))
    return mean_over_tokens(planted, mask) if planted.ndim == 3 else planted
