"""What can be read from a layer, on rows that no reader was fitted on. Descriptions and checks, never a verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.metrics import auc, auc_within, merit_bins
from fairheads.metrics.auc import averaged_auc
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


class Probes:
    """Linear readouts of the label, of membership and of the control at a layer, each row read by the other fold."""

    def __init__(self, sample: Sample, layer: LayerData, control: Mask) -> None:
        self._sample, self._layer = sample, layer
        truths = (sample.y.astype(bool), sample.member, control)
        self._truths = [[truth[half.rows] for half in layer.halves] for truth in truths]
        self._known: dict[tuple[int, int | None], list[Floats]] = {}

    def aucs(self, left_out: int | None = None) -> ProbeAucs:
        """AUC of each readout inside its fold, averaged over folds; of the rows outside a jackknife block."""
        keep = [self._sample.without(left_out)[half.rows] for half in self._layer.halves]
        values = []
        for target, truths in enumerate(self._truths):
            read = [self._read(fold, left_out)[target] for fold in (0, 1)]
            values.append(averaged_auc([(t[k], r[k]) for t, r, k in zip(truths, read, keep, strict=True)]))
        return ProbeAucs(*values)

    def _read(self, fold: int, left_out: int | None) -> list[Floats]:
        """What the readouts say of the rows of a fold: a block in that fold was no part of what they were fitted on."""
        left_out = None if left_out is None or left_out % 2 == fold else left_out
        if (fold, left_out) not in self._known:
            moments, half = self._layer.fit(fold, left_out), self._layer.halves[fold]
            read = [readout(moments, self._layer.units, target)(half.h) for target in range(3)]
            self._known[fold, left_out] = read
        return self._known[fold, left_out]


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
