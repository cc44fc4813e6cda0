"""Training runs of every kind that can be interrupted, in this process or in one of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairheads.constraints import demographic_parity, equalized_odds
from fairheads.data import Dataset, Stream
from fairheads.nets import MLP
from fairheads.training import (
    Adversarial,
    GroupDRO,
    History,
    Lagrangian,
    Massaged,
    Monitor,
    Objective,
    Penalized,
    Reweighted,
    Unconstrained,
    train,
)

EPOCHS, STEPS = 3, 7
"""Steps are those of an epoch."""


def rows(n: int = 230, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    group = np.minimum(rng.integers(0, 20, n) // 8, 2)
    X = rng.normal(size=(n, 4)) + 0.8 * group[:, None]
    y = (rng.random(n) < 1 / (1 + np.exp(1 - X[:, 0] - X[:, 1]))).astype(int)
    return Dataset(X, y, group, name="made up", group_names=["a", "b", "c"])


def streamed() -> Stream:
    data = rows()

    def parts() -> Iterator[Dataset]:
        for start in range(0, len(data), 50):
            yield data.take(np.arange(start, min(start + 50, len(data))))

    return Stream(parts, group_names=data.group_names, name=data.name, buffer=100)


class WithDropout(MLP):
    """Draws in every step, keeps running means, and holds a layer that is not trained."""

    def __init__(self) -> None:
        super().__init__(4, hidden=(8,))
        self.norm = nn.BatchNorm1d(8)
        self.norm.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.dropout(self.norm(self.backbone(x)), 0.3, self.training)
        logits: Tensor = self.head(hidden)
        return logits


def plain_net() -> nn.Module:
    return MLP(4, hidden=(8,))


@dataclass(frozen=True)
class Run:
    objective: Callable[[], Objective]
    net: Callable[[], nn.Module] = plain_net
    data: Callable[[], Dataset | Stream] = rows
    settings: dict[str, Any] = field(default_factory=dict)


RUNS: dict[str, Run] = {
    "penalized": Run(lambda: Penalized(demographic_parity(), 2.0)),
    "penalized with memory": Run(lambda: Penalized(equalized_odds(memory=0.9, kind="log_sum_exp"), 2.0)),
    "lagrangian with memory": Run(lambda: Lagrangian(equalized_odds(memory=0.9), 0.02)),
    "adversarial": Run(lambda: Adversarial(layer="backbone.1", given_label=True), settings={"clip_norm": 0.5}),
    "side batch": Run(lambda: Lagrangian(equalized_odds()), settings={"side_batch": 12}),
    "dropout": Run(Unconstrained, net=WithDropout),
    "patience": Run(
        lambda: Lagrangian(demographic_parity(), 0.01),
        net=WithDropout,
        settings={"validation": rows(60, seed=1), "patience": 1, "learning_rate": 0.05, "schedule": "constant"},
    ),
    "group dro": Run(lambda: GroupDRO(0.5, by_label=True)),
    "reweighted": Run(Reweighted, net=WithDropout),
    "massaged": Run(Massaged),
    "stream": Run(lambda: Lagrangian(demographic_parity(memory=0.5)), net=WithDropout, data=streamed),
}


def train_run(
    name: str, checkpoint: Path | None, *, every: int | None = 3, monitor: Monitor | None = None
) -> tuple[dict[str, Tensor], History]:
    """Weights of net and objective after the run, and its history."""
    run = RUNS[name]
    torch.manual_seed(0)
    net, objective = run.net(), run.objective()
    history = train(
        net,
        run.data(),
        objective,
        epochs=EPOCHS,
        batch_size=32,
        seed=5,
        checkpoint=checkpoint,
        checkpoint_every=None if checkpoint is None else every,
        monitor=monitor,
        **run.settings,
    )
    return {**net.state_dict(), **{f"objective.{k}": v for k, v in objective.state_dict().items()}}, history


def train_in_own_process(name: str, folder: str, kill_at: int | None, every: int | None) -> None:
    """Train, kill oneself after a step if told, else write what came out."""
    torch.set_num_threads(1)

    def kill(_net: nn.Module, step: int) -> bool:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    weights, history = train_run(name, Path(folder, "run.pt"), every=every, monitor=kill)
    torch.save({"weights": weights, "losses": history.losses, "resumed_at": history.resumed_at}, Path(folder, "out.pt"))
