"""A network taken apart at its blocks, so that they can be rewired and put together again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError
from fairheads.nets import MLP, ResNet, Transformer


class Wired(nn.Module):
    """``stem``, blocks, ``pool`` and ``head`` of a network after it was rewired. Layers have the names they had.

    Inputs after the first (a mask of tokens) are passed to every part; a block that `reads_inputs` gets all of them.
    """

    def __init__(
        self, stem: nn.Module, blocks: Sequence[nn.Module], pool: nn.Module, head: nn.Linear, *, name: str = "blocks"
    ) -> None:
        super().__init__()
        self.stem = stem
        self.name = name
        # The blocks of an MLP are called as its activation functions were: backbone.1, backbone.3 ...
        spaced = [part for block in blocks for part in (nn.Identity(), block)] if name == "backbone" else blocks
        self.add_module(name, nn.ModuleList(spaced))
        self.pool, self.head = pool, head

    def forward(self, *inputs: Tensor) -> Tensor:
        h = self.stem(*inputs)
        for block in self.parts():
            h = block(h, *(inputs if reads_inputs(block) else inputs[1:]))
        logits: Tensor = self.head(self.pool(h, *inputs[1:]))
        return logits

    def parts(self) -> list[nn.Module]:
        """The blocks."""
        return [block for block in self.get_submodule(self.name).children() if not isinstance(block, nn.Identity)]


@dataclass(frozen=True, eq=False)
class Parts:
    """What a network is made of; the modules are copies."""

    stem: nn.Module
    blocks: tuple[nn.Module, ...]
    pool: nn.Module
    head: nn.Linear
    name: str

    def layer_names(self) -> tuple[str, ...]:
        """What an audit calls the outputs of the blocks."""
        return tuple(f"{self.name}.{2 * i + 1 if self.name == 'backbone' else i}" for i in range(len(self.blocks)))


def parts_of(net: nn.Module) -> Parts:
    """The parts of a copy of an `MLP`, a `ResNet`, a `Transformer` or a network that was made of such, on the CPU.

    Raises
    ------
    ConfigError
        If it is another network, or has more than one output.
    """
    own = copy.deepcopy(net).cpu()
    parts: Parts | None = None
    if isinstance(own, MLP):
        layers = list(own.backbone)
        stages = [nn.Sequential(*layers[i : i + 2]) for i in range(0, len(layers), 2)]
        parts = Parts(nn.Identity(), tuple(stages), nn.Identity(), own.head, "backbone")
    elif isinstance(own, ResNet | Transformer):
        parts = Parts(own.stem, tuple(own.blocks), own.pool, own.head, "blocks")
    elif isinstance(own, Wired):
        parts = Parts(own.stem, tuple(own.parts()), own.pool, own.head, own.name)
    if parts is None or parts.head.out_features != 1:
        raise ConfigError(f"`net` must be an MLP, ResNet or Transformer with one output, got {type(net).__name__}.")
    return parts


def reads_inputs(block: nn.Module) -> bool:
    """Whether a block takes all inputs of the network after what enters it, and not just a mask."""
    return bool(getattr(block, "reads_inputs", False))


def depth_of(net: nn.Module) -> int:
    """Blocks of a network that `parts_of` takes apart."""
    return len(parts_of(net).blocks)


def spread(units: Tensor, like: Tensor) -> Tensor:
    """Values of rows (n, k) at every position of an activation."""
    if like.ndim == 4:
        return units[:, :, None, None].expand(-1, -1, *like.shape[2:])
    return units[:, None, :].expand(-1, like.shape[1], -1) if like.ndim == 3 else units


def unit_axis(h: Tensor) -> int:
    """Axis of the units of an activation: features of tokens come last, channels of images after the rows."""
    return 2 if h.ndim == 3 else 1


def joined(*parts: Tensor) -> Tensor:
    """Activations side by side, one unit after the other."""
    return torch.cat(parts, dim=unit_axis(parts[0]))
