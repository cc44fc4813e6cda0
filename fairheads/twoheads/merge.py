"""Two heads into one, exactly, and apart again."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fairheads.activations import device_of, evaluation_state
from fairheads.data import Dataset, blocks
from fairheads.errors import InputError
from fairheads.nets import TwoHeadNet
from fairheads.twoheads.frontier import Coefficients

TOLERANCE = 1e-5
"""Largest difference between merged logits and ``z_y + b z_g + t``, relative to the larger of 1 and ``|z_y| + |b z_g| +
|t|``: large parts that cancel leave their float32 rounding behind."""


def merge_heads(linear: nn.Linear, coefficients: Coefficients) -> nn.Linear:
    """The one-output layer that computes ``z_y + b z_g + t`` from the two outputs of ``linear``.

    Its weight is ``w_y + b w_g`` and its bias ``b_y + b b_g + t``, computed in float64 and kept in the type of
    ``linear``.

    Raises
    ------
    InputError
        If ``linear`` does not have two outputs.
    """
    if linear.out_features != 2:
        raise InputError(f"`linear` must have two outputs (task, group), got {linear.out_features}.")
    weight = linear.weight.detach().double()
    bias = torch.zeros(2, dtype=torch.float64) if linear.bias is None else linear.bias.detach().double()
    merged = nn.utils.skip_init(
        nn.Linear, linear.in_features, 1, device=linear.weight.device, dtype=linear.weight.dtype
    )
    with torch.no_grad():
        merged.weight.copy_(weight[:1] + coefficients.b * weight[1:])
        merged.bias.copy_(bias[:1] + coefficients.b * bias[1:] + coefficients.t)
    single: nn.Linear = merged
    return single


def unmerge_heads(merged: nn.Linear, group_head: nn.Linear, coefficients: Coefficients) -> nn.Linear:
    """The two-output layer (task, group) that ``merge_heads`` made ``merged`` from, given the group head.

    ``group_head`` has one output. The task head is ``merged - b group - t``, up to the rounding of the merge.
    """
    if merged.out_features != 1 or group_head.out_features != 1 or merged.in_features != group_head.in_features:
        raise InputError("`merged` and `group_head` must have one output each and the same number of inputs.")
    linear = nn.utils.skip_init(
        nn.Linear, merged.in_features, 2, device=merged.weight.device, dtype=merged.weight.dtype
    )
    b, t = coefficients.b, coefficients.t
    none = torch.zeros(1, device=merged.weight.device)
    bias, group_bias = (none if part.bias is None else part.bias.detach() for part in (merged, group_head))
    with torch.no_grad():
        linear.weight[0] = (merged.weight.double() - b * group_head.weight.double())[0]
        linear.bias[0] = (bias.double() - b * group_bias.double() - t)[0]
        linear.weight[1], linear.bias[1] = group_head.weight[0], group_bias[0]
    two: nn.Linear = linear
    return two


def two_head_scores(net: nn.Module, data: Dataset) -> NDArray[np.float64]:
    """Outputs of a network on every row, in fixed blocks, shape (n, outputs)."""
    device = device_of(net)
    with evaluation_state(net):
        parts = [
            net(*[torch.tensor(values, device=device) for values in batch.inputs.values()]).double().cpu().numpy()
            for batch in blocks(data)
        ]
    return np.concatenate(parts)


def merge_net(net: TwoHeadNet, coefficients: Coefficients, verify_on: Dataset) -> nn.Module:
    """The single-head network of the same architecture that decides like the two merged heads.

    Parameters
    ----------
    verify_on : Dataset
        Rows on which the merged logits are compared with ``z_y + b z_g + t`` before the network is returned.

    Raises
    ------
    InputError
        If a merged logit differs by more than 1e-5, relative to the larger of 1 and ``|z_y| + |b z_g| + |t|``.
    """
    single = net.single(merge_heads(net.head, coefficients)).eval()
    heads = two_head_scores(net, verify_on)
    parts = np.stack([heads[:, 0], coefficients.b * heads[:, 1], np.full(len(heads), coefficients.t)])
    difference = np.abs(two_head_scores(single, verify_on)[:, 0] - parts.sum(0))
    difference /= np.maximum(1.0, np.abs(parts).sum(0))
    if not difference.max() <= TOLERANCE:
        raise InputError(f"the merged logits differ from the two heads by up to {difference.max():.2g}; not merged.")
    return single
