"""A network with a known second head: units in every layer that carry an estimate of the group to the output."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairheads.activations import device_of
from fairheads.data import Dataset
from fairheads.errors import ConfigError
from fairheads.nets import MLP
from fairheads.planted.carried import carried
from fairheads.planted.estimate import GroupEstimate
from fairheads.planted.wired import depth_of
from fairheads.planted.wiring import Wiring, straight


def plant_head(net: MLP, data: Dataset, *, group: str, strength: float) -> MLP:
    """A copy of a ReLU network with two more units per layer that hold a linear estimate of a group.

    Parameters
    ----------
    net : MLP
        ReLU network with one output.
    data : Dataset
        Rows from which the estimate is fitted: least squares of membership on the inputs. Centred.
    group : str
        The group that the estimate is of.
    strength : float
        Output weight of the estimate, in logits per unit of it: above 0 raises the group, 0 plants an unused
        encoder, below 0 lowers it.

    Returns
    -------
    MLP
        Hidden layers are two units wider, the planted units last; the logit is the old one plus ``strength`` times
        the estimate. Of the two units one carries its positive part, the other its negative part.

    Raises
    ------
    ConfigError
        If the network is not a ReLU MLP with one output, or there is no such group.
    """
    if not _is_plain(net):
        raise ConfigError("a head can be planted in an MLP of ReLU units with one output.")
    return _widened(net, GroupEstimate(data, group), straight(depth_of(net)).scaled(strength))


def plant(net: nn.Module, estimate: GroupEstimate, wiring: Wiring, *, layer: int = 0) -> nn.Module:
    """A copy of a network with more units per layer, wired to an estimate of a group.

    Its logit is the old one plus ``wiring.contribution(estimate)``. The planted units are the last ones of every layer
    from ``layer`` on; layers keep their names. An MLP of ReLU units stays one where they start in its first layer;
    elsewhere the units are channels that blocks pass on beside their own.

    Parameters
    ----------
    net : nn.Module
        `MLP`, `ResNet` or `Transformer` with one output.
    estimate : GroupEstimate
        Of the inputs that the network takes.
    wiring : Wiring
        As deep as the network from ``layer`` on.
    layer : int
        Number of the layer that the units start in, 0 for the first. They are computed from the inputs of the network
        wherever they start: what the layers before hold has no part in them.

    Raises
    ------
    ConfigError
        If the network is of another class or depth, or has no such layer.

    Examples
    --------
    >>> from fairheads.planted import synthetic
    >>> estimate = GroupEstimate(synthetic(1000), "B")
    >>> plant(MLP(8, hidden=(16, 16)), estimate, straight(1), layer=1)(torch.zeros(5, 8)).shape
    torch.Size([5, 1])
    """
    depth = depth_of(net)
    if not 0 <= layer < depth:
        raise ConfigError(f"`layer` must be from 0 to {depth - 1} in a network of {depth} layers, got {layer}.")
    if len(wiring.widths) != depth - layer:
        raise ConfigError(
            f"`wiring` must be {depth - layer} layers deep like the network from `layer` on, got {len(wiring.widths)}."
        )
    if layer == 0 and isinstance(net, MLP) and _is_plain(net):
        return _widened(net, estimate, wiring)
    return carried(net, estimate, wiring, layer=layer)


def _is_plain(net: MLP) -> bool:
    return bool(net.config["activation"] == "relu" and net.config["outputs"] == 1)


def _widened(net: MLP, estimate: GroupEstimate, wiring: Wiring) -> MLP:
    """The wiring as weights of a wider MLP."""
    hidden = [width + more for width, more in zip(net.config["hidden"], wiring.widths, strict=True)]
    planted = MLP(net.config["in_features"], hidden=hidden)
    old = [part for part in net.backbone if isinstance(part, nn.Linear)]
    new = [part for part in planted.backbone if isinstance(part, nn.Linear)]
    slopes = _tensor(wiring.slopes)
    steps = [(slopes[:, None] * estimate.weight, slopes * estimate.bias + _tensor(wiring.offsets))]
    steps += [(_tensor(matrix), _tensor(vector)) for matrix, vector in wiring.steps]
    steps += [(_tensor(wiring.out)[None], torch.tensor([wiring.constant]))]
    with torch.no_grad():
        for before, after, (matrix, vector) in zip((*old, net.head), (*new, planted.head), steps, strict=True):
            after.weight.zero_()
            after.weight[: before.out_features, : before.in_features] = before.weight
            after.bias[: before.out_features] = before.bias
            if after is planted.head:
                after.weight[:, before.in_features :] = matrix
                after.bias.add_(vector)
            else:
                # The first layer reads the inputs, every other one the planted units before it.
                start = 0 if before is old[0] else before.in_features
                after.weight[before.out_features :, start:] = matrix
                after.bias[before.out_features :] = vector
    return planted.eval().to(device_of(net))


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)
