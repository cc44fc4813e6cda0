"""What every constraint shares: scores of the favourable outcome, membership of groups, violations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fairheads.constraints.assignment import Assignment, Recorded, Shared, Whole, memberships
from fairheads.constraints.precision import in_full
from fairheads.constraints.processes import joined_max
from fairheads.constraints.state import OfBatch, refuse_other_rows
from fairheads.errors import ConfigError, InputError

LINKS = ("sigmoid", "identity")


@dataclass(frozen=True, eq=False)
class Violations:
    """By how much every inequality of a constraint is broken (above 0) or met with room (below 0).

    ``soft`` carries the gradient; ``hard`` is the same of the decisions (no gradient). An inequality that the batch
    cannot tell, because a group has no rows, stands at 0 in both.
    """

    soft: Tensor
    hard: Tensor


class Constraint(OfBatch):
    """A differentiable measure of disparity on a batch: ``constraint(logits, y, group) -> scalar``.

    Parameters
    ----------
    groups : int, optional
        Number of groups. None reads it from the largest code of each batch, which on an accelerator waits for the
        device every step; `fairheads.training.train` fills it in.
    favourable : int, optional
        For logits of shape (n, C): the class that counts as favourable, in the outputs and in ``y``.
    link : "sigmoid" or "identity"
        How one output a row becomes a score: "identity" takes it as it is (regression, or scores in [0, 1]).
    temperature : float
        Logits are divided by it before the sigmoid or softmax. Lower is closer to the decisions, with gradients on
        fewer rows and more noise.

    Raises
    ------
    ConfigError
        On a setting outside its range.
    """

    kind: str
    by_label = False
    """Whether labels are needed."""
    conditional = False
    """Whether groups are compared within strata, which a call then has to give."""
    within_label = False
    """Whether the mix of labels plays no part, so that a side batch may be balanced over labels too."""

    def __init__(
        self,
        *,
        groups: int | None = None,
        favourable: int | None = None,
        link: str = "sigmoid",
        temperature: float = 1.0,
        strata: int = 1,
    ) -> None:
        super().__init__()
        if groups is not None and groups < 2:
            raise ConfigError(f"`groups` must be at least 2, got {groups}: with one group there is nothing to compare.")
        if link not in LINKS:
            raise ConfigError(f'`link` must be "sigmoid" or "identity", got {link!r}.')
        if not 0 < temperature < float("inf"):
            raise ConfigError(f"`temperature` must be above 0, got {temperature}.")
        if favourable is not None and (favourable < 0 or link == "identity"):
            raise ConfigError("`favourable` must be the index of a class of a network with one logit a class.")
        if strata < 1:
            raise ConfigError(f"`strata` must be at least 1, got {strata}.")
        self.groups, self.favourable, self.link = groups, favourable, link
        self.temperature, self.strata = temperature, strata
        self._seen_on_device, self._most_groups = False, 2

    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        """Scalar, 0 where the constraint is met.

        Parameters
        ----------
        logits : (n,), (n, 1) or, with ``favourable``, (n, C)
        y : (n,)
            Label: 0 or 1, or the class. Rows need one only where the statistic does.
        group : (n,) whole numbers, or (n, K) probabilities
            Group codes from 0, -1 where the group is not recorded (such a row does not count); or the probability of
            membership of every group, of which no row sums to more than 1 (checked on the CPU).
        strata : (n,) whole numbers, optional
            Codes from 0 of the strata of a conditional constraint.
        """
        raise NotImplementedError

    def violations(
        self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None, *, tolerance: float
    ) -> Violations:
        """The inequalities that hold when no two groups differ by more than ``tolerance``, soft and hard."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The constraint as plain JSON, from which `constraint_from_dict` makes it again."""
        plain: dict[str, Any] = {}
        if self.favourable is not None:
            plain["favourable"] = self.favourable
        if self.link != "sigmoid":
            plain["link"] = self.link
        if self.temperature != 1:
            plain["temperature"] = self.temperature
        if self.strata != 1:
            plain["strata"] = self.strata
        return plain

    def extra_repr(self) -> str:
        return ", ".join(f"{key}={value!r}" for key, value in self.to_dict().items())

    def scores(self, logits: Tensor) -> Tensor:
        """Score of the favourable outcome of each row, (n,), differentiable; of half precision in float32."""
        logits = in_full(logits)
        if self.favourable is not None:
            if logits.ndim != 2 or logits.shape[1] <= self.favourable:
                raise InputError(
                    f"`logits` must be of shape (n, C) with C above `favourable` = {self.favourable},"
                    f" got {tuple(logits.shape)}."
                )
            return torch.softmax(logits / self.temperature, dim=1)[:, self.favourable]
        if logits.ndim == 2 and logits.shape[1] == 1:
            logits = logits[:, 0]
        if logits.ndim != 1:
            raise InputError(
                f"`logits` must be of shape (n,) or (n, 1), got {tuple(logits.shape)};"
                " set `favourable` for one logit a class."
            )
        if self.link == "identity":
            return logits
        return torch.sigmoid(logits if self.temperature == 1 else logits / self.temperature)

    def decisions(self, logits: Tensor) -> Tensor:
        """Decision of each row, 0 or 1, (n,), without gradient; where the link is the identity, the score."""
        logits = in_full(logits.detach())
        if self.favourable is not None:
            return (logits.argmax(1) == self.favourable).to(logits.dtype)
        if logits.ndim == 2:
            logits = logits[:, 0]
        return logits if self.link == "identity" else (logits > 0).to(logits.dtype)

    def assignment(self, y: Tensor, group: Tensor, strata: Tensor | None, like: Tensor) -> Assignment:
        """The cell of every row: (label x) stratum x group, labels outermost and groups innermost."""
        refuse_other_rows({"logits": like, "y": y, "group": group, "strata": strata})
        if strata is not None and strata.ndim != 1:
            raise InputError(f"`strata` must be codes (n,), got shape {tuple(strata.shape)}.")
        outer = self._outer(self._labels(y) if self.by_label else None, strata)
        if group.is_floating_point():
            return self._soft(group, outer, like)
        if group.ndim != 1:
            raise InputError(f"`group` must be codes (n,) or probabilities (n, K), got {tuple(group.shape)}.")
        group = group.long()
        groups, all_recorded = self._count(group)
        cells = self.blocks * groups
        code = group if outer is None else outer * groups + group
        if all_recorded:
            return Whole(code, cells)
        # A row without a group, or with one that does not exist, belongs nowhere, not to a neighbour's cell.
        return Recorded(torch.where((group < 0) | (group >= groups), cells, code), cells)

    @property
    def blocks(self) -> int:
        """Number of cells of each group."""
        return (2 if self.by_label else 1) * self.strata

    def _labels(self, y: Tensor) -> Tensor:
        if y.ndim != 1:
            raise InputError(f"`y` must be of shape (n,), got {tuple(y.shape)}.")
        if self.favourable is not None:
            return (y == self.favourable).long()
        if y.device.type == "cpu" and y.dtype != torch.bool and len(y):
            lowest, highest = (float(value) for value in torch.aminmax(y))
            if not (lowest >= 0 and highest <= 1):
                bad = highest if lowest >= 0 else lowest
                raise InputError(f"`y` must be 0 or 1 in every row (1 = favourable), got {bad:g}.")
            if y.dtype == torch.int64:
                return y
            between = (y > 0) & (y < 1)
            if bool(between.any()):
                raise InputError(f"`y` must be 0 or 1 in every row (1 = favourable), got {float(y[between][0]):g}.")
        return (y > 0.5).long()

    def _outer(self, labels: Tensor | None, strata: Tensor | None) -> Tensor | None:
        """Index of the block of cells of each row, or None where there is only one."""
        if self.strata == 1 and not self.conditional:
            return labels
        if strata is None:
            raise InputError("`strata` must be given: the constraint compares groups within strata.")
        if strata.device.type == "cpu" and len(strata):
            lowest, highest = (int(value) for value in torch.aminmax(strata))
            if lowest < 0 or highest >= self.strata:
                bad = lowest if lowest < 0 else highest
                raise InputError(f"`strata` must hold codes from 0 to {self.strata - 1}, got {bad}.")
        return strata if labels is None else labels * self.strata + strata

    def _soft(self, group: Tensor, outer: Tensor | None, like: Tensor) -> Assignment:
        member = memberships(group, self.groups).to(like.dtype)
        if outer is None:
            return Shared(member)
        block = torch.nn.functional.one_hot(outer, self.blocks).to(like.dtype)
        return Shared((block[:, :, None] * member[:, None, :]).reshape(len(member), -1))

    def _count(self, group: Tensor) -> tuple[int, bool]:
        """The number of groups, and whether every row is known to have one of them.

        Reading codes makes the host wait for an accelerator; with ``groups`` given that happens on the first call only.
        """
        if not group.is_cpu:
            if self.groups is not None and self._seen_on_device:
                return self.groups, False
            self._seen_on_device = True
        ends = torch.aminmax(group) if group.shape[0] else (0, 0)
        lowest, highest = int(ends[0]), int(ends[1])
        if lowest < -1 or (self.groups is not None and highest >= self.groups):
            top = "K - 1" if self.groups is None else self.groups - 1
            bad = lowest if lowest < -1 else highest
            raise InputError(f"`group` must hold codes from 0 to {top} (-1: not recorded), got {bad}.")
        if self.groups is None:
            self._most_groups = max(joined_max(highest + 1, group.device), self._most_groups)
        return self.groups or self._most_groups, lowest >= 0
