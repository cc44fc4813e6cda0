"""Group swap and conditional erasure at one layer: where activations are moved to, and what that does to the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.metrics import stratified_difference
from fairheads.pathways.fits import Fits, LayerData
from fairheads.pathways.sample import Mask, Sample, shifted_scores

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Moves = NDArray[np.float32]

FINE_BINS = 50
"""Merit bins of the difference at equal merit."""

FAINT = 1e-12
"""Strength of an eraser below which the group, given merit, counts as absent from a layer."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Where each row lies by what the other fold says: merit (log-odds of the favourable label), merit bin, and whether
    that bin has rows of both groups, so that there is a swap to speak of."""

    merit: Floats
    bin: Ints
    covered: Mask

    @classmethod
    def of(cls, sample: Sample, layer: LayerData, fits: Fits) -> Placed:
        merit, which, covered = np.zeros(len(sample)), np.zeros(len(sample), np.int64), np.zeros(len(sample), bool)
        for fold, fit in enumerate(fits):
            rows = sample.fold == fold
            merit[rows] = layer.z[rows] @ fit.merit.astype(np.float32)
            which[rows] = np.searchsorted(fit.edges, merit[rows])
            covered[rows] = fit.enough[which[rows]]
        return cls(merit, which, covered)


def merit_of(sample: Sample, layer: LayerData, fits: Fits) -> Floats:
    """The merit of every row (log-odds of the favourable label), read by the other fold."""
    return Placed.of(sample, layer, fits).merit


@dataclass(frozen=True, eq=False)
class Shifts:
    """What to add to each row's activation, (n, units): for the swap and for the erasure; and where the rows lie."""

    swap: Moves
    erasure: Moves
    placed: Placed

    @property
    def merit(self) -> Floats:
        return self.placed.merit

    @property
    def covered(self) -> Mask:
        return self.placed.covered


def shifts(sample: Sample, layer: LayerData, fits: Fits) -> Shifts:
    """Cross-fitted shifts: every row is moved by what the other fold says."""
    placed = Placed.of(sample, layer, fits)
    swap, erasure = np.zeros(layer.h.shape, np.float32), np.zeros(layer.h.shape, np.float32)
    for fold, fit in enumerate(fits):
        rows = sample.fold == fold
        swap[rows] = fit.contrast[placed.bin[rows]] * _toward(sample.member[rows])[:, None]
        if fit.strength > FAINT:
            erasure[rows] = -np.outer((layer.h[rows] - fit.mean) @ fit.reading / fit.strength, fit.cross)
    return Shifts(swap, erasure, placed)


def _toward(member: Mask) -> Floats:
    """Which way the swap moves a row along the contrast: the group's to the reference, and the other way round."""
    return np.where(member, -1.0, 1.0)


def along(
    sample: Sample, layer: LayerData, fits: Fits, placed: Placed, swap: Moves, erasure: Moves
) -> tuple[Floats, Floats]:
    """The shifts' products (n,) with gradients of the score (n, units), without making the shifts."""
    by_swap, by_erasure = np.zeros(len(sample)), np.zeros(len(sample))
    for fold, fit in enumerate(fits):
        rows = np.flatnonzero(sample.fold == fold)
        in_bins = swap[rows] @ fit.contrast.T.astype(np.float32)
        by_swap[rows] = in_bins[np.arange(len(rows)), placed.bin[rows]] * _toward(sample.member[rows])
        if fit.strength > FAINT:
            internal_group = (layer.h[rows] @ fit.reading.astype(np.float32) - fit.mean @ fit.reading) / fit.strength
            by_erasure[rows] = -internal_group * (erasure[rows] @ fit.cross.astype(np.float32))
    return by_swap, by_erasure


@dataclass(frozen=True, eq=False)
class PointEffects:
    """Unturned effects at one layer, on the rows that were kept.

    ``swap``: mean logit with the group's activation minus with the reference's, in sd of the logit, over the rows
    whose merit bin has rows of both groups.
    ``erasure``: change of the decision gap (group minus reference). ``equal_merit``: difference of the logit
    between the groups within merit bins, in sd of the logit.
    """

    swap: float
    erasure: float
    equal_merit: float
    flips: Mask


def decision_gap(score: Floats, member: Mask) -> float:
    """Share of favourable decisions (score > 0) in the group minus that in the reference."""
    return float((score[member] > 0).mean() - (score[~member] > 0).mean())


def effects_of(
    sample: Sample, placed: Placed, swapped: Floats, erased: Floats, left_out: int | None = None
) -> PointEffects:
    """The effects that these scores after swap and after erasure show, on all rows but block ``left_out``."""
    keep = sample.without(left_out)
    moved = keep & placed.covered
    base, member = sample.score, sample.member
    sd = float(base[keep].std()) or float("nan")
    as_group, as_reference = np.where(member, base, swapped), np.where(member, swapped, base)
    difference, _ = stratified_difference(base[keep], member[keep], placed.merit[keep], bins=FINE_BINS)
    return PointEffects(
        swap=float((as_group - as_reference)[moved].mean()) / sd if moved.any() else float("nan"),
        erasure=decision_gap(erased[keep], member[keep]) - decision_gap(base[keep], member[keep]),
        equal_merit=difference / sd,
        flips=(as_group > 0) != (as_reference > 0),
    )


def point_effects(network: Network, sample: Sample, layer: LayerData, fits: Fits) -> PointEffects:
    """Both interventions at one layer with these fits."""
    made = shifts(sample, layer, fits)
    swapped, erased = (shifted_scores(network, sample, layer.name, by) for by in (made.swap, made.erasure))
    return effects_of(sample, made.placed, swapped, erased)
