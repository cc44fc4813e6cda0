"""Selection rates among rows that are alike in control columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.metrics.estimate import ALPHA, POWER, gap_of, holm, with_bounds
from fairheads.metrics.rates import RATE_OF, rate
from fairheads.metrics.trials import Trials
from fairheads.results import Conditional, Contrast, Number, Stratum, undefined
from fairheads.sums import Cells

Floats = NDArray[np.float64]

SELECTION = RATE_OF["selection_rate"]


def conditional_parity(
    strata: Mapping[str, Cells], columns: Sequence[str], groups: Sequence[str], reference: str, confidence: float
) -> Conditional:
    """Selection rates within every stratum, and each group against the reference over all strata.

    Strata in which a group or the reference has no rows say nothing about it and do not count.

    References
    ----------
    Mantel & Haenszel (1959), Statistical aspects of the analysis of data from retrospective studies of disease, J.
    Natl. Cancer Inst. 22. Variances of the difference: Sato (1989), On the variance estimator for the Mantel-Haenszel
    risk difference, Biometrics 45; of the log ratio: Greenland & Robins (1985), Estimation of a common effect
    parameter from sparse follow-up data, Biometrics 41. The criterion: Kamiran, Zliobaite & Calders (2013),
    Quantifying explainable discrimination and removing illegal discrimination in automated decision making, Knowl.
    Inf. Syst. 35.
    """
    told = {}
    for name, cells in strata.items():
        there = [g for g in groups if g in cells.groups and cells.only([g]).counts.any()]
        estimate = rate(cells.only(there), SELECTION).groups
        told[name] = Stratum(
            n=int(cells.rows.sum()), groups=estimate.numbers(confidence), gap=gap_of(estimate, confidence)
        )
    return Conditional(
        columns=tuple(columns), strata=told, to_reference=over_strata(strata.values(), groups, reference, confidence)
    )


def over_strata(
    strata: Iterable[Cells], groups: Sequence[str], reference: str, confidence: float
) -> dict[str, Contrast]:
    """Each group against the reference by Mantel and Haenszel's difference and ratio, with Holm's correction."""
    cells_of = list(strata)
    others = [g for g in groups if g != reference]
    tables = {g: _table([_pair(cells, g, reference) for cells in cells_of]) for g in others}
    soft = any(cells.soft for cells in cells_of)
    p = np.array([math.nan if soft else _p_value(table) for table in tables.values()], np.float64)
    return {
        g: _contrast(table, adjusted, confidence, soft=soft)
        for (g, table), adjusted in zip(tables.items(), holm(p).tolist(), strict=True)
    }


def _table(pairs: Iterable[tuple[float, ...] | None]) -> Floats:
    return np.array([pair for pair in pairs if pair is not None], np.float64).reshape(-1, 5).T


def _pair(cells: Cells, group: str, reference: str) -> tuple[float, ...] | None:
    """Effective hits and rows of a group and of the reference in a stratum, and their rows; None where one has none."""
    if not {group, reference} <= set(cells.groups):
        return None
    trials = Trials.of(cells.only([group, reference]), SELECTION)
    if not (trials.trials > 0).all():
        return None
    (p1, p0), (n1, n0) = trials.value.tolist(), trials.effective.tolist()
    return p1 * n1, n1, p0 * n0, n0, float(trials.rows.sum())


def _p_value(table: Floats) -> float:
    """Mantel and Haenszel's test, two-sided, without correction for continuity."""
    k1, n1, k0, n0, _ = table
    n, k = n1 + n0, k1 + k0
    variance = (n1 * n0 * k * (n - k) / (n**2 * np.maximum(n - 1, 1e-9))).sum()
    if not variance > 0:
        return math.nan
    return float(2 * special.ndtr(-abs((k1 - n1 * k / n).sum()) / np.sqrt(variance)))


def _contrast(table: Floats, p: float, confidence: float, *, soft: bool) -> Contrast:
    k1, n1, k0, n0, counted = table
    n, rows = n1 + n0, int(counted.sum())
    if not len(n):
        nothing = undefined("no stratum has rows of both groups")
        return Contrast(difference=nothing, ratio=nothing, p=nothing, detectable=nothing)
    weight = float((n1 * n0 / n).sum())
    difference = float(((k1 * n0 - k0 * n1) / n).sum() / weight)
    z = float(special.ndtri(0.5 + confidence / 2))
    first = float(((n1**2 * k0 - n0**2 * k1 + n1 * n0 * (n0 - n1) / 2) / n**2).sum())
    second = float(((k1 * (n0 - k0) + k0 * (n1 - k1)) / n).sum()) / 2
    half = math.inf if soft else z * math.sqrt(max(difference * first + second, 0.0)) / weight
    above, below = float((k1 * n0 / n).sum()), float((k0 * n1 / n).sum())
    pooled = k1 + k0
    spread = math.sqrt(float((n1 * n0 * pooled * (n - pooled) / (n**2 * np.maximum(n - 1, 1e-9))).sum())) / weight
    size = float(special.ndtri(1 - ALPHA / 2) + special.ndtri(POWER)) * spread
    reason = "rows belong to several groups" if soft else "no variance to test with"
    low, high = max(difference - half, -1.0), min(difference + half, 1.0)
    return Contrast(
        difference=Number(value=difference, n=rows) if soft else with_bounds(difference, rows, low, high),
        ratio=_ratio(above, below, _log_variance(table, above, below), z, rows, soft=soft),
        p=undefined(reason, rows) if math.isnan(p) else Number(value=p, n=rows),
        detectable=undefined(reason, rows) if soft or not 0 < size <= 1 else Number(value=size, n=rows),
    )


def _log_variance(table: Floats, above: float, below: float) -> float:
    """Greenland and Robins's variance of the log of the ratio."""
    k1, n1, k0, n0, _ = table
    n = n1 + n0
    spread = float(((n1 * n0 * (k1 + k0) - k1 * k0 * n) / n**2).sum())
    return spread / (above * below) if above > 0 and below > 0 else math.nan


def _ratio(above: float, below: float, variance: float, z: float, n: int, *, soft: bool) -> Number:
    if below == 0:
        return undefined("the rate is 0 in the reference", n)
    if soft or math.isnan(variance):
        return Number(value=above / below, n=n)
    factor = math.exp(z * math.sqrt(max(variance, 0.0)))
    return with_bounds(above / below, n, above / below / factor, above / below * factor)
