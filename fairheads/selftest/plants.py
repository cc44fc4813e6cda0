"""Heads of stated strength in a network that is at hand: a merge of any, units in those whose parts are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fairheads.activations import as_network
from fairheads.data import Dataset
from fairheads.errors import ConfigError
from fairheads.pathways.sample import scores
from fairheads.planted import GroupEstimate, Wiring, parity_strength, plant, straight
from fairheads.planted.wired import depth_of, parts_of
from fairheads.twoheads import Coefficients, attach_group_head, heads_of, merge_net

Floats = NDArray[np.float64]
Plant = Callable[[float], nn.Module]
"""Makes the network with a head of so many times the strength that parity needs."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What heads are fitted on: rows, the group, and the group that it is compared with.

    Parity is that of these two groups. ``favourable`` is the class of the favourable outcome of networks with one
    output a class.
    """

    rows: Dataset
    group: str
    reference: str
    favourable: int = 1

    @property
    def code(self) -> int:
        return self.rows.group_names.index(self.group)

    @property
    def compared(self) -> NDArray[np.bool_]:
        """Rows of the two groups."""
        return np.isin(self.rows.group, (self.code, self.rows.group_names.index(self.reference)))

    def for_parity(self, score: Floats, contribution: Floats) -> float:
        """The strength at which both groups are selected alike."""
        among = self.compared
        return parity_strength(score[among], contribution[among], self.rows.group[among] == self.code)


def merge_in(net: nn.Module, ground: Ground) -> Plant:
    """MERGE: a group head fitted to the last features of the network, which stays frozen, and merged.

    The offset keeps the mean of the logit.

    Raises
    ------
    InputError
        If no strength closes the gap in decisions.
    """
    two = attach_group_head(net, ground.rows, favourable=ground.favourable)
    z_y, z_g = heads_of(two, ground.rows)
    outputs = z_g.reshape(len(z_y), -1)
    # Of two groups there is one output, that of the second, also where the group is the first.
    at = ground.code if outputs.shape[1] > 1 else 0
    read = outputs[:, at]
    full = ground.for_parity(z_y, read - read.mean())

    def planted(share: float) -> nn.Module:
        slopes = np.zeros(outputs.shape[1])
        slopes[at] = share * full
        offset = -share * full * float(read.mean())
        return merge_net(two, Coefficients(b=tuple(slopes.tolist()), t=offset), ground.rows)

    return planted


def units_in(net: nn.Module, ground: Ground, estimate: GroupEstimate) -> Plant:
    """PLANT: two more units a layer that carry an estimate of the group from the inputs to the logit.

    Raises
    ------
    InputError
        If no strength closes the gap in decisions.
    """
    on_rows = estimate.on(ground.rows)
    wiring = _wiring(net, on_rows)
    full = ground.for_parity(scores(as_network(net), ground.rows), wiring.contribution(on_rows))
    return lambda share: plant(net, estimate, wiring.scaled(share * full))


def unused_units(net: nn.Module, ground: Ground, estimate: GroupEstimate) -> nn.Module:
    """UNUSED: the same units, which nothing reads."""
    return plant(net, estimate, _wiring(net, estimate.on(ground.rows)).scaled(0.0))


def _wiring(net: nn.Module, on_rows: Floats) -> Wiring:
    return straight(depth_of(net)).centred(on_rows)


def estimate_for(nets: Sequence[nn.Module], ground: Ground, layers: Sequence[str]) -> GroupEstimate | None:
    """The estimate that units are planted with; None where the networks have no parts that units can be planted in.

    The layers that are looked at must be those parts: the planted network has no others by these names.
    """
    try:
        known = all(set(layers) <= set(parts_of(net).layer_names()) for net in nets)
        return GroupEstimate(ground.rows, ground.group) if known else None
    except ConfigError:  # another network, or other inputs, than these builders know
        return None
