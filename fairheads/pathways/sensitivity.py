"""How much label bias would overturn a finding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.pathways.effects import erasure_effect, shifts, swap_effect
from fairheads.pathways.fits import LayerData, fits_of
from fairheads.pathways.measure import TURN
from fairheads.pathways.sample import Mask, Sample, shifted_scores
from fairheads.results import LabelBias, Number, PathwayReport, undefined

SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of favourable labels that are relabelled, smallest first."""


def thinned(y: NDArray[np.int64], among: Mask, share: float, seed: int) -> NDArray[np.int64]:
    """The labels with a random ``share`` of the favourable ones ``among`` some rows made unfavourable."""
    favourable = np.flatnonzero((y == 1) & among)
    chosen = np.random.default_rng(seed).permutation(favourable)[: round(share * len(favourable))]
    changed = y.copy()
    changed[chosen] = 0
    return changed


def label_bias(network: Network, sample: Sample, report: PathwayReport, seed: int) -> LabelBias | None:
    """The smallest label bias that would overturn a report, by refitting on relabelled rows; None without direction,
    or where the effect exceeds its margin and the verdict lacks something else.

    A head found by mistake would come from favourable labels that one side lacks: relabelling the same share on
    the other side makes the labels alike again, and must take the effect back. Where no head was found, relabelling the
    group with fewer favourable labels shows how much hidden bias could look like a head.
    """
    if report.effect is None or report.orientation == 0:
        return None
    effect = report.effect
    direction = 1 if effect.value >= 0 else -1
    creates = not report.rests_on_effect
    fewer = sample.member if report.orientation < 0 else ~sample.member
    among = fewer if creates or direction < 0 else ~fewer
    swap = effect.kind == "swap"
    group = report.group if np.array_equal(among, sample.member) else report.reference
    if creates and effect.value > effect.margin:
        return None  # it is there already; what is missing is another condition
    n = int((sample.y[among] == 1).sum())
    data = LayerData.of(sample, effect.layer, sample.activations[effect.layer], sample.member)
    for share in SHARES:
        relabelled = sample.with_labels(thinned(sample.y, among, share, seed))
        made = shifts(relabelled, data, fits_of(relabelled, data))
        after = shifted_scores(network, relabelled, data.name, made.swap if swap else made.erasure)
        found = swap_effect(relabelled, made.placed, after) if swap else erasure_effect(relabelled, after)
        value = TURN[effect.kind] * report.orientation * found
        beyond = (value if creates else direction * value) > effect.margin
        if beyond == creates:
            return LabelBias(group=group, share=Number(value=share, n=n), creates=creates)
    return LabelBias(group=group, share=undefined(f"no share up to {SHARES[-1]:g} does", n), creates=creates)
