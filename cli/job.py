"""A table to train on, the recipe, and the held-out rows to judge on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .options import counted

if TYPE_CHECKING:
    from fairheads.data import Dataset, Table
    from fairheads.models import Bundle
    from fairheads.results import DisparityReport
    from fairheads.training import Monitor, Objective


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything about a training but its objective."""

    table: Table
    test_table: Table | None
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    clip_norm: float | None
    side_batch: int | None
    patience: int | None
    checkpoint: Path | None
    device: str | None
    monitor: Path | None
    test: float
    validation: float
    seed: int

    @property
    def holds_out(self) -> bool:
        """Whether there are rows to judge on."""
        return self.test_table is not None or self.table.test_rows is not None or self.test > 0

    def fit(self, objective: Objective, said: str) -> Bundle:
        """A network trained by the objective; ``said`` stands before the bar of progress."""
        from fairheads.models import fit_table

        with counted(said, self.epochs) as tell:
            return fit_table(
                self.table,
                objective,
                hidden=self.hidden,
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                schedule=self.schedule,
                clip_norm=self.clip_norm,
                side_batch=self.side_batch,
                patience=self.patience,
                checkpoint=self.checkpoint,
                device=self.device,
                monitor=None if self.monitor is None else self._watch,
                test=0.0 if self.test_table is not None else self.test,
                validation=self.validation,
                seed=self.seed,
                progress=tell,
            )

    def _watch(self, rows: Dataset, steps: int) -> Monitor:
        """A monitor that looks at the validation rows once an epoch."""
        from fairheads.monitor import HeadMonitor

        return HeadMonitor(rows, every=steps, csv=self.monitor)

    def held_out(self, bundle: Bundle) -> tuple[Dataset, str]:
        """The rows to judge on, and which they are, in words."""
        judged, words = bundle.encode(self.test_table or self.table, "test")
        if bundle.rows is not None:
            bundle.rows.refuse_overlap(judged)
        return judged, words

    def judge(self, bundle: Bundle) -> tuple[DisparityReport, str]:
        """The disparities of the network on those rows."""
        from fairheads.audit import network_disparity

        judged, words = self.held_out(bundle)
        return network_disparity(bundle.net, judged), words

    def words(self) -> str:
        """The recipe."""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        more = {"gradient norm": self.clip_norm, "side batch": self.side_batch, "patience": self.patience}
        said = "".join(f", {name} {value:g}" for name, value in more.items() if value is not None)
        return (
            f"hidden layers {', '.join(map(str, self.hidden))}; {epochs}, batches of {self.batch_size},"
            f" learning rate {self.learning_rate:g}, {self.schedule}{said}; seed {self.seed}"
        )
