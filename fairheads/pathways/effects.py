"""Group swap and conditional erasure at one layer: the shifts of activations, and what they do to the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.metrics import stratified_difference
from fairheads.pathways.readout import BinMeans, bin_edges, logistic
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Mask, Sample, shifted_scores
from fairheads.sums import Moments

Floats = NDArray[np.float64]

BINS = 20
"""Merit bins of swap and erasure."""

FINE_BINS = 50
"""Merit bins of the difference at equal merit."""

LIVE = 1e-4
"""Units that vary less than this share of the one that varies most are no part of the merit readout."""

RANK_TOLERANCE = 1e-6
"""Directions with less than this share of the largest variance count as absent when a layer is whitened."""


@dataclass(frozen=True, eq=False)
class LayerData:
    """Activations of one layer, raw ``h`` and standardised ``z`` (live units and a column of 1), and their moments.

    The columns of the moments, one for each jackknife block, are the units, then label, membership and a shuffled
    membership (the control).
    """

    name: str
    h: NDArray[np.float32]
    z: NDArray[np.float32]
    moments: tuple[Moments, ...]

    @property
    def units(self) -> int:
        return int(self.h.shape[1])

    @classmethod
    def of(cls, sample: Sample, name: str, h: NDArray[np.float32], control: Mask) -> LayerData:
        rows = np.column_stack([h.astype(np.float64), sample.y, sample.member, control])
        moments = tuple(Moments.of(rows[sample.block == b]) for b in range(JACKKNIFE_BLOCKS))
        sd = rows[:, : h.shape[1]].std(0)
        live = sd > LIVE * max(sd.max(initial=0.0), 1e-30)
        z = (rows[:, : h.shape[1]][:, live] - rows[:, : h.shape[1]][:, live].mean(0)) / sd[live]
        return cls(name, h, np.column_stack([z, np.ones(len(h))]).astype(np.float32), moments)

    def fit(self, sample: Sample, fold: int, left_out: int | None) -> tuple[Moments, Mask]:
        """Moments and mask of the rows that fits FOR ``fold`` use: the other fold, less the block left out."""
        used = [b for b in range(JACKKNIFE_BLOCKS) if b % 2 != fold and b != left_out]
        total = Moments.empty(self.units + 3)
        for b in used:
            total = total + self.moments[b]
        return total, np.isin(sample.block, used)


def erasure_direction(covariance: Floats, cross: Floats) -> Floats:
    """The reading direction ``a`` of the rank-one LEACE eraser ``h - cross (a . (h - mean)) / (a . cross)``.

    ``a`` is the least-squares direction that reads the erased variable. The rank tolerance is relative, and the
    scale of the variable cancels: a rare group is erased as well as a common one.

    References
    ----------
    Belrose et al., LEACE: Perfect linear concept erasure in closed form, NeurIPS 2023, theorem 4.2.
    """
    sd = np.sqrt(np.clip(np.diag(covariance), 0, None))
    live = sd > LIVE * max(sd.max(initial=0.0), 1e-30)
    scale = np.where(live, sd, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale) * np.outer(live, live))
    keep = values > RANK_TOLERANCE * max(values[-1], 0.0)
    basis = vectors[:, keep]
    a: Floats = basis @ ((basis.T @ (cross * live / scale)) / values[keep]) / scale
    return a


@dataclass(frozen=True, eq=False)
class FoldFit:
    """What the other fold says for the rows of one: merit readout, bins, contrast of the groups in each, eraser."""

    merit: Floats
    edges: Floats
    contrast: Floats
    enough: Mask
    mean: Floats
    reading: Floats
    cross: Floats


def fit_fold(
    sample: Sample, layer: LayerData, fold: int, left_out: int | None = None, start: Floats | None = None
) -> FoldFit:
    """Fit everything FOR ``fold``, on the other one without block ``left_out``; ``start`` warms the merit readout."""
    moments, fit = layer.fit(sample, fold, left_out)
    merit = logistic(layer.z[fit], sample.y[fit], start)
    score = (layer.z[fit] @ merit.astype(np.float32)).astype(np.float64)
    edges = bin_edges(score, BINS)
    means = BinMeans.of(layer.h[fit], np.searchsorted(edges, score), sample.member[fit], BINS)
    contrast, enough = means.contrast()
    cross = means.residual_covariance()
    reading = erasure_direction(moments.covariance[: layer.units, : layer.units], cross)
    return FoldFit(merit, edges, contrast, enough, moments.mean[: layer.units], reading, cross)


Fits = tuple[FoldFit, FoldFit]
"""The fits for fold 0 and for fold 1."""


def fits_of(sample: Sample, layer: LayerData, left_out: int | None = None, full: Fits | None = None) -> Fits:
    """The fits for both folds without block ``left_out``.

    That block lies in one fold, so the fit for that fold never saw it and is that of the ``full`` sample.
    """
    if left_out is None or full is None:
        return fit_fold(sample, layer, 0, left_out), fit_fold(sample, layer, 1, left_out)
    kept = left_out % 2
    new = fit_fold(sample, layer, 1 - kept, left_out, start=full[1 - kept].merit)
    return (full[0], new) if kept == 0 else (new, full[1])


@dataclass(frozen=True, eq=False)
class Shifts:
    """What to add to each row's activation, (n, units): for the swap and for the erasure.

    ``merit`` is each row's cross-fitted readout of the label. ``covered`` marks the rows whose merit bin has rows of
    both groups: for the others there is no swap to speak of.
    """

    swap: NDArray[np.float32]
    erasure: NDArray[np.float32]
    merit: Floats
    covered: Mask


def merit_of(sample: Sample, layer: LayerData, fits: Fits) -> Floats:
    """The merit of every row (log-odds of the favourable label), read by the other fold."""
    merit = np.zeros(len(sample))
    for fold, fit in enumerate(fits):
        rows = sample.fold == fold
        merit[rows] = layer.z[rows] @ fit.merit.astype(np.float32)
    return merit


def shifts(sample: Sample, layer: LayerData, fits: Fits) -> Shifts:
    """Cross-fitted shifts: every row is moved by what the other fold says."""
    n, units = layer.h.shape
    swap, erasure = np.zeros((n, units), np.float32), np.zeros((n, units), np.float32)
    merit, covered = merit_of(sample, layer, fits), np.zeros(n, bool)
    for fold, fit in enumerate(fits):
        rows = sample.fold == fold
        which = np.searchsorted(fit.edges, merit[rows])
        covered[rows] = fit.enough[which]
        swap[rows] = fit.contrast[which] * np.where(sample.member[rows], -1.0, 1.0)[:, None]
        strength = float(fit.reading @ fit.cross)
        if strength > 1e-12:
            internal_group = (layer.h[rows] - fit.mean) @ fit.reading / strength
            erasure[rows] = -np.outer(internal_group, fit.cross)
    return Shifts(swap, erasure, merit, covered)


@dataclass(frozen=True, eq=False)
class PointEffects:
    """Unturned effects at one layer, on the rows that were kept: see METHODS in each field's function.

    ``swap``: mean logit with the group's activation minus with the reference's, in sd of the logit, over the rows
    whose merit bin has rows of both groups.
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


def effects_of(
    sample: Sample, made: Shifts, swapped: Floats, erased: Floats, left_out: int | None = None
) -> PointEffects:
    """The effects that these scores after swap and after erasure show, on all rows but block ``left_out``."""
    keep = sample.without(left_out)
    moved = keep & made.covered
    base, member = sample.score, sample.member
    sd = float(base[keep].std()) or float("nan")
    as_group, as_reference = np.where(member, base, swapped), np.where(member, swapped, base)
    difference, _ = stratified_difference(base[keep], member[keep], made.merit[keep], bins=FINE_BINS)
    return PointEffects(
        swap=float((as_group - as_reference)[moved].mean()) / sd if moved.any() else float("nan"),
        erasure=decision_gap(erased[keep], member[keep]) - decision_gap(base[keep], member[keep]),
        equal_merit=difference / sd,
        flips=(as_group > 0) != (as_reference > 0),
        shifts=made,
    )


def point_effects(network: Network, sample: Sample, layer: LayerData, fits: Fits) -> PointEffects:
    """Both interventions at one layer with these fits."""
    made = shifts(sample, layer, fits)
    swapped, erased = (shifted_scores(network, sample, layer.name, by) for by in (made.swap, made.erasure))
    return effects_of(sample, made, swapped, erased)
