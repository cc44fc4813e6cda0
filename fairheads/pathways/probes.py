"""What can be read from a layer, on rows that no reader was fitted on. Descriptions and checks, never a verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.metrics import auc, auc_within, merit_bins
from fairheads.pathways.fits import BINS, LayerData
from fairheads.pathways.readout import expected_membership, readout
from fairheads.pathways.sample import Mask, Sample
from fairheads.sums import Moments

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ProbeAucs:
    """Held-out AUC of linear readouts of the label, of membership, and of a shuffled membership."""

    label: float
    member: float
    control: float


def crossfitted(sample: Sample, layer: LayerData, target: int, left_out: int | None = None) -> Floats:
    """Linear readout of a target (0 label, 1 membership, 2 control) of every row, fitted on the other fold."""
    out = np.zeros(len(sample))
    for fold in (0, 1):
        moments = layer.fit(fold, left_out)
        rows = sample.fold == fold
        out[rows] = readout(moments, layer.units, target)(layer.h[rows])
    return out


def probe_aucs(sample: Sample, layer: LayerData, control: Mask, left_out: int | None = None) -> ProbeAucs:
    """AUC of each cross-fitted readout inside its fold, averaged over folds."""
    keep = sample.without(left_out)
    values = []
    for target, truth in enumerate((sample.y, sample.member, control)):
        read = crossfitted(sample, layer, target, left_out)
        values.append(auc_within(truth[keep], read[keep], sample.fold[keep]))
    return ProbeAucs(*values)


def readable_after_shift(sample: Sample, h: NDArray[np.float32], merit: Floats) -> tuple[float, float]:
    """AUC of membership within merit bins, and AUC of the label, from fresh readouts of the activations ``h``.

    The activations were moved by an eraser fitted on the other fold; each fold is halved again, a reader is
    fitted on one half and judged on the other. The reader of membership looks for membership minus its
    expectation at the row's merit, which is what was erased. Units are read at their own scale: erasure leaves a copy
    of what it erases, many orders of magnitude too small to matter, in units that were dead on these rows.
    """
    group_aucs: list[float] = []
    label_aucs: list[float] = []
    weights: list[int] = []
    which = merit_bins(merit, BINS)
    expected = expected_membership(merit, which, sample.member, BINS)
    rows = np.column_stack([h.astype(np.float64), sample.member - expected, sample.y])
    quarter = sample.block % 4
    moments = [Moments.of(rows[quarter == q]) for q in range(4)]
    for q in range(4):
        test, fitted_on = quarter == q, (q + 2) % 4
        for target, found in ((0, group_aucs), (1, label_aucs)):
            read = readout(moments[fitted_on], h.shape[1], target, standardise=False)(h[test])
            truth, strata = (sample.member, which) if target == 0 else (sample.y, np.zeros(len(sample), int))
            found.append(auc_within(truth[test], read, strata[test]))
        weights.append(int(test.sum()))
    return float(np.average(group_aucs, weights=weights)), float(np.average(label_aucs, weights=weights))


def score_auc_within_groups(score: Floats, y: NDArray[np.int64], member: Mask) -> float:
    """AUC of a score inside each of the two groups, averaged: how well merit is ranked within groups."""
    return (auc(y[member], score[member]) + auc(y[~member], score[~member])) / 2
