"""Signed attribution: what each unit adds to the effect of the group at equal merit, along the swap's own path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.data import blocks
from fairheads.pathways.effects import Shifts, shifts
from fairheads.pathways.fits import Fits, LayerData
from fairheads.pathways.intervals import jackknife_se
from fairheads.pathways.response import has_gradients, shifted_gradients
from fairheads.pathways.sample import Mask, Sample, shifted_scores
from fairheads.pathways.steps import taken, walked, walked_rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Moves = NDArray[np.float32]

NODES = (3, 8, 32, 128)
"""Nodes of the integral along a path: the first number for every row, the next for the rows it does not suffice for."""

COMPLETE = 1e-2
"""Largest difference between a row's swap effect and the sum of its attributions, in sd of the logit, at which no more
nodes are tried."""

CLOSER = 4e-3
"""The same where the mean of all rows is off by more than `TOLERANCE`."""

TOLERANCE = 2e-4
"""Largest such difference of the mean of all rows; where more nodes leave it larger, every row must be so close.
Ordinary and penalised networks of several activations keep to it (tests/test_attribution.py).
"""


@dataclass(frozen=True, eq=False)
class PathGradients:
    """Mean gradient of every row's score on its path from its activation to the moved one.

    Attributes
    ----------
    gradient : array (n, units)
        ``integral of dscore/dh at h + t shift``, t from 0 to 1.
    score : array (n,)
        At the end of the path.
    error : array (n,)
        ``shift . gradient`` minus the change of the score: 0 where the integral is exact.
    rows : array (n,) of bool
        Those whose gradient was looked for: all of them, where the network has gradients.
    """

    gradient: Moves
    score: Floats
    error: Floats
    rows: Mask


def path_gradients(network: Network, sample: Sample, layer: str, shift: Moves) -> PathGradients:
    """The mean gradient of every row's score along the straight path ``h -> h + shift`` at a layer.

    Gauss and Legendre's rule with 3 nodes, again with more (`NODES`) for the rows whose ``error`` exceeds `COMPLETE`
    standard deviations of the logit, or less where rows err to the same side (`CLOSER`, `TOLERANCE`). A path on which
    no unit bends needs one node, one on which a unit saturates more.

    Where the network has no gradients, one unit after another walks its part of the path, and the slope of its steps is
    its mean gradient: exact as they add up, on the rows of `fairheads.pathways.steps.walked_rows` alone.

    Parameters
    ----------
    network : Network
    sample : Sample
    layer : str
    shift : array (n, units)
    """
    end = shifted_scores(network, sample, layer, shift)
    change, sd = end - sample.score, float(sample.score.std())
    if not has_gradients(network, sample, layer):
        seen = walked_rows(sample, shift.shape[1])
        slope = walked(network, sample, layer, _ways(sample, shift), seen)
        return PathGradients(slope, end, np.where(seen, _summed(shift, slope) - change, 0.0), seen)
    every = np.ones(len(sample), bool)
    gradient, error = np.zeros_like(shift), np.zeros(len(sample))
    moved = shift.any(1)
    rows, sides = np.arange(len(sample)), (moved & sample.member, moved & ~sample.member)
    if not moved.any():
        return PathGradients(shifted_gradients(network, sample, layer, shift)[1], end, error, every)
    for nodes in NODES:
        gradient[rows] = _mean_gradient(network, sample, layer, shift, rows, nodes)
        error[rows] = _summed(shift[rows], gradient[rows]) - change[rows]
        on_average = max(abs(float(error[side].mean())) for side in sides if side.any())
        closer = CLOSER if nodes == NODES[0] else TOLERANCE
        rows = rows[np.abs(error[rows]) > sd * (closer if on_average > sd * TOLERANCE else COMPLETE)]
        if not len(rows):
            break
    return PathGradients(gradient, end, error, every)


def _ways(sample: Sample, shift: Moves) -> Moves:
    """The shift, and for rows that have none the mean of their side: refits may move them, and ask for their slopes."""
    ways, moved = shift.copy(), shift.any(1)
    for side in (sample.member, ~sample.member):
        if (side & moved).any():
            ways[side & ~moved] = shift[side & moved].mean(0)
    return ways


def _summed(shift: Moves, gradient: Moves) -> Floats:
    """``shift . gradient`` of every row, (n,)."""
    return np.asarray(np.einsum("nu,nu->n", shift, gradient, dtype=np.float64))


@lru_cache(maxsize=16)
def _gauss_legendre(nodes: int) -> tuple[Floats, Floats]:
    """Places between 0 and 1 and weights, which add up to 1, of Gauss and Legendre's rule."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return (places + 1) / 2, weights / 2


def _mean_gradient(network: Network, sample: Sample, layer: str, shift: Moves, rows: Ints, nodes: int) -> Moves:
    places, weights = _gauss_legendre(nodes)
    found, start = [], 0
    for batch in blocks(taken(sample, rows)):
        part = shift[rows[start : start + len(batch)]]
        total = np.zeros(part.shape)
        for place, weight in zip(places, weights, strict=True):
            total += weight * network.gradient(batch.inputs, layer, np.float32(place) * part)[1]
        found.append(total.astype(np.float32))
        start += len(batch)
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class UnitAttributions:
    """What each unit of a layer adds to the layer's swap effect, turned, in sd of the logit.

    Attributes
    ----------
    layer : str
    value : array (units,)
        They add up to the swap effect; above 0 is compensating.
    se : array (units,)
        Delete-block standard errors that refit merit readout, bins and contrast, and hold the gradients along the
        paths. NaN where nothing was refitted.
    effect : float
        The layer's turned swap effect, on the rows that were attributed.
    completeness : float
        Sum of the values minus the effect: at most `TOLERANCE` in size, or the integral was too coarse. Of a network
        without gradients 0 but for the rounding of its scores.
    """

    layer: str
    value: Floats
    se: Floats
    effect: float
    completeness: float


def attributed(sample: Sample, made: Shifts, gradient: Moves, sign: int, rows: Mask | None = None) -> Floats:
    """Turned attribution of every unit with these shifts and gradients (units,), on ``rows`` (by default all)."""
    keep = np.ones(len(sample), bool) if rows is None else rows
    moved = keep & made.covered
    if not moved.any():
        return np.full(gradient.shape[1], np.nan)
    sd = float(sample.score[keep].std()) or float("nan")
    # A path is the same either way: a row of the group comes from its activation as reference.
    toward = np.where(sample.member[moved], -1.0, 1.0).astype(np.float32)
    mean = toward @ (made.swap[moved] * gradient[moved]) / moved.sum()
    return np.asarray(-sign * mean / sd, np.float64)


def attribute_units(
    network: Network, sample: Sample, layer: LayerData, refits: Sequence[Fits], sign: int
) -> UnitAttributions:
    """Signed attribution of every unit of a layer to the layer's swap effect.

    Each row's path runs from its activation as reference to its activation as group: ``h -> h + delta_b`` for rows of
    the reference, ``h - delta_b -> h`` for rows of the group, where ``delta_b`` is the cross-fitted contrast of the
    groups in the row's merit bin b. Unit j of row i gets ``delta_bj * integral of dscore_i/dh_j`` along it; reported is
    the mean over the rows whose bin has both groups, times ``-sign``, in sd of the logit.

    Where the network has no gradients the integral is replaced by exact steps, on fewer rows: `path_gradients`.

    Parameters
    ----------
    network : Network
    sample : Sample
    layer : LayerData
    refits : sequence of Fits
        Of `every_fit`; the first alone gives no standard errors, and costs less.
    sign : int
        Sign of the base-rate gap, group minus reference.

    References
    ----------
    Sundararajan, Taly & Yan, Axiomatic attribution for deep networks, ICML 2017.

    Notes
    -----
    A description, never a verdict: a unit's share says through which units the contrast runs, not that the network
    would do without the group if the unit were gone.
    """
    made = shifts(sample, layer, refits[0])
    path = path_gradients(network, sample, layer.name, made.swap)
    value = attributed(sample, made, path.gradient, sign, path.rows)
    replicates = [
        attributed(sample, shifts(sample, layer, fits), path.gradient, sign, path.rows & sample.without(left_out))
        for left_out, fits in enumerate(refits[1:])
    ]
    toward = np.where(sample.member, -1.0, 1.0)
    sd = float(sample.score[path.rows].std()) or float("nan")
    moved = made.covered & path.rows
    effect = -sign * float((toward * (path.score - sample.score))[moved].mean()) / sd if moved.any() else float("nan")
    return UnitAttributions(
        layer=layer.name,
        value=value,
        se=jackknife_se(np.array(replicates)) if replicates else np.full(len(value), np.nan),
        effect=effect,
        completeness=float(value.sum()) - effect,
    )
