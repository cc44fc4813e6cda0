"""Linear-fractional statistics of a group: a ratio of two weighted sums of the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairheads.errors import ConfigError

Weights = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A ratio of two weighted sums of (true positives, false positives, false negatives, true negatives).

    Every rate of a confusion matrix has this form, and stays differentiable when decisions are soft.

    Parameters
    ----------
    name : str
    numerator, denominator : four floats
        Weights of (tp, fp, fn, tn). The denominator's must not be negative: where they sum to 0 rows the statistic
        is undefined, and such a group adds nothing to a constraint.

    Raises
    ------
    ConfigError
        On weights that are not four finite numbers, or a denominator that is negative or 0 throughout.

    References
    ----------
    Buyl and De Bie, The fairret (ICLR 2024), definition 2; Celis et al., FAT* 2019.

    Examples
    --------
    >>> Statistic(name="f1", numerator=(2, 0, 0, 0), denominator=(2, 1, 1, 0)).by_label
    True
    """

    name: str
    numerator: Weights
    denominator: Weights

    def __post_init__(self) -> None:
        for part in ("numerator", "denominator"):
            given = getattr(self, part)
            weights = tuple(float(w) for w in given)
            if len(weights) != 4 or not all(abs(w) < float("inf") for w in weights):
                raise ConfigError(f"`{part}` must be four finite weights of (tp, fp, fn, tn), got {given!r}.")
            object.__setattr__(self, part, weights)
        if min(self.denominator) < 0 or max(self.denominator) == 0:
            raise ConfigError(f"`denominator` must have no negative weight and one above 0, got {self.denominator}.")

    @property
    def by_label(self) -> bool:
        """Whether the statistic needs the labels."""
        return any(tp != fp or fn != tn for tp, fp, fn, tn in (self.numerator, self.denominator))

    @property
    def within_label(self) -> bool:
        """Whether the statistic is a mean over rows of one label, so that the mix of labels plays no part."""
        tp, fp, fn, tn = self.denominator
        positives = fp == tn == 0 and self.numerator[1] == self.numerator[3] == 0
        negatives = tp == fn == 0 and self.numerator[0] == self.numerator[2] == 0
        return positives or negatives

    def to_dict(self) -> dict[str, Any]:
        """The statistic as plain JSON."""
        return {"name": self.name, "numerator": list(self.numerator), "denominator": list(self.denominator)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Statistic:
        """The statistic that ``plain`` describes."""
        return cls(name=plain["name"], numerator=plain["numerator"], denominator=plain["denominator"])


def _rate(name: str, numerator: Weights, denominator: Weights) -> Statistic:
    return Statistic(name=name, numerator=numerator, denominator=denominator)


SELECTION_RATE = _rate("selection_rate", (1, 1, 0, 0), (1, 1, 1, 1))
ACCURACY = _rate("accuracy", (1, 0, 0, 1), (1, 1, 1, 1))
TRUE_POSITIVE_RATE = _rate("true_positive_rate", (1, 0, 0, 0), (1, 0, 1, 0))
FALSE_POSITIVE_RATE = _rate("false_positive_rate", (0, 1, 0, 0), (0, 1, 0, 1))
TRUE_NEGATIVE_RATE = _rate("true_negative_rate", (0, 0, 0, 1), (0, 1, 0, 1))
FALSE_NEGATIVE_RATE = _rate("false_negative_rate", (0, 0, 1, 0), (1, 0, 1, 0))
POSITIVE_PREDICTIVE_VALUE = _rate("positive_predictive_value", (1, 0, 0, 0), (1, 1, 0, 0))
NEGATIVE_PREDICTIVE_VALUE = _rate("negative_predictive_value", (0, 0, 0, 1), (0, 0, 1, 1))
F1 = _rate("f1", (2, 0, 0, 0), (2, 1, 1, 0))
ERROR_RATIO = _rate("error_ratio", (0, 0, 1, 0), (0, 1, 0, 0))
"""False negatives for every false positive: treatment equality."""
