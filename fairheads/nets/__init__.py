"""Reference networks: a multi-layer perceptron, and any network with a task head and a group head."""

from fairheads.nets.final import logits_of
from fairheads.nets.heads import TwoHeads, group_outputs, join_heads
from fairheads.nets.mlp import MLP
from fairheads.nets.twohead import TwoHeadNet

__all__ = ["MLP", "TwoHeadNet", "TwoHeads", "group_outputs", "join_heads", "logits_of"]
