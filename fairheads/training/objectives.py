"""What training minimises on a batch: network outputs, labels and groups in, a scalar out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from fairheads.constraints import Constraint, demographic_parity
from fairheads.errors import ConfigError


class Objective(Protocol):
    """Anything with a loss on a batch and a plain description of itself."""

    outputs: int
    """Width of the network's output that the loss expects."""

    def loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        """Scalar loss; logits (n, outputs), y and group (n,)."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The record from which `objective_from_dict` makes the objective again."""
        ...


@dataclass(frozen=True)
class Unconstrained:
    """Binary cross-entropy."""

    outputs = 1

    def loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(logits[:, 0], y.to(logits.dtype))

    def to_dict(self) -> dict[str, Any]:
        return {"name": "unconstrained"}


@dataclass(frozen=True)
class Penalized:
    """Binary cross-entropy plus ``weight`` times a constraint.

    The weight trades accuracy for parity; 0 is `Unconstrained`. Larger batches make the constraint's gradient
    less noisy and its squared form less biased.
    """

    constraint: Constraint
    weight: float = 1.0
    outputs = 1

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ConfigError(f"`weight` must be at least 0, got {self.weight}.")

    def loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        task = Unconstrained().loss(logits, y, group)
        if self.weight == 0:
            return task
        return task + self.weight * self.constraint(logits[:, 0], y, group)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "penalized", "constraint": self.constraint.to_dict(), "weight": self.weight}


@dataclass(frozen=True)
class TwoHeaded:
    """``0.5 BCE(z_y, y) + 0.5 MSE(z_g, g)`` for a `TwoHeadNet` and two groups (codes 0 and 1).

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5.
    """

    outputs = 2

    def loss(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        task = binary_cross_entropy_with_logits(logits[:, 0], y.to(logits.dtype))
        return 0.5 * task + 0.5 * mse_loss(logits[:, 1], group.to(logits.dtype))

    def to_dict(self) -> dict[str, Any]:
        return {"name": "two_headed"}


def objective_from_dict(plain: Mapping[str, Any]) -> Objective:
    """The objective that ``plain`` (an `Objective.to_dict`) describes."""
    name = plain.get("name")
    if name == "unconstrained":
        return Unconstrained()
    if name == "two_headed":
        return TwoHeaded()
    if name == "penalized" and plain["constraint"].get("name") == "demographic_parity":
        constraint = demographic_parity(kind=plain["constraint"]["kind"], tolerance=plain["constraint"]["tolerance"])
        return Penalized(constraint, float(plain["weight"]))
    raise ConfigError(f"unknown objective in the training record: {dict(plain)}.")
