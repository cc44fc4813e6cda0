"""From what scikit-learn and Fairlearn pass to `fit` to the rows of a training run."""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch import nn

from fairheads.errors import ConfigError, FairheadsWarning, InputError
from fairheads.nets import MLP

FAR = 100_000
"""Standard deviations from 0 at which rounding to float32 moves a logit by about .002; at ten times as far by .02."""


def group_codes(sensitive_features: Any, n: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Code of the group of every row, and the names of the groups in the order of their values.

    Parameters
    ----------
    sensitive_features : list, array, Series (n,), or array or DataFrame (n, k)
        The groups of several columns are their intersections, named ``Female, Black``.

    Raises
    ------
    InputError
        If it does not have n rows, or a value is missing.
    """
    import pandas as pd

    is_pandas = hasattr(sensitive_features, "iloc")
    frame = pd.DataFrame(sensitive_features if is_pandas else np.asarray(sensitive_features, object))
    if len(frame) != n or frame.shape[1] == 0:
        raise InputError(f"`sensitive_features` must have one entry per row of `X` ({n}), got {len(frame)}.")
    if missing := int(frame.isna().to_numpy().any(1).sum()):
        raise InputError(f"`sensitive_features` must not be missing in any row, got {missing} rows without.")
    # Sorted by value where that is defined, so that 2 comes before 10; then named.
    columns = [frame.iloc[:, k] for k in range(frame.shape[1])]
    ranks = np.stack([_ranks(column.tolist()) for column in columns], axis=1)
    _, first, codes = np.unique(ranks, axis=0, return_index=True, return_inverse=True)
    names = tuple(", ".join(str(column.iloc[row]) for column in columns) for row in first.tolist())
    return codes.reshape(-1).astype(np.int64), names


def _ranks(values: list[Any]) -> NDArray[np.int64]:
    distinct = set(values)
    try:
        ordered = sorted(distinct)
    except TypeError:
        ordered = sorted(distinct, key=str)
    place = {value: rank for rank, value in enumerate(ordered)}
    return np.array([place[value] for value in values], np.int64)


def held_out(cells: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """A mask of about ``share`` of the rows of every cell, drawn at random.

    Raises
    ------
    ConfigError
        If the share lies outside [0, 1).
    InputError
        If it leaves no row to train on, or above 0 none to hold out.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"`validation` must lie in [0, 1), got {share}.")
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(cells), bool)
    for cell in np.unique(cells):
        rows = np.flatnonzero(cells == cell)
        mask[rng.permutation(rows)[: round(share * len(rows))]] = True
    if mask.all() or (share > 0 and not mask.any()):
        raise InputError(f"`X` has too few rows ({len(cells)}) to hold out a share of {share:g}: use more n_samples.")
    return mask


def folded(net: MLP, scaler: StandardScaler) -> MLP:
    """``net``, which was trained on standardised inputs, changed to take them as they are.

    Warns where a column lies so far from 0 for its spread that the weights of ``net`` cannot tell its values apart.
    """
    far = np.flatnonzero(np.abs(scaler.mean_) > FAR * scaler.scale_).tolist()
    if far and next(net.parameters()).dtype == torch.float32:
        listed = ", ".join(map(str, far[:3])) + (", ..." if len(far) > 3 else "")
        warnings.warn(
            f"`X` has columns that lie more than {FAR:,} standard deviations from 0 ({listed}); what the network learnt"
            " is rounded off in them. Subtract a constant first, such as the mean.",
            FairheadsWarning,
            stacklevel=3,
        )
    first = cast(nn.Linear, net.backbone[0])
    weight = first.weight.detach().double() / torch.as_tensor(scaler.scale_)
    with torch.no_grad():
        first.bias.copy_(first.bias.double() - weight @ torch.as_tensor(scaler.mean_))
        first.weight.copy_(weight)
    return net
