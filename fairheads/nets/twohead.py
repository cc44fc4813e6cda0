"""A backbone with two linear heads in one last layer: the task and the group."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError


class TwoHeadNet(nn.Module):
    """A single-head network whose last layer is widened to give ``z_y`` (task) and ``z_g`` (group).

    Parameters
    ----------
    net : nn.Module
        A network with the attributes ``backbone`` (input to features) and ``head`` (an ``nn.Linear`` with one
        output), such as `MLP`. Its weights are copied; the network itself is left alone.
    seed : int
        Seed of the group head's initial weights.

    Notes
    -----
    ``forward`` returns (n, 2). The group output is raw (no sigmoid) and trained by squared error against 0/1, so
    that it stays near 0/1 and can be added to the task logit.

    References
    ----------
    Lohaus et al., Are Two Heads the Same as One?, NeurIPS 2022 (arXiv 2204.04440), section 5.
    """

    def __init__(self, net: nn.Module, *, seed: int = 0) -> None:
        super().__init__()
        backbone, head = getattr(net, "backbone", None), getattr(net, "head", None)
        if not isinstance(backbone, nn.Module) or not isinstance(head, nn.Linear) or head.out_features != 1:
            raise ConfigError("`net` must have a `backbone` and a `head` that is a Linear layer with one output.")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators as well
            two = nn.Linear(head.in_features, 2).to(head.weight)
        with torch.no_grad():
            two.weight[0] = head.weight[0]
            two.bias[0] = 0.0 if head.bias is None else head.bias[0]
        self.backbone, self.head = copy.deepcopy(backbone), two
        self._template = (copy.deepcopy(net),)  # in a tuple: its weights are no parameters of this network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(x))
        return logits

    @property
    def template(self) -> nn.Module:
        """The single-head network that this one was made of."""
        return self._template[0]

    def single(self, head: nn.Linear) -> nn.Module:
        """A single-head network of the original class: a copy of this backbone with ``head`` on top."""
        net = copy.deepcopy(self.template)
        net.backbone, net.head = copy.deepcopy(self.backbone), copy.deepcopy(head)
        return net
