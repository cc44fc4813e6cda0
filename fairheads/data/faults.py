"""What is wrong with the rows of a table of predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.data.roles import Roles
from fairheads.errors import InputError


@dataclass
class Faults:
    """What is wrong with rows, counted over all of them."""

    rows: int = 0
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)

    def check_rows(self, batch: Mapping[str, Any], roles: Roles) -> None:
        """Counts the faults of a batch."""
        for column in (roles.label, roles.prediction):
            if column is not None:
                self._count(column, "missing", batch[column].codes < 0)
        for column in (roles.score, roles.weight):
            if column is not None:
                self.check_numbers(column, batch[column])
        if roles.weight is not None:
            self._count(roles.weight, "negative", batch[roles.weight] < 0)
        if roles.memberships:
            q = np.column_stack([batch[name] for name in roles.memberships.values()])
            self._count(", ".join(roles.memberships.values()), "below 0 or more than 1 together", _no_share(q))

    def check_numbers(self, column: str, values: NDArray[np.float64]) -> None:
        """Counts numbers that are none."""
        self._count(column, "missing", np.isnan(values))
        self._count(column, "infinite", np.isinf(values))

    def _count(self, column: str, kind: str, rows: NDArray[np.bool_]) -> None:
        found = int(np.count_nonzero(rows))
        if found:
            self.kinds[column, kind] += found

    def raise_any(self) -> None:
        """Raises an `InputError` that says what is wrong, if anything is."""
        if self.rows == 0:
            raise InputError("there must be at least one row.")
        if self.kinds:
            said = "; ".join(f"column {column!r}: {n:,} {kind}" for (column, kind), n in self.kinds.items())
            raise InputError(f"values that cannot be counted in {self.rows:,} rows: {said}.")


def _no_share(q: NDArray[np.float64]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        wrong: NDArray[np.bool_] = ~np.isnan(q).any(1) & ((q < 0).any(1) | (q.sum(1) > 1 + 1e-6))
    return wrong
