"""The state of a training run, and one method for every level of the loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, DivergedError, InputError
from fairheads.training import checkpoint as checkpoints
from fairheads.training.objective import Constrained, Objective
from fairheads.training.penalized import Penalized
from fairheads.training.rows import BalancedRows, InMemory, Rows, Streamed

VALIDATION_ROWS = 4096
"""Rows of one forward pass over validation rows."""

OF_CLASSES = (
    "With one output a class give the objective `task=cross_entropy` (fairheads.training), and twins"
    ' `record={"objective": {"task": "cross_entropy"}, ...}`.'
)


class Monitor(Protocol):
    """What watches a run: `fairheads.monitor.HeadMonitor`, or anything that can be called like it."""

    def __call__(self, net: nn.Module, step: int) -> bool:
        """Called after every step (from 1); True ends the training. It must leave ``net`` as it was."""
        ...


@dataclass(kw_only=True, eq=False)
class Run:
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
        logits = (batch if side is None else batch.followed_by(side)).through(self.net)
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
        if outputs is None or logits.shape == (rows, outputs) or (outputs == 1 and logits.shape == (rows,)):
            return
        classes = outputs == 1 and logits.ndim == 2 and logits.shape[1] > 1
        raise ConfigError(
            f"{type(self.objective).__name__} needs a network of {outputs} outputs, shape {(rows, outputs)};"
            f" it gave {tuple(logits.shape)}." + (f" {OF_CLASSES}" if classes else "")
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
        logits = torch.cat([rows.take(slice(i, i + VALIDATION_ROWS)).through(self.net) for i in starts])
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


def side_rows(objective: Objective, data: Dataset | Stream, size: int | None, seed: int) -> BalancedRows | None:
    """Draws for the side batch of so many rows, or None where there is none."""
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
