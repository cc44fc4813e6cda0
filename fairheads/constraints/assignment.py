"""Which cell (label x stratum x group) every row of a batch adds to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fairheads.errors import InputError

SLACK = 1e-3
"""By how much rounding may lift the sum of a row's probabilities above 1; of half precision its own step."""


class Assignment(Protocol):
    """Rows assigned to cells, wholly or in shares."""

    def add(self, values: Tensor) -> Tensor:
        """Sums over rows, (m, n) to (m, cells); no gradient."""
        ...

    def spread(self, weights: Tensor) -> Tensor:
        """The transpose of `add` for one row of weights, (cells,) to (n,)."""
        ...

    def matrix(self, like: Tensor) -> Tensor:
        """Share of every row in every cell, (n, cells)."""
        ...


@dataclass(eq=False, slots=True)
class Whole:
    """Every row in the cell ``code`` (n,)."""

    code: Tensor
    cells: int

    def add(self, values: Tensor) -> Tensor:
        return values.new_zeros(values.shape[0], self.cells).index_add_(1, self.code, values)

    def spread(self, weights: Tensor) -> Tensor:
        return weights.index_select(0, self.code)

    def matrix(self, like: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(self.code, self.cells).to(like.dtype)


@dataclass(eq=False, slots=True)
class Recorded:
    """Rows of which some belong to no cell: their code is ``cells``."""

    code: Tensor
    cells: int

    def add(self, values: Tensor) -> Tensor:
        return Whole(self.code, self.cells + 1).add(values)[:, : self.cells]

    def spread(self, weights: Tensor) -> Tensor:
        return torch.nn.functional.pad(weights, (0, 1)).index_select(0, self.code)

    def matrix(self, like: Tensor) -> Tensor:
        return Whole(self.code, self.cells + 1).matrix(like)[:, : self.cells]


@dataclass(eq=False, slots=True)
class Shared:
    """Rows that belong to cells in shares, ``shares`` (n, cells)."""

    shares: Tensor

    def add(self, values: Tensor) -> Tensor:
        return values @ self.shares

    def spread(self, weights: Tensor) -> Tensor:
        return self.shares @ weights

    def matrix(self, like: Tensor) -> Tensor:
        return self.shares.to(like.dtype)


def memberships(group: Tensor, groups: int | None = None) -> Tensor:
    """Probabilities of membership (n, groups) as they are, without gradient; refused where they are none.

    A row may sum to less than 1: the rest of it belongs to no group. Values are looked at on the CPU, where it is free.
    """
    if group.ndim != 2 or group.shape[1] < 2 or groups not in (None, group.shape[1]):
        raise InputError(
            f"`group` must be codes (n,) or probabilities of shape (n, {groups or 'K'}),"
            f" got {group.dtype} of shape {tuple(group.shape)}."
        )
    group = group.detach()
    if group.is_cpu and len(group) and not torch.compiler.is_compiling():
        lowest, most = float(group.min()), float(group.float().sum(1).max())
        if not (lowest >= 0 and most <= 1 + max(SLACK, torch.finfo(group.dtype).eps)):
            bad = f"a row that sums to {most:g}" if lowest >= 0 else f"{lowest:g}"
            raise InputError(
                f"`group` must hold probabilities of membership, of which no row sums to more than 1, got {bad};"
                " of logits take the softmax."
            )
    return group
