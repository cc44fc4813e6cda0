"""Two heads fitted to a network: how far its score is a readout of merit plus b times a readout of the group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fairheads.metrics import merit_bins
from fairheads.pathways.beside import beside_twins
from fairheads.pathways.fits import BINS, Fits, LayerData
from fairheads.pathways.intervals import jackknifed
from fairheads.pathways.pair import Pair
from fairheads.pathways.readout import readout
from fairheads.pathways.sample import Mask, Sample
from fairheads.results import Number, TwinSummary, TwoHeadFit, undefined

Floats = NDArray[np.float64]

QUANTITIES = ("b", "merit", "offset", "r2", "r2_floor", "agreement", "floor")
"""Columns of a fit's replicates."""

LEAST_ALIKE = 0.7
"""Smallest correlation, given merit, of what the two halves of the rows read of the group, for b to be fitted.

It lies below where the inputs say nothing of the group beyond merit, and above where they do
(tests/test_two_head_fit.py).
"""

UNREAD = "at equal merit the two halves of the rows do not read the same of the group in this layer"
FEW_TWINS = "two or more twins show how alike seeds are"


@dataclass(frozen=True, eq=False)
class Readings:
    """What each half of the rows reads in every row: merit (2, n) in log-odds, membership (2, n) near 0 and 1.

    Row i of both arrays is the readout FOR fold i: it was fitted on the other fold.
    """

    merit: Floats
    group: Floats

    @classmethod
    def of(cls, sample: Sample, layer: LayerData, fits: Fits, left_out: int | None = None) -> Readings:
        merit = [layer.z @ fit.merit.astype(np.float32) for fit in fits]
        group = [readout(layer.fit(fold, left_out), layer.units, 1)(layer.h) for fold in (0, 1)]
        return cls(np.array(merit, np.float64), np.array(group))

    def crossfitted_group(self, sample: Sample) -> Floats:
        """Membership of every row (n,), read by the fold that the row is not in."""
        read: Floats = np.where(sample.fold == 0, self.group[0], self.group[1])
        return read


def fitted(sample: Sample, read: Readings, keep: Mask) -> Floats:
    """`QUANTITIES` on the rows of ``keep``; NaN but for the floor where the group is not read at equal merit, and
    all NaN where the layer reads no merit or the score is constant.

    The readouts of one half of the rows are instruments for those of the other: their errors are independent, so that
    neither dilutes a coefficient (least squares would shrink both, and give b a share of the merit that goes with the
    group). Merit may bend: the surer a network is of the extremes, the more b would take up of the bend.

    References
    ----------
    Wooldridge, Econometric Analysis of Cross Section and Panel Data (2010), section 5.3.2: two measurements with
    independent errors as instruments for each other.
    """
    f, merit, group = sample.score[keep], read.merit[:, keep], read.group[:, keep]
    if np.ptp(f) == 0 or (np.ptp(merit, axis=1) < 1e-9).any():
        return np.full(len(QUANTITIES), np.nan)
    straight = merit - merit.mean(1, keepdims=True)
    terms = [straight, straight**2, np.ones_like(merit)]
    (floor_merit, _, floor_offset), floor, r2_floor = _judged(f, np.stack(terms, axis=1))
    if not _alike(merit, group) >= LEAST_ALIKE:
        nan = float("nan")
        return np.array([nan, floor_merit, floor_offset, nan, r2_floor, nan, floor])
    (slope, _, offset, b), agreement, r2 = _judged(f, np.stack([*terms, group], axis=1))
    return np.array([b, slope, offset, r2, r2_floor, agreement, floor])


def _judged(f: Floats, read: Floats) -> tuple[Floats, float, float]:
    """Coefficients of the terms ``read`` (2, k, n) by instruments; agreement and R2 of what they say on average."""
    one, two = read
    cross = one @ two.T
    coefficients: Floats = (np.linalg.solve(cross.T, two @ f) + np.linalg.solve(cross, one @ f)) / 2
    says = coefficients @ (one + two) / 2
    return coefficients, float(((says > 0) == (f > 0)).mean()), 1 - float((f - says).var() / f.var())


def _alike(merit: Floats, group: Floats) -> float:
    """Correlation of both halves' readouts of the group within bins of merit; NaN where one is flat."""
    which = merit_bins(merit.mean(0), BINS)
    count = np.maximum(np.bincount(which, minlength=BINS), 1)
    one, two = (g - (np.bincount(which, g, BINS) / count)[which] for g in group)
    size = float(np.sqrt((one @ one) * (two @ two)))
    return float(one @ two) / size if size > 1e-12 * len(one) else float("nan")


def strength_of(sample: Sample, layer: LayerData, fits: Fits, sign: int) -> float:
    """The turned strength ``-sigma b`` alone, such as of a twin; NaN where the group cannot be read."""
    everyone = sample.without(None)
    return -sign * float(fitted(sample, Readings.of(sample, layer, fits), everyone)[0])


def two_head_fit(
    sample: Sample,
    layer: LayerData,
    refits: Sequence[Fits],
    pair: Pair,
    *,
    twin_scores: Sequence[Floats] = (),
    twin_strengths: Sequence[float] = (),
) -> TwoHeadFit:
    """How far the network's score is ``a s + b ghat + t``, two heads on one layer, beside a fit without the group.

    s is the layer's own readout of the label in log-odds (logistic), ghat its readout of membership (least squares on
    0 and 1, raw, as the group head of a two-headed network), each fitted on half of the rows. b is in logits per unit
    of ghat, that of ``z_y + b z_g + t`` where the score is such a merge; s is free in scale, and may bend (a square of
    s is fitted along, also with b = 0), so that a network that is surer than its labels warrant has the same b. Turned
    by the orientation, strength = -sigma b is above 0 where the network raises the group with fewer favourable labels.

    Parameters
    ----------
    sample, layer : Sample, LayerData
        The rows, and the layer's activations of them.
    refits : sequence of Fits
        `every_fit`: the full sample first, then without each block; intervals need all 21.
    pair : Pair
        The group and its reference; gives the orientation.
    twin_scores : sequence of array (n,)
        Scores of twins on the same rows: how alike two of them are is the ceiling.
    twin_strengths : sequence of float
        `strength_of` the twins at the same layer.

    Returns
    -------
    TwoHeadFit
        Intervals are of 95 %, by the delete-block jackknife, with readouts and coefficients fitted again in each
        replicate.

    Notes
    -----
    Over b = 0 to 2 of one two-headed network the fitted strength follows the true one with slope 1 to within .05 at
    every layer (synthetic rows and Adult, tests/test_two_head_fit.py), as long as z_g is what it was trained to be,
    near 0 and 1; a group head of half that size is used half as much. The start of that line is what the task head
    itself makes of the group at equal merit. Of 40 intervals of a constrained network, each of 3,000 rows, at least 32
    hold what 60,000 rows say (the same file). Not shown: a cause. A score can be written as two heads and be made in
    another way.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5.
    """
    values = []
    for place, fits in enumerate(refits):
        left_out = place - 1 if place else None
        values.append(fitted(sample, Readings.of(sample, layer, fits, left_out), sample.without(left_out)))
    rows, sign, n = np.array(values), pair.sign, len(sample)
    columns = dict(zip(QUANTITIES, rows.T, strict=True))
    alike, r2_alike = _between(sample, twin_scores, len(refits))
    return TwoHeadFit(
        layer=layer.name,
        group=pair.names[0],
        reference=pair.names[1],
        orientation=pair.orientation,
        n=n,
        strength=_number(-sign * columns["b"], n),
        b=_number(columns["b"], n),
        merit=_number(columns["merit"], n),
        offset=float(columns["offset"][0]),
        logit_sd=float(sample.score.std()),
        r2=_number(columns["r2"], n, most=1.0),
        r2_floor=_number(columns["r2_floor"], n, most=1.0),
        r2_ceiling=_number(r2_alike, n, FEW_TWINS, most=1.0),
        agreement=_number(columns["agreement"], n, most=1.0),
        floor=_number(columns["floor"], n, most=1.0),
        ceiling=_number(alike, n, FEW_TWINS, most=1.0),
        over_floor=_number(columns["agreement"] - columns["floor"], n),
        to_ceiling=_number(columns["agreement"] - alike, n, FEW_TWINS if len(twin_scores) < 2 else UNREAD),
        beside=_beside(-sign * float(columns["b"][0]), twin_strengths),
    )


def _between(sample: Sample, scores: Sequence[Floats], replicates: int) -> tuple[Floats, Floats]:
    """Mean agreement, and mean squared correlation, of two twins: full sample, then replicates; NaN without two.

    A twin that gives everybody the same score is none.
    """
    scores = [score for score in scores if np.ptp(score) > 0]
    if len(scores) < 2:
        nothing = np.full(replicates, np.nan)
        return nothing, nothing
    alike, r2 = [], []
    for place in range(replicates):
        keep = sample.without(place - 1 if place else None)
        pairs = list(combinations([score[keep] for score in scores], 2))
        alike.append(np.mean([((one > 0) == (other > 0)).mean() for one, other in pairs]))
        r2.append(np.mean([np.corrcoef(one, other)[0, 1] ** 2 for one, other in pairs]))
    return np.array(alike), np.array(r2)


def _number(column: Floats, n: int, reason: str = UNREAD, *, most: float = np.inf) -> Number:
    """The first entry with its interval from the others, where there are others; one that is NaN spoils it."""
    if not np.isfinite(column).all():
        return undefined(reason, n)
    return jackknifed(float(column[0]), column[1:], n, reason, most=most)


def _beside(strength: float, twins: Sequence[float]) -> TwinSummary | None:
    """The strength beside that of the twins in which the group can be read."""
    known = [value for value in twins if np.isfinite(value)]
    return beside_twins(strength, known) if known and not np.isnan(strength) else None
