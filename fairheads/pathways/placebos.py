"""What the constraint does to a network that cannot serve it by a group estimate: the deciding effect in placebos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.errors import InputError
from fairheads.pathways.conditions import KINDS
from fairheads.pathways.measure import measure_twin
from fairheads.pathways.pair import Pair
from fairheads.results import Effect, Evidence, PathwayReport


def beside_placebos(report: PathwayReport, placebos: Sequence[Network], pair: Pair) -> PathwayReport:
    """The report with one more line of evidence: its effect beside the same effect, at the same layer, in placebos.

    Placebos were trained like the network with groups permuted among the rows of each label. They are measured on the
    network's rows and folds, and never decide: the rule of the verdict was calibrated without them. A report without an
    effect, or without placebos, stays as it is.
    """
    if report.effect is None or not placebos:
        return report
    effect = report.effect
    theirs = np.array([_effect(each, pair, effect) for each in placebos])
    known = theirs[~np.isnan(theirs)]
    line = Evidence(
        detector=f"{effect.kind} beside {len(theirs)} placebo twins",
        tag="causal",
        value=effect.value,
        low=None,
        high=None,
        null=float(known.mean()) if len(known) else None,
        passed=None,
        note=_note(known, len(theirs), effect.value),
    )
    causal = sum(each.tag == "causal" for each in report.evidence)
    return replace(report, evidence=(*report.evidence[:causal], line, *report.evidence[causal:]))


def _effect(placebo: Network, pair: Pair, effect: Effect) -> float:
    """The same effect in a placebo; NaN where the score says nothing, as constraints on permuted groups can make it."""
    try:
        effects = measure_twin(placebo, pair, [effect.layer]).effects[0]
    except InputError:
        return float("nan")
    return float("nan") if np.isnan(effects).any() else float(effects[KINDS.index(effect.kind)])


def _note(known: NDArray[np.float64], n: int, value: float) -> str:
    """How far the placebos go in the network's direction, and how many of them cannot be compared."""
    note = "the same constraint on permuted groups"
    if len(known):
        note += f"; the largest {known.max() if value >= 0 else known.min():+.2g}"
    if len(known) < n:
        note += f"; {n - len(known)} left out, whose score is flat or no logit"
    return f"{note}; decides nothing"
