"""Routed heads: whether each group runs through units of its own, seen by taking these units' signal away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.pathways.fits import BINS, Fits, FoldFit, LayerData
from fairheads.pathways.readout import BinMeans
from fairheads.pathways.response import has_gradients, response_near, shifted_gradients
from fairheads.pathways.sample import Mask, Sample
from fairheads.pathways.steps import slopes, walked_rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Moves = NDArray[np.float32]
Chosen = tuple[Ints, Ints]

SHARE = 0.25
"""Share of a layer's units that may be a group's pathway."""

FLOOR = 0.05
"""Share of a group's variance below which a loss is not told from none.

First layers of ordinary networks lose a few hundredths without the one pathway and nothing without the other, of which
a smaller floor would make a large dissociation. With this one it exceeds 3 at every layer of two experts, and at none
of an ordinary network, a penalised one or one with a planted head (tests/test_routing.py).
"""


@dataclass(frozen=True, eq=False)
class LayerRouting:
    """How far the groups have pathways of their own at one layer. Index 0 is the reference, 1 the group.

    Attributes
    ----------
    layer : str
    matrix : array (2, 2)
        ``M[a, q]``: share of the logit's variance in group q that is lost without the pathway of a; at least `FLOOR`.
    shares : array (2, units)
        Each group's contribution of every unit; each row adds up to 1.
    overlap : float
        Of these profiles, 0 to 1: the sum of the smaller share of every unit.
    units : two arrays of int
        The pathway of each group: units that both halves of the rows choose.
    replicates : array (20,) or (0,)
        Dissociation without each jackknife block, everything refitted.
    """

    layer: str
    matrix: Floats
    shares: Floats
    overlap: float
    units: tuple[tuple[int, ...], tuple[int, ...]]
    replicates: Floats

    @property
    def dissociation(self) -> float:
        """``D = log(M[0,0] M[1,1] / (M[0,1] M[1,0]))``; NaN where nothing is lost anywhere."""
        return dissociation(self.matrix) if (self.matrix > FLOOR).any() else float("nan")


def dissociation(matrix: Floats) -> float:
    """``log(M[0,0] M[1,1] / (M[0,1] M[1,0]))``: above 0 where each group needs its own pathway more than the other's.

    References
    ----------
    Teuber, Physiological psychology, Annual Review of Psychology 6 (1955): double dissociation.
    """
    return float(np.log(matrix[0, 0] * matrix[1, 1] / (matrix[0, 1] * matrix[1, 0])))


def contribution_shares(contribution: Moves, member: Mask) -> Floats:
    """Share of every unit in each group's contributions, (2, units): its standard deviation within the group, over the
    sum of those of all units.

    Parameters
    ----------
    contribution : array (n, units)
        Gradient times activation of every row.
    member : array (n,) of bool
        True for the group (row 1 of the result), False for the reference.
    """
    spread = np.array([contribution[rows].std(0, dtype=np.float64) for rows in (~member, member)])
    return np.asarray(spread / np.maximum(spread.sum(1, keepdims=True), 1e-30))


def most_tilted(shares: Floats, group: int) -> Ints:
    """The quarter of the units whose share is most tilted to a group, or fewer where fewer are tilted to it at all."""
    tilt = shares[group] - shares[1 - group]
    most = int(np.ceil(SHARE * len(tilt)))
    first = np.argsort(-tilt, kind="stable")[:most]
    return np.sort(first[tilt[first] > 0])


@dataclass(frozen=True, eq=False)
class _Taken:
    """What is done to each row when a group's pathway is taken away: the moves, and the rows that are moved."""

    moves: tuple[Moves, Moves]
    covered: Mask
    chosen: tuple[Chosen, Chosen]


@dataclass(frozen=True, eq=False)
class _Contributions:
    """Gradient times activation of every unit, (n, units), in the rows where it was looked for."""

    values: Moves
    rows: Mask

    @classmethod
    def of(cls, network: Network, sample: Sample, layer: LayerData) -> _Contributions:
        if has_gradients(network, sample, layer.name):
            gradient = shifted_gradients(network, sample, layer.name, np.zeros_like(layer.h))[1]
            return cls(gradient * layer.h, np.ones(len(sample), bool))
        rows = walked_rows(sample, layer.units)
        return cls(slopes(network, sample, layer, rows) * layer.h, rows)

    def shares(self, member: Mask, among: Mask) -> Floats:
        """As `contribution_shares` says, of these rows."""
        rows = self.rows & among
        return contribution_shares(self.values[rows], member[rows])


_Found = tuple[Chosen, Mask, tuple[Moves, Moves]]
"""What is taken away in one half of the rows: the units of both groups, the rows that are moved, and by how much (rows
of the half, chosen units)."""


def _found(
    sample: Sample, layer: LayerData, fold: int, fit: FoldFit, contribution: _Contributions, left_out: int | None
) -> _Found:
    """Units and their means are those of one fold, the rows that are moved those of the other."""
    half, fitted = layer.halves[fold], np.flatnonzero((sample.fold != fold) & sample.without(left_out))
    score = layer.z[fitted] @ fit.merit.astype(np.float32)
    means = BinMeans.of(layer.h[fitted], np.searchsorted(fit.edges, score), sample.member[fitted], BINS)
    common = (means.sums / np.maximum(means.counts, 1)[:, :, None]).mean(1)
    _, which, covered = half.placed(fit)
    shares = contribution.shares(sample.member, sample.without(left_out) & (sample.fold != fold))
    chosen = most_tilted(shares, 0), most_tilted(shares, 1)
    first, second = (
        np.where(covered[:, None], common[:, units][which] - half.h[:, units], 0).astype(np.float32) for units in chosen
    )
    return chosen, covered, (first, second)


def _taken(
    sample: Sample,
    layer: LayerData,
    fits: Fits,
    contribution: _Contributions,
    known: dict[FoldFit, _Found],
    left_out: int | None = None,
) -> _Taken:
    """Both halves together; what the full fit says is kept in ``known``, for replicates share the half that they leave
    alone."""
    made = [known.get(fit) or _found(sample, layer, fold, fit, contribution, left_out) for fold, fit in enumerate(fits)]
    if left_out is None:
        known |= dict(zip(fits, made, strict=True))
    covered, moves = np.zeros(len(sample), bool), (np.zeros_like(layer.h), np.zeros_like(layer.h))
    for half, (chosen, here, by) in zip(layer.halves, made, strict=True):
        covered[half.rows] = here
        for move, units, values in zip(moves, chosen, by, strict=True):
            move[np.ix_(half.rows, units)] = values
    return _Taken(moves, covered, (made[0][0], made[1][0]))


def lost_variance(sample: Sample, after: Floats, rows: Mask) -> Floats:
    """Share of the variance of the score that is lost in the reference and in the group (2,), within folds; at least
    `FLOOR`."""
    lost = []
    for member in (~sample.member, sample.member):
        parts = [rows & member & (sample.fold == fold) for fold in (0, 1)]
        before, then = (sum(float(score[p].var()) for p in parts if p.any()) for score in (sample.score, after))
        lost.append(1 - then / before if before > 0 else 0.0)
    return np.maximum(lost, FLOOR)


def route_layer(network: Network, sample: Sample, layer: LayerData, refits: Sequence[Fits]) -> LayerRouting:
    """How far the groups have pathways of their own at a layer: what each loses without its own units and the other's.

    The pathway of a group are the quarter of the units whose share of contribution (standard deviation of gradient
    times activation over the group's rows) exceeds the other group's most. Chosen on one half of the rows, they are
    replaced on the other half by their mean given group and merit bin, averaged over the groups: what depends on merit
    alike in both groups stays, what depends on it in one group only is halved, what tells the groups apart goes.

    Parameters
    ----------
    network : Network
        Where it has no gradients, slopes over small steps take their place, on the rows of
        `fairheads.pathways.steps.walked_rows`.
    sample : Sample
    layer : LayerData
    refits : sequence of Fits
        Of `every_fit`; the first alone gives no replicates, and costs less.

    Notes
    -----
    ReLU units that hold the positive and the negative part of a group estimate are themselves units of one group each:
    a head that dominates the logit, many times stronger than parity needs, parts the groups as experts do.

    Replicates choose the units and fit their means anew and follow the response's derivative, as those of the swap do.
    """
    contribution = _Contributions.of(network, sample, layer)
    known: dict[FoldFit, _Found] = {}
    full = _taken(sample, layer, refits[0], contribution, known)
    responses = [response_near(network, sample, layer.name, move) for move in full.moves]

    def measured(taken: _Taken, left_out: int | None) -> Floats:
        rows = taken.covered & sample.without(left_out)
        return np.array(
            [lost_variance(sample, response(move), rows) for response, move in zip(responses, taken.moves, strict=True)]
        )

    replicates = [
        dissociation(measured(_taken(sample, layer, fits, contribution, known, left_out), left_out))
        for left_out, fits in enumerate(refits[1:])
    ]
    shares = contribution.shares(sample.member, sample.without(None))
    first, second = full.chosen
    both = [np.intersect1d(first[group], second[group]) for group in (0, 1)]
    return LayerRouting(
        layer=layer.name,
        matrix=measured(full, None),
        shares=shares,
        overlap=float(shares.min(0).sum()),
        units=(tuple(both[0].tolist()), tuple(both[1].tolist())),
        replicates=np.array(replicates),
    )
