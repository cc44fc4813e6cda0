"""Everything that is measured on one network for one group and its reference, before anything is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.data import Dataset
from fairheads.metrics import merit_bins, stratified_difference
from fairheads.pathways.effects import (
    FINE_BINS,
    Placed,
    PointEffects,
    Shifts,
    Slopes,
    decision_gap,
    effects_of,
    merit_of,
    shifts,
)
from fairheads.pathways.fits import BINS, Fits, LayerData, every_fit
from fairheads.pathways.pair import Pair, at_most
from fairheads.pathways.probes import ProbeAucs, Probes, readable_after_shift, score_auc_within_groups
from fairheads.pathways.response import has_gradients, response_near, shifted_gradients
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Mask, Sample, collect, scores, shifted_scores
from fairheads.results import MeritCurve

Floats = NDArray[np.float64]

QUANTITIES = ("swap", "erasure", "equal_merit", "flips", "probe_auc", "control_auc", "merit_auc")
"""Columns of a layer's replicates. Effects are turned: above 0 is compensating."""

MAX_INPUT_COLUMNS = 2_000
"""Widest table of inputs that the outside merit readout is fitted on."""


@dataclass(frozen=True, eq=False)
class LayerMeasure:
    """One layer: point values and delete-block replicates of `QUANTITIES`, and what erasure leaves behind."""

    name: str
    units: int
    point: dict[str, float]
    replicates: Floats
    flips: Mask
    covered: float
    group_auc_before: float
    group_auc_after: float
    merit_auc_before: float
    merit_auc_after: float
    unchanged_by_identity: bool
    curve: MeritCurve

    def column(self, quantity: str) -> Floats:
        """The replicates of one quantity."""
        return self.replicates[:, QUANTITIES.index(quantity)]


@dataclass(frozen=True, eq=False)
class InputMeasure:
    """What an outside readout of the inputs says: its AUCs, its ranking within groups, the difference at its merit."""

    aucs: ProbeAucs
    auc_within: Floats
    equal_merit: Floats


@dataclass(frozen=True, eq=False)
class TwinMeasure:
    """A twin on the same rows in the same blocks.

    ``effects`` (layers, 2): turned swap and erasure; ``replicates`` (20, layers, 2): the same without each block;
    decision gap; AUC within groups, of all rows first, then without each block; the same AUC on the training rows less
    that on these (``generalisation_gap``), NaN where those are not at hand.
    """

    effects: Floats
    replicates: Floats
    gap: float
    auc_within: Floats
    generalisation_gap: float = float("nan")

    def at(self, layers: Sequence[int]) -> TwinMeasure:
        """The same twin at some of its layers."""
        return replace(self, effects=self.effects[list(layers)], replicates=self.replicates[:, list(layers)])


TURN = {"swap": -1, "erasure": 1, "equal_merit": -1}
"""What makes compensating positive in each effect, where the labels of the group lie higher; elsewhere the opposite."""


def turned(effects: PointEffects, sign: int) -> tuple[float, float, float]:
    """Swap, erasure and difference at equal merit with the sign that makes compensating positive."""
    swap, erasure, equal_merit = (sign * turn for turn in TURN.values())
    return swap * effects.swap, erasure * effects.erasure, equal_merit * effects.equal_merit


def _point(effects: PointEffects, aucs: ProbeAucs, keep: Mask, sign: int) -> list[float]:
    return [*turned(effects, sign), float(effects.flips[keep].mean()), aucs.member, aucs.control, aucs.label]


@dataclass(frozen=True, eq=False)
class Refitted:
    """The effects at one layer: of all rows first, then without each block, everything fitted anew; and the full fit's
    moves."""

    effects: tuple[PointEffects, ...]
    full: Shifts


CLOSE = 0.5
"""Largest error of the derivative, as a share of what a replicate changes in the scores: a derivative that says nothing
(steps, quantised layers) is off by all of it, one of a network with kinks by a tenth."""

Scored = tuple[Placed, Floats, Floats]
"""Where the rows lie, and their scores after swap and after erasure."""


def refitted_effects(network: Network, sample: Sample, layer: LayerData) -> Refitted:
    """Both interventions with their replicates.

    Replicates follow the response's derivative about the full fit's moves instead of running on: standard errors are
    those of running on to within 3 % (tests/test_response.py), for a tenth of the passes where the network has
    gradients. One replicate is run on to make sure; where the derivative is no guide, all are.
    """
    fits = every_fit(sample, layer)
    full = shifts(sample, layer, fits[0])
    scored = _by_derivative(network, sample, layer, fits, full)
    if scored is None:
        scored = [_run_on(network, sample, layer, full)]
        scored += [_run_on(network, sample, layer, shifts(sample, layer, fit)) for fit in fits[1:]]
    blocks = (None, *range(JACKKNIFE_BLOCKS))
    effects = (effects_of(sample, *each, left_out) for left_out, each in zip(blocks, scored, strict=True))
    return Refitted(tuple(effects), full)


def _run_on(network: Network, sample: Sample, layer: LayerData, made: Shifts) -> Scored:
    swapped, erased = (shifted_scores(network, sample, layer.name, by) for by in (made.swap, made.erasure))
    return made.placed, swapped, erased


def _by_derivative(
    network: Network, sample: Sample, layer: LayerData, fits: Sequence[Fits], full: Shifts
) -> list[Scored] | None:
    """The scores of the full fit, then those of every replicate to first order; None where that is no guide."""
    by = _by_gradients if has_gradients(network, sample, layer.name) else _by_steps
    scored = by(network, sample, layer, fits, full)
    exact = _run_on(network, sample, layer, shifts(sample, layer, fits[1]))
    for kind in (1, 2):
        told, is_, was = (np.asarray(each[kind]) for each in (scored[1], exact, scored[0]))
        if np.linalg.norm(told - is_) > CLOSE * np.linalg.norm(is_ - was) + 1e-6 * np.linalg.norm(was):
            return None
    return scored


def _by_gradients(
    network: Network, sample: Sample, layer: LayerData, fits: Sequence[Fits], full: Shifts
) -> list[Scored]:
    at = [shifted_gradients(network, sample, layer.name, by) for by in (full.swap, full.erasure)]
    slopes = Slopes.of(sample, layer, at[0][1], at[1][1])
    start = slopes.along(fits[0])
    scored: list[Scored] = [(full.placed, at[0][0], at[1][0])]
    for fit in fits[1:]:
        swapped, erased = (score + b - a for (score, _), a, b in zip(at, start, slopes.along(fit), strict=True))
        scored.append((Placed.of(sample, layer, fit), swapped, erased))
    return scored


def _by_steps(network: Network, sample: Sample, layer: LayerData, fits: Sequence[Fits], full: Shifts) -> list[Scored]:
    swapped, erased = (response_near(network, sample, layer.name, by) for by in (full.swap, full.erasure))
    every = (full, *(shifts(sample, layer, fit) for fit in fits[1:]))
    return [(made.placed, swapped(made.swap), erased(made.erasure)) for made in every]


def measure_layer(network: Network, sample: Sample, name: str, control: Mask, sign: int) -> LayerMeasure:
    """Both interventions and all probes at one layer, with the 20 replicates that refit everything."""
    layer = LayerData.of(sample, name, sample.activations[name], control)
    refitted = refitted_effects(network, sample, layer)
    (effects, *others), made = refitted.effects, refitted.full
    probes = Probes(sample, layer, control)
    point = _point(effects, probes.aucs(), sample.without(None), sign)
    replicates = [
        _point(other, probes.aucs(left_out), sample.without(left_out), sign) for left_out, other in enumerate(others)
    ]
    group_before, merit_before = readable_after_shift(sample, layer.h, made.merit)
    group_after, merit_after = readable_after_shift(sample, layer.h + made.erasure, made.merit)
    identity = shifted_scores(network, sample, name, np.zeros_like(layer.h))
    return LayerMeasure(
        name=name,
        units=layer.units,
        point=dict(zip(QUANTITIES, point, strict=True)),
        replicates=np.array(replicates),
        flips=effects.flips,
        covered=float(made.covered.mean()),
        group_auc_before=group_before,
        group_auc_after=group_after,
        merit_auc_before=merit_before,
        merit_auc_after=merit_after,
        unchanged_by_identity=bool(np.array_equal(identity, sample.score)),
        curve=merit_curve(sample, name, made),
    )


def merit_curve(sample: Sample, name: str, made: Shifts) -> MeritCurve:
    """Mean score of each group in merit bins that have at least five rows of both."""
    which = merit_bins(made.merit, BINS)
    rows = []
    for b in range(BINS):
        here = which == b
        group, reference = here & sample.member, here & ~sample.member
        if min(group.sum(), reference.sum()) >= 5:
            rows.append([float(made.merit[here].mean()), *(float(sample.score[m].mean()) for m in (group, reference))])
    merit, group_curve, reference_curve = (
        (tuple(column) for column in zip(*rows, strict=True)) if rows else ((), (), ())
    )
    return MeritCurve(layer=name, merit=merit, group=group_curve, reference=reference_curve)


def measure_inputs(sample: Sample, control: Mask, sign: int) -> InputMeasure | None:
    """The outside reference: linear readouts of the inputs, where these are one table of moderate width."""
    tables = [np.concatenate([b.inputs[key] for b in sample.batches]) for key in sample.batches[0].inputs]
    if len(tables) != 1 or tables[0].ndim != 2 or tables[0].shape[1] > MAX_INPUT_COLUMNS:
        return None
    layer = LayerData.of(sample, "input", tables[0].astype(np.float32, copy=False), control)
    within, at_merit = [], []
    for left_out, fits in zip((None, *range(JACKKNIFE_BLOCKS)), every_fit(sample, layer), strict=True):
        keep = sample.without(left_out)
        merit = merit_of(sample, layer, fits)
        base, member = sample.score[keep], sample.member[keep]
        within.append(score_auc_within_groups(merit[keep], sample.y[keep], member))
        difference, _ = stratified_difference(base, member, merit[keep], bins=FINE_BINS)
        at_merit.append(-sign * difference / (float(base.std()) or float("nan")))
    return InputMeasure(Probes(sample, layer, control).aucs(), np.array(within), np.array(at_merit))


def within_group_aucs(score: Floats, sample: Sample) -> Floats:
    """AUC within groups of a score: on the full sample, then without each jackknife block (21,)."""
    keeps = [sample.without(left_out) for left_out in (None, *range(JACKKNIFE_BLOCKS))]
    return np.array([score_auc_within_groups(score[k], sample.y[k], sample.member[k]) for k in keeps])


def measure_twin(twin: Network, pair: Pair, layers: Sequence[str], train_data: Dataset | None = None) -> TwinMeasure:
    """The twin's effects at the same layers, on the same rows in the same folds."""
    sample = collect(twin, pair.data, pair.member, layers, pair.seed)
    made = []
    for name in layers:
        layer = LayerData.of(sample, name, sample.activations[name], pair.control)
        made.append([turned(effects, pair.sign)[:2] for effects in refitted_effects(twin, sample, layer).effects])
    all_rows, *replicates = np.array(made).transpose(1, 0, 2)
    within = within_group_aucs(sample.score, sample)
    return TwinMeasure(
        effects=all_rows,
        replicates=np.array(replicates),
        gap=decision_gap(sample.score, sample.member),
        auc_within=within,
        generalisation_gap=generalisation_gap(twin, float(within[0]), train_data, pair),
    )


def generalisation_gap(network: Network, held_out: float, train_data: Dataset | None, pair: Pair) -> float:
    """AUC within groups on the training rows minus ``held_out``, on as many rows; NaN where it cannot be had."""
    if train_data is None or not set(pair.names) <= set(train_data.group_names):
        return float("nan")
    codes = [train_data.group_names.index(name) for name in pair.names]
    rows = np.flatnonzero(np.isin(train_data.group, codes))
    if not len(rows):
        return float("nan")
    part = train_data.take(at_most(len(pair.data), rows, pair.seed))
    return score_auc_within_groups(scores(network, part), part.y, part.group == codes[0]) - held_out
