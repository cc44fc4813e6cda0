"""Rows from which the group was taken, and rows that do not show what carries it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fairheads.data import Dataset
from fairheads.errors import ConfigError
from fairheads.nets import MLP, ResNet, Transformer


def residualised(data: Dataset, *, seed: int) -> Dataset:
    """The same rows with inputs whose means do not differ between the groups.

    Numbers move by their group's mean, to that of everybody. Token ids are kept with probability
    ``min over groups P(id | group) / P(id | own group)`` and otherwise drawn anew from one distribution for all,
    so that the groups come to use every id alike.
    """
    first = next(iter(data.inputs.values()))
    if first.dtype.kind in "iu":
        inputs = {**data.inputs, next(iter(data.inputs)): _alike_tokens(data, np.random.default_rng(seed))}
    else:
        inputs = {name: _centred(values, data.group) for name, values in data.inputs.items()}
    return _with_inputs(data, inputs)


def masked(data: Dataset, hidden: tuple[int, ...]) -> Dataset:
    """The same rows with 0 in some columns or channels, or one id in place of some token ids."""
    name, first = next(iter(data.inputs.items()))
    values = first.copy()
    if first.dtype.kind in "iu":
        values[np.isin(values, hidden)] = _stand_in(int(first.max()) + 1, hidden)
    else:
        values[:, list(hidden)] = 0
    return _with_inputs(data, {**data.inputs, name: values})


@torch.no_grad()
def blinded(net: nn.Module, hidden: tuple[int, ...]) -> nn.Module:
    """The network, in place, with weight 0 on some columns or channels; token ids are read like another one.

    Raises
    ------
    ConfigError
        If it is no `MLP`, `ResNet` or `Transformer`.
    """
    chosen = list(hidden)
    if isinstance(net, MLP):
        first = net.backbone[0]
        if isinstance(first, nn.Linear):
            first.weight[:, chosen] = 0
    elif isinstance(net, ResNet):
        convolution = net.stem[0]
        if isinstance(convolution, nn.Conv2d):
            convolution.weight[:, chosen] = 0
    elif isinstance(net, Transformer):
        table = net.stem.token.weight
        table[chosen] = table[_stand_in(len(table), hidden)].clone()
    else:
        raise ConfigError(f"`net` must be an MLP, ResNet or Transformer, got {type(net).__name__}.")
    return net


def _stand_in(vocabulary: int, hidden: tuple[int, ...]) -> int:
    """The last id that is not hidden."""
    return max(set(range(vocabulary)) - set(hidden))


def _centred(values: NDArray[Any], group: NDArray[np.int64]) -> NDArray[Any]:
    moved: NDArray[Any] = values + values.mean(0)
    for code in np.unique(group):
        moved[group == code] -= values[group == code].mean(0)
    return moved


def _alike_tokens(data: Dataset, rng: np.random.Generator) -> NDArray[Any]:
    tokens, *rest = data.inputs.values()
    counts = rest[0] > 0 if rest else np.ones(tokens.shape, bool)
    vocabulary = int(tokens.max()) + 1
    codes = np.unique(data.group)
    used = [np.bincount(tokens[(data.group == c)[:, None] & counts], minlength=vocabulary) for c in codes]
    shares = np.stack([each / each.sum() for each in used])
    common = shares.min(0)
    keep = np.divide(common, shares, out=np.zeros_like(shares), where=shares > 0)
    kept = rng.random(tokens.shape) < keep[np.searchsorted(codes, data.group)[:, None], tokens]
    drawn = rng.choice(vocabulary, size=tokens.shape, p=shares.mean(0))
    return np.where(kept | ~counts, tokens, drawn).astype(tokens.dtype)


def _with_inputs(data: Dataset, inputs: dict[str, NDArray[Any]]) -> Dataset:
    return Dataset(
        inputs,
        data.y,
        data.group,
        group_names=data.group_names,
        feature_names=data.feature_names,
        name=data.name,
        row_id=data.row_id,
    )
