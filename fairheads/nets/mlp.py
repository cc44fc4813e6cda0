"""A multi-layer perceptron made of a backbone and a linear head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "silu": nn.SiLU}


class MLP(nn.Module):
    """``backbone`` (linear layers, each followed by an activation) and ``head``, a linear layer.

    Parameters
    ----------
    in_features : int
        Width of the input.
    hidden : sequence of int
        Width of each hidden layer; what an audit taps is the output of each activation.
    activation : "relu", "gelu", "tanh" or "silu"
    outputs : int
        Width of the head; ``forward`` returns (n, outputs) logits.
    seed : int
        Seed of the initial weights. The global random state is left as it was.

    Raises
    ------
    ConfigError
        On an unknown activation, no hidden layer, or a width below 1.

    Examples
    --------
    >>> import torch
    >>> MLP(5, hidden=(8, 8))(torch.zeros(3, 5)).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        in_features: int,
        *,
        hidden: Sequence[int] = (128, 128, 128),
        activation: str = "relu",
        outputs: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"`activation` must be one of {sorted(ACTIVATIONS)}, got {activation!r}.")
        if not hidden or min(in_features, outputs, *hidden) < 1:
            raise ConfigError(f"widths must be at least 1, got in_features={in_features}, hidden={tuple(hidden)}.")
        self.config: dict[str, Any] = {
            "in_features": in_features,
            "hidden": list(hidden),
            "activation": activation,
            "outputs": outputs,
        }
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators as well
            layers: list[nn.Module] = []
            for width_in, width_out in zip((in_features, *hidden), hidden, strict=False):
                layers += [nn.Linear(width_in, width_out), ACTIVATIONS[activation]()]
            self.backbone = nn.Sequential(*layers)
            self.head = nn.Linear(hidden[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(x))
        return logits
