"""A group head for a network that is already trained: a linear readout of the group from its last features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fairheads.data import Dataset, Stream, blocks
from fairheads.errors import ConfigError, InputError
from fairheads.nets import TwoHeadNet, TwoHeads, group_outputs
from fairheads.sums import Moments
from fairheads.twoheads.heads import group_codes
from fairheads.twoheads.outputs import head_features, outputs_on
from fairheads.twoheads.verify import name_of

Floats = NDArray[np.float64]

RIDGE = 1e-3
"""Share of a feature's own variance that is added to it, unless told."""


def attach_group_head(
    net: nn.Module,
    data: Dataset | Stream,
    *,
    layer: str | None = None,
    ridge: float = RIDGE,
    separate: bool = False,
    favourable: int = 1,
) -> TwoHeadNet:
    """The two-headed network of a trained one: its task head as it is, and a group head fitted to its last features.

    The backbone stays frozen. In one pass, in eval mode and in fixed blocks, the features that enter the final linear
    layer are summed up with the groups; the group head is the ridge regression of the groups on them
    (`group_readout`), in closed form from these sums. No row is kept, so a `Stream` of any length does.

    Parameters
    ----------
    net : nn.Module
        Left alone; see `fairheads.nets.TwoHeadNet` for what it can be, and for ``layer``, ``separate`` and
        ``favourable``.
    data : Dataset or Stream
        Rows to read the group from, best the training rows; coefficients are then chosen on others. Rows whose group
        is not recorded (code -1) are left out. Labels play no part.
    ridge : float
        See `group_readout`.

    Raises
    ------
    InputError
        If there are fewer than two groups, or no rows of one; if a feature is not finite, or the features of the
        final layer are not (n, d).
    ConfigError, LayerNotFoundError
        As `fairheads.nets.TwoHeadNet`, and on a ridge below 0.

    Notes
    -----
    The features were learned for the task alone, so that the group may be harder to read from them than from the
    features of a network that learned both. ``train(two, data, TwoHeaded())`` goes on from here with all weights.
    That a group can be read from features is true of almost every network and is no evidence of its use.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> rng = np.random.default_rng(0)
    >>> group = rng.integers(0, 3, 600)
    >>> X = rng.normal(size=(600, 4)) + 3 * np.eye(4)[group]
    >>> two = attach_group_head(MLP(4, hidden=(16,)), Dataset(X, group == 0, group))
    >>> z_g = two(torch.tensor(X, dtype=torch.float32))[:, 1:]
    >>> bool((z_g.argmax(1).numpy() == group).mean() > 0.9)
    True
    """
    two = TwoHeadNet(net, n_groups=max(2, len(data.group_names)), layer=layer, separate=separate, favourable=favourable)
    sums: Moments | None = None
    centre = np.zeros(0)
    with head_features(two) as features:
        for batch in blocks(data):
            h = features(outputs_on(two, batch)).double().cpu().numpy()
            if not len(centre):
                # Sums of features far from 0 lose their digits to the mean; those of features near 0 keep them.
                centre = h.mean(0)
            part = _sums(h - centre, batch.group, two.n_groups)
            sums = part if sums is None else sums + part
    if sums is None:
        raise InputError("`data` must have at least one row.")
    _write(two, *_ridge(sums, centre, two.group_outputs, ridge, data.group_names))
    return two


def group_readout(h: ArrayLike, group: ArrayLike, *, n_groups: int | None = None, ridge: float = RIDGE) -> nn.Linear:
    """The linear layer that reads the group from features: ridge regression of 0/1, in float64.

    It minimises the mean squared error plus ``ridge`` times the squares of the weights of standardised features; the
    bias is not held down. Two groups have one output, near 1 for group code 1; K > 2 have K, one a group. A feature
    that does not vary gets weight 0.

    Parameters
    ----------
    h : array (n, d)
        Features.
    group : array (n,) of int
        Codes from 0; rows with -1 (not recorded) are left out.
    n_groups : int, optional
        By default the largest code and one more.
    ridge : float
        Relative to the variance of a feature. More is steadier on few rows or on features that repeat each other, and
        draws the outputs towards the shares of the groups; 0 is least squares, which then has many solutions and takes
        the smallest.

    Raises
    ------
    InputError
        If the lengths differ, a feature is not finite, or a group has no rows.
    ConfigError
        On a ridge below 0 or fewer than two groups.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> group = rng.integers(0, 2, 500)
    >>> layer = group_readout(np.stack([group + rng.normal(size=500), rng.normal(size=500)], axis=1), group)
    >>> layer, bool(layer.weight[0, 0] > 10 * layer.weight[0, 1].abs())
    (Linear(in_features=2, out_features=1, bias=True), True)
    """
    features, codes = np.asarray(h, np.float64), group_codes(group)
    if features.ndim != 2 or codes.shape != (len(features),):
        raise InputError(f"`h` must be (n, d) and `group` (n,), got {features.shape} and {codes.shape}.")
    groups = max(2, int(codes.max(initial=-1)) + 1) if n_groups is None else n_groups
    outputs = group_outputs(groups)
    if len(codes) and codes.max() >= groups:
        raise InputError(f"`group` must hold codes from 0 to {groups - 1} (-1: not recorded), got {codes.max()}.")
    centre = features.mean(0) if len(features) else np.zeros(features.shape[1])
    sums = _sums(features - centre, codes, groups)
    weight, bias = _ridge(sums, centre, outputs, ridge, [str(code) for code in range(groups)])
    layer = nn.Linear(features.shape[1], outputs, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight))
        layer.bias.copy_(torch.as_tensor(bias))
    return layer


def _sums(h: Floats, group: NDArray[np.int64], groups: int) -> Moments:
    """Moments of the features with the groups one-hot behind them, of the rows whose group is recorded."""
    known = group >= 0
    if not np.isfinite(h).all():
        raise InputError("the features that enter the final layer must be finite.")
    return Moments.of(np.concatenate([h[known], np.eye(groups)[group[known]]], axis=1))


def _ridge(sums: Moments, centre: Floats, outputs: int, ridge: float, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Weights (outputs, d) and biases (outputs,) from the moments of features less ``centre``, and one-hot groups."""
    if not 0 <= ridge < float("inf"):
        raise ConfigError(f"`ridge` must be at least 0 and finite, got {ridge}.")
    d = len(sums.total) - (2 if outputs == 1 else outputs)
    counts = sums.total[d:]
    if len(names) < 2 or (counts < 0.5).any():
        absent = [name for name, n in zip(names, counts, strict=False) if n < 0.5]
        raise InputError(
            f"a group head needs rows of at least two groups and of every one, got groups {list(names)}, without rows"
            f" {absent}."
        )
    covariance, wanted = sums.covariance, slice(-outputs, None)  # of two groups the indicator of the second alone
    deviation = np.sqrt(covariance.diagonal()[:d].clip(min=0))
    varies = deviation > 1e-9 * np.abs(centre)  # what is left of a constant is rounding
    scale = np.where(varies, deviation, 1.0)
    correlation = np.where(np.outer(varies, varies), covariance[:d, :d] / np.outer(scale, scale), 0.0)
    target = np.where(varies[:, None], covariance[:d, wanted] / scale[:, None], 0.0)
    eigenvalues, vectors = np.linalg.eigh(correlation)
    usable = eigenvalues + ridge > 1e-10 * max(float(eigenvalues.max(initial=0.0)), 1e-300)
    inverse = np.where(usable, 1 / np.where(usable, eigenvalues + ridge, 1.0), 0.0)
    weight = (vectors * inverse) @ (vectors.T @ target) / scale[:, None]
    weight[~varies] = 0.0
    return weight.T, sums.mean[wanted] - weight.T @ (sums.mean[:d] + centre)


def _write(two: TwoHeadNet, weight: Floats, bias: Floats) -> None:
    """Put the weights of a group head into a network."""
    head = two.head
    group = head.group if isinstance(head, TwoHeads) else head
    rows = slice(None) if isinstance(head, TwoHeads) else slice(two.task_outputs, None)
    if not isinstance(group, nn.Linear):
        raise ConfigError(f"the head must be linear, got {type(group).__name__}.")
    for values, new in ((group.weight, weight), (group.bias, bias)):
        with torch.no_grad():
            values[rows] = torch.as_tensor(new).to(values)
        if not bool(values[rows].isfinite().all()):  # the task's own are as they were
            raise InputError(f"a weight of the group head is not finite in {name_of(values.dtype)}; use a wider type.")
