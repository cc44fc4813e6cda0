"""The disparity report: every metric of every group, and the gaps between groups, as functions of sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import ConfigError, InputError
from fairheads.metrics.bootstrap import CellMetric, between_groups, replicate
from fairheads.metrics.conditional import conditional_parity
from fairheads.metrics.curves import curves, distances
from fairheads.metrics.estimate import Estimate, gap_of, listed, to_everybody, to_reference
from fairheads.metrics.measures import INDICES, Sums, meaning_of, measured, wanted_metrics
from fairheads.metrics.nulls import gap_null, permuted
from fairheads.results import CRITERIA, Criterion, DisparityReport, Group, Metric, Number, undefined
from fairheads.sums import BINARY, EXACT, Cells, Tally, is_recorded, parts_of

REPLICATES = 10_000
DRAWS = 2_000_000
"""Most replicates times groups: 200 groups still get 10,000 replicates, 1,000 groups 2,000."""

MIRRORED = {"true_negative_rate": "false_positive_rate", "false_negative_rate": "true_positive_rate"}
"""Rates that are 1 minus another: their gaps have the same null."""

CORE = (
    "selection_rate",
    "accuracy",
    "true_positive_rate",
    "false_positive_rate",
    "positive_predictive_value",
    "base_rate",
)
"""The metrics of an audit's disparity report."""


def disparity_report(
    y_true: ArrayLike | None,
    y_pred: ArrayLike | None,
    *,
    sensitive_features: Any,
    y_score: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    control_features: Any = None,
    favourable: str | None = None,
    reference: str | None = None,
    metrics: Sequence[str] | None = None,
    custom: Mapping[str, CellMetric] | None = None,
    confidence: float = 0.95,
    simultaneous: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
    name: str = "",
) -> DisparityReport:
    """Every metric of every group with its interval, and the gaps between groups.

    Parameters
    ----------
    y_true, y_pred, sensitive_features, y_score, sample_weight, control_features, favourable
        As `fairheads.sums.Tally.of` takes them. Without ``y_true`` there are selection rates, without ``y_pred`` means
        and quantiles of the scores.
    reference, metrics, custom, confidence, simultaneous, replicates, seed, name
        As `disparity_of` takes them.

    Raises
    ------
    InputError
        If lengths differ, a value is out of range, or there are no rows.
    ConfigError
        If a setting is out of range.

    Notes
    -----
    A metric without rows is NaN with the reason, never 0. Not shown: why groups differ.

    Examples
    --------
    >>> report = disparity_report([1, 0, 1, 0], [1, 0, 0, 0], sensitive_features=["a", "a", "b", "b"])
    >>> report.demographic_parity_difference.value
    0.5
    >>> f1 = {"f1": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn)}
    >>> report = disparity_report([1, 0, 1, 1], [1, 1, 0, 1], sensitive_features=["a", "a", "b", "b"], custom=f1)
    >>> round(report.metrics["f1"].groups["a"].value, 3)
    0.667
    """
    tally = Tally.of(
        y_true,
        y_pred,
        sensitive_features=sensitive_features,
        y_score=y_score,
        sample_weight=sample_weight,
        control_features=control_features,
        favourable=favourable,
    )
    cells = tally.cells
    if favourable is not None and cells is not None and not (cells.rows[:, 1].any() or cells.rows[1:].any()):
        raise InputError(f"`favourable` must be a value of `y_true` or `y_pred`, got {favourable!r}.")
    return disparity_of(
        tally,
        favourable=favourable or "1",
        reference=reference,
        metrics=metrics,
        custom=custom,
        confidence=confidence,
        simultaneous=simultaneous,
        replicates=replicates,
        seed=seed,
        name=name,
    )


def disparity_of(
    tally: Tally,
    *,
    favourable: str = "1",
    reference: str | None = None,
    metrics: Sequence[str] | None = None,
    custom: Mapping[str, CellMetric] | None = None,
    confidence: float = 0.95,
    simultaneous: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
    name: str = "",
) -> DisparityReport:
    """The disparity report of sums; groups without rows are left out, those whose rows weigh nothing are undefined.

    Parameters
    ----------
    tally : Tally
    favourable : str
        The favourable class. Of a tally of named classes it is set against the rest, so a report for each of them in
        turn compares one against the rest.
    reference : str, optional
        The group that the others are compared with; by default the one with the most rows, or weight.
    metrics : sequence of str, optional
        Names from `fairheads.results.RATES` and `SCORES`; by default all that the tally has sums for.
    custom : mapping of name to function of tp, fp, fn, tn, optional
        Further metrics. The function works on arrays over groups and replicates; its intervals are percentiles of
        ``replicates`` draws of the cells.
    confidence : float
        Of every interval.
    simultaneous : bool
        Whether the groups' intervals hold for all groups and metrics together: Sidak's confidence over the groups,
        which share no rows, within Bonferroni's over the metrics. Wider, and right for whoever picks out the extremes.
    replicates : int
        Draws for custom metrics and inequality, and permutations for the null of each gap; fewer with more than 200
        groups, as `DRAWS` says. 0 leaves the nulls out.
    seed : int
        Of the draws: the same sums and seed give the same bytes.
    name : str
        What was counted, for the report's title.

    Raises
    ------
    ConfigError
        If a setting is out of range or names nothing.
    InputError
        If ``reference`` is no group.
    """
    custom = dict(custom or {})
    if not 0 < confidence < 1:
        raise ConfigError(f"`confidence` must lie between 0 and 1, got {confidence:g}.")
    if replicates < 0:
        raise ConfigError(f"`replicates` must be at least 0, got {replicates}.")
    rng = np.random.default_rng(seed)
    given = Sums(_of_two(tally.cells, favourable), tally.scores)
    there = [group for group, n in zip(given.groups, given.rows, strict=True) if n or given.weighted]
    recorded = [group for group in there if is_recorded(group, len(tally.columns))]
    sums = given.only([*recorded, *(group for group in there if group not in recorded)])
    wanted = wanted_metrics(metrics, sums, custom)
    draws = min(replicates, max(DRAWS // max(len(there), 1), 1))
    if sums.cells is not None and (custom or set(wanted) & set(INDICES)):
        sums = replace(sums, drawn=replicate(sums.cells, draws or REPLICATES, rng))
    compared = sums.only(recorded)
    if reference is not None and reference not in recorded:
        raise InputError(f"`reference` must be one of the groups, {listed(recorded)}; got {reference!r}.")
    main = reference or (recorded[int(np.argmax(compared.mass))] if recorded else "")
    each = (1 - (1 - confidence) / max(len(wanted), 1)) ** (1 / max(len(there), 1)) if simultaneous else confidence
    found: dict[str, Metric] = {}
    among: dict[str, Estimate] = {}
    for name_of in wanted:
        everywhere = measured(name_of, sums, custom)
        among[name_of] = everywhere.groups if compared is sums else measured(name_of, compared, custom).groups
        mirror = found.get(MIRRORED.get(name_of, ""))
        drawn = permuted(among[name_of], draws, rng)
        null = gap_null(among[name_of], draws, rng, drawn) if mirror is None else mirror.gap.null
        found[name_of] = Metric(
            meaning=meaning_of(name_of),
            overall=next(iter(everywhere.everybody.numbers(confidence).values())),
            groups=everywhere.groups.numbers(each),
            gap=gap_of(among[name_of], confidence, null),
            to_reference=to_reference(among[name_of], recorded.index(main), confidence, drawn) if main else {},
            to_overall=to_everybody(everywhere, len(recorded), confidence, drawn),
        )
    strata = {stratum: cells for stratum, of in tally.strata.items() if (cells := _of_two(of, favourable)) is not None}
    scores = sums.scores
    return DisparityReport(
        name=name,
        n=tally.n,
        columns=tally.columns,
        favourable=favourable,
        reference=main,
        confidence=confidence,
        simultaneous=simultaneous,
        groups=_groups(sums, recorded, tally.columns),
        metrics=found,
        criteria=_criteria(among, found, confidence),
        between_groups=_between(compared.cells, wanted),
        conditional=conditional_parity(strata, tally.controls, recorded, main, confidence) if strata and main else None,
        curves=curves(scores, confidence) if scores is not None and scores.labelled else {},
        distances=distances(compared.scores, recorded.index(main), confidence)
        if compared.scores is not None and main
        else {},
        notes=tuple(_notes(sums, tally.n, len(recorded))),
    )


def _of_two(cells: Cells | None, favourable: str) -> Cells | None:
    """Cells of the favourable class and the rest; those of 0 and 1 are."""
    return cells if cells is None or cells.classes == BINARY else cells.against_rest(favourable)


def _groups(sums: Sums, recorded: Sequence[str], columns: tuple[str, ...]) -> dict[str, Group]:
    total = sum(sums.mass)
    return {
        name: Group(
            n=n,
            share=mass / total if total > 0 else math.nan,
            parts=dict(zip(columns, parts_of(name, len(columns)), strict=True)),
            counts={} if sums.cells is None else _named_cells(sums.cells.mass[i]),
            recorded=name in recorded,
        )
        for i, (name, n, mass) in enumerate(zip(sums.groups, sums.rows, sums.mass, strict=True))
    }


def _named_cells(table: NDArray[Any]) -> dict[str, int | float]:
    if len(table) == 1:
        return {"not_selected": table[0, 0].item(), "selected": table[0, 1].item()}
    (tn, fp), (fn, tp) = table.tolist()
    return {"true_positives": tp, "false_positives": fp, "false_negatives": fn, "true_negatives": tn}


def _criteria(among: Mapping[str, Estimate], found: Mapping[str, Metric], confidence: float) -> dict[str, Criterion]:
    """The gap of every criterion whose metrics there are; of several metrics the largest, with bounds for all."""
    criteria = {}
    for name, metrics in CRITERIA.items():
        if not set(metrics) <= set(among):
            continue
        if len(metrics) == 1:
            gap = found[metrics[0]].gap
            criteria[name] = Criterion(metrics=metrics, difference=gap.difference, ratio=gap.ratio)
            continue
        gaps = [gap_of(among[m], 1 - (1 - confidence) / len(metrics)) for m in metrics]
        criteria[name] = Criterion(
            metrics=metrics,
            difference=_extreme([g.difference for g in gaps], max),
            ratio=_extreme([g.ratio for g in gaps], min),
        )
    return criteria


def _extreme(numbers: Sequence[Number], pick: Callable[..., Any]) -> Number:
    """The largest (smallest) of several numbers, with the largest (smallest) of their bounds."""
    lacking = next((number for number in numbers if number.reason is not None), None)
    if lacking is not None:
        return lacking
    value = pick(number.value for number in numbers)
    n = next(number.n for number in numbers if number.value == value)
    low, high = ([getattr(number, side) for number in numbers] for side in ("low", "high"))
    if None in low or None in high:
        return Number(value=value, n=n)
    conservative = any(number.conservative for number in numbers)
    return Number(value=value, n=n, low=pick(low), high=pick(high), conservative=conservative)


def _between(cells: Cells | None, wanted: Sequence[str]) -> dict[str, Number]:
    """How much of each index of inequality lies between groups; without interval, as chance alone makes it positive."""
    found = {}
    for name in wanted:
        if name in INDICES and cells is not None:
            value, n = between_groups(cells.mass.astype(np.float64), INDICES[name]), int(cells.rows.sum())
            found[name] = (
                undefined("everybody has the same benefit", n) if math.isnan(value) else Number(value=value, n=n)
            )
    return found


def _notes(sums: Sums, n: int, recorded: int) -> Iterator[str]:
    """What the reader must know of how this was counted."""
    cells, scores = sums.cells, sums.scores
    soft = cells is not None and cells.soft
    if recorded < len(sums.groups):
        lacking, what = sum(sums.rows[recorded:]), "may be in no recorded group" if soft else "have no recorded group"
        yield f"{lacking:,} of {n:,} rows {what}: they are shown by themselves and compared with nobody."
    if soft:
        yield (
            "Groups are probabilities of membership: rates are expected ones, biased where decisions depend on the"
            " group beyond the estimate of it, and scores are not measured."
        )
    elif cells is not None and cells.weights is not None:
        yield "Rows are weighted: intervals rest on effective numbers of rows, tests on normal approximation."
    if scores is not None and scores.bits < EXACT:
        yield (
            f"There are too many distinct scores to keep them all: ranking, quantiles and distances use scores cut to a"
            f" part in {2**scores.bits:,} of their size."
        )
