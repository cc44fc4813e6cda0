"""Classes without a compensating head, each of a kind that fools some detector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.planted.positives import added_head, with_units
from fairheads.planted.record import ALIGNED, NO_HEAD, SUPPRESSION, Planted
from fairheads.planted.residual import blinded, masked, residualised
from fairheads.planted.setting import Setting
from fairheads.planted.wired import depth_of
from fairheads.planted.wiring import straight
from fairheads.training import Penalized, Unconstrained
from fairheads.twoheads import Coefficients, merge_net

RARE_SHARE = 0.01
WEIGHT = 10.0
"""Weight of the penalty in the classes that are trained with one."""


def unconstrained(setting: Setting) -> Planted:
    """U: trained for the task alone."""
    return Planted(name="U", truth=NO_HEAD, network=setting.unconstrained, setting=setting)


def auxiliary(setting: Setting) -> Planted:
    """AUX: also trained to predict the groups; the group head is dropped, the features that it needed stay."""
    two = setting.two_headed
    network = merge_net(two, Coefficients(b=(0.0,) * two.group_outputs, t=0.0), setting.rows)
    return Planted(name="AUX", truth=NO_HEAD, network=network, setting=setting)


def unused(setting: Setting) -> Planted:
    """UNUSED: units that hold an estimate of the group, which nothing reads."""
    return replace(added_head(setting, share=0.0), name="UNUSED", truth=NO_HEAD)


def aligned(setting: Setting, *, share: float = 1.0) -> Planted:
    """ALIGNED: a planted head that widens the gap, by as much weight as would close it."""
    return replace(added_head(setting, share=-share), name="ALIGNED", truth=ALIGNED)


def residual_inputs(setting: Setting) -> Planted:
    """RES: trained on inputs from which the group was taken; it is audited on the inputs as they are."""
    rows = residualised(setting.rows, seed=setting.seed)
    return Planted(name="RES", truth=NO_HEAD, network=setting.trained(Unconstrained(), rows), setting=setting)


def no_gap(setting: Setting) -> Planted:
    """NOGAP: trained with a penalty where the groups do not differ in merit."""
    return _penalised(setting.moved(gap=0.0), "NOGAP", NO_HEAD)


def dropped(setting: Setting, *, encoded: bool = False) -> Planted:
    """DROP: no weight on inputs through which the group can be seen. Suppression: merit among them is lost.

    With ``encoded`` the network has units that hold an estimate of the group all the same, which nothing reads, so that
    no detector can rest on the group being absent from the layers.
    """
    hidden = setting.known_world.gapped_inputs
    network = blinded(setting.trained(Unconstrained(), masked(setting.rows, hidden)), hidden)
    made = Planted(name="DROP", truth=SUPPRESSION, network=network, setting=setting)
    return with_units(made, straight(depth_of(network)).scaled(0.0)) if encoded else made


def no_proxy(setting: Setting, *, weight: float = WEIGHT) -> Planted:
    """NOPROXY: trained with a penalty where nothing but merit tells of the group, so that merit has to go.

    A mild penalty takes little of it: some columns of merit then weigh less, and that is the same function as a head
    whose estimate of the group rests on these columns. No rule can tell the two apart.
    """
    return _penalised(setting.moved(proxy=0.0), "NOPROXY", SUPPRESSION, weight)


def permuted(setting: Setting) -> Planted:
    """PERM: trained with a penalty on groups that were dealt out by chance (a placebo)."""
    rows = setting.rows
    dealt = np.random.default_rng(setting.seed).permutation(rows.group)
    mixed = Dataset(rows.inputs, rows.y, dealt, group_names=rows.group_names, name=rows.name)
    network = setting.trained(Penalized(demographic_parity(), WEIGHT), mixed)
    return Planted(name="PERM", truth=NO_HEAD, network=network, setting=setting, strength=WEIGHT)


def rare(setting: Setting) -> Planted:
    """RARE: unconstrained, where one in a hundred is of the group."""
    return replace(unconstrained(setting.moved(share=RARE_SHARE)), name="RARE")


def three_groups(setting: Setting) -> Planted:
    """K3: unconstrained, with three groups."""
    return replace(unconstrained(setting.moved(groups=3)), name="K3")


def _penalised(setting: Setting, name: str, truth: str, weight: float = WEIGHT) -> Planted:
    network = setting.trained(Penalized(demographic_parity(), weight))
    return Planted(name=name, truth=truth, network=network, setting=setting, strength=weight)
