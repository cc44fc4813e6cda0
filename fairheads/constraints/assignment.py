"""Which cell (label x stratum x group) every row of a batch adds to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


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
