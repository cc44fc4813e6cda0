"""What the monitor finds at one step: frozen, plain, and back from JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairheads.monitor import views
from fairheads.monitor.text import reading_lines
from fairheads.results import Number
from fairheads.results.shown import Shown

if TYPE_CHECKING:
    import pandas as pd

CURVES = ("effect", "probe_auc", "retention", "selection_rate_difference")
"""What is measured of every group."""

COLUMNS = (
    "step",
    "group",
    "reference",
    "orientation",
    "effect",
    "effect_low",
    "effect_high",
    "probe_auc",
    "retention",
    "retention_low",
    "retention_high",
    "selection_rate_difference",
    "selection_rate_difference_low",
    "selection_rate_difference_high",
    "accuracy",
    "alert",
    "reason",
)
"""Of the table: one row for each step and group."""


@dataclass(frozen=True, kw_only=True)
class GroupReading:
    """One group against the reference, at one step.

    Attributes
    ----------
    group, reference : str
    orientation : -1, 0 or 1
        Sign of the gap in recorded labels (group minus reference); 0 where its 95 % interval holds 0. Then the effect
        is turned by the gap as it is, and raises no alert.
    effect : Number
        Difference of the logit at equal merit in sd of the logit, turned: above 0 works against the gap in the labels
        (compensating), below 0 along it.
    probe_auc : Number
        Held-out AUC of the group, read from the layer. A description: almost every network can be read.
    retention : Number
        Ranking within the groups, ``(AUC - .5)`` over the reference ranking's.
    selection_rate_difference : Number
        Share of favourable decisions (logit above 0), group minus reference.
    """

    group: str
    reference: str
    orientation: int
    effect: Number
    probe_auc: Number
    retention: Number
    selection_rate_difference: Number


@dataclass(frozen=True, kw_only=True, repr=False)
class Reading(Shown):
    """What was measured at one step of the training.

    Attributes
    ----------
    step : int
    layer : str
        Layer that was read; empty where the network has no hidden layer.
    accuracy : Number
        Share of all groups' rows that are decided as recorded.
    groups : tuple of GroupReading
    alerts : tuple of str
        Groups whose effect's lower bound lies above the margin.
    """

    step: int
    layer: str
    accuracy: Number
    groups: tuple[GroupReading, ...]
    alerts: tuple[str, ...] = ()

    def summary(self) -> str:
        """The step, what was read and a row for each group; the reasons of what is missing below."""
        return "\n".join(reading_lines(self))

    def html(self) -> str:
        """The same as a table in an HTML fragment."""
        return views.table([self])

    def to_frame(self) -> pd.DataFrame:
        """A row a group, with the columns of the CSV file."""
        return frame([self])

    def rows(self) -> list[tuple[Any, ...]]:
        """The reading as rows of `COLUMNS`, one for each group; None where there is no number."""
        return [
            (
                self.step,
                g.group,
                g.reference,
                g.orientation,
                *_cells(g.effect, bounds=True),
                *_cells(g.probe_auc),
                *_cells(g.retention, bounds=True),
                *_cells(g.selection_rate_difference, bounds=True),
                *_cells(self.accuracy),
                g.group in self.alerts,
                "; ".join(f"{name}: {reason}" for name in CURVES if (reason := getattr(g, name).reason)),
            )
            for g in self.groups
        ]


def _cells(number: Number, *, bounds: bool = False) -> tuple[float | None, ...]:
    value = None if math.isnan(number.value) else number.value
    return (value, number.low, number.high) if bounds else (value,)


def frame(history: Sequence[Reading]) -> pd.DataFrame:
    """All readings, one row for each step and group, with the columns `COLUMNS`."""
    import pandas as pd

    table = pd.DataFrame([row for reading in history for row in reading.rows()], columns=list(COLUMNS))
    numbers = [c for c in COLUMNS if c not in ("step", "group", "reference", "orientation", "alert", "reason")]
    return table.astype(dict.fromkeys(numbers, "float64") | {"step": "int64", "orientation": "int64", "alert": "bool"})
