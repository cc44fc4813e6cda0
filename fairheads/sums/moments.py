"""Counts, sums and products of columns: from these come means, covariances, readouts and erasers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Number of rows, column sums (p,) and the Gram matrix (p, p), in float64.

    Moments add (disjoint rows) and subtract (rows left out), so a fold or a jackknife block is removed
    without a second look at the data.
    """

    n: int
    total: Floats
    gram: Floats

    @classmethod
    def empty(cls, columns: int) -> Moments:
        """Moments of no rows."""
        return cls(0, np.zeros(columns), np.zeros((columns, columns)))

    @classmethod
    def of(cls, rows: NDArray[Any]) -> Moments:
        """Moments of the rows of an array of shape (n, p)."""
        x = np.asarray(rows, np.float64)
        return cls(len(x), x.sum(0), x.T @ x)

    def __add__(self, other: Moments) -> Moments:
        self._check_width(other)
        return Moments(self.n + other.n, self.total + other.total, self.gram + other.gram)

    def __sub__(self, other: Moments) -> Moments:
        self._check_width(other)
        return Moments(self.n - other.n, self.total - other.total, self.gram - other.gram)

    def _check_width(self, other: Moments) -> None:
        if len(self.total) != len(other.total):
            raise InputError(f"Moments of {len(self.total)} and of {len(other.total)} columns do not add up.")

    @property
    def mean(self) -> Floats:
        """Column means (p,); NaN where there are no rows."""
        return self.total / self.n if self.n else np.full_like(self.total, np.nan)

    @property
    def covariance(self) -> Floats:
        """Covariance (p, p) with denominator n; NaN where there are no rows."""
        return self.gram / max(self.n, 1) - np.outer(self.mean, self.mean)

    def to_dict(self) -> dict[str, Any]:
        return {"n": self.n, "total": self.total.tolist(), "gram": self.gram.tolist()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Moments:
        return cls(int(plain["n"]), np.array(plain["total"], float), np.array(plain["gram"], float))
