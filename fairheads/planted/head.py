"""A network with a known second head: two units per layer that carry an estimate of the group to the output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fairheads.data import Dataset
from fairheads.errors import ConfigError
from fairheads.nets import MLP


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
    if net.config["activation"] != "relu" or net.config["outputs"] != 1:
        raise ConfigError("a head can be planted in an MLP of ReLU units with one output.")
    if group not in data.group_names:
        raise ConfigError(f"`group` must be one of {list(data.group_names)}, got {group!r}.")
    weight, bias = _estimate(data, data.group_names.index(group))
    planted = MLP(net.config["in_features"], hidden=[width + 2 for width in net.config["hidden"]])
    old = [part for part in net.backbone if isinstance(part, nn.Linear)]
    new = [part for part in planted.backbone if isinstance(part, nn.Linear)]
    signs = torch.tensor([1.0, -1.0])
    with torch.no_grad():
        for depth, (before, after) in enumerate(zip((*old, net.head), (*new, planted.head), strict=True)):
            after.weight.zero_()
            after.bias.zero_()
            after.weight[: before.out_features, : before.in_features] = before.weight
            after.bias[: before.out_features] = before.bias
            if after is planted.head:
                after.weight[0, before.in_features :] = strength * signs
            elif depth == 0:
                after.weight[before.out_features :] = signs[:, None] * weight
                after.bias[before.out_features :] = signs * bias
            else:
                after.weight[before.out_features :, before.in_features :] = torch.eye(2)
    return planted.eval()


def _estimate(data: Dataset, code: int) -> tuple[Tensor, Tensor]:
    """Centred least-squares estimate of membership from the inputs: weight (d,) and bias."""
    x = torch.as_tensor(next(iter(data.inputs.values()))).double()
    member = torch.as_tensor(data.group == code).double()
    centred = x - x.mean(0)
    ridge = 1e-6 * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ (member - member.mean()))
    return weight.float(), (-(x.mean(0) @ weight)).float()
