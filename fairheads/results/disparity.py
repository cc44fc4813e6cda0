"""Rates per group and the gaps between groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairheads.results import _disparity_views
from fairheads.results.number import Number
from fairheads.results.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

RATES: dict[str, str] = {
    "selection_rate": "share with the favourable decision",
    "accuracy": "share decided as recorded",
    "true_positive_rate": "share of the recorded favourable that are decided so",
    "false_positive_rate": "share of the recorded unfavourable that are decided favourably",
    "positive_predictive_value": "share of the favourable decisions that are recorded so",
    "base_rate": "share recorded as favourable",
}

DISCLAIMER = "These rates do not say why the groups differ, nor whether a difference is lawful."


@dataclass(frozen=True, kw_only=True)
class GroupRates:
    """Counts of one group (or of everybody) and the rates made of them, each with its 95 % interval."""

    n: int
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    selection_rate: Number
    accuracy: Number
    true_positive_rate: Number
    false_positive_rate: Number
    positive_predictive_value: Number
    base_rate: Number


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Largest difference and smallest ratio of a rate between two groups, and which groups make it.

    Both intervals hold simultaneously over all pairs of groups.
    """

    difference: Number
    ratio: Number
    highest: str
    lowest: str


@dataclass(frozen=True, kw_only=True)
class DisparityReport(Shown):
    """Rates of every group and the gap in each rate; the demographic-parity difference is that of selection rates."""

    n: int
    overall: GroupRates
    groups: dict[str, GroupRates]
    gaps: dict[str, Gap]

    def __post_init__(self) -> None:
        if "selection_rate" not in self.gaps:
            raise ValueError("gaps must name the selection rate")

    @property
    def demographic_parity_difference(self) -> Number:
        """Largest difference in selection rate between two groups."""
        return self.gaps["selection_rate"].difference

    def summary(self) -> str:
        """Rates and gaps as text of at most 100 columns; the last line says what they do not say."""
        return "\n".join([*_disparity_views.summary_lines(self), "", DISCLAIMER])

    def html(self) -> str:
        """The rates, their figure and the gaps as an HTML fragment; everything that came from data is escaped."""
        parts = [
            "<h3>Decisions by group</h3>",
            _disparity_views.rates_table(self, RATES),
            _disparity_views.figure(self),
            _disparity_views.gaps_table(self),
            f"<p>{DISCLAIMER}</p>",
        ]
        return "\n".join(parts)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Selection rate, true and false positive rate of every group, each with its interval.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into; by default a figure of its own, which is ``.figure`` of the returned axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return _disparity_views.plot(self, ax)

    def to_frame(self) -> pd.DataFrame:
        """A row a group and rate, with n and interval."""
        import pandas as pd

        rows = [
            {"group": group, "rate": rate, "value": number.value, "low": number.low, "high": number.high, "n": number.n}
            for group, rates in self.groups.items()
            for rate in RATES
            for number in [getattr(rates, rate)]
        ]
        return pd.DataFrame(rows, columns=["group", "rate", "value", "low", "high", "n"])
