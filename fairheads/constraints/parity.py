"""Demographic parity of soft scores on a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from fairheads.errors import ConfigError


class Constraint(Protocol):
    """A differentiable measure of disparity on a batch."""

    def __call__(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        """Scalar, 0 where the constraint is met; logits, y and group are of shape (n,)."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """What `fairheads.training` writes into the training record."""
        ...


@dataclass(frozen=True)
class _DemographicParity:
    kind: str
    tolerance: float

    def __call__(self, logits: Tensor, y: Tensor, group: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        member = torch.nn.functional.one_hot(group).to(p.dtype)
        count = member.sum(0)
        rate = (p @ member) / count.clamp(min=1)
        gap = (rate[:, None] - rate[None, :]).abs() - self.tolerance
        both_present = torch.triu((count[:, None] > 0) & (count[None, :] > 0), diagonal=1)
        gap = torch.where(both_present, gap.clamp(min=0), 0.0)
        return (gap**2 if self.kind == "squared" else gap).sum()

    def to_dict(self) -> dict[str, Any]:
        return {"name": "demographic_parity", "kind": self.kind, "tolerance": self.tolerance}


def demographic_parity(*, kind: str = "squared", tolerance: float = 0.0) -> Constraint:
    """Demographic parity of the soft decisions ``p = sigmoid(logit)``, summed over pairs of groups.

    For two groups: ``(mean p|1 - mean p|0)^2`` or its absolute value.

    Parameters
    ----------
    kind : "squared" or "absolute"
        Squared pulls gently near parity and hard far from it; absolute pulls alike everywhere and can
        overshoot.
    tolerance : float
        Gap in mean soft score (0 to 1) that costs nothing.

    Returns
    -------
    Constraint
        ``constraint(logits, y, group) -> scalar``. A pair of groups of which a batch lacks one adds nothing.

    Raises
    ------
    ConfigError
        On an unknown kind or a tolerance outside [0, 1].

    Notes
    -----
    Soft parity is not parity of decisions: read the disparity of the trained network from its decisions.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 3.

    Examples
    --------
    >>> import torch
    >>> z = torch.tensor([0.0, 0.0, 100.0, 100.0])
    >>> demographic_parity(kind="absolute")(z, torch.zeros(4), torch.tensor([0, 0, 1, 1]))
    tensor(0.5000)
    """
    if kind not in ("squared", "absolute"):
        raise ConfigError(f'`kind` must be "squared" or "absolute", got {kind!r}.')
    if not 0 <= tolerance <= 1:
        raise ConfigError(f"`tolerance` must lie in [0, 1], got {tolerance}.")
    return _DemographicParity(kind, tolerance)
