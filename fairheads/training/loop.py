"""The one training loop: shuffled batches from memory or a stream, Adam, checkpoints, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler

from fairheads.data import Dataset, RowRecord, Stream
from fairheads.errors import ConfigError, DivergedError, InputError
from fairheads.training import checkpoint as checkpoints
from fairheads.training.history import History
from fairheads.training.objective import Constrained, Objective
from fairheads.training.penalized import Penalized
from fairheads.training.rows import BalancedRows, InMemory, Rows, Streamed

VALIDATION_ROWS = 4096
"""Rows of one forward pass over validation rows."""


class Monitor(Protocol):
    """What watches a run: `fairheads.monitor.HeadMonitor`, or anything that can be called like it."""

    def __call__(self, net: nn.Module, step: int) -> bool:
        """Called after every step (from 1); True ends the training. It must leave ``net`` as it was."""
        ...


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
        Takes the inputs of ``data`` in order and returns (n, ``objective.outputs``) logits.
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
        Called after each epoch with the epoch (from 1) and its mean loss.
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
        Moves network and objective there first; by default the device of the network.

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
    if device is not None:
        net.to(device)
        objective.to(device)
    place = next((p.device for p in net.parameters()), torch.device("cpu"))
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
    batches: InMemory | Streamed
    if isinstance(rows, Stream):
        batches = Streamed(rows, batch_size, seed, place)
    else:
        batches = InMemory(rows, batch_size, seed, place)
    parameters = [*net.parameters(), *objective.parameters()]
    # One kernel for all parameters: a third of the time of torch's default on the CPU.
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=place.type in ("cpu", "cuda"))
    steps = epochs * batches.steps
    run = _Run(
        net=net,
        objective=objective,
        optimizer=optimizer,
        rate=CosineAnnealingLR(optimizer, steps) if schedule == "cosine" else ConstantLR(optimizer, 1.0, total_iters=0),
        batches=batches,
        side=_side(objective, rows, side_batch, seed),
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


def _side(objective: Objective, data: Dataset | Stream, size: int | None, seed: int) -> BalancedRows | None:
    if size is None:
        return None
    if not isinstance(objective, Constrained):
        raise ConfigError(f"`side_batch` needs an objective with a constraint, got {type(objective).__name__}.")
    if isinstance(data, Stream):
        raise ConfigError("`side_batch` needs rows in memory; with a Stream give the constraint `memory`.")
    missing = [name for name, n in zip(data.group_names, data.counts().sum(1), strict=True) if n == 0]
    if missing:
        raise InputError(f"a side batch needs rows of every group to draw from, got none of {missing}.")
    if isinstance(objective, Penalized) and objective.weight == 0:
        return None  # nothing is taken on it, and a pass of the network over other rows has other bits
    return BalancedRows(data.group, data.y if objective.constraint.within_label else None, size=size, seed=seed)


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


@dataclass(kw_only=True, eq=False)
class _Run:
    """The state of a run, and one method for every level of the loop."""

    net: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    rate: LRScheduler
    batches: InMemory | Streamed
    side: BalancedRows | None
    clip_norm: float | None
    monitor: Monitor | None
    checkpoint: Path | None
    every: int
    word: str
    step: int = 0
    losses: list[float] = field(default_factory=list)
    judged: list[float] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    best_epoch: int = 0
    stopped: str | None = None
    resumed_at: int | None = None
    pending: list[Tensor] = field(default_factory=list)
    """Losses of the epoch that have not been looked at: reading one makes the host wait for the device."""
    checked: list[float] = field(default_factory=list)
    """Losses of the epoch that were finite."""

    def run(
        self,
        epochs: int,
        progress: Callable[[int, float], None] | None,
        validation: Rows | None,
        patience: int | None,
    ) -> None:
        done, within = divmod(self.step, self.batches.steps)
        if self.stopped is not None:
            return
        self.batches.pass_over(done)
        for epoch in range(done + 1, epochs + 1):
            self.epoch(epoch, within)
            within = 0
            if self.checked:
                self.losses.append(sum(self.checked) / len(self.checked))
            self.checked = []
            if progress is not None:
                progress(epoch, self.losses[-1])
            if validation is not None and self.stopped is None:
                self.validate(epoch, validation, patience)
            self.save()
            if self.stopped is not None:
                return

    def epoch(self, epoch: int, skip: int) -> None:
        for batch in self.batches.epoch(skip):
            self.pending.append(self.one_step(batch))
            self.step += 1
            if self.monitor is not None and self.monitor(self.net, self.step):
                self.stopped = f"by the monitor in epoch {epoch}, step {self.step}"
                break
            if self.checkpoint is not None and self.step % self.every == 0 and self.step % self.batches.steps:
                self.look_at_losses(epoch)
                self.save()
        self.look_at_losses(epoch)

    def one_step(self, batch: Rows) -> Tensor:
        main = len(batch)
        side = None
        if self.side is not None and isinstance(self.batches, InMemory):
            drawn = torch.as_tensor(self.side.draw()).to(batch.y.device)
            side = self.batches.all.take(drawn)
        logits = self.net(*(batch if side is None else batch.followed_by(side)).inputs)
        self.refuse_other_outputs(logits, main if side is None else main + len(side))
        loss = self.loss(logits, batch, side)
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip_norm is not None:
            groups = self.optimizer.param_groups
            nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], self.clip_norm)
        self.optimizer.step()
        self.rate.step()
        self.objective.step()
        return loss.detach()

    def loss(self, logits: Tensor, batch: Rows, side: Rows | None) -> Tensor:
        if side is None or not isinstance(self.objective, Constrained):
            loss: Tensor = self.objective(logits, batch.y, batch.group, batch.strata)
            return loss
        main = len(batch)
        task = self.objective.task_loss(logits[:main], batch.y, batch.group)
        return task + self.objective.constraint_loss(logits[main:], side.y, side.group, side.strata)

    def refuse_other_outputs(self, logits: Tensor, rows: int) -> None:
        outputs = self.objective.outputs
        if outputs is not None and logits.shape != (rows, outputs):
            raise ConfigError(
                f"{type(self.objective).__name__} needs a network of {outputs} outputs, shape {(rows, outputs)};"
                f" it gave {tuple(logits.shape)}."
            )

    def look_at_losses(self, epoch: int) -> None:
        """Take the losses of the last steps over, or say which was not finite."""
        if not self.pending:
            return
        values = torch.stack(self.pending).tolist()
        first = self.step - len(values) + 1 - (epoch - 1) * self.batches.steps
        self.pending.clear()
        for step, value in enumerate(values, first):
            if not math.isfinite(value):
                raise DivergedError(
                    f"the loss became {value} in epoch {epoch}, step {step}; try a lower learning rate or weight."
                )
        self.checked += values
        # Not the buffers: one may hold -inf on purpose, such as the mask of an attention.
        for name, values_of in [*self.net.named_parameters(), *self.objective.named_parameters()]:
            if not bool(values_of.isfinite().all()):
                raise DivergedError(
                    f"{name!r} has weights that are not finite in epoch {epoch}, step {first + len(values) - 1};"
                    " try a lower learning rate or weight."
                )

    @torch.no_grad()
    def validate(self, epoch: int, rows: Rows, patience: int | None) -> None:
        self.net.eval()
        starts = range(0, len(rows), VALIDATION_ROWS)
        logits = torch.cat([self.net(*rows.take(slice(i, i + VALIDATION_ROWS)).inputs) for i in starts])
        self.judged.append(self.objective.judge(logits, rows.y, rows.group, rows.strata))
        self.net.train()
        if not math.isfinite(self.judged[-1]):
            raise DivergedError(
                f"the validation loss became {self.judged[-1]} in epoch {epoch}, after step {self.batches.steps};"
                " try a lower learning rate or weight."
            )
        if self.best is None or self.judged[-1] < min(self.judged[:-1]):
            self.best_epoch = epoch
            self.best = {name: values.clone() for name, values in self.net.state_dict().items()}
        elif patience is not None and epoch - self.best_epoch >= patience:
            self.stopped = f"after {patience} epochs without a better one than epoch {self.best_epoch}"

    def save(self) -> None:
        if self.checkpoint is None:
            return
        monitor = getattr(self.monitor, "state_dict", None)
        state: dict[str, Any] = {
            "step": self.step,
            "net": self.net.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate": self.rate.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "losses": self.losses,
            "checked": self.checked,
            "judged": self.judged,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "side": None if self.side is None else self.side.state(),
            "monitor": monitor() if callable(monitor) else None,
        }
        checkpoints.write(self.checkpoint, state, self.word)

    def resume(self, device: torch.device) -> None:
        state = None if self.checkpoint is None else checkpoints.read(self.checkpoint, self.word, device)
        if state is None:
            return
        self.net.load_state_dict(state["net"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.load_state_dict(state["rate"])
        torch.set_rng_state(state["random"].cpu())
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all([values.cpu() for values in state["random_cuda"]])
        self.step = self.resumed_at = state["step"]
        for name in ("losses", "checked", "judged", "best", "best_epoch", "stopped"):
            setattr(self, name, state[name])
        if self.side is not None:
            self.side.restore(state["side"])
        restore = getattr(self.monitor, "load_state_dict", None)
        if callable(restore) and state["monitor"] is not None:
            restore(state["monitor"])


def label_shares(data: Dataset | Stream) -> dict[str, dict[str, Any]]:
    """Rows and share of favourable labels of every group; the share of a group without rows is left out."""
    shares: dict[str, dict[str, Any]] = {}
    for name, (zeros, ones) in zip(data.group_names, data.counts().tolist(), strict=True):
        n = zeros + ones
        shares[name] = {"n": n, **({"base_rate": ones / n} if n else {})}
    return shares
