"""How far a gap may lie above its estimate when the merge was picked among many: one factor for all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.metrics.trials import Confusion
from fairheads.twoheads.criteria import Criteria
from fairheads.twoheads.heads import Heads, combine

Floats = NDArray[np.float64]

ROWS = 20_000
"""Rows whose noise is drawn: the factor has no unit and hardly depends on how many there are."""

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
    few = heads if len(heads) <= ROWS else heads.take(np.sort(rng.choice(len(heads), ROWS, replace=False)))
    if len(t) > MERGES:
        some = np.unique(np.linspace(0, len(t) - 1, MERGES).round().astype(int))
        b, t = b[some], t[some]
    criteria = criteria.on(few.totals)
    decisions = np.stack([combine(few.z_y, few.z_g, each, float(u)) > 0 for each, u in zip(b, t, strict=True)], axis=1)
    groups = criteria.groups
    selected = np.stack(
        [decisions[few.cell == cell].sum(0) for cell in range(2 * groups)], axis=1, dtype=np.int64
    ).reshape(-1, groups, 2)
    noise = np.zeros((DRAWS, len(t), groups, 2), np.float32)
    whole = np.zeros((DRAWS, 1, groups, 2), np.float32)
    for cell in range(2 * groups):
        mine = decisions[few.cell == cell].astype(np.float32)
        draws = rng.standard_normal((DRAWS, len(mine)), np.float32)
        noise[:, :, cell // 2, cell % 2] = draws @ mine
        whole[:, 0, cell // 2, cell % 2] = draws.sum(1)
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
    factor = float(np.quantile(largest, confidence))
    return float(2 * special.ndtr(factor) - 1)


def around(heads: Heads, slopes: Floats, t: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The merges with neighbours of each: slopes moved by lot, thresholds so that about as many rows are selected."""
    centre, unit = heads.z_g.mean(0), heads.units
    scale = float(heads.z_y.std()) or 1.0
    moves = AROUND * scale * rng.normal(size=(len(t), NEIGHBOURS, len(unit))) * unit
    moves[:, 0] = 0.0
    return (slopes[:, None] + moves).reshape(-1, len(unit)), (t[:, None] - moves @ centre).reshape(-1)
