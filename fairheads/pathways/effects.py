"""Group swap and conditional erasure at one layer: the shifts of activations, and what they do to the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.metrics import stratified_difference
from fairheads.pathways.readout import BinMeans, Readout, bin_edges, readout
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Mask, Sample, shifted_scores
from fairheads.sums import Moments

Floats = NDArray[np.float64]

BINS = 20
"""Merit bins of swap and erasure."""

FINE_BINS = 50
"""Merit bins of the difference at equal merit."""

RANK_TOLERANCE = 1e-6
"""Directions with less than this share of the largest variance count as absent when a layer is whitened."""


@dataclass(frozen=True, eq=False)
class LayerData:
    """Activations of one layer with their moments per jackknife block.

    The columns of the moments are the units, then label, membership and a shuffled membership (the control).
    """

    name: str
    h: NDArray[np.float32]
    moments: tuple[Moments, ...]

    @property
    def units(self) -> int:
        return int(self.h.shape[1])

    @classmethod
    def of(cls, sample: Sample, name: str, h: NDArray[np.float32], control: Mask) -> LayerData:
        rows = np.column_stack([h.astype(np.float64), sample.y, sample.member, control])
        return cls(name, h, tuple(Moments.of(rows[sample.block == b]) for b in range(JACKKNIFE_BLOCKS)))

    def fit(self, sample: Sample, fold: int, left_out: int | None) -> tuple[Moments, Mask]:
        """Moments and mask of the rows that fits FOR ``fold`` use: the other fold, less the block left out."""
        used = [b for b in range(JACKKNIFE_BLOCKS) if b % 2 != fold and b != left_out]
        total = Moments.empty(self.units + 3)
        for b in used:
            total = total + self.moments[b]
        return total, np.isin(sample.block, used)


@dataclass(frozen=True, eq=False)
class Shifts:
    """What to add to each row's activation, (n, units): for the swap and for the erasure.

    ``merit`` is each row's cross-fitted readout of the label, ``covered`` the share of rows whose merit bin has
    rows of both groups: the others are not moved by the swap.
    """

    swap: NDArray[np.float32]
    erasure: NDArray[np.float32]
    merit: Floats
    covered: float


def erasure_direction(covariance: Floats, cross: Floats) -> Floats:
    """The reading direction ``a`` of the rank-one LEACE eraser ``h - cross (a . (h - mean)) / (a . cross)``.

    ``a`` is the least-squares direction that reads the erased variable. The rank tolerance is relative, and the
    scale of the variable cancels: a rare group is erased as well as a common one.

    References
    ----------
    Belrose et al., LEACE: Perfect linear concept erasure in closed form, NeurIPS 2023, theorem 4.2.
    """
    values, vectors = np.linalg.eigh(covariance)
    keep = values > RANK_TOLERANCE * max(values[-1], 0.0)
    basis = vectors[:, keep]
    a: Floats = basis @ ((basis.T @ cross) / values[keep])
    return a


def shifts(sample: Sample, layer: LayerData, left_out: int | None = None) -> Shifts:
    """Cross-fitted shifts of every row: fitted without the row's own fold, and without block ``left_out``."""
    n, units = layer.h.shape
    swap, erasure = np.zeros((n, units), np.float32), np.zeros((n, units), np.float32)
    merit, covered = np.zeros(n), 0
    for fold in (0, 1):
        moments, fit = layer.fit(sample, fold, left_out)
        read: Readout = readout(moments, units, 0)
        score = read(layer.h)
        edges = bin_edges(score[fit], BINS)
        which = np.searchsorted(edges, score)
        means = BinMeans.of(layer.h[fit], which[fit], sample.member[fit], BINS)
        test = sample.fold == fold
        merit[test] = score[test]
        direction = np.where(sample.member[test], -1.0, 1.0)
        contrast, enough = means.contrast()
        swap[test] = contrast[which[test]] * direction[:, None]
        covered += int(enough[which[test]].sum())
        cross = means.residual_covariance()
        a = erasure_direction(moments.covariance[:units, :units], cross)
        strength = float(a @ cross)
        if strength > 1e-12:
            internal_group = (layer.h[test] - moments.mean[:units]) @ a / strength
            erasure[test] = -np.outer(internal_group, cross)
    return Shifts(swap, erasure, merit, covered / n)


@dataclass(frozen=True, eq=False)
class PointEffects:
    """Unturned effects at one layer, on the rows that were kept: see METHODS in each field's function.

    ``swap``: mean logit with the group's activation minus with the reference's, in sd of the logit.
    ``erasure``: change of the decision gap (group minus reference). ``equal_merit``: difference of the logit
    between the groups within merit bins, in sd of the logit.
    """

    swap: float
    erasure: float
    equal_merit: float
    flips: Mask
    shifts: Shifts


def decision_gap(score: Floats, member: Mask) -> float:
    """Share of favourable decisions (score > 0) in the group minus that in the reference."""
    return float((score[member] > 0).mean() - (score[~member] > 0).mean())


def point_effects(network: Network, sample: Sample, layer: LayerData, left_out: int | None = None) -> PointEffects:
    """Both interventions at one layer, everything refitted without block ``left_out`` and measured on the rest."""
    made = shifts(sample, layer, left_out)
    keep = np.ones(len(sample), bool) if left_out is None else sample.block != left_out
    swapped = shifted_scores(network, sample, layer.name, made.swap)
    erased = shifted_scores(network, sample, layer.name, made.erasure)
    base, member = sample.score, sample.member
    sd = float(base[keep].std()) or float("nan")
    as_group, as_reference = np.where(member, base, swapped), np.where(member, swapped, base)
    difference, _ = stratified_difference(base[keep], member[keep], made.merit[keep], bins=FINE_BINS)
    return PointEffects(
        swap=float((as_group - as_reference)[keep].mean()) / sd,
        erasure=decision_gap(erased[keep], member[keep]) - decision_gap(base[keep], member[keep]),
        equal_merit=difference / sd,
        flips=(as_group > 0) != (as_reference > 0),
        shifts=made,
    )
