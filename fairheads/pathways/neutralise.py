"""Pathway neutralisation: the difference between the groups at equal merit is taken out of a few units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.pathways.attribution import PathGradients, attributed, path_gradients
from fairheads.pathways.effects import decision_gap, merit_of, shifts
from fairheads.pathways.fits import BINS, Fits, LayerData
from fairheads.pathways.response import response_near
from fairheads.pathways.sample import Sample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Moves = NDArray[np.float32]

SHARE = 0.25
"""Share of a layer's units that are neutralised."""


@dataclass(frozen=True, eq=False)
class Neutralised:
    """What neutralising the units that push most in one direction does, turned: above 0 they were compensating.

    Attributes
    ----------
    layer : str
    units : tuple of int
        Units that both halves of the rows choose.
    gap : float
        Change of the decision gap, group minus reference.
    logit : float
        Change of the difference of the mean logit, in sd of the logit.
    replicates : array (20, 2) or (0, 2)
        Both without each jackknife block, everything refitted and chosen anew.
    """

    layer: str
    units: tuple[int, ...]
    gap: float
    logit: float
    replicates: Floats


def neutralise_units(
    network: Network, sample: Sample, layer: LayerData, refits: Sequence[Fits], sign: int, direction: int = 1
) -> Neutralised:
    """What becomes of the groups' difference when a pathway is neutralised: the units that push most, as found on the
    other half of the rows.

    On one half of the rows the quarter of the units is chosen whose signed attribution in ``direction`` is the largest
    (fewer where fewer have that sign). On the other half they get ``h_j - (E[h_j | g, b] - E[h_j | b])``, with the
    means given group g and merit bin b of the half that chose, at equal merit inside the bin; and the other way
    round. ``E[h_j | b]`` is the mean over the rows of the bin, so that the bin's mean stays.

    Parameters
    ----------
    network : Network
    sample : Sample
    layer : LayerData
    refits : sequence of Fits
        Of `every_fit`; the first alone gives no replicates, and costs less.
    sign : int
        Sign of the base-rate gap, group minus reference.
    direction : int
        1 neutralises units that push against the base-rate gap, -1 those that push along it.

    Notes
    -----
    The choice alone moves the gap: in every network some units push against the gap and others along it. The number
    says something only beside what the same call gives for twins, with the same ``direction``. Replicates choose anew
    with the gradients along the paths held, and follow the response's derivative.
    """
    own = shifts(sample, layer, _own(refits[0]))
    path = path_gradients(network, sample, layer.name, own.swap)
    full, chosen = _moves(sample, layer, refits[0], path, sign * direction)
    response = response_near(network, sample, layer.name, full)

    def measured(moves: Moves, left_out: int | None) -> tuple[float, float]:
        keep = sample.without(left_out)
        member, before, after = sample.member[keep], sample.score[keep], response(moves)[keep]
        change = after - before
        sd = float(before.std()) or float("nan")
        gap = decision_gap(after, member) - decision_gap(before, member)
        return sign * gap, sign * float(change[member].mean() - change[~member].mean()) / sd

    replicates = [
        measured(_moves(sample, layer, fits, path, sign * direction, left_out)[0], left_out)
        for left_out, fits in enumerate(refits[1:])
    ]
    gap, logit = measured(full, None)
    return Neutralised(
        layer=layer.name,
        units=tuple(np.intersect1d(*chosen).tolist()),
        gap=gap,
        logit=logit,
        replicates=np.array(replicates).reshape(-1, 2),
    )


def _own(fits: Fits) -> Fits:
    """Fits that give every row what its own half says: for choosing on that half alone."""
    return fits[1], fits[0]


def _moves(
    sample: Sample, layer: LayerData, fits: Fits, path: PathGradients, sign: int, left_out: int | None = None
) -> tuple[Moves, tuple[Ints, Ints]]:
    """What to add to every row's activation, and the units chosen for each fold."""
    own, across = shifts(sample, layer, _own(fits)), shifts(sample, layer, fits)
    weight = _other_share(sample, layer, fits, left_out)
    moves = np.zeros_like(layer.h)
    chosen = []
    for fold in (0, 1):
        chooses, moved = (sample.fold != fold) & sample.without(left_out), sample.fold == fold
        pushes = attributed(sample, own, path.gradient, sign, rows=chooses & path.rows)
        first = np.argsort(-pushes, kind="stable")[: int(np.ceil(SHARE * layer.units))]
        units = np.sort(first[pushes[first] > 0])
        chosen.append(units)
        here = np.ix_(moved, units)
        moves[here] = across.swap[here] * weight[moved, None]
    return moves, (chosen[0], chosen[1])


def _other_share(sample: Sample, layer: LayerData, fits: Fits, left_out: int | None) -> NDArray[np.float32]:
    """Share of the other group in every row's merit bin, on the half that the row's fit was made on (n,): so far is it
    from the group's mean to the bin's, as a part of the way to the other group's."""
    merit, share = merit_of(sample, layer, fits), np.zeros(len(sample), np.float32)
    for fold, fit in enumerate(fits):
        fitted, rows = (sample.fold != fold) & sample.without(left_out), sample.fold == fold
        bins = np.searchsorted(fit.edges, layer.z[fitted] @ fit.merit.astype(np.float32))
        member = np.bincount(bins, sample.member[fitted], BINS) / np.maximum(np.bincount(bins, minlength=BINS), 1)
        of_group = member[np.searchsorted(fit.edges, merit[rows])]
        share[rows] = np.where(sample.member[rows], 1 - of_group, of_group)
    return share
