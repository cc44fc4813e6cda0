"""Constraints on rates: statistics of every group from soft cells, compared pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairheads.constraints import penalties
from fairheads.constraints.assignment import Assignment
from fairheads.constraints.constraint import Constraint, Violations
from fairheads.constraints.levels import Array, AtGradient, AtLevels, Levels, Weights, to_scores
from fairheads.constraints.precision import without_autocast
from fairheads.constraints.processes import joined_sum
from fairheads.constraints.statistics import Statistic
from fairheads.errors import ConfigError


class RateConstraint(Constraint):
    """Equal statistics in all groups, compared pair by pair on soft decisions.

    A batch becomes soft cells: sums of scores and of rows by label, stratum and group. Statistics are ratios of
    weighted sums of cells, so that on scores of 0 and 1 they are the rates of the decisions.

    Parameters
    ----------
    kind : "squared", "absolute" or "log_sum_exp"
        Squared pulls gently near parity and hard far from it; absolute pulls alike everywhere beyond the tolerance (a
        hinge) and can overshoot; log_sum_exp is a smooth largest gap, which for many groups spends the pull on the
        worst pairs instead of on all. Squared and absolute are summed over pairs.
    tolerance : float
        Gap in the soft statistic that costs nothing.
    smoothing : float
        Width, in units of the gap, over which log_sum_exp averages the largest gaps. Smaller is nearer to the maximum
        and less smooth.
    memory : float in [0, 1)
        Decay of running counts over batches, for groups that batches can lack; .9 remembers about 10 batches. Values
        then come from the running counts, and the gradient from the batch as if it were their mean: a group that the
        batch lacks has gradient 0, and that of a group with few rows is not blown up. 0 makes the constraint a
        function of the batch alone: a pair of groups of which the batch lacks one adds nothing.
    groups, favourable, link, temperature
        See `Constraint`.
    strata : int
        Number of strata. Above 1 groups are compared within each, weighted by its share of the rows, and a call needs
        the stratum of every row.

    Raises
    ------
    ConfigError
        On a setting outside its range.

    Notes
    -----
    Soft parity is not parity of decisions: read the disparity of the trained network from its decisions, or use
    `fairheads.training.Lagrangian`, whose multipliers follow the decisions. Under ``torch.distributed`` the statistics
    are those of the rows of all processes.
    """

    growing = ("_cells", "_batches")
    name: str
    statistics: tuple[Statistic, ...]
    _cells: Tensor
    _batches: Tensor

    def __init__(
        self,
        *,
        kind: str = "squared",
        tolerance: float = 0.0,
        smoothing: float = 0.01,
        memory: float = 0.0,
        groups: int | None = None,
        favourable: int | None = None,
        link: str = "sigmoid",
        temperature: float = 1.0,
        strata: int = 1,
    ) -> None:
        super().__init__(groups=groups, favourable=favourable, link=link, temperature=temperature, strata=strata)
        penalties.check(kind, tolerance, smoothing)
        if not 0 <= memory < 1:
            raise ConfigError(f"`memory` must lie in [0, 1), got {memory}.")
        self.kind, self.tolerance, self.smoothing, self.memory = kind, tolerance, smoothing, memory
        self.by_label = any(statistic.by_label for statistic in self.statistics)
        self.within_label = all(statistic.within_label for statistic in self.statistics)
        self._weights = Weights.of(self.statistics, self.by_label)
        self._in_use: dict[Any, Weights] = {}
        self.register_buffer("_cells", torch.zeros(0, 0), persistent=memory > 0)
        self.register_buffer("_batches", torch.zeros(()), persistent=memory > 0)

    @without_autocast
    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        # The gradient is written out down to what autograd has to know: the logits, or the softmax above them.
        known = self.scores(logits) if self.favourable is not None else logits
        learns = self.learns
        with torch.no_grad():
            scores = known if self.favourable is not None else self.scores(logits)
            cells = self.assignment(y, group, strata, scores)
            sums = self._remembering(self._sums((scores,), cells), learns)
            few: Array = sums.numpy() if sums.is_cpu and not torch.compiler.is_compiling() else sums
            levels = self._levels(few)
            value, slope = penalties.penalty(levels.value, levels.defined, self.kind, self.tolerance, self.smoothing)
            if self.strata > 1:
                shares = self._shares(few[1])
                value, slope = value * shares, slope * shares[:, None]
            total, by_cell = value.reshape(1, -1).sum(1), levels.by_cell(slope)
            if few is not sums:
                total, by_cell = torch.from_numpy(total), torch.from_numpy(by_cell)
            gradient = to_scores(by_cell, cells)
            if self.favourable is None and self.link == "sigmoid":
                gradient = gradient * torch.addcmul(scores, scores, scores, value=-1)
                if self.temperature != 1:
                    gradient = gradient / self.temperature
        return AtGradient.apply(known, total.view(()), gradient.view_as(known))  # type: ignore[no-any-return,no-untyped-call]

    @without_autocast
    def rates(
        self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None, *, hard: bool = False
    ) -> Tensor:
        """Every statistic in every stratum and group, (statistics, strata, groups); NaN where undefined.

        Soft and differentiable, or ``hard``: the rates of the decisions. Of this batch alone, whatever the memory.
        """
        values = self.decisions(logits) if hard else self.scores(logits)
        cells = self.assignment(y, group, strata, values)
        with torch.no_grad():
            levels = self._levels(self._sums((values,), cells))
        at: Tensor = AtLevels.apply(values, levels, cells)  # type: ignore[no-untyped-call]
        rates = torch.where(levels.defined, at, float("nan"))
        return rates.reshape(len(self.statistics), self.strata, -1)

    @without_autocast
    def violations(
        self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None, *, tolerance: float
    ) -> Violations:
        """How far every group lies above and below the middle of the extreme groups, less half the tolerance.

        Shape (2, statistics * strata, groups): above, then below. None exceeds 0 exactly when no two groups differ by
        more than ``tolerance``.
        """
        scores, decisions, learns = self.scores(logits), self.decisions(logits), self.learns
        with torch.no_grad():
            cells = self.assignment(y, group, strata, scores)
            sums = self._remembering(self._sums((scores, decisions), cells), learns)
            levels, hard = self._levels(sums[::2]), self._levels(sums[1:])
        soft = AtLevels.apply(scores, levels, cells)  # type: ignore[no-untyped-call]
        return Violations(
            _from_the_middle(soft, levels.defined, tolerance), _from_the_middle(hard.value, hard.defined, tolerance)
        )

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = {"name": self.name, "kind": self.kind, "tolerance": self.tolerance}
        if self.kind == "log_sum_exp":
            plain["smoothing"] = self.smoothing
        if self.memory > 0:
            plain["memory"] = self.memory
        return {**plain, **super().to_dict()}

    def _sums(self, values: tuple[Tensor, ...], cells: Assignment) -> Tensor:
        """Sums of each of ``values`` and of rows in every cell of all processes, (values + 1, cells)."""
        return joined_sum(cells.add(torch.stack([*values, torch.ones_like(values[0])])))

    def _count(self, group: Tensor) -> tuple[int, bool]:
        """Running cells that were loaded may know of more groups than this batch shows."""
        if self.groups is None:
            self._most_groups = max(self._most_groups, self._cells.shape[1] // self.blocks)
        return super()._count(group)

    def _remembering(self, sums: Tensor, learns: bool) -> Tensor:
        """Where it ``learns``, with memory the running mean over batches, which takes ``sums`` in; else ``sums``."""
        if self.memory == 0 or not learns:
            return sums
        self._cells = self.memory * self._remembered(sums) + sums
        self._batches = self.memory * self._batches.to(sums) + 1
        return self._cells / self._batches

    def _remembered(self, sums: Tensor) -> Tensor:
        """The running cells in the shape of ``sums``; groups that are new start at 0."""
        if self._cells.shape == sums.shape:
            return self._cells.to(sums)
        if self._cells.numel() == 0:
            return torch.zeros_like(sums)
        if len(self._cells) != len(sums):
            raise ConfigError("a constraint with memory serves one objective; make another for the next.")
        before = self._cells.to(sums).reshape(len(sums), self.blocks, -1)
        new = sums.shape[1] // self.blocks - before.shape[2]
        return torch.nn.functional.pad(before, (0, new)).reshape(sums.shape)

    def _levels(self, sums: Array) -> Levels:
        """From the sums of scores and of rows, (2, cells), as NumPy array or tensor."""
        key = (sums.dtype, getattr(sums, "device", None))
        if key not in self._in_use:
            self._in_use[key] = self._weights.like(sums)
        return Levels.of(sums, self._in_use[key], self.strata)

    def _shares(self, rows: Array) -> Array:
        """Weight of every statistic in every stratum: the stratum's share of the rows."""
        by_stratum = rows.reshape(-1, self.strata, rows.shape[0] // self.blocks).sum(2).sum(0)
        total = by_stratum.sum()
        shares = by_stratum / (total + (total == 0))
        copies = (len(self.statistics),)
        return torch.tile(shares, copies) if isinstance(shares, Tensor) else np.tile(shares, copies)


def _from_the_middle(levels: Tensor, defined: Tensor, tolerance: float) -> Tensor:
    highest = torch.where(defined, levels, -torch.inf).amax(1, keepdim=True)
    lowest = torch.where(defined, levels, torch.inf).amin(1, keepdim=True)
    comparable = defined & (defined.sum(1, keepdim=True) > 1)
    away = levels - torch.where(comparable, (highest + lowest) / 2, 0.0)
    return torch.where(comparable, torch.stack([away, -away]) - tolerance / 2, 0.0)
