"""What a training run leaves behind: the loss of each epoch and the record an auditor needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fairheads.data import RowRecord


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Mean training loss of every epoch, the recipe, and the rows that were trained on.

    Attributes
    ----------
    losses : tuple of float
        Mean loss of the batches of every epoch; the last may be an unfinished one.
    validation : tuple of float
        What `Objective.judge` said after every epoch, smaller is better; empty without validation rows.
    best_epoch : int or None
        The epoch whose weights the network has, where validation rows chose it.
    stopped : str or None
        Why training ended before its last epoch, if it did.
    resumed_at : int or None
        The step after which a checkpoint was taken up.
    """

    losses: tuple[float, ...]
    recipe: dict[str, Any]
    rows: RowRecord
    shares: dict[str, dict[str, float]]
    validation: tuple[float, ...] = ()
    best_epoch: int | None = None
    stopped: str | None = None
    resumed_at: int | None = None

    def record(self) -> dict[str, Any]:
        """The training record as plain JSON: recipe, losses, digest of the rows, group by label shares."""
        plain = {
            **self.recipe,
            "losses": list(self.losses),
            "rows": {"n": self.rows.n, "digest": self.rows.digest},
            "shares": self.shares,
        }
        if self.validation:
            plain["validation_losses"] = list(self.validation)
            plain["best_epoch"] = self.best_epoch
        if self.stopped is not None:
            plain["stopped"] = self.stopped
        return plain
