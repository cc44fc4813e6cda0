"""What a network is trained for, apart from parity: a loss for every row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from fairheads.errors import ConfigError, InputError

Task = Callable[[Tensor, Tensor], Tensor]
"""Logits and labels in, a loss for every row (n,) out."""


def _one(logits: Tensor) -> Tensor:
    if logits.ndim == 2 and logits.shape[1] == 1:
        return logits[:, 0]
    if logits.ndim != 1:
        raise InputError(f"`logits` must be of shape (n,) or (n, 1), got {tuple(logits.shape)}; is the task another?")
    return logits


def _fitting(y: Tensor, logits: Tensor) -> Tensor:
    if y.shape != logits.shape:
        raise InputError(f"`y` must be of shape {tuple(logits.shape)}, one number a row, got {tuple(y.shape)}.")
    return y


def _refuse_no_labels(y: Tensor) -> None:
    """Look at labels on the CPU, where it is free."""
    if not y.is_cpu or y.dtype == torch.bool or len(y) == 0 or torch.compiler.is_compiling():
        return
    lowest, highest = (float(value) for value in torch.aminmax(y))
    if not (lowest >= 0 and highest <= 1):
        bad = highest if lowest >= 0 else lowest
        raise InputError(f"`y` must lie in [0, 1] in every row (1 = favourable), got {bad:g}; is the task another?")


def binary_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Of one logit a row, (n,) or (n, 1), and labels in [0, 1] (checked on the CPU)."""
    logits = _one(logits)
    _refuse_no_labels(_fitting(y, logits))
    return functional.binary_cross_entropy_with_logits(logits, y.to(logits.dtype), reduction="none")


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Of one logit a class, (n, C), and whole numbers from 0."""
    return functional.cross_entropy(logits, y, reduction="none")


def squared_error(logits: Tensor, y: Tensor) -> Tensor:
    """Of one score a row, (n,) or (n, 1), and numbers."""
    scores = _one(logits)
    return torch.square(scores - _fitting(y, scores))


def losses_of(task: Task, logits: Tensor, y: Tensor) -> Tensor:
    """What the task says of every row, (n,); refused where it says something else, such as the mean of a batch.

    Raises
    ------
    ConfigError
        If the task returns another shape.
    """
    losses = task(logits, y)
    if losses.shape != logits.shape[:1]:
        raise ConfigError(
            f"`task` must return a loss for every row, shape ({len(logits)},), got {tuple(losses.shape)}; torch's own"
            ' losses do with reduction="none".'
        )
    return losses


TASKS: dict[str, Task] = {task.__name__: task for task in (binary_cross_entropy, cross_entropy, squared_error)}
"""The tasks that a training record can name."""


def task_name(task: Task) -> str:
    """What a training record calls the task; the caller's own are named by module and name."""
    known = next((name for name, each in TASKS.items() if each is task), None)
    return known or f"{getattr(task, '__module__', '?')}:{getattr(task, '__qualname__', type(task).__qualname__)}"


def task_of(name: str) -> Task:
    """The task that a training record names."""
    if name not in TASKS:
        raise ConfigError(
            f"the training record names the task {name!r}, which is the caller's own; pass the objective."
        )
    return TASKS[name]
