"""The hash that a network is known by."""

from __future__ import annotations

from fairheads.activations import Network, OnnxNetwork, TorchNetwork
from fairheads.models.bundle import weights_digest


def network_digest(network: Network) -> str:
    """The hash of a network's weights, or of its file; empty where neither is known."""
    if isinstance(network, TorchNetwork):
        return weights_digest(network.module)
    return network.digest if isinstance(network, OnnxNetwork) else ""
