"""One group against its reference: everything that is measured before anything is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.data import Dataset
from fairheads.pathways.effects import decision_gap
from fairheads.pathways.intervals import half_width, jackknife_se
from fairheads.pathways.measure import (
    InputMeasure,
    LayerMeasure,
    TwinMeasure,
    generalisation_gap,
    measure_inputs,
    measure_layer,
    within_group_aucs,
)
from fairheads.pathways.pair import Pair
from fairheads.pathways.sample import collect, scores
from fairheads.results import Number

Floats = NDArray[np.float64]

MIN_COVERED = 0.5
"""Smallest share of rows in merit bins that have rows of both groups, for a layer to be looked at."""


@dataclass(frozen=True)
class Background:
    """What is known about training: None where it is not.

    ``rows_disjoint``: the audited rows are no training rows. ``twins_matched``: the twins were trained on the model's
    own rows. ``generalisation_gap``: the model's training minus held-out AUC within groups, and the twins' mean;
    ``generalisation_error`` is the standard error of their difference.
    """

    rows_disjoint: bool | None = None
    twins_matched: bool | None = None
    generalisation_gap: tuple[float, float] | None = None
    generalisation_error: float = 0.0


@dataclass(frozen=True, eq=False)
class Case:
    """One group against its reference: everything measured, nothing judged.

    ``untestable`` says why nothing was measured at the layers, ``unreadable`` that no layer shows the group: then there
    is no head, and the question is whether merit was dropped.
    """

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
    unreadable: bool = False


def measure_case(
    network: Network,
    twins: Sequence[TwinMeasure],
    pair: Pair,
    layers: Sequence[str],
    *,
    background: Background,
    train_data: Dataset | None = None,
) -> Case:
    """Everything that the verdict on this pair rests on: the network's layers and its inputs, beside its twins.

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
    measured = [measure_layer(network, sample, name, pair.control, pair.sign) for name in layers]
    seen = [index for index, layer in enumerate(measured) if layer.covered >= MIN_COVERED]
    if not seen:
        covered = max(layer.covered for layer in measured)
        reason = f"only {covered:.0%} of the rows lie in merit bins that have rows of both groups"
        return replace(case, untestable=reason)
    within = within_group_aucs(sample.score, sample)
    own = generalisation_gap(network, float(within[0]), train_data, pair)
    theirs = np.mean([twin.generalisation_gap for twin in twins]) if twins else float("nan")
    if not np.isnan(own - theirs):
        error = _generalisation_error(within, twins, len(data), train_data)
        background = replace(background, generalisation_gap=(own, float(theirs)), generalisation_error=error)
    return replace(
        case,
        layers=tuple(measured[index] for index in seen),
        auc_within=within,
        inputs=measure_inputs(sample, pair.control, pair.sign),
        twins=tuple(twin.at(seen) for twin in twins),
        background=background,
        unreadable=not any(_readable(measured[index]) for index in seen),
    )


def _generalisation_error(within: Floats, twins: Sequence[TwinMeasure], n: int, train_data: Dataset | None) -> float:
    """Standard error of a difference of generalisation gaps: the held-out part's own, and as much a training row."""
    held_out = within - np.mean([twin.auc_within for twin in twins], axis=0)
    training = n if train_data is None else min(n, len(train_data))
    return float(jackknife_se(held_out[1:, None])[0]) * math.sqrt(1 + n / training)


def _readable(layer: LayerMeasure) -> bool:
    """Whether the probe reads the group better than chance."""
    return layer.point["probe_auc"] - half_width(layer.column("probe_auc")) > 0.5
