"""Reference networks: a multi-layer perceptron, and any backbone with a task head and a group head."""

from fairheads.nets.mlp import MLP
from fairheads.nets.twohead import TwoHeadNet

__all__ = ["MLP", "TwoHeadNet"]
