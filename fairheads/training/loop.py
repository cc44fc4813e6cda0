"""The one training loop: whole data set on the device, shuffled index batches, Adam."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler

from fairheads.data import Dataset, RowRecord
from fairheads.errors import ConfigError, DivergedError, InputError
from fairheads.training.history import History
from fairheads.training.objectives import Objective, TwoHeaded


def train(
    net: nn.Module,
    data: Dataset,
    objective: Objective,
    *,
    epochs: int = 8,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    schedule: str = "cosine",
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> History:
    """Train ``net`` in place with Adam and return its history; the net ends in eval mode.

    Parameters
    ----------
    net : nn.Module
        Takes the inputs of ``data`` in order and returns (n, ``objective.outputs``) logits.
    data : Dataset
        Training rows, held in memory on the device of the net.
    objective : Objective
        `Unconstrained`, `Penalized`, `TwoHeaded`, or anything with the same two methods.
    epochs, batch_size, learning_rate
        The last rows of an epoch that do not fill a batch are left out of it (the order is new each epoch).
    schedule : "cosine" or "constant"
        Cosine lowers the learning rate to 0 over the run; seeds then end closer together (on Adult the gap of ten
        unconstrained networks lies within .007 instead of .05).
    seed : int
        Seed of the order of the rows and of dropout. The global random state is left as it was.
    progress : callable, optional
        Called after each epoch with the epoch (from 1) and its mean loss.

    Raises
    ------
    DivergedError
        When the loss is not finite; names epoch and step.
    ConfigError, InputError
        On a setting or a group that the objective cannot use.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> from fairheads.training import Unconstrained
    >>> data = Dataset(np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1])
    >>> history = train(MLP(4, hidden=(8,)), data, Unconstrained(), epochs=2, batch_size=2)
    >>> len(history.losses)
    2
    """
    if epochs < 1 or batch_size < 1 or not learning_rate > 0:
        raise ConfigError(
            f"`epochs` and `batch_size` must be at least 1 and `learning_rate` above 0,"
            f" got {epochs}, {batch_size} and {learning_rate}."
        )
    if schedule not in ("cosine", "constant"):
        raise ConfigError(f'`schedule` must be "cosine" or "constant", got {schedule!r}.')
    if isinstance(objective, TwoHeaded) and len(data.group_names) != 2:
        raise InputError(f"`TwoHeaded` needs two groups, got {list(data.group_names)}.")
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    inputs = [torch.as_tensor(values).to(device) for values in data.inputs.values()]
    y, group = (torch.as_tensor(values).to(device) for values in (data.y, data.group))
    batch_size = min(batch_size, len(data))
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    steps = epochs * (len(data) // batch_size)
    rate = CosineAnnealingLR(optimizer, steps) if schedule == "cosine" else ConstantLR(optimizer, 1.0, total_iters=0)
    order = torch.Generator().manual_seed(seed)
    losses = []
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):  # manual_seed seeds every device
        torch.manual_seed(seed)
        net.train()
        try:
            for epoch in range(1, epochs + 1):
                rows = torch.randperm(len(data), generator=order).to(device)
                losses.append(_epoch(net, objective, optimizer, rate, inputs, y, group, rows, batch_size, epoch))
                if progress is not None:
                    progress(epoch, losses[-1])
        finally:
            net.eval()
    recipe = {
        "objective": objective.to_dict(),
        "optimizer": "adam",
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "seed": seed,
        "data": data.name,
    }
    return History(losses=tuple(losses), recipe=recipe, rows=RowRecord.of(data), shares=label_shares(data))


def _epoch(
    net: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    rate: LRScheduler,
    inputs: list[Tensor],
    y: Tensor,
    group: Tensor,
    rows: Tensor,
    batch_size: int,
    epoch: int,
) -> float:
    losses = []
    for start in range(0, len(rows) - batch_size + 1, batch_size):
        k = rows[start : start + batch_size]
        logits = net(*[x[k] for x in inputs])
        if logits.shape != (len(k), objective.outputs):
            raise ConfigError(
                f"{type(objective).__name__} needs a network of {objective.outputs} outputs, shape"
                f" {(len(k), objective.outputs)}; it gave {tuple(logits.shape)}."
            )
        loss = objective.loss(logits, y[k], group[k])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        losses.append(loss.detach())
    values = torch.stack(losses).tolist()
    for step, value in enumerate(values, 1):
        if not math.isfinite(value):
            raise DivergedError(
                f"the loss became {value} in epoch {epoch}, step {step}; try a lower learning rate or weight."
            )
    return float(np.mean(values))


def label_shares(data: Dataset) -> dict[str, dict[str, Any]]:
    """Rows and share of favourable labels of every group; the share of a group without rows is left out."""
    shares: dict[str, dict[str, Any]] = {}
    for code, name in enumerate(data.group_names):
        y = data.y[data.group == code]
        shares[name] = {"n": len(y), **({"base_rate": float(y.mean())} if len(y) else {})}
    return shares
