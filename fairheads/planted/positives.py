"""Classes with a planted head: its strength is given as a share of what demographic parity needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch import nn

from fairheads.activations import TorchNetwork
from fairheads.errors import InputError
from fairheads.planted.head import plant
from fairheads.planted.parity import parity_strength
from fairheads.planted.record import HEAD, ROUTED, Planted
from fairheads.planted.rotation import rotated
from fairheads.planted.routes import routed
from fairheads.planted.setting import Setting
from fairheads.planted.wired import depth_of, parts_of
from fairheads.planted.wiring import Floats, Wiring, either, gate, straight
from fairheads.training import Unconstrained
from fairheads.twoheads import Coefficients, heads_of, merge_net

RAMP = 0.25
"""Width of a gate's ramp, as a share of the distance between the mean estimates inside and outside the group."""


LARGEST_SHARE, HALVINGS = 4.0, 16

OTHER_SEED = 250_000
"""Added to the seed for a second network, away from the seeds of the others."""


def added_head(setting: Setting, *, share: float = 1.0, strength: float | None = None) -> Planted:
    """PLANT: an estimate of the group in two units a layer, added to the logit.

    Parameters
    ----------
    setting : Setting
    share : float
        Of the strength at which the gap in decisions is 0 on the validation rows; below 0 it widens the gap.
    strength : float, optional
        The strength itself, in logits per unit of the estimate; ``share`` plays no part then.

    Examples
    --------
    >>> from fairheads.planted import Recipe, World
    >>> setting = Setting.drawn(World(), 600, seed=0, recipe=Recipe(epochs=1))
    >>> added_head(setting, strength=2.0).units
    {'backbone.1': (32, 33), 'backbone.3': (32, 33), 'backbone.5': (32, 33)}
    """
    return _planted(setting, straight(depth_of(setting.unconstrained)), "PLANT", share, strength)


def late_head(setting: Setting, *, layer: int, share: float = 1.0, strength: float | None = None) -> Planted:
    """LATE: as PLANT, but the units start in a chosen layer: where an effect emerges is known.

    They are computed from the inputs, past the layers before, which stay what they were: whatever is done to those,
    the head says the same. What the unconstrained network does with the group itself is still in all layers.

    Parameters
    ----------
    setting : Setting
    layer : int
        Number of the layer, 0 for the first: the same as `added_head`. ``units`` names the layers from it on.
    share, strength : float
        As in `added_head`.

    Raises
    ------
    ConfigError
        If the network has no such layer.

    Examples
    --------
    >>> from fairheads.planted import Recipe, World
    >>> setting = Setting.drawn(World(), 600, seed=0, recipe=Recipe(epochs=1))
    >>> late_head(setting, layer=1, strength=2.0).units
    {'backbone.3': (32, 33), 'backbone.5': (32, 33)}
    """
    wiring = straight(depth_of(setting.unconstrained) - layer)
    return _planted(setting, wiring, "LATE", share, strength, layer)


def gated_head(setting: Setting, *, share: float = 1.0, strength: float | None = None) -> Planted:
    """GATE: as PLANT, but the estimate goes through a steep gate that saturates on both sides."""
    return _planted(setting, gate(depth_of(setting.unconstrained), *_ramp(setting)), "GATE", share, strength)


def redundant_head(setting: Setting, *, share: float = 1.0, strength: float | None = None) -> Planted:
    """OR: two copies of a gate, either of which suffices; taking one away changes nothing."""
    return _planted(setting, either(depth_of(setting.unconstrained), *_ramp(setting)), "OR", share, strength)


def merged_head(setting: Setting, *, share: float = 1.0, strength: float | None = None) -> Planted:
    """MERGE: a network with two heads, trained side by side and merged with a slope b for the group's output.

    ``share`` and ``strength`` as in `added_head`; the strength is b. The offset keeps the mean of the logit.
    """
    two = setting.two_headed
    z_y, z_g = heads_of(two, setting.validation)
    code = setting.rows.group_names.index(setting.group)
    read = z_g if z_g.ndim == 1 else z_g[:, code]
    # Of two groups the output is that of the second, also where the group is the first.
    b = strength if strength is not None else share * _for_parity(setting, z_y, read - read.mean(), share)
    slopes = np.zeros(two.group_outputs)
    slopes[0 if z_g.ndim == 1 else code] = b
    network = merge_net(two, Coefficients(b=tuple(slopes.tolist()), t=-b * float(read.mean())), setting.rows)
    return Planted(name="MERGE", truth=HEAD, network=network, setting=setting, strength=b)


def routed_heads(setting: Setting) -> Planted:
    """ROUTE: an expert for the group and one for the others, between which the estimate chooses.

    Both are trained on all rows, from different seeds: they treat people alike, and what differs is the path alone.
    """
    theirs = setting.unconstrained
    ours = setting.recipe.train(setting.rows, Unconstrained(), seed=setting.seed + OTHER_SEED)
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


def with_effect(builder: Callable[..., Planted], setting: Setting, effect: float) -> Planted:
    """The network of a class whose true effect T* is ``effect``.

    Parameters
    ----------
    builder : callable
        `added_head`, `gated_head`, `redundant_head` or `merged_head`: takes a setting and a ``share``.
    setting : Setting
        Its rows come from a world.
    effect : float
        In standard deviations of the logit. T* of share 0 is that of the network without the head, often just below 0.

    Raises
    ------
    InputError
        If no share between -4 and 4 has this effect.
    """

    def found(share: float) -> Planted:
        made: Planted = builder(setting, share=share)
        return made

    low, high = -LARGEST_SHARE, LARGEST_SHARE
    if not found(low).true_effect <= effect <= found(high).true_effect:
        raise InputError(f"no share of the strength for parity has a true effect of {effect}.")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if found(middle).true_effect < effect else (low, middle)
    return found(high)


def _for_parity(setting: Setting, score: Floats, contribution: Floats, share: float) -> float:
    """Not asked for where nothing is planted: there may be nothing that closes the gap."""
    return parity_strength(score, contribution, setting.validation_member) if share else 0.0


def _planted(
    setting: Setting, wiring: Wiring, name: str, share: float, strength: float | None, layer: int = 0
) -> Planted:
    wiring = wiring.centred(setting.estimate.on(setting.rows))
    if strength is None:
        added = wiring.contribution(setting.estimate.on(setting.validation))
        strength = share * _for_parity(setting, setting.validation_scores, added, share)
    plain = Planted(name=name, truth=HEAD, network=setting.unconstrained, setting=setting, strength=strength)
    return with_units(plain, wiring.scaled(strength), layer=layer)


def with_units(other: Planted, wiring: Wiring, *, layer: int = 0) -> Planted:
    """The record of a network with units for its setting's estimate of the group, wired so; truth and name stay."""
    network = plant(other.network, other.setting.estimate, wiring, layer=layer)
    return replace(other, network=network, units=_last_units(other.network, other.setting, wiring, layer))


def _last_units(net: nn.Module, setting: Setting, wiring: Wiring, first: int) -> dict[str, tuple[int, ...]]:
    """The planted units stand behind those that the layers of ``net`` have, from the ``first`` with any on."""
    some = {name: values[:4] for name, values in setting.rows.inputs.items()}
    layers = TorchNetwork(net).survey(some, parts_of(net).layer_names())
    return {
        layer.name: tuple(range(layer.units, layer.units + more))
        for layer, more in zip(layers[first:], wiring.widths, strict=True)
    }


def _ramp(setting: Setting) -> tuple[float, float]:
    """Where a gate for the group starts and ends to open: around the middle between inside and outside."""
    estimate = setting.estimate.on(setting.rows)
    member = setting.rows.group == setting.rows.group_names.index(setting.group)
    inside, outside = estimate[member].mean(), estimate[~member].mean()
    half = RAMP * (inside - outside) / 2
    return float((inside + outside) / 2 - half), float((inside + outside) / 2 + half)
