"""Differentiable fairness constraints: ``constraint(logits, y, group) -> scalar``."""

from fairheads.constraints.constraint import Constraint, Violations
from fairheads.constraints.distributions import DistributionConstraint, mmd, wasserstein
from fairheads.constraints.parity import (
    accuracy_equality,
    conditional_parity,
    demographic_parity,
    equal_opportunity,
    equalized_odds,
    linear_fractional,
    predictive_equality,
)
from fairheads.constraints.rates import RateConstraint
from fairheads.constraints.record import CONSTRAINTS, constraint_from_dict
from fairheads.constraints.state import Growing, OfBatch
from fairheads.constraints.statistics import (
    ACCURACY,
    ERROR_RATIO,
    F1,
    FALSE_NEGATIVE_RATE,
    FALSE_POSITIVE_RATE,
    NEGATIVE_PREDICTIVE_VALUE,
    POSITIVE_PREDICTIVE_VALUE,
    SELECTION_RATE,
    TRUE_NEGATIVE_RATE,
    TRUE_POSITIVE_RATE,
    Statistic,
)

__all__ = [
    "ACCURACY",
    "CONSTRAINTS",
    "ERROR_RATIO",
    "F1",
    "FALSE_NEGATIVE_RATE",
    "FALSE_POSITIVE_RATE",
    "NEGATIVE_PREDICTIVE_VALUE",
    "POSITIVE_PREDICTIVE_VALUE",
    "SELECTION_RATE",
    "TRUE_NEGATIVE_RATE",
    "TRUE_POSITIVE_RATE",
    "Constraint",
    "DistributionConstraint",
    "Growing",
    "OfBatch",
    "RateConstraint",
    "Statistic",
    "Violations",
    "accuracy_equality",
    "conditional_parity",
    "constraint_from_dict",
    "demographic_parity",
    "equal_opportunity",
    "equalized_odds",
    "linear_fractional",
    "mmd",
    "predictive_equality",
    "wasserstein",
]
