"""How far a gap may lie above its estimate when the merge was picked among many: one factor for all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.metrics.trials import Confusion
from fairheads.twoheads.criteria import Criteria
from fairheads.twoheads.heads import Heads, combine

Floats = NDArray[np.float64]

ROWS = 5_000
"""Rows of each group and label whose noise is drawn: the factor has no unit, and hardly depends on their number."""

USUAL = 0.95
DRAWS = 1_000
MERGES = 200
"""Draws of the noise, and merges that are compared: neighbours on the front differ by few rows."""

AROUND, NEIGHBOURS = 0.15, 20
"""How far, in standard deviations of the task logit, and how many neighbours are compared along with a merge."""


def simultaneous(
    heads: Heads, criteria: Criteria, b: Floats, t: Floats, confidence: float, rng: np.random.Generator
) -> float:
    """The two-sided confidence of single intervals at which those of all merges hold together with ``confidence``.

    Gaussian multipliers on the rows give the noise of every rate of every merge, with its correlations; the largest
    studentised difference between two groups over merges, rates and pairs has the quantile that is asked for.

    References
    ----------
    Chernozhukov, Chetverikov, Kato (2014), Anti-concentration and honest, adaptive confidence bands, Ann. Statist. 42.
    """
    if len(t) > MERGES:
        some = np.unique(np.linspace(0, len(t) - 1, MERGES).round().astype(int))
        b, t = b[some], t[some]
    groups = criteria.groups
    selected = np.zeros((len(t), groups, 2))
    noise = np.zeros((DRAWS, len(t), groups, 2), np.float32)
    whole = np.zeros((DRAWS, 1, groups, 2), np.float32)
    for cell in range(2 * groups):
        rows = np.flatnonzero(heads.cell == cell)
        if not len(rows):
            continue
        # Of each cell its own sample, and what it stands for: a rare group would be lost in a sample of all rows.
        taken = rows if len(rows) <= ROWS else np.sort(rng.choice(rows, ROWS, replace=False))
        few, stands_for = heads.take(taken), len(rows) / len(taken)
        decided = [combine(few.z_y, few.z_g, each, float(u)) > 0 for each, u in zip(b, t, strict=True)]
        mine = np.stack(decided, axis=1).astype(np.float32)
        draws = rng.standard_normal((DRAWS, len(taken)), np.float32) * np.float32(stands_for**0.5)
        noise[:, :, cell // 2, cell % 2] = draws @ mine
        whole[:, 0, cell // 2, cell % 2] = draws.sum(1)
        selected[:, cell // 2, cell % 2] = stands_for * mine.sum(0)
    moved = Confusion(noise[..., 1], noise[..., 0], whole[..., 1] - noise[..., 1], whole[..., 0] - noise[..., 0])
    counted = criteria.confusion(selected)
    largest = np.zeros(DRAWS)
    for rate in criteria.rates:
        hits, trials = np.asarray(rate.hits(counted), float), np.asarray(rate.trials(counted), float)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = hits / trials
            error = (rate.hits(moved) - p * rate.trials(moved)) / trials
            variance = p * (1 - p) / trials
            for one in range(groups):
                for other in range(one):
                    z = np.abs(error[..., one] - error[..., other]) / np.sqrt(variance[:, one] + variance[:, other])
                    largest = np.maximum(largest, np.where(np.isfinite(z), z, 0.0).max(1))
    # As many independent intervals as would need the same factor; few draws say little of what lies beyond .95.
    usual = min(confidence, USUAL)
    single = float(2 * special.ndtr(np.quantile(largest, usual)) - 1)
    independent = max(np.log(usual) / np.log(np.clip(single, 1e-12, 1 - 1e-12)), 1.0)
    return float(confidence ** (1 / independent))


def around(heads: Heads, slopes: Floats, t: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The merges with neighbours of each: slopes moved by lot, thresholds so that about as many rows are selected."""
    centre, unit = heads.z_g.mean(0), heads.units
    scale = heads.scale
    moves = AROUND * scale * rng.normal(size=(len(t), NEIGHBOURS, len(unit))) * unit
    moves[:, 0] = 0.0
    return (slopes[:, None] + moves).reshape(-1, len(unit)), (t[:, None] - moves @ centre).reshape(-1)
