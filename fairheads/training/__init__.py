"""One training loop and the objectives it can follow."""

from fairheads.training.history import History
from fairheads.training.loop import train
from fairheads.training.objectives import Objective, Penalized, TwoHeaded, Unconstrained, objective_from_dict

__all__ = ["History", "Objective", "Penalized", "TwoHeaded", "Unconstrained", "objective_from_dict", "train"]
