"""Statistics of groups from sums of cells, and their gradient to scores, written out.

A statistic is ``N / D`` with N and D linear in the sums of scores, so that its derivative by one row's score is
``(w_N - (N / D) w_D) / D`` with the weights of that row's cell. Written out it takes a fifth of the time that recording
its thirty small steps does. Sums may hold more than the batch: other processes, earlier batches.

What follows the sums works on a few numbers. It is written for NumPy arrays and tensors alike, because on the CPU a
small step costs NumPy a quarter of what it costs torch, and on an accelerator the numbers must not leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from fairheads.constraints.assignment import Assignment
from fairheads.constraints.processes import processes
from fairheads.constraints.statistics import Statistic
from fairheads.errors import ConfigError

Array = Any
"""A NumPy array or a tensor."""

NO_ROWS = 1e-9
"""A statistic of fewer (soft) rows than this is undefined: its slope in float32 would be infinite."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of statistics over sums.

    Parameters
    ----------
    all : (2 * statistics, 2 * labels)
        Of numerators, then denominators, over sums of scores, then of rows.
    numerators, denominators : (labels, statistics)
        The part over sums of scores, transposed; None where no denominator depends on scores.
    """

    all: Array
    numerators: Array
    denominators: Array | None

    @classmethod
    def of(cls, statistics: Sequence[Statistic], by_label: bool) -> Weights:
        """As NumPy arrays of float64."""
        parts = [statistic.numerator for statistic in statistics]
        parts += [statistic.denominator for statistic in statistics]
        table = np.array([_of_sums(part, by_label) for part in parts])
        numerators, denominators = np.split(np.ascontiguousarray(table[:, : table.shape[1] // 2].T), 2, axis=1)
        return cls(table, numerators, denominators if denominators.any() else None)

    def like(self, values: Array) -> Weights:
        """Of the kind and type of ``values``, and on their device."""

        def alike(table: Array) -> Array:
            return torch.as_tensor(table).to(values) if isinstance(values, Tensor) else table.astype(values.dtype)

        denominators = self.denominators
        return Weights(alike(self.all), alike(self.numerators), None if denominators is None else alike(denominators))


def _of_sums(weights: Sequence[float], by_label: bool) -> tuple[float, ...]:
    """Weights of (tp, fp, fn, tn) as weights of the sums of scores and of rows (label 0, then 1)."""
    tp, fp, fn, tn = weights
    return (fp - tn, tp - fn, tn, fn) if by_label else (tp - fn, fn)


@dataclass(eq=False, slots=True)
class Levels:
    """Statistics of every stratum and group, without gradient.

    Parameters
    ----------
    value : (statistics * strata, groups)
        0 where undefined.
    defined : (statistics * strata, groups)
        Whether the denominator is above `NO_ROWS`.
    share : (statistics * strata, groups)
        One over the denominator, 0 where undefined.
    weights : Weights
    """

    value: Array
    defined: Array
    share: Array
    weights: Weights

    @classmethod
    def of(cls, sums: Array, weights: Weights, strata: int) -> Levels:
        """From the sums of scores and of rows in every cell, (2, cells)."""
        parts = weights.all @ sums.reshape(weights.all.shape[1], -1)
        half, cells = parts.shape[0] // 2, parts.shape[1]
        parts = parts.reshape(2, half * strata, cells // strata)
        above, below = parts[0], parts[1]
        defined = below > NO_ROWS
        below = below * defined + ~defined
        # A division, not a product with the share: 49 of 49 rows are a rate of 1 and not the number before it.
        return cls(above / below * defined, defined, defined / below, weights)

    def by_cell(self, slope: Array) -> Array:
        """Gradient to the sum of scores in every cell, (cells,), of what has the gradient ``slope`` to the levels."""
        weights, by_part = self.weights, slope * self.share
        cells = weights.numerators @ by_part.reshape(weights.numerators.shape[1], -1)
        if weights.denominators is not None:
            by_part = by_part * self.value
            cells = cells - weights.denominators @ by_part.reshape(weights.denominators.shape[1], -1)
        return cells.reshape(-1)


def to_scores(by_cell: Tensor, cells: Assignment) -> Tensor:
    """Gradient to the scores of the batch, (n,), of what has the gradient ``by_cell`` to the sums of scores."""
    gradient = cells.spread(by_cell)
    # Data-parallel training averages the gradients of processes, each of which has its own rows only.
    world = processes()
    return gradient if world == 1 else world * gradient


class AtLevels(Function):
    """The levels, with their gradient to scores; twice differentiable where no denominator depends on scores."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, levels: Levels, cells: Assignment) -> Tensor:
        ctx.levels, ctx.cells = levels, cells
        ctx.save_for_backward(scores)
        # A copy: an output that its own context holds would live until the garbage collector comes.
        value: Tensor = levels.value.clone()
        return value

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        gradient = to_scores(ctx.levels.by_cell(slope), ctx.cells)
        if ctx.levels.weights.denominators is not None:
            gradient = once_only(gradient, *ctx.saved_tensors)
        return gradient, None, None


class AtGradient(Function):
    """A value whose gradient to ``scores`` is known. Second derivatives are not there, and asking for them raises."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        ctx.save_for_backward(scores)
        return value

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return once_only(slope * ctx.gradient, *ctx.saved_tensors), None, None


def once_only(gradient: Tensor, scores: Tensor) -> Tensor:
    """``gradient``, of which further derivatives by ``scores`` raise instead of being taken for 0."""
    if not torch.is_grad_enabled():
        return gradient
    tied: Tensor = _Once.apply(gradient, scores)  # type: ignore[no-untyped-call]
    return tied


class _Once(Function):
    """The first argument as it is, tied to the second."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, scores: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor]:
        raise ConfigError(
            "second derivatives of a constraint on rates are not there: its gradient is written out"
            " (`create_graph=True`); `mmd` and `wasserstein` have them."
        )
