"""Two heads into one, exactly, and apart again."""

from __future__ import annotations

import torch
from torch import nn

from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.nets import TwoHeadNet
from fairheads.nets.heads import bias_of, linear_of
from fairheads.twoheads.coefficients import Coefficients
from fairheads.twoheads.verify import name_of, slopes_of, verify_merge


def merge_heads(
    linear: nn.Linear, coefficients: Coefficients, *, task_outputs: int = 1, favourable: int = 1
) -> nn.Linear:
    """The layer with the task's outputs alone that computes ``z_y + b . z_g + t`` from the outputs of ``linear``.

    With one task output its weight is ``w_y + b . w_g`` and its bias ``b_y + b . b_g + t``. With one output a class,
    that is added to the row of the favourable class alone: the decision is the largest logit, so the score
    ``z_y = z_favourable - max(z of the others)`` moves by exactly ``b . z_g + t``. Everything is computed in float64
    and rounded once, to the type of ``linear``; device and type are kept. The merged layer has a bias, also where
    ``linear`` has none: that is t.

    Parameters
    ----------
    linear : nn.Linear
        Outputs of the task, then those of the group; two layers are first joined by `fairheads.nets.join_heads`.
    coefficients : Coefficients
        With one slope for every group output.
    task_outputs : int
        1, or the number of classes.
    favourable : int
        Class of the favourable outcome; plays no part with one task output.

    Raises
    ------
    InputError
        If ``linear`` has another number of outputs, the coefficients are in probability space (their merge is no
        linear layer), or a merged weight is too large for the type.
    ConfigError
        If there is no such class.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5.

    Examples
    --------
    >>> linear = nn.Linear(8, 1 + 3)
    >>> merge_heads(linear, Coefficients(b=(0.5, 0.0, -0.5), t=0.1))
    Linear(in_features=8, out_features=1, bias=True)
    """
    slopes = slopes_of(coefficients, linear.weight.device)
    if linear.out_features != task_outputs + len(slopes):
        raise InputError(
            f"`linear` must have {task_outputs + len(slopes)} outputs (task {task_outputs}, group {len(slopes)}), got"
            f" {linear.out_features}."
        )
    row = _row(task_outputs, favourable)
    weight, bias = linear.weight.detach().double(), bias_of(linear).double()
    merged, offset = weight[:task_outputs].clone(), bias[:task_outputs].clone()
    merged[row] += slopes @ weight[task_outputs:]
    offset[row] += slopes @ bias[task_outputs:] + coefficients.t
    return _rounded(merged, offset, linear.weight.dtype)


def unmerge_heads(
    merged: nn.Linear, group_head: nn.Linear, coefficients: Coefficients, *, favourable: int = 1
) -> nn.Linear:
    """The layer with both heads (task, then group) that ``merge_heads`` made ``merged`` from, given the group head.

    The task head is ``merged - b . group - t``, up to the rounding of the merge; it gets a bias also where it had none.

    Raises
    ------
    InputError
        If ``group_head`` does not have one output a slope and the inputs of ``merged``, or the coefficients are in
        probability space.
    ConfigError
        If ``merged`` has more than one output and no such class.

    Examples
    --------
    >>> two, c = nn.Linear(4, 2), Coefficients(b=2.0, t=0.5)
    >>> group = nn.Linear(4, 1)
    >>> _ = group.weight.data.copy_(two.weight[1:]), group.bias.data.copy_(two.bias[1:])
    >>> bool(torch.allclose(unmerge_heads(merge_heads(two, c), group, c).weight, two.weight, atol=1e-6))
    True
    """
    slopes = slopes_of(coefficients, merged.weight.device)
    if group_head.out_features != len(slopes) or merged.in_features != group_head.in_features:
        raise InputError(
            f"`group_head` must have one output for each of the {len(slopes)} slopes and the {merged.in_features}"
            f" inputs of `merged`, got {group_head.out_features} outputs and {group_head.in_features} inputs."
        )
    row = _row(merged.out_features, favourable)
    group_weight, group_bias = group_head.weight.detach().double(), bias_of(group_head).double()
    weight, bias = merged.weight.detach().double(), bias_of(merged).double()
    weight[row] -= slopes @ group_weight
    bias[row] -= slopes @ group_bias + coefficients.t
    return _rounded(torch.cat([weight, group_weight]), torch.cat([bias, group_bias]), merged.weight.dtype)


def merge_net(net: TwoHeadNet, coefficients: Coefficients, verify_on: Dataset | Stream) -> nn.Module:
    """The single-head network of the same architecture that decides like the two merged heads.

    It is of the class of the network that the heads were given to, in eval mode, with its keys and shapes (and a bias
    in the head, if there was none). The merged logits are compared with ``z_y + b . z_g + t`` on every row of
    ``verify_on`` before it is returned; `verify_merge` gives the measured differences, also on other rows.

    Raises
    ------
    InputError
        If a merged logit differs by more than the type of the weights explains, if the coefficients do not have one
        slope for every group output, or are in probability space.

    Notes
    -----
    The merge treats people of equal merit differently because of the group it infers; that is what it is for. A class
    that builds its head without a bias (some language models) loses t when the merged network is saved and built
    again from its configuration.

    Examples
    --------
    >>> import numpy as np
    >>> from fairheads.nets import MLP
    >>> rows = Dataset(np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1])
    >>> two = TwoHeadNet(MLP(4, hidden=(8,)))
    >>> merge_net(two, Coefficients(b=-1.0, t=0.5), rows).head
    Linear(in_features=8, out_features=1, bias=True)
    """
    head = merge_heads(net.joined, coefficients, task_outputs=net.task_outputs, favourable=net.favourable)
    single = net.single(head).eval()
    verify_merge(net, single, coefficients, verify_on)
    return single


def _row(task_outputs: int, favourable: int) -> int:
    if task_outputs == 1:
        return 0
    if task_outputs < 1 or not 0 <= favourable < task_outputs:
        raise ConfigError(f"`favourable` must be a class from 0 to {task_outputs - 1}, got {favourable}.")
    return favourable


def _rounded(weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype) -> nn.Linear:
    layer = linear_of(weight.to(dtype), bias.to(dtype))
    for values, exact in ((layer.weight, weight), (layer.bias, bias)):
        if not bool(values.isfinite().all()):
            largest = float(exact.abs().max())
            raise InputError(f"a weight of {largest:.3g} is not a finite number in {name_of(dtype)}; use a wider type.")
    return layer
