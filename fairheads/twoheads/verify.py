"""Whether a merged network gives the logits of the two heads, to the precision of its weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fairheads.data import Dataset, Stream, blocks
from fairheads.errors import InputError
from fairheads.nets import TwoHeadNet
from fairheads.nets.heads import bias_of
from fairheads.twoheads.coefficients import Coefficients
from fairheads.twoheads.outputs import head_features, outputs_on


@dataclass(frozen=True, kw_only=True)
class Verified:
    """How a merged network compares with ``z_y + b . z_g + t`` on rows, the latter computed in float64.

    Attributes
    ----------
    rows : int
        Rows compared: all that were given.
    largest : float
        Largest difference of a logit.
    tolerance : float
        Largest difference that was allowed, in the row where that is most.
    share : float
        Largest share of what was allowed in its own row; at most 1.
    same_decisions : int
        Rows decided alike. The others lie closer to 0 than the tolerance of their row.
    dtype : str
        Type of the weights.
    """

    rows: int
    largest: float
    tolerance: float
    share: float
    same_decisions: int
    dtype: str


def verify_merge(net: TwoHeadNet, single: nn.Module, coefficients: Coefficients, data: Dataset | Stream) -> Verified:
    """How the logits of ``single`` compare with those of the two heads of ``net``, merged, on every row.

    The features are taken where they enter the head of ``net``; from them ``z_y + b . z_g + t`` is computed in
    float64, and compared with what ``single`` returns. A row may differ by ``e (|h| . (|w_y| + |b| . |w_g|) + |b_y| +
    |b| . |b_g| + |t|)``, where ``e`` is four times the precision of the weights and ``sqrt(d) / 2`` times that in which
    d products are added (float32 for the half types): large parts that cancel leave their rounding behind. Of a task
    with one output a class this is the favourable class's logit; the others are the task head's and have no b or t.

    Raises
    ------
    InputError
        If a logit differs by more: the networks are not each other's merge, or numbers overflow.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> from fairheads.twoheads import merge_net
    >>> rows = Dataset(np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1])
    >>> two = TwoHeadNet(MLP(4, hidden=(8,)))
    >>> coefficients = Coefficients(b=-1.0, t=0.5)
    >>> seen = verify_merge(two, merge_net(two, coefficients, rows), coefficients, rows)
    >>> seen.rows, seen.same_decisions, seen.largest <= seen.tolerance < 1e-5
    (4, 4, True)
    """
    head = net.joined
    device, dtype = head.weight.device, head.weight.dtype
    slopes = slopes_of(coefficients, device)
    if len(slopes) != net.group_outputs:
        raise InputError(f"`coefficients` must have {net.group_outputs} slopes, one a group output, got {len(slopes)}.")
    weight, bias = head.weight.detach().double(), bias_of(head).double()
    task = net.task_outputs
    row = 0 if task == 1 else net.favourable
    sizes, size_bias = weight[:task].abs(), bias[:task].abs()
    sizes[row] += slopes.abs() @ weight[task:].abs()
    size_bias[row] += slopes.abs() @ bias[task:].abs() + abs(coefficients.t)
    allowed = _precision(dtype, head.in_features)
    n = alike = 0
    largest = tolerance = share = 0.0
    with head_features(net) as features:
        for batch in blocks(data):
            h = features(outputs_on(net, batch)).double()
            merged = outputs_on(single, batch)
            outputs = h @ weight.T + bias
            wanted = outputs[:, :task].clone()
            wanted[:, row] += outputs[:, task:] @ slopes + coefficients.t
            if merged.shape != wanted.shape:
                raise InputError(
                    f"the merged network must return {task} logits a row, got shape {tuple(merged.shape)}."
                )
            if not (bool(h.isfinite().all()) and bool(merged.isfinite().all())):
                raise InputError(f"the network is not finite in {name_of(dtype)} on some rows; use a wider type.")
            difference = (merged.double() - wanted).abs()
            bound = allowed * (h.abs() @ sizes.T + size_bias)
            if not bool((difference <= bound).all()):
                worst = int((difference - bound).argmax())
                raise InputError(
                    f"a merged logit differs from the two heads by {float(difference.flatten()[worst]):.2g}, and the"
                    f" rounding of {name_of(dtype)} explains {float(bound.flatten()[worst]):.2g} in its row;"
                    " not merged."
                )
            n += len(h)
            alike += int((_decided(merged, row) == _decided(wanted, row)).sum())
            largest, tolerance = max(largest, float(difference.max())), max(tolerance, float(bound.max()))
            share = max(share, float((difference / bound.clamp(min=torch.finfo(torch.float64).tiny)).max()))
    return Verified(
        rows=n, largest=largest, tolerance=tolerance, share=share, same_decisions=alike, dtype=name_of(dtype)
    )


def slopes_of(coefficients: Coefficients, device: torch.device) -> Tensor:
    """The slopes in float64, (group outputs,), of coefficients that a linear head can have.

    Raises
    ------
    InputError
        If they are in probability space, or not finite.
    """
    if coefficients.space != "logit":
        raise InputError(
            "`coefficients` must be in logit space: a merge in probability space is no linear head and cannot be one"
            " network of the same architecture."
        )
    slopes = coefficients.slopes
    if not (np.isfinite(slopes).all() and np.isfinite(coefficients.t)):
        raise InputError(f"`coefficients` must be finite, got b = {coefficients.b} and t = {coefficients.t}.")
    return torch.tensor(slopes, device=device)


def _precision(dtype: torch.dtype, features: int) -> float:
    adds = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
    return float(4 * torch.finfo(dtype).eps + features**0.5 / 2 * torch.finfo(adds).eps)


def _decided(logits: Tensor, row: int) -> Tensor:
    """Whether the favourable outcome is predicted."""
    if logits.shape[1] == 1:
        return logits[:, 0] > 0
    others = torch.cat([logits[:, :row], logits[:, row + 1 :]], dim=1)
    return logits[:, row] > others.max(1).values


def name_of(dtype: torch.dtype) -> str:
    """What people call a type of number."""
    return str(dtype).removeprefix("torch.")
