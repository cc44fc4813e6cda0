"""How the networks of a study are made and trained: one recipe for the networks and for their twins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from fairheads.data import Dataset
from fairheads.errors import ConfigError
from fairheads.nets import MLP, ResNet, Transformer
from fairheads.training import Objective, train


def small_network(data: Dataset, seed: int) -> nn.Module:
    """A small network for these inputs: `MLP` for a table, `ResNet` for images, `Transformer` for tokens."""
    first = next(iter(data.inputs.values()))
    if first.dtype.kind in "iu":
        return Transformer(int(first.max()) + 1, width=16, length=first.shape[1], seed=seed)
    if first.ndim == 4:
        return ResNet(first.shape[1], widths=(8, 16), seed=seed)
    if first.ndim == 2:
        return MLP(first.shape[1], hidden=(32, 32, 32), seed=seed)
    raise ConfigError(f"`network` must be given for inputs of shape {first.shape}.")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Architecture and training, but for the objective and the seed.

    Parameters
    ----------
    network : callable
        ``network(data, seed)`` makes an untrained network with one output.
    epochs, batch_size, learning_rate
        As in `fairheads.training.train`.

    Examples
    --------
    >>> Recipe(epochs=30).epochs
    30
    """

    network: Callable[[Dataset, int], nn.Module] = small_network
    epochs: int = 15
    batch_size: int = 256
    learning_rate: float = 2e-3

    @classmethod
    def usual(cls, data: Dataset) -> Recipe:
        """Settings with which `small_network` learns 6,000 rows of a world: 15 epochs of a table, 8 of others."""
        if next(iter(data.inputs.values())).ndim == 2 and len(data.inputs) == 1:
            return cls()
        return cls(epochs=8, batch_size=256, learning_rate=3e-3)

    def train(self, data: Dataset, objective: Objective, *, seed: int, net: nn.Module | None = None) -> nn.Module:
        """A network trained on these rows; ``net`` instead of a new one is trained in place."""
        made = self.network(data, seed) if net is None else net
        train(
            made,
            data,
            objective,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=seed,
        )
        return made
