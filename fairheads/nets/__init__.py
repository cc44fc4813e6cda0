"""Reference networks: a perceptron, a residual network, a transformer; any network with a task and a group head."""

from fairheads.nets.final import logits_of
from fairheads.nets.heads import TwoHeads, group_outputs, join_heads
from fairheads.nets.mlp import MLP
from fairheads.nets.resnet import ResNet
from fairheads.nets.transformer import Transformer
from fairheads.nets.twohead import TwoHeadNet

__all__ = ["MLP", "ResNet", "Transformer", "TwoHeadNet", "TwoHeads", "group_outputs", "join_heads", "logits_of"]
