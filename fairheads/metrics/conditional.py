"""Selection rates among rows that are alike in control columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.metrics.estimate import ALPHA, POWER, gap_of, with_bounds
from fairheads.metrics.rates import RATE_OF, rate
from fairheads.metrics.stratified import difference_over_strata, ratio_over_strata
from fairheads.metrics.trials import EXPECTED, Trials, exact_p, holm
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
    Natl. Cancer Inst. 22; their test is exact where it need be: Mantel & Fleiss (1980), Minimum expected cell size
    requirements for the Mantel-Haenszel one-degree-of-freedom chi-square test and a related rapid procedure, Am. J.
    Epidemiol. 112. Limits: `fairheads.metrics.stratified`. The criterion: Kamiran, Zliobaite & Calders (2013),
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
    weighted = any(cells.weights is not None for cells in cells_of)
    p = np.array([math.nan if soft else _p_value(table, weighted=weighted) for table in tables.values()], np.float64)
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


def _p_value(table: Floats, *, weighted: bool) -> float:
    """Mantel and Haenszel's test, two-sided, without correction for continuity; exact where counts are few."""
    k1, n1, k0, n0, _ = table
    n, k = n1 + n0, k1 + k0
    variance = (n1 * n0 * k * (n - k) / (n**2 * np.maximum(n - 1, 1e-9))).sum()
    if not variance > 0:
        return math.nan
    least, most, expected = np.maximum(k - n0, 0).sum(), np.minimum(k, n1).sum(), (n1 * k / n).sum()
    if not weighted and min(expected - least, most - expected) < EXPECTED:
        return exact_p(*(np.rint(x).astype(np.int64) for x in (k1, n1, k0, n0)))
    return float(2 * special.ndtr(-abs((k1 - n1 * k / n).sum()) / np.sqrt(variance)))


def _contrast(table: Floats, p: float, confidence: float, *, soft: bool) -> Contrast:
    k1, n1, k0, n0, counted = table
    n, rows = n1 + n0, int(counted.sum())
    if not len(n):
        nothing = undefined("no stratum has rows of both groups")
        return Contrast(difference=nothing, ratio=nothing, p=nothing, detectable=nothing)
    weight = float((n1 * n0 / n).sum())
    difference = float(((k1 * n0 - k0 * n1) / n).sum() / weight)
    above, below = float((k1 * n0 / n).sum()), float((k0 * n1 / n).sum())
    pooled = k1 + k0
    spread = math.sqrt(float((n1 * n0 * pooled * (n - pooled) / (n**2 * np.maximum(n - 1, 1e-9))).sum())) / weight
    size = float(special.ndtri(1 - ALPHA / 2) + special.ndtri(POWER)) * spread
    reason = "rows belong to several groups" if soft else "no variance to test with"
    of, to = (Number(value=difference, n=rows), _ratio(above, below, rows))
    if not soft:
        counts = (k1, n1, k0, n0)
        of = with_bounds(difference, rows, *difference_over_strata(*counts, confidence=confidence))
        to = with_bounds(to.value, rows, *ratio_over_strata(*counts, confidence=confidence)) if below > 0 else to
    return Contrast(
        difference=of,
        ratio=to,
        p=undefined(reason, rows) if math.isnan(p) else Number(value=p, n=rows),
        detectable=undefined(reason, rows) if soft or not 0 < size <= 1 else Number(value=size, n=rows),
    )


def _ratio(above: float, below: float, n: int) -> Number:
    return undefined("the rate is 0 in the reference", n) if below == 0 else Number(value=above / below, n=n)
