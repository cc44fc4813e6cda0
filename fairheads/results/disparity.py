"""Rates per group and the gaps between groups."""

from __future__ import annotations

from dataclasses import dataclass

from fairheads.results.number import Number
from fairheads.results.shown import Shown

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

    The interval of the difference holds simultaneously over all pairs of groups, that of the ratio for its pair.
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

    @property
    def demographic_parity_difference(self) -> Number:
        """Largest difference in selection rate between two groups."""
        return self.gaps["selection_rate"].difference

    def to_frame(self):  # type: ignore[no-untyped-def]
        """A pandas DataFrame: a row a group and rate, with n and interval."""
        import pandas as pd

        rows = [
            {"group": group, "rate": rate, "value": number.value, "low": number.low, "high": number.high, "n": number.n}
            for group, rates in self.groups.items()
            for rate in RATES
            for number in [getattr(rates, rate)]
        ]
        return pd.DataFrame(rows)
