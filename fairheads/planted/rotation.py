"""The same network in another basis: every layer rotated at random, the function unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairheads.activations import TorchNetwork, device_of
from fairheads.planted.wired import Wired, parts_of, reads_inputs, unit_axis


def rotated(net: nn.Module, inputs: Mapping[str, NDArray[Any]], *, seed: int) -> Wired:
    """A copy of ``net`` whose blocks give their output times a random orthogonal matrix, undone where the next enters.

    What was one unit is spread over all of them: a detector that looks at units one by one is blind now, one that
    looks at directions is not. Layers have the names and widths they had. Logits differ by rounding alone.

    Parameters
    ----------
    net : nn.Module
        What `plant` takes or gives.
    inputs : mapping of name to array
        Some rows, from which the widths of the blocks are found.
    seed : int

    Raises
    ------
    ConfigError
        If the network is of another class.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> x = np.ones((4, 3), np.float32)
    >>> before, after = MLP(3, hidden=(8, 8)), rotated(MLP(3, hidden=(8, 8)), {"x": x}, seed=0)
    >>> bool(torch.allclose(before(torch.tensor(x)), after(torch.tensor(x)), atol=1e-5))
    True
    """
    parts = parts_of(net)
    units = [layer.units for layer in TorchNetwork(net).survey(inputs, parts.layer_names())]
    turns = [_turn(width, np.random.default_rng((seed, depth))) for depth, width in enumerate(units)]
    befores = [None, *turns[:-1]]
    blocks = [Turned(block, before, after) for block, before, after in zip(parts.blocks, befores, turns, strict=True)]
    turned = Wired(parts.stem, blocks, Turned(parts.pool, turns[-1], None), parts.head, name=parts.name)
    return turned.eval().to(device_of(net))


class Turned(nn.Module):
    """A block that undoes the rotation ``before`` it and turns its output by ``after``."""

    before: Tensor | None
    after: Tensor | None

    def __init__(self, block: nn.Module, before: Tensor | None, after: Tensor | None) -> None:
        super().__init__()
        self.block, self.reads_inputs = block, reads_inputs(block)
        self.register_buffer("before", before)
        self.register_buffer("after", after)

    def forward(self, h: Tensor, *rest: Tensor) -> Tensor:
        if self.before is not None:
            h = _times(h, self.before.T)
        # An identity, which pools a table's features, takes no mask; tables have none.
        out: Tensor = self.block(h, *rest)
        return out if self.after is None else _times(out, self.after)


def _times(h: Tensor, matrix: Tensor) -> Tensor:
    """The units of every position times ``matrix``."""
    axis = unit_axis(h)
    return nn.functional.linear(h.movedim(axis, -1), matrix).movedim(-1, axis)


def _turn(width: int, rng: np.random.Generator) -> Tensor:
    """An orthogonal matrix, uniformly at random."""
    q, r = np.linalg.qr(rng.normal(size=(width, width)))
    return torch.as_tensor(q * np.sign(np.diag(r))).float()
