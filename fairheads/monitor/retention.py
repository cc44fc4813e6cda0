"""How well a score ranks people within their own groups, beside a reference ranking of the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from torch import nn

from fairheads.activations import Network, as_network
from fairheads.data import Dataset
from fairheads.monitor.equal_merit import standardised
from fairheads.monitor.sample import Watched
from fairheads.pathways.analyze import SAMPLE
from fairheads.pathways.measure import MAX_INPUT_COLUMNS
from fairheads.pathways.readout import logistic
from fairheads.pathways.sample import scores
from fairheads.results import Number, undefined

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Z95 = float(special.ndtri(0.975))


@dataclass(frozen=True, eq=False)
class Ranking:
    """AUC of a score within one group, and each row's influence on it, (n,): their squares add up to its variance."""

    auc: float
    influence: Floats

    @classmethod
    def of(cls, y: Ints, score: Floats) -> Ranking:
        """By DeLong's placements; NaN where either label is missing.

        References
        ----------
        DeLong, DeLong & Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver operating
        characteristic curves, Biometrics 44.
        """
        positive = y == 1
        ones, zeros = np.sort(score[positive]), np.sort(score[~positive])
        if not len(ones) or not len(zeros):
            return cls(float("nan"), np.full(len(y), np.nan))
        placement = np.empty(len(y))
        placement[positive] = _share_below(zeros, score[positive])
        placement[~positive] = 1 - _share_below(ones, score[~positive])
        auc = float(placement[positive].mean())
        return cls(auc, (placement - auc) / np.where(positive, len(ones), len(zeros)))


def _share_below(ordered: Floats, values: Floats) -> Floats:
    """Share of ``ordered`` below each value, ties a half."""
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((below + upto) / (2 * len(ordered)), np.float64)


def retention(mine: tuple[Ranking, ...], reference: tuple[Ranking, ...]) -> Number:
    """``(AUC - .5) / (reference's AUC - .5)``, the AUCs averaged over groups, with a 95 % interval.

    The interval takes the reference ranking as it is: how it was fitted adds nothing to it. Both rank the same rows,
    so most of the sampling error cancels.
    """
    n = sum(len(ranking.influence) for ranking in mine)
    above, its = (float(np.mean([r.auc for r in some])) - 0.5 for some in (mine, reference))
    if np.isnan(above) or np.isnan(its):
        return undefined("a group has rows with one label only", n)
    spread = np.sqrt(sum(float((r.influence**2).sum()) for r in reference)) / len(reference)
    if not its > Z95 * spread:
        return undefined("the reference does not rank within groups", n)
    ratio = above / its
    influence = [m.influence - ratio * r.influence for m, r in zip(mine, reference, strict=True)]
    half = float(Z95 * np.sqrt(sum(float((i**2).sum()) for i in influence)) / (len(mine) * its))
    return Number(value=ratio, n=n, low=ratio - half, high=ratio + half)


def reference_score(reference: Network | nn.Module | None, data: Dataset, watched: Watched, seed: int) -> Floats | str:
    """The reference's score of the watched rows, or why there is none.

    A network scores them itself. Without one they are scored by logistic regressions of the label on the inputs,
    fitted on halves of the data (of 20,000 rows at most) and used on the other half.
    """
    if reference is not None:
        return scores(as_network(reference), watched.batches)
    tables = list(data.inputs.values())
    if len(tables) != 1 or tables[0].ndim != 2 or tables[0].shape[1] > MAX_INPUT_COLUMNS:
        return "the inputs are not one table of moderate width: give a `reference` network"
    others = np.setdiff1d(np.arange(len(data)), watched.rows)
    rng = np.random.default_rng(seed)
    extra = rng.permutation(others)[: max(SAMPLE - len(watched.rows), 0)]
    rows = np.concatenate([watched.rows, extra])
    z, y, half = standardised(tables[0][rows]), data.y[rows], rng.permutation(len(rows)) % 2
    score = np.empty(len(rows))
    for fold in (0, 1):
        mine, other = half == fold, half != fold
        score[mine] = z[mine] @ logistic(z[other], y[other]).astype(np.float32)
    return score[: len(watched.rows)]
