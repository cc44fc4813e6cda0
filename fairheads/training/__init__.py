"""One training loop and the objectives it can follow."""

from fairheads.training.adversarial import Adversarial
from fairheads.training.history import History
from fairheads.training.lagrangian import Lagrangian
from fairheads.training.loop import train
from fairheads.training.massaged import Massaged
from fairheads.training.objective import Constrained, Objective
from fairheads.training.penalized import Penalized, Unconstrained
from fairheads.training.record import OBJECTIVES, objective_from_dict
from fairheads.training.rows import BalancedRows
from fairheads.training.run import Monitor
from fairheads.training.tasks import binary_cross_entropy, cross_entropy, squared_error
from fairheads.training.two_headed import TwoHeaded
from fairheads.training.weighted import GroupDRO, Reweighted

__all__ = [
    "OBJECTIVES",
    "Adversarial",
    "BalancedRows",
    "Constrained",
    "GroupDRO",
    "History",
    "Lagrangian",
    "Massaged",
    "Monitor",
    "Objective",
    "Penalized",
    "Reweighted",
    "TwoHeaded",
    "Unconstrained",
    "binary_cross_entropy",
    "cross_entropy",
    "objective_from_dict",
    "squared_error",
    "train",
]
