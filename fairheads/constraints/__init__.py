"""Differentiable fairness constraints: ``constraint(logits, y, group) -> scalar``."""

from fairheads.constraints.parity import Constraint, demographic_parity

__all__ = ["Constraint", "demographic_parity"]
