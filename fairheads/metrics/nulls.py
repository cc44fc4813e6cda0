"""What chance alone makes of a gap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairheads.metrics.estimate import Estimate
from fairheads.results import GapNull

Floats = NDArray[np.float64]


def permuted(estimate: Estimate, replicates: int, rng: np.random.Generator) -> Floats | None:
    """Values (replicates, G) of a metric of the cells when rows fall on groups by chance; None for other metrics."""
    some = estimate.null_draws is not None and not estimate.parts and len(estimate.groups) > 1 and replicates > 0
    if not some or estimate.null_draws is None or any(reason is not None for reason in estimate.reasons):
        return None
    drawn = estimate.null_draws(rng, replicates)
    return np.where(np.isfinite(drawn), drawn, np.nan)


def gap_null(
    estimate: Estimate, replicates: int, rng: np.random.Generator, drawn: Floats | None = None
) -> GapNull | None:
    """What the largest difference is when groups of these sizes do not differ; None where it is not defined.

    The p-value is not that of the largest difference, which the smallest groups make: it compares the groups' squared
    distances from their common value, weighted by rows. For a rate that is Pearson's chi-squared of homogeneity, for
    two groups their difference. It counts the observed value among the draws, so it is at least 1 / (1 + replicates).

    References
    ----------
    Phipson & Smyth (2010), Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9.
    """
    if len(estimate.groups) < 2 or any(reason is not None for reason in estimate.reasons) or replicates == 0:
        return None
    weights = estimate.parts[0].effective if len(estimate.parts) == 1 else estimate.n.astype(np.float64)
    if drawn is not None:
        draws = drawn
    elif estimate.null_draws is not None:
        draws = estimate.null_draws(rng, replicates)
    elif np.isfinite(estimate.se).all():
        draws = rng.normal(0.0, 1.0, (replicates, len(estimate.se))) * estimate.se
        weights = 1 / np.maximum(estimate.se, 1e-300) ** 2 if (estimate.se > 0).all() else weights
    else:
        return None
    drawn = np.ascontiguousarray(draws.T)  # (G, R): reductions along the long axis are several times faster
    known = np.isfinite(drawn)
    drawn, known = drawn[:, known.any(0)], known[:, known.any(0)]
    count = drawn.shape[1]
    if not count:
        return None
    gaps = np.where(known, drawn, -np.inf).max(0) - np.where(known, drawn, np.inf).min(0)
    observed = _scatter(estimate.value[:, None], weights[:, None])[0]
    scatter = _scatter(np.where(known, drawn, 0.0), np.where(known, weights[:, None], 0.0))
    return GapNull(
        mean=float(gaps.mean()),
        high=float(np.quantile(gaps, 0.95)),
        p=float((1 + (scatter >= observed * (1 - 1e-9)).sum()) / (1 + count)),
        smallest_p=1 / (1 + count),
    )


def _scatter(values: Floats, weights: Floats) -> Floats:
    """Weighted squared distances (R,) of values (G, R) from their weighted mean."""
    total, weighted = weights.sum(0), weights * values
    return np.asarray((weighted * values).sum(0) - weighted.sum(0) ** 2 / np.where(total > 0, total, 1.0))
