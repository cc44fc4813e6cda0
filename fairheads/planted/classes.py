"""All classes of networks whose answer is known. A new class is one function from a setting to a record, named here."""

from __future__ import annotations

from collections.abc import Callable

from fairheads.planted.constrained import adversarial, lagrangian, massaged, odds_penalty, parity_penalty
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
from fairheads.planted.positives import (
    added_head,
    gated_head,
    in_another_basis,
    merged_head,
    redundant_head,
    routed_heads,
)
from fairheads.planted.record import Planted
from fairheads.planted.setting import Setting

Builder = Callable[[Setting], Planted]


def rotated_head(setting: Setting) -> Planted:
    """ROT PLANT: the plain planted head in another basis."""
    return in_another_basis(added_head(setting))


NULL_CLASSES: tuple[Builder, ...] = (
    unconstrained,
    auxiliary,
    unused,
    aligned,
    residual_inputs,
    no_gap,
    dropped,
    no_proxy,
    permuted,
    rare,
    three_groups,
)
"""No compensating head. In `dropped` and `no_proxy` there is suppression, in `aligned` a head the other way."""

POSITIVE_CLASSES: tuple[Builder, ...] = (
    added_head,
    merged_head,
    gated_head,
    redundant_head,
    rotated_head,
    routed_heads,
    parity_penalty,
    odds_penalty,
    lagrangian,
    adversarial,
    massaged,
)
"""A compensating head, planted or learned; in `routed_heads` separate pathways."""
