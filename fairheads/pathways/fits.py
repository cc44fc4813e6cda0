"""What is fitted to a layer on each half of the rows: merit readout, bins, contrast of the groups, eraser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fairheads.pathways.readout import Contrast, bin_edges, logistic, logistic_without
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Mask, Sample
from fairheads.sums import Moments

Floats = NDArray[np.float64]

BINS = 10
"""Merit bins of swap and erasure. What is left of merit inside them is taken out along slopes, so that five or sixty
give the same effects; fewer leave more rows of both groups in each, where rows are few."""

LIVE = 1e-4
"""Units that vary less than this share of the one that varies most are no part of the merit readout."""

RANK_TOLERANCE = 1e-6
"""Directions with less than this share of the largest variance count as absent when a layer is whitened."""


Ints = NDArray[np.int64]
Places = tuple[Floats, Ints, Mask]


@dataclass(frozen=True, eq=False)
class Half:
    """The rows of one fold: their numbers, and their activations ``h`` and ``z`` as those of the layer."""

    rows: Ints
    h: NDArray[np.float32]
    z: NDArray[np.float32]
    _placed: dict[FoldFit, Places] = field(default_factory=dict)

    def placed(self, fit: FoldFit) -> Places:
        """By what a fit says: merit, merit bin, and whether that bin has rows of both groups; worked out once a fit."""
        if fit not in self._placed:
            merit = (self.z @ fit.merit.astype(np.float32)).astype(np.float64)
            which = np.searchsorted(fit.edges, merit)
            self._placed[fit] = merit, which, fit.enough[which]
        return self._placed[fit]


@dataclass(frozen=True, eq=False)
class LayerData:
    """Activations of one layer, raw ``h`` and standardised ``z`` (live units and a column of 1), and their moments.

    The columns of the moments, one for each jackknife block, are the units, then label, membership and a shuffled
    membership (the control). ``fold`` is that of each row.
    """

    name: str
    h: NDArray[np.float32]
    z: NDArray[np.float32]
    moments: tuple[Moments, ...]
    fold: Ints

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
        return cls(name, h, np.column_stack([z, np.ones(len(h))]).astype(np.float32), moments, sample.fold)

    @cached_property
    def halves(self) -> tuple[Half, Half]:
        """The rows of fold 0, and those of fold 1."""
        first, second = (np.flatnonzero(self.fold == fold) for fold in (0, 1))
        return Half(first, self.h[first], self.z[first]), Half(second, self.h[second], self.z[second])

    def fit(self, fold: int, left_out: int | None) -> Moments:
        """Moments of the rows that fits FOR ``fold`` use: the other fold, less the block left out."""
        used = [b for b in range(JACKKNIFE_BLOCKS) if b % 2 != fold and b != left_out]
        total = Moments.empty(self.units + 3)
        for b in used:
            total = total + self.moments[b]
        return total


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

    @property
    def strength(self) -> float:
        """What the eraser divides by: 0 where the group, given merit, is not in the layer."""
        return float(self.reading @ self.cross)


Fits = tuple[FoldFit, FoldFit]
"""The fits for fold 0 and for fold 1."""


def _fold_fit(
    sample: Sample, layer: LayerData, rows: NDArray[np.int64], moments: Moments, merit: Floats, score: Floats
) -> FoldFit:
    """Everything but the merit readout, from ``rows`` whose merit is ``score``."""
    edges = bin_edges(score, BINS)
    found = Contrast.of(layer.h[rows], score, np.searchsorted(edges, score), sample.member[rows], BINS)
    reading = erasure_direction(moments.covariance[: layer.units, : layer.units], found.cross)
    return FoldFit(merit, edges, found.contrast, found.enough, moments.mean[: layer.units], reading, found.cross)


def _fits_for(sample: Sample, layer: LayerData, fold: int, *, every: bool) -> Iterator[FoldFit]:
    """What is fitted FOR ``fold`` on the other one: on all of it, then, if ``every``, without each of its blocks."""
    half = layer.halves[1 - fold]
    rows, z = half.rows, half.z
    block, y = sample.block[rows], sample.y[rows]
    merit = logistic(z, y)
    fitted: list[tuple[int | None, Floats]] = [(None, merit)]
    if every:
        without = logistic_without(z, y, merit, block // 2)
        fitted += [(2 * number + 1 - fold, coefficients) for number, coefficients in enumerate(without)]
    for left_out, coefficients in fitted:
        kept = block != left_out
        score = (z @ coefficients.astype(np.float32)).astype(np.float64)[kept]
        moments = layer.fit(fold, left_out)
        yield _fold_fit(sample, layer, rows[kept], moments, coefficients, score)


def fits_of(sample: Sample, layer: LayerData) -> Fits:
    """The fits for both folds, each on all rows of the other."""
    first, second = (next(_fits_for(sample, layer, fold, every=False)) for fold in (0, 1))
    return first, second


def every_fit(sample: Sample, layer: LayerData) -> tuple[Fits, ...]:
    """The fits of the full sample, then those without each jackknife block (21).

    A block lies in one fold, so that the fit for that fold never saw it and is that of the full sample.
    """
    zero, one = (tuple(_fits_for(sample, layer, fold, every=True)) for fold in (0, 1))
    without = [
        (zero[0], one[1 + block // 2]) if block % 2 == 0 else (zero[1 + block // 2], one[0])
        for block in range(JACKKNIFE_BLOCKS)
    ]
    return ((zero[0], one[0]), *without)
