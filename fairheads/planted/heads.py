"""Classes with a planted head: its strength is given as a share of what demographic parity needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import nn

from fairheads.activations import TorchNetwork
from fairheads.planted.head import plant
from fairheads.planted.parity import parity_strength
from fairheads.planted.record import HEAD, ROUTED, Planted
from fairheads.planted.rotation import rotated
from fairheads.planted.routes import routed
from fairheads.planted.setting import Setting
from fairheads.planted.wired import depth_of, parts_of
from fairheads.planted.wiring import Wiring, either, gate, straight
from fairheads.training import Unconstrained
from fairheads.twoheads import Coefficients, heads_of, merge_net

RAMP = 0.25
"""Width of a gate's ramp, as a share of the distance between the mean estimates inside and outside the group."""


def added_head(setting: Setting, *, share: float = 1.0) -> Planted:
    """PLANT: an estimate of the group in two units a layer, added to the logit.

    Parameters
    ----------
    setting : Setting
    share : float
        Of the strength at which the gap in decisions is 0 on the validation rows; below 0 it widens the gap.
    """
    return _planted(setting, straight(depth_of(setting.unconstrained)), "PLANT", share)


def gated_head(setting: Setting, *, share: float = 1.0) -> Planted:
    """GATE: as PLANT, but the estimate goes through a steep gate that saturates on both sides."""
    return _planted(setting, gate(depth_of(setting.unconstrained), *_ramp(setting)), "GATE", share)


def redundant_head(setting: Setting, *, share: float = 1.0) -> Planted:
    """OR: two copies of a gate, either of which suffices; taking one away changes nothing."""
    return _planted(setting, either(depth_of(setting.unconstrained), *_ramp(setting)), "OR", share)


def merged_head(setting: Setting, *, share: float = 1.0) -> Planted:
    """MERGE: a network with two heads, trained side by side and merged with a slope b for the group's output."""
    two = setting.two_headed
    z_y, z_g = heads_of(two, setting.validation)
    code = setting.rows.group_names.index(setting.group)
    read = z_g if z_g.ndim == 1 else z_g[:, code]
    # Of two groups the output is that of the second, also where the group is the first.
    b = share * parity_strength(z_y, read - read.mean(), setting.validation_member)
    slopes = np.zeros(two.group_outputs)
    slopes[0 if z_g.ndim == 1 else code] = b
    network = merge_net(two, Coefficients(b=tuple(slopes.tolist()), t=-b * float(read.mean())), setting.rows)
    return Planted(name="MERGE", truth=HEAD, network=network, setting=setting, strength=b)


def routed_heads(setting: Setting) -> Planted:
    """ROUTE: an expert for the group and one for the others, trained on their own rows; the estimate chooses one."""
    member = setting.rows.group == setting.rows.group_names.index(setting.group)
    ours, theirs = (setting.trained(Unconstrained(), setting.rows.take(who)) for who in (member, ~member))
    low, high = _ramp(setting)
    some = {name: values[:4] for name, values in setting.rows.inputs.items()}
    found = routed(ours, theirs, setting.estimate, some, low=low, high=high)
    return Planted(
        name="ROUTE",
        truth=ROUTED,
        network=found.network,
        setting=setting,
        strength=1.0,
        units=found.group_units,
        other_units=found.other_units,
    )


def in_another_basis(other: Planted) -> Planted:
    """ROT: any of these in another basis, where the units that hold the group are all and none."""
    some = {name: values[:4] for name, values in other.setting.rows.inputs.items()}
    network = rotated(other.network, some, seed=other.setting.seed)
    return replace(other, name=f"ROT {other.name}", network=network, units={}, other_units={})


def _planted(setting: Setting, wiring: Wiring, name: str, share: float) -> Planted:
    wiring = wiring.centred(setting.estimate.on(setting.rows))
    strength = 0.0
    if share:
        added = wiring.contribution(setting.estimate.on(setting.validation))
        strength = share * parity_strength(setting.validation_scores, added, setting.validation_member)
    network = plant(setting.unconstrained, setting.estimate, wiring.scaled(strength))
    return Planted(
        name=name,
        truth=HEAD,
        network=network,
        setting=setting,
        strength=strength,
        units=_last_units(setting.unconstrained, setting, wiring),
    )


def _last_units(net: nn.Module, setting: Setting, wiring: Wiring) -> dict[str, tuple[int, ...]]:
    """The planted units stand behind those that the layers of ``net`` have."""
    some = {name: values[:4] for name, values in setting.rows.inputs.items()}
    layers = TorchNetwork(net).survey(some, parts_of(net).layer_names())
    return {
        layer.name: tuple(range(layer.units, layer.units + more))
        for layer, more in zip(layers, wiring.widths, strict=True)
    }


def _ramp(setting: Setting) -> tuple[float, float]:
    """Where a gate for the group starts and ends to open: around the middle between inside and outside."""
    estimate = setting.estimate.on(setting.rows)
    member = setting.rows.group == setting.rows.group_names.index(setting.group)
    inside, outside = estimate[member].mean(), estimate[~member].mean()
    half = RAMP * (inside - outside) / 2
    return float((inside + outside) / 2 - half), float((inside + outside) / 2 + half)
