"""Data and networks whose answer is known: to test a detector, and to try the verdict.

A `World` draws people, a `Setting` holds rows and a `Recipe`, and every class of networks is a function from a setting
to a `Planted` record: the network, what is true of it, and the units that make it so.
"""

from fairheads.planted.classes import NULL_CLASSES, POSITIVE_CLASSES, rotated_head
from fairheads.planted.constrained import adversarial, lagrangian, massaged, odds_penalty, parity_penalty
from fairheads.planted.data import synthetic
from fairheads.planted.estimate import GroupEstimate
from fairheads.planted.head import plant, plant_head
from fairheads.planted.nulls import (
    aligned,
    auxiliary,
    dropped,
    no_gap,
    no_proxy,
    permuted,
    rare,
    residual_inputs,
    three_groups,
    unconstrained,
    unused,
)
from fairheads.planted.parity import parity_strength
from fairheads.planted.positives import (
    added_head,
    gated_head,
    in_another_basis,
    late_head,
    merged_head,
    redundant_head,
    routed_heads,
    with_effect,
)
from fairheads.planted.recipe import Recipe, small_network
from fairheads.planted.record import Planted
from fairheads.planted.rotation import rotated
from fairheads.planted.routes import routed
from fairheads.planted.setting import Setting, twins_of
from fairheads.planted.truth import true_effect
from fairheads.planted.wiring import Wiring, either, gate, straight
from fairheads.planted.world import World

__all__ = [
    "NULL_CLASSES",
    "POSITIVE_CLASSES",
    "GroupEstimate",
    "Planted",
    "Recipe",
    "Setting",
    "Wiring",
    "World",
    "added_head",
    "adversarial",
    "aligned",
    "auxiliary",
    "dropped",
    "either",
    "gate",
    "gated_head",
    "in_another_basis",
    "lagrangian",
    "late_head",
    "massaged",
    "merged_head",
    "no_gap",
    "no_proxy",
    "odds_penalty",
    "parity_penalty",
    "parity_strength",
    "permuted",
    "plant",
    "plant_head",
    "rare",
    "redundant_head",
    "residual_inputs",
    "rotated",
    "rotated_head",
    "routed",
    "routed_heads",
    "small_network",
    "straight",
    "synthetic",
    "three_groups",
    "true_effect",
    "twins_of",
    "unconstrained",
    "unused",
    "with_effect",
]
