"""The one training loop: shuffled batches from memory or a stream, Adam, checkpoints, early stopping."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR

from fairheads.activations import device_of
from fairheads.data import Dataset, RowRecord, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.training import checkpoint as checkpoints
from fairheads.training.history import History
from fairheads.training.objective import Constrained, Objective
from fairheads.training.rows import InMemory, Rows, Streamed
from fairheads.training.run import Monitor, Run, side_rows


def train(
    net: nn.Module,
    data: Dataset | Stream,
    objective: Objective,
    *,
    epochs: int = 8,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    schedule: str = "cosine",
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
    validation: Dataset | None = None,
    patience: int | None = None,
    clip_norm: float | None = None,
    side_batch: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    monitor: Monitor | None = None,
    device: str | torch.device | None = None,
) -> History:
    """Train ``net`` in place with Adam and return its history; the net ends in eval mode.

    Parameters
    ----------
    net : nn.Module
        Takes the inputs of ``data`` in order and returns (n, ``objective.outputs``) logits, (n,) of one, or an output
        that has them as its ``logits``. Inputs in floating point take the type of its weights.
    data : Dataset or Stream
        Training rows: a `Dataset` is held on the device, a `Stream` is read anew in every epoch.
    objective : Objective
        Its state is trained along; give every run an objective of its own.
    epochs, batch_size, learning_rate
        The last rows of an epoch that do not fill a batch are left out of it (the order is new each epoch).
    schedule : "cosine" or "constant"
        Cosine lowers the learning rate to 0 over the run; seeds then end closer together (on Adult the gap of ten
        unconstrained networks lies within .007 instead of .05).
    seed : int
        Seed of the order of the rows and of dropout. The global random state is left as it was.
    progress : callable, optional
        Called after each epoch with the epoch (from 1) and its mean loss; `fairheads.progress.Epochs` draws a bar.
    validation : Dataset, optional
        Rows on which `Objective.judge` speaks after every epoch; the network ends with the weights of the best.
    patience : int, optional
        End after so many epochs without a better one. With the cosine schedule the last epochs are usually the best,
        so that patience saves little there.
    clip_norm : float, optional
        Largest norm of the gradient of network and objective together; larger ones are scaled down to it.
    side_batch : int, optional
        Rows of a second batch, drawn anew every step with the same number of rows of each group (and label, where the
        constraint is within labels), on which the constraint is taken. For groups that batches lack; costs a pass of
        the network over so many more rows. Needs a `Dataset` and an objective with a constraint.
    checkpoint : path, optional
        A file that keeps the state of the run. Where it exists the run goes on from it and ends with the weights it
        would have ended with, bit for bit on one CPU; a finished run is only loaded. It is refused where the
        settings or the rows differ.
    checkpoint_every : int, optional
        Steps between checkpoints; by default one an epoch.
    monitor : Monitor, optional
        Called after every step, for instance a `fairheads.monitor.HeadMonitor`; may end the run.
    device : str or torch.device, optional
        Moves the network there first; by default it stays where it is. The objective follows it.

    Raises
    ------
    DivergedError
        When the loss or a weight is not finite; names epoch and step. The last checkpoint is from before.
    ConfigError, InputError
        On a setting or a group that the objective cannot use, or a checkpoint of another run.

    Examples
    --------
    >>> import numpy as np
    >>> from fairheads.nets import MLP
    >>> from fairheads.training import Unconstrained
    >>> data = Dataset(np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1])
    >>> history = train(MLP(4, hidden=(8,)), data, Unconstrained(), epochs=2, batch_size=2)
    >>> len(history.losses)
    2
    """
    _refuse_other_kinds(net, data, objective, validation)
    if epochs < 1 or batch_size < 1 or not learning_rate > 0:
        raise ConfigError(
            f"`epochs` and `batch_size` must be at least 1 and `learning_rate` above 0,"
            f" got {epochs}, {batch_size} and {learning_rate}."
        )
    if schedule not in ("cosine", "constant"):
        raise ConfigError(f'`schedule` must be "cosine" or "constant", got {schedule!r}.')
    if clip_norm is not None and not clip_norm > 0:
        raise ConfigError(f"`clip_norm` must be above 0, got {clip_norm}.")
    if patience is not None and (patience < 1 or validation is None):
        raise ConfigError(f"`patience` must be at least 1 and needs `validation` rows, got {patience}.")
    if checkpoint_every is not None and (checkpoint_every < 1 or checkpoint is None):
        raise ConfigError(f"`checkpoint_every` must be at least 1 and needs `checkpoint`, got {checkpoint_every}.")
    if validation is not None and validation.group_names != data.group_names:
        raise InputError(
            f"`validation` must have the groups of the training rows, {list(data.group_names)},"
            f" got {list(validation.group_names)}."
        )
    if side_batch is not None and side_batch < 1:
        raise ConfigError(f"`side_batch` must be at least 1, got {side_batch}.")
    if device is not None:
        try:
            net.to(device)
        except (RuntimeError, AssertionError) as error:  # torch's own words name every backend there is
            raise ConfigError(f"`device` must be one that this torch can use, got {str(device)!r}.") from error
    place = device_of(net)
    objective.to(place)
    recipe = {
        "objective": objective.to_dict(),
        "optimizer": "adam",
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "seed": seed,
        "data": data.name,
        **({} if clip_norm is None else {"clip_norm": clip_norm}),
        **({} if side_batch is None else {"side_batch": side_batch}),
        **({} if patience is None else {"patience": patience}),
    }
    record = RowRecord.of(data)
    rows = objective.start(net, data)
    if validation is not None and isinstance(objective, Constrained):
        objective.cover(validation)
    batches: InMemory | Streamed
    if isinstance(rows, Stream):
        batches = Streamed(rows, batch_size, seed, place)
    else:
        batches = InMemory(rows, batch_size, seed, place)
    parameters = [*net.parameters(), *objective.parameters()]
    # One kernel for all parameters: a third of the time of torch's default on the CPU.
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=place.type in ("cpu", "cuda"))
    steps = epochs * batches.steps
    run = Run(
        net=net,
        objective=objective,
        optimizer=optimizer,
        rate=CosineAnnealingLR(optimizer, steps) if schedule == "cosine" else ConstantLR(optimizer, 1.0, total_iters=0),
        batches=batches,
        side=side_rows(objective, rows, side_batch, seed),
        clip_norm=clip_norm,
        monitor=monitor,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        every=checkpoint_every or batches.steps,
        word="" if checkpoint is None else _word(recipe, record, data, validation, parameters),
    )
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):  # manual_seed seeds every device
        torch.manual_seed(seed)
        net.train()
        objective.train()
        try:
            with objective.attached(net):
                run.resume(place)
                run.run(epochs, progress, None if validation is None else Rows.of(validation.rows(), place), patience)
        finally:
            net.eval()
            objective.eval()
    if run.best is not None:
        net.load_state_dict(run.best)
    return History(
        losses=tuple(run.losses),
        recipe=recipe,
        rows=record,
        shares=label_shares(data),
        validation=tuple(run.judged),
        best_epoch=None if not run.judged else run.best_epoch,
        stopped=run.stopped,
        resumed_at=run.resumed_at,
    )


def _refuse_other_kinds(net: object, data: object, objective: object, validation: object) -> None:
    """Say which argument is of another kind than `train` takes, and what to do."""

    def kind(value: object) -> str:
        return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__

    if not isinstance(net, nn.Module):
        raise ConfigError(f"`net` must be an nn.Module, got {kind(net)}.")
    if not isinstance(data, Dataset | Stream):
        raise InputError(
            f"`data` must be a Dataset or a Stream (fairheads.data), got {kind(data)}; in a loop of your own over other"
            " batches an objective is the loss."
        )
    if not isinstance(objective, Objective):
        raise ConfigError(
            f"`objective` must be an Objective such as Unconstrained(), got {kind(objective)};"
            " a loss of your own is its `task`."
        )
    if validation is not None and not isinstance(validation, Dataset):
        raise InputError(f"`validation` must be a Dataset (fairheads.data), got {kind(validation)}.")


def _word(
    recipe: dict[str, Any],
    record: RowRecord,
    data: Dataset | Stream,
    validation: Dataset | None,
    parameters: list[nn.Parameter],
) -> str:
    """The fingerprint of a run. The record of rows knows neither their groups nor their order; both are part of it."""
    rows = [label_shares(data), data.digest() if isinstance(data, Stream) else checkpoints.digest(data)]
    if validation is not None:
        rows.append(checkpoints.digest(validation))
    return checkpoints.fingerprint(recipe, record.digest, rows, [list(p.shape) for p in parameters])


def label_shares(data: Dataset | Stream) -> dict[str, dict[str, Any]]:
    """Rows and share of favourable labels of every group; the share of a group without rows is left out."""
    shares: dict[str, dict[str, Any]] = {}
    for name, (zeros, ones) in zip(data.group_names, data.counts().tolist(), strict=True):
        n = zeros + ones
        shares[name] = {"n": n, **({"base_rate": ones / n} if n else {})}
    return shares
