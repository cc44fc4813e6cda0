"""A linear estimate of a group from the inputs of a network, whatever they are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fairheads.data import Dataset, blocks
from fairheads.errors import ConfigError
from fairheads.nets.transformer import mean_over_tokens

SIDE = 8
"""Images are averaged down to at most so many pixels a side before they are read."""

RIDGE = 1e-6
"""Added to every variance, for inputs that are linear combinations of each other."""


class GroupEstimate(nn.Module):
    """Least squares of membership on the inputs, centred: ``features . weight + bias``, shape (n, 1).

    The features are the columns of a table, the pixels of an image averaged down to 8 x 8, or the shares of the token
    ids in a row. Membership is 1 in the group and 0 outside, so that the estimate grows with its probability; its
    mean over the rows it was fitted to is 0.

    Parameters
    ----------
    data : Dataset
        Rows to fit it to.
    group : str
        Name of the group.

    Attributes
    ----------
    weight : Tensor (features,)
    bias : Tensor ()

    Raises
    ------
    ConfigError
        If there is no such group, or the inputs are no table, images or tokens.

    Examples
    --------
    >>> from fairheads.planted import synthetic
    >>> data = synthetic(1000)
    >>> found = GroupEstimate(data, "B")(torch.tensor(data.inputs["x"]))[:, 0].numpy()
    >>> bool(found[data.group == 1].mean() > found[data.group == 0].mean())
    True
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, data: Dataset, group: str) -> None:
        super().__init__()
        if group not in data.group_names:
            raise ConfigError(f"`group` must be one of {list(data.group_names)}, got {group!r}.")
        first = next(iter(data.inputs.values()))
        self.vocabulary = int(first.max()) + 1 if first.dtype.kind in "iu" else 0
        if first.ndim not in (2, 4) or (self.vocabulary and first.ndim != 2):
            raise ConfigError(
                "a group can be estimated from a table (n, columns), images (n, channels, height, width) or tokens"
                f" (n, t), got inputs of shape {first.shape}."
            )
        inputs = [torch.as_tensor(values) for values in data.inputs.values()]
        x = self.features(*inputs).double()
        member = torch.as_tensor(data.group == data.group_names.index(group)).double()
        centred = x - x.mean(0)
        ridge = RIDGE * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
        weight = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ (member - member.mean()))
        self.register_buffer("weight", weight.float())
        self.register_buffer("bias", (-(x.mean(0) @ weight)).float())

    def features(self, *inputs: Tensor) -> Tensor:
        """What the estimate is linear in, (n, features)."""
        first = inputs[0]
        if self.vocabulary:
            ids = torch.arange(self.vocabulary, device=first.device)
            return mean_over_tokens((first[:, :, None] == ids).float(), inputs[1] if len(inputs) > 1 else None)
        if first.ndim == 4:
            side = min(SIDE, *first.shape[2:])
            return functional.adaptive_avg_pool2d(first, side).flatten(1)
        return first

    def forward(self, *inputs: Tensor) -> Tensor:
        return (self.features(*inputs) @ self.weight + self.bias)[:, None]

    def on(self, data: Dataset) -> NDArray[np.float64]:
        """The estimate on rows, (n,)."""
        parts = []
        with torch.no_grad():
            for batch in blocks(data):
                parts.append(self(*[torch.tensor(values) for values in batch.inputs.values()])[:, 0].double().numpy())
        return np.concatenate(parts)
