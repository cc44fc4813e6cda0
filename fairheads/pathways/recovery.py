"""Recovery: the unconstrained decisions from a constrained network, its layer's estimate of the group taken out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import InputError
from fairheads.pathways.fits import Fits, LayerData
from fairheads.pathways.sample import Sample
from fairheads.pathways.two_head_fit import Readings
from fairheads.results import Recovery
from fairheads.twoheads import recovers

Floats = NDArray[np.float64]


def recovery(sample: Sample, layer: LayerData, fits: Fits, twin_scores: Sequence[Floats]) -> Recovery:
    """How far ``f - b ghat - t > 0`` decides like the twins, and how accurately, beside the network as it is.

    ghat is the layer's cross-fitted readout of membership. b and t are those that are most accurate about the labels
    of one half of the rows; everything is measured on the other half, against the first twin. The floor has b = 0,
    the ceiling is that of the other twins. Intervals of 95 % speak of other rows for these readouts and coefficients.

    Parameters
    ----------
    sample, layer, fits : Sample, LayerData, Fits
        The network's rows, the layer's activations of them, and what was fitted on each half.
    twin_scores : sequence of array (n,)
        Scores of unconstrained twins on the same rows: the first is what is to be recovered.

    Raises
    ------
    InputError
        If there is no twin, or all rows of a half have the same label.

    Notes
    -----
    Not shown: that the constraint works by a group head; compare the floor, which has none. A network without a
    constraint has nothing to recover: its own agreement is the ceiling already, and ``accuracy_share`` is undefined.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5, and `fairheads.twoheads.recovers`.
    """
    if not twin_scores:
        raise InputError("`twin_scores` must hold at least one twin: it is the network to be recovered.")
    first, *others = twin_scores
    return recovers(
        sample.score,
        Readings.of(sample, layer, fits).crossfitted_group(sample),
        first,
        sample.y,
        sample.member.astype(np.int64),
        fit=sample.fold == 0,
        repeats=others,
        name=f"group taken out at {layer.name}",
    )
