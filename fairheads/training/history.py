"""What a training run leaves behind: the loss of each epoch and the record an auditor needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fairheads.data import RowRecord


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Mean training loss of every epoch, the recipe, and the rows that were trained on."""

    losses: tuple[float, ...]
    recipe: dict[str, Any]
    rows: RowRecord
    shares: dict[str, dict[str, float]]

    def record(self) -> dict[str, Any]:
        """The training record as plain JSON: recipe, final loss, digest of the rows, group by label shares."""
        return {
            **self.recipe,
            "losses": list(self.losses),
            "rows": {"n": self.rows.n, "digest": self.rows.digest},
            "shares": self.shares,
        }
