"""Statistics of groups from sums of cells, and their gradient to scores, written out.

A statistic is ``N / D`` with N and D linear in the sums of scores, so that its derivative by one row's score is
``(w_N - (N / D) w_D) / D`` with the weights of that row's cell. Written out it takes a fifth of the time that recording
its thirty small steps does. Sums may hold more than the batch: other processes, earlier batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from fairheads.constraints.assignment import Assignment
from fairheads.constraints.processes import processes
from fairheads.constraints.statistics import Statistic


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

    all: Tensor
    numerators: Tensor
    denominators: Tensor | None

    @classmethod
    def of(cls, statistics: Sequence[Statistic], by_label: bool) -> Weights:
        """In float64."""
        parts = [statistic.numerator for statistic in statistics]
        parts += [statistic.denominator for statistic in statistics]
        table = torch.tensor([_of_sums(part, by_label) for part in parts], dtype=torch.float64)
        numerators, denominators = table[:, : table.shape[1] // 2].T.contiguous().chunk(2, 1)
        return cls(table, numerators.contiguous(), denominators.contiguous() if denominators.any() else None)

    def like(self, values: Tensor) -> Weights:
        """With the type and on the device of ``values``."""
        denominators = self.denominators
        return Weights(
            self.all.to(values),
            self.numerators.to(values),
            None if denominators is None else denominators.to(values),
        )


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
    share : (statistics * strata, groups)
        One over the denominator, 0 where undefined.
    weights : Weights
    """

    value: Tensor
    defined: Tensor
    share: Tensor
    weights: Weights

    @classmethod
    def of(cls, total: Tensor, rows: Tensor, weights: Weights, strata: int) -> Levels:
        """From the sums of scores and of rows in every cell, (cells,) each."""
        parts = weights.all @ torch.cat([total, rows]).view(weights.all.shape[1], -1)
        half, cells = len(parts) // 2, parts.shape[1]
        above, below = parts.view(2, half * strata, cells // strata)
        defined = below > 0
        share = defined / below.clamp_(min=1e-30)
        return cls(above * share, defined, share, weights)

    def to_scores(self, slope: Tensor, cells: Assignment) -> Tensor:
        """Gradient to the scores of the batch, (n,), of what has the gradient ``slope`` to the levels."""
        by_part = slope * self.share
        if self.weights.denominators is None:
            by_cell = self.weights.numerators @ by_part.view(self.weights.numerators.shape[1], -1)
        else:
            both = torch.cat([by_part, -by_part * self.value]).view(self.weights.all.shape[0], -1)
            by_cell = torch.cat([self.weights.numerators, self.weights.denominators], 1) @ both
        gradient = cells.spread(by_cell.view(-1))
        # Data-parallel training averages the gradients of processes, each of which has its own rows only.
        world = processes()
        return gradient if world == 1 else world * gradient


class AtLevels(Function):
    """The levels, with their gradient to scores."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, levels: Levels, cells: Assignment) -> Tensor:
        ctx.levels, ctx.cells = levels, cells
        return levels.value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return ctx.levels.to_scores(slope, ctx.cells), None, None


class AtGradient(Function):
    """A value whose gradient to ``scores`` is known. Second derivatives are not there, and asking for them raises."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return slope * ctx.gradient, None, None
