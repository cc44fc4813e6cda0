"""A planted network and what is true of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from fairheads.planted.setting import Setting

HEAD, NO_HEAD, SUPPRESSION, ALIGNED, ROUTED = "head", "no head", "suppression", "aligned", "routed"
"""What can be true: a compensating head, none, merit left out, a head that follows the gap, separate pathways."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Planted:
    """A network whose answer is known.

    Attributes
    ----------
    name : str
        Of its class, such as "GATE".
    truth : str
        "head", "no head", "suppression", "aligned" or "routed".
    network : nn.Module
    setting : Setting
        Rows and recipe of the network and of its twins (`twins_of`).
    strength : float
        Of what was planted: output weight of a head, slope of a merge, weight of a constraint; 0 where nothing was.
    units : mapping of layer to units
        Those that hold the estimate of the group, or the expert for it; empty where they are not known.
    other_units : mapping of layer to units
        Those of the expert for the others, in routed networks.
    """

    name: str
    truth: str
    network: nn.Module
    setting: Setting
    strength: float = 0.0
    units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    other_units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def true_effect(self) -> float:
        """T* in the world of its rows; NaN where they come from none."""
        return float("nan") if self.setting.world is None else self.setting.true_effect_of(self.network)
