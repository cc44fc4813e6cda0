"""Constraints from the plain records that they write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairheads.constraints.constraint import Constraint
from fairheads.constraints.distributions import mmd, wasserstein
from fairheads.constraints.parity import (
    accuracy_equality,
    conditional_parity,
    demographic_parity,
    equal_opportunity,
    equalized_odds,
    linear_fractional,
    predictive_equality,
)
from fairheads.constraints.statistics import Statistic
from fairheads.errors import ConfigError

CONSTRAINTS: Mapping[str, type[Constraint]] = {
    "demographic_parity": demographic_parity,
    "equalized_odds": equalized_odds,
    "equal_opportunity": equal_opportunity,
    "predictive_equality": predictive_equality,
    "accuracy_equality": accuracy_equality,
    "conditional_parity": conditional_parity,
    "linear_fractional": linear_fractional,
    "mmd": mmd,
    "wasserstein": wasserstein,
}
"""Every constraint that a training record can name."""


def constraint_from_dict(plain: Mapping[str, Any]) -> Constraint:
    """The constraint that ``plain`` (a `Constraint.to_dict`) describes.

    Raises
    ------
    ConfigError
        On a name that does not exist, or settings that its constraint does not take.
    """
    settings = dict(plain)
    name = settings.pop("name", None)
    made = CONSTRAINTS.get(name) if isinstance(name, str) else None
    if made is None:
        raise ConfigError(f"unknown constraint in the training record: {dict(plain)}.")
    if "statistics" in settings:
        settings["statistics"] = [Statistic.from_dict(part) for part in settings["statistics"]]
    try:
        return made(**settings)
    except TypeError as error:
        raise ConfigError(f"the record of the constraint {name!r} has settings it does not take: {error}") from None
