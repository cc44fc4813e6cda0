"""The Adult network of dice-ml 0.12 (MIT): the factory of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def network(weights: Mapping[str, Tensor]) -> nn.Module:
    """Linear(29, 20), ReLU, Linear(20, 1), Sigmoid, with the weights of the file: (n, 29) to probabilities (n, 1)."""
    net = nn.Sequential(nn.Linear(29, 20), nn.ReLU(), nn.Linear(20, 1), nn.Sigmoid())
    net.load_state_dict(
        {"0.weight": weights["W0"], "0.bias": weights["b0"], "2.weight": weights["W1"], "2.bias": weights["b1"]}
    )
    return net
