"""Classes trained with a constraint, which learn a head of their own."""

from __future__ import annotations

from fairheads.constraints import demographic_parity, equalized_odds
from fairheads.data import Dataset
from fairheads.planted.record import HEAD, Planted
from fairheads.planted.setting import Setting
from fairheads.planted.truth import scores
from fairheads.training import Adversarial, Lagrangian, Massaged, Objective, Penalized, Unconstrained


def parity_penalty(setting: Setting, *, weight: float = 10.0) -> Planted:
    """DP: a penalty on the difference in selection rates."""
    return _trained(setting, Penalized(demographic_parity(), weight), "DP", weight)


def odds_penalty(setting: Setting, *, weight: float = 10.0) -> Planted:
    """EO: a penalty on the differences in true and false positive rates."""
    return _trained(setting, Penalized(equalized_odds(), weight), "EO", weight)


def lagrangian(setting: Setting, *, tolerance: float = 0.02) -> Planted:
    """LAGRANGE: multipliers that rise while selection rates differ by more than the tolerance."""
    return _trained(setting, Lagrangian(demographic_parity(), tolerance), "LAGRANGE", tolerance)


def adversarial(setting: Setting, *, weight: float = 1.0) -> Planted:
    """ADVERSARY: the group must not be readable from the logit."""
    return _trained(setting, Adversarial(weight), "ADVERSARY", weight)


def massaged(setting: Setting, *, share: float = 1.0) -> Planted:
    """MASSAGE: trained on labels of which the least certain were flipped until all groups had one base rate.

    The rows are ranked by the unconstrained network, which can read images and tokens.
    """
    rows = setting.rows
    ranked = Dataset(scores(setting.unconstrained, rows)[:, None], rows.y, rows.group, group_names=rows.group_names)
    network = setting.trained(Unconstrained(), rows.relabelled(Massaged(share).labels(ranked)))
    return Planted(name="MASSAGE", truth=HEAD, network=network, setting=setting, strength=share)


def _trained(setting: Setting, objective: Objective, name: str, strength: float) -> Planted:
    return Planted(name=name, truth=HEAD, network=setting.trained(objective), setting=setting, strength=strength)
