"""Group swap and conditional erasure at one layer: where activations are moved to, and what that does to the output."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.metrics import stratified_difference
from fairheads.pathways.fits import Fits, FoldFit, LayerData
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
        for half, fit in zip(layer.halves, fits, strict=True):
            merit[half.rows], which[half.rows], covered[half.rows] = half.placed(fit)
        return cls(merit, which, covered)


def merit_of(sample: Sample, layer: LayerData, fits: Fits) -> Floats:
    """The merit of every row (log-odds of the favourable label), read by the other fold."""
    return Placed.of(sample, layer, fits).merit


@dataclass(frozen=True, eq=False)
class Shifts:
    """What to add to each row's activation, (n, units): for the swap and for the erasure; and where the rows lie.

    Cross-fitted: every row is moved by what the other fold says. Moves are made where they are asked for.
    """

    sample: Sample
    layer: LayerData
    fits: Fits
    placed: Placed

    @cached_property
    def swap(self) -> Moves:
        ways = np.stack([[fit.contrast, -fit.contrast] for fit in self.fits]).astype(np.float32)
        moves: Moves = ways[self.sample.fold, self.sample.member.astype(np.int64), self.placed.bin]
        return moves

    @cached_property
    def erasure(self) -> Moves:
        moves = np.zeros(self.layer.h.shape, np.float32)
        for half, fit in zip(self.layer.halves, self.fits, strict=True):
            if fit.strength > FAINT:
                internal_group = (half.h - fit.mean) @ fit.reading / fit.strength
                moves[half.rows] = np.outer(-internal_group, fit.cross)
        return moves

    @property
    def merit(self) -> Floats:
        return self.placed.merit

    @property
    def covered(self) -> Mask:
        return self.placed.covered


def shifts(sample: Sample, layer: LayerData, fits: Fits) -> Shifts:
    """Cross-fitted shifts: every row is moved by what the other fold says."""
    return Shifts(sample, layer, fits, Placed.of(sample, layer, fits))


def _toward(member: Mask) -> Floats:
    """Which way the swap moves a row along the contrast: the group's to the reference, and the other way round."""
    return np.where(member, -1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Slopes:
    """Gradients of the score (n, units) where the swap and where the erasure have moved the rows, half by half."""

    sample: Sample
    layer: LayerData
    swap: tuple[Moves, Moves]
    erasure: tuple[Moves, Moves]
    _known: dict[FoldFit, tuple[Floats, Floats]] = field(default_factory=dict)

    @classmethod
    def of(cls, sample: Sample, layer: LayerData, swap: Moves, erasure: Moves) -> Slopes:
        first, second = (half.rows for half in layer.halves)
        return cls(sample, layer, (swap[first], swap[second]), (erasure[first], erasure[second]))

    def along(self, fits: Fits) -> tuple[Floats, Floats]:
        """The products (n,) of the gradients with the swap and with the erasure by these fits, without making the
        moves; worked out once a fit, for replicates share them."""
        by_swap, by_erasure = np.zeros(len(self.sample)), np.zeros(len(self.sample))
        for fold, fit in enumerate(fits):
            if fit not in self._known:
                self._known[fit] = self._along(fold, fit)
            rows = self.layer.halves[fold].rows
            by_swap[rows], by_erasure[rows] = self._known[fit]
        return by_swap, by_erasure

    def _along(self, fold: int, fit: FoldFit) -> tuple[Floats, Floats]:
        half = self.layer.halves[fold]
        in_bins = self.swap[fold] @ fit.contrast.T.astype(np.float32)
        which = half.placed(fit)[1]
        by_swap = in_bins[np.arange(len(which)), which] * _toward(self.sample.member[half.rows])
        if fit.strength <= FAINT:
            return by_swap, np.zeros(len(which))
        internal_group = (half.h @ fit.reading.astype(np.float32) - fit.mean @ fit.reading) / fit.strength
        return by_swap, -internal_group * (self.erasure[fold] @ fit.cross.astype(np.float32))


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


def swap_effect(sample: Sample, placed: Placed, swapped: Floats, left_out: int | None = None) -> float:
    """That of `PointEffects` by these scores after swap, on all rows but block ``left_out``; NaN where no row moves."""
    keep, base = sample.without(left_out), sample.score
    moved = keep & placed.covered
    difference = np.where(sample.member, base - swapped, swapped - base)
    return float(difference[moved].mean()) / _sd(base[keep]) if moved.any() else float("nan")


def erasure_effect(sample: Sample, erased: Floats, left_out: int | None = None) -> float:
    """That of `PointEffects` by these scores after erasure, on all rows but block ``left_out``."""
    keep, member = sample.without(left_out), sample.member
    return decision_gap(erased[keep], member[keep]) - decision_gap(sample.score[keep], member[keep])


def _sd(score: Floats) -> float:
    return float(score.std()) or float("nan")


def effects_of(
    sample: Sample, placed: Placed, swapped: Floats, erased: Floats, left_out: int | None = None
) -> PointEffects:
    """The effects that these scores after swap and after erasure show, on all rows but block ``left_out``."""
    keep, base, member = sample.without(left_out), sample.score, sample.member
    difference, _ = stratified_difference(base[keep], member[keep], placed.merit[keep], bins=FINE_BINS)
    return PointEffects(
        swap=swap_effect(sample, placed, swapped, left_out),
        erasure=erasure_effect(sample, erased, left_out),
        equal_merit=difference / _sd(base[keep]),
        flips=(base > 0) != (swapped > 0),
    )


def point_effects(network: Network, sample: Sample, layer: LayerData, fits: Fits) -> PointEffects:
    """Both interventions at one layer with these fits."""
    made = shifts(sample, layer, fits)
    swapped, erased = (shifted_scores(network, sample, layer.name, by) for by in (made.swap, made.erasure))
    return effects_of(sample, made.placed, swapped, erased)
