"""What a two-headed network gives on rows: its outputs, and the scores of task and group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairheads.activations import called, device_of, evaluation_state
from fairheads.data import Batch, Dataset, Stream, blocks
from fairheads.errors import InputError
from fairheads.nets import TwoHeadNet, logits_of
from fairheads.nets.final import position_of

Floats = NDArray[np.float64]


def two_head_scores(net: nn.Module, data: Dataset | Stream) -> Floats:
    """Outputs of a network on every row, in fixed blocks, shape (n, outputs).

    Inputs in floating point take the type of the network's weights. The network runs in eval mode and is left as it
    was. Of a stream only the outputs are kept.

    Raises
    ------
    InputError
        If the network does not return logits, a row each.
    """
    return np.concatenate([outputs_on(net, batch).double().cpu().numpy() for batch in blocks(data)])


def heads_of(net: TwoHeadNet, data: Dataset | Stream) -> tuple[Floats, Floats]:
    """Task score ``z_y`` (n,) and group outputs ``z_g``, (n,) of two groups and (n, K) of more, on every row.

    With one task output ``z_y`` is that logit. With one a class it is the logit of the favourable class minus the
    largest of the others: above 0 where the favourable class is predicted.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> rows = Dataset(np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1])
    >>> z_y, z_g = heads_of(TwoHeadNet(MLP(4, hidden=(8,)), n_groups=3), rows)
    >>> z_y.shape, z_g.shape
    ((4,), (4, 3))
    """
    outputs = two_head_scores(net, data)
    z_y = task_score(outputs[:, : net.task_outputs], net.favourable)
    z_g = outputs[:, net.task_outputs :]
    return z_y, z_g[:, 0] if net.group_outputs == 1 else z_g


def task_score(logits: Floats, favourable: int = 1) -> Floats:
    """The score (n,) that is above 0 where the favourable outcome is predicted, of logits (n, 1) or one a class."""
    if logits.shape[1] == 1:
        return np.asarray(logits[:, 0])
    others = np.delete(logits, favourable, axis=1)
    return np.asarray(logits[:, favourable] - others.max(axis=1))


def outputs_on(net: nn.Module, batch: Batch) -> Tensor:
    """Logits (n, outputs) of some rows, in eval mode and with inputs in the type of the network's weights."""
    device = device_of(net)
    dtype = next((weights.dtype for weights in net.parameters() if weights.is_floating_point()), torch.float32)
    inputs = {name: torch.tensor(values, device=device) for name, values in batch.inputs.items()}
    inputs = {name: values.to(dtype) if values.is_floating_point() else values for name, values in inputs.items()}
    with evaluation_state(net), torch.autocast(device.type, enabled=False):
        logits = logits_of(called(net, inputs))
    if logits.ndim == 1 and len(logits) == len(batch):
        logits = logits[:, None]
    if logits.ndim != 2 or len(logits) != len(batch):
        raise InputError(f"the network must return logits (n, outputs), got shape {tuple(logits.shape)}.")
    return logits


@contextmanager
def head_features(net: TwoHeadNet) -> Iterator[Callable[[Tensor], Tensor]]:
    """While open, what it gives returns the features (n, d) behind the logits of the last pass.

    They are what enters the head. Where that is a sequence, of which the network looks at one position a row, they are
    those of that position.
    """
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_head: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> None:
        seen.append((next(iter([*inputs, *named.values()])).detach().clone(), output.detach().clone()))

    def features_of(logits: Tensor) -> Tensor:
        features, heads = seen.pop()
        if features.ndim == 3 and len(logits) == len(features):
            at = position_of(logits, heads)
            if at is not None:
                features = features[torch.arange(len(at), device=at.device), at]
        if features.ndim != 2:
            raise InputError(f"the features of the head must be (n, d), got shape {tuple(features.shape)}.")
        return features

    handle = net.head.register_forward_hook(keep, with_kwargs=True)
    try:
        yield features_of
    finally:
        handle.remove()
