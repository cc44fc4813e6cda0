"""From a table to a trained bundle: split, encode, build, train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from fairheads.data import Dataset, Table
from fairheads.errors import ConfigError
from fairheads.models.bundle import Bundle
from fairheads.nets import MLP, TwoHeadNet
from fairheads.training import Monitor, Objective, TwoHeaded, train


def fit_table(
    table: Table,
    objective: Objective,
    *,
    hidden: Sequence[int] = (128, 128, 128),
    epochs: int = 8,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    schedule: str = "cosine",
    clip_norm: float | None = None,
    side_batch: int | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    monitor: Callable[[Dataset, int], Monitor] | None = None,
    test: float = 0.2,
    validation: float = 0.2,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> Bundle:
    """An MLP trained on the training rows of a table, as a bundle that knows its split, its encoder and its rows.

    Parameters
    ----------
    objective : Objective
        `fairheads.training.TwoHeaded` trains a `TwoHeadNet` with a group head for the groups of the table.
    test, validation : float
        Shares held out for audits and for the choice of a merge; a published test split is used as it is. Validation
        rows are held out for every objective, so that networks of one table are trained on the same rows.
    patience : int, optional
        Ends training by the validation rows, and keeps the best weights; a merge chosen on the same rows afterwards is
        a little optimistic.
    monitor : callable, optional
        Given the validation rows and the number of steps in an epoch, returns what watches the run.
    device : str, optional
        By default CUDA where there is one. The bundle's network ends on the CPU.
    seed : int
        Seed of the weights and of the order of the rows. The split does not depend on it.

    Other parameters and errors are those of `fairheads.training.train` and `fairheads.data.Table.parts`.
    """
    masks = table.parts(test=test, validation=validation, seed=0)
    if (patience is not None or monitor is not None) and not masks["validation"].any():
        raise ConfigError("`patience` and `monitor` need `validation` rows: a share above 0.")
    encoder = table.fit_encoder(masks["train"])
    data = table.encode(encoder, masks["train"])
    held_out = None
    if patience is not None or monitor is not None:
        held_out = table.encode(encoder, masks["validation"])
    width = next(iter(data.inputs.values())).shape[1]
    net = MLP(width, hidden=hidden, seed=seed)
    trained: nn.Module = net
    if isinstance(objective, TwoHeaded):
        trained = TwoHeadNet(net, n_groups=len(data.group_names), seed=seed)
    watch = None
    if monitor is not None and held_out is not None:
        watch = monitor(held_out, max(len(data) // max(batch_size, 1), 1))
    history = train(
        trained,
        data,
        objective,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        clip_norm=clip_norm,
        side_batch=side_batch,
        validation=None if patience is None else held_out,
        patience=patience,
        checkpoint=checkpoint,
        monitor=watch,
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        seed=seed,
        progress=progress,
    )
    trained.cpu()
    split = {"source": table.source, "test": test, "validation": validation, "seed": 0}
    outcome = {"label": table.label, "favourable": table.favourable}
    record = {**history.record(), "outcome": outcome, "split": split}
    return Bundle(net=trained, preprocess=data.preprocess, training=record, rows=history.rows, name=table.name)
