"""One group against its reference: everything that is measured before anything is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.data import Dataset
from fairheads.pathways.effects import decision_gap
from fairheads.pathways.intervals import jackknife_se, pointwise_critical
from fairheads.pathways.measure import (
    InputMeasure,
    LayerMeasure,
    TwinMeasure,
    measure_inputs,
    measure_layer,
    measure_twin,
    within_group_aucs,
)
from fairheads.pathways.pair import Pair, at_most
from fairheads.pathways.probes import score_auc_within_groups
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, collect, scores
from fairheads.results import Number

Floats = NDArray[np.float64]

MIN_COVERED = 0.5
"""Smallest share of rows in merit bins that have rows of both groups, for a layer to be looked at."""


@dataclass(frozen=True)
class Background:
    """What is known about training: None where it is not.

    ``rows_disjoint``: the audited rows are no training rows. ``twins_matched``: the twins were trained on the model's
    own rows. ``generalisation_gap``: the model's training minus held-out AUC within groups, and the twins' mean.
    """

    rows_disjoint: bool | None = None
    twins_matched: bool | None = None
    generalisation_gap: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One group against its reference: everything measured, nothing judged."""

    group: str
    reference: str
    n: int
    orientation: int
    base_rate_gap: Number
    gap: float
    layers: tuple[LayerMeasure, ...]
    auc_within: Floats
    inputs: InputMeasure | None
    twins: tuple[TwinMeasure, ...]
    row_id: NDArray[np.int64]
    tap_is_inert: bool
    background: Background
    untestable: str | None
    seed: int


def measure_case(
    network: Network,
    twins: Sequence[Network],
    pair: Pair,
    layers: Sequence[str],
    *,
    background: Background,
    train_data: Dataset | None = None,
) -> Case:
    """Everything that the verdict on this pair rests on: the network's layers, its inputs and its twins.

    ``train_data`` are the training rows where they are at hand: the check on overfitting needs them.
    """
    data, member = pair.data, pair.member
    sample = collect(network, data, member, layers, pair.seed)
    case = Case(
        group=pair.names[0],
        reference=pair.names[1],
        n=len(data),
        orientation=pair.orientation,
        base_rate_gap=pair.base_rate_gap,
        gap=decision_gap(sample.score, member),
        layers=(),
        auc_within=np.array([]),
        inputs=None,
        twins=(),
        row_id=data.row_id,
        tap_is_inert=bool(np.array_equal(scores(network, sample.batches), sample.score)),
        background=background,
        untestable=pair.too_small,
        seed=pair.seed,
    )
    if case.untestable is None and np.ptp(sample.score) == 0:
        case = replace(case, untestable="the score is the same for every row")
    if case.untestable is None and not layers:
        case = replace(case, untestable="the network has no hidden layer to look into")
    if case.untestable is not None:
        return case
    control, sign = pair.control, pair.sign
    measured = [measure_layer(network, sample, name, control, sign) for name in layers]
    seen = tuple(layer for layer in measured if layer.covered >= MIN_COVERED)
    if not seen:
        covered = max(layer.covered for layer in measured)
        reason = f"only {covered:.0%} of the rows lie in merit bins that have rows of both groups"
        return replace(case, untestable=reason)
    names = [layer.name for layer in seen]
    own = within_group_aucs(sample.score, sample)
    others = tuple(measure_twin(twin, data, member, names, control, sign, pair.seed) for twin in twins)
    held_out = [own[0], *(twin.auc_within[0] for twin in others)]
    return replace(
        case,
        layers=seen,
        auc_within=own,
        inputs=measure_inputs(sample, control, sign),
        twins=others,
        background=replace(background, generalisation_gap=_overfitting([network, *twins], held_out, train_data, pair)),
        untestable=_unreadable(seen),
    )


def _unreadable(layers: tuple[LayerMeasure, ...]) -> str | None:
    critical = pointwise_critical(JACKKNIFE_BLOCKS, 0.025)
    lows = [m.point["probe_auc"] - critical * jackknife_se(m.column("probe_auc")[:, None])[0] for m in layers]
    return None if max(lows) > 0.5 else "the group cannot be read from any layer"


def _overfitting(
    networks: list[Network], held_out: list[float], train_data: Dataset | None, pair: Pair
) -> tuple[float, float] | None:
    """Training minus held-out AUC within groups, of the model and of its twins on average; None if it cannot be had."""
    if train_data is None or len(networks) < 2 or not set(pair.names) <= set(train_data.group_names):
        return None
    codes = [train_data.group_names.index(name) for name in pair.names]
    rows = np.flatnonzero(np.isin(train_data.group, codes))
    if not len(rows):
        return None
    part = train_data.take(at_most(len(pair.data), rows, pair.seed))
    trained = [score_auc_within_groups(scores(n, part), part.y, part.group == codes[0]) for n in networks]
    gaps = np.subtract(trained, held_out)
    return (float(gaps[0]), float(gaps[1:].mean())) if np.isfinite(gaps).all() else None
